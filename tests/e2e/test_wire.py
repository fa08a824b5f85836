#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What takes modules that not every kernel has: SCTP, ipvlan, 802.1Q. tests/lab runs it on
Debian's kernel, which has them all, and where none of it may be skipped."""
import socket
import subprocess

from lib.hull import HullTest, main, need
from lib.wire import HOST_OUTSIDE, HOST_OUTSIDE6, NEIGHBOUR, NEIGHBOUR6, Neighbour, ask, in_network_of, listener, serve, stop

SCTP = 132


def run(*args):
    return subprocess.run(args, check=True, capture_output=True, text=True).stdout


def can(*args):
    return subprocess.run(args, check=False, capture_output=True).returncode == 0


class WireTest(HullTest):
    def setUp(self):
        super().setUp()
        self.neighbour = Neighbour()
        self.addCleanup(self.neighbour.close)

    def container(self, name, *args):
        self.hull("run", "-d", "--name", name, *args, "demo", "sleep", "600")
        self.addCleanup(self.hull, "rm", "-f", name)
        return int(self.hull.out("inspect", "-f", "{{.State.Pid}}", name))

    def network(self, name, *args):
        self.hull("network", "create", *args, name)
        self.addCleanup(lambda: name not in self.hull.out("network", "ls", "--format", "{{.Name}}").split() or self.hull("network", "rm", name))

    def server(self, pid, port, address="0.0.0.0"):
        server = in_network_of(pid, lambda: listener(address, port))
        self.addCleanup(stop, server)
        serve(server, lambda data, peer: f"{port} {peer[0]}".encode())

    def outside(self, address, port, timeout=20):
        """What a machine on the wire hears; None: nothing."""
        try:
            return self.neighbour.inside(lambda: ask(address, port, timeout=timeout))
        except OSError:
            return None


class Sctp(WireTest):
    def setUp(self):
        try:
            socket.socket(socket.AF_INET, socket.SOCK_STREAM, SCTP).close()
        except OSError as e:
            need(False, f"no SCTP in this kernel: {e}")
        super().setUp()

    def sctp_server(self, pid, port, address):
        def make():
            s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, SCTP)
            s.bind((address, port))
            s.listen()
            return s
        server = in_network_of(pid, make)
        self.addCleanup(stop, server)
        serve(server, lambda data, peer: f"{port} {peer[0]}".encode())

    def sctp_ask(self, address, port, timeout=20):
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, SCTP) as s:
            s.settimeout(timeout)
            s.connect((address, port))
            return s.recv(100)

    def refuses(self, do):
        with self.assertRaises(OSError):
            do()

    def test_published_by_the_kernel(self):
        pid = self.container("one", "-p", "8800:80/sctp", "-p", "127.0.0.1:8801:80/sctp", "-p", "8802:81/tcp")
        self.sctp_server(pid, 80, "0.0.0.0")
        outside = self.neighbour.inside
        self.assertTrue(self.sctp_ask("127.0.0.1", 8800).startswith(b"80 "))
        self.assertTrue(self.sctp_ask("127.0.0.1", 8801).startswith(b"80 "))
        self.assertEqual(outside(lambda: self.sctp_ask(HOST_OUTSIDE, 8800)), f"80 {NEIGHBOUR}".encode())
        # Not from outside what is for the host; nor what is of another protocol.
        self.refuses(lambda: outside(lambda: self.sctp_ask(HOST_OUTSIDE, 8801, 2)))
        self.refuses(lambda: outside(lambda: self.sctp_ask(HOST_OUTSIDE, 8802, 2)))
        self.refuses(lambda: outside(lambda: ask(HOST_OUTSIDE, 8800, timeout=2)))
        self.assertEqual(self.hull.out("port", "one", "80/sctp").splitlines(), ["0.0.0.0:8800", "127.0.0.1:8801"])
        # Whoever has it is told of, and it goes when the container goes.
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, SCTP) as s:
            s.bind(("0.0.0.0", 8803))
            s.listen()
            self.assertIn("address already in use", self.hull("run", "-d", "-p", "8803:80/sctp", "demo", "true", code=125).err)
        self.hull("update", "one", "-p", "-8800:80/sctp")
        self.refuses(lambda: outside(lambda: self.sctp_ask(HOST_OUTSIDE, 8800, 2)))

    def test_ipv6(self):
        self.network("dual", "--ipv6")
        pid = self.container("two", "--network", "dual", "-p", "8810:80/sctp")
        self.sctp_server(pid, 80, "::")
        self.assertEqual(self.neighbour.inside(lambda: self.sctp_ask(HOST_OUTSIDE6, 8810)), f"80 {NEIGHBOUR6}".encode())
        self.refuses(lambda: self.neighbour.inside(lambda: self.sctp_ask(HOST_OUTSIDE6, 8811, 2)))


class Ipvlan(WireTest):
    def setUp(self):
        super().setUp()
        need(can("ip", "link", "add", "probe0", "link", "wan0", "type", "ipvlan", "mode", "l2"), "no ipvlan in this kernel")
        run("ip", "link", "del", "probe0")

    def test_l2_is_on_the_parent_s_wire(self):
        self.network("lan", "-d", "ipvlan", "-o", "parent=wan0", "--subnet", "198.51.100.0/24", "--gateway", NEIGHBOUR,
                     "--subnet", "2001:db8:51::/64", "--gateway", NEIGHBOUR6)
        pid = self.container("on", "--network", "lan", "--ip", "198.51.100.50", "--ip6", "2001:db8:51::50")
        self.server(pid, 90, "::")
        self.assertEqual(self.outside("198.51.100.50", 90), f"90 ::ffff:{NEIGHBOUR}".encode())
        self.assertEqual(self.outside("2001:db8:51::50", 90), f"90 {NEIGHBOUR6}".encode())
        self.assertIsNone(self.outside("198.51.100.51", 90, 2))
        # The parent's own host and its links do not meet, as with Docker.
        with self.assertRaises(OSError):
            ask("198.51.100.50", 90, timeout=2)

    def test_l3_is_reached_by_a_route(self):
        self.network("routed", "-d", "ipvlan", "-o", "parent=wan0", "-o", "ipvlan_mode=l3", "--subnet", "10.78.0.0/24")
        pid = self.container("far", "--network", "routed", "--ip", "10.78.0.5")
        self.server(pid, 90)
        self.assertIsNone(self.outside("10.78.0.5", 90, 2))
        self.neighbour.inside(lambda: run("ip", "route", "add", "10.78.0.0/24", "via", HOST_OUTSIDE))
        self.assertEqual(self.outside("10.78.0.5", 90), f"90 {NEIGHBOUR}".encode())


class Vlan(WireTest):
    def setUp(self):
        super().setUp()
        need(can("ip", "link", "add", "link", "wan0", "name", "wan0.9", "type", "vlan", "id", "9"), "no 802.1Q in this kernel")
        run("ip", "link", "del", "wan0.9")

        def tagged():
            run("ip", "link", "add", "link", "wan1", "name", "wan1.50", "type", "vlan", "id", "50")
            run("ip", "addr", "add", "10.79.0.2/24", "dev", "wan1.50")
            run("ip", "addr", "add", "fd79::2/64", "dev", "wan1.50", "nodad")
            run("ip", "link", "set", "wan1.50", "up")
        self.neighbour.inside(tagged)

    def test_a_bridge_of_a_vlan(self):
        self.network("v50", "--vlan", "50", "--parent", "wan0", "--subnet", "10.79.0.0/24", "--gateway", "10.79.0.1",
                     "--subnet", "fd79::/64", "--gateway", "fd79::1")
        pid = self.container("in50", "--network", "v50", "--ip", "10.79.0.50", "--ip6", "fd79::50")
        self.server(pid, 90, "::")
        self.assertEqual(self.outside("10.79.0.50", 90), b"90 ::ffff:10.79.0.2")
        self.assertEqual(self.outside("fd79::50", 90), b"90 fd79::2")
        # Without the tag, and with another, nobody is there.
        self.neighbour.inside(lambda: [run("ip", "link", "del", "wan1.50"),
                                       run("ip", "addr", "add", "10.79.0.2/24", "dev", "wan1")])
        self.assertIsNone(self.outside("10.79.0.50", 90, 3))

        def another():
            run("ip", "addr", "del", "10.79.0.2/24", "dev", "wan1")
            run("ip", "link", "add", "link", "wan1", "name", "wan1.51", "type", "vlan", "id", "51")
            run("ip", "addr", "add", "10.79.0.2/24", "dev", "wan1.51")
            run("ip", "link", "set", "wan1.51", "up")
        self.neighbour.inside(another)
        self.assertIsNone(self.outside("10.79.0.50", 90, 3))
        self.hull("rm", "-f", "in50")
        self.hull("network", "rm", "v50")
        self.assertNotIn("wan0.50", run("ip", "-br", "link"))

    def rule(self, *args):
        self.hull("network", "rule", "add", "iso50", *args, "--allow")

    def datagrams(self, pid, address, port):
        s = in_network_of(pid, lambda: socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM))
        s.bind((address, port))
        s.settimeout(2)
        self.addCleanup(s.close)
        return s

    def send(self, address, port, source=""):
        def do():
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as s:
                if source:
                    s.bind((source, 0))
                s.sendto(b"datagram", (address, port))
        self.neighbour.inside(do)

    def test_an_isolated_network_of_a_vlan(self):
        """Machines of the VLAN seem to be on the members' wire, and yet go by the rules."""
        self.network("iso50", "--isolated", "--vlan", "50", "--parent", "wan0", "--subnet", "10.79.0.0/24", "--gateway", "10.79.0.1",
                     "--subnet", "fd79::/64", "--gateway", "fd79::1")
        db = self.container("db", "--network", "iso50", "--ip", "10.79.0.50", "--ip6", "fd79::50")
        self.container("web", "--network", "iso50", "--ip", "10.79.0.51", "--ip6", "fd79::51")
        self.server(db, 5432, "::")
        self.server(db, 90, "::")
        both = ("10.79.0.50", "fd79::50")
        heard = [self.datagrams(db, address, 53) for address in both]
        # Nothing without a rule, not even a datagram to which nobody answers.
        for address in both:
            self.send(address, 53)
            self.assertIsNone(self.outside(address, 5432, 2), address)
        for s in heard:
            self.assertRaises(TimeoutError, s.recv, 100)
        for source in ("10.79.0.2", "fd79::2"):
            self.rule("--from", source, "--to", "db", "--port", "5432")
            self.rule("--from", source, "--to", "db", "--port", "53", "--protocol", "udp")
        for address in both:
            self.assertTrue((self.outside(address, 5432) or b"").startswith(b"5432 "), address)
            self.assertIsNone(self.outside(address, 90, 2), address)
            self.send(address, 53)
        for s in heard:
            self.assertEqual(s.recv(100), b"datagram")
        # Not of another machine there, nor of one that takes a member's address.
        self.rule("--from", "web", "--to", "db", "--port", "53", "--protocol", "udp")
        self.neighbour.inside(lambda: [run("ip", "addr", "add", "10.79.0.3/24", "dev", "wan1.50"),
                                       run("ip", "addr", "add", "10.79.0.51/24", "dev", "wan1.50")])
        self.send("10.79.0.50", 53, "10.79.0.3")
        self.send("10.79.0.50", 53, "10.79.0.51")
        self.assertRaises(TimeoutError, heard[0].recv, 100)

    def test_members_of_an_isolated_network_go_to_its_vlan_by_the_rules(self):
        self.network("iso50", "--isolated", "--vlan", "50", "--parent", "wan0", "--subnet", "10.79.0.0/24", "--gateway", "10.79.0.1")
        pid = self.container("app", "--network", "iso50", "--ip", "10.79.0.50")
        for port in (4000, 4001):
            server = self.neighbour.inside(lambda port=port: listener("10.79.0.2", port))
            self.addCleanup(stop, server)
            serve(server, lambda data, peer: b"there")

        def reach(port, timeout=2):
            try:
                return in_network_of(pid, lambda: ask("10.79.0.2", port, timeout=timeout))
            except OSError:
                return None
        self.assertIsNone(reach(4000))
        self.rule("--from", "app", "--to", "10.79.0.2", "--port", "4000")
        self.assertEqual(reach(4000, 20), b"there")
        self.assertIsNone(reach(4001))
        # Whoever forges frames for the wire past the gateway is heard by nobody.
        in_network_of(pid, lambda: run("ip", "route", "add", "10.79.0.2/32", "dev", "eth0"))
        self.assertIsNone(reach(4001))

    def test_a_macvlan_of_a_vlan(self):
        self.network("m50", "-d", "macvlan", "-o", "parent=wan0.50", "--subnet", "10.79.0.0/24", "--gateway", "10.79.0.2")
        pid = self.container("mac", "--network", "m50", "--ip", "10.79.0.60")
        self.server(pid, 90)
        self.assertEqual(self.outside("10.79.0.60", 90), b"90 10.79.0.2")
        self.assertIsNone(self.outside("10.79.0.61", 90, 2))
        self.hull("rm", "-f", "mac")
        self.hull("network", "rm", "m50")
        self.assertNotIn("wan0.50", run("ip", "-br", "link"))


if __name__ == "__main__":
    main()
