#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Terminals and streams: -t, -it, sizes, detach keys, attach, exec -it, signals,
half-closed and large pipes. A pty plays the user's terminal."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time
import unittest

from lib.hull import HullTest, main


class Terminal:
    """A command of hull on a terminal of its own."""

    def __init__(self, hull, *args, rows=24, columns=80, env=None):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.seen = b""

        def own_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        self.process = subprocess.Popen([str(hull.bin), *args], env=dict(hull.env, TERM="xterm", **(env or {})), stdin=slave,
                                        stdout=slave, stderr=slave, preexec_fn=own_terminal)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, pattern, seconds=60):
        """Read until @pattern shows; what was read up to its end is consumed."""
        deadline = time.monotonic() + seconds
        while True:
            match = re.search(pattern.encode(), self.seen)
            if match:
                self.seen = self.seen[match.end():]
                return match
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                raise AssertionError(f"{pattern!r} did not show in {self.seen!r}")
            try:
                data = os.read(self.master, 65536)
            except OSError:
                data = b""
            if not data:
                raise AssertionError(f"{pattern!r} did not show before the end: {self.seen!r}")
            self.seen += data

    def wait(self, seconds=60):
        """The exit code; what is still written is read meanwhile."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            if select.select([self.master], [], [], 0.01)[0]:
                self.seen += os.read(self.master, 65536)
            if time.monotonic() > deadline:
                raise AssertionError(f"still running: {self.seen!r}")
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536)
        return self.process.returncode

    def is_restored(self):
        return termios.tcgetattr(self.slave) == self.before

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


class Tty(HullTest):
    def terminal(self, *args, **kwargs):
        t = Terminal(self.hull, *args, **kwargs)
        self.addCleanup(t.close)
        return t

    def status(self, name):
        return self.hull.out("inspect", "-f", "{{.State.Status}}", name)

    # ---- run -it

    def test_a_shell_on_a_terminal(self):
        t = self.terminal("run", "--rm", "-it", "demo", "sh", rows=33, columns=99)
        t.expect("# ")
        t.type("tty; echo size $(stty size); echo term $TERM; ls -l /dev/console\n")
        t.expect("/dev/pts/0\r\n")
        t.expect("size 33 99\r\n")
        t.expect("term xterm\r\n")
        t.type("exit 7\n")
        self.assertEqual(t.wait(), 7)
        self.assertTrue(t.is_restored())

    def test_resize_reaches_the_process(self):
        t = self.terminal("run", "--rm", "-it", "demo", "sh", "-c",
                          "trap 'echo now $(stty size)' WINCH; echo ready; while :; do sleep 0.05; done")
        t.expect("ready")
        t.resize(50, 132)
        t.expect("now 50 132")
        t.type("\x03")
        self.assertEqual(t.wait(), 130)

    def test_control_c_and_control_d(self):
        t = self.terminal("run", "--rm", "-it", "demo", "sh")
        t.expect("# ")
        t.type("sleep 100\n")
        time.sleep(0.2)
        t.type("\x03")
        t.expect("# ")
        t.type("echo $?\n")
        t.expect("130\r\n")
        t.expect("# ")
        t.type("\x04")
        self.assertEqual(t.wait(), 0)

    def test_job_control(self):
        t = self.terminal("run", "--rm", "-it", "demo", "sh")
        t.expect("# ")
        self.assertNotIn(b"job control turned off", t.seen)
        t.type("sleep 100\n")
        time.sleep(0.2)
        t.type("\x1a")
        t.expect("Stopped")
        t.type("kill %1; fg\n")
        t.expect("Terminated")
        t.type("exit 0\n")
        self.assertEqual(t.wait(), 0)

    def test_tty_without_input_is_one_stream(self):
        done = self.hull("run", "--rm", "-t", "demo", "sh", "-c", "test -t 1 && echo out; echo err >&2")
        self.assertEqual((done.out, done.err), ("out\r\nerr\r\n", ""))

    def test_it_needs_a_terminal(self):
        self.assertIn("the input device is not a TTY", self.hull("run", "-it", "demo", "true", code=1, input="x").err)
        self.assertEqual(self.hull.out("ps", "-aq"), "")
        self.hull("run", "-d", "--name", "web", "demo", "sleep", "60")
        self.assertIn("the input device is not a TTY", self.hull("exec", "-it", "web", "true", code=1, input="x").err)
        self.hull("run", "-d", "--name", "tt", "-it", "demo", "sh")
        self.assertIn("the input device is not a TTY", self.hull("attach", "tt", code=1, input="x").err)

    def test_the_terminal_is_restored_when_hull_is_terminated(self):
        t = self.terminal("run", "--rm", "-it", "demo", "sh")
        t.expect("# ")
        self.assertFalse(t.is_restored())
        t.process.terminate()
        t.wait()
        self.assertTrue(t.is_restored())

    def test_failed_start_leaves_the_terminal_alone(self):
        t = self.terminal("run", "--rm", "-it", "demo", "no-such-command")
        self.assertEqual(t.wait(), 127)
        self.assertTrue(t.is_restored())
        self.assertIn(b"executable file not found", t.seen)

    def test_much_output_on_a_terminal(self):
        t = self.terminal("run", "--rm", "-it", "demo", "sh", "-c", "seq 1 100000; echo end")
        t.expect("\r\nend\r\n", seconds=20)
        self.assertEqual(t.wait(), 0)

    def test_much_is_pasted(self):
        t = self.terminal("run", "--rm", "-it", "demo", "sh", "-c", "stty raw -echo; echo ready; head -c 60000 | wc -c")
        t.expect("ready")
        for _ in range(60):
            t.type("x" * 1000)
        t.expect("60000")
        self.assertEqual(t.wait(), 0)

    def test_terminal_of_a_user(self):
        t = self.terminal("run", "--rm", "-it", "-u", "user", "demo", "sh", "-c", "echo hi > /dev/tty; : < $(tty) && echo mine")
        t.expect("hi\r\n")
        t.expect("mine\r\n")
        self.assertEqual(t.wait(), 0)

    # ---- detach, attach

    def test_detach_and_attach_again(self):
        t = self.terminal("run", "--name", "dd", "-it", "demo", "sh")
        t.expect("# ")
        t.type("x=before\n")
        t.expect("# ")
        t.type("\x10\x11")
        self.assertEqual(t.wait(), 0)
        self.assertTrue(t.is_restored())
        self.assertEqual(self.status("dd"), "running")
        t = self.terminal("attach", "dd", rows=11, columns=77)
        t.type("echo $x; stty size\n")
        t.expect("before\r\n")
        t.expect("11 77\r\n")
        t.type("exit 3\n")
        self.assertEqual(t.wait(), 3)
        self.assertEqual(self.status("dd"), "exited")

    def test_what_was_typed_before_the_detach_keys_arrives(self):
        """All in one write: hull reads it at once."""
        self.hull("run", "-dit", "--name", "dt", "demo", "sh", "-c", "stty -echo; read x; echo got $x; sleep 60")
        t = self.terminal("attach", "dt")
        time.sleep(0.3)
        t.type("word\n\x10\x11")
        self.assertEqual(t.wait(), 0)
        self.eventually(lambda: "got word" in self.hull("logs", "dt").out)

    def test_own_detach_keys(self):
        t = self.terminal("run", "--name", "dk", "--detach-keys", "ctrl-a,x", "-it", "demo", "sh")
        t.expect("# ")
        t.type("\x10\x11echo no")
        t.expect("echo no")
        t.type("\x01y")
        t.type("\x01x")
        self.assertEqual(t.wait(), 0)
        self.assertEqual(self.status("dk"), "running")
        self.assertIn("Invalid escape keys", self.hull("run", "--rm", "--detach-keys", "ctrl-?bad", "-t", "demo", "true", code=125).err)

    def test_attach_gets_output_and_exit_code(self):
        self.hull("run", "-d", "-i", "--name", "aa", "demo", "sh", "-c", "read x; echo got $x; echo err >&2; exit 9")
        done = self.hull("attach", "aa", code=9, input="word\n")
        self.assertEqual((done.out, done.err), ("got word\n", "err\n"))
        self.assertIn("cannot attach to a stopped container", self.hull("attach", "aa", code=1).err)
        self.assertIn("No such container", self.hull("attach", "nothing", code=1).err)

    def test_attach_without_input(self):
        self.hull("run", "-d", "-i", "--name", "ns", "demo", "sh", "-c", "read x; echo got $x; sleep 0.2")
        attached = self.hull.start("attach", "--no-stdin", "ns", stdin=subprocess.PIPE)
        attached.stdin.write(b"lost\n")
        attached.stdin.flush()
        self.hull("attach", "ns", input="kept\n")
        out, _ = attached.communicate(timeout=60)
        self.assertIn(out, (b"got kept\n", b""))
        self.assertEqual(attached.returncode, 0)

    def test_two_attached_see_the_same(self):
        self.hull("run", "-d", "-i", "--name", "tw", "demo", "cat")
        first = self.hull.start("attach", "tw", stdin=subprocess.PIPE)
        second = self.hull.start("attach", "--no-stdin", "tw")
        time.sleep(0.3)
        first.stdin.write(b"for both\n")
        first.stdin.flush()
        self.assertEqual(second.stdout.readline(), b"for both\n")
        self.assertEqual(first.stdout.readline(), b"for both\n")
        self.hull("kill", "tw")
        for p in (first, second):
            p.communicate(timeout=60)
            self.assertEqual(p.returncode, 137)

    def test_start_attached(self):
        self.hull("create", "-i", "--name", "sa", "demo", "sh", "-c", "read x; echo $x; exit 4")
        for word in ("one", "two"):
            self.assertEqual(self.hull("start", "-ai", "sa", input=f"{word}\n", code=4).out, f"{word}\n")
        self.hull("create", "-it", "--name", "st", "demo", "sh")
        t = self.terminal("start", "-ai", "st")
        t.type("echo a$((1+1))b\n")
        t.expect("a2b")
        t.type("exit 0\n")
        self.assertEqual(t.wait(), 0)

    # ---- signals

    def test_signals_are_sent_on(self):
        run = self.hull.start("run", "--rm", "demo", "sh", "-c", "trap 'echo got; exit 5' TERM; echo ready; while :; do sleep 0.05; done")
        self.assertEqual(run.stdout.readline(), b"ready\n")
        run.terminate()
        self.assertEqual(run.stdout.readline(), b"got\n")
        self.assertEqual(run.wait(60), 5)
        run.communicate()

    def test_signals_are_kept(self):
        run = self.hull.start("run", "--name", "keep", "--sig-proxy=false", "demo", "sh", "-c",
                              "trap 'echo got; exit 5' INT; echo ready; while :; do sleep 0.05; done")
        self.assertEqual(run.stdout.readline(), b"ready\n")
        run.send_signal(signal.SIGINT)
        run.wait(60)
        run.communicate()
        self.assertEqual(self.status("keep"), "running")

    def test_control_c_without_a_container_terminal(self):
        t = self.terminal("run", "--rm", "demo", "sh", "-c", "trap 'echo got; exit 6' INT; echo ready; while :; do sleep 0.05; done")
        t.expect("ready")
        t.type("\x03")
        t.expect("got")
        self.assertEqual(t.wait(), 6)

    # ---- exec

    def test_exec_on_a_terminal(self):
        self.hull("run", "-d", "--name", "ee", "demo", "sleep", "60")
        t = self.terminal("exec", "-it", "-e", "A=b", "ee", "sh", rows=20, columns=70)
        t.expect("# ")
        t.type("echo $A; stty size; tty\n")
        t.expect("b\r\n")
        t.expect("20 70\r\n")
        t.expect("/dev/pts/\\d+\r\n")
        t.resize(21, 71)
        t.type("sleep 0.2; stty size; exit 12\n")
        t.expect("21 71\r\n")
        self.assertEqual(t.wait(), 12)
        self.assertTrue(t.is_restored())
        self.assertEqual(self.hull("exec", "-t", "ee", "sh", "-c", "test -t 1 && echo tty").out, "tty\r\n")

    def test_exec_detached_by_keys_runs_on(self):
        self.hull("run", "-d", "--name", "ed", "demo", "sleep", "60")
        t = self.terminal("exec", "-it", "ed", "sh", "-c", "echo ready; while ! test -e /go; do sleep 0.05; done; touch /went")
        t.expect("ready")
        t.type("\x10\x11")
        t.wait()
        self.hull("exec", "ed", "touch", "/go")
        self.eventually(lambda: self.hull("exec", "ed", "test", "-e", "/went", code=None).returncode == 0)

    def test_exec_detached(self):
        self.hull("run", "-d", "--name", "ex", "demo", "sleep", "60")
        done = self.hull("exec", "-d", "ex", "sh", "-c", "echo lost; touch /done")
        self.assertEqual((done.out, done.err), ("", ""))
        self.eventually(lambda: self.hull("exec", "ex", "test", "-e", "/done", code=None).returncode == 0)
        self.assertIn("not found", self.hull("exec", "-d", "ex", "no-such-command", code=127).err)

    def test_exec_signal_and_exit_codes(self):
        self.hull("run", "-d", "--name", "xs", "demo", "sleep", "60")
        self.hull("exec", "xs", "sh", "-c", "kill -9 $$", code=137)
        self.hull("exec", "xs", "/etc/passwd", code=126)
        self.hull("exec", "xs", "/etc", code=126)
        self.hull("exec", "-w", "/not/there", "xs", "pwd", code=None)
        self.hull("pause", "xs")
        self.assertIn("is paused", self.hull("exec", "xs", "true", code=1).err)
        self.hull("unpause", "xs")
        self.hull("kill", "xs")
        self.eventually(lambda: self.status("xs") == "exited")
        self.assertIn("is not running", self.hull("exec", "xs", "true", code=1).err)

    def test_exec_ends_with_its_container(self):
        self.hull("run", "-d", "--name", "xe", "demo", "sleep", "60")
        run = self.hull.start("exec", "xe", "sh", "-c", "echo ready; sleep 60")
        self.assertEqual(run.stdout.readline(), b"ready\n")
        self.hull("kill", "xe")
        self.assertEqual(run.wait(60), 137)
        run.communicate()

    # ---- streams

    def test_streams_can_be_opened_by_name(self):
        """Logs of many images are links to /dev/stdout and /dev/stderr."""
        script = "echo one > /dev/stdout; echo two > /dev/stderr; echo three >> /proc/self/fd/1; cat < /dev/stdin"
        for flags in ((), ("-u", "user"), ("--userns", "host", "-u", "user"), ("--privileged",)):
            done = self.hull("run", "--rm", "-i", *flags, "demo", "sh", "-c", script, input="in\n")
            self.assertEqual((done.out, done.err), ("one\nthree\nin\n", "two\n"), flags)
        self.hull("run", "-d", "--name", "ss", "demo", "sleep", "60")
        for flags in ((), ("-u", "user")):
            done = self.hull("exec", "-i", *flags, "ss", "sh", "-c", script, input="in\n")
            self.assertEqual((done.out, done.err), ("one\nthree\nin\n", "two\n"), flags)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as file:
            file.write(b"in\n")
            file.seek(0)
            subprocess.run([str(self.hull.bin), "exec", "-i", "-u", "user", "ss", "sh", "-c", script.replace(" > ", " >> ")],
                           env=self.hull.env, stdin=file, stdout=out, stderr=subprocess.DEVNULL, check=True)
            out.seek(0)
            self.assertEqual(out.read(), b"one\nthree\nin\n")

    def test_half_closed_input(self):
        self.hull("run", "-d", "--name", "hc", "demo", "sleep", "60")
        for args in (("run", "--rm", "-i", "demo"), ("exec", "-i", "hc")):
            p = self.hull.start(*args, "sh", "-c", "cat; sleep 0.3; echo after", stdin=subprocess.PIPE)
            p.stdin.write(b"before\n")
            p.stdin.close()
            self.assertEqual(p.stdout.read(), b"before\nafter\n")
            self.assertEqual(p.wait(60), 0)
            p.stderr.close()

    def test_large_pipes_both_ways(self):
        data = os.urandom(1 << 20) * 24
        self.hull("run", "-d", "--name", "lp", "demo", "sleep", "60")
        for args in (("run", "--rm", "-i", "demo"), ("exec", "-i", "lp")):
            self.assertEqual(self.hull(*args, "cat", input=data).stdout, data, args)

    def test_input_from_a_file(self):
        with tempfile.TemporaryFile() as f:
            f.write(b"line\n" * 100000)
            f.seek(0)
            self.assertEqual(self.hull("run", "--rm", "-i", "demo", "wc", "-l", stdin=f).out.strip(), "100000")
            f.seek(0)
            self.assertEqual(self.hull("run", "--rm", "demo", "wc", "-l", stdin=f).out.strip(), "0")

    def test_input_that_nobody_reads(self):
        p = self.hull.start("run", "--rm", "-i", "demo", "true", stdin=subprocess.PIPE)
        self.assertEqual(p.wait(60), 0)
        p.communicate()
        done = self.hull("run", "--rm", "-i", "demo", "head", "-c", "3", input=b"x" * 5000000)
        self.assertEqual(done.out, "xxx")

    def test_output_that_nobody_reads(self):
        p = self.hull.start("run", "--rm", "demo", "sh", "-c", "seq 1 200000; exit 8")
        p.stdout.close()
        self.assertEqual(p.wait(20), 8)
        p.stderr.close()

    def test_a_slow_reader_gets_all(self):
        p = self.hull.start("run", "--rm", "demo", "sh", "-c", "seq 1 300000")
        time.sleep(0.5)
        out, _ = p.communicate(timeout=20)
        self.assertEqual(len(out.splitlines()), 300000)

    def test_streams_of_choice(self):
        done = self.hull("run", "--rm", "-a", "stderr", "demo", "sh", "-c", "echo out; echo err >&2")
        self.assertEqual((done.out, done.err), ("", "err\n"))
        done = self.hull("run", "--rm", "-a", "stdin", "-a", "stdout", "-i", "demo", "cat", input="x")
        self.assertEqual(done.out, "x")

    def test_a_background_child_does_not_hold_the_command(self):
        self.hull("run", "-d", "--name", "bg", "demo", "sleep", "60")
        p = self.hull.start("exec", "bg", "sh", "-c", "sleep 60 & echo started")
        self.assertEqual(p.stdout.readline(), b"started\n")
        self.assertEqual(p.wait(60), 0)
        p.stdout.close()
        p.stderr.close()


if __name__ == "__main__":
    main()
