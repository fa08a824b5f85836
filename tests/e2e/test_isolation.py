#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Isolation, tried from inside. An attack counts when a nonce crosses: random
bytes in a file of the host that no container is given. Each kind of attack has a
control in which it succeeds, so that a test that cannot fail is noticed."""
import contextlib
import hashlib
import io
import os
import pathlib
import re
import secrets
import shutil
import subprocess
import tarfile
import tempfile
import time
import unittest

from lib.hull import HullTest, busybox_tar, main, need_program

NONE = ("--network", "none")
ATTACKS = pathlib.Path(__file__).with_name("attacks.c")
DEFAULT_CAPS = 0x00000000a80425fb


def image_with(attack, *changes):
    """busybox and the attacks, with entries replaced: (name, type, link)."""
    data = io.BytesIO()
    names = {name for name, _, _ in changes}
    with tarfile.open(fileobj=data, mode="w") as tar:
        base = tarfile.open(fileobj=io.BytesIO(busybox_tar()))
        for info in base:
            if info.name not in names:
                tar.addfile(info, base.extractfile(info) if info.isreg() else None)
        tar.add(attack, "bin/attack")
        for name, kind, link in changes:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.linkname = kind, 0o755, link
            tar.addfile(info)
    return data.getvalue()


class Isolation(HullTest):
    images = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="hull-host-", dir="/var/tmp"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.nonce = secrets.token_hex(16)
        cls.secret = cls.folder / "secret"
        cls.secret.write_text(cls.nonce + "\n", encoding="ascii")
        cls.attack = cls.folder / "attack"
        subprocess.run([need_program("cc"), "-O1", "-D_GNU_SOURCE", "-static", "-o", cls.attack, ATTACKS], check=True)
        cls.hull("import", "-c", 'CMD ["/bin/sh"]', "-", "demo", input=image_with(cls.attack))

    def attacked(self, *args, code=None, **kwargs):
        """What an attack printed; the nonce is never in it."""
        done = self.hull(*args, code=code, **kwargs)
        self.assertNotIn(self.nonce, done.out + done.err, args)
        return done.out.strip()

    def host_is_untouched(self):
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["attack", "secret"])
        self.assertEqual(self.secret.read_text().strip(), self.nonce)

    # ---- descriptors, working directories

    def test_three_descriptors_whatever_the_way_in(self):
        self.hull("run", "-d", "--name", "fd", *NONE, "demo", "sleep", "60")
        self.hull("run", "-d", "-it", "--name", "ft", *NONE, "demo", "sleep", "60")
        for flags in ((), ("-t",), ("-i",), ("--init",), ("--userns", "host"), ("--privileged",), ("-v", f"{self.folder}:/m")):
            self.assertEqual(self.attacked("run", "--rm", *NONE, *flags, "demo", "attack", "descriptors"), "0 1 2", flags)
        for flags in ((), ("-t",), ("-i",), ("-u", "user"), ("--privileged",)):
            self.assertEqual(self.attacked("exec", *flags, "fd", "attack", "descriptors"), "0 1 2", flags)
        for name in ("fd", "ft"):
            self.assertEqual(self.hull.out("exec", name, "ls", "/proc/1/fd").split(), ["0", "1", "2"])
        self.hull("exec", "-d", "fd", "sh", "-c", "attack descriptors > /out")
        self.eventually(lambda: self.hull("exec", "fd", "cat", "/out", code=None).out == "0 1 2 \n")
        self.hull("run", "-d", "--name", "fh", "--health-cmd", "attack descriptors", "--health-interval", "100ms", *NONE, "demo", "sleep", "60")
        self.eventually(lambda: "0 1 2 " in self.hull.out("inspect", "-f", "{{json .State.Health}}", "fh"))

    def test_working_directory_of_a_descriptor(self):
        """CVE-2024-21626."""
        self.hull("run", "-d", "--name", "wd", *NONE, "demo", "sleep", "60")
        for fd in range(3, 24):
            for link in (f"/proc/self/fd/{fd}", f"/proc/self/fd/{fd}/../.."):
                self.attacked("run", "--rm", *NONE, "-w", link, "demo", "attack", "climb", str(self.secret))
                self.attacked("exec", "-w", link, "wd", "attack", "climb", str(self.secret))
        self.hull("import", "-c", "WORKDIR /proc/self/fd/8", "-", "evil", input=image_with(self.attack))
        self.attacked("run", "--rm", *NONE, "evil", "attack", "climb", str(self.secret))
        # The control: with the host's files inside it climbs.
        done = self.hull("run", "--rm", *NONE, "-v", "/:/host", "-w", f"/host{self.folder}", "demo", "chroot", "/host", f"{self.folder}/attack",
                         "climb", str(self.secret), code=None)
        self.assertIn(self.nonce, done.out)

    # ---- programs of hull's inside

    def hashes(self):
        programs = [pathlib.Path(os.path.realpath(p)) for p in (self.hull.dir / "programs").iterdir()]
        return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in programs if p.is_file()}

    def test_programs_of_the_host_cannot_be_reached(self):
        """CVE-2019-5736, CVE-2016-9962: by the entry point, and by watching execs."""
        before = self.hashes()
        for image, entries in (("self", [("bin/run", tarfile.SYMTYPE, "/proc/self/exe")]), ("init", [("bin/run", tarfile.SYMTYPE, "/proc/1/exe")])):
            self.hull("import", "-", image, input=image_with(self.attack, *entries))
            done = self.hull("run", "--rm", *NONE, image, "/bin/run", "--version", code=None)
            self.assertNotIn("hull version", done.out)
        for flags in (("--cap-add", "SYS_PTRACE"), ("--userns", "host")):
            with self.subTest(flags=flags):
                self.hull("run", "-d", "--name", "watch", *NONE, *flags, "demo", "attack", "watch", str(self.secret), "4")
                self.eventually(lambda: "watching" in self.hull.out("logs", "watch"))
                until = time.monotonic() + 3
                while time.monotonic() < until:
                    self.hull("exec", "watch", "true", code=None)
                self.hull("wait", "watch")
                self.assertEqual(self.hull.out("logs", "watch"), "watching")
                self.hull("rm", "watch")
        self.assertEqual(self.hashes(), before)

    def test_environment_of_the_caller_stays_outside(self):
        env = {"A_SECRET": self.nonce}
        self.hull("run", "-d", "--name", "en", *NONE, "demo", "sleep", "60", env=env)
        for args in (("exec", "en", "env"), ("exec", "en", "cat", "/proc/1/environ", "/proc/1/cmdline"), ("run", "--rm", *NONE, "demo", "env")):
            self.assertNotIn("HULL", self.attacked(*args, env=env))

    # ---- processes

    def test_host_processes_cannot_be_reached(self):
        victim = subprocess.Popen(["sleep", "60"], env=dict(os.environ, A_SECRET=self.nonce))
        self.addCleanup(victim.wait)
        self.addCleanup(victim.kill)
        self.hull("run", "-d", "--name", "other", *NONE, "demo", "sleep", "60")
        other = self.hull.out("inspect", "-f", "{{.State.Pid}}", "other")
        monitor = re.search(r"^PPid:\s*(\d+)", pathlib.Path(f"/proc/{other}/status").read_text(), re.M).group(1)
        for pid in (str(victim.pid), "1", monitor, other):
            # Root beside the host's processes may signal them (it asked to be there), and no more;
            # containers below it have no more than it has, so it may trace them, as with Docker.
            if pid != other:
                got = self.attacked("run", "--rm", "--pid", "host", *NONE, "demo", "attack", "poke", pid)
                self.assertIn(got, ("", f"may signal {pid}"))
            self.assertEqual(self.attacked("run", "--rm", "--pid", "host", "-u", "1000", *NONE, "demo", "attack", "poke", pid), "")
        # The control: privileged means it.
        self.assertIn("may trace", self.hull.out("run", "--rm", "--pid", "host", "--privileged", *NONE, "demo", "attack", "poke", str(victim.pid)))
        self.hull("run", "--rm", *NONE, "demo", "sh", "-c", "kill -9 -1; true", code=None)
        self.assertIsNone(victim.poll())
        # Of its own pid namespace only its own processes show.
        self.assertEqual(self.hull.out("run", "--rm", *NONE, "demo", "sh", "-c", "cd /proc; echo [0-9]*").split()[0], "1")

    # ---- system calls, capabilities

    def test_system_calls(self):
        for flags in ((), ("--userns", "host"), ("-u", "1000")):
            self.assertEqual(self.attacked("run", "--rm", *NONE, *flags, "demo", "attack", "surface"), "", flags)
        self.hull("run", "-d", "--name", "sc", *NONE, "demo", "sleep", "60")
        self.assertEqual(self.attacked("exec", "sc", "attack", "surface"), "")
        # The control.
        self.assertIn("unshare: done", self.hull.out("run", "--rm", *NONE, "--security-opt", "seccomp=unconfined", "demo", "attack", "surface"))

    def test_capabilities(self):
        def caps(text):
            return {k: int(v, 16) for k, v in re.findall(r"Cap(\w+):\s*(\w+)", text)}
        status = ("cat", "/proc/self/status")
        self.hull("run", "-d", "--name", "ca", *NONE, "demo", "sleep", "60")
        for got in (caps(self.hull.out("run", "--rm", *NONE, "demo", *status)), caps(self.hull.out("exec", "ca", *status))):
            self.assertEqual((got["Inh"], got["Amb"]), (0, 0))
            self.assertEqual((got["Prm"], got["Eff"], got["Bnd"]), (DEFAULT_CAPS,) * 3)
        for text in (self.hull.out("run", "--rm", "-u", "1000", *NONE, "demo", *status), self.hull.out("exec", "-u", "1000", "ca", *status)):
            got = caps(text)
            self.assertEqual((got["Inh"], got["Amb"], got["Prm"], got["Eff"], got["Bnd"]), (0, 0, 0, 0, DEFAULT_CAPS))

    # ---- /proc, /sys, cgroups

    def test_kernel_settings_cannot_be_written(self):
        core = pathlib.Path("/proc/sys/kernel/core_pattern").read_text()
        script = """
            for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sysrq-trigger /proc/sys/vm/panic_on_oom /proc/sys/kernel/hotplug \
                     /sys/kernel/uevent_helper /sys/kernel/mm/transparent_hugepage/enabled /proc/1/oom_score_adj0 /sys/fs/cgroup/release_agent \
                     /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/*/notify_on_release; do
                (echo x > $f) 2>/dev/null && echo wrote $f
            done
            for d in /proc/sys /proc/sysrq-trigger /sys /proc/bus /proc/irq /sys/fs/cgroup; do
                mount -o remount,rw $d 2>/dev/null && echo remounted $d
                umount $d 2>/dev/null && echo unmounted $d
            done
            for f in /proc/kcore /proc/keys /proc/timer_list /sys/firmware/* /proc/kmsg /proc/scsi/*; do
                test -n "$(head -c 1 $f 2>/dev/null)" && echo read $f
            done
            true
        """
        for flags in ((), ("--userns", "host"), ("--cap-add", "SYS_ADMIN")):
            got = self.attacked("run", "--rm", *NONE, *flags, "demo", "sh", "-c", script).split("\n")
            # SYS_ADMIN, of its own user namespace, may take its mounts away; what is below is the host's all the same.
            if "SYS_ADMIN" in flags:
                got = [line for line in got if not line.startswith(("remounted", "unmounted"))]
            self.assertEqual([line for line in got if line], [], flags)
        self.assertEqual(pathlib.Path("/proc/sys/kernel/core_pattern").read_text(), core)

    def test_a_new_proc_shows_nothing_masked(self):
        script = "mkdir /tmp/p; mount -t proc proc /tmp/p 2>/dev/null && head -c 1 /tmp/p/kcore | wc -c; mount -t sysfs s /tmp/p 2>/dev/null && echo sysfs; true"
        out = self.attacked("run", "--rm", *NONE, "--security-opt", "seccomp=unconfined", "demo", "unshare", "-Urmpf", "sh", "-c", script)
        self.assertNotIn("1", out)

    def test_release_agent(self):
        """CVE-2022-0492: a cgroup v1 of its own, in namespaces of its own."""
        script = f"""
            mkdir /tmp/c
            for kind in rdma memory cpuset pids misc; do
                mount -t cgroup -o $kind c /tmp/c 2>/dev/null || continue
                (echo '/bin/cp {self.secret} {self.folder}/taken' > /tmp/c/release_agent) 2>/dev/null && echo agent $kind
                umount /tmp/c
            done
            true
        """
        for flags in ((), ("--security-opt", "seccomp=unconfined"), ("--cap-add", "SYS_ADMIN")):
            self.assertNotIn("agent", self.attacked("run", "--rm", *NONE, *flags, "demo", "sh", "-c", script))
            self.assertNotIn("agent", self.attacked("run", "--rm", *NONE, *flags, "demo", "unshare", "-UrmC", "sh", "-c", script))
        self.host_is_untouched()

    def test_groups_of_others_do_not_show(self):
        self.hull("run", "-d", "--name", "gr", "-m", "64m", *NONE, "demo", "sleep", "60")
        id = self.hull.out("inspect", "-f", "{{.Id}}", "gr")
        for flags in ((), ("-m", "64m"), ("--userns", "host")):
            groups = self.attacked("run", "--rm", *NONE, *flags, "demo", "cat", "/proc/self/cgroup").split("\n")
            self.assertEqual({line.split(":", 2)[2] for line in groups}, {"/"})
            listed = self.attacked("run", "--rm", *NONE, *flags, "demo", "find", "/sys/fs/cgroup", "-type", "d")
            self.assertNotIn(id, listed)
            self.assertNotIn("hull", listed)

    # ---- devices

    def test_devices(self):
        disk = os.stat("/").st_dev
        script = f"""
            mknod /tmp/disk b {os.major(disk)} {os.minor(disk)} 2>/dev/null && head -c 1 /tmp/disk > /dev/null 2>&1 && echo disk
            mknod /tmp/mem c 1 1 2>/dev/null && head -c 1 /tmp/mem > /dev/null 2>&1 && echo mem
            mknod /tmp/kmsg c 1 11 2>/dev/null && head -c 1 /tmp/kmsg > /dev/null 2>&1 && echo kmsg
            for d in null zero full random urandom tty; do test -c /dev/$d || echo missing $d; done
            echo x > /dev/null; head -c 4 /dev/zero | wc -c
            ls /dev
        """
        for flags in ((), ("--userns", "host"), ("--userns", "host", "--tmpfs", "/tmp:dev")):
            out = self.attacked("run", "--rm", *NONE, *flags, "demo", "sh", "-c", script).split()
            self.assertEqual(out[0], "4", (flags, out))
            self.assertEqual(set(out[1:]) - {"console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
                                             "stdout", "tty", "urandom", "zero"}, set(), flags)

    # ---- ids

    def test_ids_are_of_the_container_s_own(self):
        maps = set()
        for name in ("ua", "ub"):
            self.hull("run", "-d", "--name", name, *NONE, "demo", "sleep", "60")
            inside, outside, size = map(int, self.hull.out("exec", name, "cat", "/proc/self/uid_map").split())
            self.assertEqual((inside, size), (0, 65536))
            self.assertGreaterEqual(outside, 0x10000000)
            pid = self.hull.out("inspect", "-f", "{{.State.Pid}}", name)
            self.assertEqual(os.stat(f"/proc/{pid}").st_uid, outside)
            maps.add(outside)
        self.assertEqual(len(maps), 2)
        self.assertEqual(self.hull.out("exec", "ua", "cat", "/proc/self/setgroups"), "allow")

    def test_state_is_closed_to_others(self):
        for path in (self.hull.root, self.hull.run_dir):
            self.assertEqual(os.stat(path).st_mode & 0o077, 0, path)

    # ---- images and volumes that point outside

    def test_images_whose_folders_point_outside(self):
        inside = str(self.folder)
        for name in ("dev", "proc", "sys", "tmp", "etc", "etc/hosts", "etc/resolv.conf", "etc/hostname", "etc/passwd", "etc/group", "root", "data"):
            if name == "etc":
                link = inside
            else:
                link = str(self.secret) if name.startswith("etc/") else "../../../../../../../.." + inside
            entries = [(name, tarfile.SYMTYPE, link)]
            data = image_with(self.attack, *entries) if name != "etc" else image_with(self.attack, ("etc/passwd", tarfile.DIRTYPE, ""))
            self.hull("import", "-", "out", input=data)
            for flags in ((), ("-v", "/data"), ("-w", "/data/made"), ("--tmpfs", "/data/x"), ("-u", "user"), ("-v", f"{self.attack}:/data/y:ro")):
                self.attacked("run", "--rm", "-v", "/anon", *flags, "out", "cat", f"/{name}", f"/{name}/secret", str(self.secret))
            self.host_is_untouched()

    def test_files_of_users_that_are_no_files(self):
        """/etc/passwd as a FIFO, a folder, a device: no hang, and no way out."""
        for kind in (tarfile.FIFOTYPE, tarfile.DIRTYPE):
            self.hull("import", "-", "odd", input=image_with(self.attack, ("etc/passwd", kind, ""), ("etc/group", kind, "")))
            self.attacked("run", "--rm", *NONE, "-u", "user", "odd", "true", code=125, timeout=10)
            self.attacked("run", "--rm", *NONE, "-u", "12:34", "odd", "true", code=0, timeout=10)

    def test_mount_points_that_change_places(self):
        """CVE-2021-30465, CVE-2024-23651: a folder of a shared volume becomes a link
        to the host's while another container mounts on it."""
        self.hull("volume", "create", "shared")
        self.hull("run", "--rm", *NONE, "-v", "shared:/s", "demo", "sh", "-c", f"mkdir /s/place; ln -s {self.folder} /s/link")
        self.hull("run", "-d", "--name", "swap", *NONE, "-v", "shared:/s", "demo", "attack", "swap", "/s/place", "/s/link", "8")
        self.eventually(lambda: "swapping" in self.hull.out("logs", "swap"))
        until = time.monotonic() + 6
        mounts = pathlib.Path("/proc/self/mountinfo")
        while time.monotonic() < until:
            for flags in (("--tmpfs", "/s/place"), ("-v", f"{self.attack}:/s/place/made:ro"), ("-v", "other:/s/place/sub")):
                self.attacked("run", "--rm", *NONE, "-v", "shared:/s", *flags, "demo", "sh", "-c", "cat /s/place/secret /s/link/secret; true")
            self.assertNotIn(str(self.folder), mounts.read_text())
        self.host_is_untouched()
        self.hull("rm", "-f", "swap")
        self.hull("volume", "rm", "shared", "other")

    def test_links_of_a_volume_do_not_lead_out(self):
        self.hull("volume", "create", "vv")
        self.hull("run", "--rm", *NONE, "-v", "vv:/v", "demo", "ln", "-s", str(self.folder), "/v/link")
        self.hull("run", "--rm", *NONE, "-v", "vv:/v", "demo", "sh", "-c", "cat /v/link/secret 2>/dev/null; echo x > /v/link/new", code=None)
        self.host_is_untouched()
        with tempfile.TemporaryDirectory() as target, contextlib.suppress(AssertionError):
            self.hull("run", "-d", "--name", "cpv", *NONE, "-v", "vv:/v", "demo", "sleep", "60")
            done = self.hull("cp", "cpv:/v/link/secret", f"{target}/got", code=None)
            self.assertNotEqual(done.returncode, 0)
            self.assertFalse(os.path.exists(f"{target}/got"))
        self.hull("rm", "-f", "cpv")
        self.hull("volume", "rm", "vv")

    def test_whoever_enters_the_mounts_finds_no_root_of_the_host(self):
        self.hull("run", "-d", "--name", "inner", *NONE, "demo", "sleep", "60")
        pid = self.hull.out("inspect", "-f", "{{.State.Pid}}", "inner")
        seen = subprocess.run(["nsenter", "-t", pid, "-m", "--", "/bin/ls", "-1a", "/"], capture_output=True, text=True, check=True).stdout
        self.assertEqual(seen.split(), self.hull.out("exec", "inner", "ls", "-1a", "/").split())
        self.hull("rm", "-f", "inner")


if __name__ == "__main__":
    main()
