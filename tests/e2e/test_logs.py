#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hull logs: rotation, the last lines, times, following."""
import re
import subprocess
import time
import unittest

from lib.hull import HullTest, main


class Logs(HullTest):
    def run_sh(self, name, script, *flags):
        self.hull("run", "-d", "--name", name, "--network", "none", *flags, "demo", "sh", "-c", script)

    def test_streams_stay_apart_and_a_terminal_s_do_not(self):
        self.run_sh("two", "echo out; echo err >&2")
        self.hull("wait", "two")
        done = self.hull("logs", "two")
        self.assertEqual((done.out, done.err), ("out\n", "err\n"))
        self.run_sh("tty", "echo out; echo err >&2", "-t")
        self.hull("wait", "tty")
        self.assertEqual(self.hull("logs", "tty").out, "out\r\nerr\r\n")

    def test_bytes_come_back_as_they_were(self):
        self.run_sh("bytes", r"printf 'a\0b\033[1m<&>\342\202\254\n'; printf 'no end'")
        self.hull("wait", "bytes")
        self.assertEqual(self.hull("logs", "bytes").stdout, b"a\0b\033[1m<&>\xe2\x82\xac\nno end")

    def test_long_lines_are_whole(self):
        self.run_sh("long", "head -c 100000 /dev/zero | tr '\\0' x; echo")
        self.hull("wait", "long")
        self.assertEqual(self.hull("logs", "long").out, "x" * 100000 + "\n")

    def test_rotated_files_are_read_in_order(self):
        self.run_sh("many", "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done", "--log-opt", "max-size=20k",
                    "--log-opt", "max-file=50")
        self.hull("wait", "many")
        whole = [f"line {i}" for i in range(3000)]
        self.assertEqual(self.hull.out("logs", "many").splitlines(), whole)
        files = list((self.hull.root / "workloads").glob("*/*-json.log*"))
        self.assertGreater(len(files), 5)
        for n in (0, 1, 2, 299, 1000, 2999, 3000, 5000):
            self.assertEqual(self.hull("logs", "-n", n, "many").out.splitlines(), whole[-n:] if n else [], n)

    def test_following_goes_through_rotation_to_the_end(self):
        self.run_sh("flow", "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; sleep 0.3; echo last",
                    "--log-opt", "max-size=20k", "--log-opt", "max-file=50")
        lines = self.hull("logs", "-f", "flow").out.splitlines()
        self.assertEqual(lines, [f"line {i}" for i in range(2000)] + ["last"])

    def test_following_the_last_lines(self):
        self.run_sh("tail", "echo a; echo b; echo c; sleep 0.5; echo d")
        self.eventually(lambda: "c" in self.hull("logs", "tail").out)
        self.assertEqual(self.hull("logs", "-f", "--tail", "1", "tail").out, "c\nd\n")

    def test_following_survives_a_restart_by_policy(self):
        self.run_sh("again", "echo once; exit 1", "--restart", "on-failure:2")
        self.assertEqual(self.hull("logs", "-f", "again", timeout=30).out, "once\n" * 3)

    def test_times(self):
        self.run_sh("timed", "echo early; sleep 1.2; echo late")
        self.hull("wait", "timed")
        stamped = self.hull("logs", "-t", "timed").out.splitlines()
        self.assertTrue(all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ", line) for line in stamped), stamped)
        late = stamped[1].split()[0]
        self.assertEqual(self.hull("logs", "--since", late, "timed").out, "late\n")
        early = stamped[0].split()[0]
        self.assertEqual(self.hull("logs", "--until", early, "timed").out, "early\n")
        self.assertEqual(self.hull("logs", "--since", "1h", "timed").out, "early\nlate\n")
        self.assertIn("failed to parse", self.hull("logs", "--since", "yesterday-ish", "timed", code=1).err)

    def test_details(self):
        self.run_sh("more", "echo x", "--label", "a=b", "--log-opt", "labels=a")
        self.hull("wait", "more")
        self.assertEqual(self.hull("logs", "--details", "more").out, "a=b x\n")

    def test_a_driver_that_cannot_be_read(self):
        self.run_sh("mute", "echo x", "--log-driver", "none")
        self.hull("wait", "mute")
        self.assertIn("does not support reading", self.hull("logs", "mute", code=1).err)

    def test_torn_lines_are_passed_over(self):
        self.run_sh("torn", "echo a; echo b")
        self.hull("wait", "torn")
        log = next((self.hull.root / "workloads").glob("*/*-json.log"))
        data = log.read_bytes().splitlines(keepends=True)
        log.write_bytes(data[0] + data[0][:20] + b"\n" + data[1] + b'{"log":"cut')
        self.assertEqual(self.hull("logs", "torn").out, "a\nb\n")

    def test_no_such_container(self):
        self.assertIn("No such container: nobody", self.hull("logs", "nobody", code=1).err)

    def test_a_reader_that_goes_away_ends_it(self):
        self.run_sh("endless", "while :; do echo y; sleep 0.01; done")
        process = self.hull.start("logs", "-f", "endless")
        process.stdout.readline()
        process.stdout.close()
        process.wait(timeout=60)


if __name__ == "__main__":
    main()
