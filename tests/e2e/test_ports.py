#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Published ports: both families, who has them, their change while the container runs."""
import os
import socket
import subprocess

from lib.hull import HullTest, main
from lib.wire import HOST_OUTSIDE, Neighbour, ask, in_network_of, listener, serve


def elements(name):
    """How many there are in a set or map of hull's."""
    out = subprocess.run(["nft", "list", "table", "inet", "hull"], capture_output=True, text=True, check=True).stdout
    for kind in ("map", "set"):
        start = out.find(f"\t{kind} {name} {{")
        if start >= 0:
            block = out[start:out.index("\n\t}", start)]
            return block.partition("elements = ")[2].count("tcp .") + block.partition("elements = ")[2].count("udp .")
    raise KeyError(name)


class Ports(HullTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.neighbour = Neighbour()

    @classmethod
    def tearDownClass(cls):
        cls.neighbour.close()
        super().tearDownClass()

    def answer(self, port, address="127.0.0.1", outside=False):
        do = lambda: ask(address, port, timeout=0.7)
        try:
            return self.neighbour.inside(do) if outside else do()
        except OSError:
            return None

    def serve_inside(self, name, *ports):
        """A server in the container's network for each port, which says the port and the peer."""
        pid = int(self.hull.out("inspect", "-f", "{{.State.Pid}}", name))
        for port in ports:
            server = in_network_of(pid, lambda port=port: listener("0.0.0.0", port))
            self.addCleanup(server.close)
            serve(server, lambda data, peer, port=port: f"{port} {peer[0]}".encode())

    def sleeper(self, name, *args):
        self.hull("run", "-d", "--name", name, *args, "demo", "sleep", "600")

    # ---- who has it

    def test_the_process_that_has_the_port_is_named(self):
        server = listener("0.0.0.0", 8300)
        self.addCleanup(server.close)
        done = self.hull("run", "-d", "-p", "8300:80", "demo", "true", code=125)
        self.assertIn("address already in use", done.err)
        self.assertIn(f"(pid {os.getpid()})", done.err)
        udp = listener("0.0.0.0", 8301, socket.SOCK_DGRAM)
        self.addCleanup(udp.close)
        self.assertIn(f"(pid {os.getpid()})", self.hull("run", "-d", "-p", "8301:80/udp", "demo", "true", code=125).err)
        # The same number of the other protocol is free.
        self.sleeper("other", "-p", "8301:80/tcp")

    def test_the_container_that_has_the_port_is_named(self):
        self.sleeper("holder", "-p", "8310:80")
        done = self.hull("run", "-d", "-p", "127.0.0.1:8310:80", "demo", "true", code=125)
        self.assertIn("Bind for 127.0.0.1:8310 failed: port is already allocated", done.err)
        self.assertIn("holder", done.err)

    def test_the_same_port_on_two_addresses(self):
        self.sleeper("one", "-p", "127.0.0.1:8320:80")
        self.sleeper("two", "-p", f"{HOST_OUTSIDE}:8320:80")
        self.serve_inside("one", 80)
        self.serve_inside("two", 80)
        self.assertTrue(self.answer(8320).startswith(b"80 "))
        self.assertTrue(self.answer(8320, HOST_OUTSIDE, outside=True).startswith(b"80 "))
        self.assertIn("already allocated", self.hull("run", "-d", "-p", "8320:80", "demo", "true", code=125).err)

    def test_the_source_address_is_kept(self):
        self.sleeper("web", "-p", "8330:80")
        self.serve_inside("web", 80)
        self.assertEqual(self.answer(8330, HOST_OUTSIDE, outside=True), b"80 198.51.100.2")

    # ---- while it runs

    def test_ports_change_while_it_runs(self):
        self.sleeper("web", "-p", "8340:80", "-p", "8341:81")
        self.serve_inside("web", 80, 81, 443)
        self.assertIsNone(self.answer(8343, HOST_OUTSIDE, outside=True))
        self.assertEqual(self.hull.out("update", "web", "-p", "+8343:443", "-p", "-80"), "web")
        self.assertEqual(self.answer(8343, HOST_OUTSIDE, outside=True), b"443 198.51.100.2")
        self.assertIsNone(self.answer(8340, HOST_OUTSIDE, outside=True))
        self.assertIsNone(self.answer(8340))
        self.assertEqual(self.answer(8341, HOST_OUTSIDE, outside=True), b"81 198.51.100.2")
        wanted = [f"{port} -> {address}" for port, host in (("81/tcp", 8341), ("443/tcp", 8343)) for address in (f"0.0.0.0:{host}", f"[::]:{host}")]
        self.assertEqual(self.hull.out("port", "web").splitlines(), wanted)
        self.assertRegex(self.hull.out("ps"), r"0\.0\.0\.0:8343->443/tcp")
        self.assertNotRegex(self.hull.out("ps"), r":8340->")
        self.assertEqual(self.hull.out("inspect", "-f", '{{(index .HostConfig.PortBindings "443/tcp" 0).HostPort}}', "web"), "8343")
        # The port is somebody else's to take, and a restart keeps what was changed.
        self.sleeper("other", "-p", "8340:80")
        self.hull("restart", "-t", "0", "web")
        self.assertEqual(self.hull.out("port", "web").splitlines(), wanted)

    def test_a_change_is_made_whole_or_not_at_all(self):
        self.sleeper("web", "-p", "8350:80")
        self.serve_inside("web", 80, 443)
        server = listener("0.0.0.0", 8353)
        self.addCleanup(server.close)
        before = elements("ports4"), elements("open4")
        done = self.hull("update", "web", "-p", "+8352:443", "-p", "-80", "-p", "+8353:443", code=1)
        self.assertIn("8353", done.err)
        self.assertEqual((elements("ports4"), elements("open4")), before)
        self.assertEqual(self.hull.out("port", "web", "80").splitlines(), ["0.0.0.0:8350", "[::]:8350"])
        self.assertEqual(self.answer(8350, HOST_OUTSIDE, outside=True), b"80 198.51.100.2")
        self.assertIsNone(self.answer(8352, HOST_OUTSIDE, outside=True))
        self.sleeper("other", "-p", "8352:80")

    def test_changes_of_a_stopped_container(self):
        self.hull("create", "--name", "later", "-p", "8360:80", "demo", "sleep", "600")
        self.hull("update", "later", "-p", "8361:81", "-p", "-8360:80")
        self.hull("start", "later")
        self.assertEqual(self.hull.out("port", "later").splitlines(), ["81/tcp -> 0.0.0.0:8361", "81/tcp -> [::]:8361"])

    def test_a_container_that_nobody_reached_is_published_when_it_is_connected(self):
        self.hull("network", "create", "--internal", "inner")
        self.addCleanup(self.hull, "network", "rm", "inner")
        self.hull("network", "create", "--ipv6", "outer")
        self.addCleanup(self.hull, "network", "rm", "outer")
        self.addCleanup(self.hull, "rm", "-f", "late")
        self.sleeper("late", "--network", "inner", "-p", "8365:80", "-p", "81")
        self.serve_inside("late", 80)
        self.assertEqual(self.hull.out("port", "late"), "")
        self.assertIsNone(self.answer(8365))
        self.hull("network", "connect", "outer", "late")
        self.assertEqual(self.answer(8365, HOST_OUTSIDE, outside=True), b"80 198.51.100.2")
        self.assertEqual(self.hull.out("port", "late", "80").splitlines(), ["0.0.0.0:8365", "[::]:8365"])
        self.assertEqual(len(self.hull.out("port", "late", "81").splitlines()), 2)
        self.hull("network", "disconnect", "outer", "late")
        self.assertIsNone(self.answer(8365))
        self.assertEqual(self.hull.out("port", "late"), "")
        # Somebody else has the port meanwhile: the connection is refused, and nothing is left of it.
        server = listener("0.0.0.0", 8365)
        done = self.hull("network", "connect", "outer", "late", code=1)
        self.assertIn(f"(pid {os.getpid()})", done.err)
        self.assertNotIn("outer", self.hull.out("inspect", "-f", "{{json .NetworkSettings.Networks}}", "late"))
        server.close()
        self.hull("network", "connect", "outer", "late")
        self.assertEqual(self.answer(8365, HOST_OUTSIDE, outside=True), b"80 198.51.100.2")

    def test_wrong_changes(self):
        self.sleeper("web", "-p", "8370:80")
        for spec, text in (("-81", "No public port '81/tcp' published for web"), ("-9999:80", "No public port '80/tcp'"),
                           ("+99999:80", "Invalid hostPort"), ("-80/udp", "No public port '80/udp'")):
            self.assertIn(text, self.hull("update", "web", "-p", spec, code=1).err, spec)
        self.assertEqual(self.hull.out("port", "web", "80").splitlines(), ["0.0.0.0:8370", "[::]:8370"])
        # What is there already stays as it is.
        self.hull("update", "web", "-p", "+8370:80")
        self.assertEqual(self.hull.out("port", "web", "80").splitlines(), ["0.0.0.0:8370", "[::]:8370"])
        self.sleeper("hosts", "--network", "container:web")
        self.assertIn("container type network mode", self.hull("update", "hosts", "-p", "+8371:80", code=1).err)

    def test_nothing_is_left_of_changed_ports(self):
        self.sleeper("web", "-p", "8380:80", "-p", "127.0.0.1:8381:80/udp")
        self.hull("update", "web", "-p", "+8382:80", "-p", "-8380:80", "-p", f"+{HOST_OUTSIDE}:8383:80")
        self.hull("rm", "-f", "web")
        for name in ("ports4", "ports4_addr", "open4", "open4_addr", "ports6", "ports6_addr", "open6", "open6_addr"):
            self.assertEqual(elements(name), 0, name)


if __name__ == "__main__":
    main()
