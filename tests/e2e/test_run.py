#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hull run: what the process sees, what comes back, what it leaves."""
import io
import json
import os
import subprocess
import tarfile
import tempfile
import unittest

from lib.hull import HullTest, main


# What another isolation level does not do, and why.
DIFFERS = {
    "sandbox": {
        "test_namespaces_of_another_container": "a kernel of its own shares no namespaces: refused, test_sandbox.py",
        "test_namespaces_of_the_host": "likewise",
        "test_ipc_must_be_shareable": "likewise",
        "test_pid_1_and_own_namespaces": "two kernels number their namespaces alike",
        "test_root_inside_is_nobody_outside": "it has no user namespace inside: root there is nobody outside by the machine's wall",
    },
}
DIFFERS["microvm"] = DIFFERS["sandbox"]


class Run(HullTest):
    def sh(self, script, *flags, **kwargs):
        return self.hull.out("run", "--rm", "--network", "none", *flags, "demo", "sh", "-c", script, **kwargs)

    # ---- output, input, exit codes

    def test_output_and_errors_come_apart(self):
        done = self.hull("run", "--rm", "demo", "sh", "-c", "echo out; echo err >&2")
        self.assertEqual((done.out, done.err), ("out\n", "err\n"))

    def test_input_half_close(self):
        done = self.hull("run", "--rm", "-i", "demo", "sh", "-c", "wc -c; echo after", input=b"x" * 300000)
        self.assertEqual(done.out.split(), ["300000", "after"])

    def test_large_output_is_whole(self):
        done = self.hull("run", "--rm", "demo", "sh", "-c", "dd if=/dev/zero bs=1M count=20 2>/dev/null")
        self.assertEqual(len(done.stdout), 20 << 20)

    def test_exit_code_is_the_command_s(self):
        for code in (0, 1, 3, 42, 255):
            self.hull("run", "--rm", "demo", "sh", "-c", f"exit {code}", code=code)

    def test_death_by_signal_is_128_and_the_signal(self):
        self.hull("run", "--rm", "--init", "demo", "sh", "-c", "kill -9 $$", code=137)
        self.hull("run", "--rm", "--init", "demo", "sh", "-c", "kill -TERM $$", code=143)

    def test_missing_command_is_127(self):
        done = self.hull("run", "--rm", "demo", "no-such-command", code=127)
        self.assertIn('exec: "no-such-command": executable file not found in $PATH', done.err)

    def test_command_without_execute_bit_is_126(self):
        done = self.hull("run", "--rm", "demo", "/etc/passwd", code=126)
        self.assertIn("permission denied", done.err)

    def test_directory_as_command_is_126(self):
        self.hull("run", "--rm", "demo", "/etc", code=126)

    def test_detached_prints_the_id(self):
        done = self.hull("run", "-d", "demo", "sleep", "60")
        self.assertRegex(done.out, r"^[0-9a-f]{64}\n$")

    # ---- the process

    def test_environment_workdir_user(self):
        out = self.sh("id -u; id -g; pwd; echo $A; echo $HOME", "-u", "user", "-w", "/made/up", "-e", "A=b c")
        self.assertEqual(out.splitlines(), ["1000", "1000", "/made/up", "b c", "/home/user"])

    def test_supplementary_groups_come_from_the_image(self):
        self.assertIn("2000", self.sh("id -G", "-u", "user").split())

    def test_user_that_is_not_there(self):
        done = self.hull("run", "--rm", "-u", "nobody-there", "demo", "true", code=125)
        self.assertIn("unable to find user nobody-there", done.err)

    def test_bad_users_are_refused(self):
        for user in ("2147483648", "4294967295", "4294967296", "-1", "0x0", "+0"):
            done = self.hull("run", "--rm", f"--user={user}", "demo", "true", code=None)
            self.assertNotEqual(done.returncode, 0, user)

    def test_entrypoint_rules(self):
        self.assertEqual(self.hull.out("run", "--rm", "--entrypoint", "echo", "demo", "a", "b"), "a b")

    def test_env_file(self):
        with tempfile.NamedTemporaryFile("w", suffix=".env") as f:
            f.write("# comment\nX=1\nHOME_OF_HOST\n")
            f.flush()
            self.assertEqual(self.sh("echo $X", "--env-file", f.name), "1")

    def test_pid_1_and_own_namespaces(self):
        self.assertEqual(self.sh("echo $$"), "1")
        inside = self.sh("for n in pid mnt ipc uts net user cgroup; do readlink /proc/self/ns/$n; done").split()
        outside = [os.readlink(f"/proc/self/ns/{n}") for n in ("pid", "mnt", "ipc", "uts", "net", "user", "cgroup")]
        for a, b in zip(inside, outside):
            self.assertNotEqual(a, b)

    def test_root_inside_is_nobody_outside(self):
        first = self.sh("cat /proc/self/uid_map").split()
        self.assertEqual(first[0], "0")
        self.assertGreaterEqual(int(first[1]), 0x10000000)
        self.assertEqual(first[2], "65536")

    def test_files_made_inside_belong_to_root_inside(self):
        self.assertEqual(self.sh("touch /f; stat -c %u:%g /f /etc/passwd").split(), ["0:0", "0:0"])

    def test_userns_host(self):
        self.assertEqual(self.sh("cat /proc/self/uid_map", "--userns=host").split(), ["0", "0", "4294967295"])

    def test_init_reaps_zombies(self):
        out = self.sh("(sleep 0.1 &); sleep 0.4; ps -o stat,comm | grep -c '^Z' || true; echo pid $$", "--init")
        self.assertEqual(out.splitlines()[0], "0")
        self.assertNotIn("pid 1\n", out + "\n")

    def test_read_only_root(self):
        self.assertIn("Read-only file system", self.sh("touch /x 2>&1; touch /dev/shm/ok && echo shm ok", "--read-only"))

    def test_hostname(self):
        self.assertEqual(self.sh("hostname", "--hostname", "box.example"), "box.example")

    def test_ulimit_sysctl_oom_shm(self):
        out = self.sh("ulimit -n; cat /proc/sys/net/core/somaxconn; cat /proc/self/oom_score_adj; df -k /dev/shm | tail -1",
                      "--ulimit", "nofile=100:200", "--sysctl", "net.core.somaxconn=77", "--oom-score-adj", "300",
                      "--shm-size", "8m").splitlines()
        self.assertEqual(out[:3], ["100", "77", "300"])
        self.assertIn("8192", out[3])

    # ---- the wall

    def capabilities(self, *flags):
        return int(self.sh("grep CapEff /proc/self/status", *flags).split()[1], 16)

    def test_capabilities(self):
        self.assertEqual(self.capabilities(), 0xa80425fb)
        self.assertEqual(self.capabilities("--cap-drop", "ALL"), 0)
        self.assertEqual(self.capabilities("--cap-drop", "all", "--cap-add", "NET_ADMIN"), 1 << 12)
        self.assertEqual(self.capabilities("-u", "user"), 0)
        inheritable = self.sh("grep CapInh /proc/self/status").split()[1]
        self.assertEqual(int(inheritable, 16), 0)

    def test_seccomp_and_no_new_privileges(self):
        status = self.sh("cat /proc/self/status", "--security-opt", "no-new-privileges")
        self.assertIn("Seccomp:\t2", status)
        self.assertIn("NoNewPrivs:\t1", status)
        self.assertIn("not permitted", self.sh("unshare -U true 2>&1 || true"))
        self.assertIn("Seccomp:\t0", self.sh("cat /proc/self/status", "--security-opt", "seccomp=unconfined"))

    def test_masked_and_read_only_paths(self):
        self.assertEqual(self.sh("cat /proc/kcore | wc -c; cat /proc/timer_list 2>/dev/null | wc -c").split(), ["0", "0"])
        self.assertIn("Read-only", self.sh("(echo x > /proc/sys/kernel/hostname) 2>&1 || true"))

    def test_only_three_descriptors(self):
        out = self.sh("ls /proc/self/fd")
        self.assertEqual(out.split(), ["0", "1", "2", "3"])  # 3 is ls's own

    def test_devices(self):
        out = self.sh("ls /dev; echo x > /dev/null; head -c 4 /dev/urandom | wc -c; mknod /d c 1 3 2>&1 || true")
        for name in ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "fd", "stdin"):
            self.assertIn(name, out.split())
        self.assertIn("not permitted", out)

    def test_namespaces_of_another_container(self):
        sees = "cat /proc/1/comm; ls /proc | grep -c '^[0-9]'; touch /dev/shm/there; touch /x && stat -c %u /x"
        for name, flags in (("mapped", ()), ("bare", ("--privileged",))):
            self.hull("run", "-d", "--name", name, "--ipc", "shareable", *flags, "demo", "sleep", "60")
            out = self.hull.out("run", "--rm", "--pid", f"container:{name}", "demo", "sh", "-c", sees)
            self.assertEqual(out.split()[0], "sleep")
            self.assertEqual(out.split()[-1], "0")
            self.hull("run", "--rm", "--ipc", f"container:{name}", "demo", "sh", "-c", "echo x > /dev/shm/shared")
            self.assertEqual(self.hull.out("exec", name, "cat", "/dev/shm/shared"), "x")
            own = self.hull.out("exec", name, "ip", "-o", "link", "show", "eth0")
            self.assertEqual(self.hull.out("run", "--rm", "--network", f"container:{name}", "demo", "ip",
                                           "-o", "link", "show", "eth0"), own)
        out = self.hull.out("run", "--rm", *(f"--{kind}=container:mapped" for kind in ("pid", "ipc", "network")), "demo",
                            "sh", "-c", sees)
        self.assertEqual(out.split()[0], "sleep")

    def test_ipc_must_be_shareable(self):
        self.hull("run", "-d", "--name", "mine", "demo", "sleep", "60")
        self.assertIn("non-shareable IPC", self.hull("run", "--rm", "--ipc", "container:mine", "demo", "true", code=125).err)

    def test_namespaces_of_the_host(self):
        for kind, name in (("pid", "pid"), ("ipc", "ipc"), ("uts", "uts"), ("network", "net"), ("userns", "user")):
            out = self.hull.out("run", "--rm", f"--{kind}=host", "demo", "ls", "-l", f"/proc/self/ns/{name}")
            self.assertIn(os.readlink(f"/proc/self/ns/{name}"), out)

    def test_privileged(self):
        out = self.sh("grep CapEff /proc/self/status; mount -t tmpfs t /mnt 2>&1 || mkdir /mnt && mount -t tmpfs t /mnt && echo mounted",
                      "--privileged")
        self.assertIn("mounted", out)

    def test_nothing_is_mounted_over_proc(self):
        with tempfile.TemporaryDirectory() as d:
            for where in ("/proc", "/proc/sys", "/proc/self/task"):
                done = self.hull("run", "--rm", "-v", f"{d}:{where}", "demo", "true", code=125)
                self.assertIn("inside /proc", done.err, where)
            with open(f"{d}/up", "w", encoding="ascii") as f:
                f.write("12 34\n")
            self.assertEqual(self.sh("cat /proc/uptime", "-v", f"{d}/up:/proc/uptime"), "12 34")

    def test_proc_of_the_image_is_no_link(self):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            for name, target in (("proc", "tmp"), ("sys", "tmp")):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = tarfile.SYMTYPE, target
                tar.addfile(info)
        self.hull("import", "-", "linked", input=data.getvalue())
        done = self.hull("run", "--rm", "linked", "true", code=125)
        self.assertIn("/proc must be a directory of the image", done.err)

    def test_working_directory_cannot_leave(self):
        for n in range(3, 20):
            done = self.hull("run", "--rm", "--network", "none", "-w", f"/proc/self/fd/{n}", "demo", "pwd", code=None)
            self.assertNotIn(str(self.hull.dir), done.out)
            self.assertNotEqual(done.returncode, 0)

    # ---- files

    def test_bind_mounts(self):
        with tempfile.TemporaryDirectory() as d:
            with open(f"{d}/f", "w", encoding="ascii") as f:
                f.write("host\n")
            self.assertEqual(self.sh("cat /m/f; echo in >> /m/f", "-v", f"{d}:/m"), "host")
            with open(f"{d}/f", encoding="ascii") as f:
                self.assertEqual(f.read(), "host\nin\n")
            self.assertIn("Read-only", self.sh("(echo x > /m/f) 2>&1 || true", "-v", f"{d}:/m:ro"))
            self.assertEqual(self.sh("cat /single", "--mount", f"type=bind,src={d}/f,dst=/single,readonly").split(), ["host", "in"])

    def test_tmpfs(self):
        out = self.sh("df -k /t | tail -1; touch /t/x && echo ok", "--tmpfs", "/t:size=1m,mode=700")
        self.assertIn("1024", out)
        self.assertIn("ok", out)

    def test_volumes_from(self):
        self.hull("create", "--name", "data", "-v", "/data", "demo", "true")
        self.sh("echo 1 > /data/x", "--volumes-from", "data")
        self.assertEqual(self.sh("cat /data/x", "--volumes-from", "data"), "1")

    # ---- the dial

    def test_levels(self):
        self.assertEqual(self.hull.out("run", "--rm", "--isolation=container", "demo", "echo", "x"), "x")
        self.assertEqual(self.hull.out("run", "--rm", "--isolation=runc", "demo", "echo", "x"), "x")
        for level in ("vm", "wasm"):
            done = self.hull("run", "--rm", f"--isolation={level}", "demo", "echo", "x", code=None)
            self.assertNotEqual(done.returncode, 0)
            self.assertEqual(done.out, "")
        done = self.hull("run", "--rm", "--isolation=nonsense", "demo", "true", code=125)
        self.assertIn("invalid isolation", done.err)


if __name__ == "__main__":
    main()
