# SPDX-License-Identifier: Apache-2.0
"""What is particular to the level sandbox: a kernel of its own in user space.
What every level does alike is tested by the tests of that, with HULL_TEST_LEVEL."""
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile

from lib import leaks
from lib.hull import HullTest, busybox_tar, main, need, need_program

USERNS_FIRST_ID = 0x10000000


class Sandbox(HullTest):
    level = "sandbox"

    @classmethod
    def setUpClass(cls):
        need(shutil.which("linux.uml"), "user-mode-linux is not installed")
        super().setUpClass()

    def sh(self, script, *args, image="demo", **kwargs):
        return self.hull.out("run", "--rm", *args, image, "sh", "-c", script, **kwargs)

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

    def test_doctor_tells_what_it_gives_and_costs(self):
        def levels(**how):
            report = json.loads(self.hull.out("doctor", "--format", "json", **how))
            return {level["name"]: level for level in report["levels"]}
        sandbox = levels()["sandbox"]
        self.assertTrue(sandbox["available"])
        kernel = next(row["Name"] for row in map(json.loads, self.hull.out("kernel", "ls", "--format", "json").splitlines())
                      if row["For"] == "sandbox" and row["Default"])
        self.assertIn(kernel, sandbox["gives"])
        costs = re.compile(r"about ([0-9.]+) us more \(a plain one here: ([0-9.]+) us\)")
        for text in (sandbox["costs"], self.hull.out("doctor")):
            microseconds, plain = map(float, costs.search(text).groups())
            self.assertGreater(microseconds, plain)
        if kernel == "debian-uml":
            self.assertIn("hull kernel build", sandbox["try"])

    # ---- limits, which its own kernel keeps

    def inside(self, name, file):
        return self.hull.out("exec", name, "cat", f"/sys/fs/cgroup/{file}")

    def test_limits_are_set_and_changed_inside(self):
        self.hull("run", "-d", "--name", "limited", "-m", "64m", "--pids-limit", "20", "demo", "sleep", "600")
        self.assertEqual((self.inside("limited", "memory.max"), self.inside("limited", "pids.max")), (str(64 << 20), "20"))
        self.hull("update", "-m", "96m", "--memory-swap", "-1", "--pids-limit", "30", "limited")
        self.assertEqual((self.inside("limited", "memory.max"), self.inside("limited", "pids.max")), (str(96 << 20), "30"))
        self.assertIn("/ 96MiB", self.hull.out("stats", "--no-stream", "limited"))
        err = self.hull("update", "-m", "4g", "--memory-swap", "-1", "limited", code=1).err
        self.assertIn("which it was started with", err)

    def test_networks_are_chosen_before_the_start(self):
        self.hull("network", "create", "later")
        self.addCleanup(lambda: self.hull("network", "rm", "later"))
        self.hull("run", "-d", "--name", "fixed", "demo", "sleep", "600")
        self.assertIn("cannot be changed while it runs", self.hull("network", "connect", "later", "fixed", code=1).err)
        self.hull("stop", "-t", "0", "fixed")
        self.hull("network", "connect", "later", "fixed")
        self.hull("start", "fixed")
        self.assertIn("eth1", self.hull.out("exec", "fixed", "ip", "-o", "addr"))
        self.hull("rm", "-f", "fixed")

    # ---- the jail

    def family(self, *flags):
        """name -> pid: the monitor of a running sandbox and its children and theirs."""
        self.hull("run", "-d", "--name", "jailed", *flags, "demo", "sleep", "4242")
        supervisor = int(self.hull.out("inspect", "-f", "{{.State.Pid}}", "jailed"))
        found = {"hull-guest": supervisor, "hull-monitor": leaks.parent_of(supervisor)}
        for parent in (supervisor, "hull-sandbox"):
            for process in pathlib.Path("/proc").glob("[0-9]*"):
                if leaks.parent_of(int(process.name)) == found.get(parent, parent):
                    found[(process / "comm").read_text().strip()] = int(process.name)
        self.assertEqual(set(found), {"hull-monitor", "hull-guest", "hull-files", "hull-sandbox", "linux"})
        return found

    def status(self, pid):
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
        return {key: value.split() for key, value in (line.split(":", 1) for line in lines)}

    def lives(self, pid):
        try:
            return self.status(pid)["State"][0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def test_processes_have_no_privileges(self):
        found = self.family()
        for name in ("linux", "hull-sandbox", "hull-guest", "hull-files"):
            with self.subTest(name):
                s = self.status(found[name])
                self.assertTrue(all(int(uid) >= USERNS_FIRST_ID for uid in s["Uid"] + s["Gid"]))
                self.assertEqual((s["NoNewPrivs"], s["Seccomp"]), (["1"], ["2"]))
                self.assertEqual(s["CapBnd"] if name != "hull-files" else ["0" * 16], ["0" * 16])
        for name in ("linux", "hull-sandbox", "hull-guest"):
            s = self.status(found[name])
            self.assertEqual({s[key][0] for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}, {"0" * 16})
        for ns in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup"):
            self.assertNotEqual(os.readlink(f"/proc/{found['linux']}/ns/{ns}"), os.readlink(f"/proc/self/ns/{ns}"))
        root = os.listdir(f"/proc/{found['linux']}/root")
        # A kernel that is linked statically brings no libraries.
        self.assertEqual(sorted(set(root) - {"lib", "lib64"}), ["initramfs", "layer0", "linux", "proc", "ring", "tmp"])
        self.assertEqual(os.listdir(f"/proc/{found['hull-guest']}/root"), [])
        # What it has open: its memory, its layers, pipes and sockets.
        for fd in os.listdir(f"/proc/{found['linux']}/fd"):
            target = os.readlink(f"/proc/{found['linux']}/fd/{fd}")
            self.assertRegex(target, r"^(/dev/null|pipe:|socket:|anon_inode:|/ring|/layer0|/tmp/#\d+ \(deleted\))")

    def test_guest_programs_make_no_call_of_the_host(self):
        """Calls that the filter of every process of the sandbox refuses succeed inside:
        they never were the host's. And their effects are not there."""
        name = os.uname().nodename
        script = ("set -e; hostname of-the-guest; mkdir -p /mnt; mount -t tmpfs none /mnt; touch /mnt/x; unshare -m true;"
                  " ip link add b0 type bridge 2>/dev/null || ip link set lo down; date -s 2001-01-01 >/dev/null; hostname; date +%Y;"
                  " sleep 4242 & kill -9 -1 2>/dev/null || true; echo still")
        out = self.sh(script, "--privileged", "--network", "none").split()
        self.assertEqual(out[:2], ["of-the-guest", "2001"])
        self.assertEqual(os.uname().nodename, name)
        self.assertGreater(int(subprocess.run(["date", "+%Y"], capture_output=True, text=True, check=True).stdout), 2020)

    def test_the_host_sees_no_process_of_the_guest(self):
        def is_seen():
            seen = False
            for process in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen |= process.read_bytes() == b"sleep\0987654\0"
                except OSError:
                    continue
            return seen
        for level, seen in (("container", True), ("sandbox", False)):
            self.hull("run", "-d", "--name", "hidden", "--isolation", level, "--network", "none", "demo", "sleep", "987654")
            self.assertEqual(self.hull.out("inspect", "-f", "{{.State.Running}}", "hidden"), "true")
            self.assertEqual(is_seen(), seen, level)
            self.hull("rm", "-f", "hidden")

    # ---- death

    def test_whoever_dies_nothing_is_left(self):
        for victim in ("hull-monitor", "hull-guest", "hull-sandbox", "linux", "hull-files"):
            with self.subTest(victim):
                found = self.family("-v", "vol:/data")
                os.kill(found[victim], signal.SIGKILL)
                self.eventually(lambda: not any(self.lives(pid) for pid in found.values()))
                self.hull("ps")
                self.assertEqual(self.hull.out("inspect", "-f", "{{.State.Status}}", "jailed"), "exited")
                self.hull("rm", "-v", "jailed")
                self.assertEqual(self.hull.wait_until_clean(), [])

    def test_a_kernel_that_panics_is_told(self):
        need(self.sh("ls /proc/sysrq-trigger 2>/dev/null || true", "--privileged"), "this guest's kernel knows no request to panic")
        done = self.hull("run", "--privileged", "--name", "panics", "demo", "sh", "-c", "echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger", code=255)
        self.assertIn("the guest's kernel panicked", done.err)

    # ---- what differs

    def test_a_paused_workload_stands_still_while_its_kernel_answers(self):
        """cp, update and top wake the machine; the workload counts on only when it is
        let, and two who ask at once do not disturb each other."""
        self.hull("run", "-d", "--name", "still", "-m", "64m", "demo", "sh", "-c", "while :; do echo >> /tmp/n; sleep 0.02; done")
        count = lambda: int(self.hull.out("exec", "still", "sh", "-c", "cat /tmp/n 2> /dev/null | wc -c"))
        self.eventually(lambda: count() > 3)
        self.hull("pause", "still")
        with tempfile.TemporaryDirectory(dir=self.hull.dir) as d:
            here = pathlib.Path(d)
            (here / "big").write_bytes(os.urandom(4 << 20))
            copied = lambda name: (self.hull("cp", "still:/tmp/n", here / name), (here / name).stat().st_size)[1]
            first = copied("first")
            self.hull("update", "-m", "80m", "--memory-swap", "160m", "still")
            self.assertIn("while", self.hull.out("top", "still"))
            both = [self.hull.start("cp", here / "big", f"still:/tmp/big{i}") for i in range(2)]
            for process in both:
                self.assertEqual(process.wait(60), 0, process.stderr.read())
                process.stderr.close()
                process.stdout.close()
            self.assertEqual(copied("last"), first)
            self.assertEqual(self.hull.out("inspect", "-f", "{{.State.Status}}", "still"), "paused")
            group = self.hull.out("inspect", "-f", "{{.Id}}", "still")
            places = [top / "hull" / group / file for top in map(pathlib.Path, ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer"))
                      for file in ("cgroup.freeze", "freezer.state")]
            self.assertIn([place.read_text().strip() for place in places if place.exists()], (["1"], ["FROZEN"]))
            self.hull("unpause", "still")
            self.eventually(lambda: count() > first)
            for i in range(2):
                self.hull("cp", f"still:/tmp/big{i}", here / "back")
                self.assertEqual((here / "back").read_bytes(), (here / "big").read_bytes())
        self.assertEqual(self.inside("still", "memory.max"), str(80 << 20))
        self.hull("pause", "still")
        self.hull("rm", "-f", "still")

    def test_a_volume_that_may_be_seen_late(self):
        with tempfile.TemporaryDirectory(dir=self.hull.dir) as d:
            (pathlib.Path(d) / "f").write_text("old")
            for mount in (["-v", f"{d}:/m:cached"], ["--mount", f"type=bind,src={d},dst=/m,consistency=delegated"], ["-v", f"{d}:/m"]):
                (pathlib.Path(d) / "f").write_text("old")
                self.hull("run", "-d", "--name", "late", *mount, "demo", "sh", "-c",
                          "cat /m/f; echo seen > /m/mine; while [ $(cat /m/f) = old ]; do sleep 0.2; done; cat /m/f")
                self.eventually(lambda: (pathlib.Path(d) / "mine").exists(), 60)
                # In one step: what is seen is the old or the new.
                with open(pathlib.Path(d) / "f", "r+b") as f:
                    os.pwrite(f.fileno(), b"new", 0)
                self.assertEqual(self.hull.out("wait", "late", timeout=60), "0")
                self.assertEqual(self.hull.out("logs", "late"), "oldnew")
                self.hull("rm", "late")
                (pathlib.Path(d) / "mine").unlink()

    def test_an_image_of_many_layers(self):
        self.hull("tag", "demo", "many")
        for i in range(18):
            self.hull("run", "--isolation=container", "--network", "none", "--name", "step", "many", "sh", "-c", f"echo {i} > /layer{i}")
            self.hull("commit", "step", "many")
            self.hull("rm", "step")
        self.assertEqual(self.sh("cat /layer*", image="many").split(), sorted(map(str, range(18))))

    def test_etc_is_the_image_s_whatever_it_is(self):
        """The places for hull's files in /etc are made before the guest starts where that
        is plain, and by the guest where it is not: with the same outcome."""
        def image(name, *entries):
            data = io.BytesIO(busybox_tar())
            with tarfile.open(fileobj=data, mode="a") as tar:
                for path, kind, mode, owner, link in entries:
                    info = tarfile.TarInfo(path)
                    info.type, info.mode, info.uid, info.gid, info.linkname, info.mtime = kind, mode, *owner, link, 1600000000
                    tar.addfile(info)
            self.hull("import", "-", name, input=data.getvalue())
        image("owned", ("etc", tarfile.DIRTYPE, 0o711, (5, 6), ""), ("etc/hosts", tarfile.REGTYPE, 0o600, (7, 8), ""))
        image("linked", ("etc/hosts", tarfile.SYMTYPE, 0o777, (0, 0), "../var/hosts"), ("var/hosts", tarfile.REGTYPE, 0o640, (1, 2), ""))
        self.hull("run", "--name", "step", "--isolation=container", "--network", "none", "demo", "sh", "-c", "rm -r /etc; mkdir -m 700 /etc; echo x:x:0:0::/:/bin/sh > /etc/passwd")
        self.hull("commit", "step", "anew")
        self.hull("rm", "step")
        script = ("stat -c '%n %a %u:%g %F' /etc /etc/*; umount /etc/hosts /etc/hostname /etc/resolv.conf 2>/dev/null; "
                  "stat -c '%n %a %u:%g %F %s' /etc/hosts /etc/hostname /etc/resolv.conf; ls -la /etc | wc -l")
        for name in ("demo", "owned", "linked", "anew"):
            with self.subTest(name):
                said = [self.hull.out("run", "--rm", "--privileged", "--isolation", level, "--network", "none", name, "sh", "-c", script)
                        for level in ("container", "sandbox")]
                self.assertEqual(*said)
                self.assertIn("/etc/resolv.conf", said[0])

    def test_vector_registers_are_each_thread_s_own(self):
        program = self.hull.dir / "float-registers"
        subprocess.run([need_program("cc"), "-O1", "-D_GNU_SOURCE", "-static", "-pthread", "-o", program,
                        pathlib.Path(__file__).with_name("float_registers.c")], check=True)
        said = self.hull.out("run", "--rm", "--network", "none", "-v", f"{program}:/try:ro", "demo", "/try")
        self.assertEqual(said, "kept")

    def test_what_ends_at_once_has_an_exit_code(self):
        self.hull("run", "-d", "--name", "quick", "--network", "none", "demo", "sleep", "600")
        for code in range(20):
            self.hull("exec", "quick", "sh", "-c", f"exit {code}", code=code, timeout=20)

    def test_no_swap(self):
        """A guest has none: what --memory-swap allows beyond --memory is not there."""
        self.hull("run", "--name", "swaps", "-m", "32m", "--memory-swap", "96m", "--network", "none", "demo", "dd", "if=/dev/zero", "of=/dev/null",
                  "bs=60M", "count=1", code=137)
        self.assertEqual(self.hull.out("inspect", "-f", "{{.State.OOMKilled}}", "swaps"), "true")
        self.assertEqual(self.sh("grep SwapTotal /proc/meminfo", "--network", "none").split()[1:], ["0", "kB"])

    def test_memory(self):
        self.hull("run", "--name", "hog", "-m", "32m", "demo", "sh", "-c", "x=a; while :; do x=$x$x; done", code=137)
        self.assertEqual(self.hull.out("inspect", "-f", "{{.State.OOMKilled}}", "hog"), "true")


if __name__ == "__main__":
    main()
