#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The default bridge, none, host, container: and published ports."""
import socket
import subprocess
import unittest

from lib.hull import HullTest, main


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
