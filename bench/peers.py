# SPDX-License-Identifier: Apache-2.0
"""The peers, as Debian trixie packages them, in a root directory of their own."""
import os
import pathlib
import shutil
import subprocess
import time

from measure import Command, Failed, progress

PACKAGES = ["crun", "runc", "docker.io", "docker-cli", "podman", "containerd", "skopeo", "docker-registry", "iproute2", "nftables",
            "iptables", "ca-certificates", "procps", "curl", "zstd", "pigz", "netavark", "aardvark-dns"]


class Peers:
    def __init__(self, root):
        self.root = pathlib.Path(root)

    def set_up(self):
        """Once; the folder is used again."""
        if not (self.root / "usr/bin/crun").exists():
            progress(f"peers: a Debian trixie in {self.root} (a few minutes, once)")
            self.root.mkdir(parents=True, exist_ok=True)
            subprocess.run(["mmdebstrap", "--variant=apt", "--include=" + ",".join(PACKAGES), "trixie", str(self.root)], check=True)
        # We are in a mount namespace of our own: all of this goes with it.
        run = lambda *argv: subprocess.run(argv, check=True)
        run("mount", "--bind", self.root, self.root)
        for kind, where in (("proc", "proc"), ("sysfs", "sys"), ("cgroup2", "sys/fs/cgroup"), ("tmpfs", "run"), ("tmpfs", "tmp")):
            run("mount", "-t", kind, "none", self.root / where)
        run("mount", "--bind", "/dev", self.root / "dev")
        (self.root / "var/tmp/bench").mkdir(parents=True, exist_ok=True)

    def has(self, program):
        return any((self.root / d / program).exists() for d in ("usr/bin", "usr/sbin", "usr/local/bin"))

    def command(self, *argv, code=0):
        return Command(argv, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}, self.root, code)

    def version(self, program):
        done = subprocess.run(["chroot", self.root, program, "--version"], capture_output=True, text=True, check=False)
        return done.stdout.splitlines()[0].strip() if done.stdout else "not there"


class Dockerd:
    """A daemon of its own, with its state below the peers' root."""
    HOST = "unix:///run/bench-docker.sock"

    def __init__(self, peers, snapshotter=False):
        self.peers, self.name = peers, "dockerd-containerd" if snapshotter else "dockerd"
        self.data = f"/var/tmp/bench/{self.name}"
        shutil.rmtree(str(peers.root) + self.data, ignore_errors=True)
        argv = ["chroot", str(peers.root), "dockerd", "--data-root", self.data, "--exec-root", "/run/bench-docker", "-p", "/run/bench-docker.pid",
                "-H", self.HOST]
        if snapshotter:
            (peers.root / "tmp/daemon.json").write_text('{"features": {"containerd-snapshotter": true}}')
            argv += ["--config-file", "/tmp/daemon.json"]
        with open(peers.root / "tmp/dockerd.log", "wb") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"})
        for _ in range(150):
            try:
                self.command("version").run()
                return
            except Failed:
                time.sleep(0.2)
        raise Failed("dockerd does not come up: " + (peers.root / "tmp/dockerd.log").read_text()[-1500:])

    def command(self, *argv, code=0):
        return self.peers.command("docker", "-H", self.HOST, *argv, code=code)

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        subprocess.run(["pkill", "-f", "bench-docker"], check=False)
        shutil.rmtree(str(self.peers.root) + self.data, ignore_errors=True)
