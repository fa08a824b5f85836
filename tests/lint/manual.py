#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The manual pages of this build: mandoc finds nothing to say, every verb has
one, and every name of a verb leads to one. manual.py HULL"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

hull = pathlib.Path(sys.argv[1]).resolve()
env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
number = 0
failed = False


def result(ok, what, extra=""):
    global number, failed
    number += 1
    failed = failed or not ok
    print(f"{'ok' if ok else 'not ok'} {number} - {what}{extra}")


print("TAP version 13\n1..3")
with tempfile.TemporaryDirectory() as work:
    pages = pathlib.Path(work, "man1")
    subprocess.run([hull, "internal", "man", "--dir", pages], check=True, env=env)
    texts = {page.name: page.read_text(encoding="utf-8") for page in pages.iterdir()}

    verbs = subprocess.run([hull, "internal", "man", "--list"], check=True, capture_output=True, text=True, env=env).stdout.splitlines()
    missing = [verb for verb in verbs if f"hull-{verb.replace(' ', '-')}.1" not in texts]
    result(not missing and "hull.1" in texts and len(verbs) > 10, "a page for every verb")

    strays = [name for name, text in texts.items()
              if text.startswith(".so ") and text.split("/")[1].strip() not in texts]
    result(not strays, "every pointer leads to a page")

    if not shutil.which("mandoc"):
        must = os.environ.get("HULL_TESTS_MUST_RUN") == "1"
        result(not must, "mandoc has no complaint", "" if must else " # SKIP mandoc is not installed")
    else:
        whole = [str(pages / name) for name, text in texts.items() if not text.startswith(".so ")]
        lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning", *whole], capture_output=True, text=True, check=False)
        for line in lint.stdout.splitlines()[:40]:
            print("#", line)
        result(lint.returncode == 0 and not lint.stdout, "mandoc has no complaint")
sys.exit(1 if failed else 0)
