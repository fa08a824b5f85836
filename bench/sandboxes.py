# SPDX-License-Identifier: Apache-2.0
"""Rows about the level sandbox, against runsc (gVisor) as Debian packages it: the
same root file system, and the same programs inside. Where runsc is not to be had or
does not run here, a row says why, and the container level takes its place."""
import ctypes
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import time

from lib import leaks
from measure import Command, Failed, in_turn, median_ms, progress

SYS_KCMP, KCMP_VM = 312, 1
_libc = ctypes.CDLL(None, use_errno=True)
PLATFORMS = ("systrap", "ptrace")
OPERATIONS = {
    "getpid": "a system call (getpid)", "read_write": "read and write of 4 KiB", "pwrite": "pwrite of 4 KiB to a file",
    "pread": "pread of 4 KiB", "stat": "stat", "open": "open and close", "fault": "a page fault", "pipe": "a round trip through pipes",
    "fork": "fork and wait", "exec": "fork, exec and wait",
}
CORES = {"one": ["taskset", "-c", "1"], "two": ["taskset", "-c", "0,1"]}
PACKAGES = ["python3", "redis-server", "redis-tools"]
# (what, unit, whether more is better)
WORKLOADS = {
    "python": ("a start of Python", "ms", False), "sqlite": ("SQLite: rows, an index, questions, transactions", "s", False),
    "untar": ("untarring Python's library", "s", False), "redis": ("redis-benchmark, SET and GET", "thousand a second", True),
}


class Runsc:
    """Not in the peers' root directory: it makes user namespaces, which the kernel
    refuses in a chroot. One static program."""

    def __init__(self, peers, root_tar):
        self.peers, self.where = peers, peers.root / "var/tmp/bench/runsc"
        shutil.rmtree(self.where, ignore_errors=True)
        (self.where / "rootfs").mkdir(parents=True)
        subprocess.run(["tar", "-xf", root_tar, "-C", self.where / "rootfs"], check=True)
        self.count = 0
        peers.need("runsc")
        self.version = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=True).stdout.split()[2]

    @property
    def program(self):
        return self.peers.root / "usr/bin/runsc"

    def bundle(self, rootfs, *argv):
        where = self.where / f"bundle{self.count}"
        where.mkdir()
        subprocess.run(["chroot", self.peers.root, "sh", "-c", f"cd /{where.relative_to(self.peers.root)} && runc spec"], check=True)
        spec = json.loads((where / "config.json").read_text())
        spec["process"].update(args=list(argv), terminal=False, rlimits=[])
        spec["root"] = {"path": str(rootfs or self.where / "rootfs"), "readonly": False}
        (where / "config.json").write_text(json.dumps(spec))
        return where

    def words(self, platform, verb, *args):
        return [self.program, "--root", self.where / "state", f"--platform={platform}", "--network=none", "--ignore-cgroups", verb, *args]

    def run(self, platform, *argv, rootfs=None, detach=False):
        """The words of one run; each has a name of its own."""
        self.count += 1
        return self.words(platform, "run", *(["--detach"] if detach else []), "--bundle", self.bundle(rootfs, *argv), f"bench{self.count}")

    def end(self):
        for i in range(1, self.count + 1):
            subprocess.run(self.words("systrap", "delete", "--force", f"bench{i}"), capture_output=True, check=False)


class Sandboxes:
    def __init__(self, bench, row):
        self.bench, self.hull, self.peers, self.row = bench, bench.hull, bench.peers, row
        self.image = self.hull.dir / "calls.tar"
        self.runsc = None

    # ---- what is compared

    def build_kernel(self):
        """Once, beside the peers; hull's state is new each time."""
        kept = self.peers.where / "kernel"
        progress("the small kernel (ten minutes of processor time, once)")
        made = subprocess.run([self.hull.bin, "kernel", "build", "--for", "sandbox", "-q"], capture_output=True, text=True, check=False,
                              env=dict(self.hull.env, HULL_ROOT=str(kept)))
        if made.returncode:
            raise Failed(f"the small kernel: {made.stderr}")
        name = made.stdout.strip()
        shutil.copytree(kept / "kernels" / name, self.hull.root / "kernels" / name)
        return name

    def prepare(self):
        calls = pathlib.Path(os.environ["HULL_BUILD"]) / "bench/bench-calls"
        subprocess.run(["ninja", "-C", os.environ["HULL_BUILD"], "--quiet", "bench/bench-calls"], check=True, stdout=subprocess.DEVNULL)
        shutil.copy(self.hull.dir / "image.tar", self.image)
        subprocess.run(["tar", "-rf", self.image, "--transform=s,.*/,bin/,", calls], check=True)
        self.hull("import", "-", "calls", input=self.image.read_bytes())

    def try_runsc(self):
        """None, or why it is not compared with."""
        try:
            self.runsc = Runsc(self.peers, self.image)
            done = subprocess.run(self.runsc.run("systrap", "/bin/true"), capture_output=True, text=True, timeout=60, check=False)
            if done.returncode == 0:
                return None
            why = done.stderr.strip()
        except (subprocess.SubprocessError, OSError) as error:
            why = str(error)
        self.runsc = None
        return why

    def hull_words(self, level, *argv, image="calls"):
        return [self.hull.bin, "run", "--rm", f"--isolation={level}", "--network", "none", image, *argv]

    def contenders(self, *argv, image="calls", rootfs=None):
        """name -> the words of a run."""
        found = {"hull": lambda: self.hull_words("sandbox", *argv, image=image)}
        if not self.runsc:
            return {**found, "a container": lambda: self.hull_words("container", *argv, image=image)}
        return {**found, **{f"runsc {p}": lambda p=p: self.runsc.run(p, *argv, rootfs=rootfs) for p in PLATFORMS}}

    # ---- rows

    def start(self, small, packaged):
        times = max(8, self.bench.times // 3)
        what = "`run --rm --isolation=sandbox --network none IMG true`"
        commands = {"hull": Command(self.hull_words("sandbox", "true"), self.hull.env)}
        took = {"hull": []}
        peers = {name: make for name, make in self.contenders("/bin/true").items() if name != "hull"}
        for i in range(times + 2):
            turn = {**commands, **{name: Command(make(), self.hull.env) for name, make in peers.items()}}
            for name, command in turn.items():
                seconds = command.run()
                if i >= 2:
                    took.setdefault(name, []).append(seconds)
        ours = median_ms(took["hull"])
        yield self.row.limit(f"{what}, {small}", ours, "ms", 60)
        for name in peers:
            yield self.row.ratio(what, ours, f"{name} run" if self.runsc else name, median_ms(took[name]), 1 / 3 if self.runsc else 20)
        if packaged:
            self.hull("kernel", "use", packaged)
            slow = in_turn(commands, 5, warm_up=1)["hull"]
            self.hull("kernel", "use", small)
            yield self.row.limit(f"{what}, {packaged}", median_ms(slow), "ms", 1600)

    @staticmethod
    def pss(pids):
        """Each memory once: processes that share theirs (CLONE_VM) each tell all of it."""
        kib, seen = 0, []
        for pid in pids:
            if any(_libc.syscall(SYS_KCMP, pid, other, KCMP_VM, 0, 0) == 0 for other in seen):
                continue
            try:
                kib += int(pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().split("Pss:")[1].split()[0])
            except (OSError, IndexError):
                continue
            seen.append(pid)
        return kib / 1024

    @staticmethod
    def with_children(pids):
        """The kernel's processes have nothing of hull's about them but their parent."""
        parents = {int(p.name): leaks.parent_of(int(p.name)) for p in pathlib.Path("/proc").glob("[0-9]*")}
        found = set(pids)
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return sorted(found)

    def memory(self):
        self.hull("run", "-d", "--name", "idle", "--isolation=sandbox", "--network", "none", "calls", "sleep", "1000")
        # By then what its start needed has been given back.
        time.sleep(5)
        ours = self.pss(self.with_children(leaks.processes(self.hull)))
        self.hull("rm", "-f", "idle")
        yield self.row.limit("memory of an idle sandbox with its workload, `sleep` (PSS)", ours, "MiB", 24)
        if not self.runsc:
            return
        subprocess.run(self.runsc.run("systrap", "/bin/sleep", "1000", detach=True), check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1)
        theirs = self.pss(int(p.name) for p in pathlib.Path("/proc").glob("[0-9]*") if self.is_runsc(p))
        self.runsc.end()
        yield self.row("memory of an idle sandbox with its workload, `sleep` (PSS)", ours, "MiB", "runsc systrap", theirs)

    def is_runsc(self, process):
        try:
            return str(self.runsc.where).encode() in (process / "cmdline").read_bytes()
        except OSError:
            return False

    def measured(self, words, parse):
        """The best of three runs, by what it says."""
        said = []
        for _ in range(3):
            done = subprocess.run(list(map(str, words())), capture_output=True, text=True, timeout=180, check=False, env=self.hull.env,
                                  stdin=subprocess.DEVNULL)
            if done.returncode:
                raise Failed(f"{words()[0]}: exit {done.returncode}: {done.stderr.strip()[-300:]}")
            said.append(parse(done.stdout))
        return said

    def tried(self, words, parse):
        try:
            return self.measured(words, parse)
        except (Failed, subprocess.SubprocessError) as error:
            progress(f"  {error}")
            return []

    def operations(self):
        """With one processor, and with two."""
        parse = lambda said: {name: float(ns) / 1000 for name, ns in (line.split() for line in said.splitlines())}
        for cores, prefix in CORES.items():
            progress(f"  operations, processors: {cores}")
            found = {}
            for name, make in self.contenders("/bin/bench-calls").items():
                runs = self.tried(lambda make=make: [*prefix, *make()], parse)
                found[name] = {op: min(run[op] for run in runs) for op in OPERATIONS} if runs else None
            peers = {name: figures for name, figures in found.items() if name != "hull" and figures}
            for op, words in OPERATIONS.items():
                what = f"in a sandbox, processors: {cores}: {words}"
                if not found["hull"] or not peers:
                    yield self.row.missing(what, "a program failed")
                    continue
                best = min(peers, key=lambda name: peers[name][op])
                target = (1 if cores == "one" else 3) if self.runsc else None
                yield self.compared(what, "µs", found["hull"][op], best, peers[best][op], target)

    def compared(self, what, unit, ours, peer, theirs, most, more_is_better=False):
        if not most:
            return self.row(what, ours, unit, peer, theirs)
        if more_is_better:
            return self.row(what, ours, unit, peer, theirs, f"≥ {1 / most:.2g} × {peer}", ours * most >= theirs)
        return self.row.ratio(what, ours, peer, theirs, most, unit)

    def programs(self):
        tree = self.peers.where / "workloads"
        self.peers.install(tree, "programs to run in sandboxes", "bookworm", "minbase", PACKAGES)
        shutil.copy(pathlib.Path(__file__).with_name("workloads.py"), tree / "usr/local/lib/workloads.py")
        with subprocess.Popen(["tar", "-C", tree, "--exclude=./var/cache/apt", "--exclude=./dev/*", "-c", "."], stdout=subprocess.PIPE) as tar:
            self.hull("import", "-", "workloads", stdin=tar.stdout, timeout=120)
        progress("  programs")
        argv = ("/usr/bin/python3", "/usr/local/lib/workloads.py")
        found = {}
        for name, make in self.contenders(*argv, image="workloads", rootfs=tree).items():
            found[name] = self.tried(make, json.loads)
        for key, (words, unit, more) in WORKLOADS.items():
            pick = max if more else min
            best = {name: pick(run[key] for run in runs) for name, runs in found.items() if runs}
            peers = {name: value for name, value in best.items() if name != "hull"}
            if "hull" not in best or not peers:
                yield self.row.missing(f"in a sandbox: {words}", "a program failed")
                continue
            peer = pick(peers, key=peers.get)
            yield self.compared(f"in a sandbox: {words}", unit, best["hull"], peer, peers[peer], 3 if self.runsc else None, more)


def measure(bench, row):
    s = Sandboxes(bench, row)
    s.prepare()
    kernels = [json.loads(line) for line in bench.hull.out("kernel", "ls", "--format", "json").splitlines()]
    packaged = next((k["Name"] for k in kernels if k["For"] == "sandbox" and k["Origin"] == "package"), None)
    small = s.build_kernel()
    why = s.try_runsc()
    if why:
        progress(f"runsc: {why}")
        yield row.missing("sandboxes against runsc (gVisor)", why)
    try:
        yield from s.start(small, packaged)
        yield from s.memory()
        yield from s.operations()
        yield from s.programs()
    finally:
        if s.runsc:
            s.runsc.end()
