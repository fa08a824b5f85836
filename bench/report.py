# SPDX-License-Identifier: Apache-2.0
"""docs/benchmarks.md: the table, and how it came about."""
import os
import pathlib
import platform
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


METHOD = """## How it is measured

Whole commands, from spawn to exit, one after the other in turn: hull, a peer, hull, a peer. A row's figures are the
medians. All run at the highest priority (`nice -19`), the peers' daemons too, so that what else the machine does
disturbs them least and all of them alike; the load average says how much of that there was. hull's state and the
peers' lie on one new ext4 in a loop device; what is /run on other machines is a tmpfs. `crun run` and `runc run` are
given the same root file system as a folder and the specification of `runc spec`: no user namespace, no overlay, no
record of what runs, nothing that watches it. hull's runs have all of these.

The image to pull is a Debian with Python and Node.js in four layers, from a registry on loopback; "until run" is one
command that pulls it and runs `true` in it, and `ctr images pull` only pulls. The floor is `bench/floor.c`: every
layer downloaded, hashed, decompressed, hashed again and written, all at once, with the libraries hull uses.
"""


def missed(rows):
    names = [f"- {row.what}: {_number(row.value)} {row.unit}, {row.target} wanted" for row in rows if row.value is not None and row.met is False]
    return "## What is missed\n\n" + ("\n".join(names) if names else "Nothing.") + "\n"


def document(rows, command, versions, times):
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"""# Benchmarks

Measured by `bench/run`: hull and its peers in one run, on one machine. The figures are for comparing with each other:
another machine has others, and about the same ratios.

{table(rows)}

{missed(rows)}
{METHOD}
Made by `{command}` ({times} turns for the quick rows) on {time.strftime("%Y-%m-%d")} on {os.cpu_count()} CPUs ({_processor()}), {memory} GiB, Linux {platform.release()}, at a load average of {os.getloadavg()[1]:.0f}.
Peers as in Debian trixie: {", ".join(versions)}.
"""
