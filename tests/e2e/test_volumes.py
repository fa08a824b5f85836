#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Volumes: copy-up, anonymous ones, the verbs, hostile images."""
import io
import json
import os
import pathlib
import subprocess
import tarfile
import unittest

from lib.hull import HullTest, busybox_tar, main


def image_with(*entries):
    """busybox and more: (name, type, mode, uid, content or link, xattrs)."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        base = tarfile.open(fileobj=io.BytesIO(busybox_tar()))
        for info in base:
            tar.addfile(info, base.extractfile(info) if info.isreg() else None)
        for name, kind, mode, uid, content, xattrs in entries:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.uid, info.gid, info.mtime = kind, mode, uid, uid + 1, 1600000000
            info.pax_headers = {f"SCHILY.xattr.{k}": v for k, v in xattrs.items()}
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = content.decode()
                tar.addfile(info)
            else:
                if kind == tarfile.CHRTYPE:
                    info.devmajor, info.devminor = 1, 7
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


class Volumes(HullTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        none = {}
        cls.hull("import", "-c", "VOLUME /data", "-c", 'CMD ["/bin/sh"]', "-", "filled", input=image_with(
            ("data", tarfile.DIRTYPE, 0o1750, 1000, b"", none),
            ("data/file", tarfile.REGTYPE, 0o4711, 33, b"content", {"user.note": "kept"}),
            ("data/hard", tarfile.LNKTYPE, 0o644, 0, b"data/file", none),
            ("data/link", tarfile.SYMTYPE, 0o777, 7, b"../etc/passwd", none),
            ("data/sub", tarfile.DIRTYPE, 0o700, 5, b"", none),
            ("data/sub/null", tarfile.CHRTYPE, 0o666, 0, b"", none),
            ("data/sub/fifo", tarfile.FIFOTYPE, 0o600, 9, b"", none),
            ("data/sub/empty", tarfile.REGTYPE, 0o600, 9, b"", none),
        ))
        cls.hull("import", "-", "hostile", input=image_with(
            ("abs", tarfile.SYMTYPE, 0o777, 0, b"/etc", none),
            ("up", tarfile.SYMTYPE, 0o777, 0, b"../../../../../../../../host-escape", none),
            ("deep", tarfile.DIRTYPE, 0o755, 0, b"", none),
            ("deep/up", tarfile.SYMTYPE, 0o777, 0, b"../../../../../../../../../../tmp/host-escape", none),
            ("dangling", tarfile.SYMTYPE, 0o777, 0, b"/nowhere/at/all", none),
            ("self", tarfile.SYMTYPE, 0o777, 0, b"/proc/self/root/../../..", none),
        ))

    def setUp(self):
        self.hull("volume", "prune", "-a", "-f")

    def sh(self, script, *flags, image="demo", **kwargs):
        return self.hull.out("run", "--rm", "--network", "none", *flags, image, "sh", "-c", script, **kwargs)

    def volumes(self):
        return self.hull.out("volume", "ls", "-q").split()

    def path(self, name):
        return pathlib.Path(self.hull.out("volume", "inspect", "-f", "{{.Mountpoint}}", name))

    # ---- copy-up

    def check_copy(self, name):
        top = self.path(name)
        st = top.stat()
        self.assertEqual((st.st_mode & 0o7777, st.st_uid, st.st_gid), (0o1750, 1000, 1001))
        st = (top / "file").stat()
        self.assertEqual((st.st_mode & 0o7777, st.st_uid, st.st_gid, st.st_nlink, int(st.st_mtime)), (0o4711, 33, 34, 2, 1600000000))
        self.assertEqual((top / "file").read_text(), "content")
        self.assertEqual(os.getxattr(top / "file", "user.note"), b"kept")
        self.assertEqual((top / "hard").stat().st_ino, st.st_ino)
        self.assertEqual(os.readlink(top / "link"), "../etc/passwd")
        self.assertEqual((top / "link").lstat().st_uid, 7)
        self.assertEqual((top / "sub").stat().st_mode & 0o7777, 0o700)
        self.assertEqual(os.major((top / "sub/null").stat().st_rdev), 1)
        self.assertTrue((top / "sub/fifo").is_fifo())
        self.assertEqual(sorted(os.listdir(top.parent)), ["_data"])

    def test_named_volume_takes_the_image_s_files(self):
        out = self.sh("stat -c '%u:%g %a' /data /data/file; cat /data/hard", "-v", "vol:/data", image="filled")
        self.assertEqual(out.splitlines(), ["1000:1001 1750", "33:34 4711", "content"])
        self.check_copy("vol")
        # Only the first time: what is there stays.
        self.sh("echo new > /data/file; rm /data/link", "-v", "vol:/data", image="filled")
        self.assertEqual(self.sh("cat /data/file; ls /data", "-v", "vol:/data", image="filled").split(), ["new", "file", "hard", "sub"])

    def test_copy_at_create(self):
        self.hull("create", "--name", "cc", "-v", "made:/data", "filled")
        self.check_copy("made")

    def test_no_copy(self):
        self.assertEqual(self.sh("ls /data", "-v", "bare:/data:nocopy", image="filled"), "")
        self.assertEqual(self.sh("ls /data", "--mount", "source=bare2,target=/data,volume-nocopy", image="filled"), "")

    def test_full_volume_is_not_filled(self):
        self.hull("volume", "create", "own")
        (self.path("own") / "mine").write_text("x")
        self.assertEqual(self.sh("ls /data", "-v", "own:/data", image="filled"), "mine")

    def test_emptied_volume_stays_empty_for_its_container(self):
        self.hull("create", "--name", "again", "-v", "once:/data", "filled", "sh", "-c", "ls /data | wc -l; rm -rf /data/*")
        self.assertEqual(self.hull.out("start", "-a", "again"), "4")
        self.assertEqual(self.hull.out("start", "-a", "again"), "0")

    def test_place_without_files(self):
        self.assertEqual(self.sh("ls /nothing | wc -l; stat -c '%u %a' /nothing", "-v", "vv:/nothing").split(), ["0", "0", "755"])

    def test_killed_copy_is_finished(self):
        self.hull("create", "--name", "kk", "-v", "kk:/data", "filled", "ls", "/data", env={"HULL_FAULT": "volume.copied:kill"}, code=None)
        self.sh("true", "-v", "kk:/data", image="filled")
        self.check_copy("kk")

    # ---- anonymous volumes

    def test_image_volume_goes_with_rm(self):
        self.sh("touch /data/x", image="filled")
        self.assertEqual(self.volumes(), [])
        self.sh("touch /other/x", "-v", "/other")
        self.assertEqual(self.volumes(), [])
        self.assertFalse((self.hull.root / "volumes/.gone").exists())

    def test_anonymous_stays_without_v(self):
        self.hull("run", "--name", "aa", "filled", "true")
        self.hull("rm", "aa")
        left = self.volumes()
        self.assertEqual(len(left), 1)
        self.assertRegex(left[0], "^[0-9a-f]{64}$")
        self.hull("run", "--name", "bb", "filled", "true")
        self.hull("rm", "-v", "bb")
        self.assertEqual(self.volumes(), left)
        self.assertIn(left[0], self.hull.out("volume", "prune", "-f"))

    def test_named_volume_survives_rm(self):
        self.hull("run", "--name", "nn", "-v", "named:/n", "demo", "true")
        self.hull("rm", "-v", "nn")
        self.sh("true", "-v", "named:/n")
        self.assertEqual(self.volumes(), ["named"])
        self.assertNotIn("named", self.hull.out("volume", "prune", "-f"))
        self.assertIn("named", self.hull.out("volume", "prune", "-a", "-f"))

    def test_mounts_are_inspected(self):
        self.hull("create", "--name", "ii", "-v", "/tmp:/bound:ro", "-v", "vol:/vol", "--mount", "type=tmpfs,dst=/t", "filled")
        mounts = {m["Destination"]: m for m in json.loads(self.hull.out("inspect", "ii"))[0]["Mounts"]}
        self.assertEqual(sorted(mounts), ["/bound", "/data", "/t", "/vol"])
        self.assertEqual({k: mounts["/bound"][k] for k in ("Type", "Source", "Mode", "RW", "Propagation")},
                         {"Type": "bind", "Source": "/tmp", "Mode": "ro", "RW": False, "Propagation": "rprivate"})
        self.assertEqual((mounts["/vol"]["Name"], mounts["/vol"]["Driver"], mounts["/vol"]["RW"]), ("vol", "local", True))
        self.assertEqual(mounts["/t"]["Type"], "tmpfs")

    # ---- --volumes-from

    def test_volumes_from(self):
        self.hull("create", "--name", "source", "-v", "shared:/s", "-v", "/anon", "-v", f"{self.hull.dir}:/host:ro", "filled")
        out = self.sh("cat /data/file; echo 1 > /s/x; echo 2 > /anon/y; touch /host/z 2>&1; true", "--volumes-from", "source")
        self.assertIn("content", out)
        self.assertIn("Read-only", out)
        # The anonymous volume is the source's: --rm of a borrower leaves it.
        self.assertEqual(self.sh("cat /s/x /anon/y", "--volumes-from", "source").split(), ["1", "2"])
        self.assertIn("Read-only", self.sh("touch /s/q 2>&1; true", "--volumes-from", "source:ro"))
        self.assertIn("mode: bad", self.hull("run", "--rm", "--volumes-from", "source:bad", "demo", "true", code=125).err)
        self.assertIn("No such container: none", self.hull("run", "--rm", "--volumes-from", "none", "demo", "true", code=125).err)
        # A borrower keeps the volume when its maker goes.
        self.hull("run", "-d", "--name", "borrower", "--volumes-from", "source", "demo", "sleep", "60")
        self.hull("rm", "-v", "source")
        self.assertEqual(self.hull.out("exec", "borrower", "cat", "/anon/y"), "2")

    # ---- the verbs

    def test_create_ls_inspect_rm(self):
        self.assertEqual(self.hull.out("volume", "create", "one", "--label", "a=b", "--label", "c"), "one")
        self.assertEqual(self.hull.out("volume", "create", "one"), "one")
        made = self.hull.out("volume", "create")
        self.assertRegex(made, "^[0-9a-f]{64}$")
        table = self.hull.out("volume", "ls").splitlines()
        self.assertEqual(table[0].split(), ["DRIVER", "VOLUME", "NAME"])
        self.assertIn("local     one", table)
        self.assertEqual(self.hull.out("volume", "ls", "-q", "-f", "label=a=b"), "one")
        self.assertEqual(self.hull.out("volume", "ls", "-q", "-f", "label=a", "-f", "label=x"), "")
        self.assertEqual(self.hull.out("volume", "ls", "--format", "{{.Name}}|{{.Driver}}|{{.Labels}}", "-f", "name=on"), "one|local|a=b,c=")
        info = json.loads(self.hull.out("volume", "inspect", "one"))[0]
        self.assertEqual(sorted(info), ["CreatedAt", "Driver", "Labels", "Mountpoint", "Name", "Options", "Scope"])
        self.assertEqual((info["Labels"], info["Options"], info["Scope"]), ({"a": "b", "c": ""}, None, "local"))
        self.assertEqual(json.loads(self.hull.out("inspect", "--type", "volume", "one"))[0], info)
        self.assertEqual(self.hull.out("volume", "rm", "one", made).split(), ["one", made])
        self.assertEqual(self.volumes(), [])
        self.assertFalse(pathlib.Path(info["Mountpoint"]).exists())

    def test_errors(self):
        done = self.hull("volume", "inspect", "nope", code=1)
        self.assertEqual(done.out, "[]\n")
        self.assertIn("get nope: no such volume", done.err)
        self.assertIn("get nope: no such volume", self.hull("volume", "rm", "nope", code=1).err)
        self.hull("volume", "rm", "-f", "nope")
        self.assertIn("includes invalid characters", self.hull("volume", "create", "a/b", code=1).err)
        self.assertIn("invalid filter", self.hull("volume", "ls", "-f", "x=y", code=1).err)
        self.assertIn("plugin \"nfs\" not found", self.hull("volume", "create", "-d", "nfs", "x", code=1).err)
        self.hull("create", "--name", "user", "-v", "used:/u", "demo")
        self.assertIn("remove used: volume is in use - [", self.hull("volume", "rm", "-f", "used", code=1).err)
        self.assertIn("used", self.hull.out("volume", "ls", "-q", "-f", "dangling=false"))
        # Asked, and not answered: nothing happens.
        self.assertIn("[y/N]", self.hull.out("volume", "prune", "-a", input="n\n"))

    def test_driver_options(self):
        self.hull("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=2m,mode=700", "ram")
        self.hull("run", "-d", "--name", "rr", "-v", "ram:/ram", "demo", "sleep", "60")
        self.assertIn("2048", self.hull.out("exec", "rr", "df", "-k", "/ram"))
        self.assertEqual(self.hull("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "ram", code=1).out, "")
        self.hull("rm", "-f", "rr")
        self.assertFalse(os.path.ismount(self.path("ram")))
        (self.hull.dir / "there").mkdir()
        (self.hull.dir / "there/f").write_text("bound")
        self.hull("volume", "create", "-o", "type=none", "-o", f"device={self.hull.dir}/there", "-o", "o=bind", "dir")
        self.assertEqual(self.sh("cat /d/f", "-v", "dir:/d"), "bound")
        self.assertEqual(os.listdir(self.path("dir")), [])
        self.hull("volume", "rm", "dir", "ram")
        self.assertEqual((self.hull.dir / "there/f").read_text(), "bound")

    def test_network_file_systems(self):
        """No server here, and perhaps no client in the kernel: how far it comes, and what is said."""
        nfs = ("volume", "create", "-o", "type=nfs", "-o", "device=:/export", "-o")
        run = ("run", "--rm", "--network", "none", "-v")
        self.hull(*nfs, "o=addr=no-such-host.invalid,rw", "lost")
        self.assertIn("lookup no-such-host.invalid: no such host", self.hull(*run, "lost:/v", "demo", "true", code=125).err)
        self.hull(*nfs, "o=addr=-x,rw", "bad")
        self.assertIn("invalid address: -x", self.hull(*run, "bad:/v", "demo", "true", code=125).err)
        for name, address in (("named", "localhost"), ("numbered", "127.0.0.1")):
            self.hull(*nfs, f"o=addr={address},rw,nfsvers=4,soft,timeo=1,retrans=1", name)
            done = self.hull(*run, f"{name}:/v", "demo", "true", code=125)
            self.assertIn(f"failed to mount local volume: mount :/export:{self.path(name)}: ", done.err)
            if "\tnfs\n" not in pathlib.Path("/proc/filesystems").read_text():
                self.assertIn('why: this kernel has no file system "nfs"', done.err)

    # ---- owners

    def test_owners_on_both_sides(self):
        self.sh("touch /v/mine; chown 1000:1000 /v/mine; touch /v/root", "-v", "own:/v")
        top = self.path("own")
        self.assertEqual([(top / n).stat().st_uid for n in ("mine", "root")], [1000, 0])
        # Another container, another range of ids: the same owners.
        self.assertEqual(self.sh("stat -c %u /v/mine /v/root", "-v", "own:/v").split(), ["1000", "0"])
        self.assertEqual(self.sh("stat -c %u /v/mine /v/root", "-v", "own:/v", "--userns=host").split(), ["1000", "0"])

    # ---- hostile images

    def test_links_of_the_image_lead_nowhere(self):
        escape = pathlib.Path("/host-escape"), pathlib.Path("/tmp/host-escape")
        for where in ("/abs/x", "/up/x", "/deep/up", "/deep/up/x", "/dangling", "/self/tmp/host-escape", "/abs/../up"):
            before = sorted(os.listdir("/etc"))
            self.hull("run", "--rm", "-v", f"hv:{where}", "hostile", "sh", "-c", f"echo x > {where}/f", code=None)
            self.hull("run", "--rm", "--tmpfs", where, "hostile", "true", code=None)
            self.assertEqual(sorted(os.listdir("/etc")), before)
            for path in escape:
                self.assertFalse(os.path.lexists(path), f"{where} made {path}")
        self.assertEqual(self.sh("ls /etc", "-v", "ab:/abs", image="hostile").split()[:1], ["group"])
        data = os.listdir(self.path("ab"))
        self.assertIn("passwd", data)
        self.assertLess(len(data), 8)  # the image's, not the host's

    def test_subpath(self):
        self.sh("mkdir -p /v/in/side; echo s > /v/in/side/f; ln -s / /v/out; ln -s in /v/alias", "-v", "sub:/v")
        self.assertEqual(self.sh("cat /m/f", "--mount", "type=volume,src=sub,dst=/m,volume-subpath=in/side"), "s")
        self.assertEqual(self.sh("cat /m/side/f", "--mount", "type=volume,src=sub,dst=/m,volume-subpath=alias"), "s")
        out = self.sh("ls /m", "--mount", "type=volume,src=sub,dst=/m,volume-subpath=out")
        self.assertEqual(out.split(), ["alias", "in", "out"])
        for bad in ("../..", "/etc", "in/../../x", "missing"):
            self.hull("run", "--rm", "--mount", f"type=volume,src=sub,dst=/m,volume-subpath={bad}", "demo", "true", code=125)


if __name__ == "__main__":
    main()
