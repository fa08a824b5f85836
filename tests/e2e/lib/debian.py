# SPDX-License-Identifier: Apache-2.0
"""A Debian with servers, language runtimes and a compiler, made from its packages
with mmdebstrap and kept between runs as a tar in HULL_TESTS_CACHE (default: below
the build folder)."""
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess

from lib.hull import BUILD

CACHE = pathlib.Path(os.environ.get("HULL_TESTS_CACHE") or BUILD / "tests-cache")
SUITE = "bookworm"
PACKAGES = "nginx-light,redis-server,postgresql,nodejs,python3,git,gcc,libc6-dev,make"
OPTIONS = ["--variant=minbase", "--quiet", f"--include={PACKAGES}", "--aptopt=APT::Install-Recommends \"false\"",
           *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info"))]
TAR = CACHE / f"debian-{hashlib.sha256(repr((SUITE, OPTIONS)).encode()).hexdigest()[:12]}.tar"


def _make():
    part = TAR.with_suffix(".part.tar")
    try:
        made = subprocess.run(["mmdebstrap", *OPTIONS, SUITE, part], capture_output=True, text=True, timeout=480, check=False,
                              stdin=subprocess.DEVNULL, env=dict(os.environ, LC_ALL="C.UTF-8"))
    except subprocess.TimeoutExpired:
        part.unlink(missing_ok=True)
        return "mmdebstrap took more than 480 s"
    if made.returncode != 0:
        part.unlink(missing_ok=True)
        return "no Debian packages: " + (made.stderr.strip().splitlines() or ["mmdebstrap failed"])[-1]
    part.rename(TAR)
    return None


def make_tree():
    """See that TAR is there; the reason if that cannot be. Two tests that need it at
    once make it once."""
    if TAR.exists():
        return None
    if os.geteuid() != 0:
        return "needs root"
    if not shutil.which("mmdebstrap"):
        return "mmdebstrap is not installed"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return None if TAR.exists() else _make()
