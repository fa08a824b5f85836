#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hull-names by itself: what it answers, whom it asks, what it survives. The test
plays the monitors (sockets at 127.0.0.11), the engine (records) and the world
(resolvers in the test's own network namespace)."""
import array
import os
import pathlib
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest

from lib import dns
from lib.hull import BUILD, main, need

PROGRAM = BUILD / "src/cmd/hull-names/hull-names"
REGISTER, RESOLVE = 1, 2
UPSTREAMS = ["198.51.100.1", "198.51.100.2"]


class Server:
    def __init__(self):
        self.run = pathlib.Path(tempfile.mkdtemp(prefix="hull-names-"))
        self.env = dict(os.environ, HULL_RUN=str(self.run))
        self.start()

    def start(self):
        subprocess.run([PROGRAM], env=self.env, check=True, timeout=60)

    def pids(self):
        found = []
        for p in pathlib.Path("/proc").iterdir():
            try:
                if p.name.isdigit() and (p / "comm").read_text().strip() == "hull-names" and \
                        f"HULL_RUN={self.run}".encode() in (p / "environ").read_bytes().split(b"\0") and \
                        " Z " not in (p / "stat").read_text():
                    found.append(int(p.name))
            except OSError:
                continue
        return found

    def kill(self):
        for pid in self.pids():
            pidfd = os.pidfd_open(pid)
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            select.select([pidfd], [], [], 10)  # gone, and its lock with it
            os.close(pidfd)

    def write(self, ident, text):
        folder = self.run / "names"
        (folder / f"{ident}.new").write_text(text)
        os.chmod(folder / f"{ident}.new", 0o644)
        os.rename(folder / f"{ident}.new", folder / ident)

    def talk(self, kind, ident, fds=()):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(5)
        s.connect(str(self.run / "names.sock"))
        hello = struct.pack("II65s7x", 0x6e6c7568, kind, ident.encode())
        s.sendmsg([hello], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
        return s


class Box:
    """A container: its sockets, and its monitor's conversation."""

    def __init__(self, server, record, ident=None):
        self.server, self.ident = server, ident or dns.own_id()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.11", 0))
        self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.tcp.bind(self.udp.getsockname())
        self.tcp.listen(64)
        self.at = self.udp.getsockname()
        self.conversation = None
        if record is not None:
            server.write(self.ident, record)
        self.register()

    def register(self):
        self.conversation = self.server.talk(REGISTER, self.ident, [self.udp.fileno(), self.tcp.fileno()])
        assert self.conversation.recv(1) == b"\0"

    def ask(self, *args, **kwargs):
        return dns.ask(*args, server=self.at, **kwargs)

    def addresses(self, *args, **kwargs):
        return self.ask(*args, **kwargs).addresses

    def close(self):
        self.conversation.close()
        self.udp.close()
        self.tcp.close()


def net(ident, name, address4="-", address6="-", subnet4="172.18.0.0/16", subnet6="-", way="open"):
    return f"net {ident} {name} {way} {subnet4} {subnet6} {address4} {address6}\n"


class NamesServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        need(os.geteuid() == 0, "needs root")
        need(PROGRAM.exists(), "hull-names is not built")
        for address in UPSTREAMS:
            subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", "lo"], check=True)
        cls.resolv = tempfile.NamedTemporaryFile("w")
        cls.host_resolvers(*UPSTREAMS[:1])
        subprocess.run(["mount", "--bind", cls.resolv.name, "/etc/resolv.conf"], check=True)

    @classmethod
    def tearDownClass(cls):
        subprocess.run(["umount", "/etc/resolv.conf"], check=True)
        cls.resolv.close()

    @classmethod
    def host_resolvers(cls, *addresses):
        os.chmod(cls.resolv.name, 0o644)
        with open(cls.resolv.name, "w", encoding="utf-8") as f:
            f.write("# the host's\nsearch example.org\n" + "".join(f"nameserver {a}\n" for a in addresses))

    def setUp(self):
        self.server = Server()
        self.boxes, self.resolvers = [], []

    def tearDown(self):
        for box in self.boxes:
            box.close()
        for resolver in self.resolvers:
            resolver.close()
        deadline = time.monotonic() + 60
        while self.server.pids() and time.monotonic() < deadline:
            time.sleep(0.02)
        left = self.server.pids()
        self.server.kill()
        shutil.rmtree(self.server.run)
        self.assertEqual(left, [], "the server stays although nobody needs it")

    def box(self, record, ident=None):
        self.boxes.append(Box(self.server, record, ident))
        return self.boxes[-1]

    def resolver(self, reply, at=UPSTREAMS[0]):
        self.resolvers.append(dns.Resolver(at, reply))
        return self.resolvers[-1]

    def three(self):
        """web on front, api on both, db on back."""
        front, back = lambda a, s="-": net("f1", "front", a, s, subnet6="fd00:18::/64"), lambda a: net("b1", "back", a, subnet4="172.19.0.0/16")
        return (self.box("name web\n" + front("172.18.0.2") + "alias www\nalias Proxy\n"),
                self.box("name api\n" + front("172.18.0.3", "fd00:18::3") + back("172.19.0.3") + "alias backend\n"),
                self.box("name db\n" + back("172.19.0.4")))

    # ---- names of containers

    def test_names_aliases_ids_of_the_networks_one_is_on(self):
        web, api, db = self.three()
        self.assertEqual(web.addresses("api"), ["172.18.0.3"])
        self.assertEqual(web.addresses("API."), ["172.18.0.3"])
        self.assertEqual(web.addresses("api", dns.AAAA), ["fd00:18::3"])
        self.assertEqual(api.addresses("proxy"), ["172.18.0.2"])
        self.assertEqual(api.addresses("www"), ["172.18.0.2"])
        self.assertEqual(api.addresses(web.ident[:12]), ["172.18.0.2"])
        self.assertEqual(api.addresses("web.front"), ["172.18.0.2"])
        self.assertEqual(api.addresses("db.back"), ["172.19.0.4"])
        self.assertEqual(db.addresses("backend"), ["172.19.0.3"])
        self.assertEqual(web.addresses("web"), ["172.18.0.2"])
        # Of networks one is not on, nothing: not the name, not the other address.
        resolver = self.resolver(lambda q, tcp: dns.answer(q, rcode=dns.NXDOMAIN))
        for box, what in ((web, "db"), (web, "backend"), (db, "web"), (web, "web.back"), (web, "db.back")):
            self.assertEqual(box.ask(what).rcode, dns.NXDOMAIN)
        self.assertEqual(resolver.names(), ["db", "backend", "web", "web.back", "db.back"])

    def test_known_names_without_such_records_stay_here(self):
        web, _, _ = self.three()
        resolver = self.resolver(lambda q, tcp: dns.answer(q, rcode=dns.NXDOMAIN))
        for kind in (dns.AAAA, dns.MX, dns.TXT):
            got = web.ask("web", kind)
            self.assertEqual((got.rcode, got.answers), (dns.NOERROR, []))
            self.assertEqual([k for _, k, _, _ in got.authorities], [dns.SOA])
        self.assertEqual(web.ask("api", dns.ANY).addresses, ["172.18.0.3"])
        self.assertEqual(resolver.asked, [])

    def test_addresses_have_names(self):
        web, api, db = self.three()
        resolver = self.resolver(lambda q, tcp: dns.answer(q, rcode=dns.NXDOMAIN))
        got = web.ask("3.0.18.172.in-addr.arpa", dns.PTR)
        self.assertEqual([v for _, _, _, v in got.answers], ["api.front"])
        v6 = ".".join(reversed("fd000018000000000000000000000003")) + ".ip6.arpa"
        self.assertEqual([v for _, _, _, v in web.ask(v6, dns.PTR).answers], ["api.front"])
        # An address of one's own network that nobody has is nobody's; others are asked about.
        self.assertEqual(web.ask("9.0.18.172.in-addr.arpa", dns.PTR).rcode, dns.NXDOMAIN)
        self.assertEqual(resolver.asked, [])
        self.assertEqual(web.ask("4.0.19.172.in-addr.arpa", dns.PTR).rcode, dns.NXDOMAIN)
        self.assertEqual(resolver.names(), ["4.0.19.172.in-addr.arpa"])

    def test_several_of_one_name_take_turns(self):
        boxes = [self.box(f"name w{i}\n" + net("f1", "front", f"172.18.0.{i + 2}") + "alias worker\n") for i in range(5)]
        first = []
        for _ in range(10):
            got = boxes[0].addresses("worker")
            self.assertEqual(sorted(got), [f"172.18.0.{i + 2}" for i in range(5)])
            first.append(got[0])
        self.assertEqual(len(set(first)), 5)
        self.assertEqual(first[:5], first[5:])

    def test_more_addresses_than_a_datagram_holds(self):
        box = self.box("name w0\n" + net("f1", "front", "172.18.1.0") + "alias worker\n")
        add = lambda i: self.server.write(dns.own_id(), f"name w{i}\n" + net("f1", "front", f"172.18.{1 + i // 250}.{i % 250}") + "alias worker\n")
        for i in range(1, 60):
            add(i)
        cut = box.ask("worker")
        self.assertTrue(cut.is_cut)
        self.assertLessEqual(len(cut.raw), 512)
        self.assertEqual(len(box.ask("worker", edns=1232).addresses), 60)
        for i in range(60, 300):
            add(i)
        self.assertTrue(box.ask("worker", edns=4096).is_cut)
        got = [box.addresses("worker", tcp=True) for _ in range(3)]
        self.assertEqual([len(set(g)) for g in got], [300] * 3)
        self.assertEqual(len({g[0] for g in got}), 3)

    def test_links_are_for_one_alone(self):
        self.resolver(lambda q, tcp: dns.answer(q, rcode=dns.NXDOMAIN))
        self.box("name postgres\n" + net("f1", "front", "172.18.0.9"))
        one = self.box("name one\nlink db postgres\n" + net("f1", "front", "172.18.0.10"))
        two = self.box("name two\n" + net("f1", "front", "172.18.0.11"))
        self.assertEqual(one.addresses("db"), ["172.18.0.9"])
        self.assertEqual(two.ask("db").rcode, dns.NXDOMAIN)

    def test_records_are_followed(self):
        self.resolver(lambda q, tcp: dns.answer(q, rcode=dns.NXDOMAIN))
        web, api, _ = self.three()
        self.server.write(api.ident, "name shop\n" + net("f1", "front", "172.18.0.77"))
        self.assertEqual(web.addresses("shop"), ["172.18.0.77"])
        self.assertEqual(web.ask("api").rcode, dns.NXDOMAIN)
        (self.server.run / "names" / api.ident).unlink()
        self.assertEqual(web.ask("shop").rcode, dns.NXDOMAIN)
        # One that hull did not write is as good as none.
        self.server.write(api.ident, "name shop\nnet f1 front open\n")
        self.assertEqual(web.ask("shop").rcode, dns.NXDOMAIN)

    def test_one_that_ended_is_not_found(self):
        self.resolver(lambda q, tcp: dns.answer(q, rcode=dns.NXDOMAIN))
        web, api, _ = self.three()
        api.conversation.close()
        deadline = time.monotonic() + 60
        while web.addresses("api") and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual(web.ask("api").rcode, dns.NXDOMAIN)
        api.register()
        self.assertEqual(web.addresses("api"), ["172.18.0.3"])

    # ---- the world

    def test_the_rest_is_forwarded(self):
        resolver = self.resolver(lambda q, tcp: dns.answer(q, [dns.address(dns.Message(q).name, "192.0.2.7")]))
        web, _, _ = self.three()
        self.assertEqual(web.addresses("www.example.org"), ["192.0.2.7"])
        self.assertEqual(web.addresses("by-tcp.example.org", tcp=True), ["192.0.2.7"])
        self.assertEqual([how for _, how, _ in resolver.asked], ["udp", "tcp"])

    def test_ids_and_ports_are_chosen_anew(self):
        resolver = self.resolver(lambda q, tcp: dns.answer(q, [dns.address("x.example.org", "192.0.2.7")]))
        web, _, _ = self.three()
        for n in range(20):
            web.ask(f"x{n}.example.org")
        self.assertGreater(len({m.id for m, _, _ in resolver.asked}), 15)
        self.assertGreater(len({peer[1] for _, _, peer in resolver.asked}), 15)

    def test_answers_are_remembered_as_long_as_they_say(self):
        soa = lambda minimum: dns.name("") + dns.name("") + struct.pack("!IIIII", 1, 1, 1, 1, minimum)
        def reply(q, tcp):
            what = dns.Message(q).name
            if what == "no.example.org":
                return dns.absence(q, dns.record("example.org", 6, soa(60), 600))
            if what == "nobody.example.org":
                return dns.answer(q, rcode=dns.NXDOMAIN)
            if what == "fails.example.org":
                return dns.answer(q, rcode=dns.SERVFAIL)
            return dns.answer(q, [dns.address(what, "192.0.2.7", 0 if what == "now.example.org" else 600)])
        resolver = self.resolver(reply)
        asked = lambda what: sum(name.lower() == what for name in resolver.names())
        web, api, _ = self.three()
        for box, what in ((web, "Kept.example.org"), (api, "kept.example.org"), (web, "KEPT.example.org")):
            got = box.ask(what)
            self.assertEqual((got.addresses, got.name), (["192.0.2.7"], what))
            self.assertTrue(1 <= got.answers[0][2] <= 600)
            self.assertEqual(box.ask("no.example.org").rcode, dns.NXDOMAIN)
            self.assertEqual(box.ask("now.example.org").addresses, ["192.0.2.7"])
            self.assertEqual(box.ask("nobody.example.org").rcode, dns.NXDOMAIN)
            self.assertEqual(box.ask("fails.example.org").rcode, dns.SERVFAIL)
        self.assertEqual(web.ask("kept.example.org", tcp=True).addresses, ["192.0.2.7"])
        self.assertEqual((asked("kept.example.org"), asked("no.example.org")), (1, 1))
        self.assertEqual((asked("now.example.org"), asked("nobody.example.org"), asked("fails.example.org")), (3, 3, 3))
        # Another type, and one with EDNS, are other questions.
        web.ask("kept.example.org", dns.AAAA)
        web.ask("kept.example.org", edns=1232)
        self.assertEqual(asked("kept.example.org"), 3)
        # Whoever has a resolver of its own is told what that says, and nobody else is.
        liar = self.resolver(lambda q, tcp: dns.answer(q, [dns.address(dns.Message(q).name, "203.0.113.66", 600)]), UPSTREAMS[1])
        own = self.box(f"name own\ndns {UPSTREAMS[1]}\n" + net("f1", "front", "172.18.0.99"))
        self.assertEqual(own.addresses("kept.example.org"), ["203.0.113.66"])
        self.assertEqual(own.addresses("new.example.org"), ["203.0.113.66"])
        self.assertEqual(web.addresses("kept.example.org"), ["192.0.2.7"])
        self.assertEqual(web.addresses("new.example.org"), ["192.0.2.7"])
        self.assertEqual(liar.names(), ["kept.example.org", "new.example.org"])

    def test_what_is_no_answer_to_the_question_is_not_heard(self):
        def lies(q, tcp):
            m = dns.Message(q)
            lie = [dns.address("bank.example.org", "203.0.113.66")]
            wrong_id = struct.pack("!H", m.id ^ 1) + dns.answer(q, lie)[2:]
            other = dns.answer(dns.question("evil.example.org", ident=m.id), lie)
            other_type = dns.answer(dns.question("bank.example.org", dns.AAAA, ident=m.id), lie)
            return [wrong_id, other, other_type, q, b"", b"x", dns.answer(q, lie)[:20],
                    dns.answer(q, [dns.address("bank.example.org", "192.0.2.1")])]
        self.resolver(lies)
        web, _, _ = self.three()
        self.assertEqual(web.addresses("bank.example.org"), ["192.0.2.1"])

    def test_answers_from_elsewhere_are_not_heard(self):
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        other.bind((UPSTREAMS[1], 53))
        self.addCleanup(other.close)
        def reply(q, tcp):
            other.sendto(dns.answer(q, [dns.address("bank.example.org", "203.0.113.66")]), resolver.asked[-1][2])
            time.sleep(0.2)
            return dns.answer(q, [dns.address("bank.example.org", "192.0.2.1")])
        resolver = self.resolver(reply)
        web, _, _ = self.three()
        self.assertEqual(web.addresses("bank.example.org"), ["192.0.2.1"])

    def test_truncated_and_huge_answers(self):
        many = [dns.address("big.example.org", f"192.0.{i // 200}.{i % 200}") for i in range(2000)]
        def reply(q, tcp):
            if tcp:
                return dns.answer(q, many)
            if dns.Message(q).name == "rude.example.org":
                return dns.answer(q, [dns.address("rude.example.org", f"192.0.2.{i}") for i in range(200)])
            return dns.answer(q, flags=dns.QR | dns.TC)
        self.resolver(reply)
        web, _, _ = self.three()
        self.assertTrue(web.ask("big.example.org").is_cut)
        self.assertEqual(len(web.ask("big.example.org", tcp=True).addresses), 2000)
        # More than the client said it takes is cut; what it takes is passed on.
        got = web.ask("rude.example.org")
        self.assertTrue(got.is_cut and len(got.raw) <= 512)
        self.assertEqual(len(web.ask("rude.example.org", edns=8192).addresses), 200)

    def test_one_resolver_fails_the_next_is_asked(self):
        web, _, _ = self.three()
        self.host_resolvers(*UPSTREAMS)
        time.sleep(1.1)
        self.addCleanup(self.host_resolvers, UPSTREAMS[0])
        second = self.resolver(lambda q, tcp: dns.answer(q, [dns.address(dns.Message(q).name, "192.0.2.2")]), UPSTREAMS[1])
        with self.subTest("nobody listens"):
            begin = time.monotonic()
            self.assertEqual(web.addresses("a.example.org"), ["192.0.2.2"])
            self.assertLess(time.monotonic() - begin, 1)
        first = self.resolver(lambda q, tcp: dns.answer(q, rcode=dns.SERVFAIL))
        with self.subTest("it refuses"):
            self.assertEqual(web.addresses("b.example.org"), ["192.0.2.2"])
            self.assertEqual(first.names(), ["b.example.org"])
        with self.subTest("it is silent"):
            first.reply = lambda q, tcp: None
            self.assertEqual(web.addresses("c.example.org"), ["192.0.2.2"])
        with self.subTest("both refuse"):
            first.reply = second.reply = lambda q, tcp: dns.answer(q, rcode=dns.REFUSED)
            self.assertEqual(web.ask("d.example.org").rcode, dns.REFUSED)
        with self.subTest("a name that does not exist is an answer"):
            first.reply = lambda q, tcp: dns.answer(q, rcode=dns.NXDOMAIN)
            asked = len(second.asked)
            self.assertEqual(web.ask("e.example.org").rcode, dns.NXDOMAIN)
            self.assertEqual(len(second.asked), asked)

    def test_changes_of_the_host_s_resolvers_are_followed(self):
        web, _, _ = self.three()
        self.resolver(lambda q, tcp: dns.answer(q, [dns.address("a.example.org", "192.0.2.1")]))
        self.resolver(lambda q, tcp: dns.answer(q, [dns.address("a.example.org", "192.0.2.2")]), UPSTREAMS[1])
        self.assertEqual(web.addresses("a.example.org"), ["192.0.2.1"])
        self.host_resolvers(UPSTREAMS[1])
        self.addCleanup(self.host_resolvers, UPSTREAMS[0])
        time.sleep(1.1)
        self.assertEqual(web.addresses("a.example.org"), ["192.0.2.2"])

    def test_a_resolv_conf_that_is_kept_elsewhere(self):
        self.resolver(lambda q, tcp: dns.answer(q, [dns.address("a.example.org", "192.0.2.2")]), UPSTREAMS[1])
        place = pathlib.Path(tempfile.mkdtemp(prefix="hull-etc-"))
        self.addCleanup(shutil.rmtree, place)
        place.chmod(0o755)
        (place / "kept").write_text(f"nameserver {UPSTREAMS[1]}\n")
        (place / "etc").mkdir()
        (place / "etc/resolv.conf").symlink_to(place / "kept")
        self.server.kill()
        subprocess.run(["mount", "--bind", place / "etc", "/etc"], check=True)
        try:
            self.server.start()
            self.assertEqual(self.box("name web\n" + net("f1", "front", "172.18.0.2")).addresses("a.example.org"), ["192.0.2.2"])
        finally:
            subprocess.run(["umount", "-l", "/etc"], check=True)

    def test_a_container_s_own_resolvers(self):
        host = self.resolver(lambda q, tcp: dns.answer(q, [dns.address("a.example.org", "192.0.2.1")]))
        self.resolver(lambda q, tcp: dns.answer(q, [dns.address("a.example.org", "192.0.2.2")]), UPSTREAMS[1])
        box = self.box(f"name own\ndns {UPSTREAMS[1]}\n" + net("f1", "front", "172.18.0.2"))
        self.assertEqual(box.addresses("a.example.org"), ["192.0.2.2"])
        none = self.box("name none\ndns none\n" + net("f1", "front", "172.18.0.3"))
        self.assertEqual(none.ask("a.example.org").rcode, dns.SERVFAIL)
        self.assertEqual(host.asked, [])

    def test_internal_networks_ask_nobody(self):
        """CVE-2024-29018."""
        host = self.resolver(lambda q, tcp: dns.answer(q, [dns.address("a.example.org", "192.0.2.1")]))
        inside = net("i1", "inner", "172.20.0.2", subnet4="172.20.0.0/16", way="internal")
        box = self.box("name inner\n" + inside)
        self.assertEqual(box.ask("a.example.org").rcode, dns.REFUSED)
        self.assertEqual(box.ask("a.example.org", tcp=True).rcode, dns.REFUSED)
        self.assertEqual(box.addresses("inner"), ["172.20.0.2"])
        own = self.box(f"name own\ndns {UPSTREAMS[0]}\n" + inside)
        self.assertEqual(own.ask("a.example.org").rcode, dns.REFUSED)
        self.assertEqual(host.asked, [])
        # A resolver on the internal network itself is no way out.
        near = self.box(f"name near\ndns {UPSTREAMS[0]}\n" + net("i2", "near", "198.51.100.9", subnet4="198.51.100.0/24", way="internal"))
        self.assertEqual(near.addresses("a.example.org"), ["192.0.2.1"])
        # On one that leads out as well, the world is asked.
        both = self.box("name both\n" + inside + net("f1", "front", "172.18.0.3"))
        self.assertEqual(both.addresses("a.example.org"), ["192.0.2.1"])

    def test_single_labels(self):
        resolver = self.resolver(lambda q, tcp: dns.answer(q, rcode=dns.NXDOMAIN))
        plain = self.box("name plain\n" + net("f1", "front", "172.18.0.2"))
        chosen = self.box("name chosen\nndots\n" + net("f1", "front", "172.18.0.3"))
        self.assertEqual(plain.ask("unknown").rcode, dns.NXDOMAIN)
        self.assertEqual(resolver.names(), ["unknown"])
        self.assertEqual(chosen.ask("unknown").rcode, dns.NOERROR)
        self.assertEqual(chosen.ask("un.known").rcode, dns.NXDOMAIN)
        self.assertEqual(resolver.names(), ["unknown", "un.known"])

    # ---- hostile containers

    def test_malformed_questions(self):
        web, _, _ = self.three()
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(s.close)
        s.settimeout(2)
        s.connect(web.at)
        header = struct.pack("!6H", 7, dns.RD, 1, 0, 0, 0)
        for bad in (header, header + b"\x03ab", header + b"\xc0\x0c\0\1\0\1", header + b"\xc0\xff", header + b"\x3f" * 300,
                    header + b"\1a" * 200 + b"\0\0\1\0\1", struct.pack("!6H", 7, dns.RD, 2, 0, 0, 0) + dns.question("web")[12:] * 2,
                    struct.pack("!6H", 7, dns.RD, 1, 0, 0, 9) + dns.question("web")[12:], os.urandom(2) + header[2:] + b"\xc0" * 1500):
            s.send(bad)
            self.assertEqual(dns.Message(s.recv(65535)).rcode, dns.FORMERR)
        for other, rcode in ((dns.question("web", flags=0x2800), dns.NOTIMP), (dns.question("web", 252), dns.REFUSED),
                             (dns.question("web", 251), dns.REFUSED)):
            s.send(other)
            self.assertEqual(dns.Message(s.recv(65535)).rcode, rcode)
        # What is not a question is not answered: two servers would talk for ever.
        s.settimeout(0.2)
        for silent in (b"", b"x", header[:11], dns.answer(dns.question("web"))):
            s.send(silent)
            with self.assertRaises(TimeoutError):
                s.recv(65535)
        self.assertEqual(web.addresses("web"), ["172.18.0.2"])

    def test_one_that_floods_does_not_keep_others_waiting(self):
        resolver = self.resolver(lambda q, tcp: None)
        web, api, _ = self.three()
        flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(flood.close)
        flood.connect(web.at)
        flood.settimeout(2)
        for i in range(200):
            flood.send(dns.question(f"n{i}.example.org", ident=i))
        refused = [dns.Message(flood.recv(65535)) for _ in range(200 - 128)]
        self.assertEqual({m.rcode for m in refused}, {dns.SERVFAIL})
        begin = time.monotonic()
        self.assertEqual(api.addresses("web"), ["172.18.0.2"])
        resolver.reply = lambda q, tcp: dns.answer(q, [dns.address("a.example.org", "192.0.2.1")])
        self.assertEqual(api.addresses("a.example.org"), ["192.0.2.1"])
        self.assertLess(time.monotonic() - begin, 0.5)

    def test_tcp_connections_that_say_nothing(self):
        web, api, _ = self.three()
        idle = []
        for _ in range(60):
            s = socket.create_connection(web.at)
            s.settimeout(5)
            idle.append(s)
            self.addCleanup(s.close)
        self.assertEqual(api.addresses("web", tcp=True), ["172.18.0.2"])
        # Those beyond the limit are closed at once, and one that lies about its length.
        self.assertEqual(idle[-1].recv(1), b"")
        idle[0].sendall(struct.pack("!H", 60000) + b"x" * 5000)
        with self.assertRaises((ConnectionResetError, EOFError)):
            dns.read_framed(idle[0])

    def test_a_question_in_pieces_and_many_in_one(self):
        web, _, _ = self.three()
        self.resolver(lambda q, tcp: dns.answer(q, [dns.address("a.example.org", "192.0.2.1")]))
        with socket.create_connection(web.at) as s:
            s.settimeout(5)
            q = dns.question("web")
            for byte in struct.pack("!H", len(q)) + q:
                s.sendall(bytes([byte]))
            self.assertEqual(dns.Message(dns.read_framed(s)).addresses, ["172.18.0.2"])
            batch = b""
            for i in range(200):
                q = dns.question("a.example.org" if i % 2 else "web", ident=i)
                batch += struct.pack("!H", len(q)) + q
            s.sendall(batch)
            s.shutdown(socket.SHUT_WR)
            got = {m.id: m.addresses for m in (dns.Message(dns.read_framed(s)) for _ in range(200))}
            self.assertEqual(got, {i: ["192.0.2.1" if i % 2 else "172.18.0.2"] for i in range(200)})
            self.assertEqual(s.recv(1), b"")

    # ---- a conversation instead of sockets

    def test_a_relay_asks_for_a_container(self):
        big = [dns.address("big.example.org", f"192.0.2.{i}") for i in range(200)]
        resolver = self.resolver(lambda q, tcp: dns.answer(q, big if tcp else [], flags=dns.QR | (0 if tcp else dns.TC)))
        web, _, _ = self.three()
        guest = dns.own_id()
        self.server.write(guest, "name guest\n" + net("f1", "front", "172.18.0.50"))
        s = self.server.talk(RESOLVE, guest)
        self.addCleanup(s.close)
        for i, what in enumerate(("web", "guest", "big.example.org")):
            q = dns.question(what, ident=i)
            s.sendall(struct.pack("!H", len(q)) + q)
        got = {m.id: m.addresses for m in (dns.Message(dns.read_framed(s)) for _ in range(3))}
        self.assertEqual((got[0], got[1], len(got[2])), (["172.18.0.2"], ["172.18.0.50"], 200))
        self.assertEqual([how for _, how, _ in resolver.asked], ["udp", "tcp"])
        self.assertEqual(web.addresses("guest"), ["172.18.0.50"])
        s.close()

    def test_conversations_that_make_no_sense(self):
        web, _, _ = self.three()
        for hello in (b"x", struct.pack("II65s7x", 1, 1, b"a"), struct.pack("II65s7x", 0x6e6c7568, REGISTER, web.ident.encode()),
                      struct.pack("II65s7x", 0x6e6c7568, 9, web.ident.encode()), struct.pack("II65s7x", 0x6e6c7568, RESOLVE, b"../../x")):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5)
                s.connect(str(self.server.run / "names.sock"))
                s.send(hello)
                self.assertEqual(s.recv(1), b"")
        # Sockets of another kind.
        with self.server.talk(REGISTER, dns.own_id(), [0, 1]) as s:
            self.assertEqual(s.recv(1), b"")
        self.assertEqual(web.addresses("web"), ["172.18.0.2"])

    # ---- deaths

    def test_killed_and_started_again_it_has_lost_nothing(self):
        held = threading.Event()
        def reply(q, tcp):
            held.wait(60)
            return dns.answer(q, [dns.address(dns.Message(q).name, "192.0.2.1")])
        resolver = self.resolver(reply)
        web, _, _ = self.three()
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(s.close)
        s.settimeout(5)
        s.connect(web.at)
        for i in range(20):
            s.send(dns.question(f"n{i}.example.org", ident=i))
        deadline = time.monotonic() + 60
        while len(resolver.asked) < 20 and time.monotonic() < deadline:
            time.sleep(0.005)
        self.assertEqual(len(resolver.asked), 20)
        self.server.kill()
        # Asked of nobody, and not refused: it waits in the socket.
        s.send(dns.question("web", ident=100))
        self.server.start()
        for box in self.boxes:
            box.register()
        held.set()
        got = [dns.Message(s.recv(65535)) for _ in range(21)]
        self.assertEqual(sorted(m.id for m in got), [*range(20), 100])
        self.assertTrue(all(m.addresses for m in got))

    def test_only_one_serves(self):
        self.three()
        # Its helper has its name in a moment.
        deadline = time.monotonic() + 60
        while len(before := self.server.pids()) != 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual(len(before), 1)
        self.server.start()
        self.assertEqual(self.server.pids(), before)

    def test_it_has_no_privileges(self):
        self.three()
        status = pathlib.Path(f"/proc/{self.server.pids()[0]}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        self.assertEqual(fields["Uid"].split(), ["65534"] * 4)
        self.assertEqual({int(fields[f], 16) for f in ("CapEff", "CapPrm", "CapInh", "CapAmb")}, {0})
        self.assertEqual((fields["NoNewPrivs"], fields["Seccomp"]), ("1", "2"))


if __name__ == "__main__":
    main()
