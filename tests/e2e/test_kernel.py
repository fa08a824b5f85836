#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hull kernel: building (from a source that only looks like a kernel's: a real one
takes ten minutes), choosing, removing; what a build that dies leaves."""
import io
import json
import os
import pathlib
import signal
import subprocess
import tarfile
import time

from lib.hull import HullTest, main, need, need_program

MAKEFILE = """
tinyconfig:
\t@echo 'CONFIG_TINY=y' >$(O)/.config
olddefconfig:
\t@true
linux vmlinux:
\t@test ! -e $(CURDIR)/fails
\t@test ! -e $(CURDIR)/slow || sleep 300
\t@mkdir -p $(O)/include/config
\t@echo 6.1.7-hull >$(O)/include/config/kernel.release
\t@cp /bin/true $(O)/$@
.PHONY: tinyconfig olddefconfig linux vmlinux
"""
MERGE = '#!/bin/sh\nwhile [ "$1" != -O ]; do shift; done\ncat "$3" "$4" "$5" "$6" >"$2/merged" && mv "$2/merged" "$2/.config"\n'


def source(path, *extra):
    with tarfile.open(path, "w:xz") as tar:
        for name, text, mode in (("Makefile", MAKEFILE, 0o644), ("scripts/kconfig/merge_config.sh", MERGE, 0o755),
                                 ("arch/um/drivers/Kconfig", "config UML_NET_VECTOR\n", 0o644),
                                 *((e, "", 0o644) for e in extra)):
            info = tarfile.TarInfo("linux-source-9.9/" + name)
            info.size, info.mode = len(text), mode
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


class Kernel(HullTest):
    images = False

    def setUp(self):
        for tool in ("make", "flex", "bison", "bc", "xz", "patch"):
            need_program(tool)
        for header in ("gelf.h", "openssl/opensslv.h"):
            need(pathlib.Path("/usr/include", header).exists(), f"{header} is not installed")
        for name in self.rows():
            if self.rows()[name]["Origin"] == "built":
                self.hull("kernel", "rm", name)

    def rows(self):
        return {row["Name"]: row for row in map(json.loads, self.hull.out("kernel", "ls", "--format", "json").splitlines())}

    def kernels(self):
        return {p.name for p in (self.hull.root / "kernels").iterdir()} - {"build.log"}

    def build(self, *args, **more):
        return self.hull("kernel", "build", *args, **more)

    def test_build_list_choose_remove(self):
        tar = source(self.hull.dir / "linux-source-9.9.tar.xz")
        done = self.build("--source", tar)
        name = done.out.strip()
        self.assertRegex(name, r"^sandbox-6\.1\.7-[0-9a-f]{8}$")
        self.assertIn("compiling", done.err)
        row = self.rows()[name]
        self.assertEqual((row["For"], row["Version"], row["Default"]), ("sandbox", "6.1.7-hull", "*"))
        config = pathlib.Path(row["Path"]).with_name("config").read_text()
        self.assertIn("CONFIG_EROFS_FS=y", config)
        self.assertIn("CONFIG_BLK_DEV_UBD=y", config)
        # The same again is not built again; with another option it is.
        again = self.build("--source", tar)
        self.assertEqual(again.out.strip(), name)
        self.assertNotIn("compiling", again.err)
        own = self.hull.dir / "own.config"
        own.write_text("CONFIG_MINE=y\n")
        other = self.build("--source", tar, "--config", own, "-q")
        self.assertNotEqual(other.out.strip(), name)
        self.assertEqual(other.err, "")
        micro = self.build("--source", tar, "--for", "microvm").out.strip()
        self.assertEqual(self.rows()[micro]["Default"], "*")
        self.hull("kernel", "use", name)
        self.assertEqual(self.rows()[name]["Default"], "*")
        self.assertEqual(self.rows()[other.out.strip()]["Default"], "")
        self.hull("kernel", "rm", name, micro)
        self.assertNotIn(name, self.rows())
        self.assertEqual(self.rows()[other.out.strip()]["Default"], "*")

    def test_bad_input(self):
        self.assertIn("No such file", self.build("--source", "/nonexistent", code=1).err)
        self.assertIn("no kernel is made for 'toaster'", self.build("--for", "toaster", code=2).err)
        self.assertIn("no such kernel: none", self.hull("kernel", "use", "none", code=1).err)
        self.assertIn("no such kernel: ../kernels", self.hull("kernel", "rm", "../kernels", code=1).err)
        packaged = [name for name, row in self.rows().items() if row["Origin"] == "package"]
        for name in packaged:
            self.assertIn("package of the system", self.hull("kernel", "rm", name, code=1).err)

    def test_what_fails_leaves_the_log_alone(self):
        tar = source(self.hull.dir / "linux-source-8.tar.xz", "fails")
        done = self.build("--source", tar, code=1)
        self.assertIn("could not be built", done.err)
        self.assertIn("build.log", done.err)
        self.assertIn("Error", (self.hull.root / "kernels/build.log").read_text())
        self.assertNotIn(".build", self.kernels())
        (self.hull.dir / "noise.tar.xz").write_bytes(b"no tar at all")
        self.build("--source", self.hull.dir / "noise.tar.xz", code=1)
        self.assertNotIn(".build", self.kernels())

    def start_slow(self):
        tar = source(self.hull.dir / "linux-source-7.tar.xz", "slow")
        process = subprocess.Popen([self.hull.bin, "kernel", "build", "--source", tar], env=self.hull.env, stderr=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        for line in process.stderr:
            if line.startswith("compiling"):
                return process
        self.fail("the build ended before it compiled")

    def sleepers(self):
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.readlink(entry / "cwd").startswith(str(self.hull.root)):
                    found.append(entry.name)
            except OSError:
                pass
        return found

    def until_gone(self):
        for _ in range(200):
            if not self.sleepers():
                return
            time.sleep(0.05)
        self.fail("the compilers of a dead build live on")

    def test_one_at_a_time_and_interrupt(self):
        process = self.start_slow()
        self.assertIn("another kernel is being built", self.build("--source", self.hull.dir / "linux-source-7.tar.xz", code=1).err)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertIn("the build was ended", err)
        self.until_gone()
        self.assertNotIn(".build", self.kernels())

    def test_kill(self):
        process = self.start_slow()
        process.kill()
        process.communicate()
        self.until_gone()
        self.hull("ps")
        self.assertNotIn(".build", self.kernels())


if __name__ == "__main__":
    main()
