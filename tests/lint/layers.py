#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rules that the compiler does not enforce: layers, include cycles, banned
functions, unique header names, SPDX lines. Prints TAP."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
# Lowest first; folders of one layer never include each other.
LAYERS = [["base"], ["linux", "oci", "proto"], ["store", "net", "guest", "virtio", "fuse"], ["vmm", "isolation"], ["engine"],
          ["build", "compose", "api"], ["cmd"]]
LEVEL = {folder: i for i, folders in enumerate(LAYERS) for folder in folders}
BANNED = re.compile(r"\b(strcpy|strcat|strncpy|strncat|sprintf|vsprintf|strtok|gets|system|popen|alloca|atoi|atol|atoll)\s*\(")
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"", re.S)
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def top(path):
    return path.relative_to(SRC).parts[0]


def main():
    sources = sorted(p for p in SRC.rglob("*") if p.suffix in (".c", ".h"))
    headers, problems = {}, {"layers": [], "cycles": [], "banned": [], "names": [], "licence": []}
    for path in sources:
        if path.suffix == ".h":
            if path.name in headers:
                problems["names"].append(f"{path.name}: both {headers[path.name]} and {path}")
            headers[path.name] = path
    includes = {}
    for path in sources:
        text = path.read_text(encoding="utf-8")
        if "SPDX-License-Identifier: Apache-2.0" not in text[:200]:
            problems["licence"].append(f"{path.relative_to(ROOT)}: no SPDX line")
        includes[path] = {headers[pathlib.Path(i).name] for i in INCLUDE.findall(text) if pathlib.Path(i).name in headers}
        for include in includes[path]:
            here, there = top(path), top(include)
            if here != there and LEVEL[there] >= LEVEL[here]:
                problems["layers"].append(f"{path.relative_to(ROOT)} includes {include.relative_to(ROOT)}")
        code = COMMENT.sub(lambda m: "\n" * m.group().count("\n"), text)
        for number, line in enumerate(code.splitlines(), 1):
            if BANNED.search(line):
                problems["banned"].append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")

    # Between headers: x.c may use y.h although y.c uses x.h.
    graph = {path: targets for path, targets in includes.items() if path.suffix == ".h"}
    state = {}

    def visit(node, trail):
        state[node] = 1
        for target in sorted(graph.get(node, ())):
            if state.get(target) == 1:
                names = [n.name for n in trail[trail.index(target):]] if target in trail else [target.name]
                problems["cycles"].append(" -> ".join(names + [target.name]))
            elif target not in state:
                visit(target, trail + [target])
        state[node] = 2

    for node in sorted(graph):
        if node not in state:
            visit(node, [node])

    print(f"1..{len(problems)}")
    for number, (rule, found) in enumerate(problems.items(), 1):
        for problem in found:
            print(f"# {problem}")
        print(f"{'not ok' if found else 'ok'} {number} - {rule}")
    return any(problems.values())


sys.exit(main())
