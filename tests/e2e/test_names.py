#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Containers find each other by name, and the world by the host's resolvers; the
name server dies, the host's firewall denies, networks change."""
import ipaddress
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import threading
import time

from lib import dns, leaks
from lib.hull import HullTest, main
from lib.wire import in_network_of

RESOLVER, OTHER = "127.0.0.53", "198.51.100.7"


def run(*args):
    return subprocess.run(args, check=True, capture_output=True, text=True).stdout


class NamesTest(HullTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        run("ip", "addr", "add", f"{OTHER}/32", "dev", "lo")
        cls.resolv = tempfile.NamedTemporaryFile("w")
        cls.resolv.write(f"search example.org\nnameserver {RESOLVER}\noptions edns0\n")
        cls.resolv.flush()
        os.chmod(cls.resolv.name, 0o644)
        run("mount", "--bind", cls.resolv.name, "/etc/resolv.conf")

    @classmethod
    def tearDownClass(cls):
        run("umount", "/etc/resolv.conf")
        super().tearDownClass()

    def setUp(self):
        self.resolver = dns.Resolver(RESOLVER, lambda q, tcp: dns.answer(q, rcode=dns.NXDOMAIN))
        self.addCleanup(self.resolver.close)
        for name in ("front", "back"):
            self.hull("network", "create", name)

    def tearDown(self):
        self.hull.remove_all()
        for name in self.hull.out("network", "ls", "-q", "--filter", "type=custom").split():
            self.hull("network", "rm", name)
        super().tearDown()

    def start(self, name, *flags):
        self.hull("run", "-d", "--name", name, *flags, "demo", "sleep", "1000")

    def pid(self, name):
        return int(self.hull.out("inspect", "-f", "{{.State.Pid}}", name))

    def address(self, name, network="front", key="IPAddress"):
        return self.hull.out("inspect", "-f", "{{(index .NetworkSettings.Networks \"%s\").%s}}" % (network, key), name)

    def inside(self, name, do):
        return in_network_of(self.pid(name), do)

    def ask(self, where, *args, **kwargs):
        return self.inside(where, lambda: dns.ask(*args, **kwargs))

    def lookup(self, where, *args, **kwargs):
        return self.ask(where, *args, **kwargs).addresses

    def resolv_conf(self, name):
        return self.hull.out("exec", name, "cat", "/etc/resolv.conf").splitlines()

    def servers(self):
        return [pid for pid, name in leaks.processes(self.hull).items() if name == "hull-names"]

    def kill_server(self):
        for pid in self.servers():
            os.kill(pid, signal.SIGKILL)

    # ---- finding each other

    def test_names_aliases_and_ids(self):
        self.start("web", "--network", "front", "--network-alias", "www", "--hostname", "box")
        self.start("api", "--network", "front")
        address, ident = self.address("web"), self.hull.out("inspect", "-f", "{{.Id}}", "web")
        for name in ("web", "www", "box", ident[:12], "web.front", "WEB"):
            self.assertEqual(self.lookup("api", name), [address], name)
        reverse = ipaddress.ip_address(address).reverse_pointer
        self.assertEqual([v for _, _, _, v in self.ask("api", reverse, dns.PTR).answers], ["web.front"])
        # By the workload's own means, from its first moment on.
        self.assertIn(address, self.hull.out("run", "--rm", "--network", "front", "demo", "nslookup", "-type=a", "web."))
        self.assertIn("1 packets received", self.hull.out("exec", "api", "ping", "-c", "1", "-W", "3", "www"))
        self.assertEqual(self.resolv_conf("api"), ["nameserver 127.0.0.11", "search example.org", "options edns0 ndots:0"])
        self.assertEqual(self.resolver.asked, [])

    def test_ipv6(self):
        self.hull("network", "create", "--ipv6", "six")
        self.start("web", "--network", "six")
        self.start("api", "--network", "six")
        address = self.address("web", "six", "GlobalIPv6Address")
        self.assertEqual(self.lookup("api", "web", dns.AAAA), [address])
        reverse = ipaddress.ip_address(address).reverse_pointer
        self.assertEqual([v for _, _, _, v in self.ask("api", reverse, dns.PTR).answers], ["web.six"])

    def test_several_of_one_service_take_turns(self):
        for i in range(3):
            self.start(f"w{i}", "--network", "front", "--network-alias", "worker")
        got = [self.lookup("w0", "worker") for _ in range(6)]
        self.assertEqual({tuple(sorted(g)) for g in got}, {tuple(sorted(self.address(f"w{i}") for i in range(3)))})
        self.assertEqual(len({g[0] for g in got}), 3)

    def test_other_networks_names_are_not_known(self):
        self.start("web", "--network", "front")
        self.start("db", "--network", "back")
        self.start("plain")
        self.assertEqual(self.ask("web", "db").rcode, dns.NXDOMAIN)
        self.assertEqual(self.ask("web", "plain").rcode, dns.NXDOMAIN)
        self.assertEqual(self.ask("web", "db.back").rcode, dns.NXDOMAIN)
        self.assertEqual(self.ask("web", ipaddress.ip_address(self.address("db", "back")).reverse_pointer, dns.PTR).rcode, dns.NXDOMAIN)
        self.assertEqual(self.resolver.names()[:3], ["db", "plain", "db.back"])

    def test_links(self):
        self.start("postgres", "--network", "front")
        self.start("one", "--network", "front", "--link", "postgres:db")
        self.start("two", "--network", "front")
        self.assertEqual(self.lookup("one", "db"), [self.address("postgres")])
        self.assertEqual(self.ask("two", "db").rcode, dns.NXDOMAIN)

    def test_one_that_ends_is_not_found_and_found_again(self):
        self.start("web", "--network", "front")
        self.start("api", "--network", "front")
        self.hull("stop", "-t", "0", "web")
        self.assertEqual(self.ask("api", "web").rcode, dns.NXDOMAIN)
        self.hull("start", "web")
        self.assertEqual(self.lookup("api", "web"), [self.address("web")])
        # Killed with its monitor, before any hull command.
        monitor = [p for p, n in leaks.processes(self.hull).items() if n == "hull-monitor" and
                   self.hull.out("inspect", "-f", "{{.Id}}", "web").encode() in pathlib.Path(f"/proc/{p}/cmdline").read_bytes()]
        api = self.pid("api")
        os.kill(monitor[0], signal.SIGKILL)
        self.eventually(lambda: in_network_of(api, lambda: dns.ask("web").rcode == dns.NXDOMAIN))

    def test_renamed(self):
        self.start("web", "--network", "front")
        self.start("api", "--network", "front")
        self.hull("rename", "web", "shop")
        self.assertEqual(self.lookup("api", "shop"), [self.address("shop")])
        self.assertEqual(self.ask("api", "web").rcode, dns.NXDOMAIN)

    def test_networks_change_while_it_runs(self):
        self.start("web", "--network", "front")
        self.start("db", "--network", "back")
        self.hull("network", "connect", "--alias", "shop", "back", "web")
        self.assertEqual(self.lookup("db", "web"), [self.address("web", "back")])
        self.assertEqual(self.lookup("db", "shop"), [self.address("web", "back")])
        self.assertEqual(self.lookup("web", "db"), [self.address("db", "back")])
        self.hull("network", "disconnect", "back", "web")
        self.assertEqual(self.ask("db", "web").rcode, dns.NXDOMAIN)
        self.assertEqual(self.ask("web", "db").rcode, dns.NXDOMAIN)
        self.assertEqual(self.lookup("web", "web"), [self.address("web")])

    def test_its_first_network_with_names(self):
        self.start("web", "--network", "front")
        self.start("plain")
        self.assertNotIn("nameserver 127.0.0.11", self.resolv_conf("plain"))
        self.assertEqual(self.servers(), self.servers()[:1])
        self.hull("network", "connect", "front", "plain")
        self.assertIn("nameserver 127.0.0.11", self.resolv_conf("plain"))
        self.assertEqual(self.lookup("plain", "web"), [self.address("web")])
        self.assertEqual(self.lookup("web", "plain"), [self.address("plain")])
        # Left again, it still asks the world there; back again, it knows its neighbours.
        self.hull("network", "disconnect", "front", "plain")
        self.resolver.reply = lambda q, tcp: dns.answer(q, [dns.address(n, "192.0.2.1") for n in [dns.Message(q).name] if "." in n])
        self.assertEqual(self.lookup("plain", "a.example.org"), ["192.0.2.1"])
        self.assertEqual(self.lookup("plain", "web"), [])
        self.hull("network", "connect", "front", "plain")
        self.assertEqual(self.lookup("plain", "web"), [self.address("web")])

    def test_one_that_has_left_all_networks_leaves_no_names(self):
        self.start("web", "--network", "front")
        self.hull("network", "disconnect", "front", "web")
        self.assertEqual(self.ask("web", "a.example.org").rcode, dns.REFUSED)
        self.hull("rm", "-f", "web")
        self.assertEqual(self.hull.wait_until_clean(), [])

    def test_a_changed_resolv_conf_stays(self):
        self.start("plain")
        self.hull("exec", "plain", "sh", "-c", "echo nameserver 192.0.2.99 > /etc/resolv.conf")
        self.hull("network", "connect", "front", "plain")
        self.assertEqual(self.resolv_conf("plain"), ["nameserver 192.0.2.99"])

    def test_who_shares_its_network_shares_its_names(self):
        self.start("web", "--network", "front")
        self.start("api", "--network", "front")
        out = self.hull.out("run", "--rm", "--network", "container:api", "demo", "nslookup", "-type=a", "web.")
        self.assertIn(self.address("web"), out)

    # ---- the world

    def test_the_host_s_resolver_is_asked_also_on_a_loopback(self):
        self.resolver.reply = lambda q, tcp: dns.answer(q, [dns.address("www.example.org", "192.0.2.7")] * (100 if tcp else 1),
                                                        flags=dns.QR | (0 if tcp else dns.TC))
        self.start("web", "--network", "front")
        self.assertTrue(self.ask("web", "www.example.org").is_cut)
        self.assertEqual(len(self.lookup("web", "www.example.org", tcp=True)), 100)
        self.resolver.reply = lambda q, tcp: dns.answer(q, [dns.address("short.example.org", "192.0.2.8")])
        self.assertIn("192.0.2.8", self.hull.out("exec", "web", "nslookup", "-type=a", "short.example.org."))

    def test_internal_networks_leak_no_question(self):
        """CVE-2024-29018."""
        self.hull("network", "create", "--internal", "inner")
        self.start("db", "--network", "inner")
        self.start("api", "--network", "inner")
        self.assertEqual(self.ask("db", "secret.example.org").rcode, dns.REFUSED)
        self.assertEqual(self.ask("db", "secret.example.org", tcp=True).rcode, dns.REFUSED)
        self.assertEqual(self.lookup("db", "api"), [self.address("api", "inner")])
        self.assertEqual(self.resolver.asked, [])
        self.hull("network", "connect", "front", "db")
        self.assertEqual(self.ask("db", "known.example.org").rcode, dns.NXDOMAIN)
        self.assertEqual(self.resolver.names(), ["known.example.org"])

    def test_servers_search_and_options_of_its_own(self):
        other = dns.Resolver(OTHER, lambda q, tcp: dns.answer(q, [dns.address(dns.Message(q).name, "192.0.2.9")]))
        self.addCleanup(other.close)
        self.start("web", "--network", "front", "--dns", OTHER, "--dns-search", "a.test", "--dns-search", "b.test", "--dns-option", "ndots:2",
                   "--dns-option", "timeout:1")
        self.assertEqual(self.resolv_conf("web"), ["nameserver 127.0.0.11", "search a.test b.test", "options ndots:2 timeout:1"])
        self.assertEqual(self.lookup("web", "x.example.org"), ["192.0.2.9"])
        self.assertEqual(self.lookup("web", "nobody"), [])
        self.assertIn("192.0.2.9", self.hull.out("exec", "web", "nslookup", "-type=a", "short"))
        self.assertEqual(other.names()[:2], ["x.example.org", "short.a.test"])
        self.assertEqual(self.resolver.asked, [])

    def test_a_resolver_of_the_workload_itself(self):
        self.start("web", "--network", "front", "--dns", "127.0.0.1")
        self.assertEqual(self.resolv_conf("web")[:2], ["nameserver 127.0.0.11", "nameserver 127.0.0.1"])
        self.assertEqual(self.ask("web", "x.example.org").rcode, dns.SERVFAIL)
        self.assertEqual(self.resolver.asked, [])

    def test_a_workload_may_serve_names(self):
        """Port 53 is its own, and another container may ask there."""
        self.start("dns", "--network", "front")
        ready, done = threading.Event(), threading.Event()
        self.addCleanup(done.set)

        def serve():
            own = dns.Resolver("0.0.0.0", lambda q, tcp: dns.answer(q, [dns.address("x.corp", "192.0.2.77")]))
            ready.set()
            done.wait(60)
            own.close()
        threading.Thread(target=lambda: self.inside("dns", serve), daemon=True).start()
        self.assertTrue(ready.wait(60))
        self.start("web", "--network", "front", "--dns", self.address("dns"))
        self.assertEqual(self.lookup("web", "x.corp"), ["192.0.2.77"])
        self.assertEqual(self.lookup("dns", "web"), [self.address("web")])

    # ---- what stands in the way

    def test_a_host_that_denies_all_input(self):
        run("nft", "add table inet deny; add chain inet deny in { type filter hook input priority 0; policy drop; }; "
                   "add rule inet deny in iif lo accept")
        self.addCleanup(run, "nft", "delete", "table", "inet", "deny")
        self.start("web", "--network", "front")
        self.start("api", "--network", "front")
        self.resolver.reply = lambda q, tcp: dns.answer(q, [dns.address("a.example.org", "192.0.2.1")])
        self.assertEqual(self.lookup("api", "web"), [self.address("web")])
        self.assertEqual(self.lookup("api", "a.example.org"), ["192.0.2.1"])

    def test_killed_again_and_again_it_fails_no_lookup(self):
        self.start("web", "--network", "front")
        self.start("api", "--network", "front")
        address, pid = self.address("web"), self.pid("api")

        def slow(q, tcp):
            time.sleep(0.02)
            return dns.answer(q, [dns.address(dns.Message(q).name, "192.0.2.1")])
        self.resolver.reply = slow
        stop, failed, times = threading.Event(), [], []

        def lookups(kind):
            n = 0
            while not stop.is_set():
                name, expected = ("web", [address]) if kind == "local" else (f"n{n}.example.org", ["192.0.2.1"])
                begin = time.monotonic()
                try:
                    got = dns.ask(name, timeout=30).addresses
                except OSError as e:
                    got = repr(e)
                times.append(time.monotonic() - begin)
                if got != expected:
                    failed.append((kind, n, got))
                n += 1
        threads = [threading.Thread(target=in_network_of, args=(pid, lambda kind=kind: lookups(kind))) for kind in ("local", "world") * 3]
        for t in threads:
            t.start()
        deaths = set()
        for _ in range(15):
            time.sleep(0.1)
            deaths.update(self.servers())
            self.kill_server()
        time.sleep(0.5)
        stop.set()
        for t in threads:
            t.join()
        self.assertEqual(failed, [])
        self.assertGreater(len(deaths), 5)
        self.assertGreater(len(times), 100)
        # When a resolver asks again.
        self.assertLess(max(times), 5)

    def test_killed_it_lets_who_connects_wait(self):
        """The connection is taken by the socket, which outlives the server; one that the
        server had taken already breaks, and resolvers ask again."""
        self.start("web", "--network", "front")
        self.start("api", "--network", "front")
        address, pid = self.address("web"), self.pid("api")
        for _ in range(5):
            self.eventually(self.servers)
            self.kill_server()
            self.assertEqual(in_network_of(pid, lambda: dns.ask("web", timeout=30, tcp=True)).addresses, [address])

    def test_it_is_there_only_while_it_is_needed(self):
        self.assertEqual(self.servers(), [])
        self.start("plain")
        self.assertEqual(self.servers(), [])
        self.start("web", "--network", "front")
        self.eventually(lambda: len(self.servers()) == 1)
        self.start("api", "--network", "back")
        self.assertEqual(self.lookup("api", "api"), [self.address("api", "back")])
        self.assertEqual(len(self.servers()), 1)
        self.hull("rm", "-f", "web", "api")
        self.eventually(lambda: self.servers() == [])

    def test_restarted_by_its_policy(self):
        self.start("api", "--network", "front")
        self.hull("run", "-d", "--name", "web", "--network", "front", "--restart", "always", "demo", "sleep", "1000")
        address = self.address("web")
        os.kill(self.pid("web"), signal.SIGKILL)
        self.eventually(lambda: self.hull.out("inspect", "-f", "{{.RestartCount}} {{.State.Status}}", "web") == "1 running")
        self.eventually(lambda: self.lookup("api", "web") == [address])
        self.assertEqual(self.lookup("web", "api"), [self.address("api")])

    def test_a_terminal_and_anothers_pid_namespace(self):
        """The sockets come by other ways then."""
        self.start("web", "--network", "front")
        out = self.hull.out("run", "--rm", "-t", "--network", "front", "--pid", "container:web", "demo", "nslookup", "-type=a", "web.")
        self.assertIn(self.address("web"), out)


if __name__ == "__main__":
    main()
