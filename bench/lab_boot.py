#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Inside the lab: boot one kernel with one initramfs under hull-vmm and under QEMU's
quickest machine, in turn, and print the medians of both as JSON."""
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

BUILD = pathlib.Path(os.environ["HULL_BUILD"])
KERNEL = next(pathlib.Path("/boot").glob("vmlinuz-*cloud*"))
CMDLINE = "console=ttyS0 quiet panic=-1 pci=off i8042.noaux"
INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
exec > /dev/console 2>&1
echo THE-INIT-SPEAKS
/bin/busybox poweroff -f
"""


def initramfs(folder):
    root = folder / "root"
    for name in ("bin", "dev", "proc"):
        (root / name).mkdir(parents=True)
    (root / "bin/busybox").write_bytes(pathlib.Path("/bin/busybox").read_bytes())
    (root / "init").write_text(INIT, encoding="ascii")
    for name in ("init", "bin/busybox"):
        (root / name).chmod(0o755)
    subprocess.run(f"cd {root} && find . | cpio -o -H newc --quiet > {folder}/initramfs", shell=True, check=True)
    return folder / "initramfs"


def boot(command):
    began = time.perf_counter()
    spoke, said = None, b""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as machine:
        while data := os.read(machine.stdout.fileno(), 65536):
            said += data
            if spoke is None and b"THE-INIT-SPEAKS" in said:
                spoke = time.perf_counter() - began
    if spoke is None:
        raise SystemExit(f"{command[0]}: no init: {said[-500:]}")
    return spoke, time.perf_counter() - began


def main():
    with tempfile.TemporaryDirectory() as folder:
        image = initramfs(pathlib.Path(folder))
        commands = {
            "hull-vmm": [BUILD / "tests/vmm/vmm-start", "--vmm", BUILD / "src/cmd/hull-vmm/hull-vmm", "--memory", "256", "--initramfs", image,
                         "--cmdline", CMDLINE, KERNEL],
            # As QEMU's documentation of the machine advises for the quickest start.
            "qemu": ["qemu-system-x86_64", "-M", "microvm,x-option-roms=off,pit=off,pic=off,isa-serial=on,rtc=off", "-accel", "kvm", "-cpu", "host",
                     "-m", "256", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", KERNEL,
                     "-initrd", image, "-append", CMDLINE],
        }
        times = {name: [] for name in commands}
        for _ in range(5):
            for name, command in commands.items():
                times[name].append(boot(command))
    print(json.dumps({name: {"init": statistics.median(t[0] for t in all_), "gone": statistics.median(t[1] for t in all_)}
                      for name, all_ in times.items()}))


main()
