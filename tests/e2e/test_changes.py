#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""diff, commit, export: what a container has made of its image."""
import io
import json
import subprocess
import tarfile
import unittest

from lib.hull import HullTest, main


class Changes(HullTest):
    def made(self, name, script, *flags):
        self.hull("run", "--name", name, "--network", "none", *flags, "demo", "sh", "-c", script)

    # ---- diff

    def test_a_container_that_changed_nothing(self):
        self.made("still", "true")
        self.assertEqual(self.hull.out("diff", "still"), "")
        self.hull("create", "--name", "never", "demo")
        self.assertEqual(self.hull.out("diff", "never"), "")

    def test_added_changed_deleted(self):
        self.made("busy", "mkdir -p /a/b; echo x > /a/b/c; echo y >> /etc/passwd; rm /etc/group; rm -r /home/user; ln -s x /link;"
                          " chmod 700 /var; touch /tmp/t; mknod /pipe p")
        self.assertEqual(self.hull.out("diff", "busy").splitlines(), [
            "A /a", "A /a/b", "A /a/b/c", "C /etc", "D /etc/group", "C /etc/passwd", "C /home", "D /home/user", "A /link",
            "A /pipe", "C /tmp", "A /tmp/t", "C /var"])

    def test_mounts_are_no_changes(self):
        self.made("mounts", "echo x > /new/file", "--tmpfs", "/new", "-v", "vol:/deep/er")
        self.assertNotIn("/new", self.hull.out("diff", "mounts"))
        self.hull("volume", "rm", "-f", "vol", code=None)

    def test_a_directory_made_anew_hides_the_old_one(self):
        self.made("again", "rm -r /home; mkdir /home; echo x > /home/mine")
        self.assertEqual(self.hull.out("diff", "again").splitlines()[-1], "A /home/mine")
        self.hull("commit", "again", "opaque")
        self.assertEqual(self.hull.out("run", "--rm", "--network", "none", "opaque", "ls", "/home"), "mine")

    # ---- commit

    def test_commit_keeps_files_owners_and_settings(self):
        self.made("base", "echo hi > /hi; chown 1000:2000 /hi; chmod 4750 /hi; ln /hi /hard; rm /etc/group",
                  "-e", "A=1", "-u", "0", "-w", "/tmp", "--label", "who=me", "--expose", "80")
        id = self.hull.out("commit", "-a", "Me", "-m", "why", "-c", "ENV B=2", "-c", 'CMD ["cat", "/hi"]', "base", "made:v1")
        self.assertRegex(id, "^sha256:[0-9a-f]{64}$")
        self.assertEqual(self.hull.out("run", "--rm", "made:v1"), "hi")
        out = self.hull.out("run", "--rm", "made:v1", "sh", "-c",
                            "stat -c '%a %u %g %h' /hi; ls /etc/group 2>/dev/null; echo $A$B; pwd; ls -A /dev/ptmx")
        self.assertEqual(out.splitlines(), ["4750 1000 2000 2", "12", "/tmp", "/dev/ptmx"])
        info = json.loads(self.hull.out("image", "inspect", "made:v1"))[0]
        self.assertEqual(info["Author"], "Me")
        self.assertEqual(info["Config"]["Labels"]["who"], "me")
        self.assertIn("80/tcp", info["Config"]["ExposedPorts"])
        self.assertEqual(len(info["RootFS"]["Layers"]), 2)
        self.assertIn("why", self.hull.out("history", "made:v1"))

    def test_the_layer_holds_the_changes_only(self):
        self.made("small", "echo x > /x")
        self.hull("commit", "small", "small")
        with tarfile.open(fileobj=io.BytesIO(self.hull("save", "small").stdout)) as tar:
            layer = json.load(tar.extractfile("manifest.json"))[0]["Layers"][-1]
            data = tar.extractfile(layer).read()
        if data[:4] == b"\x28\xb5\x2f\xfd":
            data = subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            self.assertEqual({name.strip("/") for name in tar.getnames()} - {"etc"}, {"x"})

    def test_commit_of_a_running_container(self):
        self.hull("run", "-d", "--name", "live", "--network", "none", "demo", "sh", "-c", "echo a > /a; sleep 60")
        self.eventually(lambda: "/a" in self.hull.out("diff", "live"))
        self.hull("commit", "live", "live:1")
        self.assertEqual(self.hull.out("inspect", "-f", "{{.State.Status}}", "live"), "running")
        self.hull("commit", "--pause=false", "live", "live:2")
        self.assertEqual(self.hull.out("run", "--rm", "live:2", "cat", "/a"), "a")

    def test_commit_of_one_that_never_ran(self):
        self.hull("create", "--name", "never", "demo", "echo", "as", "created")
        self.hull("commit", "never", "fresh")
        self.assertEqual(self.hull.out("run", "--rm", "fresh"), "as created")

    def test_commit_on_a_commit(self):
        self.made("one", "echo 1 > /n")
        self.hull("commit", "one", "one")
        self.hull("run", "--name", "two", "--network", "none", "one", "sh", "-c", "echo 2 >> /n; rm /bin/vi")
        self.hull("commit", "two", "two")
        self.assertEqual(self.hull.out("run", "--rm", "two", "sh", "-c", "cat /n; ls /bin/vi 2>/dev/null | wc -l").split(), ["1", "2", "0"])
        self.hull("rmi", "-f", "two", "one")

    def test_bad_commits(self):
        self.assertIn("No such container: nobody", self.hull("commit", "nobody", "x", code=1).err)
        self.made("some", "true")
        self.assertIn("invalid reference format", self.hull("commit", "some", "UPPER", code=1).err)
        self.hull("commit", "-c", "NONSENSE x", "some", "x", code=1)

    # ---- export

    def test_export_is_the_whole_tree(self):
        self.made("whole", "echo x > /x; rm /etc/group; echo y > /vol/y", "--tmpfs", "/vol")
        with tarfile.open(fileobj=io.BytesIO(self.hull("export", "whole").stdout)) as tar:
            names = set(tar.getnames())
            self.assertEqual(tar.extractfile("x").read(), b"x\n")
        self.assertIn("bin/busybox", names)
        self.assertNotIn("etc/group", names)
        self.assertNotIn("vol/y", names)

    def test_export_to_a_file_and_back(self):
        self.made("there", "echo x > /x")
        path = self.hull.dir / "out.tar"
        self.hull("export", "-o", path, "there")
        self.hull("import", path, "back")
        self.assertEqual(self.hull.out("run", "--rm", "back", "cat", "/x"), "x")
        path.unlink()
        self.hull("export", "-o", path, "nobody", code=1)
        self.assertEqual(list(self.hull.dir.glob("out.tar*")), [])

    def test_files_that_try_to_lead_outside(self):
        self.made("hostile", "ln -s /proc/1/root/etc/shadow /s; ln -s ../../../../../etc /up; mkfifo /f; mkdir /d; ln -s / /d/root")
        with tarfile.open(fileobj=io.BytesIO(self.hull("export", "hostile").stdout)) as tar:
            self.assertTrue(tar.getmember("s").issym() and tar.getmember("up").issym() and tar.getmember("f").isfifo())
            self.assertFalse([name for name in tar.getnames() if name.startswith("d/root/")])


if __name__ == "__main__":
    main()
