#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Egress by name: what the name server told is open, by the port that was allowed,
for who asked; nothing else is."""
import os
import socket
import struct
import subprocess
import tempfile

from lib.hull import HullTest, main
from lib.wire import HOST_OUTSIDE, NEIGHBOUR, Neighbour, ask, in_network_of, listener, serve

ALLOWED, OTHER = "192.0.2.7", "192.0.2.8"


def dns_answer(query, _peer):
    """api.example.com by way of an alias, and everything else."""
    name_end = query.index(b"\0", 12) + 1
    kind = struct.unpack(">H", query[name_end:name_end + 2])[0]
    wanted = query[12:name_end].lower() == b"\3api\7example\3com\0"
    head = lambda n: query[:2] + b"\x81\x80\0\1" + struct.pack(">H", n) + b"\0\0\0\0" + query[12:name_end + 4]
    if kind != 1:
        return head(0)
    if not wanted:
        return head(1) + b"\xc0\x0c\0\1\0\1\0\0\0\x05\0\4" + socket.inet_aton(OTHER)
    alias = b"\4edge\7example\3com\0"
    return head(2) + b"\xc0\x0c\0\5\0\1\0\0\0\x05" + struct.pack(">H", len(alias)) + alias + \
        alias + b"\0\1\0\1\0\0\0\x05\0\4" + socket.inet_aton(ALLOWED)


class EgressNames(HullTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.neighbour = Neighbour()
        run = lambda *args: subprocess.run(args, check=True)
        for address in (ALLOWED, OTHER):
            cls.neighbour.inside(lambda address=address: run("ip", "addr", "add", f"{address}/32", "dev", "wan1"))
            run("ip", "route", "add", f"{address}/32", "via", NEIGHBOUR)
            for port in (443, 444):
                serve(cls.neighbour.inside(lambda address=address, port=port: listener(address, port)), lambda data, peer: b"outside")
        serve(cls.neighbour.inside(lambda: listener(NEIGHBOUR, 53, socket.SOCK_DGRAM)), dns_answer)
        cls.resolv = tempfile.NamedTemporaryFile("w")
        cls.resolv.write(f"nameserver {NEIGHBOUR}\n")
        cls.resolv.flush()
        os.chmod(cls.resolv.name, 0o644)
        run("mount", "--bind", cls.resolv.name, "/etc/resolv.conf")

    @classmethod
    def tearDownClass(cls):
        subprocess.run(["umount", "/etc/resolv.conf"], check=False)
        cls.neighbour.close()
        super().tearDownClass()

    def reach(self, name, address, port):
        pid = int(self.hull.out("inspect", "-f", "{{.State.Pid}}", name))
        try:
            return in_network_of(pid, lambda: ask(address, port, timeout=0.7))
        except OSError:
            return None

    def look_up(self, name, host):
        return self.hull("exec", name, "nslookup", "-type=a", host, code=None).out

    def check(self):
        self.assertIsNone(self.reach("web", ALLOWED, 443))
        self.assertIn(ALLOWED, self.look_up("web", "api.example.com"))
        self.assertEqual(self.reach("web", ALLOWED, 443), b"outside")
        self.assertIsNone(self.reach("web", ALLOWED, 444))
        self.assertNotIn(OTHER, self.look_up("web", "www.example.com"))
        self.assertIsNone(self.reach("web", OTHER, 443))
        # Who has not asked has not been told.
        self.assertIsNone(self.reach("second", ALLOWED, 443))
        self.assertIn(ALLOWED, self.look_up("second", "API.Example.com"))
        self.assertEqual(self.reach("second", ALLOWED, 443), b"outside")

    def test_of_a_container_on_the_default_network(self):
        for name in ("web", "second"):
            self.hull("run", "-d", "--name", name, "--egress", "api.example.com:443", "demo", "sleep", "600")
        self.check()
        # Another resolver is no way round.
        self.assertNotIn(ALLOWED, self.hull("exec", "web", "nslookup", "-type=a", "www.example.com", NEIGHBOUR, code=None).out)

    def test_what_one_was_told_is_not_its_heir_s(self):
        self.hull("run", "-d", "--name", "web", "--egress", "api.example.com:443", "demo", "sleep", "600")
        address = self.hull.out("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web")
        self.look_up("web", "api.example.com")
        self.assertEqual(self.reach("web", ALLOWED, 443), b"outside")
        self.hull("rm", "-f", "web")
        self.hull("run", "-d", "--name", "heir", "--egress", "www.example.com:443", "demo", "sleep", "600")
        self.assertEqual(self.hull.out("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "heir"), address)
        self.assertIsNone(self.reach("heir", ALLOWED, 443))

    def test_of_a_container_on_a_network_of_one_s_own(self):
        self.hull("network", "create", "app")
        for name in ("web", "second"):
            self.hull("run", "-d", "--name", name, "--network", "app", "--egress", "api.example.com:443", "demo", "sleep", "600")
        self.check()
        self.hull("restart", "-t", "0", "web", "second")
        self.hull("rm", "-f", "web", "second")
        self.hull("network", "rm", "app")

    def test_of_a_network_s_rule(self):
        self.hull("network", "create", "--isolated", "iso")
        self.hull("run", "-d", "--name", "web", "--network", "iso", "--label", "app=web", "demo", "sleep", "600")
        self.hull("run", "-d", "--name", "none", "--network", "iso", "demo", "sleep", "600")
        self.hull("network", "rule", "add", "iso", "--from", "app=web", "--egress", "api.example.com:443", "--allow")
        self.hull("run", "-d", "--name", "second", "--network", "iso", "--label", "app=web", "demo", "sleep", "600")
        self.check()
        self.assertNotIn(ALLOWED, self.look_up("none", "api.example.com"))
        self.assertIsNone(self.reach("none", ALLOWED, 443))
        self.hull("rm", "-f", "web", "second", "none")
        self.hull("network", "rm", "iso")

    def test_the_name_server_s_death_changes_nothing(self):
        self.hull("run", "-d", "--name", "web", "--egress", "api.example.com:443", "demo", "sleep", "600")
        self.assertIn(ALLOWED, self.look_up("web", "api.example.com"))
        servers = [pid for pid, name in self.servers() if name == "hull-names"]
        self.assertTrue(servers)
        for pid in servers:
            subprocess.run(["kill", "-9", str(pid)], check=False)
        self.eventually(lambda: ALLOWED in self.look_up("web", "api.example.com"))
        self.assertEqual(self.reach("web", ALLOWED, 443), b"outside")
        self.eventually(lambda: not {pid for pid, _ in self.servers()} & set(servers))

    def servers(self):
        from lib import leaks
        return leaks.processes(self.hull).items()


if __name__ == "__main__":
    main()
