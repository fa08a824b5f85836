# SPDX-License-Identifier: Apache-2.0
"""What is measured. Each function makes rows of the table; one whose peer is
missing says so in its place."""
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import time

import machines
import sandboxes
import traffic
from lib import leaks
from measure import Command, Failed, in_turn, median_ms, progress
from peers import Containerd, Dockerd


class Row:
    def __init__(self, what, value, unit, peer="", peer_value=None, target="", met=None, note=""):
        self.what, self.value, self.unit, self.peer, self.peer_value = what, value, unit, peer, peer_value
        self.target, self.met, self.note = target, met, note

    @classmethod
    def ratio(cls, what, ours, peer, theirs, most, unit="ms"):
        return cls(what, ours, unit, peer, theirs, f"≤ {most:.2g} × {peer}", ours <= most * theirs)

    @classmethod
    def limit(cls, what, ours, unit, most, note=""):
        return cls(what, ours, unit, target=f"≤ {most:g} {unit}", met=ours <= most, note=note)

    @classmethod
    def missing(cls, what, why):
        return cls(what, None, "", note=str(why).strip().splitlines()[0][:120] if str(why).strip() else "failed")


class Bench:
    def __init__(self, hull, peers, times):
        self.hull, self.peers, self.times = hull, peers, times
        self.dockerd = None

    def hull_command(self, *argv, code=0):
        return Command([self.hull.bin, *argv], self.hull.env, code=code)

    def docker(self, snapshotter=False):
        """The daemon, of one kind or the other; another one is stopped first."""
        if self.dockerd and self.dockerd.snapshotter != snapshotter:
            self.stop()
        if not self.dockerd:
            self.dockerd = Dockerd(self.peers, snapshotter)
            with open(self.hull.dir / "image.tar", "rb") as tar:
                subprocess.run(["chroot", self.peers.root, "docker", "-H", Dockerd.HOST, "import", "-", "demo"], stdin=tar, check=True,
                               capture_output=True)
        return self.dockerd

    def stop(self):
        if self.dockerd:
            self.dockerd.stop()
            self.dockerd = None

    # ---- starting

    def bundle(self):
        """The same root file system as a folder, and the specification of the
        runtime itself."""
        where = self.peers.root / "var/tmp/bench/bundle"
        shutil.rmtree(where, ignore_errors=True)
        (where / "rootfs").mkdir(parents=True)
        subprocess.run(["tar", "-xf", self.hull.dir / "image.tar", "-C", where / "rootfs"], check=True)
        subprocess.run(["chroot", self.peers.root, "sh", "-c", "cd /var/tmp/bench/bundle && runc spec"], check=True)
        spec = json.loads((where / "config.json").read_text())
        spec["process"].update(args=["true"], terminal=False)
        spec["root"]["readonly"] = False
        (where / "config.json").write_text(json.dumps(spec))
        return "/var/tmp/bench/bundle"

    def start_without_network(self):
        what = "`run --rm --network none IMG true`"
        commands = {"hull": self.hull_command("run", "--rm", "--network", "none", "demo", "true")}
        bundle = self.bundle()
        for runtime in ("crun", "runc"):
            if self.peers.has(runtime):
                commands[runtime] = self.peers.command(runtime, "run", "-b", bundle, "bench-" + runtime)
        took = in_turn(commands, self.times)
        for runtime, most in (("crun", 0.8), ("runc", None)):
            if runtime not in took:
                yield Row.missing(f"{what} against {runtime} run", f"{runtime} is not there")
            elif most:
                yield Row.ratio(what, median_ms(took["hull"]), f"{runtime} run", median_ms(took[runtime]), most)
            else:
                yield Row(what, median_ms(took["hull"]), "ms", f"{runtime} run", median_ms(took[runtime]))

    def start_with_network(self):
        what = "`run --rm IMG true`, bridge network"
        commands = {"hull": self.hull_command("run", "--rm", "demo", "true"),
                    "docker": self.docker().command("run", "--rm", "demo", "true")}
        took = in_turn(commands, max(5, self.times // 4))
        yield Row.ratio(what, median_ms(took["hull"]), "docker run", median_ms(took["docker"]), 1 / 20)

    def attach(self):
        """What a network adds to a start."""
        self.hull("network", "create", "--ipv6", "own")
        took = in_turn({net: self.hull_command("run", "--rm", "--network", net, "demo", "true") for net in ("none", "bridge", "own")},
                       max(20, self.times))
        self.hull("network", "rm", "own")
        none = median_ms(took["none"])
        yield Row.limit("the default network, beyond `--network none`", median_ms(took["bridge"]) - none, "ms", 3)
        yield Row.limit("a network of one's own with IPv6, beyond `--network none`", median_ms(took["own"]) - none, "ms", 3)

    def networks(self):
        """200 containers on one bridge; 100 networks with one each."""
        def ends(started):
            part = max(10, len(started) // 10)
            return 1000 * statistics.median(started[:part]), 1000 * statistics.median(started[-part:])
        self.hull("network", "create", "crowd")
        names = [f"n{i}" for i in range(200)]
        first, last = ends([self.hull_command("run", "-d", "--network", "crowd", "--name", name, "demo", "sleep", "3000").run()
                            for name in names])
        yield Row("`run -d` on a bridge that has 200", last, "ms", "its first", first, "≤ 1.5 ×", last <= 1.5 * first)
        self.hull("rm", "-f", *names)
        created, started = [], []
        for i in range(100):
            created.append(self.hull_command("network", "create", f"net{i}").run())
            started.append(self.hull_command("run", "-d", "--network", f"net{i}", "--name", names[i], "demo", "sleep", "3000").run())
        first, last = ends(created)
        yield Row("`network create`, the 100th", last, "ms", "the first", first, "≤ 1.5 ×", last <= 1.5 * first)
        first, last = ends(started)
        yield Row("`run -d` on the 100th network", last, "ms", "the first", first, "≤ 1.5 ×", last <= 1.5 * first)
        self.hull("rm", "-f", *names[:100])
        self.hull("network", "rm", "crowd", *[f"net{i}" for i in range(100)])

    def traffic(self):
        """Through the network, and through a published port."""
        self.peers.need("iperf3")
        docker = self.docker()
        run = lambda *argv: docker.command(*argv).run()
        say = lambda *argv: subprocess.run(["chroot", self.peers.root, "docker", "-H", Dockerd.HOST, *argv], check=True,
                                           capture_output=True, text=True).stdout.strip()
        engines = {"hull": traffic.Engine(self.hull, self.hull.out, 9101), "docker": traffic.Engine(run, say, 9102)}
        try:
            yield from traffic.compare(Row, self.peers.root, engines)
        finally:
            for engine in engines.values():
                engine.close()

    def ports(self):
        yield from traffic.ports(Row, self.hull, self.hull_command)

    def exec(self):
        self.hull("run", "-d", "--name", "target", "demo", "sleep", "1000")
        docker = self.docker()
        docker.command("run", "-d", "--name", "target", "demo", "sleep", "1000").run()
        took = in_turn({"hull": self.hull_command("exec", "target", "true"), "docker": docker.command("exec", "target", "true")},
                       max(10, self.times // 2))
        self.hull("rm", "-f", "target")
        docker.command("rm", "-f", "target").run()
        yield Row.ratio("`exec` into a running container", median_ms(took["hull"]), "docker exec", median_ms(took["docker"]), 1 / 15)

    # ---- being there

    def memory(self):
        count = 10
        for i in range(count):
            self.hull("run", "-d", "--name", f"m{i}", "demo", "sleep", "1000")
        time.sleep(1)
        sizes = []
        for pid in leaks.processes(self.hull):
            rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            sizes.append(int(rollup.split("Pss:")[1].split()[0]))
        self.hull("rm", "-f", *[f"m{i}" for i in range(count)])
        yield Row.limit("memory per running container beyond the workload (PSS)", sum(sizes) / count, "KiB", 400,
                        f"{len(sizes)} processes for {count} containers; nothing else stays")

    def small_commands(self):
        took = in_turn({"version": self.hull_command("--version"), "complete": self.hull_command("__complete", "run", "--net")},
                       max(20, self.times))
        yield Row.limit("`hull --version`", median_ms(took["version"]), "ms", 3)
        yield Row.limit("completion of a flag", median_ms(took["complete"]), "ms", 10)

    def thousand(self):
        """Started one after the other, running at once, removed."""
        count, name = 1000, "t%04d"
        started = []
        for i in range(count):
            started.append(self.hull_command("run", "-d", "--network", "none", "--name", name % i, "demo", "sleep", "3000").run())
            if i % 250 == 249:
                progress(f"  {i + 1} running")
        first, last = statistics.median(started[:100]), statistics.median(started[-100:])
        took = in_turn({"ps": self.hull_command("ps")}, 10)
        running = len(self.hull.out("ps", "-q").split())
        begin = time.perf_counter()
        removed = []
        for i in range(0, count, 100):
            removed.append(self.hull_command("rm", "-f", *[name % k for k in range(i, i + 100)]).run() / 100)
        whole = time.perf_counter() - begin
        left = self.hull.wait_until_clean(20)
        yield Row.limit(f"`hull ps` with {running:,} containers running", median_ms(took["ps"]), "ms", 30)
        yield Row("`run -d` with 900 to 1,000 running", 1000 * last, "ms", "its first 100", 1000 * first, "linear (≤ 1.5 ×)", last <= 1.5 * first)
        yield Row(f"`rm -f` of one of {count:,} running", 1000 * whole / count, "ms", note=f"first hundred {1000 * removed[0]:.1f} ms, last {1000 * removed[-1]:.1f} ms")
        yield Row("left behind by 1,000 containers", len(left), "things", target="0", met=not left, note="; ".join(left)[:100])

    # ---- names

    def names(self):
        """Questions from inside a container, for containers of its network."""
        load = pathlib.Path(os.environ["HULL_BUILD"]) / "tests/names-load"
        count = 50
        self.hull("network", "create", "names")
        try:
            for i in range(count):
                self.hull("run", "-d", "--name", f"n{i}", "--network", "names", "demo", "sleep", "1000")
            pid = self.hull.out("inspect", "-f", "{{.State.Pid}}", "n0")
            server = next(pid for pid, name in leaks.processes(self.hull).items() if name == "hull-names")
            used = lambda: sum(map(int, pathlib.Path(f"/proc/{server}/stat").read_text().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")
            before = used()
            said = subprocess.run(["nsenter", "-t", pid, "-n", load, "127.0.0.11", *[f"n{i}" for i in range(count)]], check=True,
                                  capture_output=True, text=True).stdout
            found, busy = json.loads(said), used() - before
            both = [pid for pid, name in leaks.processes(self.hull).items() if name.startswith("hull-names")]
            memory = sum(int(pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().split("Pss:")[1].split()[0]) for pid in both)
        finally:
            self.hull("rm", "-f", *[f"n{i}" for i in range(count)], code=None)
            self.hull("network", "rm", "names", code=None)
        rate = found["answered"] / found["seconds"] / 1000
        yield Row("names answered a second, by one thread", rate, "thousand", target="≥ 50 thousand", met=rate >= 50,
                  note=f"{found['answered'] / busy / 1000:.0f} thousand a second of its processor time; the asker shares the machine")
        yield Row.limit("a container's name looked up, median", found["median_us"] / 1000, "ms", 0.2, f"99 of 100 in {found['p99_us'] / 1000:.3g} ms")
        yield Row("memory of the name server and its helper (PSS)", memory, "KiB", note="one for all containers, none when none needs it")

    # ---- fetching

    def layers(self):
        """Four layers of a Debian with language runtimes: tars, and how many entries."""
        base = self.hull.dir / "debian"
        base.mkdir()
        skip = ["--exclude=usr/share/doc", "--exclude=usr/include", "--exclude=var/cache", "--exclude=var/lib/apt"]
        parts = [["bin", "sbin", "lib", "lib64", "etc", "var", "usr/bin", "usr/sbin", "usr/lib64", "usr/lib", "--exclude=usr/lib/x86_64-linux-gnu"],
                 ["usr/lib/x86_64-linux-gnu"], ["usr/share/nodejs"], ["usr/share", "--exclude=usr/share/nodejs"]]
        layers, entries = [], 0
        for i, part in enumerate(parts):
            tar = base / f"{i}.tar"
            paths = [p for p in part if not p.startswith("--")]
            subprocess.run(["tar", "-C", self.peers.image, *skip, *(p for p in part if p.startswith("--")), "-cf", tar, *paths], check=True)
            entries += len(subprocess.run(["tar", "-tf", tar], capture_output=True, check=True).stdout.splitlines())
            layers.append(tar)
        return layers, entries

    def push(self, registry, name, layers, kind):
        """An OCI image made by hand, so that the layers are those, and as compressed."""
        import hashlib
        import urllib.request
        def put(data, media):
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            request = urllib.request.Request(f"http://{registry}/v2/{name}/blobs/uploads/", method="POST", data=b"")
            with urllib.request.urlopen(request) as answer:
                where = answer.headers["Location"]
            where += ("&" if "?" in where else "?") + "digest=" + digest
            put_it = urllib.request.Request(where, method="PUT", data=data, headers={"Content-Type": "application/octet-stream"})
            urllib.request.urlopen(put_it).close()
            return {"mediaType": media, "digest": digest, "size": len(data)}
        diffids, descriptors, size = [], [], 0
        for tar in layers:
            diffids.append("sha256:" + subprocess.run(["sha256sum", tar], capture_output=True, text=True, check=True).stdout.split()[0])
            tool = ["gzip", "-6", "-c"] if kind == "gzip" else ["zstd", "-3", "-q", "-c"]
            data = subprocess.run([*tool, tar], capture_output=True, check=True).stdout
            size += tar.stat().st_size
            descriptors.append(put(data, f"application/vnd.oci.image.layer.v1.tar+{kind}"))
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["true"]}, "rootfs": {"type": "layers", "diff_ids": diffids}})
        manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                               "config": put(config.encode(), "application/vnd.oci.image.config.v1+json"), "layers": descriptors}).encode()
        request = urllib.request.Request(f"http://{registry}/v2/{name}/manifests/latest", method="PUT", data=manifest,
                                         headers={"Content-Type": "application/vnd.oci.image.manifest.v1+json"})
        urllib.request.urlopen(request).close()
        return [d["digest"] for d in descriptors], size

    def floor(self, registry, name, digests, kind):
        """bench/floor.c."""
        program = pathlib.Path(os.environ["HULL_BUILD"]) / "bench/floor"
        subprocess.run(["ninja", "-C", os.environ["HULL_BUILD"], "--quiet", "bench/floor"], check=True, stdout=subprocess.DEVNULL)
        where = self.hull.dir / "floor"
        where.mkdir(exist_ok=True)
        return Command([program, kind, where, *(f"http://{registry}/v2/{name}/blobs/{d}" for d in digests)])

    def registry(self, address):
        (self.peers.root / "tmp/registry.yml").write_text("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: /var/tmp/bench/registry\n"
                                                          f"http:\n  addr: {address}\nlog:\n  level: error\n")
        server = subprocess.Popen(["chroot", self.peers.root, "docker-registry", "serve", "/tmp/registry.yml"], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(address.split(":")[1]))) == 0:
                    return server
            time.sleep(0.1)
        server.kill()
        raise Failed("docker-registry does not come up")

    def pull(self):
        if not self.peers.has("docker-registry"):
            yield Row.missing("pull", "docker-registry is not there")
            return
        address = "127.0.0.1:5055"
        server = self.registry(address)
        images, size = {}, 0
        try:
            layers, entries = self.layers()
            for kind in ("gzip", "zstd"):
                progress(f"  {kind}: compressing and pushing")
                digests, size = self.push(address, kind, layers, kind)
                images[kind] = digests
            # One peer at a time, so that none has another's daemon beside it.
            for peer, most in (("the floor", 1.3), ("ctr images pull", 1 / 4), ("docker, its containerd store", 1 / 4),
                               ("docker, its default store", 1 / 10)):
                for kind, digests in images.items():
                    what = f"pull until run, 4 layers, {entries:,} files, {size >> 20} MB, {kind}"
                    try:
                        yield self.pull_against(peer, most, what, f"{address}/{kind}:latest", kind, address, digests)
                    except (Failed, subprocess.CalledProcessError) as error:
                        yield Row.missing(f"{what}, against {peer}", error)
        finally:
            self.stop()
            server.kill()
            server.wait()
            shutil.rmtree(self.peers.root / "var/tmp/bench/registry", ignore_errors=True)

    def pull_against(self, peer, most, what, image, kind, address, digests):
        hull = self.hull_command("run", "--rm", "--pull", "always", "--network", "none", image, "true")
        ctr = None
        if peer == "the floor":
            theirs, clean = [self.floor(address, kind, digests, kind)], []
        elif peer == "ctr images pull":
            self.stop()
            ctr = Containerd(self.peers)
            theirs = [ctr.command("images", "pull", "--plain-http", image)]
            clean = [ctr.command("images", "rm", "--sync", image)]
        else:
            docker = self.docker(snapshotter="containerd" in peer)
            theirs = [docker.command("run", "--rm", "--network", "none", image, "true")]
            clean = [docker.command("rmi", "-f", image)]
        timed = {"hull": [], "peer": []}
        try:
            for _ in range(5):
                os.sync()
                timed["hull"].append(hull.run())
                self.hull("rmi", "-f", image)
                os.sync()
                timed["peer"].append(sum(command.run() for command in theirs))
                for command in clean:
                    command.run()
        finally:
            if ctr:
                ctr.stop()
        return Row.ratio(what, statistics.median(timed["hull"]), peer, statistics.median(timed["peer"]), most, "s")

    # ---- kernels of their own

    def sandbox(self):
        yield from sandboxes.measure(self, Row)

    def machine(self):
        yield from machines.measure(Row, self.times)


ALL = {"start": Bench.start_without_network, "bridge": Bench.start_with_network, "attach": Bench.attach,
       "networks": Bench.networks, "traffic": Bench.traffic, "ports": Bench.ports, "exec": Bench.exec, "memory": Bench.memory, "small": Bench.small_commands,
       "pull": Bench.pull, "thousand": Bench.thousand, "names": Bench.names,
       "sandbox": Bench.sandbox, "machine": Bench.machine}


def measure(bench, names):
    for name in names:
        progress(f"{name} ...")
        try:
            for row in ALL[name](bench):
                yield row
        except (Failed, subprocess.CalledProcessError, AssertionError, OSError) as error:
            progress(f"{name}: {error}")
            yield Row.missing(name, error)
