#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hull events: names, attributes, filters, formats, following."""
import json
import re
import signal
import subprocess
import threading
import time

from lib.hull import HullTest, main


class Events(HullTest):
    def since(self):
        """Everything from now on."""
        start = time.time()
        return lambda *flags: self.hull.out("events", "--since", f"{start:.9f}", "--until", "0s", *flags)

    def actions(self, text, kind="container"):
        return [line.split()[2] for line in text.splitlines() if line.split()[1] == kind]

    def test_life_of_a_container(self):
        events = self.since()
        self.hull("run", "--name", "ee", "--label", "l=v", "demo", "sh", "-c", "exit 3", code=3)
        self.hull("rm", "ee")
        text = events()
        self.assertEqual(self.actions(text), ["create", "start", "die", "destroy"])
        self.assertEqual(self.actions(text, "network"), ["connect", "disconnect"])
        line = next(line for line in text.splitlines() if " die " in line)
        self.assertRegex(line, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(Z|[+-]\d\d:\d\d) container die [0-9a-f]{64} "
                               r"\(exitCode=3, image=demo, l=v, name=ee\)$")

    def test_removed_while_it_runs(self):
        for name, pause in (("forced", False), ("paused", True)):
            with self.subTest(name):
                self.hull("run", "-d", "--name", name, "--network", "none", "demo", "sleep", "600")
                if pause:
                    self.hull("pause", name)
                events = self.since()
                self.hull("rm", "-f", name)
                text = events("-f", "type=container")
                self.assertEqual(self.actions(text), ["kill", "die", "destroy"])
                self.assertIn("signal=9", text)
                self.assertIn("exitCode=137", text)
        self.hull("create", "--name", "made", "--network", "none", "demo", "true")
        events = self.since()
        self.hull("rm", "-f", "made")
        self.assertEqual(self.actions(events("-f", "type=container")), ["destroy"])

    def test_verbs(self):
        events = self.since()
        ident = self.hull.out("run", "-d", "--name", "vv", "--network", "none", "demo", "sleep", "600")
        self.hull("pause", "vv")
        self.hull("unpause", "vv")
        self.hull("exec", "vv", "sh", "-c", "exit 4", code=4)
        self.hull("rename", "vv", "ww")
        self.hull("kill", "-s", "USR1", "ww")
        self.hull("restart", "-t", "0", "ww")
        self.hull("stop", "-t", "0", "ww")
        text = events("-f", f"container={ident[:20]}")
        names = [re.sub(r"[0-9]*-", "", a) for a in self.actions(text)]
        for name in ("create", "start", "pause", "unpause", "exec_create:", "exec_start:", "exec_die", "rename", "kill", "die", "stop",
                     "restart"):
            self.assertIn(name, names, text)
        self.assertRegex(text, r"exec_create: sh -c exit 4 [0-9a-f]{64} \(execID=[0-9a-f]{64}, ")
        self.assertRegex(text, r"exec_die [0-9a-f]{64} \(execID=[0-9a-f]{64}, exitCode=4, ")
        self.assertRegex(text, r"rename [0-9a-f]{64} \(.*oldName=/vv")
        self.assertRegex(text, r"kill [0-9a-f]{64} \(image=demo, name=ww, signal=10\)")
        self.assertRegex(text, r"kill [0-9a-f]{64} \(image=demo, name=ww, signal=15\)")

    def test_images_and_volumes(self):
        events = self.since()
        self.hull("tag", "demo", "other:1")
        archive = self.hull.dir / "x.tar"
        self.hull("save", "-o", archive, "other:1")
        self.hull("rmi", "other:1")
        self.hull("load", "-i", archive)
        self.hull("rmi", "other:1")
        self.assertEqual(self.actions(events("-f", "type=image"), "image"), ["tag", "save", "untag", "load", "untag"])
        self.assertIn("name=other:1", events("-f", "event=tag"))
        self.hull("volume", "create", "vol")
        self.hull("run", "--rm", "--network", "none", "-v", "vol:/v:ro", "demo", "true")
        self.hull("volume", "rm", "vol")
        text = events("-f", "volume=vol")
        self.assertEqual(self.actions(text, "volume"), ["create", "mount", "unmount", "destroy"])
        self.assertRegex(text, r"volume mount vol \(container=[0-9a-f]{64}, destination=/v, driver=local, propagation=, read/write=false\)")

    def test_health_and_oom_names(self):
        events = self.since()
        self.hull("run", "-d", "--name", "hh", "--network", "none", "--health-cmd", "true", "--health-interval", "100ms", "demo", "sleep", "600")
        self.eventually(lambda: "health_status: healthy" in events("-f", "event=health_status"))

    def test_filters_and_formats(self):
        events = self.since()
        self.hull("run", "--rm", "--network", "none", "--name", "first", "--label", "k=v", "demo", "true")
        self.hull("run", "--rm", "--network", "none", "--name", "gg", "demo", "true")
        self.assertEqual(self.actions(events("-f", "label=k=v", "-f", "event=die")), ["die"])
        self.assertEqual(self.actions(events("-f", "event=create", "-f", "event=die")), ["create", "die", "create", "die"])
        self.assertEqual(self.actions(events("-f", "container=gg", "-f", "event=create")), ["create"])
        self.assertEqual(self.actions(events("-f", "image=demo", "-f", "event=start")), ["start", "start"])
        self.assertEqual(events("-f", "image=nothing"), "")
        event = json.loads(events("-f", "container=first", "-f", "event=die", "--format", "json"))
        self.assertEqual((event["Type"], event["Action"], event["status"], event["from"], event["scope"]), ("container", "die", "die", "demo", "local"))
        self.assertEqual(event["id"], event["Actor"]["ID"])
        self.assertEqual({k: event["Actor"]["Attributes"][k] for k in ("exitCode", "image", "name", "k")},
                         {"exitCode": "0", "image": "demo", "name": "first", "k": "v"})
        self.assertEqual(event["time"], event["timeNano"] // 10**9)
        self.assertEqual(events("-f", "event=die", "-f", "container=first", "--format", "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}"),
                         "container die first")
        self.assertIn("invalid filter", self.hull("events", "-f", "bad=1", code=1).err)
        self.assertIn("invalid value", self.hull("events", "--since", "never", code=1).err)

    def test_following(self):
        follower = self.hull.start("events", "-f", "type=container", "--format", "{{.Action}} {{.Actor.Attributes.name}}")
        lines = []
        reader = threading.Thread(target=lambda: lines.extend(iter(follower.stdout.readline, b"")))
        reader.start()
        try:
            # The first thing it sees must come after it has begun: try until it does.
            def seen():
                self.hull("create", "--name", "probe", "demo")
                self.hull("rm", "probe")
                return lines
            self.eventually(seen)
            self.hull("run", "-d", "--rm", "--name", "live", "--network", "none", "demo", "sh", "-c", "sleep 0.2; exit 9")
            # Nobody runs a command when it ends: its monitor tells.
            self.eventually(lambda: b"destroy live\n" in lines)
            self.assertEqual([line.decode().split()[0] for line in lines if b"live" in line], ["create", "start", "die", "destroy"])
        finally:
            follower.send_signal(signal.SIGINT)
            follower.wait(60)
            reader.join()
            follower.stdout.close()
            follower.stderr.close()

    def test_until_in_the_future_waits(self):
        with self.assertRaises(subprocess.TimeoutExpired):
            self.hull("events", "--until", "2030-01-01", timeout=0.5)


if __name__ == "__main__":
    main()
