#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images: import, load, save, names, removal, exchange with skopeo, and what a
dead or unlucky hull leaves behind."""
import gzip
import hashlib
import io
import json
import lzma
import os
import signal
import subprocess
import tarfile
import tempfile
import time
import unittest

from lib.hull import Hull, main, need, need_program
from lib.registry import zstd


def make_tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def sha(data):
    return hashlib.sha256(data).hexdigest()


def docker_archive(tags=("two:latest",), layers=None, diffids=None):
    layers = layers or [make_tar({"a": b"one" * 1000}), make_tar({"b": b"two" * 5000})]
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]}, "rootfs": {
        "type": "layers", "diff_ids": diffids or ["sha256:" + sha(layer) for layer in layers]}}).encode()
    manifest = [{"Config": sha(config) + ".json", "RepoTags": list(tags),
                 "Layers": [f"{i}/layer.tar" for i in range(len(layers))]}]
    files = {f"{i}/layer.tar": layer for i, layer in enumerate(layers)}
    return make_tar({**files, sha(config) + ".json": config, "manifest.json": json.dumps(manifest).encode()})


class Images(unittest.TestCase):
    def setUp(self):
        self.hull = Hull()
        self.addCleanup(self.hull.remove)

    def stored(self):
        return sorted(path.name for folder in ("layers", "blobs/sha256", "ingest")
                      for path in (self.hull.root / folder).iterdir())

    def id_of(self, name):
        return json.loads(self.hull.out("image", "inspect", name))[0]["Id"]

    def test_import_with_changes(self):
        out = self.hull.out("import", "-c", 'CMD ["sh", "-l"]', "-c", "ENV A=b C='d e'", "-m", "made here", "-", "bb:1",
                            input=make_tar({"bin/x": b"hello"}))
        self.assertRegex(out, "^sha256:[0-9a-f]{64}$")
        image = json.loads(self.hull.out("image", "inspect", "bb:1"))[0]
        self.assertEqual(image["Id"], out)
        self.assertEqual(image["Config"]["Cmd"], ["sh", "-l"])
        self.assertEqual(image["Config"]["Env"], ["A=b", "C=d e"])
        self.assertEqual(image["RepoTags"], ["bb:1"])
        self.assertIn("made here", self.hull.out("history", "bb:1"))

    def test_save_and_load_keep_the_id(self):
        self.hull("load", input=docker_archive(("two:latest", "h:5000/x/two:3")))
        before = self.id_of("two")
        archive = self.hull("save", "two").stdout
        self.hull("rmi", "-f", before[7:19])
        self.assertEqual(self.stored(), [])
        self.assertEqual(self.hull.out("load", input=archive).splitlines()[-1], "Loaded image: two:latest")
        self.assertEqual(self.id_of("two"), before)

    def test_skopeo_reads_what_hull_saves(self):
        skopeo = need_program("skopeo")
        self.hull("load", input=docker_archive())
        file = self.hull.dir / "saved.tar"
        self.hull("save", "-o", file, "two")
        for source in (f"docker-archive:{file}:two:latest", f"oci-archive:{file}"):
            done = subprocess.run([skopeo, "inspect", "--config", source], capture_output=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(len(json.loads(done.stdout)["rootfs"]["diff_ids"]), 2)

    def test_hull_loads_what_skopeo_writes(self):
        skopeo = need_program("skopeo")
        source, target = self.hull.dir / "in.tar", self.hull.dir / "out.tar"
        source.write_bytes(docker_archive())
        subprocess.run([skopeo, "copy", "-q", f"docker-archive:{source}", f"oci-archive:{target}:three:1"], check=True)
        self.assertEqual(self.hull.out("load", "-i", target).splitlines()[-1], "Loaded image: three:1")
        self.assertEqual(len(json.loads(self.hull.out("image", "inspect", "three:1"))[0]["RootFS"]["Layers"]), 2)

    def test_compressed_layers(self):
        plain = [make_tar({"a": b"x" * 9999})]
        self.hull("load", input=docker_archive(layers=[gzip.compress(plain[0])], diffids=["sha256:" + sha(plain[0])]))
        self.assertEqual(json.loads(self.hull.out("image", "inspect", "two"))[0]["RootFS"]["Layers"],
                         ["sha256:" + sha(plain[0])])

    def test_compressed_archives(self):
        plain = docker_archive(layers=[make_tar({"a": os.urandom(700000)})])
        outer = {"gzip": gzip.compress(plain), "two gzips": gzip.compress(plain[:5000]) + gzip.compress(plain[5000:]),
                 "xz": lzma.compress(plain, preset=1), "zstd": zstd(plain)}
        for kind, archive in outer.items():
            with self.subTest(kind=kind):
                file = self.hull.dir / "archive"
                file.write_bytes(archive)
                self.assertEqual(self.hull.out("load", input=archive).splitlines()[-1], "Loaded image: two:latest")
                self.hull("rmi", "two")
                self.assertEqual(self.hull.out("load", "-i", file).splitlines()[-1], "Loaded image: two:latest")
                self.hull("rmi", "two")
                self.assertEqual(self.stored(), [])
                if kind == "two gzips":
                    continue
                for bad in (archive[:-20], archive[: len(archive) // 2], archive + b"x" * 100,
                            archive[:9000] + bytes(200) + archive[9200:]):
                    self.assertRegex(self.hull("load", input=bad, code=1).err, "gzip|zstd|xz")
                    self.assertEqual(self.stored(), [])

    def test_import_of_compressed_trees(self):
        tree = make_tar({"a": b"something" * 9000})
        diffid = "sha256:" + sha(tree)
        for archive in (tree, gzip.compress(tree), zstd(tree), lzma.compress(tree)):
            file = self.hull.dir / "tree"
            file.write_bytes(archive)
            for args in (("-",), (file,)):
                self.hull("import", *args, "tree", input=archive)
                self.assertEqual(json.loads(self.hull.out("image", "inspect", "tree"))[0]["RootFS"]["Layers"], [diffid])
                # What is kept of it goes out and comes in again.
                saved = self.hull("save", "tree").stdout
                self.hull("rmi", "tree")
                self.hull("load", input=saved)
                self.hull("rmi", "tree")
        self.assertIn("xz", self.hull("import", "-", "tree", input=lzma.compress(tree)[:-40], code=1).err)
        # An image's layers are another matter.
        done = self.hull("load", input=docker_archive(layers=[lzma.compress(tree)], diffids=[diffid]), code=1)
        self.assertIn("xz", done.err)
        self.assertEqual(self.stored(), [])

    def test_names_and_removal(self):
        self.hull("load", input=docker_archive())
        self.hull("tag", "two", "other:5")
        self.assertEqual(self.hull.out("rmi", "two"), "Untagged: two:latest")
        self.assertIn("other", self.hull.out("images"))
        self.assertIn("Deleted: sha256:", self.hull.out("rmi", "other:5"))
        self.assertEqual(self.stored(), [])
        done = self.hull("rmi", "two", code=1)
        self.assertIn("No such image: two:latest", done.err)
        self.hull("rmi", "-f", "two")
        self.assertIn("must be lowercase", self.hull("tag", "x", "UPPER", code=1).err)

    def test_prune_takes_the_dangling(self):
        self.hull("import", "-", "x:1", input=make_tar({"a": b"1"}))
        self.hull("import", "-", "x:1", input=make_tar({"a": b"2"}))
        self.assertIn("Total reclaimed space", self.hull.out("image", "prune", "-f"))
        self.assertEqual(len(self.hull.out("images", "-a").splitlines()), 2)

    def test_bad_archives_leave_nothing(self):
        whole = docker_archive()
        wrong = docker_archive(diffids=["sha256:" + "0" * 64, "sha256:" + "1" * 64])
        for archive in (b"", b"garbage" * 200, whole[:3000], whole[: len(whole) // 2], wrong,
                        make_tar({"manifest.json": b"{"}), make_tar({"manifest.json": b"[]"}),
                        make_tar({"manifest.json": b'[{"Config":"../../etc/passwd","Layers":[]}]'}),
                        make_tar({"index.json": b'{"manifests":[{"digest":"sha256:../../x"}]}'}),
                        make_tar({"x": b"1"})):
            done = self.hull("load", input=archive, code=1)
            self.assertTrue(done.err.strip())
            self.assertEqual(self.stored(), [])
        self.hull("import", "-", "x", input=b"not a tar" * 100, code=1)
        self.assertEqual(self.stored(), [])

    def test_many_at_once(self):
        archive = docker_archive()
        started = [self.hull.start("load", stdin=subprocess.PIPE) for _ in range(4)]
        for process in started:
            process.stdin.write(archive)
            process.stdin.close()
        for process in started:
            self.assertEqual(process.wait(60), 0, process.stderr.read())
            process.stdout.close()
            process.stderr.close()
        self.assertEqual(len(self.stored()), 4)

    def test_killed_in_the_middle(self):
        self.hull("images")
        big = docker_archive(layers=[make_tar({"a": os.urandom(4 << 20)})])
        for delay in (0.0, 0.02, 0.05, 0.1, 0.2):
            process = self.hull.start("load", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                process.stdin.write(big[: len(big) if delay else len(big) // 2])
                process.stdin.close()
            except BrokenPipeError:
                pass
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            process.wait()
            images = self.hull.out("images", "-aq")
            if not images:
                self.assertEqual(self.stored(), [])
            else:
                self.hull("rmi", "two")
                self.assertEqual(self.stored(), [])

    def test_full_disk(self):
        need(os.geteuid() == 0, "needs root to mount a small tmpfs")
        with tempfile.TemporaryDirectory() as small:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", small], check=True)
            try:
                env = {"HULL_ROOT": small}
                self.hull("images", env=env)
                big = docker_archive(layers=[make_tar({"a": os.urandom(3 << 20)})])
                done = self.hull("load", input=big, env=env, code=1)
                self.assertIn("No space left", done.err)
                self.assertEqual(os.listdir(small + "/layers") + os.listdir(small + "/ingest"), [])
                self.hull("import", "-", "x", input=make_tar({"a": b"1"}), env=env)
            finally:
                subprocess.run(["umount", "-l", small], check=False)


if __name__ == "__main__":
    main()
