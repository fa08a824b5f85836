#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The default bridge, none, host, container: and published ports."""
import socket
import subprocess
import unittest

from lib.hull import HullTest, busybox_tar, main


def ask(address, port, kind=socket.SOCK_STREAM, data=None):
    with socket.socket(socket.AF_INET, kind) as s:
        s.settimeout(3)
        s.connect((address, port))
        if data is not None:
            s.send(data)
        return s.recv(1000)


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

    def test_published_tcp_port(self):
        self.hull("run", "-d", "--name", "web", "-p", "8080:80", "demo", "nc", "-ll", "-p", "80", "-e", "echo", "published")
        self.eventually(lambda: self.answers(8080) == b"published\n")
        self.assertEqual(self.hull.out("port", "web"), "80/tcp -> 0.0.0.0:8080")
        self.hull("rm", "-f", "web")
        self.assertIsNone(self.answers(8080))

    def test_published_udp_port_and_ranges(self):
        self.hull("run", "-d", "--name", "dns", "-p", "127.0.0.1:5300:53/udp", "-p", "9000-9001:80-81", "demo", "sh", "-c",
                  "while :; do sleep 1; done")
        self.assertEqual(self.hull.out("port", "dns").splitlines(),
                         ["53/udp -> 127.0.0.1:5300", "80/tcp -> 0.0.0.0:9000", "81/tcp -> 0.0.0.0:9001"])
        self.assertEqual(self.hull.out("port", "dns", "53/udp"), "127.0.0.1:5300")
        self.assertIn("No public port '99/tcp'", self.hull("port", "dns", "99", code=1).err)

    def test_all_exposed_ports_are_published(self):
        self.hull("import", "-c", "EXPOSE 80 53/udp", "-", "exposes", input=busybox_tar())
        self.hull("run", "-d", "--name", "all", "-P", "--expose", "7/tcp", "exposes", "nc", "-ll", "-p", "80", "-e", "echo", "here")
        ports = self.hull.out("port", "all").splitlines()
        self.assertEqual([line.split(" -> ")[0] for line in ports], ["7/tcp", "53/udp", "80/tcp"])
        port = int(self.hull.out("port", "all", "80").split(":")[1])
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

    def test_nothing_is_left_in_the_firewall(self):
        self.hull("run", "-d", "--name", "one", "-p", "8100:80", "demo", "sleep", "60")
        self.hull("rm", "-f", "one")
        rules = subprocess.run(["nft", "list", "map", "inet", "hull", "ports4"], capture_output=True, text=True, check=True).stdout
        self.assertNotIn("elements", rules)


if __name__ == "__main__":
    main()
