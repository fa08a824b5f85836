#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hull and its monitor are killed at every point there is; then one command, and
nothing is left: base/fault.h has the points, lib/leaks.py what "nothing" means.

What runs is every point of `hull internal faults` in commands that pass it. By
default each is tried in a few commands; HULL_CRASH_FULL=1 tries all.
"""
import json
import os
import random
import signal
import subprocess
import time

from lib import leaks
from lib.hull import HullTest, busybox_tar, main, need

FULL = os.environ.get("HULL_CRASH_FULL") == "1"
RANDOM_SECONDS = float(os.environ.get("HULL_CRASH_SECONDS", "20"))
SEED = int(os.environ.get("HULL_CRASH_SEED", "20241"))
PORT = "18080:80"
LONG = ("demo", "sleep", "600")


class Scenario:
    """A command to die in: what has to be there before, its words."""
    def __init__(self, name, words, before=(), stdin=None, undone=False, monitor_dies=False):
        self.name, self.words, self.before, self.stdin = name, words, before, stdin
        self.monitor_dies = monitor_dies  # in between
        self.undone = undone  # a death before the workload runs leaves no row


RUN_D = ("run", "-d", "--name", "cc", "-p", PORT, *LONG)
ISO_NETWORK = ("network", "create", "--isolated", "ciso")
ISO_RUN = ("run", "-d", "--name", "cc", "--network", "ciso", "--egress", "192.0.2.1:443", "--network-rate", "50mbit", "-p", PORT, *LONG)
SCENARIOS = [
    Scenario("run --rm", ("run", "--rm", "--name", "cc", "-p", PORT, "demo", "true"), undone=True),
    Scenario("run", ("run", "--name", "cc", "-v", "/data", "--network", "none", "demo", "sh", "-c", "exit 3"), undone=True),
    Scenario("run -d", RUN_D, undone=True),
    Scenario("run --rm in a sandbox", ("run", "--rm", "--isolation=sandbox", "--name", "cc", "-p", PORT, "demo", "true"), undone=True),
    Scenario("run --rm in a microVM", ("run", "--rm", "--isolation=microvm", "--name", "cc", "-p", PORT, "demo", "true"), undone=True),
    Scenario("run of a missing command", ("run", "--name", "cc", "-p", PORT, "demo", "nothing-of-this-name"), undone=True),
    Scenario("run with a policy", ("run", "--name", "cc", "-p", PORT, "-d", "--restart", "on-failure:2", "demo", "false"), undone=True),
    Scenario("create", ("create", "--name", "cc", "-p", PORT, *LONG)),
    Scenario("start", ("start", "cc"), [("create", "--name", "cc", "-p", PORT, *LONG)]),
    Scenario("exec", ("exec", "cc", "true"), [RUN_D]),
    Scenario("stop", ("stop", "-t", "0", "cc"), [RUN_D]),
    Scenario("kill", ("kill", "cc"), [RUN_D]),
    Scenario("restart", ("restart", "-t", "0", "cc"), [RUN_D]),
    Scenario("ps after a monitor's death", ("ps",), [("run", "-d", "--name", "cc", "-p", PORT, "--restart", "always", *LONG)],
             monitor_dies=True),
    Scenario("rm", ("rm", "-v", "cc"), [("create", "--name", "cc", "-v", "/data", *LONG)]),
    Scenario("rm -f", ("rm", "-f", "cc"), [RUN_D]),
    Scenario("network rule add", ("network", "rule", "add", "ciso", "--from", "cc", "--to", "any", "--allow"), [ISO_NETWORK, ISO_RUN]),
    Scenario("start with rules", ("start", "cc"), [ISO_NETWORK, ("create", *ISO_RUN[2:])]),
    Scenario("rm -f with rules", ("rm", "-f", "cc"), [ISO_NETWORK, ISO_RUN]),
    Scenario("update of a rate", ("update", "cc", "--network-rate", "20mbit"), [RUN_D]),
    Scenario("update of ports", ("update", "cc", "-p", "+18081:81", "-p", "-80"), [RUN_D]),
    Scenario("run with a volume to fill", ("run", "--rm", "--name", "cc", "-v", "vol:/etc", "--network", "none", "demo", "true"),
             undone=True),
    Scenario("volume rm", ("volume", "rm", "vol"), [("volume", "create", "vol")]),
    Scenario("network create", ("network", "create", "--ipv6", "net")),
    Scenario("network rm", ("network", "rm", "net"), [("network", "create", "net")]),
    Scenario("network connect", ("network", "connect", "net", "cc"), [("network", "create", "--ipv6", "net"), RUN_D]),
    Scenario("network disconnect", ("network", "disconnect", "net", "cc"),
             [("network", "create", "net"), ("run", "-d", "--name", "cc", "--network", "net", "-p", PORT, *LONG)]),
    Scenario("run in two networks", ("run", "--rm", "--name", "cc", "--network", "net", "--network", "other", "-p", PORT, "demo", "true"),
             [("network", "create", "net"), ("network", "create", "other")], undone=True),
    Scenario("rename", ("rename", "cc", "dd"),
             [("network", "create", "net"), ("run", "-d", "--name", "cc", "--network", "net", *LONG)]),
    Scenario("volume import", ("volume", "import", "vol"), stdin=True),
    Scenario("import", ("import", "-", "other"), stdin=True),
    Scenario("rmi", ("rmi", "-f", "other"), [("import", "-", "other")]),
    Scenario("rm of the last user of an image", ("rm", "cc"),
             [("import", "-", "other"), ("create", "--name", "cc", "other", "true"), ("rmi", "-f", "other")]),
]


def state_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def kill(pid, signo=signal.SIGKILL):
    try:
        os.kill(pid, signo)
    except ProcessLookupError:
        pass


class Crash(HullTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        points = set(cls.hull.out("internal", "faults").split())
        need(points, "this build has no fault points (meson -Dfault_points=enabled)")
        # A level that this machine has not is passed by nothing.
        cls.levels = {level["name"]: level for level in json.loads(cls.hull.out("doctor", "--format", "json"))["levels"]}
        cls.beyond = {point for point in points if not cls.levels.get(point.split(".")[0], {"available": True})["available"]}
        cls.points = sorted(points - cls.beyond)
        absent = {f"--isolation={name}" for name, level in cls.levels.items() if not level["available"]}
        cls.scenarios = [scenario for scenario in SCENARIOS if not absent & set(scenario.words)]
        cls.tar = busybox_tar()
        cls.log = cls.hull.dir / "passed"

    # ---- one death

    def quiet(self, seconds=60):
        """Wait until only monitors of running workloads, with what serves them, are there."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            others = ("hull-names", "hull-names-fw", "hull-guest", "hull-files")
            found = {pid: name for pid, name in leaks.processes(self.hull).items() if name not in others}
            monitors = {pid for pid, name in found.items() if name == "hull-monitor"}
            if monitors == set(found) and not any(leaks.parent_of(pid) in monitors for pid in monitors):
                return
            time.sleep(0.01)
        self.fail(f"still there: {[(pid, name, state_of(pid)) for pid, name in found.items()]}")

    def prepare(self, scenario, **env):
        for words in scenario.before:
            self.hull(*words, input=self.tar if "-" in words else None, env=env)
        if scenario.monitor_dies:
            monitors = list(leaks.processes(self.hull))
            for pid in monitors:
                kill(pid)
            self.eventually(lambda: not set(monitors) & set(leaks.processes(self.hull)))

    def launch(self, scenario, **env):
        stdin = subprocess.PIPE if scenario.stdin else subprocess.DEVNULL
        process = subprocess.Popen([str(self.hull.bin), *scenario.words], env=dict(self.hull.env, **env), stdin=stdin,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if scenario.stdin:
            try:
                process.stdin.write(self.tar)
                process.stdin.close()
            except BrokenPipeError:
                pass
            process.stdin = None
        return process

    def end(self, process):
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise

    def afterwards(self, scenario, process=None):
        """One command; then all is accounted for, and the same can be had again."""
        self.quiet()
        self.hull("ps")
        left = []
        deadline = time.monotonic() + 20
        while (left := leaks.leftovers(self.hull)) and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(left, [], "left behind after one command")
        listed = self.hull.out("ps", "-a", "--format", "{{.Names}} {{.Status}}").splitlines()
        if scenario.undone and process and process.returncode < 0:
            self.assertFalse([line for line in listed if line.endswith("Created")], "a run that never ran")
        for line in listed:
            # A launcher of an exec would die as the first one did; "false" may have ended.
            if " Up " in line and scenario.name not in ("exec", "run with a policy"):
                self.hull("exec", line.split()[0], "true")
        if scenario.name.startswith("network") and " Up " in "".join(listed):
            self.check_interfaces("cc")
        self.hull.remove_all()
        self.hull("network", "prune", "-f")
        self.hull("run", "--rm", "--name", "cc", "-p", PORT, "demo", "true")
        self.hull("rmi", "-f", "other", code=None)
        self.hull("volume", "rm", "vol", code=None)
        self.hull("network", "rm", "ciso", code=None)
        self.hull("ps")
        self.assertEqual(self.hull.wait_until_clean(), [], "left behind in the end")

    def check_interfaces(self, name):
        """What is in the container is what is recorded: no half of a connection."""
        inside = set(self.hull.out("exec", name, "ls", "/sys/class/net").split()) - {"lo"}
        networks = json.loads(self.hull.out("inspect", "-f", "{{json .NetworkSettings.Networks}}", name))
        self.assertEqual(len(inside), len([n for n in networks.values() if n["IPAddress"]]), (inside, networks))
        if networks:
            self.eventually(lambda: self.hull("exec", name, "ip", "route", code=None).out.count("default via") == 1)
        else:
            self.assertNotIn("default", self.hull.out("exec", name, "ip", "route"))
        hosts = self.hull.out("exec", name, "cat", "/etc/hosts")
        for network in networks.values():
            self.assertIn(network["IPAddress"] + "\t", hosts)

    def fault(self, scenario, point, action):
        """What is there before, and the command, with the fault. A monitor has
        the environment of the command that started it."""
        env = {"HULL_FAULT": f"{point}:1:{action}", "HULL_FAULT_LOG": str(self.log)}
        self.prepare(scenario, **({} if point in scenario.before_points else env))
        self.log.write_text("")
        return self.launch(scenario, **env)

    def die_at(self, scenario, point, action="kill"):
        process = self.fault(scenario, point, action)
        self.end(process)
        self.come_to(point)
        self.afterwards(scenario, process)

    def come_to(self, point):
        """A monitor may take its time: a back-off, say."""
        self.eventually(lambda: point in self.log.read_text().split())

    def others_die_at(self, scenario, point, victim):
        """Somebody stops at the point; @victim is killed meanwhile."""
        process = self.fault(scenario, point, "stop")
        self.come_to(point)
        self.eventually(lambda: any(state_of(pid) == "T" for pid in leaks.processes(self.hull)))
        found = leaks.processes(self.hull)
        monitors = [pid for pid, name in found.items() if name == "hull-monitor" and
                    found.get(leaks.parent_of(pid)) != "hull-monitor"]
        for pid in [process.pid] if victim == "hull" else monitors:
            kill(pid)
        for pid in leaks.processes(self.hull):
            kill(pid, signal.SIGCONT)
        self.end(process)
        self.afterwards(scenario, process)

    # ---- all of them

    def passed_by(self, scenario):
        """The points that a command passes when nothing goes wrong."""
        env = {"HULL_FAULT_LOG": str(self.log)}
        self.log.write_text("")
        self.prepare(scenario, **env)
        scenario.before_points = set(self.log.read_text().split())
        self.log.write_text("")
        self.end(self.launch(scenario, **env))
        if "policy" in scenario.name:
            self.eventually(lambda: self.hull.out("inspect", "-f", "{{.State.Status}}", "cc") == "exited")
        self.quiet()
        points = list(dict.fromkeys(self.log.read_text().split()))
        self.afterwards(scenario)
        return points

    def test_every_point(self):
        where = {}
        for scenario in self.scenarios:
            for point in self.passed_by(scenario):
                where.setdefault(point, []).append(scenario)
        failed = []
        tried = 0

        def attempt(what, *args):
            nonlocal tried
            tried += 1
            try:
                what(*args)
            except (AssertionError, subprocess.TimeoutExpired) as error:
                words = [arg.name if isinstance(arg, Scenario) else str(arg) for arg in args]
                failed.append(f"{what.__name__} {words}: {error}")
                print("# " + failed[-1].replace("\n", "\n#   "), flush=True)
                for pid in leaks.processes(self.hull):
                    kill(pid)
                self.hull.remove_all()

        started = time.monotonic()
        for point in self.points:
            scenarios = where.get(point, [])
            for scenario in scenarios if FULL else scenarios[:1] + scenarios[-1:] if len(scenarios) > 1 else scenarios:
                attempt(self.die_at, scenario, point)
            for scenario in scenarios if FULL else scenarios[:1]:
                attempt(self.die_at, scenario, point, "enospc")
                if not any(word in scenario.name for word in ("import", "rmi", "image")):
                    attempt(self.others_die_at, scenario, point, "hull")
                    attempt(self.others_die_at, scenario, point, "monitor")
        print(f"# {tried} deaths at {len(where)} of {len(self.points)} points in {time.monotonic() - started:.0f} s", flush=True)
        self.assertEqual(sorted(set(self.points) - set(where)), [], "no command of this test passes these points")
        self.assertEqual(failed, [])

    def test_every_point_of_every_level(self):
        for point in sorted(self.beyond):
            need(False, f"{point}: {self.levels[point.split('.')[0]]['why']}")

    def test_a_change_of_ports_is_made_whole_or_not_at_all(self):
        """The firewall after one command: as before, or as wanted."""
        def rules():
            done = subprocess.run(["nft", "list", "table", "inet", "hull"], capture_output=True, text=True, check=True)
            return sorted(line.strip() for line in done.stdout.splitlines())
        scenario = next(s for s in SCENARIOS if s.name == "update of ports")
        for point in ("ports.recorded", "ports.removed", "ports.published", "ports.added"):
            for action in ("kill", "enospc"):
                with self.subTest(point=point, action=action):
                    self.prepare(scenario)
                    before = rules(), self.hull.out("port", "cc")
                    self.end(self.launch(scenario, HULL_FAULT=f"{point}:1:{action}"))
                    self.hull("ps")
                    self.assertEqual((rules(), self.hull.out("port", "cc")), before)
                    self.hull("update", "cc", "-p", "+18081:81", "-p", "-80")
                    self.assertNotEqual(rules(), before[0])
                    self.assertEqual(self.hull.out("port", "cc").splitlines(), ["81/tcp -> 0.0.0.0:18081", "81/tcp -> [::]:18081"])
                    self.hull.remove_all()

    def test_a_start_that_fails_leaves_nothing(self):
        """Of a container that stays: what was made ahead is not made behind the clean-up."""
        scenario = next(s for s in SCENARIOS if s.name == "run with a policy")
        passed = self.passed_by(scenario)
        for point in ("start.hosts", "start.spec", "start.files", "start.monitor"):
            with self.subTest(point):
                self.assertIn(point, passed)
                self.die_at(scenario, point, "enospc")

    def test_the_end_of_a_network_is_told_once(self):
        """By whoever goes on with its removal; one that was never made has no end."""
        for verb, actions in (("rm", ["destroy"]), ("create", [])):
            for point in ("network.claimed", "network.link_gone") if verb == "rm" else ("network.row", "network.made"):
                with self.subTest(point):
                    if verb == "rm":
                        self.hull("network", "create", "net")
                    start = time.time()
                    done = self.hull("network", verb, "net", code=None, env={"HULL_FAULT": f"{point}:1:kill"})
                    self.assertLess(done.returncode, 0)
                    self.assertNotIn("net", self.hull.out("network", "ls", "--format", "{{.Name}}").splitlines())
                    told = self.hull.out("events", "--since", f"{start:.9f}", "--until", "0s", "-f", "type=network", "--format", "{{.Action}}")
                    self.assertEqual(told.split(), actions)

    def test_a_rename_is_made_whole(self):
        """With the new name recorded, everybody knows it after one command."""
        for point in ("rename.recorded", "rename.told"):
            for action in ("kill", "enospc"):
                with self.subTest(point=point, action=action):
                    self.hull("network", "create", "net")
                    for name in ("cc", "asks"):
                        self.hull("run", "-d", "--name", name, "--network", "net", *LONG)
                    self.hull("rename", "cc", "dd", code=None, env={"HULL_FAULT": f"{point}:1:{action}"})
                    self.hull("ps")
                    address = self.hull.out("inspect", "-f", "{{.NetworkSettings.Networks.net.IPAddress}}", "dd")
                    self.assertIn(address, self.hull.out("exec", "asks", "nslookup", "dd"))
                    self.assertNotIn(address, self.hull("exec", "asks", "nslookup", "cc", code=None).out)
                    self.hull("rename", "dd", "cc")
                    self.assertIn(address, self.hull.out("exec", "asks", "nslookup", "cc"))
                    self.hull.remove_all()
                    self.hull("network", "rm", "net")

    def test_at_random_times(self):
        """Whoever is there is killed, at any time."""
        dice = random.Random(SEED)
        deadline = time.monotonic() + RANDOM_SECONDS
        rounds = 0
        while time.monotonic() < deadline:
            scenario = dice.choice(self.scenarios)
            delay, victim = dice.uniform(0, 0.06), dice.choice(("hull", "monitor", "both"))
            with self.subTest(round=rounds, scenario=scenario.name, delay=delay, victim=victim):
                self.prepare(scenario)
                process = self.launch(scenario)
                time.sleep(delay)
                found = leaks.processes(self.hull)
                for pid, name in found.items():
                    if victim == "both" or (name == "hull-monitor") == (victim == "monitor"):
                        kill(pid)
                self.end(process)
                self.afterwards(scenario, process)
            rounds += 1
        print(f"# {rounds} deaths at random times, seed {SEED}", flush=True)


if __name__ == "__main__":
    main()
