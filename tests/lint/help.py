#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every help text is as recorded in help.txt, so that a change of the surface is
seen in a review. help.py HULL; HULL_UPDATE_GOLDEN=1 records."""
import difflib
import os
import pathlib
import subprocess
import sys

hull = pathlib.Path(sys.argv[1]).resolve()
env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0", LC_ALL="C.UTF-8")
recorded = pathlib.Path(__file__).parent / "help.txt"


def say(*args):
    return subprocess.run([hull, *args], check=True, capture_output=True, text=True, env=env).stdout.strip()


texts, differ = [say("help")], []
for verb in say("internal", "man", "--list").splitlines():
    text = say("help", *verb.split())
    texts.append(f"=== {verb}\n{text}")
    if say(*verb.split(), "--help") != text:
        differ.append(verb)
for group in ("container", "image", "system", "volume"):
    texts.append(f"=== {group}\n" + say(group, "--help"))
now = "\n\n".join(texts) + "\n"
if os.environ.get("HULL_UPDATE_GOLDEN") == "1":
    recorded.write_text(now, encoding="utf-8")
difference = list(difflib.unified_diff(recorded.read_text(encoding="utf-8").splitlines(), now.splitlines(), "recorded", "now", lineterm=""))

print("TAP version 13\n1..2")
for line in difference[:60]:
    print("#", line)
print("not ok 1 - as recorded; if it is meant: HULL_UPDATE_GOLDEN=1 tests/lint/help.py HULL" if difference else "ok 1 - as recorded")
print(f"{'not ok' if differ else 'ok'} 2 - help VERB is VERB --help {' '.join(differ)}")
sys.exit(1 if difference or differ else 0)
