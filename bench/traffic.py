# SPDX-License-Identifier: Apache-2.0
"""What goes through: iperf3 between two containers, and from another machine on the
wire to a published port; and what a port costs when thousands are published."""
import json
import statistics
import subprocess
import time

SECONDS = 4
TURNS = 3
WIRE = "198.51.100"
MANY = 5000


class Machine:
    """A neighbour on the wire: a network namespace behind a pair of links."""

    def __init__(self):
        self.process = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up; echo; exec sleep 3000"],
                                        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.process.stdout.readline()
        run = lambda *argv: subprocess.run(argv, check=True)
        run("ip", "link", "add", "bench0", "type", "veth", "peer", "name", "bench1", "netns", str(self.process.pid))
        run("ip", "addr", "add", f"{WIRE}.1/24", "dev", "bench0")
        run("ip", "link", "set", "bench0", "up")
        inside = ["nsenter", "-t", str(self.process.pid), "-n", "ip"]
        run(*inside, "addr", "add", f"{WIRE}.2/24", "dev", "bench1")
        run(*inside, "link", "set", "bench1", "up")

    def close(self):
        self.process.kill()
        self.process.wait()
        subprocess.run(["ip", "link", "del", "bench0"], check=False, capture_output=True)


def iperf(root, server_pid, client_pid, address, port):
    """Gbit/s from the network of one process to that of the other."""
    inside = lambda pid, *argv: ["nsenter", "-t", str(pid), "-n", "chroot", str(root), "iperf3", *argv]
    server = subprocess.Popen(inside(server_pid, "-s", "-1", "-p", "5201"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(50):
            time.sleep(0.1)
            done = subprocess.run(inside(client_pid, "-c", address, "-p", str(port), "-t", str(SECONDS), "-O", "1", "-J"),
                                  capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"] / 1e9
        raise AssertionError("iperf3: " + done.stdout[-200:] + done.stderr[-200:])
    finally:
        server.kill()
        server.wait()


class Engine:
    """hull or docker: two containers, one with a published port."""

    def __init__(self, run, out, port):
        self.run, self.port = run, port
        run("run", "-d", "--name", "sender", "demo", "sleep", "3000")
        run("run", "-d", "--name", "receiver", "-p", f"{port}:5201", "demo", "sleep", "3000")
        self.pids = [int(out("inspect", "-f", "{{.State.Pid}}", name)) for name in ("sender", "receiver")]
        self.address = out("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "receiver")

    def close(self):
        self.run("rm", "-f", "sender", "receiver")


def compare(row, root, engines):
    """In turn, so that what else the machine does meets all."""
    wire = Machine()
    found = {(what, name): [] for what in ("inside", "published") for name in engines}
    try:
        for _ in range(TURNS):
            for name, e in engines.items():
                found["inside", name].append(iperf(root, e.pids[1], e.pids[0], e.address, 5201))
                found["published", name].append(iperf(root, e.pids[1], wire.process.pid, f"{WIRE}.1", e.port))
    finally:
        wire.close()
    for what, words in (("inside", "between two containers"), ("published", "from another machine to a published port")):
        ours, theirs = (statistics.median(found[what, name]) for name in ("hull", "docker"))
        yield row(f"iperf3 {words}", ours, "Gbit/s", "docker", theirs, "≥ docker", ours >= theirs)


def ports(row, hull, command):
    """One more port while it runs: the first, and with thousands there."""
    hull("run", "-d", "--name", "one", "demo", "sleep", "3000")

    def change():
        took = []
        for i in range(20):
            took.append(command("update", "one", "-p", f"+{9000 + i}:80").run())
            command("update", "one", "-p", f"-{9000 + i}:80").run()
        return 1000 * statistics.median(took)
    try:
        first = change()
        for i in range(2):
            low = 20000 + i * (MANY // 2)
            span = f"{low}-{low + MANY // 2 - 1}"
            hull("run", "-d", "--name", f"many{i}", "-p", f"{span}:{span}", "demo", "sleep", "3000", timeout=300)
        last = change()
    finally:
        hull("rm", "-f", "one", "many0", "many1", code=None, timeout=300)
    yield row(f"`update -p`, with {MANY} ports published", last, "ms", "the first", first, "≤ 1.5 ×", last <= 1.5 * first)
