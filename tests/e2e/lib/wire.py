# SPDX-License-Identifier: Apache-2.0
"""Machines on a wire: network namespaces of the test's own, sockets in them."""
import socket
import subprocess
import threading

from lib.hull import _libc, CLONE_NEWNET


def ask(address, port, kind=socket.SOCK_STREAM, data=None, timeout=3):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as s:
        s.settimeout(timeout)
        s.connect((address, port))
        if kind == socket.SOCK_STREAM:
            # Connected: nothing is in the way, only a server that waits for a processor.
            s.settimeout(max(timeout, 20))
        if data is not None:
            s.send(data)
        return s.recv(1000)


HOST_OUTSIDE, NEIGHBOUR = "198.51.100.1", "198.51.100.2"
HOST_OUTSIDE6, NEIGHBOUR6 = "2001:db8:51::1", "2001:db8:51::2"


def in_network_of(pid, do):
    """What @do returns, run by a thread in the network namespace of @pid."""
    result = []

    def body():
        with open(f"/proc/{pid}/ns/net", "rb") as ns:
            if _libc.setns(ns.fileno(), CLONE_NEWNET) != 0:
                raise OSError("setns")
        try:
            result.append(do())
        except OSError as e:
            result.append(e)
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if isinstance(result[0], OSError):
        raise result[0]
    return result[0]


class Neighbour:
    """A machine on the wire: a veth pair with one end in a namespace of its own."""

    def __init__(self):
        self.child = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up; echo; exec sleep 600"],
                                      stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.child.stdout.readline()
        run = lambda *args: subprocess.run(args, check=True)
        run("ip", "link", "add", "wan0", "type", "veth", "peer", "name", "wan1", "netns", str(self.child.pid))
        run("ip", "addr", "add", f"{HOST_OUTSIDE}/24", "dev", "wan0")
        run("ip", "addr", "add", f"{HOST_OUTSIDE6}/64", "dev", "wan0", "nodad")
        run("ip", "link", "set", "wan0", "up")
        self.inside(lambda: [run("ip", "addr", "add", f"{NEIGHBOUR}/24", "dev", "wan1"),
                             run("ip", "addr", "add", f"{NEIGHBOUR6}/64", "dev", "wan1", "nodad"),
                             run("ip", "link", "set", "wan1", "up")])

    def inside(self, do):
        return in_network_of(self.child.pid, do)

    def close(self):
        self.child.kill()
        self.child.communicate()
        # The kernel takes a dead namespace's links away when it gets to it.
        subprocess.run(["ip", "link", "del", "wan0"], check=False, capture_output=True)


def serve(server, answer):
    """Answer each datagram or connection of @server until it is closed."""
    def body():
        while True:
            try:
                if server.type == socket.SOCK_DGRAM:
                    data, peer = server.recvfrom(2000)
                    if peer is None:
                        return
                    server.sendto(answer(data, peer), peer)
                else:
                    conn, peer = server.accept()
                    with conn:
                        conn.sendall(answer(b"", peer))
            except OSError:
                return
    thread = threading.Thread(target=body, daemon=True)
    thread.start()


def stop(server):
    """Close it for whoever waits there, too: a call that the kernel restarts would go on with
    whatever has its number by then."""
    try:
        server.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    server.close()


def listener(address, port, kind=socket.SOCK_STREAM):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    if kind == socket.SOCK_STREAM:
        s.listen()
    return s
