# SPDX-License-Identifier: Apache-2.0
"""What is particular to the level sandbox: a kernel of its own in user space.
What every level does alike is tested by the tests of that, with HULL_TEST_LEVEL."""
import shutil
import subprocess

from lib.hull import HullTest, main, need


class Sandbox(HullTest):
    level = "sandbox"

    @classmethod
    def setUpClass(cls):
        need(shutil.which("linux.uml"), "user-mode-linux is not installed")
        super().setUpClass()

    def sh(self, script, *args, **kwargs):
        return self.hull.out("run", "--rm", *args, "demo", "sh", "-c", script, **kwargs)

    def test_a_kernel_of_its_own(self):
        inside = self.sh("uname -r; cat /proc/cpuinfo | grep -c User.Mode")
        host = subprocess.run(["uname", "-r"], capture_output=True, text=True, check=True).stdout.strip()
        self.assertNotEqual(inside.split()[0], host)
        self.assertEqual(inside.split()[1], "1")

    def test_exit_codes(self):
        self.hull("run", "--rm", "demo", "sh", "-c", "exit 42", code=42)
        self.assertIn("executable file not found", self.hull("run", "--rm", "demo", "nosuch", code=127).err)
        self.assertIn("permission denied", self.hull("run", "--rm", "demo", "/etc/passwd", code=126).err)
        self.hull("run", "--rm", "--init", "demo", "sh", "-c", "kill -TERM $$", code=143)

    def test_streams(self):
        data = bytes(range(256)) * 2000
        done = self.hull("run", "--rm", "-i", "demo", "cat", input=data)
        self.assertEqual(done.stdout, data)
        done = self.hull("run", "--rm", "demo", "sh", "-c", "echo out; echo err >&2")
        self.assertEqual((done.out, done.err), ("out\n", "err\n"))

    def test_what_it_cannot_do_is_refused(self):
        self.hull("run", "-d", "--name", "other", "demo", "sleep", "600")
        for flags in (("--network", "host"), ("--network", "container:other"), ("--pid", "host"), ("--pid", "container:other"),
                      ("--ipc", "host"), ("--uts", "host"), ("--device", "/dev/null:/dev/x")):
            err = self.hull("run", "--rm", *flags, "demo", "true", code=125).err
            self.assertIn("a kernel of its own", err)
            self.assertIn("try:", err)

    def test_a_paused_kernel_answers_nobody(self):
        self.hull("run", "-d", "--name", "still", "demo", "sleep", "600")
        self.hull("pause", "still")
        for words in (("cp", "still:/etc/passwd", "-"), ("top", "still")):
            err = self.hull(*words, code=1).err
            self.assertIn("is paused", err)
            self.assertIn("hull unpause still", err)
        self.hull("unpause", "still")
        self.assertIn("sleep 600", self.hull.out("top", "still"))

    def test_memory(self):
        self.hull("run", "--name", "hog", "-m", "32m", "demo", "sh", "-c", "x=a; while :; do x=$x$x; done", code=137)
        self.assertEqual(self.hull.out("inspect", "-f", "{{.State.OOMKilled}}", "hog"), "true")


if __name__ == "__main__":
    main()
