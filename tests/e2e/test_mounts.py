#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""-v with host paths, --mount, --tmpfs: options, owners, propagation, refusals."""
import os
import pathlib
import subprocess
import tempfile

from lib.hull import HullTest, main


# What another isolation level does not do, and why.
DIFFERS = {
    "sandbox": {
        "test_propagation": "mounts of the host's do not appear in another kernel",
    },
}


class Mounts(HullTest):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="mounts-", dir=self.hull.dir))
        self.dir.chmod(0o755)
        (self.dir / "file").write_text("host\n")
        self.ours = []

    def sh(self, script, *flags, image="demo", **kwargs):
        return self.hull.out("run", "--rm", "--network", "none", *flags, image, "sh", "-c", script, **kwargs)

    def refused(self, *flags, code=125):
        return self.hull("run", "--rm", "--network", "none", *flags, "demo", "true", code=code).err

    def mounted(self, path):
        subprocess.run(["mount", "-t", "tmpfs", "t", path], check=True)
        self.ours.append(path)

    def tearDown(self):
        for path in reversed(self.ours):
            subprocess.run(["umount", "-l", path], check=False, capture_output=True)
        super().tearDown()

    # ---- -v

    def test_missing_host_path_is_made_for_v_alone(self):
        self.assertEqual(self.sh("ls /m", "-v", f"{self.dir}/new/deep:/m"), "")
        self.assertTrue((self.dir / "new/deep").is_dir())
        err = self.refused("--mount", f"type=bind,src={self.dir}/none,dst=/m")
        self.assertIn(f'invalid mount config for type "bind": bind source path does not exist: {self.dir}/none', err)
        self.assertFalse((self.dir / "none").exists())
        self.sh("true", "--mount", f"type=bind,src={self.dir}/made,dst=/m,bind-create-src")
        self.assertTrue((self.dir / "made").is_dir())
        self.assertEqual(self.hull.out("ps", "-aq"), "")

    def test_single_file(self):
        self.assertEqual(self.sh("cat /etc/passwd; stat -c %F /etc/passwd", "-v", f"{self.dir}/file:/etc/passwd").splitlines(),
                         ["host", "regular file"])
        self.assertEqual(self.sh("cat /new/place/f; echo more >> /new/place/f", "-v", f"{self.dir}/file:/new/place/f"), "host")
        self.assertEqual((self.dir / "file").read_text(), "host\nmore\n")
        self.assertIn("not a directory", self.refused("-v", f"{self.dir}/file:/tmp"))
        self.assertIn("Read-only", self.sh("(echo x > /f) 2>&1; true", "-v", f"{self.dir}/file:/f:ro"))

    def test_relative_path(self):
        self.assertEqual(self.sh("cat /m/file", "-v", "./:/m", cwd=self.dir), "host")
        self.assertEqual(self.sh("cat /m/file", "--mount", "type=bind,src=.,dst=/m", cwd=self.dir), "host")

    def test_read_only_reaches_what_is_mounted_below(self):
        (self.dir / "sub").mkdir()
        self.mounted(self.dir / "sub")
        self.assertIn("Read-only", self.sh("touch /m/sub/x 2>&1; true", "-v", f"{self.dir}:/m:ro"))
        src = f"type=bind,src={self.dir},dst=/m,readonly"
        self.assertIn("Read-only", self.sh("touch /m/sub/x 2>&1; true", "--mount", src))
        self.assertEqual(self.sh("touch /m/sub/x 2>&1; touch /m/y 2>&1 | grep -c Read-only", "--mount", src + ",bind-recursive=writable"), "1")
        self.assertTrue((self.dir / "sub/x").exists())
        self.assertEqual(self.sh("ls /m/sub", "--mount", f"type=bind,src={self.dir},dst=/m,bind-recursive=disabled"), "")
        self.assertEqual(self.sh("ls /m/sub", "--mount", f"type=bind,src={self.dir},dst=/m"), "x")

    def test_owners(self):
        os.chown(self.dir, 1000, 1000)
        os.chown(self.dir / "file", 33, 44)
        out = self.sh("stat -c %u:%g /m /m/file; touch /m/own && stat -c %u:%g /m/own", "-v", f"{self.dir}:/m", "-u", "user")
        self.assertEqual(out.split(), ["1000:1000", "33:44", "1000:1000"])
        st = (self.dir / "own").stat()
        self.assertEqual((st.st_uid, st.st_gid), (1000, 1000))
        # The walls between users hold inside as outside.
        os.chmod(self.dir / "file", 0o600)
        self.assertIn("Permission denied", self.sh("cat /m/file 2>&1; true", "-v", f"{self.dir}:/m", "-u", "user"))

    def test_idmap_is_kept_or_refused(self):
        os.chown(self.dir / "file", 33, 44)
        stat = "stat -c %u:%g /m/file; touch /m/own; stat -c %u:%g /m/own"
        for words in (("-v", f"{self.dir}:/m:idmap"), ("--mount", f"type=bind,src={self.dir},dst=/m,idmap")):
            self.assertEqual(self.sh(stat, *words).split(), ["33:44", "0:0"])
            self.assertEqual(((self.dir / "own").stat().st_uid, (self.dir / "own").stat().st_gid), (0, 0))
            (self.dir / "own").unlink()
        self.sh("touch /m/file /m/own; chown 5:6 /m/own", "-v", "mapped:/m:idmap")
        self.assertEqual(self.sh("stat -c %u:%g /m/file /m/own", "-v", "mapped:/m:idmap").split(), ["0:0", "5:6"])
        self.hull("volume", "rm", "mapped")
        # A file system that cannot is shown as it is where nobody insists, and refused where somebody does.
        self.sh("ls /m", "-v", "/proc/sys:/m")
        self.assertIn("/proc/sys", self.refused("-v", "/proc/sys:/m:idmap"))

    def test_u_hands_over(self):
        (self.dir / "below").mkdir()
        (self.dir / "below/link").symlink_to("/etc/passwd")
        before = os.stat("/etc/passwd")
        self.sh("touch /m/below/x", "-v", f"{self.dir}:/m:U", "-u", "1234:77")
        for path in (self.dir, self.dir / "file", self.dir / "below/x"):
            self.assertEqual((path.stat().st_uid, path.stat().st_gid), (1234, 77))
        self.assertEqual((self.dir / "below/link").lstat().st_uid, 1234)
        self.assertEqual(os.stat("/etc/passwd").st_uid, before.st_uid)
        self.assertIn("is not allowed", self.refused("-v", "/etc:/m:U"))
        self.sh("touch /v/x", "-v", "uu:/v:U", "-u", "1234")
        self.hull("volume", "rm", "uu")

    def test_labels_are_accepted(self):
        for mode in ("z", "Z", "ro,z", "rw,Z", "cached", "delegated", "consistent"):
            self.assertEqual(self.sh("cat /m/file", "-v", f"{self.dir}:/m:{mode}"), "host")

    def test_bad_specifications(self):
        for flags, message in (
                (("-v", f"{self.dir}:relative"), "mount path must be absolute"),
                (("-v", f"{self.dir}:/"), "destination can't be '/'"),
                (("-v", f"{self.dir}:/m:bogus"), "invalid mode: bogus"),
                (("-v", "a:b:c:d"), "invalid volume specification"),
                (("-v", "bad/name:/m"), "includes invalid characters"),
                (("-v", f"{self.dir}:/m", "-v", "/tmp:/m/"), "Duplicate mount point: /m"),
                (("--mount", "type=bind,dst=/m"), "invalid mount config"),
                (("--mount", "type=what,dst=/m"), 'mount type unknown: "what"'),
                (("--mount", "type=volume,src=x"), "target is required"),
                (("--mount", "type=tmpfs,dst=/m,volume-nocopy"), "cannot mix"),
                (("--mount", f"type=bind,src={self.dir},dst=/m,nonsense=1"), "nonsense"),
                (("--mount", f"type=bind,src={self.dir},dst=/m,bind-recursive=readonly"), "requires 'readonly'"),
                (("--tmpfs", "relative"), "mount path must be absolute")):
            self.assertIn(message, self.refused(*flags, code=125), flags)
        self.assertEqual(self.hull.out("ps", "-aq"), "")

    def test_order_of_nested_mounts(self):
        (self.dir / "b").mkdir()
        (self.dir / "b/inner").write_text("inner")
        out = self.sh("ls /a; cat /a/x/y/inner", "-v", f"{self.dir}/b:/a/x/y", "--tmpfs", "/a", "-v", "nest:/a/x")
        self.assertEqual(out.split(), ["x", "inner"])
        out = self.sh("cat /etc/hostname", "-v", "etc:/etc", "--hostname", "named")
        self.assertEqual(out, "named")
        self.hull("volume", "rm", "nest", "etc")

    # ---- propagation

    def test_propagation(self):
        self.mounted(self.dir)
        subprocess.run(["mount", "--make-private", self.dir], check=True)
        for mode in ("shared", "rshared", "slave", "rslave"):
            self.assertIn("but it is not a shared", self.refused("-v", f"{self.dir}:/m:{mode}"))
        subprocess.run(["mount", "--make-shared", self.dir], check=True)
        (self.dir / "in").mkdir()
        (self.dir / "out").mkdir()
        for mode, arrives in (("rslave", True), ("rshared", True), ("rprivate", False)):
            for flags in (("-v", f"{self.dir}:/m:{mode}"), ("--mount", f"type=bind,src={self.dir},dst=/m,bind-propagation={mode}")):
                self.hull("run", "-d", "--privileged", "--name", "pp", *flags, "demo", "sleep", "60")
                self.mounted(self.dir / "in")
                (self.dir / "in/there").touch()
                self.assertEqual(self.hull.out("exec", "pp", "ls", "/m/in"), "there" if arrives else "", mode)
                self.hull("exec", "pp", "mount", "-t", "tmpfs", "t", "/m/out")
                self.assertEqual(os.path.ismount(self.dir / "out"), mode == "rshared", mode)
                subprocess.run(["umount", "-l", self.dir / "out"], check=False, capture_output=True)
                self.hull("rm", "-f", "pp")
                subprocess.run(["umount", "-l", self.dir / "in"], check=True)

    # ---- tmpfs

    def options(self, where, *flags):
        line = self.sh(f"grep ' {where} ' /proc/mounts", *flags).split()
        return line[2], set(line[3].split(","))

    def test_tmpfs(self):
        kind, options = self.options("/t", "--tmpfs", "/t")
        self.assertEqual(kind, "tmpfs")
        self.assertLessEqual({"rw", "nosuid", "nodev", "noexec"}, options)
        _, options = self.options("/t", "--tmpfs", "/t:rw,exec,size=2m,mode=1770,uid=1000,gid=1000")
        self.assertNotIn("noexec", options)
        self.assertIn("size=2048k", options)
        out = self.sh("stat -c '%a %u:%g' /t", "--tmpfs", "/t:mode=1770,uid=1000,gid=1000")
        self.assertEqual(out, "1770 1000:1000")
        _, options = self.options("/t", "--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700")
        self.assertLessEqual({"size=1024k", "mode=700"}, options)
        self.assertIn("Read-only", self.sh("touch /t/x 2>&1; true", "--mount", "type=tmpfs,dst=/t,readonly"))
        self.assertIn("No space", self.sh("dd if=/dev/zero of=/t/x bs=1M count=3 2>&1; true", "--tmpfs", "/t:size=1m"))

    def test_shm_size(self):
        for flag, size in (((), "65536k"), (("--shm-size", "8m"), "8192k"), (("--shm-size", "1g"), "1048576k")):
            kind, options = self.options("/dev/shm", *flag)
            self.assertEqual(kind, "tmpfs")
            self.assertIn(f"size={size}", options)
        self.assertEqual(self.sh("touch /dev/shm/f && ls /dev/shm", "--ipc", "none", "--tmpfs", "/dev/shm"), "f")

    def test_read_only_root(self):
        out = self.sh("for d in / /etc /root /dev /proc /sys; do touch $d/x 2>/dev/null && echo $d; done; "
                      "touch /dev/shm/x /tmp/x /v/x && echo fine", "--read-only", "--tmpfs", "/tmp", "-v", "/v")
        self.assertEqual(out.split()[-1], "fine")
        self.assertNotIn("/etc", out)
        # Places to mount on are made all the same.
        self.assertEqual(self.sh("cat /not/there/file", "--read-only", "-v", f"{self.dir}:/not/there"), "host")

    def test_all_keys(self):
        self.assertEqual(self.sh("cat /l/f; touch /k/x 2>&1 | grep -c Read-only", "--mount",
                                 "type=volume,source=keys,destination=/k,ro=true,volume-label=a=b,volume-driver=local,consistency=cached",
                                 "--mount", f"type=bind,source={self.dir}/file,target=/l/f,bind-nonrecursive=true"), "host\n1")
        self.assertEqual(self.hull.out("volume", "inspect", "-f", "{{.Labels.a}}", "keys"), "b")
        self.hull("volume", "rm", "keys")
        self.assertEqual(self.sh("cat /q/file", "--mount", f'"type=bind","src={self.dir}","dst=/q"'), "host")

    # ---- a neighbour that swaps links

    def test_links_on_the_host_side(self):
        (self.dir / "alias").symlink_to(self.dir / "file")
        self.assertEqual(self.sh("cat /a", "-v", f"{self.dir}/alias:/a"), "host")

    def test_shared_folder_with_swapped_target(self):
        """A destination below a shared folder that is being swapped for a link."""
        (self.dir / "d").mkdir()
        self.hull("run", "-d", "--name", "racer", "-v", f"{self.dir}:/s", "demo", "sh", "-c",
                  "mkdir /s/real; ln -s /../../../../../../tmp/raced /s/fake; while :; do mv -T /s/fake /s/t; mv -T /s/t /s/fake; "
                  "mv -T /s/real /s/t; mv -T /s/t /s/real; done 2>/dev/null")
        for _ in range(30):
            self.hull("run", "--rm", "--network", "none", "-v", f"{self.dir}:/s", "-v", f"{self.dir}/d:/s/t", "demo", "true", code=None)
        self.assertFalse(os.path.lexists("/tmp/raced"))
        self.hull("rm", "-f", "racer")


if __name__ == "__main__":
    main()
