# SPDX-License-Identifier: Apache-2.0
"""hull-monitor through its protocol. TAP on stdout."""
import array
import errno
import fcntl
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import traceback

MONITOR = os.environ["HULL_MONITOR"]
ID = "ab" * 32
(START, ATTACH, WAIT, EXEC, SIGNAL, STOP, PAUSE, RESUME, RELOAD, STDIN, STDIN_EOF, RESIZE) = range(1, 13)
DESCRIBED, EXEC_SOON = 15, 16
OK, ERROR, STARTED, STDOUT, STDERR, EXIT = range(64, 70)
DEFAULT = 0xfffffffe
IN, OUT, ERR, OWNER = 1, 2, 4, 8
STATE = struct.Struct("<IIQIIIIiiQqqiBBBBI128s256sQ")
STATE_DELAY = struct.calcsize("<IIQIIIIiiQqqiBBBB")
NAMES = ["created", "running", "paused", "restarting", "exited"]


class Conn:
    def __init__(self, sock):
        self.s = sock
        sock.settimeout(20)

    def send(self, kind, arg=0, arg2=0, data=b"", fds=()):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.s.sendmsg([struct.pack("<IIII", kind, arg, arg2, len(data)), data], control)

    def recv(self):
        data, control, _, _ = self.s.recvmsg(16 + 65536, 64)
        if not data:
            return None
        self.fds = []
        for _, _, payload in control:
            self.fds += list(struct.unpack(f"{len(payload) // 4}i", payload))
        kind, arg, arg2, length = struct.unpack("<IIII", data[:16])
        assert length == len(data) - 16
        return kind, arg, arg2, data[16:]

    def expect(self, kind):
        got = self.recv()
        assert got and got[0] == kind, f"wanted {kind}, got {got and (got[0], got[1], got[3][:200])}"
        return got

    def until_exit(self):
        """(stdout, stderr, code, flags) to the end."""
        out = {STDOUT: b"", STDERR: b""}
        while True:
            got = self.recv()
            assert got, "closed without EXIT"
            if got[0] == EXIT:
                return out[STDOUT], out[STDERR], got[1], got[2]
            if got[0] in out:
                out[got[0]] += got[3]

    def close(self):
        self.s.close()


class Workload:
    def __init__(self, args, tty=False, env=None, spawn=True, **conf):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hull-mon-"))
        self.root, self.run = self.dir / "root", self.dir / "run"
        self.state_dir, self.run_dir = self.root / "workloads" / ID, self.run / "workloads" / ID
        self.state_dir.mkdir(parents=True)
        self.run_dir.mkdir(parents=True)
        spec = {"ociVersion": "1.2.0", "process": {"terminal": tty, "cwd": "/", "args": args, "env": ["PATH=/usr/bin:/bin"],
                                                   "user": {"uid": 0, "gid": 0}}, "root": {"path": "/"}, "linux": {}}
        (self.state_dir / "config.json").write_text(json.dumps(spec))
        self.calls = self.dir / "calls"
        hull = self.dir / "hull"
        hull.write_text(f'#!/bin/sh\necho "$@" >> {self.calls}\n')
        hull.chmod(0o755)
        lines = {"id": ID, "name": "web", "hull_path": str(hull), "tty": int(tty), **conf}
        self.conf_lines = lines
        self.write_conf()
        self.env = dict(os.environ, HULL_ROOT=str(self.root), HULL_RUN=str(self.run), **(env or {}))
        self.process = None
        if spawn:
            self.spawn()

    def write_conf(self):
        text = ""
        for key, value in self.conf_lines.items():
            for item in value if isinstance(value, list) else [value]:
                text += f"{key}={item}\n"
        (self.run_dir / "monitor.conf").write_text(text)

    def spawn(self, before=None):
        """@before: what hull does before the monitor runs."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fd = theirs.fileno()
        self.hull = Conn(ours)
        if before:
            before()

        def setup():
            os.dup2(fd, 3)
            os.set_inheritable(3, True)
        self.process = subprocess.Popen([MONITOR, ID], env=self.env, preexec_fn=setup, close_fds=False)
        theirs.close()

    def start(self, flags=OUT | ERR | OWNER):
        if flags is not None:
            self.hull.send(ATTACH, flags)
        self.hull.send(START)
        if flags is not None:
            self.hull.expect(OK)
        return self.hull.expect(STARTED)[1]

    def connect(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.connect(str(self.run_dir / "ctl"))
        return Conn(s)

    def state(self):
        f = STATE.unpack((self.run_dir / "state").read_bytes()[:STATE.size])
        return {"status": NAMES[f[3]], "health": f[4], "restarts": f[6], "exit": f[12], "oom": f[13], "by_user": f[15],
                "delay": f[17], "error": f[19].split(b"\0")[0].decode()}

    def log(self, suffix=""):
        path = self.state_dir / f"{ID}-json.log{suffix}"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def gone(self):
        return self.process.wait(20)

    def wait_for(self, what, seconds=60):
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, "never happened"
            time.sleep(0.01)

    def engine_calls(self):
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def remove(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.hull.close()
        shutil.rmtree(self.dir, ignore_errors=True)


TESTS = []


def test(function):
    TESTS.append(function)
    return function


def sh(script, **kw):
    return Workload(["sh", "-c", script], **kw)


@test
def output_exit_and_log():
    w = sh("echo out; echo err >&2; exit 7")
    w.start()
    out, err, code, flags = w.hull.until_exit()
    assert (out, err, code, flags) == (b"out\n", b"err\n", 7, 0)
    assert w.gone() == 0
    assert w.engine_calls() == [], "the owner does the bookkeeping"
    assert sorted((line["log"], line["stream"]) for line in w.log()) == [("err\n", "stderr"), ("out\n", "stdout")]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", w.log()[0]["time"])
    assert w.state()["status"] == "exited" and w.state()["exit"] == 7
    assert not (w.run_dir / "ctl").exists()
    return w


@test
def engine_is_told_without_owner():
    w = sh("exit 3")
    w.start(None)
    assert w.gone() == 0
    w.wait_for(w.engine_calls)
    assert w.engine_calls() == [f"internal exited {ID}"]
    return w


@test
def owner_killed_before_the_exit():
    w = sh("read x; exit 4", open_stdin=1)
    w.start(IN | OUT | OWNER)
    c = w.connect()
    c.send(WAIT)
    w.hull.close()
    other = w.connect()
    other.send(ATTACH, IN)
    other.expect(OK)
    other.send(STDIN, data=b"x\n")
    assert c.until_exit()[2] == 4
    w.wait_for(w.engine_calls)
    return w


@test
def missing_command():
    w = Workload(["/nonexistent/x"])
    w.hull.send(ATTACH, OUT | OWNER)
    w.hull.send(START)
    w.hull.expect(OK)
    w.hull.expect(ERROR)
    assert w.hull.recv() is None
    assert w.gone() == 0 and w.state()["exit"] == 127 and "nonexistent" in w.state()["error"]
    return w


@test
def never_started_and_left():
    w = sh("true")
    w.hull.close()
    # Nothing was said to it: nothing of the workload's has been touched.
    assert w.gone() == 0 and not (w.run_dir / "state").exists() and not (w.run_dir / "lock").exists()
    return w


@test
def described_and_left():
    w = sh("true")
    w.hull.send(DESCRIBED)
    # What is made of the description is the workload's: not without its lock.
    w.wait_for(lambda: (w.run_dir / "lock").exists())
    w.hull.close()
    assert w.gone() == 0 and w.state()["status"] == "created"
    return w


@test
def described_by_one_who_is_gone():
    w = sh("true", spawn=False)

    def say_and_die():
        w.hull.send(DESCRIBED)
        w.hull.close()
    w.spawn(say_and_die)
    # Another hull may have cleaned up since.
    assert w.gone() == 0 and not (w.run_dir / "state").exists()
    return w


@test
def described_and_started():
    w = sh("echo hello; exit 7")
    w.hull.send(DESCRIBED)
    w.start(OUT | OWNER)
    out, _, code, _ = w.hull.until_exit()
    assert (out, code) == (b"hello\n", 7), (out, code)
    return w


def children(pid):
    return (pathlib.Path(f"/proc/{pid}/task/{pid}/children")).read_text().split()


@test
def exec_that_is_announced():
    w = sh("sleep 100")
    w.start(OUT)
    before = children(w.process.pid)
    null = os.open("/dev/null", os.O_RDWR)
    process = {"terminal": False, "cwd": "/", "args": ["sh", "-c", "echo in exec; exit 9"], "user": {"uid": 0, "gid": 0}}
    # A launcher waits for it, holding nothing that others wait for the end of.
    c = w.connect()
    c.send(EXEC_SOON)
    w.wait_for(lambda: len(children(w.process.pid)) == len(before) + 1)
    spare, = set(children(w.process.pid)) - set(before)
    w.wait_for(lambda: not [fd for fd in os.listdir(f"/proc/{spare}/fd") if int(fd) > 4])
    r, wr = os.pipe()
    c.send(EXEC, data=json.dumps(process).encode(), fds=(null, wr, wr))
    os.close(wr)
    c.expect(STARTED)
    assert c.expect(EXIT)[1] == 9
    assert os.read(r, 100) == b"in exec\n" and os.read(r, 1) == b""
    os.close(r)
    # One that is announced and never comes, one that is announced twice, one that is no JSON.
    c = w.connect()
    c.send(EXEC_SOON)
    c.send(EXEC_SOON)
    c.close()
    w.wait_for(lambda: children(w.process.pid) == before)
    c = w.connect()
    c.send(EXEC_SOON)
    c.send(EXEC, data=b"{not json", fds=(null, null, null))
    c.expect(ERROR)
    c.close()
    # Its launcher has died meanwhile: another does it.
    c = w.connect()
    c.send(EXEC_SOON)
    w.wait_for(lambda: len(children(w.process.pid)) == len(before) + 1)
    spare, = set(children(w.process.pid)) - set(before)
    os.kill(int(spare), signal.SIGKILL)
    w.wait_for(lambda: pathlib.Path(f"/proc/{spare}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z")
    c.send(EXEC, data=json.dumps(process).encode(), fds=(null, null, null))
    c.expect(STARTED)
    assert c.expect(EXIT)[1] == 9
    os.close(null)
    return w


@test
def stdin_half_close():
    w = Workload(["sh", "-c", "cat; echo end"], open_stdin=1, stdin_once=1)
    w.start(IN | OUT | OWNER)
    data = bytes(range(256)) * 4096

    def feed():
        for i in range(0, len(data), 60000):
            w.hull.send(STDIN, data=data[i:i + 60000])
        w.hull.send(STDIN_EOF)
    feeder = threading.Thread(target=feed)
    feeder.start()
    out = w.hull.until_exit()[0]
    feeder.join()
    assert out == data + b"end\n", len(out)
    return w


@test
def tty_echo_and_resize():
    w = sh("read x; stty size; echo got $x", tty=True, open_stdin=1)
    w.hull.send(ATTACH, IN | OUT | OWNER)
    w.hull.send(RESIZE, 33, 77)
    w.hull.send(START)
    w.hull.expect(OK)
    w.hull.expect(STARTED)
    w.hull.send(STDIN, data=b"hello\r")
    out = w.hull.until_exit()[0]
    assert b"33 77\r\n" in out and b"got hello\r\n" in out, out
    return w


@test
def signals_and_codes():
    w = sh("sleep 100")
    w.start(OUT | OWNER)
    c = w.connect()
    c.send(SIGNAL, 9, 1)
    c.expect(OK)
    assert w.hull.until_exit()[2] == 137
    assert w.state()["by_user"] == 1
    return w


@test
def stop_then_kill():
    w = sh("trap '' TERM; echo ready; while :; do sleep 0.05; done", env={"HULL_FAKE_OOM": "1"})
    w.start(OUT | OWNER)
    w.hull.expect(STDOUT)
    c = w.connect()
    begin = time.monotonic()
    c.send(STOP, 1, 0)
    c.expect(OK)
    _, _, code, flags = c.until_exit()
    assert code == 137 and 0.9 < time.monotonic() - begin < 5 and flags == 1
    assert w.hull.until_exit()[2] == 137
    assert "\toom\t" in (w.run / "events").read_text()
    return w


@test
def pause_resume():
    w = sh("sleep 100")
    w.start(OUT)
    c = w.connect()
    c.send(PAUSE)
    c.expect(OK)
    assert w.state()["status"] == "paused"
    c.send(PAUSE)
    c.expect(ERROR)
    c.send(RESUME)
    c.expect(OK)
    c.send(SIGNAL, 9)
    c.expect(OK)
    assert w.gone() == 0
    return w


@test
def restart_policy_backs_off():
    w = sh("exit 1", restart=2, restart_max_retries=2)
    w.start(OUT)
    assert w.hull.until_exit()[3] == 2
    assert w.gone() == 0
    assert w.engine_calls() == [f"internal restart {ID}"]
    assert w.state()["status"] == "restarting" and w.state()["delay"] == 100
    for count in (1, 2):
        w.spawn()
        w.start(None)
        assert w.gone() == 0
        assert w.state()["restarts"] == count
    assert w.state()["status"] == "exited", "two retries are used up"
    return w


@test
def stop_during_back_off():
    w = sh("exit 1", restart=1)
    w.start(OUT)
    w.hull.until_exit()
    assert w.gone() == 0
    # As if it had failed often: the next wait is long.
    raw = bytearray((w.run_dir / "state").read_bytes())
    struct.pack_into("<I", raw, STATE_DELAY, 20000)
    (w.run_dir / "state").write_bytes(raw)
    w.spawn()
    w.start(OUT)
    w.hull.until_exit()
    assert w.state()["delay"] == 40000
    c = w.connect()
    c.send(STOP, DEFAULT, DEFAULT)
    c.expect(OK)
    c.expect(EXIT)
    assert w.gone() == 0 and w.state()["status"] == "exited"
    return w


@test
def long_lines_and_odd_bytes():
    w = Workload(["python3", "-c", "import sys; sys.stdout.buffer.write(b'a'*40000+b'\\n'+bytes([255,1])+'é<\\u2028'.encode()*20000)"])
    w.start(OUT | OWNER)
    out = w.hull.until_exit()[0]
    w.gone()
    logged = "".join(line["log"] for line in w.log())
    assert logged == out.decode(errors="replace"), (len(logged), len(out))
    assert all(len(line["log"].encode()) <= 16384 + 8 for line in w.log())
    assert [len(line["log"]) for line in w.log()[:3]] == [16384, 16384, 40001 - 32768]
    return w


@test
def rotation():
    w = sh("i=0; while [ $i -lt 400 ]; do echo line $i xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; i=$((i+1)); done",
           log_max_size_bytes=10000, log_max_file=3)
    w.start(OUT | OWNER)
    w.hull.until_exit()
    w.gone()
    names = sorted(p.name for p in w.state_dir.glob("*.log*"))
    assert names == [f"{ID}-json.log", f"{ID}-json.log.1", f"{ID}-json.log.2"], names
    lines = [line["log"].split()[1] for s in (".2", ".1", "") for line in w.log(s)]
    assert lines == [str(i) for i in range(400 - len(lines), 400)] and len(lines) > 100
    return w


@test
def slow_client_loses_nothing():
    w = sh("seq 1 200000")
    w.start(OUT | OWNER)
    slow = w.connect()
    slow.send(ATTACH, OUT)
    slow.expect(OK)
    time.sleep(0.3)
    out = b""
    while not out.endswith(b"\n200000\n"):
        got = w.hull.recv()
        if got[0] == EXIT:
            break
        out += got[3]
        slow.s.setblocking(False)
        try:
            while slow.recv():
                pass
        except BlockingIOError:
            pass
        slow.s.setblocking(True)
    assert out == "".join(f"{i}\n" for i in range(1, 200001)).encode()
    w.hull.close()
    w.gone()
    assert len(w.log()) == 200000
    return w


@test
def exec_sessions():
    w = sh("sleep 100")
    w.start(OUT)
    r, wr = os.pipe()
    null = os.open("/dev/null", os.O_RDWR)
    process = {"terminal": False, "cwd": "/", "args": ["sh", "-c", "echo in exec; exit 9"], "user": {"uid": 0, "gid": 0}}
    c = w.connect()
    c.send(EXEC, data=b"cafe" * 16 + b"\n" + json.dumps(process).encode(), fds=(null, wr, wr))
    os.close(wr)
    c.expect(STARTED)
    assert c.expect(EXIT)[1] == 9
    assert os.read(r, 100) == b"in exec\n" and os.read(r, 1) == b""
    os.close(r)
    assert f"execID={'cafe' * 16}\texitCode=9" in (w.run / "events").read_text()
    c = w.connect()
    c.send(EXEC, data=json.dumps(dict(process, terminal=True, args=["sh", "-c", "tty; read x; exit 5"])).encode())
    c.expect(STARTED)
    pty, = c.fds
    assert b"/dev/pts" in os.read(pty, 100)
    os.write(pty, b"\n")
    assert c.expect(EXIT)[1] == 5
    os.close(pty)
    c = w.connect()
    c.send(EXEC, data=b"{not json", fds=(null, null, null))
    c.expect(ERROR)
    c = w.connect()
    c.send(EXEC, data=json.dumps(dict(process, args=["sleep", "50"])).encode(), fds=(null, null, null))
    c.expect(STARTED)
    c.send(SIGNAL, 15)
    assert c.expect(EXIT)[1] == 143
    os.close(null)
    return w


@test
def health():
    flag = tempfile.mktemp()
    w = sh("sleep 100", health_test=["sh", "-c", f"echo checked; test -e {flag}"], health_interval_ns=50_000_000,
           health_start_period_ns=100_000_000, health_start_interval_ns=20_000_000, health_retries=2, health_on_failure=1)
    pathlib.Path(flag).touch()
    w.start(OUT)
    assert w.state()["health"] == 1
    w.wait_for(lambda: w.state()["health"] == 2)
    os.unlink(flag)
    assert w.hull.until_exit()[2] == 137, "killed when unhealthy"
    events = (w.run / "events").read_text()
    assert "health_status: healthy" in events and "health_status: unhealthy" in events
    results = [json.loads(line) for line in (w.run_dir / "health").read_text().splitlines()]
    assert len(results) <= 5 and results[-1]["ExitCode"] == 1 and results[-1]["Output"] == "checked\n"
    return w


@test
def health_timeout():
    w = sh("sleep 100", health_test=["sleep", "50"], health_interval_ns=10_000_000, health_timeout_ns=100_000_000,
           health_retries=1, health_on_failure=3, stop_timeout_s=5)
    w.start(OUT)
    assert w.hull.until_exit()[2] == 143
    result = json.loads((w.run_dir / "health").read_text().splitlines()[0])
    assert result["ExitCode"] == -1 and "exceeded timeout" in result["Output"]
    return w


@test
def malformed_packets_and_no_leaks():
    w = sh("sleep 100")
    w.start(None)
    w.wait_for(lambda: (w.run_dir / "ctl").exists())
    fds = lambda: len(os.listdir(f"/proc/{w.process.pid}/fd")) if os.geteuid() == 0 else 0
    rng = random.Random(1)
    before = fds()
    for i in range(300):
        c = w.connect()
        try:
            if i % 3 == 0:
                c.s.send(rng.randbytes(rng.randint(1, 100)))
            elif i % 3 == 1:
                c.send(rng.choice([0, 2, 3, 4, 7, 8, 10, 11, 12, 13, 99]), rng.getrandbits(5), 0, rng.randbytes(rng.randint(0, 3000)))
            else:
                c.s.send(struct.pack("<IIII", EXEC, 0, 0, 5000) + b"{")
        except OSError:
            pass
        c.close()
    for _ in range(1000):
        c = w.connect()
        c.send(ATTACH, OUT)
        c.expect(OK)
        c.close()
    time.sleep(0.1)
    c = w.connect()
    if w.state()["status"] == "paused":
        c.send(RESUME)
        c.expect(OK)
    assert fds() - before <= 2, (before, fds())
    c.send(SIGNAL, 9)
    c.expect(OK)
    assert w.gone() == 0
    return w


@test
def killed_monitor_takes_the_workload_with_it():
    w = sh("sleep 100")
    pid = w.start(OUT)
    w.process.kill()
    w.process.wait()
    w.wait_for(lambda: not os.path.exists(f"/proc/{pid}") or " Z " in open(f"/proc/{pid}/stat").read())
    assert w.state()["status"] == "running", "readable, behind a free lock"
    with open(w.run_dir / "lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return w


@test
def full_disk_loses_lines_not_the_workload():
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        return None
    w = sh("read x; i=0; while [ $i -lt 3000 ]; do echo $i xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; i=$((i+1)); done; read x; echo last",
           open_stdin=1, spawn=False)
    config = (w.state_dir / "config.json").read_bytes()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(w.state_dir)], check=True)
    try:
        (w.state_dir / "config.json").write_bytes(config)
        w.spawn()
        w.start(IN | OUT | OWNER)
        w.hull.send(STDIN, data=b"\n")
        out = b""
        while b"2999 x" not in out:
            out += w.hull.expect(STDOUT)[3]
        # What was said when a short line still fitted goes with the file.
        before = [line["log"] for line in w.log()]
        os.truncate(w.state_dir / f"{ID}-json.log", 0)
        w.hull.send(STDIN, data=b"\n")
        w.hull.until_exit()
        w.gone()
        logged = before + [line["log"] for line in w.log()]
        assert any("log lines were lost: No space left" in line for line in logged) and "last\n" in logged, logged[-3:]
        assert "log_lost\t" in (w.run / "events").read_text()
    finally:
        subprocess.run(["umount", "-l", str(w.state_dir)], check=True)
    return w


def tool(sock, *args, **popen):
    fd = sock.fileno()

    def setup():
        os.dup2(fd, 3)
        os.set_inheritable(3, True)
    return subprocess.Popen([os.environ["ATTACH_TOOL"], *args], preexec_fn=setup, close_fds=False, **popen)


@test
def session_over_pipes():
    w = sh("cat; echo done >&2; exit 6", open_stdin=1, stdin_once=1)
    data = os.urandom(1 << 20)
    p = tool(w.hull.s, "run", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    w.hull.s.close()
    out, err = p.communicate(data, timeout=30)
    assert out == data and err == b"done\n" and p.returncode == 6, (len(out), err, p.returncode)
    assert w.gone() == 0
    return w


@test
def session_on_a_terminal_detaches():
    w = sh("read x; echo got $x; sleep 100", tty=True, open_stdin=1)
    master, slave = os.openpty()
    before = termios.tcgetattr(slave)
    p = tool(w.hull.s, "run", "tty", stdin=slave, stdout=slave, stderr=slave)
    w.hull.s.close()
    os.write(master, b"hello\r")
    seen = b""
    while b"got hello" not in seen:
        seen += os.read(master, 1000)
    assert termios.tcgetattr(slave)[3] & termios.ICANON == 0, "raw"
    os.write(master, b"\x10\x11")
    assert p.wait(60) == 200
    assert termios.tcgetattr(slave)[3] == before[3], "restored"
    assert w.state()["status"] == "running"
    os.close(master)
    os.close(slave)
    return w


@test
def session_of_an_exec():
    w = sh("sleep 100")
    w.start(OUT)
    process = {"terminal": False, "cwd": "/", "args": ["sh", "-c", "cat; echo e >&2; exit 8"], "user": {"uid": 0, "gid": 0}}
    c = w.connect()
    p = tool(c.s, "exec", "plain", json.dumps(process), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    c.close()
    out, err = p.communicate(b"x" * 100000, timeout=30)
    assert (len(out), err, p.returncode) == (100000, b"e\n", 8)
    # Sockets are not handed to the process: a relay stands between.
    ours, theirs = socket.socketpair()
    c = w.connect()
    p = tool(c.s, "exec", "plain", json.dumps(dict(process, args=["sh", "-c", "readlink /proc/self/fd/1; exit 3"])),
             stdin=subprocess.DEVNULL, stdout=theirs)
    c.close()
    theirs.close()
    assert p.wait(20) == 3
    assert ours.recv(100).startswith(b"pipe:")
    c = w.connect()
    p = tool(c.s, "exec", "plain", json.dumps(dict(process, args=["sleep", "100"])), stdin=subprocess.DEVNULL)
    c.close()
    time.sleep(0.3)
    p.send_signal(signal.SIGTERM)
    assert p.wait(20) == 143
    return w


@test
def journald_entries():
    where = tempfile.mktemp()
    journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    journal.bind(where)
    journal.settimeout(10)
    w = sh("echo hello", log_driver=2, log_tag="mytag", log_attrs=["app.kind=x"], env={"HULL_JOURNAL_SOCKET": where})
    w.start(OUT | OWNER)
    data = journal.recv(65536)
    assert b"CONTAINER_TAG=mytag\n" in data and b"APP_KIND=x\n" in data and b"PRIORITY=6\n" in data, data
    assert data.endswith(b"MESSAGE\n" + struct.pack("<Q", 5) + b"hello\n"), data
    w.hull.until_exit()
    os.unlink(where)
    return w


@test
def syslog_formats():
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    udp.settimeout(10)
    w = sh("echo over udp", log_driver=3, syslog_address=f"udp://127.0.0.1:{udp.getsockname()[1]}", syslog_format=2, log_tag="t",
           syslog_facility=16)
    w.start(OUT | OWNER)
    data = udp.recv(65536)
    assert re.fullmatch(rb"<134>1 \S+Z \S+ t \d+ t - over udp", data), data
    w.hull.until_exit()
    w.remove()
    tcp = socket.socket()
    tcp.bind(("127.0.0.1", 0))
    tcp.listen()
    w = sh("for i in 1 2 3; do echo line $i; done; exit 1", log_driver=3, syslog_address=f"tcp://127.0.0.1:{tcp.getsockname()[1]}",
           syslog_format=1, log_tag="t")
    w.start(OUT | OWNER)
    peer, _ = tcp.accept()
    w.hull.until_exit()
    w.gone()
    lines = peer.makefile("rb").read().splitlines()
    assert [line.rsplit(b": ", 1)[1] for line in lines] == [b"line 1", b"line 2", b"line 3"], lines
    return w


def main():
    chosen = [t for t in TESTS if not sys.argv[1:] or t.__name__ in sys.argv[1:]]
    print(f"1..{len(chosen)}", flush=True)
    failed = 0
    for number, function in enumerate(chosen, 1):
        try:
            w = function()
            if w:
                w.remove()
            print(f"ok {number} - {function.__name__}", flush=True)
        except Exception:  # the rest still runs
            failed += 1
            print("".join("# " + line + "\n" for line in traceback.format_exc().splitlines()), end="")
            print(f"not ok {number} - {function.__name__}", flush=True)
    return failed != 0


sys.exit(main())
