#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""127.0.0.1 on a host where route_localnet cannot be switched on; in namespaces where no other hull has been."""
import json
import pathlib
import socket
import subprocess

from lib.hull import HullTest, main
from lib.wire import ask, in_network_of, listener, serve, stop


class WithoutRouteLocalnet(HullTest):
    """A host on which nobody may switch route_localnet on."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.off = cls.hull.dir / "off"
        cls.off.write_text("0\n")
        cls.places = [f"/proc/sys/net/ipv4/conf/{name}/route_localnet" for name in ("all", "default")]
        for place in cls.places:
            subprocess.run(["mount", "--bind", cls.off, place], check=True)
            subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)

    @classmethod
    def tearDownClass(cls):
        for place in cls.places:
            subprocess.run(["umount", place], check=True)
        super().tearDownClass()

    def test_127_0_0_1_by_proxy(self):
        self.hull("run", "-d", "--name", "web", "-p", "8695:80", "-p", "127.0.0.1:8696:80", "-p", "127.0.0.1:8696:80/udp",
                  # Whoever sees a /proc with something over it may not mount one of his own.
                  "--userns", "host", "demo", "sleep", "600")
        pid = int(self.hull.out("inspect", "-f", "{{.State.Pid}}", "web"))
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            server = in_network_of(pid, lambda kind=kind: listener("0.0.0.0", 80, kind))
            self.addCleanup(stop, server)
            serve(server, lambda data, peer: b"here " + data)
        bridges = subprocess.run(["ip", "-j", "link", "show", "type", "bridge"], capture_output=True, check=True).stdout
        links = [link["ifname"] for link in json.loads(bridges)]
        self.assertTrue(links)
        for link in links:
            self.assertEqual(pathlib.Path(f"/proc/sys/net/ipv4/conf/{link}/route_localnet").read_text().strip(), "0")
        self.assertEqual(ask("127.0.0.1", 8695), b"here ")
        self.assertEqual(ask("127.0.0.1", 8696), b"here ")
        self.assertEqual(ask("127.0.0.1", 8696, socket.SOCK_DGRAM, b"x"), b"here x")
        self.assertEqual(self.hull.out("port", "web", "80").splitlines(), ["0.0.0.0:8695", "[::]:8695", "127.0.0.1:8696"])


if __name__ == "__main__":
    main()
