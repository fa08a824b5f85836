#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Published ports that the kernel cannot redirect: hull-proxy serves them, and only while somebody comes."""
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import threading

from lib.hull import HullTest, main
from lib.leaks import processes
from lib.wire import HOST_OUTSIDE, HOST_OUTSIDE6, NEIGHBOUR6, Neighbour, ask, in_network_of, listener, serve, stop

PROXY_ID = 2020111724


def refuses(address, port, kind=socket.SOCK_STREAM, data=None):
    """Whether nobody answers there, which is told at once by the loopback."""
    try:
        ask(address, port, kind, data, timeout=0.5)
    except OSError:
        return True
    return False


class PortsProxy(HullTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.neighbour = Neighbour()

    @classmethod
    def tearDownClass(cls):
        cls.neighbour.close()
        super().tearDownClass()

    def pid(self, name):
        return int(self.hull.out("inspect", "-f", "{{.State.Pid}}", name))

    def sleeper(self, name, *args):
        self.hull("run", "-d", "--name", name, *args, "demo", "sleep", "600")

    def serve_inside(self, name, port, kind=socket.SOCK_STREAM, address="0.0.0.0", answer=None):
        server = in_network_of(self.pid(name), lambda: listener(address, port, kind))
        self.addCleanup(stop, server)
        serve(server, answer or (lambda data, peer: f"{name} {peer[0]} ".encode() + data))

    def proxies(self):
        return [pid for pid, name in processes(self.hull).items() if name == "hull-proxy"]

    def proxy(self):
        self.assertEqual(len(self.proxies()), 1)
        return self.proxies()[0]

    # ---- it is reached

    def test_the_loopback_of_ipv6_and_a_family_that_the_container_has_not(self):
        self.sleeper("web", "-p", "8600:80", "-p", "[::1]:8601:80", "-p", f"[{HOST_OUTSIDE6}]:8602:80", "-p", "127.0.0.1:8603:80")
        self.serve_inside("web", 80)
        self.assertEqual(self.hull.out("port", "web").splitlines(),
                         ["80/tcp -> 0.0.0.0:8600", "80/tcp -> [::]:8600", "80/tcp -> [::1]:8601", f"80/tcp -> [{HOST_OUTSIDE6}]:8602",
                          "80/tcp -> 127.0.0.1:8603"])
        # What the kernel can do starts nothing.
        self.assertIn(b"web ", ask("127.0.0.1", 8600))
        self.assertIn(b"web ", ask("127.0.0.1", 8603))
        self.assertEqual(self.neighbour.inside(lambda: ask(HOST_OUTSIDE, 8600)), b"web 198.51.100.2 ")
        self.assertEqual(self.proxies(), [])
        for address, port in (("::1", 8600), ("::1", 8601), (HOST_OUTSIDE6, 8600), (HOST_OUTSIDE6, 8602)):
            with self.subTest(address, port=port):
                self.assertIn(b"web ", ask(address, port))
        self.assertEqual(len(self.proxies()), 1)
        # From outside by what is for outside, and by nothing else.
        outside = self.neighbour.inside
        self.assertIn(b"web ", outside(lambda: ask(HOST_OUTSIDE6, 8600)))
        self.assertIn(b"web ", outside(lambda: ask(HOST_OUTSIDE6, 8602)))
        self.assertTrue(outside(lambda: refuses(HOST_OUTSIDE6, 8601)))
        self.assertTrue(outside(lambda: refuses(HOST_OUTSIDE6, 8603)))
        self.assertTrue(refuses("::1", 8602))
        self.assertTrue(refuses("::1", 8603))
        self.assertIn("8602/tcp", self.hull("doctor", code=None).out)

    def test_dual_stack_keeps_the_source_but_for_the_loopback(self):
        self.hull("network", "create", "--ipv6", "dual")
        self.addCleanup(self.hull, "network", "rm", "dual")
        self.addCleanup(self.hull, "rm", "-f", "six")
        self.sleeper("six", "--network", "dual", "-p", "8605:80")
        self.serve_inside("six", 80, address="::")
        self.assertEqual(self.neighbour.inside(lambda: ask(HOST_OUTSIDE6, 8605)), f"six {NEIGHBOUR6} ".encode())
        self.assertEqual(self.proxies(), [])
        self.assertIn(b"six fd", ask("::1", 8605))
        self.assertEqual(len(self.proxies()), 1)

    def test_a_container_that_has_only_ipv6(self):
        self.hull("network", "create", "--ipv6", "--ipv4=false", "v6")
        self.addCleanup(self.hull, "network", "rm", "v6")
        self.addCleanup(self.hull, "rm", "-f", "only")
        self.sleeper("only", "--network", "v6", "-p", "8606:80")
        self.serve_inside("only", 80, address="::")
        for address in ("127.0.0.1", "::1", HOST_OUTSIDE):
            self.assertIn(b"only fd", ask(address, 8606), address)
        self.assertIn(b"only fd", self.neighbour.inside(lambda: ask(HOST_OUTSIDE, 8606)))
        self.assertIn("80/tcp -> 0.0.0.0:8606", self.hull.out("port", "only"))

    def test_udp_is_answered_from_where_it_was_asked(self):
        self.sleeper("dns", "-p", "8610:53/udp")
        self.serve_inside("dns", 53, socket.SOCK_DGRAM)
        for address in ("::1", HOST_OUTSIDE6):
            # Connected: an answer from another address would not be heard.
            self.assertTrue(ask(address, 8610, socket.SOCK_DGRAM, b"a").endswith(b" a"), address)
        self.assertTrue(self.neighbour.inside(lambda: ask(HOST_OUTSIDE6, 8610, socket.SOCK_DGRAM, b"b")).endswith(b" b"))
        # Many, each with an answer of his own.
        socks = [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(40)]
        for n, s in enumerate(socks):
            s.settimeout(10)
            s.connect(("::1", 8610))
            s.send(b"%d" % n)
        for n, s in enumerate(socks):
            self.assertEqual(s.recv(100).split()[-1], b"%d" % n)
            s.close()

    def test_much_data_half_closed_connections_and_refusals(self):
        self.sleeper("echo", "-p", "8620:7", "-p", "8621:8")
        server = in_network_of(self.pid("echo"), lambda: listener("0.0.0.0", 7))
        self.addCleanup(stop, server)

        def body():
            # All is read before anything is said: the end of what the client says has to come through.
            with contextlib.suppress(OSError):
                while True:
                    conn, _ = server.accept()
                    data = b"".join(iter(lambda: conn.recv(1 << 16), b""))
                    conn.sendall(data)
                    conn.close()
        threading.Thread(target=body, daemon=True).start()
        payload = os.urandom(1 << 20) * 16
        with socket.create_connection(("::1", 8620), timeout=60) as s:
            s.sendall(payload)
            s.shutdown(socket.SHUT_WR)
            got = b"".join(iter(lambda: s.recv(1 << 16), b""))
        self.assertEqual(len(got), len(payload))
        self.assertTrue(got == payload)
        # Nobody listens there in the container: the client hears of it.
        with self.assertRaises(ConnectionResetError):
            with socket.create_connection(("::1", 8621), timeout=30) as s:
                s.recv(1)

    # ---- it is confined, and one of many

    def test_it_has_no_rights(self):
        self.sleeper("web", "-p", "8630:80")
        self.serve_inside("web", 80)
        ask("::1", 8630)
        status = dict(line.split(":\t", 1) for line in
                      pathlib.Path(f"/proc/{self.proxy()}/status").read_text().splitlines() if ":\t" in line)
        self.assertEqual(status["Uid"].split(), [str(PROXY_ID)] * 4)
        self.assertEqual(status["Gid"].split(), [str(PROXY_ID)] * 4)
        self.assertEqual(status["Groups"].strip(), "")
        self.assertEqual({int(status[cap], 16) for cap in ("CapInh", "CapPrm", "CapEff", "CapAmb")}, {0})
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))

    def test_an_isolated_network_lets_in_what_is_published(self):
        self.hull("network", "create", "--isolated", "iso")
        self.addCleanup(self.hull, "network", "rm", "iso")
        self.addCleanup(self.hull, "rm", "-f", "shut")
        self.sleeper("shut", "--network", "iso", "-p", "8640:80")
        self.serve_inside("shut", 80)
        self.serve_inside("shut", 81)
        self.assertIn(b"shut ", ask("::1", 8640))
        address = self.hull.out("inspect", "-f", "{{.NetworkSettings.Networks.iso.IPAddress}}", "shut")
        self.assertTrue(refuses(address, 80))
        self.assertTrue(refuses(address, 81))

    def test_the_hosts_firewall_is_asked(self):
        self.sleeper("web", "-p", "8650:80")
        self.serve_inside("web", 80)
        outside = lambda: self.neighbour.inside(lambda: refuses(HOST_OUTSIDE6, 8650))
        self.assertFalse(outside())
        subprocess.run(["nft", "-f", "-"], input="table inet admin { chain input { type filter hook input priority 0; policy accept;"
                       " iifname wan0 tcp dport 8650 drop; }; }", text=True, check=True)
        self.addCleanup(subprocess.run, ["nft", "delete", "table", "inet", "admin"], check=False, capture_output=True)
        self.assertTrue(outside())
        self.assertIn(b"web ", ask("::1", 8650))

    # ---- who has it

    def test_whoever_has_the_port_is_named(self):
        server = listener("::1", 8660)
        self.addCleanup(stop, server)
        done = self.hull("run", "-d", "-p", "8660:80", "demo", "true", code=125)
        self.assertIn("address already in use", done.err)
        self.assertIn(f"(pid {os.getpid()})", done.err)
        self.sleeper("web", "-p", "8661:80")
        with self.assertRaises(OSError):
            listener("::", 8661)
        done = self.hull("run", "-d", "-p", "[::1]:8661:80", "demo", "true", code=125)
        self.assertIn("the container web has it", done.err)
        self.hull("rm", "-f", "web")
        listener("::", 8661).close()

    def test_sctp_is_not_relayed(self):
        done = self.hull("run", "-d", "-p", "[::1]:8665:80/sctp", "demo", "true", code=125)
        self.assertIn("SCTP cannot be relayed", done.err)

    # ---- changes while it runs

    def test_ports_change_while_it_runs(self):
        self.sleeper("web", "-p", "8670:80")
        self.serve_inside("web", 80)
        self.serve_inside("web", 443, answer=lambda data, peer: b"tls")
        with socket.create_connection(("::1", 8670), timeout=10) as held:
            held.recv(100)
            self.hull("update", "web", "-p", "+8671:443")
            self.assertEqual(ask("::1", 8671), b"tls")
            self.hull("update", "web", "-p", "-80")
            self.assertTrue(refuses("::1", 8670))
            self.assertEqual(ask("::1", 8671), b"tls")
        server = listener("::1", 8672)
        self.addCleanup(stop, server)
        done = self.hull("update", "web", "-p", "+8673:443", "-p", "+8672:443", "-p", "-443", code=1)
        self.assertIn(f"(pid {os.getpid()})", done.err)
        self.assertTrue(refuses("::1", 8673))
        self.assertEqual(ask("::1", 8671), b"tls")
        self.assertEqual(self.hull.out("port", "web").splitlines(), ["443/tcp -> 0.0.0.0:8671", "443/tcp -> [::]:8671"])
        # A restart keeps what was changed.
        self.hull("restart", "-t", "0", "web")
        self.serve_inside("web", 443, answer=lambda data, peer: b"new")
        self.assertEqual(ask("::1", 8671), b"new")

    def test_it_follows_the_container_to_another_network(self):
        self.hull("network", "create", "one")
        self.hull("network", "create", "two")
        self.hull("network", "create", "--internal", "inner")
        for network in ("one", "two", "inner"):
            self.addCleanup(self.hull, "network", "rm", network)
        self.addCleanup(self.hull, "rm", "-f", "moves")
        self.sleeper("moves", "--network", "one", "-p", "8680:80")
        self.serve_inside("moves", 80)
        self.assertIn(b"moves ", ask("::1", 8680))
        self.hull("network", "connect", "two", "moves")
        self.hull("network", "disconnect", "one", "moves")
        self.assertIn(b"moves ", ask("::1", 8680))
        self.assertIn(b"moves ", ask("127.0.0.1", 8680))
        # From nowhere: nobody listens there any more; and back.
        self.hull("network", "connect", "inner", "moves")
        self.hull("network", "disconnect", "two", "moves")
        self.assertTrue(refuses("::1", 8680))
        self.hull("network", "connect", "two", "moves")
        self.assertIn(b"moves ", ask("::1", 8680))
        self.assertIn(b"moves ", ask("127.0.0.1", 8680))

    # ---- and its end

    def test_when_it_is_killed_the_next_is_there(self):
        self.sleeper("web", "-p", "8690:80", "-p", "8690:80/udp")
        self.serve_inside("web", 80)
        self.serve_inside("web", 80, socket.SOCK_DGRAM)
        for _ in range(3):
            self.assertIn(b"web ", ask("::1", 8690, timeout=20))
            self.assertIn(b"web ", ask("::1", 8690, socket.SOCK_DGRAM, b"x", timeout=20))
            first = self.proxy()
            os.kill(first, signal.SIGKILL)
            self.eventually(lambda: first not in self.proxies())

    def test_without_anybody_it_ends(self):
        self.sleeper("web", "-p", "8691:80")
        self.serve_inside("web", 80)
        ask("::1", 8691)
        self.assertTrue(self.proxies())
        self.eventually(lambda: not self.proxies(), seconds=60)
        self.assertIn(b"web ", ask("::1", 8691))

    def test_with_the_container_it_is_gone(self):
        for how in ("rm", "monitor"):
            self.sleeper("web", "-p", "8692:80")
            self.serve_inside("web", 80)
            with socket.create_connection(("::1", 8692), timeout=10) as s:
                s.recv(100)
                self.assertTrue(self.proxies())
                if how == "monitor":
                    monitors = [pid for pid, name in processes(self.hull).items() if name == "hull-monitor"]
                    self.assertEqual(len(monitors), 1)
                    os.kill(monitors[0], signal.SIGKILL)
                    self.eventually(lambda: not self.proxies())
                else:
                    self.hull("rm", "-f", "web")
                    self.assertEqual(self.proxies(), [])
                    listener("::1", 8692).close()
            if how == "monitor":
                self.hull("rm", "-f", "web")

    def test_recovery_brings_it_back(self):
        self.sleeper("web", "--restart", "always", "-p", "8693:80")
        monitors = [pid for pid, name in processes(self.hull).items() if name == "hull-monitor"]
        os.kill(monitors[0], signal.SIGKILL)
        self.hull("ps")
        self.eventually(lambda: self.hull.out("inspect", "-f", "{{.State.Running}}", "web") == "true")
        self.serve_inside("web", 80)
        self.assertIn(b"web ", ask("::1", 8693))

    def test_a_lost_firewall_comes_back_with_it(self):
        self.hull("network", "create", "--ipv6", "dual2")
        self.addCleanup(self.hull, "network", "rm", "dual2")
        self.addCleanup(self.hull, "rm", "-f", "six")
        self.sleeper("six", "--network", "dual2", "-p", "8694:80")
        self.serve_inside("six", 80, address="::")
        self.assertIn(b"six ", ask("::1", 8694))
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        self.hull("run", "--rm", "demo", "true")
        self.assertEqual(self.neighbour.inside(lambda: ask(HOST_OUTSIDE6, 8694)), f"six {NEIGHBOUR6} ".encode())
        self.assertIn(b"six ", ask("::1", 8694))


class FirstStart(HullTest):
    def test_a_first_start_that_fails_leaves_the_default_network_whole(self):
        """The bridge was there, and its address forgotten: the next container was given one of another subnet."""
        self.hull("run", "-d", "-p", "[::1]:8697:80/sctp", "demo", "true", code=125)
        self.hull("run", "-d", "--name", "web", "-p", "8698:80", "demo", "sleep", "600")
        pid = int(self.hull.out("inspect", "-f", "{{.State.Pid}}", "web"))
        server = in_network_of(pid, lambda: listener("0.0.0.0", 80))
        self.addCleanup(stop, server)
        serve(server, lambda data, peer: b"here")
        self.assertEqual(ask("127.0.0.1", 8698), b"here")


if __name__ == "__main__":
    main()
