#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""HEALTHCHECK: flags and the image's own, statuses, events, actions."""
import json
import sqlite3
import time
import unittest

from lib.hull import HullTest, busybox_tar, main

NONE = ("--network", "none")
QUICK = ("--health-interval", "100ms", "--health-retries", "2", "--health-timeout", "2s")


class Health(HullTest):
    def inspect(self, name):
        return json.loads(self.hull.out("inspect", name))[0]

    def health(self, name):
        return self.inspect(name)["State"].get("Health", {})

    def wait_for(self, name, status, seconds=60):
        self.eventually(lambda: self.health(name).get("Status") == status, seconds)

    def events(self, name):
        self.hull("ps")
        db = sqlite3.connect(f"file:{self.hull.root}/hull.db?mode=ro", uri=True)
        rows = db.execute("SELECT action, attributes FROM events WHERE type = 'container' ORDER BY wall_ns, seq").fetchall()
        db.close()
        return [action for action, attributes in rows if f"name={name}" in attributes.split("\n")]

    def run_with(self, name, command, *flags, workload=("sleep", "600")):
        self.hull("run", "-d", "--name", name, *NONE, *QUICK, "--health-cmd", command, *flags, "demo", *workload)

    def test_healthy_then_unhealthy_then_healthy(self):
        self.run_with("hh", "test -e /tmp/well && echo yes")
        self.assertEqual(self.health("hh")["Status"], "starting")
        self.assertIn("(health: starting)", self.hull.out("ps", "--format", "{{.Status}}"))
        self.hull("exec", "hh", "touch", "/tmp/well")
        self.wait_for("hh", "healthy")
        self.assertIn("(healthy)", self.hull.out("ps", "--format", "{{.Status}}"))
        self.hull("exec", "hh", "rm", "/tmp/well")
        self.wait_for("hh", "unhealthy")
        health = self.health("hh")
        self.assertGreaterEqual(health["FailingStreak"], 2)
        self.assertLessEqual(len(health["Log"]), 5)
        self.assertEqual(health["Log"][-1]["ExitCode"], 1)
        self.assertEqual(set(health["Log"][-1]), {"Start", "End", "ExitCode", "Output"})
        self.assertIn("(unhealthy)", self.hull.out("ps", "--format", "{{.Status}}"))
        self.assertEqual(self.hull.out("ps", "--filter", "health=unhealthy", "--format", "{{.Names}}"), "hh")
        self.hull("exec", "hh", "touch", "/tmp/well")
        self.wait_for("hh", "healthy")
        self.assertIn("yes\n", [entry["Output"] for entry in self.health("hh")["Log"]])
        self.assertEqual([e for e in self.events("hh") if e.startswith("health")],
                         ["health_status: healthy", "health_status: unhealthy", "health_status: healthy"])

    def test_start_period(self):
        """Failures in it do not count; the first success ends it."""
        self.run_with("sp", "test -e /tmp/well", "--health-start-period", "30s", "--health-start-interval", "50ms",
                      "--health-interval", "100ms")
        self.eventually(lambda: len(self.health("sp").get("Log") or []) >= 4)
        self.assertEqual((self.health("sp")["Status"], self.health("sp")["FailingStreak"]), ("starting", 0))
        self.hull("exec", "sp", "touch", "/tmp/well")
        self.wait_for("sp", "healthy")
        self.hull("exec", "sp", "rm", "/tmp/well")
        self.wait_for("sp", "unhealthy")

    def test_timeout(self):
        self.run_with("to", "echo begun; sleep 60", "--health-timeout", "300ms", "--health-retries", "1")
        self.wait_for("to", "unhealthy")
        entry = self.health("to")["Log"][-1]
        self.assertEqual(entry["ExitCode"], -1)
        self.assertIn("Health check exceeded timeout (300ms)", entry["Output"])
        # The probe is gone, not left to sleep.
        self.eventually(lambda: "sleep 60\n" not in self.hull.out("exec", "to", "ps", "-o", "args") + "\n")

    def test_the_images_own(self):
        tar = busybox_tar()
        self.hull("import", "-c", 'HEALTHCHECK --interval=100ms --retries=1 CMD test -e /tmp/well', "-c", 'CMD ["sleep", "600"]',
                  "-", "checked", input=tar)
        try:
            self.hull("run", "-d", "--name", "own", *NONE, "checked")
            self.wait_for("own", "unhealthy")
            self.hull("run", "-d", "--name", "none", "--no-healthcheck", *NONE, "checked")
            self.hull("run", "-d", "--name", "other", "--health-cmd", "true", *NONE, "checked")
            self.wait_for("other", "healthy")
            time.sleep(0.3)
            self.assertFalse(self.health("none"))
            self.assertNotIn("health", self.hull.out("ps", "--filter", "name=none", "--format", "{{.Status}}"))
            self.hull.remove_all()
        finally:
            self.hull("rmi", "-f", "checked")

    def test_on_failure_kill(self):
        self.run_with("kk", "false", "--health-on-failure", "kill")
        self.eventually(lambda: self.inspect("kk")["State"]["Status"] == "exited")
        self.assertEqual(self.inspect("kk")["State"]["ExitCode"], 137)

    def test_on_failure_stop(self):
        self.run_with("ss", "false", "--health-on-failure", "stop", "--restart", "always",
                      workload=("sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.02; done"))
        self.eventually(lambda: self.inspect("ss")["State"]["Status"] == "exited")
        self.assertEqual(self.inspect("ss")["State"]["ExitCode"], 5)
        time.sleep(0.3)
        self.assertEqual(self.inspect("ss")["State"]["Status"], "exited")

    def test_on_failure_restart(self):
        self.run_with("rr", "test ! -e /tmp/sick", "--health-on-failure", "restart", "--stop-timeout", "0")
        self.wait_for("rr", "healthy")
        pid = self.inspect("rr")["State"]["Pid"]
        self.hull("exec", "rr", "touch", "/tmp/sick")
        self.eventually(lambda: self.inspect("rr")["RestartCount"] >= 1)
        self.eventually(lambda: self.inspect("rr")["State"]["Pid"] not in (0, pid))
        self.hull("exec", "rr", "rm", "/tmp/sick", code=None)
        self.assertEqual(self.hull.out("inspect", "-f", "{{.State.Running}}", "rr"), "true")

    def test_paused_is_not_probed(self):
        self.run_with("pp", "true")
        self.wait_for("pp", "healthy")
        self.hull("pause", "pp")
        before = self.health("pp")["Log"]
        time.sleep(0.5)
        self.assertEqual(self.health("pp")["Log"], before)
        self.hull("unpause", "pp")
        self.eventually(lambda: self.health("pp")["Log"] != before)

    def test_after_the_end(self):
        """A stopped container keeps its last results."""
        self.run_with("ee", "true")
        self.wait_for("ee", "healthy")
        self.hull("stop", "-t", "0", "ee")
        self.assertEqual(self.health("ee")["Status"], "unhealthy")
        self.assertTrue(self.health("ee")["Log"])

    def test_bad_flags(self):
        for flags in (("--health-interval", "0.5ms", "--health-cmd", "true"), ("--health-retries", "-1", "--health-cmd", "true"),
                      ("--health-on-failure", "dance"), ("--no-healthcheck", "--health-cmd", "true")):
            done = self.hull("run", "--rm", *NONE, *flags, "demo", "true", code=None)
            self.assertEqual(done.returncode, 125, (flags, done.err))
            self.assertTrue(done.err)


if __name__ == "__main__":
    main()
