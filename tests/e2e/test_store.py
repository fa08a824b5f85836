#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The image store where things are not as they should be: kernels without EROFS or
with half of it, many hulls at once, hulls that die."""
import io
import json
import os
import random
import signal
import sqlite3
import subprocess
import tarfile
import time
import unittest

from lib import leaks
from lib.hull import Hull, busybox_tar, main, need
from lib.registry import Image, Server, make_tar, sha

SECONDS = float(os.environ.get("HULL_STORE_SECONDS", "6"))
SEED = int(os.environ.get("HULL_STORE_SEED", "1"))


def second_layer():
    """What a layer over another one may hold: removals, owners, links, attributes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        def entry(name, data=b"", **kwargs):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1700000000
            for key, value in kwargs.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
        entry("etc/.wh.group")
        entry("home/.wh..wh..opq")
        entry("home/new", b"n" * 10, uid=1000, gid=1000, mode=0o640)
        entry("opt", type=tarfile.DIRTYPE, mode=0o750, uid=1000)
        entry("opt/big", bytes(range(256)) * 3000)
        entry("opt/hard", type=tarfile.LNKTYPE, linkname="opt/big")
        entry("opt/soft", type=tarfile.SYMTYPE, linkname="../etc/passwd", mode=0o777)
        entry("opt/suid", b"s", mode=0o4755)
        entry("opt/attr", b"a", pax_headers={"SCHILY.xattr.user.color": "blue"})
    return out.getvalue()


LOOK = ("ls -ln /home /opt | grep -v total; ls /etc; stat -c '%a %u %g %Y' /opt; stat -c '%a %u %g %s %h %Y' /opt/* /home/new; cat /opt/soft; "
        "sha256sum /opt/big /opt/hard; echo x >>/opt/big; rm -r /home; wc -c </opt/big; ls -d /home 2>&1 || true")


class Fallback(unittest.TestCase):
    def setUp(self):
        need(os.geteuid() == 0, "needs root")
        self.server = Server()
        self.addCleanup(self.server.close)
        self.hull = Hull()
        self.addCleanup(self.hull.remove)
        self.image = Image([busybox_tar(), second_layer()])
        self.name = self.server.add("x", self.image)

    def look(self, name=None):
        return self.hull.out("run", "--rm", "--network", "none", name or self.name, "sh", "-c", LOOK)

    def layers(self):
        return sorted(path.suffix for path in (self.hull.root / "layers").iterdir())

    def goes_through_its_life(self, expected, suffix):
        self.hull("pull", self.name)
        self.assertEqual(self.layers(), [suffix] * 2)
        self.assertEqual(self.look(), expected)
        # Away and back again, with the digests of before.
        saved = self.hull("save", self.name).stdout
        self.hull("run", "--name", "cc", "--network", "none", self.name, "sh", "-c", "echo 1 >/one; rm /bin/cat")
        self.assertEqual(sorted(self.hull.out("diff", "cc").splitlines()), ["A /one", "C /bin", "D /bin/cat"])
        self.hull("commit", "cc", "made")
        out = self.hull.out("run", "--rm", "--network", "none", "made", "sh", "-c", "busybox cat /one; ls /bin/cat 2>&1 || true")
        self.assertRegex(out, "^1\n.*No such file")
        self.hull("rm", "cc")
        self.hull("rmi", "made", self.name)
        self.assertEqual(self.layers(), [])
        self.hull("load", input=saved)
        self.assertEqual(self.look(), expected)
        self.hull("rmi", self.name)
        self.assertEqual(self.layers(), [])
        self.assertEqual(self.hull.wait_until_clean(), [])

    def test_without_erofs(self):
        self.hull("pull", self.name)
        expected = self.look()
        self.assertIn("4755", expected)
        self.assertEqual(self.layers(), [".erofs"] * 2)
        self.hull("rmi", self.name)
        self.hull.env["HULL_TEST_EROFS"] = "absent"
        self.goes_through_its_life(expected, ".dir")

    def test_loop_devices(self):
        need(os.path.exists("/dev/loop-control"), "no loop devices here")
        self.hull("pull", self.name)
        expected = self.look()
        self.hull("rmi", self.name)
        self.hull.env["HULL_TEST_EROFS"] = "loop"
        self.goes_through_its_life(expected, ".erofs")
        used = subprocess.run(["losetup", "-ln", "-O", "BACK-FILE"], capture_output=True, text=True, check=False).stdout
        self.assertNotIn(str(self.hull.root), used)

    def test_one_kernel_after_the_other(self):
        """Layers of both kinds, in one image too."""
        self.hull("pull", self.name, env={"HULL_TEST_EROFS": "absent"})
        expected = self.look()
        self.hull("run", "--name", "cc", "--network", "none", self.name, "sh", "-c", "echo 1 >/one")
        self.hull("commit", "cc", "made")
        self.assertEqual(self.layers(), [".dir", ".dir", ".erofs"])
        self.assertEqual(self.look("made"), expected)
        self.hull("rm", "cc")
        self.hull("rmi", "made", self.name)
        self.assertEqual(self.layers(), [])


class Busy(unittest.TestCase):
    """Several hulls on one store. Each may lose a race, with a sensible message; what
    the store says is there must be there, whole."""

    def setUp(self):
        need(os.geteuid() == 0, "needs root")
        self.server = Server()
        self.addCleanup(self.server.close)
        self.hull = Hull()
        self.addCleanup(self.hull.remove)
        self.payload = os.urandom(1 << 20)
        base = busybox_tar()
        self.images = [Image([base, make_tar({"payload": self.payload, f"n{i}": b"x" * i})]) for i in range(2)]
        self.names = [self.server.add(f"x{i}", image) for i, image in enumerate(self.images)]
        self.random = random.Random(SEED)

    def check(self):
        """All is well: the ledger and the files agree, and the images run."""
        self.hull("images")
        self.assertEqual(self.hull.wait_until_clean(), [])
        with sqlite3.connect(self.hull.root / "hull.db", timeout=60) as db:
            self.assertEqual(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            rows = [row[0] for row in db.execute("SELECT diffid FROM layers")]
            blobs = [row[0] for row in db.execute("SELECT digest FROM blobs")]
        for diffid in rows:
            self.assertTrue((self.hull.root / f"layers/{diffid[7:]}.erofs").exists(), diffid)
        for digest in blobs:
            self.assertEqual(sha((self.hull.root / f"blobs/sha256/{digest[7:]}").read_bytes()), digest)
        for name in self.names:
            out = self.hull.out("run", "--rm", "--pull", "missing", "--network", "none", name, "sha256sum", "/payload")
            self.assertEqual(out.split()[0], sha(self.payload)[7:])
        self.hull("rmi", "-f", *self.names)
        left = [path.name for folder in ("layers", "blobs/sha256", "ingest") for path in (self.hull.root / folder).iterdir()]
        self.assertEqual([name for name in left if not name.endswith(".partial")], [])

    def commands(self):
        name = self.random.choice(self.names)
        return self.random.choice([
            (("pull", name), ()),
            (("pull", name), ()),
            (("run", "--rm", "--network", "none", name, "sha256sum", "/payload"), ("No such image", "has been removed")),
            (("rmi", name), ("No such image", "is using", "is being used", "must be forced")),
            (("rmi", "-f", name), ("No such image", "is using", "is being used", "must be forced")),
            (("image", "prune", "-af"), ()),
            (("images",), ()),
            (("system", "prune", "-f"), ()),
        ])

    def test_all_at_once(self):
        running, deadline, done = {}, time.monotonic() + SECONDS, 0
        while time.monotonic() < deadline or running:
            while len(running) < 4 and time.monotonic() < deadline:
                words, excuses = self.commands()
                running[self.hull.start(*words)] = (words, excuses)
            time.sleep(0.005)
            for process in [p for p in running if p.poll() is not None]:
                words, excuses = running.pop(process)
                out, err = (text.decode() for text in process.communicate())
                done += 1
                if process.returncode == 0 and words[0] == "run":
                    self.assertEqual(out.split()[0], sha(self.payload)[7:], words)
                if process.returncode != 0:
                    self.assertTrue(any(text in err for text in excuses), f"{words}: exit {process.returncode}: {err}")
        self.assertGreater(done, 10)
        self.check()

    def test_killed_at_any_time(self):
        deadline, n = time.monotonic() + SECONDS, 0
        while time.monotonic() < deadline:
            victims = [self.hull.start(*self.commands()[0]) for _ in range(self.random.choice((1, 1, 2, 3)))]
            for victim in victims:
                time.sleep(self.random.random() ** 2 * 0.15)
                victim.send_signal(signal.SIGKILL)
            for victim in victims:
                victim.communicate()
            n += 1
            if n % 8 == 0:
                self.settles()
        self.settles()
        self.check()

    def settles(self):
        limit = time.monotonic() + 20
        while [name for name in leaks.processes(self.hull).values() if name != "hull-monitor"]:
            self.assertLess(time.monotonic(), limit, leaks.processes(self.hull))
            time.sleep(0.01)
        self.hull.remove_all()
        # One command more, and all is as it was.
        self.hull("images")
        self.assertEqual(self.hull.wait_until_clean(), [], f"seed {SEED}")


if __name__ == "__main__":
    main()
