# SPDX-License-Identifier: Apache-2.0
"""Rows about hull-vmm. Natively with a guest of a few instructions, which every KVM
runs; and in the lab (tests/lab/run) with Debian's kernel, against QEMU's microvm
machine. Emulated processors tell ratios, no times."""
import json
import os
import pathlib
import re
import statistics
import subprocess
import time

from measure import Failed, progress

PROJECT = pathlib.Path(__file__).resolve().parents[1]


def programs():
    build = pathlib.Path(os.environ["HULL_BUILD"])
    return build / "tests/vmm/vmm-start", build / "src/cmd/hull-vmm/hull-vmm", build / "tests/vmm/vmm-guest"


def native(row, times):
    start, vmm, guest = programs()
    command = [start, "--vmm", vmm, "--memory", "256", "--rng", "--until-first", "--quiet", "--memory-report", "--cmdline", "spin"]
    began = time.perf_counter()
    done = subprocess.run([*command, "--repeat", str(times), guest], capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    first = [float(ms) for ms in re.findall(r"first ([0-9.]+) ms", done.stderr)]
    private = [int(kib) for kib in re.findall(r"touched: (\d+) KiB", done.stderr)]
    if len(first) != times or not private:
        raise Failed(f"vmm-start: {done.stderr[-300:]}")
    yield row.limit("hull-vmm: process start to what the guest's first instructions print, quickest of all", min(first), "ms", 2)
    yield row.limit("hull-vmm: the same, median", statistics.median(first), "ms", 2)
    yield row.limit("hull-vmm: private memory of a machine with what its guest has touched", statistics.median(private) / 1024, "MiB", 1.5)
    yield row("hull-vmm: machines made and taken down, one after another", times / took, "a second")


def in_lab(row):
    progress("the lab ...")
    done = subprocess.run([PROJECT / "tests/lab/run", "--timeout", "600", "--", "python3", PROJECT / "bench/lab_boot.py"],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"the lab: {done.stderr[-300:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    for what, key in (("start until the init of Debian's kernel speaks", "init"), ("start until the machine is gone", "gone")):
        yield row.ratio(f"in the lab: {what}", found["hull-vmm"][key], "QEMU microvm", found["qemu"][key], 0.6, "s")


def measure(row, times):
    yield from native(row, times)
    yield from in_lab(row)
