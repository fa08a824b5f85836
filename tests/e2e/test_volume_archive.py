#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Backup and restoring of volumes: what comes back, and what hostile archives do not do."""
import gzip
import io
import lzma
import os
import pathlib
import signal
import subprocess
import tarfile

from lib.hull import HullTest, main


def archive(*entries):
    """(name, type, content or link)"""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, content in entries:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = kind, 0o755, 1600000000
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


FILE, FOLDER, LINK, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
PLAIN = archive(("./", FOLDER, b""), ("./a", FILE, b"first"), ("./sub/b", FILE, b"second"))


class Archive(HullTest):
    def tearDown(self):
        self.hull.remove_all()
        self.hull("volume", "prune", "-a", "-f")
        super().tearDown()

    def path(self, name):
        return pathlib.Path(self.hull.out("volume", "inspect", "-f", "{{.Mountpoint}}", name))

    def volumes(self):
        return self.hull.out("volume", "ls", "-q").split()

    def test_everything_comes_back(self):
        self.hull("volume", "create", "source")
        top = self.path("source")
        (top / "file").write_bytes(b"content")
        os.setxattr(top / "file", "user.note", b"kept")
        os.link(top / "file", top / "hard")
        os.symlink("../../../etc/passwd", top / "link")
        os.mkfifo(top / "pipe", 0o600)
        (top / "sub").mkdir(mode=0o700)
        with open(top / "sub/holes", "wb") as file:
            file.truncate(8 << 20)
            file.seek(4 << 20)
            file.write(b"middle")
        (top / ("n" * 200)).write_text("long name")
        os.chown(top / "file", 33, 70000)
        os.chmod(top / "file", 0o4711)
        os.utime(top / "file", ns=(0, 1600000000123456789))
        os.chown(top, 999, 998)
        os.chmod(top, 0o1730)
        os.utime(top, (0, 1500000000))
        file = self.hull.dir / "backup.tar"
        self.hull("volume", "export", "-o", file, "source")
        self.assertEqual(self.hull.out("volume", "import", "target", file), "target")
        describe = ["find", ".", "-printf", r"%P %y %m %U:%G %s %n %T@ %l\n"]
        listed = [sorted(subprocess.run(describe, cwd=self.path(name), capture_output=True, text=True, check=True).stdout.splitlines())
                  for name in ("source", "target")]
        # Directories' sizes are the file system's own.
        for lines in listed:
            lines[:] = [line.replace(" 4096 ", " - ") for line in lines]
        self.assertEqual(*listed)
        self.assertEqual(os.getxattr(self.path("target") / "file", "user.note"), b"kept")
        self.assertEqual((self.path("target") / "sub/holes").read_bytes(), (top / "sub/holes").read_bytes())
        # GNU tar reads it, and what GNU tar wrote is read.
        self.assertIn("./file", subprocess.run(["tar", "-tf", file], capture_output=True, text=True, check=True).stdout.split())
        tar = subprocess.run(["tar", "-C", top, "-c", "."], capture_output=True, check=True).stdout
        self.hull("volume", "import", "again", input=tar)
        self.assertEqual((self.path("again") / "file").stat().st_gid, 70000)

    def test_streams_and_compression(self):
        for name, data in (("plain", PLAIN), ("gz", gzip.compress(PLAIN)), ("xz", lzma.compress(PLAIN)),
                           ("zst", subprocess.run(["zstd", "-c"], input=PLAIN, capture_output=True, check=True).stdout)):
            self.hull("volume", "import", f"v-{name}", "-", input=data)
            self.assertEqual((self.path(f"v-{name}") / "sub/b").read_text(), "second")
        out = self.hull("volume", "export", "v-gz").stdout
        self.assertEqual(sorted(tarfile.open(fileobj=io.BytesIO(out)).getnames()), [".", "./a", "./sub", "./sub/b"])

    def test_of_containers(self):
        self.hull("run", "--rm", "-v", "data:/data", "demo", "sh", "-c", "echo kept > /data/f; chown 1000:1000 /data/f")
        saved = self.hull("volume", "export", "data").stdout
        self.hull("volume", "import", "copy", input=saved)
        self.assertEqual(self.hull.out("run", "--rm", "-v", "copy:/data", "demo", "sh", "-c", "cat /data/f; stat -c %u:%g /data/f").split(),
                         ["kept", "1000:1000"])

    def test_what_is_there_is_not_mixed(self):
        self.hull("volume", "import", "one", input=PLAIN)
        (self.path("one") / "own").write_text("mine")
        text = self.hull("volume", "import", "one", input=PLAIN, code=1).err
        self.assertIn("import one: volume is not empty\n  try: ", text)
        self.hull("volume", "import", "--merge", "one", input=archive(("a", FILE, b"newer")))
        top = self.path("one")
        self.assertEqual([(top / n).read_text() for n in ("a", "own", "sub/b")], ["newer", "mine", "second"])
        self.hull("run", "-d", "--name", "user", "-v", "two:/two", "demo", "sleep", "60")
        self.assertIn("import two: volume is in use by a running container", self.hull("volume", "import", "two", input=PLAIN, code=1).err)
        self.hull("volume", "import", "--merge", "two", input=PLAIN)
        self.assertEqual(self.hull.out("exec", "user", "cat", "/two/a"), "first")
        # One that only exists goes on with the new files.
        self.hull("create", "--name", "later", "-v", "three:/three", "demo", "cat", "/three/a")
        self.hull("volume", "import", "three", input=PLAIN)
        self.assertEqual(self.hull.out("start", "-a", "later"), "first")

    def test_what_the_driver_mounts(self):
        there = self.hull.dir / "there"
        there.mkdir(exist_ok=True)
        self.hull("volume", "create", "-o", "type=none", "-o", f"device={there}", "-o", "o=bind", "bound")
        self.hull("volume", "import", "bound", input=PLAIN)
        self.assertEqual((there / "a").read_text(), "first")
        out = self.hull("volume", "export", "bound").stdout
        self.assertIn("./sub/b", tarfile.open(fileobj=io.BytesIO(out)).getnames())
        self.assertFalse(os.path.ismount(self.path("bound")))
        self.assertNotIn(str(self.path("bound")), pathlib.Path("/proc/self/mountinfo").read_text())

    def test_hostile_archives(self):
        outside = self.hull.dir / "outside"
        outside.mkdir(exist_ok=True)
        (outside / "secret").write_text("secret")
        up = "../" * 20 + str(outside).lstrip("/")
        for name, entries in (
                ("up", [("../evil", FILE, b"x")]), ("deep", [("a/../../../evil", FILE, b"x")]),
                ("through", [("link", LINK, str(outside)), ("link/evil", FILE, b"x")]),
                ("relative", [("link", LINK, up), ("link/evil", FILE, b"x")]),
                ("folder", [("link", LINK, str(outside)), ("link", FOLDER, b""), ("link/evil", FILE, b"x")]),
                ("hard", [("link", LINK, str(outside)), ("stolen", HARD, "link/secret")]),
                ("hardup", [("stolen", HARD, up + "/secret")]),
                ("itself", [("stolen", HARD, "stolen")]),
                ("cut", None), ("nonsense", b"this is no archive" * 100), ("nothing", b"")):
            data = PLAIN[:700] if entries is None else entries if isinstance(entries, bytes) else archive(*entries)
            done = self.hull("volume", "import", name, input=data, code=None)
            self.assertNotEqual(done.returncode, 0, name)
            self.assertTrue(done.err.startswith("hull: "), done.err)
            self.assertEqual(self.volumes(), [], f"{name}: a volume that nobody has")
            self.assertEqual(sorted(os.listdir(outside)), ["secret"], name)
            self.assertFalse(list(self.hull.root.rglob("evil")) or list(self.hull.root.rglob("stolen")), name)
        # An absolute name and an absolute link stay inside.
        self.hull("volume", "import", "abs", input=archive((str(outside / "evil"), FILE, b"x"), ("l", LINK, "/etc/passwd")))
        self.assertEqual(sorted(os.listdir(outside)), ["secret"])
        self.assertEqual((self.path("abs") / str(outside).lstrip("/") / "evil").read_text(), "x")
        # Merging into what a container has put links into.
        os.symlink(outside, self.path("abs") / "trap")
        self.hull("volume", "import", "--merge", "abs", input=archive(("trap/evil", FILE, b"x")), code=3)
        self.assertEqual(sorted(os.listdir(outside)), ["secret"])

    def test_a_killed_import_leaves_nothing(self):
        process = self.hull.start("volume", "import", "part", stdin=subprocess.PIPE)
        big = archive(("big", FILE, b"x" * (8 << 20)))
        process.stdin.write(big[:6 << 20])
        process.stdin.flush()
        self.eventually(lambda: list((self.hull.root / "ingest").glob("*/_data/big")))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        self.hull("ps")
        self.assertEqual(os.listdir(self.hull.root / "ingest"), [])
        self.assertEqual(os.listdir(self.path("part")), [])
        self.hull("volume", "import", "part", input=PLAIN)
        self.assertEqual((self.path("part") / "a").read_text(), "first")

    def test_full_disk(self):
        small = self.hull.dir / "small"
        small.mkdir(exist_ok=True)
        self.hull("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m", "ram")
        done = self.hull("volume", "import", "ram", input=archive(("big", FILE, b"x" * (4 << 20))), code=1)
        self.assertIn("No space left on device", done.err)

    def test_wrong_words(self):
        self.assertIn("get nosuch: no such volume", self.hull("volume", "export", "nosuch", code=1).err)
        self.assertIn("open /nosuch: No such file", self.hull("volume", "import", "x1", "/nosuch", code=1).err)
        self.assertIn("includes invalid characters", self.hull("volume", "import", "a/b", input=PLAIN, code=2).err)
        self.assertEqual(self.volumes(), [])


if __name__ == "__main__":
    main()
