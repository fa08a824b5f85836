# SPDX-License-Identifier: Apache-2.0
"""Runs in an image of Debian's packages: prints what a few programs take, as JSON.
The quickest of some turns each."""
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

REDIS = ["--port", "6390", "--save", "", "--daemonize", "no", "--protected-mode", "no"]


def best(turns, run):
    took = []
    for _ in range(turns):
        began = time.perf_counter()
        run()
        took.append(time.perf_counter() - began)
    return min(took)


def python_start():
    return 1000 * best(5, lambda: subprocess.run([sys.executable, "-c", "import json, subprocess"], check=True))


def sqlite():
    """Rows, an index, questions, and transactions that are written out."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        db = sqlite3.connect(f"{folder}/speed.db", isolation_level=None)
        db.execute("create table t (a integer primary key, b integer, c text)")
        db.execute("begin")
        for i in range(30000):
            db.execute("insert into t values (?, ?, ?)", (i, i * 7919 % 30011, f"{i:0100}"))
        db.execute("commit")
        db.execute("create index ti on t (b)")
        for i in range(2000):
            db.execute("select count(*), avg(a) from t where b between ? and ?", (i * 10, i * 10 + 50)).fetchone()
        for i in range(200):
            db.execute("update t set c = ? where a = ?", ("x" * 100, i))
        db.close()
        return time.perf_counter() - began


def untar():
    """Python's own library."""
    source = pathlib.Path(os.__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        tar = f"{folder}/source.tar"
        subprocess.run(["tar", "-cf", tar, "-C", source.parent, source.name], check=True)
        took = []
        for i in range(2):
            out = pathlib.Path(folder, f"out{i}")
            out.mkdir()
            took.append(best(1, lambda: subprocess.run(["tar", "-xf", tar, "-C", out], check=True)))
            shutil.rmtree(out)
        return min(took)


def redis():
    """Thousands of requests a second: SET and GET, by twenty clients."""
    client = ["redis-cli", "-p", "6390", "ping"]
    with subprocess.Popen(["redis-server", *REDIS], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        deadline = time.monotonic() + 30
        while subprocess.run(client, capture_output=True, check=False).stdout != b"PONG\n":
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("redis-server does not come up")
        said = subprocess.run(["redis-benchmark", "-p", "6390", "-c", "20", "-n", "15000", "-t", "set,get", "--csv"], check=True,
                              capture_output=True, text=True).stdout
        server.kill()
    rates = [float(line.split(",")[1].strip('"')) for line in said.splitlines() if line.startswith(('"SET"', '"GET"'))]
    return 2 / sum(1 / rate for rate in rates) / 1000


print(json.dumps({"python": python_start(), "sqlite": sqlite(), "untar": untar(), "redis": redis()}))
