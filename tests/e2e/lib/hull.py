# SPDX-License-Identifier: Apache-2.0
"""What every end-to-end test uses: a hull with a state of its own, images made
from Debian's packages, and the check that nothing is left behind.

Each test file runs in a network namespace of its own, with HULL_ROOT and HULL_RUN
in a temporary folder, so that files run side by side and touch nothing of the
host's. HULL_BUILD names the build folder.
"""
import atexit
import ctypes
import io
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
import unittest

from lib import leaks

CLONE_NEWNET = 0x40000000
CLONE_NEWNS = 0x00020000
BUILD = pathlib.Path(os.environ.get("HULL_BUILD", "build")).resolve()
MUST_RUN = os.environ.get("HULL_TESTS_MUST_RUN") == "1"
_libc = ctypes.CDLL(None, use_errno=True)


def need(condition, reason):
    """Skip the test, with its reason, unless the condition holds."""
    if not condition:
        raise unittest.SkipTest(reason)


def need_program(name):
    path = shutil.which(name)
    need(path, f"{name} is not installed")
    return path


def _own_namespaces():
    """A network namespace (with its loopback up) and a mount namespace of our own."""
    if _libc.unshare(CLONE_NEWNET | CLONE_NEWNS) != 0:
        return False
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    # sysfs shows the links of the network namespace it was mounted in.
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return True


class Hull:
    """One state of hull: its own images, containers, networks."""

    def __init__(self, where=None, level=None):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hull-e2e-", dir=where))
        self.root, self.run_dir = self.dir / "root", self.dir / "run"
        programs = self.dir / "programs"
        programs.mkdir()
        for path in BUILD.glob("src/cmd/*/*"):
            if path.is_file() and os.access(path, os.X_OK) and path.name.startswith("hull"):
                (programs / path.name).symlink_to(path)
        self.bin = programs / "hull"
        self.env = dict(os.environ, HULL_ROOT=str(self.root), HULL_RUN=str(self.run_dir), HULL_LIBEXECDIR=str(programs),
                        HULL_BIN=str(self.bin), DOCKER_CONFIG=str(self.dir / "docker"), HOME=str(self.dir),
                        HULL_CONFIG=str(self.dir / "hull.toml"),
                        PATH=f"{programs}:{os.environ['PATH']}", LC_ALL="C.UTF-8")
        if level:
            self.env["HULL_ISOLATION"] = level
        for name in ("HULL_FAULT", "HULL_REGISTRY_MIRRORS", "HULL_INSECURE_REGISTRIES", "XDG_RUNTIME_DIR", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            self.env.pop(name, None)
        atexit.register(self.remove)

    def __call__(self, *args, code=0, input=None, timeout=60, env=None, **popen):
        """Run hull and return what it did; fail unless it exits with @code (None: any)."""
        if isinstance(input, str):
            input = input.encode()
        if input is None and "stdin" not in popen:
            popen["stdin"] = subprocess.DEVNULL
        done = subprocess.run([str(self.bin), *map(str, args)], input=input, capture_output=True, timeout=timeout,
                              env=dict(self.env, **(env or {})), check=False, **popen)
        done.out, done.err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if code is not None and done.returncode != code:
            raise AssertionError(f"hull {' '.join(map(str, args))}: exit {done.returncode}, not {code}\n"
                                 f"--- stdout\n{done.out}--- stderr\n{done.err}")
        return done

    def out(self, *args, **kwargs):
        return self(*args, **kwargs).out.strip()

    def start(self, *args, **popen):
        """The same, not waited for."""
        popen.setdefault("stdin", subprocess.DEVNULL)
        popen.setdefault("stdout", subprocess.PIPE)
        popen.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen([str(self.bin), *map(str, args)], env=self.env, **popen)

    # ---- what is left behind

    def leftovers(self):
        """Everything that belongs to a workload of ours, with none there."""
        return leaks.leftovers(self, nothing_runs=True)

    def remove_all(self):
        ids = self.out("ps", "-aq", "--no-trunc", code=None).split()
        if ids:
            self("rm", "-f", "-v", *ids, code=None)

    def wait_until_clean(self, seconds=60):
        deadline = time.monotonic() + seconds
        while True:
            left = self.leftovers()
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.02)

    def remove(self):
        if not self.dir.exists():
            return
        try:
            self.remove_all()
        except Exception:  # the test has failed already; the rest must still go
            pass
        for line in reversed(open("/proc/self/mountinfo", encoding="utf-8").readlines()):
            point = line.split()[4]
            if point.startswith(str(self.dir)):
                subprocess.run(["umount", "-l", point], check=False, capture_output=True)
        shutil.rmtree(self.dir, ignore_errors=True)


def busybox_tar():
    """A root file system of Debian's busybox-static, as a tar."""
    busybox = shutil.which("busybox")
    need(busybox and b"dynamic" not in subprocess.run(["file", "-L", busybox], capture_output=True, check=False).stdout
         if shutil.which("file") else busybox, "busybox-static is not installed")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        def entry(name, kind, mode=0o755, content=b"", link=""):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.size, info.linkname, info.mtime = kind, mode, len(content), link, 1700000000
            tar.addfile(info, io.BytesIO(content))
        for folder in ("bin", "etc", "root", "home", "home/user", "var", "dev", "proc", "sys", "usr", "usr/bin"):
            entry(folder, tarfile.DIRTYPE)
        entry("tmp", tarfile.DIRTYPE, 0o1777)
        entry("etc/passwd", tarfile.REGTYPE, 0o644, b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
        entry("etc/group", tarfile.REGTYPE, 0o644, b"root:x:0:\nuser:x:1000:\nextra:x:2000:user\n")
        entry("bin/busybox", tarfile.REGTYPE, 0o755, pathlib.Path(busybox).read_bytes())
        for applet in applets:
            if applet != "busybox":
                entry(f"bin/{applet}", tarfile.SYMTYPE, 0o777, link="busybox")
    return data.getvalue()


class HullTest(unittest.TestCase):
    """A test with one hull for the whole class, and a leak check after each test."""
    images = True
    # The isolation level of everything that the tests run; None: as hull chooses.
    level = os.environ.get("HULL_TEST_LEVEL")

    @classmethod
    def setUpClass(cls):
        need(os.geteuid() == 0, "needs root")
        need((BUILD / "src/cmd/hull/hull").exists(), "hull is not built")
        cls.hull = Hull(level=cls.level)
        if cls.images:
            cls.hull("import", "-c", 'CMD ["/bin/sh"]', "-", "demo", input=busybox_tar())

    @classmethod
    def tearDownClass(cls):
        cls.hull.remove()

    def tearDown(self):
        self.hull.remove_all()
        self.assertEqual(self.hull.wait_until_clean(), [], "left behind")

    def eventually(self, what, seconds=60):
        """Wait until @what() is true; an event with a deadline, not a pause."""
        deadline = time.monotonic() + seconds
        while not what():
            if time.monotonic() > deadline:
                self.fail("did not happen in time")
            time.sleep(0.01)


class _TapResult(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.number = 0
        self.failed = False

    def _line(self, ok, test, extra=""):
        self.number += 1
        print(f"{'ok' if ok else 'not ok'} {self.number} - {test.id().split('.', 1)[-1]}{extra}", flush=True)

    def addSuccess(self, test):
        self._line(True, test)

    def _problem(self, test, err):
        self.failed = True
        for line in "".join(traceback.format_exception(*err)).splitlines():
            print(f"# {line}")
        self._line(False, test)

    addError = addFailure = _problem

    def addSubTest(self, test, subtest, err):
        """A part of a test that failed: told at once, counted once at the end."""
        if err is not None:
            self.failed = self.sub_failed = True
            print(f"# {subtest}")
            for line in "".join(traceback.format_exception(*err)).splitlines():
                print(f"# {line}")

    def startTest(self, test):
        super().startTest(test)
        self.sub_failed = False

    def stopTest(self, test):
        super().stopTest(test)
        if self.sub_failed:
            self._line(False, test)

    def addSkip(self, test, reason):
        if MUST_RUN:
            self.failed = True
            self._line(False, test, f" (would skip: {reason})")
        else:
            self._line(True, test, f" # SKIP {reason}")


def _without_differing(tests):
    """At HULL_TEST_LEVEL: those that the file's DIFFERS does not list, with its
    reason, as meant for another level."""
    level = os.environ.get("HULL_TEST_LEVEL")
    differs = getattr(sys.modules["__main__"], "DIFFERS", {}).get(level, {})
    names = {test.id().rsplit(".", 1)[-1] for test in tests}
    unknown = set(differs) - names
    if unknown:
        sys.exit(f"DIFFERS names no test: {unknown}")
    lines = [f"# at level {level} not {name}: {reason}" for name, reason in differs.items()]
    return [test for test in tests if test.id().rsplit(".", 1)[-1] not in differs], lines


def main():
    """Run the tests of the calling file; names on the command line select."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    wanted = sys.argv[1:]
    tests, differing = _without_differing([test for group in suite for test in group])
    tests = [test for test in tests if not wanted or any(name in test.id() for name in wanted)]
    print(f"TAP version 13\n1..{len(tests)}" if tests else "1..0", flush=True)
    # After the version: meson takes nothing before it.
    for line in differing:
        print(line, flush=True)
    if os.geteuid() == 0 and not _own_namespaces():
        print("# no namespaces of our own")
    result = _TapResult()
    unittest.TestSuite(tests).run(result)
    # A class that is skipped or fails as a whole reports once for all its tests.
    while result.number < len(tests):
        result.number += 1
        print(f"{'not ok' if result.failed else 'ok'} {result.number} - (see above){'' if result.failed else ' # SKIP see above'}")
    sys.exit(1 if result.failed else 0)
