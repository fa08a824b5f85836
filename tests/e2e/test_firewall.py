#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Published ports and the host's own firewall: what it refuses is refused, what it
does not know is not, and hull leaves nothing in it."""
import json
import subprocess

from lib.hull import HullTest, main, need_program
from lib.wire import HOST_OUTSIDE, NEIGHBOUR, Neighbour, ask, listener, serve

# What "ufw enable" makes of a fresh Debian, shortened: all that comes in and all
# that is forwarded is refused unless a rule or a connection says otherwise.
UFW = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw-before-input - [0:0]
:ufw-user-input - [0:0]
:ufw-before-forward - [0:0]
:ufw-user-forward - [0:0]
-A INPUT -j ufw-before-input
-A FORWARD -j ufw-before-forward
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -p icmp --icmp-type echo-request -j ACCEPT
-A ufw-before-input -j ufw-user-input
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-forward -j ufw-user-forward
COMMIT
"""

# What Docker 28 writes when it starts, shortened.
DOCKER = """*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER-FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -o docker0 -j DOCKER
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER ! -i docker0 -o docker0 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER -i docker0 -j RETURN
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
COMMIT
"""

# firewalld ends its chains with a reject and has no policy.
FIREWALLD = """
table inet firewalld {
	chain filter_INPUT {
		type filter hook input priority 10; policy accept;
		ct state { established, related } accept
		ct status dnat accept
		iifname "lo" accept
		tcp dport 22 accept
		ct state { invalid } drop
		reject with icmpx type admin-prohibited
	}
	chain filter_FORWARD {
		type filter hook forward priority 10; policy accept;
		ct state { established, related } accept
		ct status dnat accept
		iifname "lo" accept
		ct state { invalid } drop
		reject with icmpx type admin-prohibited
	}
}
"""


def nft(script):
    subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True)


class Firewall(HullTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.restore = need_program("iptables-nft-restore")
        cls.neighbour = Neighbour()
        cls.server = cls.neighbour.inside(lambda: listener(NEIGHBOUR, 4000))
        serve(cls.server, lambda data, peer: peer[0].encode())

    @classmethod
    def tearDownClass(cls):
        cls.server.close()
        cls.neighbour.close()
        super().tearDownClass()

    def setUp(self):
        self.addCleanup(self.drop_others)

    def drop_others(self):
        for table in ("ip filter", "ip nat", "ip6 filter", "inet firewalld"):
            subprocess.run(f"nft delete table {table}", shell=True, check=False, capture_output=True)

    def iptables(self, text):
        subprocess.run([self.restore], input=text, text=True, check=True)

    def rule(self, *args):
        subprocess.run(["iptables-nft", "-w", *args], check=True)

    def web(self, *args):
        self.hull("run", "-d", "--name", "web", *args, "demo", "nc", "-ll", "-p", "80", "-e", "echo", "yes")
        self.eventually(lambda: self.answer("127.0.0.1", 8080, inside=False) == b"yes\n")

    def answer(self, address, port, inside=True, timeout=0.7):
        do = lambda: ask(address, port, timeout=timeout)
        try:
            return self.neighbour.inside(do) if inside else do()
        except OSError:
            return None

    def leaves(self):
        """Whether a workload gets out to the neighbour."""
        return self.hull("run", "--rm", "demo", "nc", "-w", "2", NEIGHBOUR, "4000", code=None).out == HOST_OUTSIDE

    def test_a_refusal_of_the_host_wins_over_a_published_port(self):
        self.web("-p", "8080:80", "-p", "8081:80")
        self.assertEqual(self.answer(HOST_OUTSIDE, 8080), b"yes\n")
        self.rule("-A", "INPUT", "-p", "tcp", "--dport", "8080", "-j", "DROP")
        self.assertIsNone(self.answer(HOST_OUTSIDE, 8080))
        # The other port, and the host itself, as before.
        self.assertEqual(self.answer(HOST_OUTSIDE, 8081), b"yes\n")
        self.assertEqual(self.answer(HOST_OUTSIDE, 8080, inside=False), b"yes\n")
        self.rule("-D", "INPUT", "-p", "tcp", "--dport", "8080", "-j", "DROP")
        self.assertEqual(self.answer(HOST_OUTSIDE, 8080), b"yes\n")

    def test_a_refusal_by_source_address_wins_too(self):
        self.web("-p", "8080:80")
        self.rule("-A", "INPUT", "-s", NEIGHBOUR, "-j", "REJECT")
        self.assertIsNone(self.answer(HOST_OUTSIDE, 8080))

    def test_beside_ufw(self):
        self.iptables(UFW)
        self.web("-p", "8080:80", "-p", "8081:80")
        self.assertTrue(self.leaves())
        # ufw lets nothing in that it was not told to; "ufw allow 8080/tcp" opens it.
        self.assertIsNone(self.answer(HOST_OUTSIDE, 8080))
        self.rule("-A", "ufw-user-input", "-p", "tcp", "--dport", "8080", "-j", "ACCEPT")
        self.assertEqual(self.answer(HOST_OUTSIDE, 8080), b"yes\n")
        self.assertIsNone(self.answer(HOST_OUTSIDE, 8081))
        # "ufw route deny" is a rule, not the policy: it stays in force.
        self.rule("-A", "ufw-user-forward", "-d", NEIGHBOUR, "-j", "DROP")
        self.assertFalse(self.leaves())

    def test_beside_docker(self):
        self.iptables(DOCKER)
        self.web("-p", "8080:80")
        self.assertTrue(self.leaves())
        self.assertEqual(self.answer(HOST_OUTSIDE, 8080), b"yes\n")
        self.rule("-I", "DOCKER-USER", "-s", NEIGHBOUR, "-j", "DROP")
        self.assertIsNone(self.answer(HOST_OUTSIDE, 8080))

    def test_beside_firewalld(self):
        nft(FIREWALLD)
        self.web("-p", "8080:80")
        self.assertTrue(self.leaves())
        self.assertIsNone(self.answer(HOST_OUTSIDE, 8080))
        nft("insert rule inet firewalld filter_INPUT tcp dport 8080 accept")
        self.assertEqual(self.answer(HOST_OUTSIDE, 8080), b"yes\n")

    def test_iptables_reads_its_table_with_our_rules_in_it(self):
        self.iptables(DOCKER)
        self.web("-p", "8080:80")
        bridge = self.hull.out("network", "inspect", "-f", '{{index .Options "com.docker.network.bridge.name"}}', "bridge", code=None)
        done = subprocess.run(["iptables-nft", "-S", "FORWARD"], capture_output=True, text=True, check=True)
        self.assertEqual(done.stderr, "")
        ours = [line for line in done.stdout.splitlines() if "hull" in line]
        self.assertEqual(len(ours), 2, (bridge, done.stdout))
        self.assertTrue(all(line.endswith("ACCEPT") for line in ours), ours)
        # Each start finds them there.
        self.hull("run", "--rm", "demo", "true")
        again = subprocess.run(["iptables-nft", "-S", "FORWARD"], capture_output=True, text=True, check=True).stdout
        self.assertEqual(again, done.stdout)

    def test_a_flush_of_the_host_s_rules_is_made_good_by_the_next_start(self):
        self.iptables(DOCKER)
        self.web("-p", "8080:80")
        self.iptables(DOCKER)
        self.assertFalse(self.answer(HOST_OUTSIDE, 8080))
        self.assertTrue(self.leaves())
        self.assertEqual(self.answer(HOST_OUTSIDE, 8080), b"yes\n")

    def open_to_the_outside(self):
        report = json.loads(self.hull("doctor", "--format", "json", code=None).out)
        return next(c["found"] for c in report["checks"] if c["name"] == "open to the outside")

    def test_doctor_tells_what_is_open(self):
        self.assertEqual(self.open_to_the_outside(), "no published port")
        self.web("-p", "8080:80", "-p", "127.0.0.1:8083:81", "-p", f"{HOST_OUTSIDE}:8084:82/udp")
        self.assertEqual(self.open_to_the_outside(), f"2 published: 8080/tcp, {HOST_OUTSIDE}:8084/udp")
        self.iptables(UFW)
        self.assertTrue(self.open_to_the_outside().endswith("the host's own rules let in: ip filter INPUT"))

    def test_an_emptied_firewall_is_filled_again(self):
        """"nft flush ruleset", or a reload of nftables.service, takes hull's table along."""
        self.web("-p", "8080:80", "-p", "127.0.0.1:8082:80")
        self.hull("network", "create", "--isolated", "closed")
        self.hull("run", "-d", "--name", "in", "--network", "closed", "demo", "nc", "-ll", "-p", "80", "-e", "echo", "no")
        inside = self.hull.out("inspect", "-f", "{{.NetworkSettings.Networks.closed.IPAddress}}", "in")
        listing = lambda: subprocess.run(["nft", "list", "table", "inet", "hull"], capture_output=True, text=True, check=True).stdout
        before = listing()
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        self.assertIsNone(self.answer(HOST_OUTSIDE, 8080))
        self.hull("run", "--rm", "demo", "true")
        self.assertEqual(sorted(listing().split("\n")), sorted(before.split("\n")))
        self.assertEqual(self.answer(HOST_OUTSIDE, 8080), b"yes\n")
        self.assertEqual(self.answer("127.0.0.1", 8082, inside=False), b"yes\n")
        self.assertIsNone(self.answer(inside, 80, inside=False))
        self.hull("rm", "-f", "in")
        self.hull("network", "rm", "closed")

    def test_the_source_address_is_kept_past_a_strict_source_filter(self):
        path = "/proc/sys/net/ipv4/conf/all/rp_filter"
        with open(path, encoding="ascii") as f:
            before = f.read()
        with open(path, "w", encoding="ascii") as f:
            f.write("1")
        try:
            self.web("-p", "8080:80")
            self.assertEqual(self.answer(HOST_OUTSIDE, 8080), b"yes\n")
        finally:
            with open(path, "w", encoding="ascii") as f:
                f.write(before)


if __name__ == "__main__":
    main()
