#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A guest's programs make no system call of the host's. The host's tracepoint for
system calls fires after a tracer has had its say: a call that the sandbox's kernel
takes from its program (PTRACE_SYSEMU) is not seen there, one that the host carries
out is. The control is the same program in a container."""
import contextlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile

from lib.hull import HullTest, busybox_tar, main, need, need_program

PROGRAM = pathlib.Path(__file__).with_name("host_calls.c")
MARK = 0x5aa55aa57f000000
NR_MMAP, NR_MPROTECT, NR_MUNMAP, NR_CLONE, NR_WAIT4, NR_KILL, NR_PTRACE, NR_SIGALTSTACK, NR_MODIFY_LDT = 9, 10, 11, 56, 61, 62, 101, 131, 154
EVENT = re.compile(r"^\s*(.+)-(\d+)\s+\[\d+\]\s.*?\s[\d.]+: (\w+): (.*)$")


class Tracer:
    """A buffer of its own in the host's tracefs; what this process starts is in it."""

    def __init__(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="hull-trace-"))
        self.here = self.top / f"instances/hull-test-{os.getpid()}"

    def __enter__(self):
        done = subprocess.run(["mount", "-t", "tracefs", "none", self.top], capture_output=True, text=True, check=False)
        if done.returncode:
            self.top.rmdir()
        need(done.returncode == 0, f"no tracefs: {done.stderr.strip()}")
        # Those of tests that were killed.
        for other in self.here.parent.glob("hull-test-*"):
            if not pathlib.Path("/proc", other.name.rsplit("-", 1)[1]).exists():
                other.rmdir()
        self.here.mkdir()
        self.write("buffer_size_kb", "16384")
        self.write("options/event-fork", "1")
        self.write("events/raw_syscalls/sys_enter/filter", f"id != {NR_PTRACE} && id != {NR_WAIT4}")
        for event in ("raw_syscalls/sys_enter", "sched/sched_process_exec", "sched/sched_process_fork"):
            self.write(f"events/{event}/enable", "1")
        return self

    def __exit__(self, *_):
        self.here.rmdir()
        subprocess.run(["umount", self.top], check=True)
        self.top.rmdir()

    def write(self, name, text):
        (self.here / name).write_text(text)

    @contextlib.contextmanager
    def watching(self, events):
        self.write("trace", "")
        self.write("set_event_pid", str(os.getpid()))
        self.write("tracing_on", "1")
        try:
            yield
        finally:
            self.write("tracing_on", "0")
            self.write("set_event_pid", "")
        for stats in self.here.glob("per_cpu/cpu*/stats"):
            assert "overrun: 0\n" in stats.read_text() and "dropped events: 0\n" in stats.read_text(), "events were lost"
        with open(self.here / "trace", encoding="utf-8", errors="replace") as lines:
            events += [m.groups() for m in map(EVENT.match, lines) if m]


def image_with(program):
    data = io.BytesIO(busybox_tar())
    with tarfile.open(fileobj=data, mode="a") as tar:
        tar.add(program, "bin/host-calls")
    return data.getvalue()


class SandboxCalls(HullTest):
    images = False
    level = None

    @classmethod
    def setUpClass(cls):
        need(os.uname().machine == "x86_64", "the numbers of calls are those of x86-64")
        need(shutil.which("linux.uml"), "user-mode-linux is not installed")
        super().setUpClass()
        program = cls.hull.dir / "host-calls"
        subprocess.run([need_program("cc"), "-O1", "-D_GNU_SOURCE", "-static", "-o", program, PROGRAM], check=True)
        cls.hull("import", "-", "demo", input=image_with(program))

    def watched(self, level):
        """How many calls it says it made; process -> numbers and first arguments of its
        calls, as they came; process -> the one that started it."""
        events, calls, parents = [], {}, {}
        with Tracer() as tracer, tracer.watching(events):
            made = int(self.hull.out("run", "--rm", "--isolation", level, "--network", "none", "--security-opt", "seccomp=unconfined", "demo",
                                     "host-calls"))
        for _, pid, event, text in events:
            if event == "sys_enter":
                number, first = re.match(r"NR (-?\d+) \(([0-9a-f]+),", text).groups()
                calls.setdefault(int(pid), []).append((int(number), int(first, 16)))
            elif event == "sched_process_fork":
                parents[int(re.search(r"child_pid=(\d+)", text).group(1))] = int(pid)
            elif event == "sched_process_exec" and "filename=/linux " in text:
                parents[int(pid)] = "kernel"
        return made, calls, parents

    @staticmethod
    def marked(calls):
        return {number for of_one in calls.values() for number, first in of_one if first == MARK | number}

    def test_none_is_the_host_s(self):
        made, calls, _ = self.watched("container")
        # All that there are, but for the two that the trace leaves out.
        self.assertGreater(made, 400)
        self.assertEqual(len(self.marked(calls)), made - 2)
        made_inside, calls, parents = self.watched("sandbox")
        self.assertEqual(made_inside, made)
        self.assertEqual(self.marked(calls), set())
        # What the host does for a process that runs a program of the guest's, once it
        # is set up and has stopped for its kernel, is what the kernel has it do from its
        # own page: mappings, and a copy of the process for fork(2).
        seen = set()
        for pid, of_one in calls.items():
            numbers = [number for number, _ in of_one]
            if parents.get(parents.get(pid)) == "kernel" and NR_SIGALTSTACK in numbers:
                stopped = len(numbers) - numbers[::-1].index(NR_KILL)
                seen |= set(numbers[stopped:])
        self.assertIn(NR_MMAP, seen)
        self.assertLessEqual(seen, {NR_MMAP, NR_MPROTECT, NR_MUNMAP, NR_CLONE, NR_MODIFY_LDT})


if __name__ == "__main__":
    main()
