#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Completion: what `hull __complete` answers, how fast, and the scripts in real shells."""
import os
import pty
import select
import subprocess
import tempfile
import time
import unittest

from lib.hull import HullTest, main, need_program


class Completion(HullTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.hull("tag", "demo", "registry.example/team/tool:v1")
        cls.work = tempfile.TemporaryDirectory()

    def words(self, *words):
        """The candidates without their descriptions, and the directive."""
        lines = self.hull.out("__complete", *words).split("\n")
        self.assertTrue(lines[-1].startswith(":"), lines)
        return [line.split("\t")[0] for line in lines[:-1]], lines[-1][1:]

    def test_verbs(self):
        found, _ = self.words("")
        for verb in ("run", "ps", "pull", "container", "completion"):
            if verb != "pull":
                self.assertIn(verb, found)
        self.assertNotIn("internal", found)
        self.assertEqual(self.words("unp")[0], ["unpause"])
        self.assertIn("inspect", self.words("image", "i")[0])

    def test_flags_and_words(self):
        self.assertEqual(self.words("run", "--iso")[0], ["--isolation"])
        self.assertEqual(self.words("run", "--isolation", "mi")[0], ["microvm"])
        self.assertEqual(self.words("run", "--isolation=mi")[0], ["--isolation=microvm"])
        self.assertEqual(self.words("run", "-itI", "cont")[0], ["container"])
        self.assertEqual(self.words("run", "--restart", "un")[0], ["unless-stopped"])
        self.assertEqual(self.words("run", "--log-driver", "jo")[0], ["journald"])
        self.assertEqual(self.words("run", "--cap-add", "SYS_ADM")[0], ["SYS_ADMIN"])
        self.assertEqual(self.words("run", "--cap-drop", "CAP_SYS_ADM")[0], ["CAP_SYS_ADMIN"])
        self.assertEqual(self.words("kill", "-s", "TER")[0], ["TERM"])
        self.assertEqual(self.words("kill", "--signal=SIGTER")[0], ["--signal=SIGTERM"])
        self.assertIn("host", self.words("run", "--network", "")[0])
        self.assertEqual(self.words("run", "--init=t")[0], ["--init=true"])
        self.assertEqual(self.words("run", "--env-file", "/e"), ([], "files"))
        self.assertEqual(self.words("run", "--mount", "type=bind,tar"), (["type=bind,target="], "nospace"))
        # Descriptions follow a tab.
        self.assertIn("--memory\tMemory limit", self.hull.out("__complete", "run", "--memory").split("\n"))

    def test_nothing_where_nothing_is_known(self):
        for words in (("run", "demo", ""), ("run", "--", "demo", "--"), ("nosuch", ""), ("run", "--name", ""), ("ps", "x")):
            self.assertEqual(self.words(*words), ([], ""), words)
        self.assertEqual(self.hull("__complete").out, ":\n")

    def test_names_by_state(self):
        self.hull("run", "-d", "--network", "none", "--name", "upp", "demo", "sleep", "60")
        self.hull("create", "--name", "stopp", "demo", "true")
        self.hull("run", "-d", "--network", "none", "--name", "frozen", "demo", "sleep", "60")
        self.hull("pause", "frozen")
        self.assertEqual(self.words("rm", "")[0], ["frozen", "stopp", "upp"])
        self.assertEqual(self.words("stop", "")[0], ["frozen", "upp"])
        self.assertEqual(self.words("start", "")[0], ["stopp"])
        self.assertEqual(self.words("unpause", "")[0], ["frozen"])
        self.assertEqual(self.words("exec", "-it", "u")[0], ["upp"])
        self.assertEqual(self.words("exec", "upp", "")[0], [])
        self.assertEqual(self.words("run", "--volumes-from=s")[0], ["--volumes-from=stopp"])
        self.assertEqual(self.words("run", "--pid", "container:u")[0], ["container:upp"])
        short = self.hull.out("ps", "-q", "--filter", "name=upp")
        self.assertIn(short, self.words("stop", short[:6])[0])
        self.assertIn("demo:latest", self.words("inspect", "")[0])
        self.hull("unpause", "frozen")

    def test_images(self):
        self.assertEqual(self.words("run", "dem")[0], ["demo:latest"])
        self.assertEqual(self.words("rmi", "docker.io/library/d")[0], ["docker.io/library/demo:latest"])
        self.assertEqual(self.words("rmi", "reg")[0], ["registry.example/team/tool:v1"])

    def test_leaves_no_state_behind(self):
        nowhere = f"{self.work.name}/nowhere"
        self.hull("__complete", "rm", "", env={"HULL_ROOT": nowhere, "HULL_RUN": nowhere})
        self.assertFalse(os.path.exists(nowhere))
        self.hull("__complete", "--root", nowhere, "rm", "")
        self.assertFalse(os.path.exists(nowhere))

    def test_answers_within_ten_milliseconds(self):
        times = []
        for _ in range(15):
            start = time.monotonic()
            self.hull("__complete", "run", "--isolation", "")
            self.hull("__complete", "rm", "")
            times.append((time.monotonic() - start) / 2)
        # The least of them: the machine may be busy, the program may not.
        self.assertLess(min(times), 0.010)

    # ---- in real shells

    def in_terminal(self, shell, setup, line):
        """What the shell makes of the line once Tab was pressed at its end."""
        pid, fd = pty.fork()
        if pid == 0:
            os.chdir(self.work.name)
            os.execvpe(shell[0], shell, dict(self.hull.env, PS1="$ ", TERM="dumb", HISTFILE="/dev/null", ZDOTDIR=self.work.name))
        try:
            seen = b""

            def until(mark, seconds=20):
                nonlocal seen
                deadline = time.monotonic() + seconds
                while mark not in seen:
                    ready, _, _ = select.select([fd], [], [], max(0, deadline - time.monotonic()))
                    if not ready:
                        self.fail(f"{shell[0]} did not say {mark}: {seen[-2000:]}")
                    seen += os.read(fd, 65536)

            os.write(fd, setup.encode() + b"\necho re''ady\n")
            until(b"\nready")
            seen = b""
            os.write(fd, line.encode() + b"\t")
            # An echo of the finished line: to its start, then a command before it.
            os.write(fd, b"\x01echo '@'@ \x05 '|'\n")
            until(b"\n@@ ")
            until(b"|\r\n")
            return seen.decode(errors="replace").split("\n@@ ", 1)[1].split("|\r\n", 1)[0].rstrip()
        finally:
            os.close(fd)
            os.waitpid(pid, 0)

    def check_shell(self, shell, setup):
        open(f"{self.work.name}/vars.env", "w", encoding="ascii").close()
        self.hull("create", "--name", "gamma", "demo", "true")
        for line, done in (("hull unp", "hull unpause"), ("hull run --isolation mi", "hull run --isolation microvm"),
                           ("hull run --isolation=mi", "hull run --isolation=microvm"),
                           ("hull rm ga", "hull rm gamma"), ("hull run --rm dem", "hull run --rm demo:latest"),
                           ("hull rmi registry.example/team/tool:v", "hull rmi registry.example/team/tool:v1"),
                           ("hull run --env-file var", "hull run --env-file vars.env"),
                           ("hull run --env-file=var", "hull run --env-file=vars.env"),
                           ("hull image hist", "hull image history")):
            self.assertEqual(self.in_terminal(shell, setup, line), done, line)

    def test_bash(self):
        need_program("bash")
        self.check_shell(["bash", "--norc", "--noprofile", "-i"], "bind 'set enable-bracketed-paste off'; source <(hull completion bash)")

    def test_zsh(self):
        need_program("zsh")
        self.check_shell(["zsh", "-f", "-i"], "unset zle_bracketed_paste; bindkey -e; autoload -Uz compinit && compinit -u -D; "
                                              "source <(hull completion zsh)")

    def test_fish(self):
        fish = need_program("fish")
        open(f"{self.work.name}/vars.env", "w", encoding="ascii").close()
        self.hull("create", "--name", "gamma", "demo", "true")
        for line, done in (("hull unp", "unpause"), ("hull run --isolation=mi", "--isolation=microvm"), ("hull rm ga", "gamma"),
                           ("hull run --rm dem", "demo:latest"), ("hull run --env-file var", "vars.env"),
                           ("hull run --env-file=var", "--env-file=vars.env"), ("hull image hist", "history")):
            answer = subprocess.run([fish, "--no-config", "-c", f"hull completion fish | source; complete -C '{line}'"],
                                    cwd=self.work.name, env=self.hull.env, capture_output=True, text=True, check=False)
            self.assertEqual([one.split("\t")[0] for one in answer.stdout.splitlines()], [done], answer.stderr)

    def test_installed_scripts_are_the_printed_ones(self):
        source = os.path.join(os.path.dirname(__file__), "../../src/cmd/hull/completion")
        for shell in ("bash", "zsh", "fish"):
            with open(f"{source}/hull.{shell}", encoding="utf-8") as script:
                self.assertEqual(self.hull("completion", shell).out, script.read())
        self.assertIn("hull completion zsh", self.hull("completion", "zs", code=2).err)


if __name__ == "__main__":
    main()
