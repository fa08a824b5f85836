#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hull-files with this machine's kernel as the guest: what real programs do on it,
what two guests on one directory see of each other, what an overlay on it leaves."""
import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import pathlib
import random
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import threading
import time
import unittest

from lib import files
from lib.files import LOCAL_LOCKS, PRIVATE, READ_ONLY, Mount, Server, UserNamespace
from lib.hull import main, need, need_program

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]


def tree(top):
    """Everything about the files below @top that has to survive, by name."""
    result = {}
    for folder, dirs, names in os.walk(top):
        for name in dirs + names:
            path = pathlib.Path(folder, name)
            st = path.lstat()
            what = [stat.S_IFMT(st.st_mode), stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_rdev]
            if not stat.S_ISDIR(st.st_mode):
                what += [st.st_nlink, st.st_size]
            if stat.S_ISREG(st.st_mode):
                what.append(hashlib.sha256(path.read_bytes()).hexdigest())
            if stat.S_ISLNK(st.st_mode):
                what.append(os.readlink(path))
            what += sorted((x, os.getxattr(path, x, follow_symlinks=False)) for x in os.listxattr(path, follow_symlinks=False))
            result[str(path.relative_to(top))] = what
    return result


class FilesTest(unittest.TestCase):
    def setUp(self):
        need(os.geteuid() == 0, "needs root")
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hull-files-"))
        self.dir.chmod(0o755)
        self.src = self.dir / "src"
        self.src.mkdir()
        self.mounts = []
        self.n = 0

    def tearDown(self):
        for mount in reversed(self.mounts):
            self.assertEqual(mount.close(), 0)
        shutil.rmtree(self.dir)

    def mount(self, *shares, flags=0, **kwargs):
        """The folder in which the share @src is seen."""
        self.n += 1
        mount = Mount(self.dir / f"mnt{self.n}", shares or [("s", self.src, flags)], **kwargs)
        self.mounts.append(mount)
        return mount / "s" if not shares else mount.target

    def unmount(self):
        self.assertEqual(self.mounts.pop().close(), 0)

    def userns(self):
        ns = UserNamespace()
        self.addCleanup(ns.close)
        return ns

    def sh(self, script, cwd, **kwargs):
        done = subprocess.run(["sh", "-ec", script], cwd=cwd, capture_output=True, text=True, check=False, timeout=300, **kwargs)
        if done.returncode != 0:
            self.fail(f"{script}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return done.stdout

    def fails(self, code, what, *args, **kwargs):
        with self.assertRaises(OSError) as caught:
            what(*args, **kwargs)
        self.assertEqual(errno.errorcode[caught.exception.errno], errno.errorcode[code])

    def relay(self):
        program = self.dir / "relay"
        if not program.exists():
            source = pathlib.Path(__file__).with_name("fuse_relay.c")
            subprocess.run([need_program("cc"), "-O2", "-pthread", "-o", program, source], check=True)
        return program


class Basics(FilesTest):
    def test_root_shows_the_shares(self):
        (self.dir / "file").write_text("one")
        top = self.mount(("a", self.src, 0), ("b", self.src, READ_ONLY), ("c", self.src, 0), ("f", self.dir / "file", 0))
        self.assertEqual(sorted(os.listdir(top)), ["a", "b", "c", "f"])
        self.assertEqual((top / "f").read_text(), "one")
        (top / "a/x").write_text("x")
        self.assertEqual((top / "b/x").read_text(), "x")
        for what, args in ((os.mkdir, [top / "new"]), (os.unlink, [top / "f"]), (os.rmdir, [top / "a"]),
                           (os.symlink, ["x", top / "l"]), (os.mkdir, [top / "b/new"]), (os.unlink, [top / "b/x"]),
                           (os.chmod, [top / "b/x", 0o600]), (os.truncate, [top / "b/x", 0]), (os.utime, [top / "b/x"]),
                           (os.setxattr, [top / "b/x", "user.a", b"1"]), (os.rename, [top / "b/x", top / "b/y"])):
            with self.subTest(what=what.__name__, args=args):
                self.fails(errno.EROFS, what, *args)
        self.fails(errno.EROFS, os.open, top / "b/x", os.O_WRONLY)
        self.fails(errno.EROFS, os.open, top / "b/n", os.O_WRONLY | os.O_CREAT)
        self.fails(errno.EXDEV, os.rename, top / "a/x", top / "c/x2")
        self.fails(errno.EXDEV, os.link, top / "a/x", top / "c/x2")
        self.assertEqual(os.listdir(self.src), ["x"])
        # One file system for the guest, and no two objects with one number.
        self.assertNotEqual((top / "a/x").stat().st_ino, (top / "b/x").stat().st_ino)
        fs, host = os.statvfs(top / "a"), os.statvfs(self.src)
        self.assertEqual((fs.f_blocks, fs.f_bsize), (host.f_blocks, host.f_bsize))

    def test_owners_are_those_of_who_asks(self):
        for ns in (None, self.userns()):
            with self.subTest(userns=bool(ns)):
                s = self.mount(userns=ns)
                os.chown(s, 0, 0)
                os.chmod(s, 0o2777)
                os.chown(s, -1, 55)
                script = "umask 027; id -u; echo x > f$1; mkdir d$1; ln -s x l$1; mkfifo p$1"
                self.sh(f"setpriv --reuid 1000 --regid 1001 --clear-groups sh -ec '{script}' . {int(bool(ns))}", s)
                for name, mode in (("f", 0o640), ("d", 0o2750), ("l", 0o777), ("p", 0o640)):
                    st = (self.src / f"{name}{int(bool(ns))}").lstat()
                    self.assertEqual((st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)), (1000, 55, mode), name)
                os.chmod(s, 0o700)
                done = subprocess.run(["setpriv", "--reuid", "1000", "--regid", "1001", "--clear-groups", "ls", s], capture_output=True, check=False)
                self.assertIn(b"Permission denied", done.stderr)
                self.unmount()

    def test_ids_outside_the_namespace_are_refused(self):
        s = self.mount(userns=self.userns())
        self.fails(errno.EINVAL, os.chown, self.touch(s / "f"), 70000, 0)
        os.chmod(s, 0o777)
        done = subprocess.run(["setpriv", "--reuid", "70000", "--regid", "0", "--clear-groups", "touch", s / "g"], capture_output=True, check=False)
        self.assertIn(b"too large", done.stderr)
        self.assertFalse((s / "g").exists())

    def touch(self, path, text=""):
        path.write_text(text)
        return path

    def test_set_id_bits(self):
        s = self.mount()
        f = self.touch(s / "f", "x")
        os.chmod(f, 0o6777)
        os.setxattr(f, "security.capability", bytes.fromhex("0100000201000000000000000000000000000000"))
        self.assertEqual(stat.S_IMODE(f.stat().st_mode), 0o6777)
        with open(f, "ab") as h:
            h.write(b"root may")
        self.assertEqual(stat.S_IMODE(f.stat().st_mode), 0o6777)
        self.sh("setpriv --reuid 1000 --regid 1000 --clear-groups sh -c 'echo y >> f'", s)
        self.assertEqual(stat.S_IMODE(f.stat().st_mode), 0o777)
        self.assertNotIn("security.capability", os.listxattr(f))
        os.chmod(f, 0o6777)
        os.chown(f, 5, 5)
        self.assertEqual(stat.S_IMODE(f.stat().st_mode), 0o777)
        os.chmod(f, 0o6777)
        self.sh("setpriv --reuid 1000 --regid 1000 --clear-groups truncate -s 1 f", s)
        self.assertEqual(stat.S_IMODE(f.stat().st_mode), 0o777)

    def test_acls(self):
        s = self.mount()
        setfacl = need_program("setfacl")
        os.chmod(s, 0o755)
        self.sh(f"{setfacl} -d -m u:1000:rwx,g::rx,o::- . && {setfacl} -m u:1000:rwx .", s)
        self.sh("umask 077; mkdir d; echo x > d/f", s)
        # The default ACL, not the mask, decides, as on the host itself.
        self.sh("umask 077; mkdir h; echo x > h/f", self.src)
        for name in ("d", "d/f"):
            mine, host = self.src / name, self.src / name.replace("d", "h")
            self.assertEqual(stat.S_IMODE(mine.stat().st_mode), stat.S_IMODE(host.stat().st_mode))
            self.assertEqual(os.getxattr(mine, "system.posix_acl_access"), os.getxattr(host, "system.posix_acl_access"))
        self.sh("setpriv --reuid 1000 --regid 1000 --clear-groups sh -ec 'echo y > new; cat d/f'", s)
        done = subprocess.run(["setpriv", "--reuid", "1001", "--regid", "1001", "--clear-groups", "touch", s / "no"], capture_output=True, check=False)
        self.assertNotEqual(done.returncode, 0)

    def test_names_and_links(self):
        s = self.mount()
        long = "n" * 255
        self.touch(s / long, "long")
        self.fails(errno.ENAMETOOLONG, os.stat, s / (long + "n"))
        os.link(s / long, s / "hard")
        self.assertEqual((s / "hard").stat().st_nlink, 2)
        os.symlink("/etc/passwd", s / "abs")
        os.link(s / "abs", s / "abs2", follow_symlinks=False)
        self.assertEqual(os.readlink(s / "abs2"), "/etc/passwd")
        self.fails(errno.EEXIST, os.mkdir, s / "hard")
        self.fails(errno.ENOENT, os.unlink, s / "nothing")
        self.fails(errno.EPERM, os.mknod, s / "dev", stat.S_IFBLK | 0o600, os.makedev(254, 0))
        os.mknod(s / "white", stat.S_IFCHR, 0)
        os.mknod(s / "sock", stat.S_IFSOCK | 0o600)
        os.mkfifo(s / "fifo")
        with self.subTest("a FIFO is the guest's own"):
            reader = os.open(s / "fifo", os.O_RDONLY | os.O_NONBLOCK)
            writer = os.open(s / "fifo", os.O_WRONLY | os.O_NONBLOCK)
            os.write(writer, b"through")
            self.assertEqual(os.read(reader, 10), b"through")
            os.close(reader)
            os.close(writer)
            # No end of it is open on the host.
            self.fails(errno.ENXIO, os.open, self.src / "fifo", os.O_WRONLY | os.O_NONBLOCK)

    def test_what_is_open_outlives_its_name(self):
        s = self.mount()
        (s / "d").mkdir()
        self.touch(s / "f", "data")
        os.link(s / "f", s / "other")
        with open(s / "f", "r+b") as h:
            os.unlink(s / "f")
            self.assertEqual(os.fstat(h.fileno()).st_size, 4)
            os.ftruncate(h.fileno(), 2)
            os.fchmod(h.fileno(), 0o600)
            self.assertEqual(h.read(), b"da")
        self.assertEqual((s / "other").read_text(), "da")
        self.sh("cd d && rmdir ../d && stat . >/dev/null && ! touch x 2>/dev/null", s)
        self.touch(s / "a", "a")
        self.touch(s / "b", "b")
        with open(s / "b", "rb") as h:
            os.rename(s / "a", s / "b")
            self.assertEqual((h.read(), os.fstat(h.fileno()).st_nlink), (b"b", 0))
        self.assertEqual((s / "b").read_text(), "a")

    def test_temporary_files_without_a_name(self):
        s = self.mount()
        fd = os.open(s, os.O_TMPFILE | os.O_RDWR, 0o600)
        os.write(fd, b"hidden")
        self.assertEqual(os.listdir(s), [])
        files.check(_libc.linkat(-100, f"/proc/self/fd/{fd}".encode(), -100, str(s / "shown").encode(), 0x400))
        os.close(fd)
        self.assertEqual((self.src / "shown").read_text(), "hidden")

    def test_large_directory(self):
        s = self.mount()
        names = {f"name-{i}" for i in range(5000)}
        for name in names:
            (self.src / name).touch()
        self.assertEqual(set(os.listdir(s)), names)
        # A place in it is kept while names go.
        seen = set()
        with os.scandir(s) as entries:
            for entry in entries:
                seen.add(entry.name)
                if len(seen) % 2:
                    os.unlink(s / entry.name)
        self.assertEqual(seen, names)
        self.assertEqual(len(os.listdir(s)), 2500)

    def test_sparse_and_preallocated(self):
        s = self.mount()
        with open(s / "f", "w+b") as h:
            fd = h.fileno()
            os.pwrite(fd, b"end", 10 << 20)
            self.assertEqual(os.lseek(fd, 0, os.SEEK_DATA), 10 << 20)
            self.assertEqual(os.lseek(fd, 10 << 20, os.SEEK_HOLE), (10 << 20) + 3)
            os.posix_fallocate(fd, 0, 1 << 20)
            self.assertLess(os.fstat(fd).st_blocks * 512, 3 << 20)
            self.assertGreaterEqual(os.fstat(fd).st_blocks * 512, 1 << 20)
            self.assertEqual(_libc.fallocate(fd, 3, ctypes.c_long(0), ctypes.c_long(1 << 20)), 0)
            self.assertLess(os.fstat(fd).st_blocks * 512, 1 << 20)
            with open(s / "g", "w+b") as g:
                self.assertEqual(os.copy_file_range(fd, g.fileno(), 100, 10 << 20, 0), 3)
                self.assertEqual(g.read(), b"end")

    def test_attributes_of_overlays(self):
        s = self.mount()
        os.setxattr(s, "user.overlay.opaque", b"y")
        self.assertEqual(os.getxattr(self.src, "user.overlay.opaque"), b"y")
        self.fails(errno.EPERM, os.setxattr, s, "trusted.overlay.opaque", b"y")
        self.fails(errno.EOPNOTSUPP, os.setxattr, s, "security.selinux", b"y")
        os.setxattr(self.src, "trusted.secret", b"y")
        self.assertEqual(os.listxattr(s), ["user.overlay.opaque"])
        self.fails(errno.ENODATA, os.getxattr, s, "trusted.secret")
        os.removexattr(s, "user.overlay.opaque")
        self.assertEqual(os.listxattr(s), [])


class Programs(FilesTest):
    """The same command on the host's directory and through the server."""

    VARIANTS = (("shared", 0, False), ("private", PRIVATE | LOCAL_LOCKS, False), ("relayed", 0, True))

    def variants(self):
        for name, flags, relayed in self.VARIANTS:
            with self.subTest(name):
                s = self.mount(flags=flags, relay=self.relay() if relayed else None)
                yield s
                self.unmount()
                shutil.rmtree(self.src)
                self.src.mkdir()

    def test_tar(self):
        made = self.dir / "made"
        self.sh("mkdir made; cd made; mkdir -p d/e; echo x > d/f; ln d/f d/e/g; ln -s ../d/f l; mkfifo p;"
                "truncate -s 8M sparse; echo end >> sparse; chmod 4711 d/f; chown 12:34 d/f; chown -h 5:6 l;"
                "echo n > $(printf 'n%.0s' $(seq 255)); chmod 1777 d; touch -d 2001-02-03T04:05:06.123456789 d/e", self.dir)
        os.setxattr(made / "d/f", "user.note", b"\0value")
        self.sh("tar --xattrs -C made -cf t.tar .", self.dir)
        for s in self.variants():
            self.sh(f"tar --xattrs -xpf {self.dir}/t.tar", s)
            self.assertEqual(tree(s), tree(made))
            self.assertEqual(tree(self.src), tree(made))
            self.assertEqual((s / "d/e").stat().st_mtime_ns, (made / "d/e").stat().st_mtime_ns)
            self.sh(f"tar --xattrs -cf {self.dir}/back.tar . && cp -a . {self.dir}/copy && rm -rf ./*", s)
            self.assertEqual(tree(self.dir / "copy"), tree(made))
            shutil.rmtree(self.dir / "copy")
            self.assertEqual(os.listdir(self.src), [])

    def test_sqlite(self):
        need_program("sqlite3")
        script = ("PRAGMA journal_mode={}; CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT);"
                  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<5000) INSERT INTO t SELECT i, hex(i*i) FROM n;"
                  "UPDATE t SET b = b || 'x' WHERE a % 3 = 0; DELETE FROM t WHERE a % 7 = 0; VACUUM; PRAGMA integrity_check;"
                  "SELECT count(*), sum(length(b)) FROM t;")
        want = subprocess.run(["sqlite3", ":memory:", script.format("memory")], capture_output=True, text=True, check=True).stdout.splitlines()[1:]
        for s in self.variants():
            for mode in ("delete", "wal"):
                got = subprocess.run(["sqlite3", s / f"{mode}.db", script.format(mode)], capture_output=True, text=True, check=False)
                self.assertEqual(got.stdout.splitlines()[1:], want, got.stderr)

    def test_git_and_gcc(self):
        need_program("git")
        repo = self.dir / "repo"
        self.sh("git init -q repo; cd repo; for i in $(seq 60); do echo \"int f$i(void) { return $i; }\" > f$i.c; done;"
                "printf 'int f1(void); int main(void) { return f1() - 1; }' > main.c; git add .;"
                "git -c user.name=n -c user.email=e commit -qm one", self.dir)
        for s in self.variants():
            self.sh(f"git clone -q {repo} w; cd w; cc -o prog *.c; ./prog; echo more >> f1.c;"
                    "git -c user.name=n -c user.email=e commit -qam two; git fsck --strict; git gc -q;"
                    "git status --porcelain", s)
            self.assertEqual(self.sh("git log --format=%s", s / "w"), "two\none\n")

    def test_random_reads_and_writes(self):
        size = 1 << 20
        for s in self.variants():
            rng = random.Random(4711)
            model = bytearray()
            fd = os.open(s / "f", os.O_RDWR | os.O_CREAT)
            for step in range(1500):
                at, n = rng.randrange(size), rng.randrange(1, 70000)
                op = rng.choice(("write", "write", "read", "read", "truncate", "map", "mapwrite", "punch", "append", "reopen"))
                if op == "write":
                    data = rng.randbytes(n)
                    if len(model) < at:
                        model.extend(bytes(at - len(model)))
                    model[at:at + n] = data
                    self.assertEqual(os.pwrite(fd, data, at), n)
                elif op == "read":
                    self.assertEqual(os.pread(fd, n, at), bytes(model[at:at + n]), step)
                elif op == "truncate":
                    model = model[:at] + bytes(max(0, at - len(model)))
                    os.ftruncate(fd, at)
                elif op in ("map", "mapwrite") and model:
                    with mmap.mmap(fd, len(model)) as m:
                        at %= len(model)
                        if op == "mapwrite":
                            data = rng.randbytes(min(n, len(model) - at))
                            m[at:at + len(data)] = data
                            model[at:at + len(data)] = data
                        self.assertEqual(m[at:at + n], bytes(model[at:at + n]), step)
                        if rng.random() < 0.5:
                            m.flush()
                elif op == "punch" and model:
                    at %= len(model)
                    n = min(n, len(model) - at)
                    self.assertEqual(_libc.fallocate(fd, 3, ctypes.c_long(at), ctypes.c_long(n)), 0)
                    model[at:at + n] = bytes(n)
                elif op == "append":
                    extra = os.open(s / "f", os.O_WRONLY | os.O_APPEND)
                    data = rng.randbytes(n % 1000 + 1)
                    os.write(extra, data)
                    os.close(extra)
                    model.extend(data)
                elif op == "reopen":
                    os.close(fd)
                    fd = os.open(s / "f", os.O_RDWR)
                self.assertEqual(os.fstat(fd).st_size, len(model), (step, op))
            os.close(fd)
            self.assertEqual((self.src / "f").read_bytes(), bytes(model))


class Together(FilesTest):
    """Two guests and the host on one directory."""

    def setUp(self):
        super().setUp()
        self.a, self.b = self.mount(), self.mount(relay=self.relay())

    def test_each_sees_what_the_others_do(self):
        a, b, host = self.a, self.b, self.src
        for i, (writer, readers) in enumerate([(a, (b, host)), (b, (a, host)), (host, (a, b))] * 3):
            name = f"f{i}"
            for reader in readers:
                self.assertFalse((reader / name).exists())
            (writer / name).write_text(f"one {i}")
            for reader in readers:
                self.assertEqual((reader / name).read_text(), f"one {i}")
            (writer / name).write_text("longer than before")
            for reader in readers:
                self.assertEqual((reader / name).read_text(), "longer than before")
                self.assertIn(name, os.listdir(reader))
            os.chmod(writer / name, 0o600 + i)
            os.rename(writer / name, writer / (name + "-new"))
            for reader in readers:
                self.assertFalse((reader / name).exists())
                self.assertEqual(stat.S_IMODE((reader / (name + "-new")).stat().st_mode), 0o600 + i)
            os.unlink(writer / (name + "-new"))
            os.mkdir(writer / (name + "-new"))
            for reader in readers:
                self.assertTrue((reader / (name + "-new")).is_dir())
            os.rmdir(writer / (name + "-new"))
            for reader in readers:
                self.assertEqual(os.listdir(reader), [])

    def test_an_open_file_grows(self):
        with open(self.a / "log", "ab", buffering=0) as w, open(self.b / "log", "rb", buffering=0) as r:
            for i in range(200):
                line = f"line {i}\n".encode()
                w.write(line)
                self.assertEqual(r.read(100), line)

    def test_a_change_of_the_same_size_at_once(self):
        # On a file system whose times move in steps of milliseconds.
        files.check(_libc.mount(b"ramfs", str(self.src).encode(), b"ramfs", 0, None))
        try:
            a, b = self.mount(), self.mount()
            (self.src / "f").write_text("start")
            with open(a / "f", "rb") as fa, open(b / "f", "r+b") as fb, open(self.src / "f", "r+b") as host:
                for i in range(400):
                    writer = (host, fb)[i % 2]
                    os.pwrite(writer.fileno(), b"%05d" % i, 0)
                    self.assertEqual(os.pread(fa.fileno(), 5, 0), b"%05d" % i)
                    self.assertEqual(os.pread(fb.fileno(), 5, 0), b"%05d" % i)
            self.unmount()
            self.unmount()
        finally:
            _libc.umount2(str(self.src).encode(), 2)

    def test_sqlite_between_guests_and_the_host(self):
        need_program("sqlite3")
        subprocess.run(["sqlite3", self.src / "db", "CREATE TABLE t(n); INSERT INTO t VALUES(0);"], check=True)
        script = 'for i in $(seq 25); do sqlite3 -cmd ".timeout 60000" db "BEGIN IMMEDIATE; UPDATE t SET n = n + 1; COMMIT;" >/dev/null || exit 1; done'
        procs = [subprocess.Popen(["sh", "-c", script], cwd=where) for where in (self.a, self.b, self.src)]
        for p in procs:
            self.assertEqual(p.wait(200), 0)
        for where in (self.a, self.b, self.src):
            self.assertEqual(self.sh("sqlite3 db 'SELECT n FROM t; PRAGMA integrity_check'", where), "75\nok\n")

    def test_appends_do_not_overwrite(self):
        # Most lines cross a page, short ones and long ones.
        script = ("import os,sys\nfd=os.open(sys.argv[1],os.O_WRONLY|os.O_APPEND|os.O_CREAT)\n"
                  "for i in range(300): os.write(fd,(sys.argv[2]*(9,4999)[i%2]+'\\n').encode())")
        procs = [subprocess.Popen(["python3", "-c", script, where / "log", c]) for where, c in ((self.a, "a"), (self.b, "b"), (self.src, "h"))]
        for p in procs:
            self.assertEqual(p.wait(60), 0)
        lines = (self.src / "log").read_text().splitlines()
        self.assertEqual(sorted((line[:1], len(line), len(set(line))) for line in lines),
                         sorted((c, n, 1) for c in "abh" for n in [9, 4999] * 150))

    def test_what_is_appended_to_is_read_and_mapped(self):
        fd = os.open(self.a / "f", os.O_RDWR | os.O_APPEND | os.O_CREAT)
        os.write(fd, b"one ")
        with open(self.src / "f", "ab") as host:
            host.write(b"two ")
        os.write(fd, b"three")
        self.assertEqual(os.pread(fd, 100, 0), b"one two three")
        with mmap.mmap(fd, 13) as m:
            self.assertEqual(m[:], b"one two three")
            m[0:3] = b"ONE"
        os.close(fd)
        self.assertEqual((self.src / "f").read_bytes(), b"ONE two three")

    def check_locks(self, lock, unlock, conflict):
        places = [self.a, self.b, self.src]
        for holder in places:
            for other in places:
                if holder is other:
                    continue
                with open(holder / "l", "w+b") as h, open(other / "l", "w+b") as o:
                    lock(h)
                    self.assertTrue(conflict(o), (holder, other))
                    unlock(h)
                    self.assertFalse(conflict(o))
                    unlock(o)
                    lock(h)
                # The end of a file ends its locks; FUSE tells of it behind the close.
                deadline = time.monotonic() + 60
                with open(other / "l", "w+b") as o:
                    while conflict(o):
                        self.assertLess(time.monotonic(), deadline)
                        time.sleep(0.001)

    def test_flock(self):
        def conflict(f):
            try:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False
            except BlockingIOError:
                return True
        self.check_locks(lambda f: fcntl.flock(f, fcntl.LOCK_EX), lambda f: fcntl.flock(f, fcntl.LOCK_UN), conflict)

    def test_posix_locks(self):
        def conflict(f):
            try:
                fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 5)
                return False
            except (BlockingIOError, PermissionError):
                return True
        self.check_locks(lambda f: fcntl.lockf(f, fcntl.LOCK_EX, 10, 0), lambda f: fcntl.lockf(f, fcntl.LOCK_UN), conflict)

    def waits(self, lock):
        """A lock that is waited for: others work meanwhile, it is got in the end, and a signal ends the wait."""
        script = ("import fcntl,sys,signal\nsignal.signal(signal.SIGALRM, lambda *a: sys.exit(7))\nf=open(sys.argv[1],'r+b')\n"
                  f"print('go',flush=True)\nfcntl.{lock}(f,fcntl.LOCK_EX)\nprint('got',flush=True)")
        (self.src / "l").touch()
        for holder, waiter in ((self.src, self.a), (self.a, self.b), (self.a, self.a)):
            with open(holder / "l", "r+b") as h:
                getattr(fcntl, lock)(h, fcntl.LOCK_EX)
                procs = [subprocess.Popen(["python3", "-c", script, waiter / "l"], stdout=subprocess.PIPE, text=True) for _ in range(12)]
                for p in procs:
                    self.assertEqual(p.stdout.readline(), "go\n")
                time.sleep(0.2)
                (waiter / "meanwhile").write_text("x")
                os.unlink(waiter / "meanwhile")
                for p in procs[:6]:
                    self.assertIsNone(p.poll())
                    p.send_signal(signal.SIGALRM)
                for p in procs[:6]:
                    self.assertEqual(p.wait(60), 7)
            for p in procs[6:]:
                self.assertEqual(p.stdout.readline(), "got\n")
                self.assertEqual(p.wait(60), 0)
            for p in procs:
                p.stdout.close()

    def test_waiting_for_flock(self):
        self.waits("flock")

    def test_waiting_for_posix_locks(self):
        self.waits("lockf")

    def test_a_killed_server_frees_its_locks(self):
        (self.src / "l").touch()
        fd = os.open(self.a / "l", os.O_RDWR)
        with open(self.src / "l", "r+b") as other:
            fcntl.flock(fd, fcntl.LOCK_EX)
            self.assertRaises(BlockingIOError, fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mount = self.mounts.pop(0)
            mount.server.process.kill()
            self.assertEqual(mount.server.process.wait(), -signal.SIGKILL)
            deadline = time.monotonic() + 60
            while True:
                try:
                    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.01)
            self.fails(errno.ENOTCONN, os.stat, mount / "s/l")
            self.fails(errno.ENOTCONN, os.close, fd)
            mount.close()


class Overlay(FilesTest):
    """An overlay of the guest whose writable layer is a share leaves the same as the host's own."""

    SCRIPT = """
        echo changed > lower-file; rm gone; rm -r gone-dir; rm -r replaced; mkdir replaced; echo new > replaced/new
        mv moved moved-away; mkdir -p deep/er/dir; echo x > deep/er/dir/f; ln lower-file hard; ln -s x sym
        chmod 4750 kept; chown 5:6 kept; mv dir/a dir/b; rm dir/c; echo back > gone; touch -d 2001-01-01 old
        mkdir made; rmdir made; echo a > swap; mv swap dir/a; mkfifo pipe; truncate -s 5M sparse
        cp -a dir copied; rm -r copied/sub; mkdir copied/sub; for i in $(seq 40); do echo $i > many$i; done; rm many*
    """

    def overlay(self, name, upper, options=""):
        at = self.dir / name
        at.mkdir()
        data = f"lowerdir={self.dir}/lower,upperdir={upper}/upper,workdir={upper}/work,userxattr{options}"
        files.check(_libc.mount(b"overlay", str(at).encode(), b"overlay", 0, data.encode()))
        self.addCleanup(_libc.umount2, str(at).encode(), 2)
        return at

    def test_same_result_as_on_the_host(self):
        self.sh("mkdir lower host; cd lower; mkdir gone-dir replaced moved dir dir/sub; echo l > lower-file; echo g > gone;"
                "echo o > gone-dir/f; echo o > replaced/old; echo m > moved/f; echo k > kept; echo a > dir/a; echo c > dir/c;"
                "echo s > dir/sub/s; echo o > old; mkdir ../host/upper ../host/work", self.dir)
        host = self.overlay("on-host", self.dir / "host")
        self.sh(self.SCRIPT, host)
        want_seen, want_left = tree(host), tree(self.dir / "host/upper")
        _libc.umount2(str(host).encode(), 2)
        # Whiteouts and opaque directories are what this is about.
        self.assertTrue(any(what[0] == stat.S_IFCHR for what in want_left.values()))
        self.assertTrue(any(("user.overlay.opaque", b"y") in what for what in want_left.values()))
        for name, flags, relay, ns in (("private", PRIVATE | LOCAL_LOCKS, None, None), ("shared", 0, self.relay(), None),
                                       ("userns", PRIVATE | LOCAL_LOCKS, self.relay(), self.userns())):
            with self.subTest(name):
                self.sh("mkdir upper work", self.src)
                share = self.mount(flags=flags, relay=relay, userns=ns)
                at = self.overlay(f"on-{name}", share)
                self.sh(self.SCRIPT, at)
                self.assertEqual(tree(at), want_seen)
                _libc.umount2(str(at).encode(), 2)
                self.assertEqual(tree(self.src / "upper"), want_left)
                # The host takes it over as it is.
                again = self.overlay(f"again-{name}", self.src)
                self.assertEqual(tree(again), want_seen)
                _libc.umount2(str(again).encode(), 2)
                self.unmount()
                shutil.rmtree(self.src)
                self.src.mkdir()


class Few(FilesTest):
    """With fewer descriptors than the guest knows files."""

    def test_programs(self):
        need_program("git")
        s = self.mount(nofile=400)
        self.sh("for d in $(seq 30); do mkdir -p $d/a/b; for f in $(seq 30); do echo $d-$f > $d/a/b/$f; done; done", s)
        self.assertEqual(self.sh("find . -type f | wc -l; cat */a/b/30 | tail -1; grep -rl 7-7 . | wc -l", s).split(), ["900", "9-30", "3"])
        self.sh("git init -q .; git add .; git -c user.name=n -c user.email=e commit -qm one; git fsck --strict;"
                "mv 3/a/b 3/c; mv 4 5/a/b/four; git add -A; git -c user.name=n -c user.email=e commit -qm two; git gc -q; git status --porcelain", s)
        fds = len(os.listdir(f"/proc/{self.mounts[0].server.pid()}/fd"))
        self.assertLess(fds, 250)
        self.assertGreater(fds, 100)
        # Too many open at once is the guest's error, not the server's end.
        opened = []
        with self.assertRaises(OSError) as caught:
            for i in range(1000):
                opened.append(os.open(s / "1/a/b/1", os.O_RDONLY))
        self.assertEqual(caught.exception.errno, errno.ENFILE)
        self.assertGreater(len(opened), 100)
        for fd in opened:
            os.close(fd)
        self.assertEqual((s / "5/a/b/four/a/b/9").read_text(), "4-9\n")
        self.sh("rm -rf ./* .git", s)
        self.assertEqual(os.listdir(self.src), [])


class Jail(FilesTest):
    def test_what_it_holds(self):
        for ns in (None, self.userns()):
            self.mount(userns=ns)
            pid = self.mounts[-1].server.pid()
            status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
            kept = sum(1 << cap for cap in (0, 1, 3, 4, 6, 7, 31))
            self.assertEqual((int(status["CapEff"], 16), int(status["CapPrm"], 16), int(status["CapBnd"], 16), int(status["CapInh"], 16)),
                             (kept, kept, 0, 0))
            self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
            self.assertEqual(status["NSpid"].split()[-1], "1")
            if ns:
                self.assertEqual(status["Uid"].split(), [str(0x10000000)] * 4)
            for name in ("mnt", "pid", "net", "ipc", "uts", "cgroup"):
                self.assertNotEqual(os.readlink(f"/proc/{pid}/ns/{name}"), os.readlink(f"/proc/self/ns/{name}"))
            mounts = pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
            self.assertEqual(len(mounts), 1)
            self.assertIn(" / / ro", mounts[0])
            self.assertEqual(os.listdir(f"/proc/{pid}/root"), [])
            for fd in os.listdir(f"/proc/{pid}/fd"):
                where = os.readlink(f"/proc/{pid}/fd/{fd}")
                self.assertTrue(int(fd) < 3 or where in ("/", str(self.src), "/dev/fuse", "/1/fd") or where.startswith(("socket:", "anon_inode:")), where)
            self.unmount()

    def start(self, **kwargs):
        server = Server([("s", self.src, 0)], **kwargs)
        self.addCleanup(server.sock.close)
        return server

    def test_refused_starts(self):
        for shares, text in (([], "makes no sense"), ([("..", self.src, 0)], "makes no sense"), ([("a/b", self.src, 0)], "makes no sense"),
                             ([("a", self.src, 0), ("a", self.src, 0)], "makes no sense"), ([("a", self.src, 64)], "makes no sense"),
                             ([("p", "/proc", 0)], "procfs cannot be shared"), ([("d", "/dev/null", 0)], "neither a directory nor a regular file")):
            with self.subTest(shares):
                server = Server(shares)
                self.assertLess(server.result, 0)
                self.assertIn(text, server.error)
                self.assertEqual(server.close(), 1)

    INIT = struct.pack("=IIQQIIII", 104, 26, 2, 0, 0, 0, 0, 0) + struct.pack("=IIIIII40x", 7, 38, 131072, 0xFFFFFFFF, 0, 0)

    def test_ends(self):
        server = self.start()
        self.assertEqual(server.close(), 0)
        server = self.start()
        server.send(self.INIT)
        unique, error, data = server.receive()
        self.assertEqual((unique, error, len(data)), (2, 0, 64))
        self.assertEqual(server.close(), 0)
        for bad in (struct.pack("=I", 39) + bytes(36), struct.pack("=I", (1 << 20) + 4097) + bytes(36), bytes(40),
                    struct.pack("=IIQQIIIHH", 40, 1, 1, 1, 0, 0, 0, 1, 0), b"\xff" * 100):
            with self.subTest(bad):
                server = self.start()
                server.send(self.INIT)
                server.receive()
                server.send(bad)
                self.assertRaises(EOFError, server.receive)
                self.assertEqual(server.process.wait(60), 1)
        with self.subTest("in the middle of a message"):
            server = self.start()
            server.send(self.INIT[:50])
            self.assertEqual(server.close(), 1)

    def test_messages_in_pieces_and_together(self):
        server = self.start()
        statfs = [struct.pack("=IIQQIIII", 40, 17, 100 + i, 1, 0, 0, 0, 0) for i in range(3000)]
        stream = self.INIT + b"".join(statfs)
        for at in range(0, 500, 7):
            server.send(stream[at:at + 7])
        sender = threading.Thread(target=server.send, args=[stream[504:]])
        sender.start()
        got = {server.receive()[0] for _ in range(3001)}
        sender.join()
        self.assertEqual(got, {2} | {100 + i for i in range(3000)})
        self.assertEqual(server.close(), 0)

    def test_descriptors_that_come_along_are_dropped(self):
        server = self.start()
        server.send(self.INIT)
        server.receive()
        before = len(os.listdir(f"/proc/{server.pid()}/fd"))
        statfs = struct.pack("=IIQQIIII", 40, 17, 4, 1, 0, 0, 0, 0)
        with open("/etc/passwd", "rb") as f:
            for _ in range(20):
                socket.send_fds(server.sock, [statfs], [f.fileno()] * 10)
                server.receive()
        self.assertEqual(len(os.listdir(f"/proc/{server.pid()}/fd")), before)
        self.assertEqual(server.close(), 0)

    def test_a_guest_that_takes_no_replies(self):
        server = self.start()
        server.send(self.INIT)
        statfs = struct.pack("=IIQQIIII", 40, 17, 4, 1, 0, 0, 0, 0)
        server.sock.settimeout(0.5)
        with self.assertRaises(socket.timeout):
            for _ in range(1000):
                server.send(statfs * 1000)
        # It waits as well, and with little.
        rss = int(pathlib.Path(f"/proc/{server.pid()}/statm").read_text().split()[1]) * 4096
        self.assertLess(rss, 32 << 20)
        server.sock.settimeout(10)
        self.assertEqual(server.close(), 0)

    def test_killed(self):
        server = self.start()
        os.kill(server.pid(), signal.SIGKILL)
        self.assertEqual(server.process.wait(60), 137)
        server = self.start()
        child = server.pid()
        server.process.kill()
        server.process.wait()
        deadline = time.monotonic() + 60
        while os.path.exists(f"/proc/{child}") and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertFalse(os.path.exists(f"/proc/{child}"))


if __name__ == "__main__":
    main()
