#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The default bridge, none, host, container: and published ports; a neighbour on
the same wire in a network namespace of its own plays the world outside."""
import socket
import struct
import subprocess
import tempfile
import unittest

from lib.hull import HullTest, busybox_tar, main
from lib.wire import HOST_OUTSIDE, NEIGHBOUR, Neighbour, ask, in_network_of, listener, serve


def dns_answer(query, _peer):
    """The address 192.0.2.7 for whatever name is asked; nothing for other types."""
    name_end = query.index(b"\0", 12) + 1
    kind = struct.unpack(">H", query[name_end:name_end + 2])[0]
    head = query[:2] + b"\x81\x80\0\1" + struct.pack(">H", 1 if kind == 1 else 0) + b"\0\0\0\0" + query[12:name_end + 4]
    return head + (b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\7" if kind == 1 else b"")


# What another isolation level does not do, and why.
DIFFERS = {
    "sandbox": {
        "test_container_shares_another_s_network": "a kernel of its own has its own network stack: refused, test_sandbox.py",
        "test_host_s_network_has_the_host_s_names": "likewise",
        "test_host_sees_the_host_s_links": "likewise",
        "test_ports_with_another_network_mode": "likewise",
        "test_published_udp_answers": "it opens a socket in the container's network namespace from outside",
        "test_a_resolver_on_the_host_s_loopback_is_not_offered": "likewise",
    },
}


class Outside(HullTest):
    """Traffic that leaves or enters the machine."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.neighbour = Neighbour()

    @classmethod
    def tearDownClass(cls):
        cls.neighbour.close()
        super().tearDownClass()

    def listen_outside(self, port, kind, answer):
        server = self.neighbour.inside(lambda: listener(NEIGHBOUR, port, kind))
        self.addCleanup(server.close)
        serve(server, answer)

    def test_workloads_leave_with_the_host_s_address(self):
        self.listen_outside(4000, socket.SOCK_STREAM, lambda data, peer: peer[0].encode())
        self.assertEqual(self.hull.out("run", "--rm", "demo", "nc", "-w", "3", NEIGHBOUR, "4000"), HOST_OUTSIDE)

    def test_names_come_from_the_host_s_resolver(self):
        self.listen_outside(53, socket.SOCK_DGRAM, dns_answer)
        with tempfile.NamedTemporaryFile("w") as f:
            f.write(f"# of the host\nsearch example.org\nnameserver {NEIGHBOUR}\noptions timeout:2\n")
            f.flush()
            subprocess.run(["mount", "--bind", f.name, "/etc/resolv.conf"], check=True)
            try:
                out = self.hull.out("run", "--rm", "demo", "nslookup", "-type=a", "www.example.org")
                self.assertIn("192.0.2.7", out)
                text = self.hull.out("run", "--rm", "demo", "cat", "/etc/resolv.conf")
                self.assertIn("search example.org", text)
                text = self.hull.out("run", "--rm", "--dns", "192.0.2.53", "--dns-search", "a.test", "--dns-option", "ndots:3",
                                     "demo", "cat", "/etc/resolv.conf")
                self.assertIn("nameserver 192.0.2.53", text)
                self.assertIn("search a.test", text)
                self.assertIn("options ndots:3", text)
                self.assertNotIn(NEIGHBOUR, text)
            finally:
                subprocess.run(["umount", "/etc/resolv.conf"], check=True)

    def test_a_resolver_on_the_host_s_loopback_is_not_offered(self):
        with tempfile.NamedTemporaryFile("w") as f:
            f.write("nameserver 127.0.0.53\n")
            f.flush()
            subprocess.run(["mount", "--bind", f.name, "/etc/resolv.conf"], check=True)
            try:
                self.assertNotIn("127.0.0.53", self.hull.out("run", "--rm", "demo", "cat", "/etc/resolv.conf"))
                self.assertIn("127.0.0.53", self.hull.out("run", "--rm", "--network", "host", "demo", "cat", "/etc/resolv.conf"))
            finally:
                subprocess.run(["umount", "/etc/resolv.conf"], check=True)

    def reached_from_outside(self, address, port, kind=socket.SOCK_STREAM, data=None):
        try:
            return self.neighbour.inside(lambda: ask(address, port, kind, data, timeout=0.5))
        except OSError:
            return None

    def test_published_ports_are_reached_from_outside(self):
        self.hull("run", "-d", "-p", "8200:80", "-p", "127.0.0.1:8201:80", "-p", f"{HOST_OUTSIDE}:8202:80", "demo",
                  "nc", "-ll", "-p", "80", "-e", "echo", "yes")
        self.eventually(lambda: self.reached_from_outside(HOST_OUTSIDE, 8200) == b"yes\n")
        self.assertIsNone(self.reached_from_outside(HOST_OUTSIDE, 8201))
        self.assertEqual(self.reached_from_outside(HOST_OUTSIDE, 8202), b"yes\n")
        self.assertEqual(ask("127.0.0.1", 8201), b"yes\n")
        self.assertEqual(ask(HOST_OUTSIDE, 8202), b"yes\n")
        with self.assertRaises(OSError):
            ask("127.0.0.1", 8202, timeout=0.5)

    def test_neighbours_reach_nothing_that_is_not_published(self):
        """With a route to the containers, and to the host's loopback (CVE-2020-8558)."""
        self.hull("run", "-d", "--name", "web", "-p", "127.0.0.1:8210:80", "demo", "nc", "-ll", "-p", "80", "-e", "echo", "yes")
        address = self.hull.out("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web")
        self.eventually(lambda: self.answers_host(8210))
        server = listener("127.0.0.1", 8211)
        self.addCleanup(server.close)
        serve(server, lambda *_: b"secret")
        run = lambda *args: subprocess.run(args, check=True, stdout=subprocess.DEVNULL)
        self.neighbour.inside(lambda: [
            run("ip", "route", "add", address, "via", HOST_OUTSIDE),
            run("sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1"),
            run("ip", "addr", "del", "127.0.0.1/8", "dev", "lo"),
            run("ip", "route", "add", "127.0.0.1", "via", HOST_OUTSIDE, "dev", "wan1")])
        try:
            self.assertIsNone(self.reached_from_outside(address, 80))
            self.assertIsNone(self.reached_from_outside("127.0.0.1", 8211))
            self.assertIsNone(self.reached_from_outside("127.0.0.1", 8210))
        finally:
            self.neighbour.inside(lambda: [run("ip", "route", "del", "127.0.0.1"), run("ip", "route", "del", address),
                                           run("ip", "addr", "add", "127.0.0.1/8", "dev", "lo")])

    def answers_host(self, port):
        try:
            return ask("127.0.0.1", port)
        except OSError:
            return None

    def test_published_udp_answers(self):
        self.hull("run", "-d", "--name", "echo", "-p", "8220:7/udp", "demo", "sleep", "60")
        server = in_network_of(int(self.hull.out("inspect", "-f", "{{.State.Pid}}", "echo")),
                               lambda: listener("0.0.0.0", 7, socket.SOCK_DGRAM))
        self.addCleanup(server.close)
        serve(server, lambda data, peer: data)
        udp = socket.SOCK_DGRAM
        self.assertEqual(ask("127.0.0.1", 8220, udp, b"loop"), b"loop")
        self.assertEqual(ask(HOST_OUTSIDE, 8220, udp, b"own"), b"own")
        self.eventually(lambda: self.reached_from_outside(HOST_OUTSIDE, 8220, udp, b"ping") == b"ping")


class Network(HullTest):
    def test_bridge_has_address_gateway_and_names(self):
        out = self.hull.out("run", "--rm", "--name", "n1", "--hostname", "box", "demo", "sh", "-c",
                            "ip -4 addr show eth0; ip route; cat /etc/hosts; cat /etc/resolv.conf; hostname")
        self.assertIn("inet 172.17.0.2/16", out)
        self.assertIn("default via 172.17.0.1", out)
        self.assertRegex(out, r"172\.17\.0\.2\s+box")
        self.assertIn("localhost", out)

    def test_none_has_a_loopback_only(self):
        out = self.hull.out("run", "--rm", "--network", "none", "demo", "ip", "-o", "link")
        self.assertIn("lo:", out)
        self.assertNotIn("eth0", out)

    def test_host_sees_the_host_s_links(self):
        subprocess.run(["ip", "link", "add", "mark0", "type", "bridge"], check=True)
        try:
            self.assertIn("mark0", self.hull.out("run", "--rm", "--network", "host", "demo", "ip", "link"))
        finally:
            subprocess.run(["ip", "link", "del", "mark0"], check=True)

    def test_two_containers_reach_each_other(self):
        self.hull("run", "-d", "--name", "server", "demo", "nc", "-ll", "-p", "7000", "-e", "echo", "hello")
        address = self.hull.out("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "server")
        out = self.hull.out("run", "--rm", "demo", "sh", "-c",
                            f"for i in 1 2 3 4 5 6 7 8 9; do nc -w 2 {address} 7000 && exit; sleep 0.1; done")
        self.assertEqual(out, "hello")

    def test_container_shares_another_s_network(self):
        self.hull("run", "-d", "--name", "first", "demo", "sleep", "60")
        a = self.hull.out("exec", "first", "ip", "-4", "-o", "addr", "show", "eth0")
        b = self.hull.out("run", "--rm", "--network", "container:first", "demo", "ip", "-4", "-o", "addr", "show", "eth0")
        self.assertEqual(a, b)
        for what in ("hostname", "cat /etc/hosts", "cat /etc/resolv.conf"):
            self.assertEqual(self.hull.out("run", "--rm", "--network", "container:first", "demo", *what.split()),
                             self.hull.out("exec", "first", *what.split()), what)

    def test_the_link_goes_with_the_container_though_a_stranger_holds_the_network(self):
        running = self.hull.start("run", "--rm", "--name", "held", "-i", "demo", "cat", stdin=subprocess.PIPE)
        self.eventually(lambda: self.hull.out("ps", "-q", "--filter", "name=held"))
        container, pid = self.hull.out("inspect", "-f", "{{.Id}} {{.State.Pid}}", "held").split()
        links = lambda: subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
        self.assertIn(f"hv{container[:11]}", links())
        with open(f"/proc/{pid}/ns/net", "rb"):
            running.stdin.close()
            self.assertEqual(running.wait(20), 0)
            self.eventually(lambda: f"hv{container[:11]}" not in links())
        running.stdout.close()
        running.stderr.close()

    def test_host_s_network_has_the_host_s_names(self):
        out = self.hull.out("run", "--rm", "--network", "host", "--add-host", "db:192.0.2.9", "demo", "sh", "-c",
                            "hostname; cat /etc/hostname; echo $HOSTNAME; cat /etc/hosts")
        self.assertEqual(out.splitlines()[:3], [socket.gethostname()] * 3)
        with open("/etc/hosts", encoding="utf-8") as f:
            self.assertIn(f.read().strip(), out)
        self.assertIn("192.0.2.9\tdb", out)

    def test_published_tcp_port(self):
        self.hull("run", "-d", "--name", "web", "-p", "8080:80", "demo", "nc", "-ll", "-p", "80", "-e", "echo", "published")
        self.eventually(lambda: self.answers(8080) == b"published\n")
        self.assertEqual(self.hull.out("port", "web").splitlines(), ["80/tcp -> 0.0.0.0:8080", "80/tcp -> [::]:8080"])
        self.hull("rm", "-f", "web")
        self.assertIsNone(self.answers(8080))

    def test_published_udp_port_and_ranges(self):
        self.hull("run", "-d", "--name", "dns", "-p", "127.0.0.1:5300:53/udp", "-p", "9000-9001:80-81", "demo", "sh", "-c",
                  "while :; do sleep 1; done")
        self.assertEqual(self.hull.out("port", "dns").splitlines(),
                         ["53/udp -> 127.0.0.1:5300", "80/tcp -> 0.0.0.0:9000", "80/tcp -> [::]:9000", "81/tcp -> 0.0.0.0:9001",
                          "81/tcp -> [::]:9001"])
        self.assertEqual(self.hull.out("port", "dns", "53/udp"), "127.0.0.1:5300")
        self.assertIn("No public port '99/tcp'", self.hull("port", "dns", "99", code=1).err)

    def test_all_exposed_ports_are_published(self):
        self.hull("import", "-c", "EXPOSE 80 53/udp", "-", "exposes", input=busybox_tar())
        self.hull("run", "-d", "--name", "all", "-P", "--expose", "7/tcp", "exposes", "nc", "-ll", "-p", "80", "-e", "echo", "here")
        ports = self.hull.out("port", "all").splitlines()
        self.assertEqual([line.split(" -> ")[0] for line in ports if "[::]" not in line], ["7/tcp", "53/udp", "80/tcp"])
        port = int(self.hull.out("port", "all", "80").splitlines()[0].split(":")[1])
        self.eventually(lambda: self.answers(port) == b"here\n")
        self.assertRegex(self.hull.out("ps"), rf"0\.0\.0\.0:{port}->80/tcp")

    def test_ports_survive_a_restart(self):
        self.hull("run", "-d", "--name", "again", "-p", "8110:80", "demo", "nc", "-ll", "-p", "80", "-e", "echo", "back")
        self.hull("restart", "-t", "0", "again")
        self.eventually(lambda: self.answers(8110) == b"back\n")

    def answers(self, port):
        try:
            return ask("127.0.0.1", port)
        except OSError:
            return None

    def test_port_in_use_names_the_port_and_leaves_nothing(self):
        with socket.socket() as s:
            s.bind(("0.0.0.0", 8090))
            s.listen()
            done = self.hull("run", "-d", "-p", "8090:80", "demo", "sleep", "60", code=125)
            self.assertIn("8090", done.err)
            self.assertIn("in use", done.err)

    def test_random_ports_avoid_those_of_the_host(self):
        taken = []
        for port in range(32768, 32772):
            taken.append(listener("0.0.0.0", port))
            self.addCleanup(taken[-1].close)
        self.hull("run", "-d", "--name", "any", "-p", "80", "-p", "81/udp", "demo", "sleep", "60")
        ports = [line.rsplit(":", 1)[1] for line in self.hull.out("port", "any").splitlines() if "[::]" not in line]
        self.assertEqual(len(ports), 2)
        self.assertNotIn(int(ports[0]), range(32768, 32772))

    def test_a_range_of_host_ports_for_one_port(self):
        for n in range(3):
            self.hull("run", "-d", "--name", f"r{n}", "-p", "8120-8122:80", "demo", "sleep", "60")
        self.assertEqual([self.hull.out("port", f"r{n}", "80") for n in range(3)], [f"0.0.0.0:812{n}\n[::]:812{n}" for n in range(3)])
        self.assertIn("8120-8122", self.hull("run", "-d", "-p", "8120-8122:80", "demo", "true", code=125).err)

    def test_port_of_another_container_is_in_use(self):
        self.hull("run", "-d", "--name", "first", "-p", "8130:80", "demo", "sleep", "60")
        done = self.hull("run", "-d", "--name", "second", "-p", "127.0.0.1:8130:80", "demo", "sleep", "60", code=125)
        self.assertIn("Bind for 127.0.0.1:8130 failed: port is already allocated", done.err)
        # As with Docker the container stays, created, and starts when the port is free.
        self.assertEqual(self.hull.out("inspect", "-f", "{{.State.Status}}", "second"), "created")
        self.assertIn("port is already allocated", self.hull("start", "second", code=1).err)
        self.hull("stop", "-t", "0", "first")
        self.hull("start", "second")
        self.assertIn("port is already allocated", self.hull("start", "first", code=1).err)

    def test_bad_ports(self):
        for spec, text in (("99999:80", "Invalid hostPort: 99999"), ("80:99999", "Invalid containerPort: 99999"),
                           ("8000-8001:80-82", "Invalid ranges specified"), ("1.2.3.4.5:80:80", "1.2.3.4.5"),
                           ("80/xyz", "xyz")):
            done = self.hull("run", "-d", "-p", spec, "demo", "true", code=125)
            self.assertIn(text.lower(), done.err.lower(), spec)

    def test_ports_with_another_network_mode(self):
        self.hull("run", "--rm", "--network", "none", "-p", "8140:80", "demo", "true")
        self.hull("run", "-d", "--name", "owner", "demo", "sleep", "60")
        done = self.hull("run", "--rm", "--network", "container:owner", "-p", "8140:80", "demo", "true", code=125)
        self.assertIn("conflicting options: port publishing and the container type network mode", done.err)
        done = self.hull("run", "--rm", "--network", "container:owner", "--hostname", "x", "demo", "true", code=125)
        self.assertIn("conflicting options: hostname and the network mode", done.err)
        self.assertIn("No such container", self.hull("run", "--rm", "--network", "container:nope", "demo", "true", code=125).err)
        self.assertIn("network nope not found", self.hull("run", "--rm", "--network", "nope", "demo", "true", code=125).err)

    def test_a_container_reaches_itself_and_others_by_published_ports(self):
        self.hull("run", "-d", "--name", "web", "-p", "8150:80", "demo", "nc", "-ll", "-p", "80", "-e", "echo", "hair")
        gateway = self.hull.out("inspect", "-f", "{{.NetworkSettings.Gateway}}", "web")
        self.eventually(lambda: self.answers(8150) == b"hair\n")
        self.assertEqual(self.hull.out("exec", "web", "nc", "-w", "2", gateway, "8150"), "hair")
        self.assertEqual(self.hull.out("run", "--rm", "demo", "nc", "-w", "2", gateway, "8150"), "hair")

    def test_hosts_and_names(self):
        out = self.hull.out("run", "--rm", "--add-host", "db:192.0.2.9", "--add-host", "gw:host-gateway", "--hostname", "a.b.c",
                            "demo", "sh", "-c", "cat /etc/hosts; hostname; cat /etc/hostname")
        self.assertRegex(out, r"192\.0\.2\.9\s+db")
        self.assertRegex(out, r"172\.17\.0\.1\s+gw")
        self.assertRegex(out, r"172\.17\.0\.\d+\s+a\.b\.c a")
        self.assertEqual(out.splitlines()[-2:], ["a.b.c", "a.b.c"])
        id = self.hull.out("run", "-d", "demo", "sleep", "60")
        self.assertEqual(self.hull.out("exec", id, "hostname"), id[:12])

    def test_mac_address(self):
        out = self.hull.out("run", "--rm", "--mac-address", "92:d0:c6:0a:29:33", "demo", "cat", "/sys/class/net/eth0/address")
        self.assertEqual(out, "92:d0:c6:0a:29:33")

    def test_many_containers_have_addresses_of_their_own(self):
        for n in range(8):
            self.hull("run", "-d", "--name", f"m{n}", "demo", "sleep", "60")
        seen = [self.hull.out("inspect", "-f", "{{.NetworkSettings.IPAddress}}", f"m{n}") for n in range(8)]
        self.assertEqual(len(set(seen)), 8)
        self.hull("rm", "-f", "m0")
        self.hull("run", "-d", "--name", "m0", "demo", "sleep", "60")
        self.assertEqual(self.hull.out("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "m0"), seen[0])

    def test_ping_sockets_are_for_everybody(self):
        # Those that need no capability; Debian's busybox does not know of them.
        show = ("demo", "cat", "/proc/sys/net/ipv4/ping_group_range")
        self.assertEqual(self.hull.out("run", "--rm", *show).split(), ["0", "65535"])
        self.assertEqual(self.hull.out("run", "--rm", "--sysctl", "net.ipv4.ping_group_range=5 10", *show).split(), ["5", "10"])

    def test_low_ports_are_for_everybody(self):
        self.hull("run", "-d", "-u", "user", "-p", "8160:80", "demo", "nc", "-ll", "-p", "80", "-e", "echo", "low")
        self.eventually(lambda: self.answers(8160) == b"low\n")

    def test_nothing_is_left_in_the_firewall(self):
        self.hull("run", "-d", "--name", "one", "-p", "8100:80", "demo", "sleep", "60")
        self.hull("rm", "-f", "one")
        rules = subprocess.run(["nft", "list", "map", "inet", "hull", "ports4"], capture_output=True, text=True, check=True).stdout
        self.assertNotIn("elements", rules)


if __name__ == "__main__":
    main()
