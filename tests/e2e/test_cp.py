#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cp, both ways: Docker's table of what goes where, and containers that try to
have files of the host read or written."""
import io
import os
import pathlib
import stat
import subprocess
import tarfile
import unittest

from lib.hull import HullTest, main


class Copy(HullTest):
    """Every rule in a running and in a stopped container."""

    def setUp(self):
        self.host = pathlib.Path(self.hull.dir) / ("h-" + self.id().rsplit(".", 1)[1])
        self.host.mkdir()
        (self.host / "file").write_text("host file\n")
        (self.host / "dir" / "sub").mkdir(parents=True)
        (self.host / "dir" / "a").write_text("a\n")
        (self.host / "dir" / "sub" / "b").write_text("b\n")
        (self.host / "link").symlink_to("file")

    PREPARE = ("mkdir -p /c/dir/sub /c/empty; echo container file > /c/file; echo a > /c/dir/a; echo b > /c/dir/sub/b; ln -s file /c/link;"
               "ln -s dir /c/dirlink; ln -s /c/empty /c/to; chmod 640 /c/file; chown 1000:2000 /c/file; touch -d @1000000000 /c/file")

    def each(self, *flags):
        """A container that runs, and one that does not."""
        for state in ("running", "stopped"):
            name = f"{state}-{self.id().rsplit('.', 1)[1]}".replace("_", "-")
            script = self.PREPARE + ("; touch /ready; exec sleep 600" if state == "running" else "; touch /ready")
            self.hull("run", "-d", "--name", name, "--network", "none", *flags, "demo", "sh", "-c", script)
            if state == "running":
                self.eventually(lambda: self.hull("exec", name, "test", "-e", "/ready", code=None).returncode == 0)
            else:
                self.hull("wait", name)
            yield name

    def cat(self, name, path):
        """Without cp: from the tar of the whole."""
        with tarfile.open(fileobj=io.BytesIO(self.hull("export", name).stdout)) as tar:
            return tar.extractfile(path.lstrip("/")).read().decode()

    def listing(self, name, below):
        below = below.lstrip("/")
        with tarfile.open(fileobj=io.BytesIO(self.hull("export", name).stdout)) as tar:
            return sorted(n[len(below) + 1:] for n in tar.getnames() if n.startswith(below + "/"))

    # ---- out of the container

    def test_file_out(self):
        for name in self.each():
            to = self.host / name
            to.mkdir()
            self.hull("cp", f"{name}:/c/file", to)
            self.hull("cp", f"{name}:c/file", to / "renamed")
            self.hull("cp", f"{name}:/c/../c/file", to / "renamed")
            for f in ("file", "renamed"):
                self.assertEqual((to / f).read_text(), "container file\n")
                st = (to / f).stat()
                self.assertEqual((stat.S_IMODE(st.st_mode), st.st_uid, int(st.st_mtime)), (0o640, os.geteuid(), 1000000000))
            self.hull("cp", "-a", f"{name}:/c/file", to / "owned")
            st = (to / "owned").stat()
            self.assertEqual((st.st_uid, st.st_gid), (1000, 2000))

    def test_directory_out(self):
        for name in self.each():
            to = self.host / name
            to.mkdir()
            tree = lambda d: sorted(str(p.relative_to(d)) for p in d.rglob("*"))
            self.hull("cp", f"{name}:/c/dir", to)
            self.assertEqual(tree(to), ["dir", "dir/a", "dir/sub", "dir/sub/b"])
            self.hull("cp", f"{name}:/c/dir", to / "new")
            self.assertEqual(tree(to / "new"), ["a", "sub", "sub/b"])
            self.hull("cp", f"{name}:/c/dir/.", to / "dots")
            self.assertEqual(tree(to / "dots"), ["a", "sub", "sub/b"])
            (to / "there").mkdir()
            (to / "there" / "kept").write_text("")
            self.hull("cp", f"{name}:/c/dir/.", to / "there")
            self.assertEqual(tree(to / "there"), ["a", "kept", "sub", "sub/b"])
            self.hull("cp", f"{name}:/c/dir/", to / "there")
            self.assertIn("dir/sub/b", tree(to / "there"))

    def test_links_out(self):
        for name in self.each():
            to = self.host / name
            to.mkdir()
            self.hull("cp", f"{name}:/c/link", to)
            self.assertEqual(os.readlink(to / "link"), "file")
            self.hull("cp", "-L", f"{name}:/c/link", to / "followed")
            self.assertEqual((to / "followed").read_text(), "container file\n")
            self.assertFalse((to / "followed").is_symlink())
            self.hull("cp", f"{name}:/c/dirlink/a", to)
            self.assertEqual((to / "a").read_text(), "a\n")
            self.hull("cp", "-L", f"{name}:/c/dirlink", to)
            self.assertEqual((to / "dirlink" / "sub" / "b").read_text(), "b\n")

    def test_stream_out(self):
        for name in self.each():
            with tarfile.open(fileobj=io.BytesIO(self.hull("cp", f"{name}:/c/dir", "-").stdout)) as tar:
                self.assertEqual(sorted(tar.getnames()), ["dir", "dir/a", "dir/sub", "dir/sub/b"])
            with tarfile.open(fileobj=io.BytesIO(self.hull("cp", f"{name}:/c/dir/.", "-").stdout)) as tar:
                self.assertEqual(sorted(tar.getnames()), [".", "./a", "./sub", "./sub/b"])

    # ---- into the container

    def test_file_in(self):
        for name in self.each():
            self.hull("cp", self.host / "file", f"{name}:/c")
            self.hull("cp", self.host / "file", f"{name}:/c/new")
            self.hull("cp", self.host / "file", f"{name}:/c/to/")
            self.hull("cp", self.host / "file", f"{name}:/c/link2")
            self.hull("cp", self.host / "link", f"{name}:/c/linked")
            self.hull("cp", "-L", self.host / "link", f"{name}:/c/followed")
            for path in ("/c/file", "/c/new", "/c/empty/file", "/c/followed"):
                self.assertEqual(self.cat(name, path), "host file\n", path)

    def test_owner_in(self):
        os.chown(self.host / "file", 1234, 5678)
        for name in self.each():
            self.hull("cp", self.host / "file", f"{name}:/c/roots")
            self.hull("cp", "-a", self.host / "file", f"{name}:/c/owned")
            with tarfile.open(fileobj=io.BytesIO(self.hull("export", name).stdout)) as tar:
                self.assertEqual([(tar.getmember(p).uid, tar.getmember(p).gid) for p in ("c/roots", "c/owned")], [(0, 0), (1234, 5678)])

    def test_over_a_link(self):
        for name in self.each():
            self.hull("cp", self.host / "file", f"{name}:/c/link")
            self.assertEqual(self.cat(name, "/c/file"), "host file\n")
            with tarfile.open(fileobj=io.BytesIO(self.hull("export", name).stdout)) as tar:
                self.assertTrue(tar.getmember("c/link").issym())

    def test_directory_in(self):
        for name in self.each():
            self.hull("cp", self.host / "dir", f"{name}:/c/empty")
            self.assertEqual(self.listing(name, "/c/empty"), ["dir", "dir/a", "dir/sub", "dir/sub/b"])
            self.hull("cp", self.host / "dir", f"{name}:/c/new")
            self.assertEqual(self.listing(name, "/c/new"), ["a", "sub", "sub/b"])
            self.hull("cp", f"{self.host}/dir/.", f"{name}:/c/dir")
            self.assertEqual(self.listing(name, "/c/dir"), ["a", "sub", "sub/b"])

    def test_stream_in(self):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            tar.add(self.host / "dir", "d")
        for name in self.each():
            self.hull("cp", "-", f"{name}:/c/empty", input=data.getvalue())
            self.assertEqual(self.listing(name, "/c/empty"), ["d", "d/a", "d/sub", "d/sub/b"])
            self.assertIn("must be a directory", self.hull("cp", "-", f"{name}:/c/file", input=data.getvalue(), code=1).err)
            self.assertIn("must be a directory", self.hull("cp", "-", f"{name}:/nowhere", input=data.getvalue(), code=1).err)

    def test_created_container(self):
        self.hull("create", "--name", "born", "--network", "none", "-v", "cpvol:/data", "demo", "cat", "/etc/new", "/data/new")
        self.hull("cp", self.host / "file", "born:/etc/new")
        self.hull("volume", "inspect", "cpvol")
        self.hull("cp", self.host / "file", "born:/data/new")
        self.assertEqual(self.hull.out("start", "-a", "born"), "host file\nhost file")
        self.hull("rm", "-v", "born")
        self.hull("volume", "rm", "cpvol")

    def test_volumes_and_binds(self):
        (self.host / "bound").mkdir()
        for name in self.each("-v", f"{self.host}/bound:/bound", "-v", "/anonymous"):
            self.hull("cp", self.host / "file", f"{name}:/bound/{name}")
            self.assertEqual((self.host / "bound" / name).read_text(), "host file\n")
            self.assertEqual((self.host / "bound" / name).stat().st_uid, 0)
            self.hull("cp", self.host / "file", f"{name}:/anonymous/x")
            self.hull("cp", f"{name}:/anonymous/x", self.host / ("from-" + name))
            self.hull("rm", "-fv", name)

    def test_round_trip_keeps_what_a_file_is(self):
        big = self.host / "tree"
        big.mkdir()
        (big / ("n" * 200)).write_text("long")
        (big / "sparse").touch()
        os.truncate(big / "sparse", 3 << 20)
        (big / "exec").write_text("#!/bin/sh\n")
        (big / "exec").chmod(0o4755)
        os.link(big / "exec", big / "hard")
        os.mkfifo(big / "pipe")
        os.setxattr(big / "exec", "user.note", b"kept")
        for name in self.each():
            self.hull("cp", "-a", big, f"{name}:/back")
            self.hull("cp", "-a", f"{name}:/back", self.host / name)
            back = self.host / name
            self.assertEqual((back / "sparse").stat().st_size, 3 << 20)
            self.assertEqual(stat.S_IMODE((back / "exec").stat().st_mode), 0o4755)
            self.assertEqual((back / "exec").stat().st_ino, (back / "hard").stat().st_ino)
            self.assertTrue(stat.S_ISFIFO((back / "pipe").stat().st_mode))
            self.assertEqual(os.getxattr(back / "exec", "user.note"), b"kept")
            self.assertEqual((back / ("n" * 200)).read_text(), "long")

    # ---- wrong ones

    def test_errors(self):
        for name in self.each():
            for args, words in (
                    ((f"{name}:/nowhere", self.host), f"Could not find the file /nowhere in container {name}"),
                    ((self.host / "file", f"{name}:/no/where"), f"Could not find the file /no/where in container {name}"),
                    ((self.host / "file", f"{name}:/nowhere/"), f"Could not find the file /nowhere/ in container {name}"),
                    ((self.host / "dir", f"{name}:/c/file"), "cannot copy directory"),
                    ((self.host / "file", f"{name}:/c/file/"), "Not a directory"),
                    ((f"{name}:/c/dir", self.host / "file"), "cannot copy directory"),
                    ((f"{name}:/c/file", f"{self.host}/none/file"), "no such directory"),
                    ((f"{name}:/c/file/", self.host), "Not a directory"),
                    ((self.host / "missing", f"{name}:/c"), "No such file or directory"),
                    ((f"{name}:", self.host), "source can not be empty"),
                    ((f"{name}:/c/file", f"{name}:/c/x"), "copying between containers is not supported"),
                    (("a", "b"), "must specify at least one container source"),
                    ((self.host / "file", "nobody:/x"), "No such container: nobody")):
                self.assertIn(words, self.hull("cp", *args, code=1).err, args)
            # A directory where a file is, below.
            (self.host / "deep" / "file").mkdir(parents=True, exist_ok=True)
            self.assertIn("cannot overwrite", self.hull("cp", f"{self.host}/deep/.", f"{name}:/c", code=1).err)
            self.assertEqual(self.cat(name, "/c/file"), "container file\n")

    def test_read_only_container(self):
        for state in ("running", "stopped"):
            name = "ro-" + state
            self.hull("run", "-d", "--name", name, "--network", "none", "--read-only", "demo", "sleep", "600" if state == "running" else "0")
            if state == "stopped":
                self.hull("wait", name)
            self.assertIn("container rootfs is marked read-only", self.hull("cp", self.host / "file", f"{name}:/", code=1).err)
            self.hull("cp", f"{name}:/etc/passwd", self.host / name)

    # ---- hostile ones

    def test_links_do_not_lead_out(self):
        secret = self.host / "secret"
        secret.write_text("the host's")
        for name in self.each():
            self.hull("cp", self.hull_script(f"ln -s {self.host} /up; ln -s /../../../../../..{self.host}/secret /leaf"), f"{name}:/s")
            self.run_in(name, "sh /s")
            for path in ("/up/secret", "/leaf", f"/../../../../..{secret}", "/proc/1/root" + str(secret), "/proc/self/root" + str(secret)):
                done = self.hull("cp", "-L", f"{name}:{path}", self.host / "got", code=1)
                self.assertIn("Could not find", done.err, path)
            self.hull("cp", self.host / "file", f"{name}:/up/secret", code=1)
            self.hull("cp", self.host / "file", f"{name}:/leaf", code=1)
            self.assertEqual(secret.read_text(), "the host's")

    def hull_script(self, text):
        (self.host / "script").write_text(text)
        return self.host / "script"

    def run_in(self, name, command):
        """In the running one; for the other its changes are made by starting an image of it."""
        if name.startswith("running"):
            self.hull("exec", name, "sh", "-c", command)
            return
        self.hull("commit", name, "hostile")
        self.hull("rm", name)
        self.hull("run", "--name", name, "--network", "none", "hostile", "sh", "-c", command)

    def test_links_swapped_meanwhile(self):
        secret = self.host / "etc"
        secret.mkdir()
        (secret / "file").write_text("the host's")
        script = (f"mkdir /d /real; echo inside > /real/file; touch /ready; while :; do ln -sfn {secret} /d/x; ln -sfn /real /d/x; done")
        self.hull("run", "-d", "--name", "racer", "--network", "none", "demo", "sh", "-c", script)
        self.eventually(lambda: self.hull("exec", "racer", "test", "-e", "/ready", code=None).returncode == 0)
        for i in range(30):
            done = self.hull("cp", "racer:/d/x/file", self.host / "out", code=None)
            if done.returncode == 0:
                self.assertEqual((self.host / "out").read_text(), "inside\n")
            self.hull("cp", self.host / "file", "racer:/d/x/new", code=None)
        self.assertEqual(sorted(p.name for p in secret.iterdir()), ["file"])
        self.assertEqual((secret / "file").read_text(), "the host's")

    def test_nobody_inside_sees_the_copying(self):
        self.hull("run", "-d", "--name", "watch", "--network", "none", "demo", "sleep", "600")
        # One shell that starts nothing: sleep and itself.
        see = ("exec", "watch", "sh", "-c", "set -- /proc/[0-9]*; echo $#")
        big = os.urandom(8 << 20)
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            info = tarfile.TarInfo("big")
            info.size = len(big)
            tar.addfile(info, io.BytesIO(big))
        tar = stream.getvalue()
        # It stops half-way, and somebody looks.
        copy = self.hull.start("cp", "-", "watch:/", stdin=subprocess.PIPE)
        copy.stdin.write(tar[:len(tar) // 2])
        copy.stdin.flush()
        self.eventually(lambda: self.hull("exec", "watch", "test", "-s", "/big", code=None).returncode == 0, 60)
        self.assertEqual(self.hull.out(*see), "2")
        _, err = copy.communicate(tar[len(tar) // 2:], timeout=60)
        self.assertEqual((copy.returncode, err), (0, b""))
        self.assertEqual(self.hull.out(*see), "2")
        # The other way it waits for its reader.
        copy = self.hull.start("cp", "watch:/big", "-", bufsize=0)
        back = copy.stdout.read(512)
        self.assertEqual(self.hull.out(*see), "2")
        rest, err = copy.communicate(timeout=60)
        self.assertEqual((copy.returncode, err), (0, b""))
        with tarfile.open(fileobj=io.BytesIO(back + rest)) as tar:
            self.assertEqual(tar.extractfile("big").read(), big)
        self.assertEqual(self.hull.out(*see), "2")

    def test_host_user_namespace(self):
        self.hull("run", "-d", "--name", "plain", "--userns", "host", "--network", "none", "demo", "sleep", "600")
        self.hull("cp", self.host / "file", "plain:/x")
        self.assertEqual(self.hull.out("exec", "plain", "stat", "-c", "%u", "/x"), "0")
        self.hull("cp", "plain:/x", self.host / "y")

    def test_paused(self):
        self.hull("run", "-d", "--name", "frozen", "--network", "none", "demo", "sleep", "600")
        self.hull("pause", "frozen")
        self.hull("cp", self.host / "file", "frozen:/x")
        self.hull("cp", "frozen:/x", self.host / "x")
        self.hull("unpause", "frozen")


if __name__ == "__main__":
    main()
