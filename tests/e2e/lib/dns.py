# SPDX-License-Identifier: Apache-2.0
"""DNS messages for tests: questions, answers, and a resolver that does as told."""
import ipaddress
import os
import random
import socket
import struct
import threading

A, CNAME, SOA, PTR, MX, TXT, AAAA, OPT, ANY = 1, 5, 6, 12, 15, 16, 28, 41, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
QR, TC, RD, RA = 0x8000, 0x0200, 0x0100, 0x0080


def name(text):
    return b"".join(bytes([len(p)]) + p.encode() for p in text.rstrip(".").split(".") if p) + b"\0"


def read_name(data, at):
    labels, end, hops = [], None, 0
    while True:
        n = data[at]
        if n & 0xC0 == 0xC0:
            end = end or at + 2
            at = (n & 0x3F) << 8 | data[at + 1]
            hops += 1
            assert hops < 20
        elif n == 0:
            return ".".join(labels), end or at + 1
        else:
            labels.append(data[at + 1:at + 1 + n].decode())
            at += 1 + n


def question(what, kind=A, ident=None, edns=None, flags=RD):
    ident = random.randrange(65536) if ident is None else ident
    data = struct.pack("!6H", ident, flags, 1, 0, 0, 1 if edns else 0) + name(what) + struct.pack("!2H", kind, 1)
    return data + (b"\0" + struct.pack("!HHIH", OPT, edns, 0, 0) if edns else b"")


def record(owner, kind, data, ttl=60):
    return name(owner) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def address(owner, text, ttl=60):
    ip = ipaddress.ip_address(text)
    return record(owner, A if ip.version == 4 else AAAA, ip.packed, ttl)


class Message:
    def __init__(self, data):
        self.raw = data
        self.id, self.flags, n_q, n_an, n_ns, n_ar = struct.unpack("!6H", data[:12])
        self.rcode, at = self.flags & 15, 12
        self.name = self.type = None
        for _ in range(n_q):
            self.name, at = read_name(data, at)
            self.type, at = struct.unpack("!H", data[at:at + 2])[0], at + 4
        self.question_end = at
        self.answers, self.authorities, self.additionals = [], [], []
        for section, count in ((self.answers, n_an), (self.authorities, n_ns), (self.additionals, n_ar)):
            for _ in range(count):
                owner, at = read_name(data, at)
                kind, _, ttl, n = struct.unpack("!HHIH", data[at:at + 10])
                at += 10
                value = data[at:at + n]
                if kind in (A, AAAA):
                    value = str(ipaddress.ip_address(value))
                elif kind in (PTR, CNAME):
                    value = read_name(data, at)[0]
                section.append((owner, kind, ttl, value))
                at += n
        assert at == len(data), "bytes after the message"

    @property
    def addresses(self):
        return [v for _, k, _, v in self.answers if k in (A, AAAA)]

    @property
    def is_cut(self):
        return bool(self.flags & TC)


def answer(query, records=(), rcode=0, flags=QR | RD | RA):
    """The answer to the bytes of a question."""
    m = Message(query)
    return struct.pack("!6H", m.id, flags | rcode, 1, len(records), 0, 0) + query[12:m.question_end] + b"".join(records)


def absence(query, soa):
    """NXDOMAIN, with the zone's record in the authority section."""
    bare = answer(query, rcode=NXDOMAIN)
    return bare[:8] + struct.pack("!H", 1) + bare[10:] + soa


def ask(what, kind=A, server=("127.0.0.11", 53), timeout=5, edns=None, tcp=False):
    query = question(what, kind, edns=edns)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        s.connect(server)
        if tcp:
            s.sendall(struct.pack("!H", len(query)) + query)
            data = read_framed(s)
        else:
            s.send(query)
            data = s.recv(65535)
    m = Message(data)
    assert m.id == Message(query).id and m.name.lower() == what.rstrip(".").lower()
    return m


def read_exactly(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def read_framed(s):
    return read_exactly(s, struct.unpack("!H", read_exactly(s, 2))[0])


class Resolver:
    """Listens at address:53, UDP and TCP. @reply(query, tcp) gives the datagrams to
    send: bytes, a list of bytes, or None. What was asked is in self.asked."""

    def __init__(self, at, reply):
        self.at, self.reply, self.asked = at, reply, []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((at, 53))
        self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind((at, 53))
        self.tcp.listen(64)
        self.threads = [threading.Thread(target=body, daemon=True) for body in (self._serve_udp, self._serve_tcp)]
        for thread in self.threads:
            thread.start()

    def _serve_udp(self):
        while True:
            try:
                query, peer = self.udp.recvfrom(65535)
            except OSError:
                return
            if not query:
                return  # shut down
            threading.Thread(target=self._answer_udp, args=(query, peer), daemon=True).start()

    def _answer_udp(self, query, peer):
        self.asked.append((Message(query), "udp", peer))
        said = self.reply(query, False)
        for data in [said] if isinstance(said, bytes) else said or []:
            try:
                self.udp.sendto(data, peer)
            except OSError:
                return

    def _serve_tcp(self):
        while True:
            try:
                s, peer = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._answer_tcp, args=(s, peer), daemon=True).start()

    def _answer_tcp(self, s, peer):
        with s:
            try:
                while True:
                    query = read_framed(s)
                    self.asked.append((Message(query), "tcp", peer))
                    said = self.reply(query, True)
                    for data in [said] if isinstance(said, bytes) else said or []:
                        s.sendall(struct.pack("!H", len(data)) + data)
            except (EOFError, OSError):
                return

    def names(self):
        return [m.name for m, _, _ in self.asked]

    def close(self):
        for s in (self.udp, self.tcp):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
        for thread in self.threads:
            thread.join(5)  # the port is free when nobody waits there


def own_id():
    return os.urandom(32).hex()
