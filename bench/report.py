# SPDX-License-Identifier: Apache-2.0
"""docs/benchmarks.md: the table, and how it came about."""
import os
import pathlib
import platform
import subprocess
import time


def _number(value):
    return "–" if value is None else f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(rows):
    lines = ["| what | hull | peer | ratio | target | |", "|---|---|---|---|---|---|"]
    for row in rows:
        if row.value is None:
            lines.append(f"| {row.what} | not measured | | | | {row.note} |")
            continue
        peer = f"{_number(row.peer_value)} {row.unit} ({row.peer})" if row.peer_value is not None else ""
        ratio = f"{row.value / row.peer_value:.2f}" if row.peer_value else ""
        met = "" if row.met is None else "met" if row.met else "**missed**"
        lines.append(f"| {row.what} | {_number(row.value)} {row.unit} | {peer} | {ratio} | {row.target} | {'; '.join(x for x in (met, row.note) if x)} |")
    return "\n".join(lines)


def _processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def document(rows, command, versions, times):
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"""# Benchmarks

Measured by `bench/run`: hull and its peers in one run, in turn, on one machine;
medians of whole commands, from fork to the end. The figures are for comparing
with each other: another machine has others, and about the same ratios.

{table(rows)}

Made by `{command}` ({times} turns for the quick rows) on {time.strftime("%Y-%m-%d")}, at commit {commit or "unknown"},
on {os.cpu_count()} CPUs ({_processor()}), {memory} GiB, Linux {platform.release()}.
Peers as in Debian trixie: {", ".join(versions)}.
"""
