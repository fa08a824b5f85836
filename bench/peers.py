# SPDX-License-Identifier: Apache-2.0
"""The peers, as Debian trixie packages them, in a root directory of their own."""
import os
import pathlib
import shutil
import subprocess
import time

from measure import Command, Failed, progress

PACKAGES = ["crun", "runc", "docker.io", "docker-cli", "podman", "containerd", "skopeo", "docker-registry", "iproute2", "nftables",
            "iptables", "ca-certificates", "procps", "curl", "zstd", "pigz", "netavark", "aardvark-dns", "iperf3"]


# What is pulled: Debian with two language runtimes.
IMAGE_PACKAGES = ["python3", "python3-venv", "python3-dev", "nodejs", "npm", "ca-certificates"]


class Peers:
    def __init__(self, where):
        self.where = pathlib.Path(where)
        self.root, self.image = self.where / "root", self.where / "image"

    def set_up(self):
        """Once; the folder is used again."""
        self.install(self.root, "the peers", "trixie", "apt", PACKAGES)
        self.install(self.image, "an image to pull", "bookworm", "minbase", IMAGE_PACKAGES)
        # We are in a mount namespace of our own: all of this goes with it.
        run = lambda *argv: subprocess.run(argv, check=True)
        run("mount", "--bind", self.root, self.root)
        for kind, where in (("proc", "proc"), ("sysfs", "sys"), ("cgroup2", "sys/fs/cgroup"), ("tmpfs", "run"), ("tmpfs", "tmp")):
            run("mount", "-t", kind, "none", self.root / where)
        run("mount", "--bind", "/dev", self.root / "dev")

    def install(self, root, what, release, variant, packages):
        done = root / "etc/hull-bench-done"
        if done.exists():
            return
        progress(f"{what}: a Debian {release} in {root} (a few minutes, once)")
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        subprocess.run(["mmdebstrap", f"--variant={variant}", "--include=" + ",".join(packages), release, str(root)], check=True)
        done.touch()

    def mount_state(self):
        """Everybody's state on one ext4 of its own, so that nobody has a better file
        system than another, and none a tired one. Returns where hull's goes."""
        image, state = self.where / "state.ext4", self.where / "state"
        inside = self.root / "var/tmp/bench"
        image.unlink(missing_ok=True)
        with open(image, "wb") as file:
            file.truncate(24 << 30)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        state.mkdir(exist_ok=True)
        inside.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-o", "loop", image, state], check=True)
        # The loop device keeps the file for as long as it is mounted.
        image.unlink()
        for name in ("peers", "hull"):
            (state / name).mkdir()
        subprocess.run(["mount", "--bind", state / "peers", inside], check=True)
        return state / "hull"

    def mount_run(self):
        """A tmpfs, as /run is, for hull."""
        run = self.where / "run"
        run.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", run], check=True)
        return run

    def need(self, program):
        """Also in a root that was made before it was on the list."""
        if not self.has(program):
            # Here is no way out.
            install = f"apt-get -qq update && apt-get -qq install -y {program}"
            subprocess.run(["nsenter", "-t", "1", "-n", "chroot", self.root, "sh", "-c", install], check=True, capture_output=True)

    def has(self, program):
        return any((self.root / d / program).exists() for d in ("usr/bin", "usr/sbin", "usr/local/bin"))

    def command(self, *argv, code=0):
        return Command(argv, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}, self.root, code)

    def version(self, program):
        done = subprocess.run(["chroot", self.root, program, "--version"], capture_output=True, text=True, check=False)
        if not done.stdout:
            return "not there"
        # containerd names its source's address before its version.
        return " ".join(word for word in done.stdout.splitlines()[0].split() if "/" not in word)


class Dockerd:
    """A daemon of its own, with its state below the peers' root."""
    HOST = "unix:///run/bench-docker.sock"

    def __init__(self, peers, snapshotter=False):
        self.peers, self.snapshotter = peers, snapshotter
        self.name = "dockerd-containerd" if snapshotter else "dockerd"
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
        shutil.rmtree(str(self.peers.root) + self.data, ignore_errors=True)


class Containerd:
    """containerd alone, for its ctr."""
    ADDRESS = "/run/bench-containerd.sock"

    def __init__(self, peers):
        self.peers, self.data = peers, "/var/tmp/bench/containerd"
        shutil.rmtree(str(peers.root) + self.data, ignore_errors=True)
        with open(peers.root / "tmp/containerd.log", "wb") as log:
            self.process = subprocess.Popen(["chroot", str(peers.root), "containerd", "--root", self.data, "--state", "/run/bench-containerd",
                                             "--address", self.ADDRESS], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"})
        for _ in range(100):
            try:
                self.command("version").run()
                return
            except Failed:
                time.sleep(0.2)
        raise Failed("containerd does not come up: " + (peers.root / "tmp/containerd.log").read_text()[-1500:])

    def command(self, *argv, code=0):
        return self.peers.command("ctr", "--address", self.ADDRESS, *argv, code=code)

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        shutil.rmtree(str(self.peers.root) + self.data, ignore_errors=True)
