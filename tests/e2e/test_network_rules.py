#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Isolated networks and their rules, egress, what was refused, rates; each rule with
a probe that passes and one that does not, for both families."""
import json
import socket
import subprocess
import time

from lib.hull import HullTest, main
from lib.wire import HOST_OUTSIDE, HOST_OUTSIDE6, NEIGHBOUR, NEIGHBOUR6, Neighbour, ask, in_network_of, listener, serve


class Rules(HullTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.neighbour = Neighbour()
        for address in (NEIGHBOUR, NEIGHBOUR6):
            for port in (443, 444):
                server = cls.neighbour.inside(lambda address=address, port=port: listener(address, port))
                serve(server, lambda data, peer: b"outside")
        # What comes from workloads by IPv6 is masqueraded; answers need no route.
        cls.hull("network", "create", "--isolated", "--ipv6", "--subnet", "172.28.0.0/16", "--subnet", "fd00:28::/64", "iso")

    @classmethod
    def tearDownClass(cls):
        cls.hull("network", "rm", "iso", "plain", code=None)
        cls.neighbour.close()
        super().tearDownClass()

    def setUp(self):
        self.addCleanup(self.drop_rules)

    def drop_rules(self):
        self.hull.remove_all()
        self.hull("network", "rm", "plain", "gone", code=None)
        rules = self.hull.out("network", "rule", "ls", "-q", "iso").split()
        if rules:
            self.hull("network", "rule", "rm", "iso", *rules)

    def member(self, name, *args, network="iso", ports=(5432, 6000)):
        self.hull("run", "-d", "--name", name, "--network", network, *args, "demo", "sleep", "600")
        self.serve_in(name, *ports)

    def pid(self, name):
        return int(self.hull.out("inspect", "-f", "{{.State.Pid}}", name))

    def serve_in(self, name, *ports):
        for port in ports:
            for any_address in ("0.0.0.0", "::"):
                server = in_network_of(self.pid(name), lambda port=port, a=any_address: only6(listener_socket(a), a, port))
                self.addCleanup(server.close)
                serve(server, lambda data, peer, port=port: f"{port} {peer[0]}".encode())

    def addresses(self, name, network="iso"):
        text = self.hull.out("inspect", "-f", f'{{{{with index .NetworkSettings.Networks "{network}"}}}}{{{{.IPAddress}}}} '
                             '{{.GlobalIPv6Address}}{{end}}', name)
        return text.split()

    def reach(self, source, address, port):
        """What a connection from the container (None: the host, "outside") gets."""
        do = lambda: ask(address, port, timeout=0.6)
        try:
            if source is None:
                return do()
            if source == "outside":
                return self.neighbour.inside(do)
            return in_network_of(self.pid(source), do)
        except OSError:
            return None

    def all_reach(self, source, target, port):
        """Whether both families do, which must agree. A neighbour that has just come
        may not be found at once."""
        deadline = time.monotonic() + 60
        while True:
            got = [self.reach(source, address, port) is not None for address in self.addresses(target)]
            self.assertEqual(len(got), 2)
            if got[0] == got[1] or time.monotonic() > deadline:
                break
        self.assertEqual(got[0], got[1], f"{source} to {target}: IPv4 {got[0]}, IPv6 {got[1]}")
        return got[0]

    def rule(self, *args):
        return self.hull.out("network", "rule", "add", "iso", *args)

    # ----

    def test_nothing_passes_without_a_rule(self):
        self.member("web")
        self.member("db")
        self.assertFalse(self.all_reach("web", "db", 5432))
        self.assertFalse(self.all_reach(None, "db", 5432))
        self.assertIsNone(self.reach("web", NEIGHBOUR, 443))
        self.assertIsNone(self.reach("web", NEIGHBOUR6, 443))
        host = listener("0.0.0.0", 4100)
        self.addCleanup(host.close)
        serve(host, lambda data, peer: b"host")
        self.assertIsNone(self.reach("web", "172.28.0.1", 4100))

    def test_a_rule_opens_one_port_one_way(self):
        self.member("web")
        self.member("db")
        self.member("other")
        number = self.rule("--from", "web", "--to", "db", "--port", "5432", "--allow")
        self.assertTrue(self.all_reach("web", "db", 5432))
        self.assertFalse(self.all_reach("web", "db", 6000))
        self.assertFalse(self.all_reach("db", "web", 5432))
        self.assertFalse(self.all_reach("other", "db", 5432))
        # The source address is the container's own.
        self.assertIn(self.addresses("web")[0], self.reach("web", self.addresses("db")[0], 5432).decode())
        self.hull("network", "rule", "rm", "iso", number)
        self.assertFalse(self.all_reach("web", "db", 5432))

    def test_rules_follow_containers_and_labels(self):
        self.rule("--from", "app=web", "--to", "label:role=db", "--port", "5432", "--allow")
        self.member("one", "--label", "app=web")
        self.member("two", "--label", "app=else")
        self.member("db", "--label", "role=db")
        self.assertTrue(self.all_reach("one", "db", 5432))
        self.assertFalse(self.all_reach("two", "db", 5432))
        self.hull("restart", "-t", "0", "one")
        self.assertTrue(self.all_reach("one", "db", 5432))
        # Another container gets the address, and not what was allowed to it.
        address = self.addresses("one")
        self.hull("rm", "-f", "one")
        self.member("heir", "--ip", address[0], "--ip6", address[1])
        self.assertEqual(self.addresses("heir"), address)
        self.assertFalse(self.all_reach("heir", "db", 5432))
        # A name that a rule is about can be another container's later.
        self.rule("--from", "heir", "--to", "db", "--port", "6000", "--allow")
        self.assertTrue(self.all_reach("heir", "db", 6000))
        self.hull("rename", "heir", "somebody")
        self.assertFalse(self.all_reach("somebody", "db", 6000))

    def test_any_host_and_outside(self):
        self.member("web")
        host = listener("0.0.0.0", 4101)
        self.addCleanup(host.close)
        serve(host, lambda data, peer: b"host")
        self.rule("--from", "any", "--to", "web", "--port", "5432", "--allow")
        self.assertTrue(self.all_reach(None, "web", 5432))
        self.assertFalse(self.all_reach(None, "web", 6000))
        self.rule("--from", "web", "--to", "host", "--port", "4101", "--allow")
        self.assertEqual(self.reach("web", "172.28.0.1", 4101), b"host")
        self.rule("--from", "web", "--to", "outside", "--port", "443", "--allow")
        self.assertEqual(self.reach("web", NEIGHBOUR, 443), b"outside")
        self.assertIsNone(self.reach("web", NEIGHBOUR, 444))
        self.assertEqual(self.reach("web", NEIGHBOUR6, 443), b"outside")
        self.assertIsNone(self.reach("web", NEIGHBOUR6, 444))

    def test_the_first_rule_that_fits_decides(self):
        self.member("web")
        self.rule("--from", "web", "--to", f"{NEIGHBOUR}/32", "--deny")
        self.rule("--from", "any", "--to", "outside", "--allow")
        self.assertIsNone(self.reach("web", NEIGHBOUR, 443))
        self.assertEqual(self.reach("web", NEIGHBOUR6, 443), b"outside")

    def test_what_is_published_is_open_from_outside_alone(self):
        self.member("web", "-p", "8500:5432")
        self.member("db")
        self.assertTrue(self.reach("outside", HOST_OUTSIDE, 8500).startswith(b"5432 "))
        self.assertIsNone(self.reach("outside", HOST_OUTSIDE, 8501))
        self.assertTrue(self.reach("outside", HOST_OUTSIDE6, 8500).startswith(b"5432 "))
        self.assertTrue(self.reach(None, "127.0.0.1", 8500).startswith(b"5432 "))
        # A neighbour on the network is not from outside, whatever way it takes.
        self.assertIsNone(self.reach("db", HOST_OUTSIDE, 8500))

    def test_no_frame_passes_between_the_ports(self):
        """Not even with an address that was not given: the rules know addresses."""
        self.member("web", "--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW")
        self.member("db")
        self.member("trusted")
        self.rule("--from", "trusted", "--to", "db", "--port", "5432", "--allow")
        stolen = self.addresses("trusted")[0]
        self.assertTrue(self.all_reach("trusted", "db", 5432))
        self.hull("stop", "-t", "0", "trusted")
        self.hull("exec", "web", "ip", "addr", "add", f"{stolen}/16", "dev", "eth0")
        target = self.addresses("db")[0]

        def as_trusted():
            with socket.socket() as s:
                s.settimeout(0.6)
                s.bind((stolen, 0))
                s.connect((target, 5432))
        with self.assertRaises(OSError):
            in_network_of(self.pid("web"), as_trusted)
        self.hull("exec", "web", "ip", "route", "add", f"{target}/32", "dev", "eth0")
        self.assertIsNone(self.reach("web", target, 5432))

    def test_two_networks_do_not_reach_each_other(self):
        self.hull("network", "create", "plain")
        self.rule("--from", "any", "--to", "any", "--allow")
        self.member("one")
        self.member("two", network="plain")
        address = self.addresses("two", "plain")[0]
        self.assertIsNotNone(self.reach(None, address, 5432))
        self.assertIsNone(self.reach("one", address, 5432))
        self.assertIsNone(self.reach("two", self.addresses("one")[0], 5432))
        self.assertTrue(self.all_reach(None, "one", 5432))
        self.hull("rm", "-f", "two")
        self.hull("network", "rm", "plain")

    def test_connecting_to_an_isolated_network_while_it_runs(self):
        self.hull("network", "create", "plain")
        self.member("db")
        self.member("two", network="plain")
        self.rule("--from", "two", "--to", "db", "--port", "5432", "--allow")
        self.hull("network", "connect", "iso", "two")
        self.assertTrue(self.all_reach("two", "db", 5432))
        self.assertFalse(self.all_reach("two", "db", 6000))
        self.hull("network", "disconnect", "iso", "two")
        self.assertIsNone(self.reach("two", self.addresses("db")[0], 5432))
        self.hull("rm", "-f", "two")
        self.hull("network", "rm", "plain")

    def test_lists_of_rules(self):
        first = self.rule("--from", "app=web", "--port", "8000-8010", "--protocol", "udp", "--allow")
        second = self.rule("--egress", "API.example.com.:443", "--deny")
        self.assertEqual(self.hull.out("network", "rule", "ls", "--format", "{{.ID}} {{.From}} {{.To}} {{.Protocol}} {{.Port}} {{.Action}}", "iso"),
                         f"{first} label:app=web any udp 8000-8010 allow\n{second} any api.example.com tcp 443 deny")
        self.assertIn("RULE", self.hull.out("network", "rule", "ls", "iso"))

    def test_wrong_rules(self):
        for args, text in ((("--from", "nobody", "--allow"), "No such container: nobody"), (("--port", "70000", "--allow"), "invalid port"),
                           (("--from", "any"), "either --allow or --deny"), (("--protocol", "gre", "--allow"), "invalid protocol"),
                           (("--egress", "a..b:1", "--allow"), "invalid egress"), (("--egress", "example.com", "--allow"), "needs a port"),
                           (("--from", "host", "--to", "outside", "--allow"), "about no container"),
                           (("--egress", "10.0.0.300:80", "--allow"), "invalid egress")):
            self.assertIn(text, self.hull("network", "rule", "add", "iso", *args, code=None).err, args)
        self.assertIn("not isolated", self.hull("network", "rule", "add", "bridge", "--allow", code=1).err)
        self.assertIn("has no rule 99999", self.hull("network", "rule", "rm", "iso", "99999", code=1).err)
        self.assertEqual(self.hull.out("network", "rule", "ls", "-q", "iso"), "")

    def test_what_was_refused_is_remembered(self):
        self.member("web")
        self.member("db")
        # Ports that no other test asks for: the memory is longer than a test.
        for _ in range(3):
            self.reach("web", self.addresses("db")[0], 5433)
        self.reach("web", self.addresses("db")[1], 6001)
        lines = self.hull.out("network", "log", "--format", "{{.From}} {{.To}} {{.Protocol}} {{.Port}} {{.Packets}}", "iso").splitlines()
        counted = [line for line in lines if line.startswith("web db tcp 5433 ")]
        self.assertEqual(len(counted), 1, lines)
        self.assertGreaterEqual(int(counted[0].split()[-1]), 3)
        self.assertTrue([line for line in lines if line.startswith("web db tcp 6001 ")], lines)
        self.assertNotIn("5433", self.hull.out("network", "log", "--format", "{{.Port}}", "bridge"))

    def test_nothing_is_left_of_a_network_with_rules(self):
        ruleset = lambda: subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
        self.hull("network", "create", "plain")
        # The log is a memory of its own.
        lines = lambda: [l for l in ruleset().splitlines() if "counter" not in l and "elements" not in l and "expires" not in l]
        before = lines()
        self.hull("network", "create", "--isolated", "gone")
        self.hull("run", "-d", "--name", "web", "--network", "gone", "--network", "iso", "demo", "sleep", "600")
        self.hull("network", "rule", "add", "gone", "--from", "web", "--to", "any", "--allow")
        self.assertNotEqual(lines(), before)
        self.hull("rm", "-f", "web")
        self.hull("network", "rm", "gone")
        self.assertEqual(lines(), before)
        self.hull("network", "rm", "plain")

    # ---- egress of one container

    def test_egress_by_address(self):
        self.member("web", "--egress", f"{NEIGHBOUR}:443", "--egress", f"[{NEIGHBOUR6}]:443/tcp", network="bridge")
        self.assertEqual(self.reach("web", NEIGHBOUR, 443), b"outside")
        self.assertIsNone(self.reach("web", NEIGHBOUR, 444))
        host = listener("0.0.0.0", 4102)
        self.addCleanup(host.close)
        serve(host, lambda data, peer: b"host")
        gateway = self.hull.out("inspect", "-f", "{{.NetworkSettings.Gateway}}", "web")
        self.assertIsNone(self.reach("web", gateway, 4102))
        self.member("free", network="bridge")
        self.assertEqual(self.reach("free", NEIGHBOUR, 444), b"outside")
        self.assertEqual(self.reach("free", gateway, 4102), b"host")
        # Inside its network nothing is new.
        inside = self.hull.out("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "free")
        self.assertIsNotNone(self.reach("web", inside, 5432))
        self.assertEqual(json.loads(self.hull.out("inspect", "-f", "{{json .HostConfig.Egress}}", "web")),
                         [f"{NEIGHBOUR}:443", f"[{NEIGHBOUR6}]:443/tcp"])
        self.assertTrue([line for line in self.hull.out("network", "log", "--format", "{{.From}} {{.To}} {{.Port}}").splitlines()
                         if line == f"web {NEIGHBOUR} 444"])

    def test_egress_of_subnets_and_both_families(self):
        self.hull("network", "create", "--ipv6", "plain")
        self.member("web", "--egress", "198.51.100.0/24", "--egress", "2001:db8:51::/48", network="plain")
        self.assertEqual(self.reach("web", NEIGHBOUR, 444), b"outside")
        self.assertEqual(self.reach("web", NEIGHBOUR6, 444), b"outside")
        self.member("none", "--egress", "192.0.2.1:1", network="plain")
        self.assertIsNone(self.reach("none", NEIGHBOUR, 444))
        self.assertIsNone(self.reach("none", NEIGHBOUR6, 444))
        self.hull("restart", "-t", "0", "none")
        self.assertIsNone(self.reach("none", NEIGHBOUR, 444))
        self.assertIsNone(self.reach("none", NEIGHBOUR6, 444))
        self.member("one", "--egress", f"[{NEIGHBOUR6}]:443/tcp", network="plain")
        self.assertEqual(self.reach("one", NEIGHBOUR6, 443), b"outside")
        self.assertIsNone(self.reach("one", NEIGHBOUR6, 444))
        self.assertIsNone(self.reach("one", NEIGHBOUR, 443))
        self.hull("rm", "-f", "web", "none", "one")
        self.hull("network", "rm", "plain")

    def test_wrong_egress(self):
        for spec in ("example.com", "host:99999", "[::1:443", "1.2.3.4:80/gre", "", "a b:1"):
            self.assertIn("invalid egress", self.hull("run", "--rm", "--egress", spec, "demo", "true", code=125).err, spec)

    # ---- rates

    def speed(self, name, is_in=True, family6=False, seconds=1.5):
        """Bits a second that the container is sent by the host, or sends to it."""
        ends = self.addresses(name, "slow")[family6], self.gateways[family6]
        there, here = in_network_of(self.pid(name), lambda: listener(ends[0], 5201)), listener(ends[1], 5202)
        with there, here:
            if is_in:
                sender = socket.create_connection((ends[0], 5201), 20)
                conn, _ = there.accept()
            else:
                sender = in_network_of(self.pid(name), lambda: socket.create_connection((ends[1], 5202), 20))
                conn, _ = here.accept()
            with sender:
                return pump(sender, conn, seconds)

    def assertRate(self, low, high, *args):
        """Never more; and as much as that, once the machine has the time."""
        for _ in range(5):
            value = self.speed(*args)
            self.assertLess(value, high)
            if value > low:
                return
        self.fail(f"{value / 1e6:.1f} Mbit/s at the most, not {low / 1e6}")

    def test_a_rate_holds_and_changes(self):
        self.hull("network", "create", "--ipv6", "slow")
        self.gateways = [c["Gateway"] for c in json.loads(self.hull.out("network", "inspect", "slow"))[0]["IPAM"]["Config"]]
        self.hull("run", "-d", "--name", "slow", "--network", "slow", "--network-rate", "in=40mbit,out=20mbit", "demo", "sleep", "600")
        self.assertEqual(self.hull.out("inspect", "-f", "{{.HostConfig.NetworkRateIn}} {{.HostConfig.NetworkRateOut}}", "slow"),
                         "40000000 20000000")
        for family6 in (False, True):
            self.assertRate(20e6, 44e6, "slow", True, family6)
            self.assertRate(10e6, 24e6, "slow", False, family6)
        stats = json.loads(self.hull.out("stats", "--no-stream", "--format", "json", "slow"))
        self.assertEqual(stats["NetRate"], "40Mbit/s / 20Mbit/s")
        self.hull("update", "--network-rate", "in=80mbit", "slow")
        self.assertRate(46e6, 88e6, "slow")
        self.assertEqual(self.hull.out("inspect", "-f", "{{.HostConfig.NetworkRateIn}} {{.HostConfig.NetworkRateOut}}", "slow"),
                         "80000000 20000000")
        self.hull("restart", "-t", "0", "slow")
        self.assertRate(46e6, 88e6, "slow")
        self.hull("update", "--network-rate", "0", "slow")
        self.assertRate(100e6, 1e15, "slow")
        self.assertEqual(links("hi"), [])
        self.hull("rm", "-f", "slow")
        self.hull("network", "rm", "slow")

    def test_wrong_rates(self):
        for spec in ("fast", "in=10mbit,up=2mbit", "10mb", "-1", "1bit", "10mbit,20mbit"):
            self.assertIn("invalid network rate", self.hull("run", "--rm", "--network-rate", spec, "demo", "true", code=125).err, spec)
        for mode in ("none", "host"):
            done = self.hull("run", "--rm", "--network", mode, "--network-rate", "1mbit", "demo", "true", code=125)
            self.assertIn("--network-rate", done.err)
            self.assertIn("--egress", self.hull("run", "--rm", "--network", mode, "--egress", "1.2.3.4", "demo", "true", code=125).err)


def listener_socket(address):
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)


def only6(s, address, port):
    """A listener that leaves the other family to its own."""
    if s.family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    s.listen()
    return s


def links(prefix):
    out = subprocess.run(["ip", "-j", "link"], capture_output=True, text=True, check=True).stdout
    return [link["ifname"] for link in json.loads(out) if link["ifname"].startswith(prefix)]


def pump(sender, receiver, seconds):
    """Send as much as goes; count what arrives after the first half second."""
    sender.setblocking(False)
    receiver.setblocking(False)
    data = bytes(65536)
    began = time.monotonic()
    total, start = 0, None
    while (now := time.monotonic()) - began < seconds + 0.5:
        try:
            sender.send(data)
        except BlockingIOError:
            pass
        try:
            n = len(receiver.recv(1 << 20))
        except BlockingIOError:
            n = 0
            time.sleep(0.0005)
        if now - began > 0.5:
            start = start or now
            total += n
    return total * 8 / (now - start)


if __name__ == "__main__":
    main()
