#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""container prune, system prune and df, info, version, the management commands."""
import json
import os
import re
import unittest

from lib import leaks
from lib.hull import HullTest, busybox_tar, main


class System(HullTest):
    def setUp(self):
        self.hull("volume", "prune", "-a", "-f")

    # ---- prune

    def test_container_prune(self):
        self.hull("create", "--name", "p1", "demo")
        self.hull("run", "--name", "p2", "--label", "keep=yes", "demo", "sh", "-c", "dd if=/dev/zero of=/big bs=1M count=2 2>/dev/null")
        self.hull("run", "-d", "--name", "p3", "demo", "sleep", "600")
        self.assertIn("WARNING! This will remove all stopped containers.", self.hull.out("container", "prune", input="n\n"))
        self.assertEqual(len(self.hull.out("ps", "-aq").split()), 3)
        self.assertEqual(self.hull.out("container", "prune", "-f", "--filter", "until=24h"), "Total reclaimed space: 0B")
        out = self.hull.out("container", "prune", "-f", "--filter", "label!=keep").splitlines()
        self.assertEqual(out[0], "Deleted Containers:")
        self.assertRegex(out[1], "^[0-9a-f]{64}$")
        self.assertEqual(len(out), 4)
        out = self.hull.out("container", "prune", input="y\n")
        self.assertRegex(out, r"Total reclaimed space: 2\.\d+MB")
        self.assertEqual(self.hull.out("ps", "-a", "--format", "{{.Names}}"), "p3")
        self.assertIn("invalid filter", self.hull("container", "prune", "-f", "--filter", "x=y", code=1).err)

    def test_system_prune(self):
        self.hull("import", "-", "extra:1", input=busybox_tar()[:-1024] + b"\0" * 1024)
        self.hull("import", "-", input=busybox_tar() + b"\0" * 512)
        self.hull("create", "--name", "gone", "-v", "/anonymous", "-v", "named:/n", "demo")
        self.hull("run", "-d", "--name", "stays", "-v", "/used", "demo", "sleep", "600")
        asked = self.hull.out("system", "prune", "--volumes", input="\n")
        for line in ("- all stopped containers", "- all anonymous volumes not used by at least one container", "- all dangling images"):
            self.assertIn(line, asked)
        out = self.hull.out("system", "prune", "-f")
        self.assertIn("Deleted Containers:", out)
        self.assertRegex(out, r"Total reclaimed space: \S+$")
        self.assertEqual(self.hull.out("ps", "-a", "--format", "{{.Names}}"), "stays")
        self.assertEqual(len(self.hull.out("volume", "ls", "-q").split()), 3)
        self.assertIn("Deleted Volumes:", self.hull.out("system", "prune", "-f", "--volumes"))
        self.assertEqual(len(self.hull.out("volume", "ls", "-q").split()), 2)
        self.assertIn("extra", self.hull.out("images"))
        out = self.hull.out("system", "prune", "-a", "-f")
        self.assertIn("untagged: extra:1", out)
        self.assertIn("demo", self.hull.out("images"))
        self.assertIn("not supported with", self.hull("system", "prune", "-f", "--volumes", "--filter", "until=1h", code=1).err)

    def test_image_goes_with_its_last_container(self):
        """An image removed by force while a container has it is collected after rm."""
        self.hull("import", "-", "brief", input=busybox_tar() + b"\0" * 1024)
        self.hull("run", "--name", "last", "brief", "true")
        self.hull("rmi", "-f", "brief")
        layers = lambda: len(os.listdir(self.hull.root / "layers"))
        self.assertEqual(self.hull.out("start", "-a", "last"), "")
        before = layers()
        self.hull("rm", "last")
        self.assertLessEqual(layers(), before)
        self.assertNotIn("brief", self.hull.out("images", "-a"))

    # ---- df

    def test_df(self):
        self.hull("run", "--name", "dd", "-v", "dv:/v", "demo", "sh", "-c", "dd if=/dev/zero of=/v/x bs=1M count=3 2>/dev/null; echo logged")
        table = self.hull.out("system", "df").splitlines()
        self.assertEqual(table[0], "TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE")
        self.assertEqual([line[:14].strip() for line in table[1:]], ["Images", "Containers", "Local Volumes", "Build Cache"])
        self.assertRegex(table[1], r"^Images +\d+ +1 +\S+B +\S+")
        self.assertRegex(table[2], r"^Containers +1 +0 +\S+B +\S+B \(100%\)")
        self.assertRegex(table[3], r"^Local Volumes   1         1         3\.1\d+MB +0B \(0%\)")
        rows = [json.loads(line) for line in self.hull.out("system", "df", "--format", "json").splitlines()]
        self.assertEqual(sorted(rows[0]), ["Active", "Reclaimable", "Size", "TotalCount", "Type"])
        verbose = self.hull.out("system", "df", "-v")
        for title in ("Images space usage:", "Containers space usage:", "Local Volumes space usage:", "Build cache usage: 0B"):
            self.assertIn(title, verbose)
        self.assertRegex(verbose, r"REPOSITORY +TAG +IMAGE ID +CREATED +SIZE +SHARED SIZE +UNIQUE SIZE +CONTAINERS")
        self.assertRegex(verbose, r"\ndv +1 +3\.1\d+MB")
        everything = json.loads(self.hull.out("system", "df", "-v", "--format", "json"))
        self.assertEqual(sorted(everything), ["BuildCache", "Containers", "Images", "Volumes"])
        self.assertEqual(everything["Containers"][0]["Names"], "dd")

    # ---- info, version

    def test_info(self):
        self.hull("create", "demo")
        self.hull("run", "-d", "demo", "sleep", "600")
        text = self.hull.out("info")
        for line in ("Client:", " Context:    default", "Server:", " Containers: 2", "  Running: 1", "  Stopped: 1", " Storage Driver: erofs",
                     " Logging Driver: json-file", " Plugins:", "  Volume: local", "  Network: bridge host none", "  container: available",
                     "  seccomp", "  userns", " OSType: linux", f" Docker Root Dir: {self.hull.root}"):
            self.assertIn(line, text.splitlines())
        info = json.loads(self.hull.out("system", "info", "--format", "json"))
        self.assertEqual((info["Containers"], info["ContainersRunning"], info["ContainersStopped"]), (2, 1, 1))
        self.assertEqual(info["NCPU"], os.cpu_count())
        self.assertEqual(info["KernelVersion"], os.uname().release)
        self.assertEqual(info["Swarm"]["LocalNodeState"], "inactive")
        self.assertEqual(self.hull.out("info", "-f", "{{.ID}}"), info["ID"])
        self.assertEqual(self.hull.out("info", "-f", "{{.Driver}} {{.OSType}}"), "erofs linux")

    def test_version(self):
        text = self.hull.out("version")
        self.assertRegex(text, r"Client:\n Version:           \S+\n API version:       1\.51\n")
        self.assertRegex(text, r"Server: .*\n Engine:\n  Version:          \S+\n  API version:      1\.51 \(minimum version 1\.24\)\n")
        version = json.loads(self.hull.out("version", "--format", "json"))
        self.assertEqual((version["Client"]["ApiVersion"], version["Server"]["MinAPIVersion"]), ("1.51", "1.24"))
        self.assertEqual(version["Server"]["Components"][0]["Name"], "Engine")
        self.assertNotIn("APIVersion", version["Client"])
        self.assertEqual(self.hull.out("version", "-f", "{{.Client.APIVersion}} {{.Server.Os}}"), "1.51 linux")
        self.assertEqual(self.hull.out("version", "-f", "{{.Server.Version}}"), version["Server"]["Version"])

    # ---- management commands

    GROUPS = {
        "container": "attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run "
                     "start stats stop top unpause update wait",
        "image": "history import inspect load ls list prune pull push rm remove save tag",
        "volume": "create inspect ls list prune rm remove",
        "network": "connect create disconnect inspect ls list prune rm remove",
        "system": "df events info prune",
    }

    def test_groups_are_whole(self):
        missing = []
        for group, verbs in self.GROUPS.items():
            listed = self.hull(group, code=None).out + self.hull(group, "--help").out
            for verb in verbs.split():
                if group in ("container", "image") and verb not in ("ls", "list", "remove", "prune", "rm", "inspect") and \
                        self.hull(verb, "--help", code=None).returncode != 0:
                    continue  # not in this version at all
                done = self.hull(group, verb, "--help", code=None)
                if done.returncode != 0 or not re.search(r"Usage:\s+hull ", done.out):
                    missing.append(f"{group} {verb}")
                elif verb not in ("list", "ps", "remove") and verb not in listed:
                    missing.append(f"{group} (help of {verb})")
        self.assertEqual(missing, [])

    def test_groups_do_what_the_plain_verbs_do(self):
        self.assertEqual(self.hull.out("container", "run", "--rm", "demo", "echo", "x"), "x")
        self.hull("container", "create", "--name", "gg", "demo", "true")
        self.assertIn("gg", self.hull.out("container", "ls", "-a"))
        self.assertIn("demo", self.hull.out("image", "ls"))
        self.assertEqual(self.hull.out("container", "rm", "gg"), "gg")
        # Only of their kind.
        done = self.hull("container", "inspect", "demo", code=1)
        self.assertEqual(done.out, "[]\n")
        self.assertIn("No such container: demo", done.err)
        self.hull("image", "inspect", "demo")
        self.assertNotEqual(self.hull("image", "nonsense", code=None).returncode, 0)

    def test_the_database_s_log_is_folded_behind_the_commands(self):
        log = self.hull.root / "hull.db-wal"
        most = 0
        for _ in range(30):
            self.hull("create", "--name", "again", "demo")
            self.hull("rm", "again")
            most = max(most, log.stat().st_size)
        self.assertLess(most, 250 * 4120)
        self.hull("ps")
        self.eventually(lambda: log.stat().st_size < 96 * 4120)
        self.eventually(lambda: not leaks.processes(self.hull))


if __name__ == "__main__":
    main()
