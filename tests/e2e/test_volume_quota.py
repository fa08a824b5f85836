#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Volumes with a limited size. Where the file system of the tests has no project
quotas only the refusal is seen; tests/lab runs all of it on a kernel that has them
(HULL_TEST_PROJECTS says that they are there)."""
import os
import random
import shutil
import subprocess
import time
import unittest

from lib.hull import HullTest, main
from lib.quota import limits, set_limit

HAS_PROJECTS = os.environ.get("HULL_TEST_PROJECTS")
MIB = 1 << 20


class Refused(HullTest):
    @unittest.skipIf(HAS_PROJECTS, "this file system keeps limits")
    def test_the_reason_is_told(self):
        done = self.hull("volume", "create", "-o", "size=10m", "big", code=1)
        self.assertIn("quota size requested but no quota support", done.err)
        self.assertRegex(done.err, "file system is")
        self.assertRegex(done.err, "pquota|prjquota")
        self.assertEqual(self.hull.out("volume", "ls", "-q"), "")
        self.hull("run", "--rm", "--mount", "source=big,target=/v,volume-opt=size=10m", "demo", "true", code=125)

    def test_wrong_sizes(self):
        for size in ("lots", "-1", "10x", ""):
            self.assertIn("invalid size", self.hull("volume", "create", "-o", f"size={size}", "bad", code=1).err, size)
        done = self.hull("volume", "create", "-o", "size=1m", "-o", "type=tmpfs", "-o", "device=tmpfs", "bad", code=1)
        self.assertIn("o=size=", done.err)
        # No limit is none that has to be kept.
        self.hull("volume", "create", "-o", "size=0", "free")
        self.hull("volume", "rm", "free")


@unittest.skipUnless(HAS_PROJECTS, "the file system of the tests has no project quotas; tests/lab has one that does")
class Limited(HullTest):
    def write(self, volume, mib, code=0, *flags):
        return self.hull("run", "--rm", "--network", "none", *flags, "-v", f"{volume}:/v", "demo", "sh", "-c",
                         f"dd if=/dev/zero of=/v/$RANDOM$RANDOM bs=1M count={mib} 2>&1", code=code, timeout=200).out

    def used(self, volume):
        return [line.split()[-1] for line in self.hull.out("system", "df", "-v").splitlines() if line.startswith(volume + " ")][0]

    def projects(self):
        """Numbers with a limit, as the file system has them."""
        return limits(str(self.hull.root))

    def test_what_is_too_much_is_refused_and_what_fits_is_not(self):
        self.hull("volume", "create", "-o", "size=8m", "small")
        self.hull("volume", "create", "-o", "size=24m", "large")
        self.hull("volume", "create", "free")
        self.write("small", 5)
        self.assertRegex(self.write("small", 5, 1), "[Nn]o space left|[Dd]isk quota exceeded")
        # Each is counted for itself, and one without a limit has none.
        self.write("large", 12)
        self.write("free", 30)
        self.assertRegex(self.write("large", 20, 1), "[Nn]o space left|[Dd]isk quota exceeded")
        self.assertEqual(self.hull.out("volume", "inspect", "-f", "{{.Options.size}}", "small"), "8m")
        # The limit is that of the volume, in whatever container.
        self.hull("run", "--rm", "--network", "none", "-v", "small:/v", "demo", "sh", "-c", "rm /v/*")
        self.write("small", 6)
        self.assertRegex(self.write("small", 6, 1, "--user", "1000", "--privileged") +
                         self.write("small", 6, 1, "--userns", "host", "--cap-drop", "SYS_RESOURCE"), "[Nn]o space left|[Dd]isk quota exceeded")
        for name in ("small", "large", "free"):
            self.hull("volume", "rm", name)
        self.assertEqual(self.projects(), {})

    def test_usage_is_what_the_file_system_counts(self):
        self.hull("volume", "create", "-o", "size=20m", "data")
        self.write("data", 7)
        self.assertRegex(self.used("data"), r"^7\.\d+MB$")
        self.hull("volume", "rm", "data")

    def test_a_project_cannot_be_left_from_inside(self):
        self.hull("volume", "create", "-o", "size=8m", "cage")
        self.hull("run", "-d", "--name", "in", "--network", "none", "-v", "cage:/v", "demo", "sleep", "600")
        before = self.projects()
        self.assertEqual(set(before.values()), {8 * MIB})
        # What is made deeper belongs to it, too, and copies of an image's files.
        self.hull("exec", "in", "sh", "-c", "mkdir -p /v/a/b/c; dd if=/dev/zero of=/v/a/b/c/f bs=1M count=5")
        self.assertRegex(self.hull("exec", "in", "sh", "-c", "dd if=/dev/zero of=/v/a/g bs=1M count=5 2>&1", code=1).out, "space|quota")
        self.hull("rm", "-f", "in")
        self.hull("volume", "rm", "cage")
        self.assertEqual(self.projects(), {})

    def test_copy_up_is_counted(self):
        self.hull("volume", "create", "-o", "size=4m", "filled")
        self.hull("run", "--rm", "--network", "none", "-v", "filled:/etc", "demo", "cat", "/etc/passwd")
        self.assertNotEqual(self.used("filled"), "0B")
        self.hull("volume", "rm", "filled")

    def test_half_of_it_is_made_whole(self):
        """As whoever was killed between two steps leaves it."""
        self.hull("volume", "create", "-o", "size=8m", "half")
        folder = self.hull.root / "volumes/half"
        # The row, and no folder; the folder, and no mark on it.
        for make in (False, True):
            shutil.rmtree(folder)
            if make:
                folder.mkdir(mode=0o700)
            self.write("half", 5)
            self.assertRegex(self.write("half", 5, 1), "space|quota")
        # Renamed away, and not swept: any command takes the limit back, and the files.
        self.hull("volume", "rm", "half")
        self.hull("volume", "create", "-o", "size=8m", "half")
        gone = self.hull.root / "volumes/.gone"
        gone.mkdir(mode=0o700, exist_ok=True)
        folder.rename(gone / "half-0123456789abcdef")
        self.hull("ps")
        self.assertEqual(self.projects(), {})
        self.assertFalse(gone.exists())
        # Its row is there still: it is made again, with its limit.
        self.write("half", 5)
        self.assertRegex(self.write("half", 5, 1), "space|quota")
        self.hull("volume", "rm", "half")
        self.assertEqual(self.projects(), {})

    def test_deaths_at_any_time(self):
        dice = random.Random(7)
        for n in range(40):
            made = [str(self.hull.bin), "volume", *(("create", "-o", "size=8m", "dies") if n % 2 == 0 else ("rm", "dies"))]
            process = subprocess.Popen(made, env=self.hull.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(dice.uniform(0, 0.05))
            process.kill()
            process.wait()
            self.hull("ps")
            # Whatever came of it: one that is listed can be had with its limit, and what is not listed has none.
            if self.hull.out("volume", "ls", "-q"):
                self.hull("volume", "create", "-o", "size=8m", "dies")
                self.assertEqual(list(self.projects().values()), [8 * MIB], n)
            else:
                self.assertEqual(self.projects(), {}, n)
        self.hull("volume", "prune", "-af")
        self.assertEqual(self.projects(), {})

    def test_no_number_is_given_twice_and_others_are_left_alone(self):
        seen = set()
        for _ in range(4):
            self.hull("volume", "create", "-o", "size=8m", "turn")
            number = set(self.projects())
            self.assertEqual(len(number), 1)
            self.assertFalse(number & seen)
            seen |= number
            self.hull("volume", "rm", "turn")
        other = max(seen) + 1
        set_limit(str(self.hull.root), other, MIB)
        try:
            self.hull("volume", "create", "-o", "size=8m", "beside")
            self.assertEqual(len(self.projects()), 2)
            self.hull("volume", "prune", "-af")
            self.assertEqual(self.projects(), {other: MIB})
        finally:
            set_limit(str(self.hull.root), other, 0)

    def test_backup_and_restore(self):
        self.hull("volume", "create", "-o", "size=8m", "kept")
        self.write("kept", 3)
        tar = self.hull.dir / "kept.tar"
        self.hull("volume", "export", "-o", str(tar), "kept")
        self.hull("volume", "create", "-o", "size=2m", "less")
        self.hull("volume", "import", "less", str(tar), code=1)
        self.hull("volume", "rm", "kept", "less")
        self.assertEqual(self.projects(), {})


if __name__ == "__main__":
    main()
