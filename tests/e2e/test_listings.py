#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What lists show: filters of ps and images, tables of one's own, top, events as JSON."""
import json

from lib.hull import HullTest, main


class Listings(HullTest):
    def setUp(self):
        self.hull("volume", "create", "box")
        self.hull("run", "-d", "--name", "first", "-v", "box:/data", "-p", "127.0.0.1:18089:80", "--expose", "90/udp", "demo", "sleep", "100")
        self.hull("run", "-d", "--name", "second", "--network", "none", "demo", "sleep", "100")

    def tearDown(self):
        self.hull.remove_all()
        self.hull("volume", "rm", "box")
        super().tearDown()

    def names(self, *filters):
        return self.hull.out("ps", "--format", "{{.Names}}", *(word for f in filters for word in ("-f", f))).split()

    def test_times_are_those_of_docker(self):
        utc = {"TZ": "UTC"}
        whole = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC$"
        self.assertRegex(self.hull.out("ps", "-f", "name=first", "--format", "{{.CreatedAt}}", env=utc), whole)
        self.assertRegex(self.hull.out("images", "--format", "{{.CreatedAt}}", env=utc), whole)
        self.assertRegex(self.hull.out("network", "ls", "-f", "name=bridge", "--format", "{{.CreatedAt}}", env=utc),
                         r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? \+0000 UTC$")
        created = self.hull.out("inspect", "-f", "{{.Created}}", "first")
        self.assertEqual(self.hull.out("ps", "-f", "name=first", "--format", "{{.CreatedAt}}", env={"TZ": "XYZ-0:00"})[:19],
                         created[:19].replace("T", " "))

    def test_filters_of_ps(self):
        both = ["second", "first"]
        for filters, expected in (
                (["name=^first$"], ["first"]), (["name=^/first$"], ["first"]), (["name=^firs$"], []), (["name=s"], both),
                (["name=^s", "name=t$"], both), (["name=("], []),
                (["network=bridge"], ["first"]), (["network=none"], ["second"]),
                (["volume=box"], ["first"]), (["volume=/data"], ["first"]), (["volume=bo"], []),
                (["publish=80"], ["first"]), (["publish=70-80/tcp"], ["first"]), (["publish=80/udp"], []), (["publish=81-90"], []),
                (["expose=90/udp"], ["first"]), (["expose=91"], []),
                (["before=second"], ["first"]), (["before=first"], []), (["since=first"], ["second"]),
                (["is-task=false"], both), (["is-task=true"], []),
                (["ancestor=demo"], both), (["ancestor=demo:latest"], both), (["ancestor=other"], []),
                (["name=first", "network=none"], [])):
            self.assertEqual(self.names(*filters), expected, filters)
        for bad, text in (("publish=x", "invalid port: x"), ("publish=9-1", "invalid port: 9-1"), ("since=nosuch", "No such container: nosuch"),
                          ("is-task=maybe", "invalid filter 'is-task=maybe'")):
            self.assertIn(text, self.hull("ps", "-f", bad, code=1).err)

    def test_filters_of_images(self):
        self.assertEqual(self.hull.out("images", "-q", "-f", "until=24h"), "")
        self.assertTrue(self.hull.out("images", "-q", "-f", "until=2100-01-01"))
        self.assertIn("invalid filter 'until=x'", self.hull("images", "-f", "until=x", code=1).err)

    def test_columns_of_a_table_of_one_s_own(self):
        lines = self.hull("ps", "--format", r"table {{.Names}}\t{{.State}}\t{{.Image}}").out.splitlines()
        self.assertEqual(lines, ["NAMES     STATE     IMAGE", "second    running   demo", "first     running   demo"])
        # Without "table" it is what it is.
        self.assertEqual(self.hull("ps", "-l", "--format", r"{{.Names}}\t{{.State}}").out, "second\trunning\n")

    def test_top(self):
        first = self.hull.out("top", "first").splitlines()
        self.assertEqual(first[0].split(), ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"])
        pid = self.hull.out("inspect", "-f", "{{.State.Pid}}", "first")
        fields = first[1].split(None, 7)
        # C is the share of its life that it ran, which of a young process is anything.
        self.assertEqual((fields[0], fields[1], fields[7]), ("0", pid, "sleep 100"))
        self.assertRegex(fields[3], r"^\d+$")
        # Of the container, whatever terminal they are of.
        for options in (["-o", "pid,comm"], ["-eo", "pid,comm"]):
            self.assertEqual([line.split() for line in self.hull.out("top", "first", *options).splitlines()], [["PID", "COMMAND"], [pid, "sleep"]])

    def test_names_of_stats(self):
        short = self.hull.out("ps", "-q", "-f", "name=first")
        self.assertEqual(self.hull.out("stats", "--no-stream", "--format", "{{.Container}} {{.Name}}").splitlines()[1], f"{short} first")
        self.assertEqual(self.hull.out("stats", "--no-stream", "--format", "{{.Container}}", "first"), "first")

    def test_events_as_json_have_docker_s_keys(self):
        container = self.hull.out("ps", "-q", "--no-trunc", "-f", "name=first")
        told = ("events", "--since", "1m", "--until", "0s", "-f", "event=start", "-f", f"container={container}", "--format")
        for text in ("json", "{{json .}}", "{{ json . }}"):
            event = json.loads(self.hull.out(*told, text))
            self.assertEqual((event["status"], event["Type"], event["scope"], event["Actor"]["Attributes"]["name"]),
                             ("start", "container", "local", "first"))
            self.assertEqual(event["timeNano"] // 1000000000, event["time"])
        self.assertEqual(self.hull.out(*told, "{{.Status}} {{.Scope}}"), "start local")

    def test_a_name_it_has_already(self):
        self.assertIn("Renaming a container with the same name as its current name", self.hull("rename", "first", "first", code=1).err)


if __name__ == "__main__":
    main()
