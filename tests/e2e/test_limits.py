#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Limits: what the user asks for is in the group, holds, and can be changed live.

The same file runs on the host, whatever cgroups it has, and in pure cgroup v2 on
a kernel of its own (tests/lab)."""
import contextlib
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
import unittest

from lib.hull import HullTest, main, need, need_program

GROUPS = pathlib.Path("/sys/fs/cgroup")
IS_V2 = (GROUPS / "cgroup.controllers").exists()
NONE = ("--network", "none")
# Its control groups are of version 2 whatever the host's are.
OWN_KERNEL = HullTest.level in ("sandbox", "microvm")


def has_controller(name):
    if IS_V2:
        return {"blkio": "io"}.get(name, name) in (GROUPS / "cgroup.controllers").read_text().split()
    return (GROUPS / name).is_dir()


def need_controllers(*names):
    for name in names:
        need(has_controller(name), f"this kernel has no {name} controller")


def has_setting(v1, v2):
    """Whether the groups below a controller's root know a file (the root lacks some)."""
    if not IS_V2:
        return (GROUPS / v1.split(".")[0] / v1).exists()
    probe = GROUPS / "hull-probe"
    with contextlib.suppress(OSError):
        (GROUPS / "cgroup.subtree_control").write_text("+" + v2.split(".")[0])
    probe.mkdir(exist_ok=True)
    try:
        return (probe / v2).exists()
    finally:
        probe.rmdir()


# What another isolation level does not do, and why.
DIFFERS = {
    "sandbox": {
        "test_swap": "a guest has no swap: test_sandbox.py",
        "test_processors_of_choice": "its kernel sees one processor",
        "test_rate_of_a_device": "what is written passes the page cache of hull-files",
    },
}


class Limits(HullTest):
    def sleeper(self, name, *flags):
        self.hull("run", "-d", "--name", name, *NONE, *flags, "demo", "sleep", "600")

    def group(self, name, controller):
        id = self.hull.out("inspect", "-f", "{{.Id}}", name)
        return GROUPS / "hull" / id if IS_V2 else GROUPS / controller / "hull" / id

    def value(self, name, v1, v2):
        """A setting of the container's group, as the host sees it."""
        file = v2 if IS_V2 else v1
        return (self.group(name, v1.split(".")[0]) / file).read_text().strip()

    def kept(self, name, v1, v2):
        """A setting that the workload's own kernel keeps: its processes and memory."""
        if OWN_KERNEL:
            return self.hull.out("exec", name, "cat", f"/sys/fs/cgroup/{v2}")
        return self.value(name, v1, v2)

    def state(self, name):
        return json.loads(self.hull.out("inspect", name))[0]["State"]

    def actions(self, name):
        lines = self.hull.out("events", "--since", "1h", "--until", "0s", "--filter", f"container={name}", "--format", "{{.Action}}")
        return lines.split("\n")

    # ---- memory

    def test_memory_is_set_and_seen_inside(self):
        need_controllers("memory")
        self.sleeper("mm", "-m", "64m", "--memory-reservation", "32m")
        self.assertEqual(self.kept("mm", "memory.limit_in_bytes", "memory.max"), str(64 << 20))
        self.assertEqual(self.kept("mm", "memory.soft_limit_in_bytes", "memory.low"), str(32 << 20))
        inside = "/sys/fs/cgroup/memory.max" if IS_V2 or OWN_KERNEL else "/sys/fs/cgroup/memory/memory.limit_in_bytes"
        self.assertEqual(self.hull.out("exec", "mm", "cat", inside), str(64 << 20))
        self.hull("exec", "mm", "sh", "-c", f"echo 1000000000 > {inside}", code=1)
        self.assertIn("64MiB", self.hull.out("stats", "--no-stream", "mm"))

    def test_memory_is_changed_live(self):
        need_controllers("memory")
        self.sleeper("ml", "-m", "64m")
        for size in (128, 32, 96):
            self.hull("update", "-m", f"{size}m", "--memory-swap", f"{2 * size}m", "ml")
            self.assertEqual(self.kept("ml", "memory.limit_in_bytes", "memory.max"), str(size << 20))
        self.hull("restart", "-t", "0", "ml")
        self.assertEqual(self.kept("ml", "memory.limit_in_bytes", "memory.max"), str(96 << 20))

    def test_swap(self):
        need_controllers("memory")
        need(has_setting("memory.memsw.limit_in_bytes", "memory.swap.max"), "this kernel does not count swap")
        self.sleeper("sw", "-m", "64m", "--memory-swap", "96m")
        self.assertEqual(self.value("sw", "memory.memsw.limit_in_bytes", "memory.swap.max"), str((32 if IS_V2 else 96) << 20))
        self.hull("update", "-m", "32m", "--memory-swap", "32m", "sw")
        self.assertEqual(self.value("sw", "memory.memsw.limit_in_bytes", "memory.swap.max"), str((0 if IS_V2 else 32) << 20))
        self.hull("update", "--memory-swap", "-1", "sw")
        self.assertIn(self.value("sw", "memory.memsw.limit_in_bytes", "memory.swap.max"), ("max", "9223372036854771712"))

    def test_out_of_memory_is_told(self):
        need_controllers("memory")
        self.hull("run", "--name", "om", "-m", "16m", "--memory-swap", "16m", *NONE, "demo", "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1", code=137)
        state = self.state("om")
        self.assertEqual((state["OOMKilled"], state["ExitCode"], state["Status"]), (True, 137, "exited"))
        actions = self.actions("om")
        self.assertIn("oom", actions)
        self.assertLess(actions.index("oom"), actions.index("die"))
        # What a page of tmpfs takes is the container's too.
        self.hull("run", "--name", "tm", "-m", "16m", "--memory-swap", "16m", "--tmpfs", "/t:size=100m", *NONE, "demo",
                  "dd", "if=/dev/zero", "of=/t/file", "bs=1M", "count=60", code=None)
        self.assertTrue(self.state("tm")["OOMKilled"])

    def test_out_of_memory_of_a_child_and_of_an_exec(self):
        need_controllers("memory")
        self.hull("run", "-d", "--name", "oc", "-m", "16m", "--memory-swap", "16m", *NONE, "demo", "sh", "-c",
                  "dd if=/dev/zero of=/dev/null bs=64M count=1; echo child $?; sleep 600")
        self.eventually(lambda: "child 137" in self.hull.out("logs", "oc"))
        self.eventually(lambda: "oom" in self.actions("oc"))
        self.assertEqual(self.state("oc")["Status"], "running")
        self.hull("exec", "oc", "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1", code=137)
        self.assertEqual(self.state("oc")["Status"], "running")
        self.hull("update", "-m", "160m", "--memory-swap", "160m", "oc")
        self.hull("exec", "oc", "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")

    def test_an_ordinary_death_is_not_out_of_memory(self):
        self.hull("run", "--name", "or", "-m", "32m" if has_controller("memory") else "0", *NONE, "demo", "sh", "-c",
                  "sleep 60 & kill -9 $!; wait $!", code=137)
        self.assertFalse(self.state("or")["OOMKilled"])
        self.assertNotIn("oom", self.actions("or"))

    def test_restarted_after_out_of_memory(self):
        need_controllers("memory")
        self.hull("run", "-d", "--name", "ro", "-m", "16m", "--memory-swap", "16m", "--restart", "on-failure:1", *NONE, "demo",
                  "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")
        self.eventually(lambda: self.hull.out("inspect", "-f", "{{.RestartCount}} {{.State.Status}} {{.State.OOMKilled}}", "ro") == "1 exited true", 20)

    # ---- processors

    def test_processor_time_is_set_and_changed_live(self):
        need_controllers("cpu")

        def quota():
            if IS_V2:
                return self.value("cc", "cpu.x", "cpu.max")
            return f"{self.value('cc', 'cpu.cfs_quota_us', '')} {self.value('cc', 'cpu.cfs_period_us', '')}"
        self.sleeper("cc", "--cpus", "0.5", "--cpu-shares", "512")
        self.assertEqual(quota(), "50000 100000")
        shares = int(self.value("cc", "cpu.shares", "cpu.weight"))
        self.assertTrue(30 < shares < 100 if IS_V2 else shares == 512, shares)
        self.hull("update", "--cpus", "0.25", "--cpu-shares", "2048", "cc")
        self.assertEqual(quota(), "25000 100000")
        self.assertGreater(int(self.value("cc", "cpu.shares", "cpu.weight")), 100)
        self.hull("create", "--name", "cq", "--cpu-period", "50000", "--cpu-quota", "10000", *NONE, "demo", "sleep", "600")
        self.hull("start", "cq")
        self.hull("update", "--cpu-period", "20000", "--cpu-quota", "5000", "cq")
        text = self.value("cq", "cpu.cfs_quota_us", "cpu.max")
        self.assertEqual(text, "5000 20000" if IS_V2 else "5000")

    def test_processor_time_is_held(self):
        need_controllers("cpu")
        self.hull("run", "-d", "--name", "ch", "--cpus", "0.1", *NONE, "demo", "sh", "-c", "while :; do :; done")

        def throttled():
            return int(re.search(r"nr_throttled (\d+)", self.value("ch", "cpu.stat", "cpu.stat")).group(1))
        self.eventually(lambda: throttled() >= 3, 20)

    def test_processors_of_choice(self):
        need_controllers("cpuset")
        self.sleeper("cs", "--cpuset-cpus", "0", "--cpuset-mems", "0")
        self.assertEqual(self.hull.out("exec", "cs", "grep", "Cpus_allowed_list", "/proc/self/status").split()[-1], "0")
        last = sorted(os.sched_getaffinity(0))[-1]
        self.hull("update", "--cpuset-cpus", str(last), "cs")
        self.assertEqual(self.value("cs", "cpuset.cpus", "cpuset.cpus"), str(last))
        self.assertEqual(self.hull.out("exec", "cs", "grep", "Cpus_allowed_list", "/proc/self/status").split()[-1], str(last))
        self.assertIn("4000", self.hull("run", "--cpuset-cpus", "4000", *NONE, "demo", "true", code=125).err)

    # ---- processes

    def test_number_of_processes(self):
        need_controllers("pids")
        script = "i=0; while [ $i -lt 20 ]; do sleep 5 & i=$((i+1)); done; echo all"
        done = self.hull("run", "--rm", "--pids-limit", "8", *NONE, "demo", "sh", "-c", script, code=None)
        self.assertNotIn("all", done.out)
        self.assertIn("fork", done.err)
        self.sleeper("pp", "--pids-limit", "8")
        self.hull("exec", "pp", "sh", "-c", script, code=2)
        self.hull("update", "--pids-limit", "100", "pp")
        self.assertEqual(self.kept("pp", "pids.max", "pids.max"), "100")
        self.assertEqual(self.hull.out("exec", "pp", "sh", "-c", script), "all")
        self.hull("update", "--pids-limit", "-1", "pp")
        self.assertEqual(self.kept("pp", "pids.max", "pids.max"), "max")

    def test_fork_bomb(self):
        """It is held, and killed whole, while it forks."""
        need_controllers("pids")
        self.hull("run", "-d", "--name", "fb", "--pids-limit", "60", *(("--cpus", "0.5") if has_controller("cpu") else ()), *NONE, "demo",
                  "sh", "-c", "f() { f & f & sleep 60; }; f & exec sleep 600")
        # Nobody else gets in to look at a guest's own group: it says so itself.
        full = (lambda: "can't fork" in self.hull("logs", "fb").err) if OWN_KERNEL else (
            lambda: self.value("fb", "pids.events", "pids.events") != "max 0")
        self.eventually(full, 30)
        self.hull("rm", "-f", "fb")

    # ---- block devices

    @contextlib.contextmanager
    def block_device(self):
        """A file system on a device of its own: (device, number, folder)."""
        losetup, mkfs = need_program("losetup"), need_program("mkfs.ext4")
        with tempfile.TemporaryDirectory(prefix="hull-block-") as folder:
            image, point = pathlib.Path(folder, "image"), pathlib.Path(folder, "point")
            with open(image, "wb") as f:
                f.truncate(32 << 20)
            point.mkdir()
            subprocess.run([mkfs, "-q", image], check=True)
            made = subprocess.run([losetup, "-f", "--show", image], capture_output=True, text=True, check=False)
            need(made.returncode == 0, f"no loop device: {made.stderr.strip()}")
            device = made.stdout.strip()
            try:
                subprocess.run(["mount", device, point], check=True)
                try:
                    number = os.stat(device).st_rdev
                    yield device, f"{os.major(number)}:{os.minor(number)}", point
                finally:
                    subprocess.run(["umount", point], check=True)
            finally:
                subprocess.run([losetup, "-d", device], check=True)

    def test_rate_of_a_device(self):
        need_controllers("blkio")
        need(has_setting("blkio.throttle.write_bps_device", "io.max"), "this kernel does not limit rates")
        with self.block_device() as (device, number, point):
            self.sleeper("rt", "--device-write-bps", f"{device}:1mb", "--device-read-iops", f"{device}:77", "-v", f"{point}:/m")
            if IS_V2:
                line = self.value("rt", "blkio.x", "io.max")
                self.assertTrue(line.startswith(number), line)
                self.assertIn("wbps=1048576", line)
                self.assertIn("riops=77", line)
            else:
                self.assertEqual(self.value("rt", "blkio.throttle.write_bps_device", ""), f"{number} 1048576")
                self.assertEqual(self.value("rt", "blkio.throttle.read_iops_device", ""), f"{number} 77")
            started = time.monotonic()
            self.hull("exec", "-u", "0", "rt", "dd", "if=/dev/zero", "of=/m/f", "bs=1M", "count=3", "oflag=direct", code=None)
            took = time.monotonic() - started
            self.hull("rm", "-f", "rt")
            if os.path.exists(point / "f") and os.path.getsize(point / "f") == 3 << 20:
                self.assertGreater(took, 1.5)
        self.assertIn("no-such", self.hull("run", "--device-write-bps", "/dev/no-such:1mb", *NONE, "demo", "true", code=125).err)

    def test_weight(self):
        need_controllers("blkio")
        need(has_setting("blkio.weight", "io.weight") or has_setting("blkio.bfq.weight", "io.bfq.weight"), "this kernel has no weights of block I/O")
        self.sleeper("ww", "--blkio-weight", "200")
        before = [p.read_text() for p in self.group("ww", "blkio").glob("*.weight")]
        self.hull("update", "--blkio-weight", "400", "ww")
        self.assertNotEqual([p.read_text() for p in self.group("ww", "blkio").glob("*.weight")], before)

    # ---- what cannot be had

    def test_what_the_kernel_cannot_limit_is_refused(self):
        for controller, flags in (("memory", ("-m", "64m")), ("cpu", ("--cpus", "0.5")), ("cpuset", ("--cpuset-cpus", "0")), ("pids", ("--pids-limit", "9"))):
            if has_controller(controller):
                continue
            err = self.hull("run", *flags, *NONE, "demo", "true", code=125).err
            self.assertIn(controller, err)
        if IS_V2 and has_controller("memory"):
            self.assertIn("cgroup v2", self.hull("run", "-m", "64m", "--memory-swappiness", "5", *NONE, "demo", "true", code=125).err)
        self.assertIn("Minimum memory limit", self.hull("run", "-m", "1m", *NONE, "demo", "true", code=125).err)
        self.hull("run", "--cpus", "10000", *NONE, "demo", "true", code=125)

    def test_without_limits(self):
        self.hull("run", "--rm", *NONE, "demo", "true")
        if has_controller("memory"):
            self.sleeper("free")
            path = self.group("free", "memory") / ("memory.max" if IS_V2 else "memory.limit_in_bytes")
            if path.exists():
                self.assertIn(path.read_text().strip(), ("max", "9223372036854771712"))

    # ---- pause

    def test_paused_and_killed(self):
        self.sleeper("pz", *(("-m", "64m") if has_controller("memory") else ()))
        self.hull("pause", "pz")
        if has_controller("memory"):
            self.hull("update", "-m", "80m", "--memory-swap", "160m", "pz")
        self.assertEqual(self.state("pz")["Status"], "paused")
        self.hull("rm", "-f", "pz")


if __name__ == "__main__":
    main()
