#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""create, start, stop, restart, kill, pause, exec, logs, rename, wait, rm."""
import json
import signal
import subprocess
import time
import unittest

from lib.hull import HullTest, main

# What another isolation level does not do, and why.
DIFFERS = {
    "sandbox": {
        "test_logs": "what is written to both outputs within one turn of its processor may come in either order",
    },
}


class Lifecycle(HullTest):
    def status(self, name):
        return self.hull.out("inspect", "-f", "{{.State.Status}}", name)

    def sleeper(self, name, *flags):
        return self.hull.out("run", "-d", "--name", name, "--network", "none", *flags, "demo", "sleep", "600")

    def test_start_attached_to_one_that_runs(self):
        self.hull("run", "-d", "--name", "sa", "--network", "none", "demo", "sh", "-c", "sleep 1; echo late; exit 5")
        self.assertEqual(self.hull("start", "-a", "sa", code=5).out.strip(), "late")
        self.assertEqual(self.hull("start", "-a", "sa", code=5).out.strip(), "late")

    def test_create_start_wait_logs_rm(self):
        self.hull("create", "--name", "cc", "--network", "none", "demo", "sh", "-c", "echo one; exit 7")
        self.assertEqual(self.status("cc"), "created")
        self.assertEqual(self.hull.out("start", "cc"), "cc")
        self.assertEqual(self.hull.out("wait", "cc"), "7")
        self.assertEqual(self.hull.out("logs", "cc"), "one")
        self.assertEqual(self.hull.out("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "cc"), "exited 7")
        self.hull("start", "-a", "cc", code=7)
        self.assertEqual(self.hull.out("logs", "cc"), "one\none")
        self.assertEqual(self.hull.out("rm", "cc"), "cc")
        self.assertIn("No such container: cc", self.hull("rm", "cc", code=1).err)

    def test_stop_uses_the_signal_then_kills(self):
        self.hull("run", "-d", "--name", "polite", "--network", "none", "demo", "sh", "-c",
                  "trap 'echo bye; exit 5' TERM; while :; do sleep 0.05; done")
        self.eventually(lambda: self.status("polite") == "running")
        time.sleep(0.2)  # the shell needs to have set its trap; nothing tells when
        self.hull("stop", "polite")
        self.assertEqual(self.hull.out("inspect", "-f", "{{.State.ExitCode}}", "polite"), "5")
        self.sleeper("rude", "--init", "--stop-signal", "WINCH")
        started = time.monotonic()
        self.hull("stop", "-t", "1", "rude")
        self.assertLess(time.monotonic() - started, 5)
        self.assertEqual(self.hull.out("inspect", "-f", "{{.State.ExitCode}}", "rude"), "137")

    def test_kill_and_restart(self):
        self.sleeper("kk")
        self.hull("restart", "-t", "0", "kk")
        self.assertEqual(self.status("kk"), "running")
        self.hull("kill", "kk")
        self.eventually(lambda: self.status("kk") == "exited")
        self.assertIn("is not running", self.hull("kill", "kk", code=1).err)

    def test_pause(self):
        self.sleeper("pp")
        self.hull("pause", "pp")
        self.assertEqual(self.status("pp"), "paused")
        self.assertIn("(Paused)", self.hull.out("ps"))
        self.hull("unpause", "pp")
        self.assertEqual(self.status("pp"), "running")

    def test_exec(self):
        self.sleeper("ee", "-e", "A=1")
        self.assertEqual(self.hull.out("exec", "-u", "user", "-w", "/tmp", "-e", "B=2", "ee", "sh", "-c", "id -u; pwd; echo $A$B"),
                         "1000\n/tmp\n12")
        self.hull("exec", "ee", "sh", "-c", "exit 9", code=9)
        self.hull("exec", "ee", "nope", code=127)
        self.assertEqual(self.hull("exec", "-i", "ee", "cat", input=b"through").out, "through")
        pids = self.hull.out("exec", "ee", "sh", "-c", "ls /proc | grep -c '^[0-9]'")
        self.assertLess(int(pids), 8)
        self.assertIn("No such container", self.hull("exec", "none", "true", code=1).err)
        self.assertEqual(self.hull.out("exec", "ee", "grep", "CapInh", "/proc/self/status").split()[1], "0" * 16)

    def test_names(self):
        self.sleeper("taken")
        done = self.hull("run", "--name", "taken", "demo", "true", code=125)
        self.assertIn('Conflict. The container name "/taken" is already in use', done.err)
        done = self.hull("run", "--name", "a", "demo", "true", code=125)
        self.assertIn("Invalid container name (a), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", done.err)
        self.hull("rename", "taken", "free")
        self.assertEqual(self.status("free"), "running")
        self.assertRegex(self.hull.out("ps", "--format", "{{.Names}}"), "^free$")

    def test_failed_exec_does_not_keep_the_container_from_ending(self):
        self.sleeper("ends")
        self.hull("exec", "ends", "no-such-command", code=127)
        self.hull("exec", "ends", "/etc/passwd", code=126)
        self.hull("stop", "-t", "0", "ends", timeout=20)
        self.assertEqual(self.status("ends"), "exited")

    def test_id_prefix(self):
        id = self.sleeper("xx")
        self.assertEqual(self.hull.out("inspect", "-f", "{{.Id}}", id[:6]), id)

    def test_rm_of_running_needs_force(self):
        self.sleeper("rr")
        self.assertIn("cannot remove container", self.hull("rm", "rr", code=1).err)
        self.hull("rm", "-f", "rr")
        self.hull("rm", "-f", "rr")  # a missing one is no error with -f

    def test_ps(self):
        self.sleeper("one", "--label", "a=b")
        self.hull("run", "--name", "two", "--network", "none", "demo", "true")
        self.assertEqual(self.hull.out("ps", "--format", "{{.Names}}"), "one")
        self.assertEqual(set(self.hull.out("ps", "-a", "--format", "{{.Names}}").split()), {"one", "two"})
        self.assertEqual(self.hull.out("ps", "-a", "--filter", "label=a=b", "--format", "{{.Names}}"), "one")
        self.assertEqual(self.hull.out("ps", "-a", "--filter", "status=exited", "--format", "{{.Names}}"), "two")
        first = json.loads(self.hull.out("ps", "--format", "json"))
        self.assertEqual(first["Names"], "one")
        self.assertIn("CONTAINER ID", self.hull.out("ps"))

    def test_inspect(self):
        self.sleeper("ii", "-e", "X=y", "--label", "l=v", "-m", "64m")
        info = json.loads(self.hull.out("inspect", "ii"))[0]
        self.assertEqual(info["Name"], "/ii")
        self.assertIn("X=y", info["Config"]["Env"])
        self.assertEqual(info["HostConfig"]["Memory"], 64 << 20)
        self.assertTrue(info["State"]["Running"])
        done = self.hull("inspect", "missing", code=1)
        self.assertEqual(done.out, "[]\n")
        self.assertIn("No such object: missing", done.err)

    def test_logs(self):
        self.hull("run", "--name", "ll", "--network", "none", "demo", "sh", "-c", "for i in 1 2 3 4 5; do echo $i; done; echo e >&2")
        done = self.hull("logs", "ll")
        self.assertEqual((done.out, done.err), ("1\n2\n3\n4\n5\n", "e\n"))
        self.assertEqual(self.hull("logs", "--tail", "2", "ll").out + self.hull("logs", "--tail", "2", "ll").err, "5\ne\n")
        self.assertRegex(self.hull("logs", "-t", "ll").out, r"^\d{4}-\d\d-\d\dT[\d:.]+Z 1\n")

    def test_logs_follow_ends_with_the_container(self):
        self.hull("run", "-d", "--name", "ff", "--network", "none", "demo", "sh", "-c", "echo a; sleep 0.5; echo b")
        self.assertEqual(self.hull("logs", "-f", "ff").out, "a\nb\n")

    def test_top_stats_port(self):
        self.sleeper("tt")
        self.assertIn("sleep 600", self.hull.out("top", "tt"))
        stats = json.loads(self.hull.out("stats", "--no-stream", "--format", "json", "tt"))
        self.assertEqual(stats["Name"], "tt")
        self.assertEqual(self.hull.out("port", "tt"), "")

    def test_auto_remove_when_detached(self):
        self.hull("run", "-d", "--rm", "--name", "gone", "--network", "none", "demo", "true")
        self.eventually(lambda: "gone" not in self.hull.out("ps", "-a", "--format", "{{.Names}}"))

    def test_restart_policy(self):
        self.hull("run", "-d", "--name", "again", "--restart", "on-failure:2", "--network", "none", "demo", "sh", "-c", "echo x; exit 1")
        self.eventually(lambda: self.status("again") == "exited" and
                        self.hull.out("inspect", "-f", "{{.RestartCount}}", "again") == "2")
        self.assertEqual(self.hull.out("logs", "again").split(), ["x"] * 3)

    def test_monitor_killed_kills_the_container_and_tells(self):
        self.sleeper("mm")
        pid = int(self.hull.out("inspect", "-f", "{{.State.Pid}}", "mm"))
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            parent = next(int(line.split()[1]) for line in f if line.startswith("PPid"))
        subprocess.run(["kill", "-9", str(parent)], check=True)
        self.eventually(lambda: self.status("mm") == "exited")
        self.assertEqual(self.hull.out("inspect", "-f", "{{.State.ExitCode}}", "mm"), "137")
        self.hull("start", "mm")
        self.assertEqual(self.status("mm"), "running")

    def test_workload_survives_the_command_that_started_it(self):
        process = self.hull.start("run", "--name", "ss", "--network", "none", "demo", "sh", "-c", "sleep 0.5; echo done")
        self.eventually(lambda: self.hull("inspect", "-f", "{{.State.Status}}", "ss", code=None).out.strip() == "running")
        process.send_signal(signal.SIGKILL)
        process.communicate()
        self.assertEqual(self.hull.out("wait", "ss"), "0")
        self.assertEqual(self.hull.out("logs", "ss"), "done")

    def test_rename_update_diff_commit(self):
        self.hull("run", "--name", "dd", "--network", "none", "demo", "sh", "-c", "echo n > /new; rm /etc/group; echo c >> /etc/passwd")
        changes = set(self.hull.out("diff", "dd").splitlines())
        self.assertLessEqual({"A /new", "D /etc/group", "C /etc/passwd", "C /etc"}, changes)
        self.hull("commit", "-c", "ENV Z=1", "dd", "committed")
        self.assertEqual(self.hull.out("run", "--rm", "committed", "sh", "-c", "cat /new; ls /etc/group 2>/dev/null; echo $Z"), "n\n1")
        self.hull("rm", "dd")
        self.hull("rmi", "committed")

    def test_events(self):
        self.hull("run", "--rm", "--name", "ev", "--network", "none", "demo", "true")
        actions = self.hull.out("events", "--since", "1m", "--until", "0s", "--filter", "container=ev", "--format", "{{.Action}}").split()
        for action in ("create", "start", "die", "destroy"):
            self.assertIn(action, actions)


if __name__ == "__main__":
    main()
