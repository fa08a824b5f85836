#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""top, stats, update: looking at running containers and changing them."""
import json
import os
import shutil
import unittest

from lib.hull import HullTest, main, need


# What another isolation level does not do, and why.
DIFFERS = {
    "sandbox": {
        "test_top_with_ps_options": "the host's ps knows nothing of another kernel's processes: refused",
    },
}


class Live(HullTest):
    def sleeper(self, name, *flags):
        self.hull("run", "-d", "--name", name, *flags, "demo", "sleep", "600")

    def cgroup_file(self, name, v1, v2):
        """The first that exists of the container's files, by the host's view; by its own
        kernel's, which keeps these limits, where it has one."""
        if self.level in ("sandbox", "microvm"):
            return self.hull.out("exec", name, "cat", f"/sys/fs/cgroup/{v2}")
        id = self.hull.out("inspect", "-f", "{{.Id}}", name)
        for path in (f"/sys/fs/cgroup/{v1.split('.')[0]}/hull/{id}/{v1}", f"/sys/fs/cgroup/hull/{id}/{v2}"):
            if os.path.exists(path):
                return open(path, encoding="ascii").read().strip()
        return None

    # ---- top

    def test_top_shows_the_processes_with_their_ids_inside(self):
        self.hull("run", "-d", "--name", "two", "-u", "1000", "demo", "sh", "-c", "sleep 599 & sleep 600")
        self.eventually(lambda: self.hull.out("top", "two").count("sleep") >= 2)
        lines = self.hull.out("top", "two").splitlines()
        self.assertEqual(lines[0].split(), ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"])
        self.assertTrue(all(line.split()[0] == "1000" for line in lines[1:]), lines)

    def test_top_with_ps_options(self):
        need(shutil.which("ps"), "ps is not installed")
        self.sleeper("one")
        lines = self.hull.out("top", "one", "-eo", "pid,comm").splitlines()
        self.assertEqual([line.split()[1] for line in lines], ["COMMAND", "sleep"])
        self.assertIn("PID field", self.hull("top", "one", "-eo", "comm", code=1).err)

    def test_top_of_one_that_does_not_run(self):
        self.hull("create", "--name", "still", "demo")
        self.assertIn("is not running", self.hull("top", "still", code=1).err)

    def test_control_characters_do_not_reach_the_terminal(self):
        self.hull("run", "-d", "--name", "odd", "demo", "sh", "-c", "sleep 600; : \033[31m\a")
        self.assertNotIn("\033", self.hull("top", "odd").out)

    # ---- stats

    def test_stats_of_one_and_all(self):
        self.sleeper("small", "-m", "64m")
        self.hull("create", "--name", "off", "demo")
        row = json.loads(self.hull.out("stats", "--no-stream", "--format", "json", "small"))
        self.assertEqual((row["Name"], row["Container"], row["PIDs"]), ("small", "small", "1"))
        self.assertIn("/ 64MiB", row["MemUsage"])
        self.assertNotIn("off", self.hull.out("stats", "--no-stream"))
        self.assertIn("-- / --", self.hull.out("stats", "--no-stream", "-a"))
        self.hull("stats", "--no-stream", "nobody", code=1)

    def test_stats_sees_a_busy_processor_and_memory(self):
        self.hull("run", "-d", "--name", "busy", "demo", "sh", "-c", "while :; do :; done")
        self.eventually(lambda: float(self.hull.out("stats", "--no-stream", "--format", "{{.CPUPerc}}", "busy").rstrip("%")) > 5, 30)

    # ---- update

    def test_update_of_a_running_container(self):
        self.sleeper("live", "-m", "64m", "--pids-limit", "100", "--cpus", "1")
        self.assertEqual(self.hull.out("update", "-m", "32m", "--cpus", "0.5", "--pids-limit", "7", "live"), "live")
        info = json.loads(self.hull.out("inspect", "live"))[0]["HostConfig"]
        self.assertEqual((info["Memory"], info["NanoCpus"], info["PidsLimit"]), (32 << 20, 500000000, 7))
        self.assertEqual(self.cgroup_file("live", "memory.limit_in_bytes", "memory.max"), str(32 << 20))
        self.assertEqual(self.cgroup_file("live", "pids.max", "pids.max"), "7")

    def test_update_holds_at_the_next_start(self):
        self.hull("create", "--name", "later", "-m", "64m", "demo", "sleep", "600")
        self.hull("update", "-m", "48m", "later")
        self.hull("start", "later")
        self.assertEqual(self.cgroup_file("later", "memory.limit_in_bytes", "memory.max"), str(48 << 20))

    def test_a_limit_that_was_not_there_before(self):
        self.sleeper("bare")
        self.hull("update", "-m", "40m", "bare")
        self.assertEqual(self.cgroup_file("bare", "memory.limit_in_bytes", "memory.max"), str(40 << 20))

    def test_update_of_the_restart_policy(self):
        self.hull("run", "-d", "--name", "comes", "demo", "sh", "-c", "sleep 0.3; exit 1")
        self.hull("update", "--restart", "on-failure:1", "comes")
        self.assertEqual(self.hull.out("wait", "comes"), "1")
        self.eventually(lambda: self.hull.out("inspect", "-f", "{{.RestartCount}} {{.State.Status}}", "comes") == "1 exited", 20)

    def test_refused_updates_change_nothing(self):
        self.sleeper("firm", "-m", "64m")
        self.assertIn("Minimum memory limit", self.hull("update", "-m", "1k", "firm", code=1).err)
        self.assertIn("CPUs available", self.hull("update", "--cpus", "4096", "firm", code=1).err)
        self.assertEqual(self.hull.out("inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}", "firm"), f"{64 << 20} 0")
        done = self.hull("update", "-m", "32m", "nobody", "firm", code=1)
        self.assertEqual(done.out, "firm\n")
        self.assertIn("No such container: nobody", done.err)

    def test_no_restart_policy_for_what_removes_itself(self):
        self.hull("run", "-d", "--rm", "--name", "fleeting", "demo", "sleep", "60")
        self.assertIn("AutoRemove", self.hull("update", "--restart", "always", "fleeting", code=1).err)


if __name__ == "__main__":
    main()
