#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every command that the documentation shows is run: the examples of the manual,
and the lines of ```sh blocks in README.md, docs/*.md and the like.

In a ```sh block each line is a command that must succeed; "# exits N" after it
says otherwise. A line that hull is not part of must be listed in SKIPPED.
"""
import io
import os
import pathlib
import pty
import re
import select
import subprocess
import tarfile
import tempfile
import time

from lib.hull import HullTest, busybox_tar, main
from lib.registry import DockerRegistry

TOP = pathlib.Path(__file__).resolve().parents[2]
# What a reader does once, outside of what a test may touch.
SKIPPED = re.compile(r"git clone |cd |\./quickstart|\./check|\.ci/run|apt-get |sudo |meson |ninja |tools/|bench/|python3 bench|HULL_TESTS_MUST_RUN=|PREFIX=")

# Registries of the examples: one of ours stands in for them.
REGISTRY = re.compile(r"localhost:5000|\bghcr\.io\b")
# What wants a terminal.
ASKS = re.compile(r" -(it|ti|dit)\b| -i -t |^hull login [^-]\S*$")


def looks_like_debian(files):
    data = io.BytesIO(files)
    with tarfile.open(fileobj=data, mode="a") as tar:
        info = tarfile.TarInfo("etc/os-release")
        content = b'PRETTY_NAME="as if it were Debian"\n'
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


class Docs(HullTest):
    images = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.work = pathlib.Path(tempfile.mkdtemp(dir=cls.hull.dir))
        files = looks_like_debian(busybox_tar())
        # The link of the host that examples name as a parent.
        subprocess.run(["ip", "link", "add", "lan0", "up", "type", "bridge"], check=True)
        for name in ("busybox", "debian"):
            cls.hull("import", "-c", 'CMD ["/bin/sh"]', "-", name, input=files)
        cls.hull("import", "-c", 'CMD ["httpd", "-f", "-h", "/etc"]', "-c", "EXPOSE 80", "-", "nginx", input=files)

    def containers(self):
        self.hull("run", "-d", "--name", "web", "--memory", "64m", "-p", "8080:80", "busybox", "httpd", "-f", "-h", "/etc")
        self.hull("run", "--name", "old", "--network", "none", "busybox", "true")

    def images_again(self):
        """An example may have removed or added some."""
        for image in self.hull.out("images", "--format", "{{.Repository}}:{{.Tag}}").split():
            if not re.match(r"(busybox|debian|nginx):latest", image):
                self.hull("rmi", "-f", image, code=None)
        for volume in self.hull.out("volume", "ls", "-q").split():
            self.hull("volume", "rm", "-f", volume, code=None)
        self.hull("network", "prune", "-f")

    def in_terminal(self, command):
        """With a terminal, at which somebody answers every question with exit."""
        pid, fd = pty.fork()
        if pid == 0:
            os.chdir(self.work)
            os.execve("/bin/bash", ["bash", "-c", command], self.hull.env)
        out, seen, deadline = b"", 0, time.monotonic() + 30
        while time.monotonic() < deadline:
            ready, _, _ = select.select([fd], [], [], 0.5)
            if ready:
                try:
                    data = os.read(fd, 65536)
                except OSError:
                    break
                if not data:
                    break
                out += data
            elif len(out) > seen:
                os.write(fd, b"exit\n")
                seen = len(out)
        os.close(fd)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), out.decode(errors="replace")

    def run_line(self, line, registry=None):
        command, _, remark = line.partition("  # ")
        wanted = int(re.search(r"exits (\d+)", remark).group(1)) if "exits " in remark else 0
        if registry:
            command = REGISTRY.sub(registry, command)
        if ASKS.search(command) and " -d" not in command:
            code, text = self.in_terminal(command)
        else:
            done = subprocess.run(["bash", "-c", "set -o pipefail; " + command], cwd=self.work, env=self.hull.env, check=False,
                                  capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, errors="replace")
            code, text = done.returncode, done.stdout + done.stderr
        return [] if code == wanted else [f"{command}: exit {code}, not {wanted}\n{text}"]

    def run_lines(self, lines, registry=None):
        wrong = []
        for line in lines:
            if line and not line.startswith("#"):
                wrong += self.run_line(line, registry)
        return wrong

    def examples(self, verb):
        """The lines below "Examples:" of the help."""
        text = self.hull.out("help", *verb.split())
        return text.partition("\nExamples:\n")[2].splitlines()

    def test_examples_of_the_manual(self):
        verbs = self.hull.out("internal", "man", "--list").splitlines()
        shown = {verb: self.examples(verb) for verb in verbs}
        registry, wrong = None, []
        self.assertGreater(sum(map(bool, shown.values())), 25)
        try:
            for verb, lines in shown.items():
                if any(map(REGISTRY.search, lines)) and not registry:
                    registry = DockerRegistry()
                    self.hull("tag", "busybox", f"{registry.host}/app:1")
                    self.hull("push", f"{registry.host}/app:1")
                self.containers()
                wrong += self.run_lines(lines, registry and registry.host)
                self.hull.remove_all()
                self.images_again()
        finally:
            if registry:
                registry.close()
        self.assertEqual("\n".join(wrong), "")

    def blocks(self, page):
        """The lines of the page's ```sh blocks, joined where they end in a backslash."""
        text = page.read_text(encoding="utf-8")
        return [line for block in re.findall(r"(?ms)^```sh\n(.*?)^```", text)
                for line in block.replace("\\\n", "").splitlines()]

    def test_pages(self):
        pages = [TOP / "README.md", TOP / "CONTRIBUTING.md", TOP / "ARCHITECTURE.md", *sorted((TOP / "docs").rglob("*.md"))]
        ran, wrong = 0, []
        for page in pages:
            lines = [line for line in self.blocks(page) if not SKIPPED.match(line)]
            registry = DockerRegistry() if any(map(REGISTRY.search, lines)) else None
            try:
                wrong += self.run_lines(lines, registry and registry.host)
            finally:
                if registry:
                    registry.close()
            ran += len(lines)
            self.hull.remove_all()
            self.images_again()
        self.assertEqual("\n".join(wrong), "")
        self.assertGreater(ran, 5)

    def test_no_command_hides_in_another_block(self):
        """A command of hull's outside of a ```sh block would never be run."""
        for page in [TOP / "README.md", *sorted((TOP / "docs").rglob("*.md"))]:
            text = re.sub(r"(?ms)^```sh\n.*?^```", "", page.read_text(encoding="utf-8"))
            hidden = re.findall(r"(?m)^(?: {4}|\t|\$ )(?:hull|docker) .*$", text)
            self.assertEqual(hidden, [], page.name)

    def test_links_lead_somewhere(self):
        for page in [*TOP.glob("*.md"), *sorted((TOP / "docs").rglob("*.md"))]:
            for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
                if "://" not in target:
                    self.assertTrue((page.parent / target).exists(), f"{page.name}: {target}")

    def test_the_map_is_the_tree(self):
        """ARCHITECTURE.md names every folder of src and every program, and only files that exist."""
        text = (TOP / "ARCHITECTURE.md").read_text(encoding="utf-8")
        for folder in filter(pathlib.Path.is_dir, (TOP / "src").iterdir()):
            self.assertIn(f"`{folder.name}", text)
        for program in (TOP / "src/cmd").iterdir():
            if program.is_dir() and program.name.startswith("hull"):
                self.assertIn(f"`{program.name}`", text)
        for path in re.findall(r"`((?:src|tests|tools|docs)/[\w./-]+)`", text):
            self.assertTrue((TOP / path).exists(), path)


if __name__ == "__main__":
    main()
