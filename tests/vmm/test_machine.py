#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hull-vmm with guests of a few instructions (guest.c), on whatever KVM there is:
also a software one, which cannot run a Linux. How machines end, what wrong messages
and kernels do, what the jail leaves, and guests that attack their devices."""
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from lib import hull  # noqa: E402

VMM = hull.BUILD / "src/cmd/hull-vmm/hull-vmm"
START = hull.BUILD / "tests/vmm/vmm-start"
GUEST = hull.BUILD / "tests/vmm/vmm-guest"


def run(*args, kernel=GUEST, code=0, timeout=60):
    done = subprocess.run([START, "--vmm", VMM, "--memory", "32", *args, kernel], capture_output=True, text=True,
                          timeout=timeout, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != code:
        raise AssertionError(f"{args}: {done.returncode}, not {code}\n{done.stdout}{done.stderr}")
    return done


class Machine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        hull.need(os.access("/dev/kvm", os.R_OK | os.W_OK), "no /dev/kvm")
        cls.dir = tempfile.TemporaryDirectory()

    @classmethod
    def tearDownClass(cls):
        cls.dir.cleanup()

    def file(self, name, data):
        path = pathlib.Path(self.dir.name) / name
        path.write_bytes(data)
        return path

    def test_ends(self):
        for word, code in (("off", 0), ("reset", 40), ("keyboard", 40), ("triple", 41), ("panic", 42)):
            with self.subTest(word):
                self.assertEqual(run("--cmdline", word, code=code).stdout, "start\n")

    def test_stopped(self):
        run("--cmdline", "spin", "--until-first", code=45)

    def test_windows_and_holes(self):
        out = run("--rng", "--rng", "--console", "--parked", "--cmdline", "windows").stdout
        self.assertIn("window 0 device 4\nwindow 1 device 4\nwindow 2 device 3\nwindow 3 device 0\nhole ok\n", out)

    def test_queue(self):
        self.assertIn("random ok", run("--rng", "--cmdline", "rng").stdout)

    def test_attacks(self):
        disk = self.file("disk", bytes(1 << 20))
        layer = self.file("layer", bytes(range(256)) * 8192)
        done = run("--rng", "--console", "--disk", disk, "--pmem", layer, "--balloon", "--cmdline", "attack")
        self.assertRegex(done.stdout, r"attacked \d+ and it works")
        self.assertGreater(int(re.search(r"failures (\d+)", done.stderr)[1]), 10)

    def test_readonly_memory(self):
        """A file mapped for a guest cannot be written by it; the attempts are counted."""
        data = bytes(range(256)) * 8192
        layer = self.file("readonly", data)
        done = run("--pmem", layer, "--cmdline", "pmem")
        self.assertIn("reads 4 unchanged 4", done.stdout)
        self.assertIn("dropped 4 ", done.stderr)
        self.assertEqual(layer.read_bytes(), data)

    def test_wrong_kernels(self):
        guest = GUEST.read_bytes()
        huge = bytearray(guest)
        offset = struct.unpack_from("<Q", huge, 32)[0]
        struct.pack_into("<Q", huge, offset + 24, 0xfffffffffffff000)
        for name, data in (("empty", b""), ("text", b"hello" * 1000), ("cut", guest[:100]), ("address", bytes(huge)),
                           ("32-bit", guest[:4] + b"\x01" + guest[5:]), ("bz", bytes(0x202) + b"HdrS" + bytes(3000))):
            with self.subTest(name):
                done = run(kernel=self.file(name, data), code=44)
                self.assertIn("start the machine: ", done.stderr)
                self.assertIn("started 0", done.stderr)

    def test_initramfs_too_large(self):
        done = run("--initramfs", self.file("initramfs", bytes(31 << 20)), code=44)
        self.assertIn("too little", done.stderr)

    def test_not_in_a_pid_namespace(self):
        """What the starter forgot is refused, not gone without."""
        done = subprocess.run([VMM], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        self.assertEqual(done.returncode, 44)

    def test_jail(self):
        with subprocess.Popen([START, "--vmm", VMM, "--memory", "32", "--uid", "268435456", "--cpus", "2", "--rng", "--cmdline", "spin", GUEST],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as start:
            self.assertEqual(start.stdout.readline(), b"start\n")
            try:
                pid = int(pathlib.Path(f"/proc/{start.pid}/task/{start.pid}/children").read_text(encoding="ascii").split()[0])
                proc = pathlib.Path(f"/proc/{pid}")
                # Without the thread that KVM itself keeps in the process.
                tasks = [t for t in sorted(proc.glob("task/*/status")) if "hull-vmm" in t.read_text(encoding="utf-8").split("\n")[0]]
                self.assertEqual(len(tasks), 3)
                for task in tasks:
                    status = dict(line.split(":\t", 1) for line in task.read_text(encoding="utf-8").splitlines() if ":\t" in line)
                    self.assertEqual(status["Uid"].split(), ["268435456"] * 4)
                    self.assertEqual(status["Gid"].split(), ["268435456"] * 4)
                    self.assertEqual(status["Groups"].strip(), "")
                    for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                        self.assertEqual(int(status[caps], 16), 0, caps)
                    self.assertEqual(status["NoNewPrivs"], "1")
                    self.assertEqual(status["Seccomp"], "2")
                    self.assertEqual(status["NSpid"].split()[1:], [status["NSpid"].split()[1]])
                self.assertEqual([t.read_text(encoding="utf-8").split("Seccomp_filters:\t")[1].split()[0] for t in tasks], ["1", "2", "2"])
                for name in ("user", "mnt", "net", "pid", "ipc", "uts", "cgroup"):
                    self.assertNotEqual(os.readlink(proc / "ns" / name), os.readlink(f"/proc/self/ns/{name}"), name)
                self.assertEqual(os.listdir(proc / "root"), [])
                self.assertEqual(len((proc / "mountinfo").read_text(encoding="utf-8").splitlines()), 1)
                self.assertEqual((proc / "uid_map").read_text(encoding="utf-8"), "")
                limits = (proc / "limits").read_text(encoding="utf-8")
                self.assertRegex(limits, r"Max core file size +0 +0")
                self.assertRegex(limits, r"Max open files +1024 +1024")
                for fd in (proc / "fd").iterdir():
                    self.assertNotRegex(os.readlink(fd), r"^/(?!dev/kvm|dev/null)", "a path of the host")
            finally:
                start.kill()
            # Its socket's end is its end.
            deadline = time.monotonic() + 60
            while proc.exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            self.assertFalse(proc.exists())


if __name__ == "__main__":
    hull.main()
