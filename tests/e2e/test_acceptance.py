#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What Docker's users take for granted, each of which broke for somebody on virtual
machines: the same tests at every level. One container at the level for most of a
test, because a start is what takes long there."""
import io
import json
import pathlib
import socket
import tarfile
import tempfile
import threading

from lib import hull


class Acceptance(hull.HullTest):
    def run_d(self, name, *flags, command=("sleep", "1000")):
        self.hull("run", "-d", "--name", name, *flags, "demo", *command, timeout=120)

    def inside(self, name, script, **kwargs):
        return self.hull.out("exec", name, "sh", "-c", script, **kwargs)

    def test_volumes_and_files(self):
        """One volume read and written by two, one of them a plain container; one folder
        twice; one file; what may not be written; memory; kernel settings."""
        with tempfile.TemporaryDirectory(dir=self.hull.dir) as d:
            file = pathlib.Path(d) / "file"
            file.write_text("host\n", encoding="ascii")
            self.run_d("one", "-v", "shared:/data", "-v", f"{d}:/a", "-v", f"{d}:/b:ro", "-v", f"{file}:/etc/one", "--read-only", "--tmpfs", "/scratch",
                       "--shm-size", "70m", "--sysctl", "net.ipv4.ip_forward=1")
            self.hull("run", "-d", "--isolation=container", "--name", "two", "-v", "shared:/data", "demo", "sleep", "1000")
            self.inside("one", "echo from-one > /data/x; chown 1000:1000 /data/x")
            self.assertEqual(self.inside("two", "cat /data/x; stat -c %u /data/x"), "from-one\n1000")
            self.inside("two", "echo from-two >> /data/x")
            self.assertEqual(self.inside("one", "cat /data/x"), "from-one\nfrom-two")
            self.inside("one", "echo twice > /a/new; echo changed > /etc/one")
            self.assertEqual(self.inside("one", "cat /b/new"), "twice")
            self.assertEqual(file.read_text(encoding="ascii"), "changed\n")
            self.assertEqual(self.inside("one", "for f in /b/no /no /bin/no; do echo x 2> /dev/null > $f || echo refused; done"), "refused\n" * 2 + "refused")
            self.inside("one", "echo x > /scratch/x && echo x > /dev/shm/x")
            self.assertEqual(self.inside("one", "df -k /dev/shm | awk 'END { print $2 }'"), str(70 << 10))
            self.assertEqual(self.inside("one", "cat /proc/sys/net/ipv4/ip_forward"), "1")

    def test_exec_and_exit_codes(self):
        self.run_d("one", "--user", "1000", "-w", "/tmp", "-e", "A=1", command=("sh", "-c", "trap 'exit 33' TERM; while :; do sleep 0.1; done"))
        self.hull("exec", "one", "sh", "-c", "exit 42", code=42)
        self.hull("exec", "one", "no-such-program", code=127)
        self.assertEqual(self.inside("one", "id -u; pwd; echo $A"), "1000\n/tmp\n1")
        done = self.hull("exec", "-u", "0:0", "-w", "/etc", "-e", "B=2", "one", "sh", "-c", "id -u; pwd; echo $A$B")
        self.assertEqual(done.out, "0\n/etc\n12\n")
        self.assertEqual(self.hull("exec", "-i", "one", "cat", input="in\n").out, "in\n")
        self.assertIn("tty", self.hull("exec", "-t", "one", "sh", "-c", "test -t 1 && echo tty").out)
        self.hull("exec", "-d", "one", "sh", "-c", "echo later > /tmp/later")
        self.eventually(lambda: self.hull("exec", "one", "cat", "/tmp/later", code=None).out == "later\n")
        self.hull("stop", "-t", "30", "one", timeout=90)
        self.assertEqual(self.hull.out("inspect", "-f", "{{.State.ExitCode}}", "one"), "33")
        self.hull("start", "one", timeout=120)
        self.hull("kill", "one")
        self.assertEqual(self.hull.out("wait", "one", timeout=90), "137")
        self.assertEqual(self.hull.out("inspect", "-f", "{{.State.OOMKilled}}", "one"), "false")

    def test_memory_limit(self):
        self.hull("run", "--name", "oom", "-m", "64m", "--memory-swap", "64m", "demo", "dd", "if=/dev/zero", "of=/dev/null", "bs=300M", "count=1", code=137, timeout=120)
        self.assertEqual(self.hull.out("inspect", "-f", "{{.State.OOMKilled}}", "oom"), "true")

    def test_events(self):
        self.run_d("one", "--health-cmd", "true", "--health-interval", "1s")
        self.hull("exec", "one", "sh", "-c", "exit 3", code=3)
        self.eventually(lambda: self.hull.out("inspect", "-f", "{{.State.Health.Status}}", "one") == "healthy")
        self.hull("kill", "one")
        self.hull("wait", "one", timeout=90)
        self.hull("rm", "one")
        lines = self.hull.out("events", "--since", "0", "--until", "0s", "--filter", "container=one", "--format", "{{json .}}").splitlines()
        events = [json.loads(line) for line in lines]
        by_action = {event["Action"].split(":")[0]: event["Actor"]["Attributes"] for event in events if event["Type"] == "container" and
                     (event["Action"] != "exec_die" or event["Actor"]["Attributes"]["exitCode"] == "3")}
        self.assertLessEqual({"create", "start", "exec_create", "exec_start", "exec_die", "health_status", "die", "destroy"}, set(by_action))
        self.assertEqual(by_action["die"]["exitCode"], "137")
        self.assertEqual(by_action["exec_die"]["exitCode"], "3")
        self.assertEqual(by_action["die"]["name"], "one")

    def test_copies(self):
        """Into one that was created and never started, out of it, and while it runs."""
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            info = tarfile.TarInfo("put")
            info.size, info.uid, info.mode = 4, 1000, 0o640
            tar.addfile(info, io.BytesIO(b"tar\n"))
        self.hull("create", "--name", "one", "demo", "sh", "-c", "cat /put; stat -c '%u %a' /put; exec sleep 1000")
        self.hull("cp", "-a", "-", "one:/", input=data.getvalue())
        self.assertEqual(tarfile.open(fileobj=io.BytesIO(self.hull("cp", "one:/put", "-").stdout)).extractfile("put").read(), b"tar\n")
        self.hull("start", "one", timeout=120)
        self.eventually(lambda: self.hull.out("logs", "one") == "tar\n1000 640")
        self.hull("cp", "-", "one:/tmp", input=data.getvalue())
        self.assertEqual(self.inside("one", "cat /tmp/put"), "tar")
        self.inside("one", "echo out > /tmp/out")
        self.assertEqual(tarfile.open(fileobj=io.BytesIO(self.hull("cp", "one:/tmp/out", "-").stdout)).extractfile("out").read(), b"out\n")

    def test_networks(self):
        """Names and aliases on a user's network, both ways, between a plain container and
        one of the level; connected and disconnected while it runs."""
        for name in ("net1", "net2"):
            self.hull("network", "create", name)
            self.addCleanup(self.hull, "network", "rm", name)
        self.addCleanup(self.hull.remove_all)
        self.run_d("one", "--network", "net1", "--network-alias", "first", command=("httpd", "-f", "-p", "80", "-h", "/etc"))
        for network in ("net1", "net2"):
            self.hull("run", "-d", "--isolation=container", "--name", f"peer-{network}", "--network", network, "demo", "httpd", "-f", "-p", "80", "-h", "/etc")
        get = "printf 'GET /passwd HTTP/1.0\r\n\r\n' | nc -w 20 {} 80 | grep -c ^root"
        self.assertEqual(self.inside("peer-net1", get.format("first")), "1")
        self.assertEqual(self.inside("one", get.format("peer-net1")), "1")
        self.hull("network", "connect", "--alias", "second", "net2", "one")
        self.assertEqual(self.inside("peer-net2", get.format("second")), "1")
        self.assertEqual(self.inside("one", get.format("peer-net2")), "1")
        self.hull("network", "disconnect", "net1", "one")
        self.assertEqual(self.inside("peer-net1", get.format("first"), code=1), "0")
        self.assertEqual(self.inside("one", get.format("peer-net2")), "1")

    def test_ports(self):
        """TCP and UDP, below 1024, of one address alone; and the way out."""
        self.run_d("one", "-p", "127.0.0.1:81:80", "-p", "127.0.0.1:5353:5353/udp",
                   command=("httpd", "-f", "-p", "80", "-h", "/etc"))
        def page():
            try:
                with socket.create_connection(("127.0.0.1", 81), timeout=10) as s:
                    s.sendall(b"GET /passwd HTTP/1.0\r\n\r\n")
                    return b"root" in b"".join(iter(lambda: s.recv(4096), b""))
            except OSError:
                return False
        self.eventually(page)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            # Nobody listens there; its kernel counts what comes all the same.
            s.settimeout(5)
            def arrived():
                s.sendto(b"x", ("127.0.0.1", 5353))
                return int(self.inside("one", "awk '/^Udp: [0-9]/ { print $3 }' /proc/net/snmp")) > 0
            self.eventually(arrived)
        gateway = self.hull.out("inspect", "-f", "{{.NetworkSettings.Gateway}}", "one")
        with socket.socket() as server:
            server.bind((gateway, 0))
            server.listen()
            answered = threading.Thread(target=lambda: server.accept()[0].sendall(b"out\n"), daemon=True)
            answered.start()
            self.assertEqual(self.inside("one", f"nc -w 20 {gateway} {server.getsockname()[1]} < /dev/null"), "out")

    def test_figures(self):
        """Memory as a container's: what the workload uses, not its machine."""
        self.run_d("one", "-m", "256m")
        stats = json.loads(self.hull.out("stats", "--no-stream", "--format", "{{json .}}", "one"))
        self.assertLess(float(stats["MemPerc"].rstrip("%")), 20)
        self.assertTrue(stats["MemUsage"].endswith("/ 256MiB"), stats)
        self.assertIn("sleep", self.hull.out("top", "one"))

    def test_what_cannot_be_shared(self):
        hull.need(self.level in ("sandbox", "microvm"), "a container shares the host's kernel")
        self.run_d("one")
        for mode in ("host", "container:one"):
            done = self.hull("run", "--rm", "--network", mode, "demo", "true", code=125)
            self.assertRegex(done.err, "(?s)does not go with a kernel of its own.*why:.*try:")


if __name__ == "__main__":
    hull.main()
