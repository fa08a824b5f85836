#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lives of containers: restart policies, stopping, signals, what survives whose
death, what happens when the machine comes up again."""
import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import struct
import subprocess
import time
import unittest

from lib import leaks
from lib.hull import HullTest, main

NONE = ("--network", "none")
F_OFD_SETLKW = 38


class Life(HullTest):
    def state(self, name):
        return json.loads(self.hull.out("inspect", name))[0]["State"]

    def status(self, name):
        return self.state(name)["Status"]

    def count(self, name):
        return json.loads(self.hull.out("inspect", name))[0]["RestartCount"]

    def sleeper(self, name, *flags, network=NONE):
        return self.hull.out("run", "-d", "--name", name, *network, *flags, "demo", "sleep", "600")

    def events(self, name):
        """The actions so far, in order of time."""
        self.hull("ps")
        db = sqlite3.connect(f"file:{self.hull.root}/hull.db?mode=ro", uri=True)
        rows = db.execute("SELECT action, attributes FROM events WHERE type = 'container' ORDER BY wall_ns, seq").fetchall()
        db.close()
        return [action for action, attributes in rows if f"name={name}" in attributes.split("\n") and not action.startswith("exec")]

    def monitor_of(self, name):
        return leaks.parent_of(self.state(name)["Pid"])

    def kill_monitor(self, name):
        monitor, pid = self.monitor_of(name), self.state(name)["Pid"]
        os.kill(monitor, signal.SIGKILL)
        # The workload goes with it, by itself.
        self.eventually(lambda: not os.path.exists(f"/proc/{pid}") and not os.path.exists(f"/proc/{monitor}"))

    # ---- restart policies

    def test_on_failure_counts(self):
        self.hull("run", "-d", "--name", "again", "--restart", "on-failure:2", *NONE, "demo", "sh", "-c", "echo x; exit 3")
        self.eventually(lambda: self.status("again") == "exited")
        self.assertEqual((self.count("again"), self.state("again")["ExitCode"]), (2, 3))
        log = (self.hull.root / "workloads" / json.loads(self.hull.out("inspect", "again"))[0]["Id"])
        lines = [json.loads(line)["log"] for path in log.glob("*-json.log") for line in open(path, encoding="utf-8")]
        self.assertEqual(lines, ["x\n"] * 3)
        self.assertEqual(self.events("again"), ["create"] + ["start", "die"] * 3)

    def test_on_failure_leaves_success_alone(self):
        self.hull("run", "-d", "--name", "fine", "--restart", "on-failure", *NONE, "demo", "true")
        self.eventually(lambda: self.status("fine") == "exited")
        time.sleep(0.3)
        self.assertEqual((self.status("fine"), self.count("fine")), ("exited", 0))

    def test_always_backs_off_and_keeps_its_address(self):
        self.hull("run", "-d", "--name", "ever", "--restart", "always", "-p", "18081:80", "demo", "sh", "-c",
                  "hostname -i; exit 0")
        self.eventually(lambda: self.count("ever") >= 3)
        self.hull("stop", "-t", "0", "ever")
        self.assertEqual(self.status("ever"), "exited")
        addresses = self.hull.out("logs", "ever").split()
        self.assertGreaterEqual(len(addresses), 3)
        self.assertEqual(len(set(addresses)), 1, addresses)
        self.assertRegex(self.hull.out("ps", "-a", "--format", "{{.Status}}"), r"^Exited \(\d+\)")

    def test_waiting_for_a_restart_is_shown_and_can_be_stopped(self):
        self.hull("run", "-d", "--name", "loop", "--restart", "always", *NONE, "demo", "false")
        self.eventually(lambda: self.status("loop") == "restarting", 20)
        self.assertTrue(self.state("loop")["Restarting"])
        self.eventually(lambda: "Restarting (1)" in self.hull.out("ps", "--format", "{{.Status}}"))
        self.hull("stop", "loop")
        self.assertEqual(self.status("loop"), "exited")
        time.sleep(0.5)
        self.assertEqual(self.status("loop"), "exited")
        self.hull("start", "loop")
        self.eventually(lambda: self.count("loop") >= 1)
        self.hull("rm", "-f", "loop")

    def test_stop_and_kill_by_the_user_are_final(self):
        for verb in (("stop", "-t", "0"), ("kill",)):
            self.sleeper("once", "--restart", "always")
            self.hull(*verb, "once")
            self.eventually(lambda: self.status("once") == "exited")
            time.sleep(0.3)
            self.assertEqual(self.status("once"), "exited")
            self.hull("rm", "once")

    def test_a_signal_that_does_not_kill_is_no_stop(self):
        self.hull("run", "-d", "--name", "sig", "--restart", "always", *NONE, "demo", "sh", "-c",
                  "trap 'exit 4' USR1; echo ready; while :; do sleep 0.02; done")
        self.eventually(lambda: "ready" in self.hull.out("logs", "sig"))
        pid = self.state("sig")["Pid"]
        os.kill(pid, signal.SIGUSR1)  # not through hull: the workload ends by itself
        self.eventually(lambda: self.count("sig") == 1 and self.status("sig") == "running")
        self.assertNotEqual(self.state("sig")["Pid"], pid)

    def test_restart_verb(self):
        self.sleeper("rr", network=())
        before = self.state("rr")
        address = json.loads(self.hull.out("inspect", "rr"))[0]["NetworkSettings"]["IPAddress"]
        self.assertTrue(address)
        self.assertEqual(self.hull.out("restart", "-t", "0", "rr"), "rr")
        after = self.state("rr")
        self.assertEqual(after["Status"], "running")
        self.assertNotEqual(after["Pid"], before["Pid"])
        self.assertEqual(self.events("rr")[-1], "restart")
        self.hull("stop", "-t", "0", "rr")
        self.hull("restart", "rr")
        self.assertEqual(self.status("rr"), "running")
        self.assertIn("No such container", self.hull("restart", "missing", code=1).err)

    def test_policy_with_rm_is_refused(self):
        done = self.hull("run", "--rm", "--restart", "always", "demo", "true", code=None)
        self.assertEqual(done.returncode, 125, done.err)
        self.assertIn("conflict", done.err.lower())

    # ---- whose death matters

    def test_workload_survives_its_foreground_run(self):
        process = self.hull.start("run", "--name", "fg", *NONE, "demo", "sh", "-c", "echo a; sleep 600")
        self.assertEqual(process.stdout.readline(), b"a\n")
        process.kill()
        process.communicate()
        self.assertIn("fg", self.hull.out("ps", "--format", "{{.Names}}"))
        self.assertEqual(self.hull.out("logs", "fg"), "a")
        self.assertEqual(self.hull.out("exec", "fg", "echo", "b"), "b")
        attached = self.hull.start("attach", "--no-stdin", "fg")
        time.sleep(0.1)
        self.hull("stop", "-t", "0", "fg")
        self.assertEqual(attached.wait(60), 137)
        attached.communicate()
        self.assertEqual(self.status("fg"), "exited")
        self.assertEqual(self.events("fg"), ["create", "start", "kill", "die", "stop"])

    def test_run_rm_whose_hull_died_is_removed_at_its_end(self):
        process = self.hull.start("run", "--rm", "--name", "fr", "-p", "18082:80", "demo", "sh", "-c", "echo a; sleep 0.4")
        self.assertEqual(process.stdout.readline(), b"a\n")
        process.kill()
        process.communicate()
        self.assertEqual(self.hull.wait_until_clean(10), [])

    def test_monitor_killed(self):
        self.sleeper("mm", network=())
        self.kill_monitor("mm")
        state = self.state("mm")
        self.assertEqual((state["Status"], state["ExitCode"], state["Running"]), ("exited", 137, False))
        self.assertEqual(leaks.leftovers(self.hull), [])
        self.assertEqual(self.events("mm"), ["create", "start", "die"])
        self.hull("start", "mm")
        self.assertEqual(self.status("mm"), "running")

    def test_monitor_killed_with_a_user_of_its_own(self):
        self.sleeper("uu", "--user", "1000")
        self.kill_monitor("uu")
        self.assertEqual(self.status("uu"), "exited")

    def test_monitor_killed_with_the_hosts_pids(self):
        """Not PID 1 of anything: what it forked is killed by whoever looks next."""
        self.hull("run", "-d", "--name", "hp", "--pid", "host", *NONE, "demo", "sh", "-c", "sleep 600 & sleep 600")
        self.eventually(lambda: self.state("hp")["Pid"])
        self.kill_monitor("hp")
        self.assertEqual(self.status("hp"), "exited")
        self.assertEqual(leaks.leftovers(self.hull), [])

    def test_monitor_killed_policy_applied(self):
        for policy, again in (("always", True), ("on-failure:1", True), ("no", False)):
            self.sleeper("mp", "--restart", policy, "-p", "18083:80", network=())
            before = self.state("mp")["Pid"]
            self.kill_monitor("mp")
            self.hull("ps")
            state = self.state("mp")
            self.assertEqual(state["Status"], "running" if again else "exited", policy)
            if again:
                self.assertNotEqual(state["Pid"], before)
                self.assertEqual(self.count("mp"), 1)
                self.assertEqual(self.events("mp")[-3:], ["start", "die", "start"])
            self.hull("rm", "-f", "mp")

    def test_monitor_killed_after_stop_is_not_restarted(self):
        self.hull("run", "-d", "--name", "st", "--restart", "always", *NONE, "demo", "sh", "-c",
                  "trap '' TERM; echo ready; while :; do sleep 0.05; done")
        self.eventually(lambda: "ready" in self.hull.out("logs", "st"))
        stop = self.hull.start("stop", "-t", "30", "st")
        time.sleep(0.2)
        self.kill_monitor("st")
        stop.wait(60)
        stop.communicate()
        self.assertEqual(self.status("st"), "exited")

    def test_monitor_killed_while_waiting_to_restart(self):
        self.hull("run", "-d", "--name", "wr", "--restart", "on-failure:6", *NONE, "demo", "false")
        self.eventually(lambda: self.status("wr") == "restarting" and self.count("wr") >= 3, 20)
        for pid, name in leaks.processes(self.hull).items():
            if name == "hull-monitor":
                with contextlib.suppress(ProcessLookupError):  # it has handed over to the next one
                    os.kill(pid, signal.SIGKILL)
        seen = []

        def has_ended():
            c = json.loads(self.hull.out("inspect", "wr"))[0]
            seen.append((c["State"]["Status"], c["RestartCount"]))
            return seen[-1][0] == "exited"
        self.eventually(has_ended, 60)
        self.assertEqual(seen[-1], ("exited", 6), seen)
        self.assertLessEqual({status for status, _ in seen[:-1]}, {"restarting", "running"})
        time.sleep(0.5)
        self.assertEqual((self.status("wr"), self.count("wr")), ("exited", 6))

    def lock_byte(self, name):
        return int(json.loads(self.hull.out("inspect", name))[0]["Id"][:15], 16)

    def hold(self, name):
        """The lock of a container, as a hull has it that starts it again."""
        held = open(self.hull.run_dir / "lock", "r+b")
        byte = self.lock_byte(name)
        fcntl.fcntl(held, F_OFD_SETLKW, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
        return held

    def test_monitor_killed_and_somebody_is_at_it(self):
        self.sleeper("at", "--restart", "always")
        self.sleeper("no")
        with self.hold("at"), self.hold("no"):
            self.kill_monitor("at")
            self.kill_monitor("no")
            self.assertEqual((self.status("at"), self.status("no")), ("restarting", "exited"))
        self.assertEqual((self.status("at"), self.status("no")), ("running", "exited"))
        byte = str(self.lock_byte("at"))
        with self.hold("at") as held:
            self.kill_monitor("at")
            stop = self.hull.start("stop", "-t", "0", "at")
            # It waits for the lock; with nobody to stop, it was done before.
            self.eventually(lambda: any(line.split()[1] == "->" and line.split()[-1] == byte for line in open("/proc/locks", encoding="ascii")), 60)
            held.close()
            _, err = stop.communicate(timeout=60)
            self.assertEqual((stop.returncode, err), (0, b""))
        self.assertEqual(self.status("at"), "exited")

    def test_foreground_run_of_a_killed_monitor(self):
        process = self.hull.start("run", "--rm", "--name", "fm", *NONE, "demo", "sh", "-c", "echo a; sleep 600")
        self.assertEqual(process.stdout.readline(), b"a\n")
        self.kill_monitor("fm")
        self.assertEqual(process.wait(60), 137)
        process.communicate()
        self.assertEqual(self.hull.wait_until_clean(), [])

    # ---- the machine

    def reboot(self):
        """As good as: every process dies at once, $HULL_RUN and mounts are gone,
        the boot id is another."""
        for pid, _ in leaks.processes(self.hull).items():
            os.kill(pid, signal.SIGKILL)
        self.eventually(lambda: not leaks.processes(self.hull))
        for line in reversed(open("/proc/self/mountinfo", encoding="utf-8").readlines()):
            point = line.split()[4]
            if point.startswith(str(self.hull.run_dir)):
                subprocess.run(["umount", "-l", point], check=True)
        shutil.rmtree(self.hull.run_dir)
        links = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, check=True).stdout)
        for link in links:
            if link["ifname"].startswith(("hv", "hull")):
                subprocess.run(["ip", "link", "del", link["ifname"]], check=False, capture_output=True)
        subprocess.run(["nft", "flush", "ruleset"], check=False)

    def test_after_a_reboot(self):
        for policy in ("no", "always", "unless-stopped"):
            self.sleeper(f"up-{policy}", "--restart", policy, network=())
            self.sleeper(f"stopped-{policy}", "--restart", policy, network=())
            self.hull("stop", "-t", "0", f"stopped-{policy}")
        self.reboot()
        self.assertEqual(self.hull.out("ps", "-q"), "")
        self.assertEqual(leaks.leftovers(self.hull), [])
        self.assertEqual(self.state("up-no")["ExitCode"], 255)
        self.hull("internal", "boot")
        self.assertEqual(set(self.hull.out("ps", "--format", "{{.Names}}").split()),
                         {"up-always", "stopped-always", "up-unless-stopped"})
        self.assertEqual(self.hull.out("run", "--rm", "demo", "echo", "fine"), "fine")

    def test_reused_process_number(self):
        """A row whose monitor's number belongs to somebody else now."""
        self.sleeper("reused")
        monitor = self.monitor_of("reused")
        os.kill(monitor, signal.SIGKILL)
        self.eventually(lambda: not os.path.exists(f"/proc/{monitor}"))
        db = sqlite3.connect(self.hull.root / "hull.db")
        db.execute("UPDATE containers SET monitor_pid = ?", (os.getpid(),))
        db.commit()
        db.close()
        self.assertNotIn("reused", self.hull.out("ps", "--format", "{{.Names}}"))
        self.assertEqual(self.status("reused"), "exited")

    # ---- stop, signals

    def test_stop_timeout(self):
        self.hull("run", "-d", "--name", "rude", "--stop-timeout", "1", *NONE, "demo", "sh", "-c",
                  "trap '' TERM; echo ready; while :; do sleep 0.05; done")
        self.eventually(lambda: "ready" in self.hull.out("logs", "rude"))
        started = time.monotonic()
        self.hull("stop", "rude")
        self.assertTrue(0.9 < time.monotonic() - started < 5)
        self.assertEqual(self.state("rude")["ExitCode"], 137)

    def test_stop_signal(self):
        self.hull("run", "-d", "--name", "usr", "--stop-signal", "SIGUSR1", *NONE, "demo", "sh", "-c",
                  "trap 'exit 7' USR1; echo ready; while :; do sleep 0.02; done")
        self.eventually(lambda: "ready" in self.hull.out("logs", "usr"))
        self.hull("stop", "usr")
        self.assertEqual(self.state("usr")["ExitCode"], 7)

    def test_stop_of_a_paused_one(self):
        self.sleeper("pa", "--init")
        self.hull("pause", "pa")
        self.assertEqual(self.status("pa"), "paused")
        self.assertIn("is paused", self.hull("exec", "pa", "true", code=1).err)
        self.assertIn("cannot start a paused container", self.hull("start", "pa", code=1).err)
        self.hull("stop", "-t", "1", "pa")
        self.assertEqual(self.status("pa"), "exited")
        self.sleeper("pb")
        self.hull("pause", "pb")
        self.hull("kill", "pb")
        self.eventually(lambda: self.status("pb") == "exited")
        self.sleeper("pc")
        self.hull("pause", "pc")
        self.hull("rm", "-f", "pc")
        self.assertEqual([e for e in self.events("pb")], ["create", "start", "pause", "kill", "die"])

    def test_signals_are_passed_on(self):
        process = self.hull.start("run", "--name", "pr", *NONE, "demo", "sh", "-c",
                                  "trap 'echo got; exit 9' HUP; echo ready; while :; do sleep 0.02; done")
        self.assertEqual(process.stdout.readline(), b"ready\n")
        process.send_signal(signal.SIGHUP)
        self.assertEqual(process.wait(60), 9)
        self.assertEqual(process.communicate()[0], b"got\n")

    def test_signals_stay_with_sig_proxy_off(self):
        process = self.hull.start("run", "--sig-proxy=false", "--name", "np", *NONE, "demo", "sh", "-c", "echo ready; sleep 600")
        self.assertEqual(process.stdout.readline(), b"ready\n")
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.communicate()
        self.assertEqual(self.status("np"), "running")

    def test_wait(self):
        self.hull("run", "-d", "--name", "ww", *NONE, "demo", "sh", "-c", "sleep 0.3; exit 6")
        waiting = self.hull.start("wait", "ww")
        self.assertEqual(waiting.communicate(timeout=60)[0], b"6\n")
        self.assertEqual(self.hull.out("wait", "ww"), "6")
        self.assertIn("No such container", self.hull("wait", "missing", code=1).err)

    def test_rename(self):
        self.sleeper("before")
        self.sleeper("other")
        self.assertIn("already in use", self.hull("rename", "before", "other", code=1).err)
        self.hull("rename", "before", "after")
        self.assertEqual(self.status("after"), "running")
        self.assertIn("No such object", self.hull("inspect", "before", code=1).err)
        self.hull("exec", "after", "true")
        self.hull("run", "--rm", "--name", "before", *NONE, "demo", "true")

    def test_rm_of_many_says_what_fails(self):
        self.sleeper("ok1")
        done = self.hull("rm", "-f", "ok1", "missing", code=None)
        self.assertEqual(done.out, "ok1\n")
        self.assertEqual(done.returncode, 0)  # as Docker: -f does not mind a missing one
        self.sleeper("busy")
        done = self.hull("rm", "busy", "missing", code=1)
        self.assertIn("stop the container before removing or force remove", done.err)
        self.assertIn("No such container: missing", done.err)
        workload = self.hull.root / "workloads" / self.hull.out("inspect", "-f", "{{.Id}}", "busy")
        held = subprocess.run(["mount", "-t", "tmpfs", "none", workload / "work"], check=False, capture_output=True)
        if held.returncode == 0:
            try:
                done = self.hull("rm", "-f", "busy", code=None)
                self.assertEqual(done.returncode, 1, "what cannot be removed is not passed over")
                self.assertIn("remove", done.err)
            finally:
                subprocess.run(["umount", workload / "work"], check=True)
        self.hull("ps")
        self.assertEqual(self.hull.wait_until_clean(), [])

    # ---- init, out of memory

    def test_init_reaps(self):
        self.hull("run", "-d", "--name", "in", "--init", *NONE, "demo", "sh", "-c",
                  "for i in 1 2 3 4 5; do (sleep 0.01 &) ; done; sleep 600")
        time.sleep(0.3)
        listed = self.hull.out("exec", "in", "ps", "-o", "pid,stat,args")
        self.assertNotIn(" Z", listed)
        self.assertIn("hull-init", listed.splitlines()[1])
        started = time.monotonic()
        self.hull("stop", "in")
        self.assertLess(time.monotonic() - started, 3)
        self.assertEqual(self.state("in")["ExitCode"], 143)

    def test_out_of_memory_is_told(self):
        self.hull("run", "--name", "oom", "-m", "16m", *NONE, "demo", "sh", "-c",
                  "exec dd if=/dev/zero of=/dev/null bs=256M count=1", code=137)
        state = self.state("oom")
        self.assertTrue(state["OOMKilled"])
        self.assertEqual(state["ExitCode"], 137)
        self.assertIn("oom", self.events("oom"))
        self.hull("run", "--name", "not", *NONE, "demo", "sh", "-c", "kill -9 $$", code=None)
        self.assertFalse(self.state("not")["OOMKilled"])


if __name__ == "__main__":
    main()
