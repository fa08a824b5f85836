#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The hardening of the programs as released: position-independent, full RELRO, no
executable stack, stack protector, FORTIFY, CET in all code of our own."""
import json
import os
import pathlib
import re
import subprocess
import unittest

from lib.hull import BUILD, main, need, need_program

PROGRAMS = ("hull", "hull-monitor", "hull-init", "hull-unpack", "hull-fetch", "hull-names", "hull-proxy")
STATIC = ("hull", "hull-monitor", "hull-init", "hull-names", "hull-proxy")


def read(*args):
    return subprocess.run(args, capture_output=True, text=True, check=True, env=dict(os.environ, LC_ALL="C")).stdout


class Hardening(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        need_program("readelf")
        options = json.loads((BUILD / "meson-info" / "intro-buildoptions.json").read_text(encoding="utf-8"))
        value = {option["name"]: option["value"] for option in options}
        need(value["b_sanitize"] == "none" and value["buildtype"] == "release", "not a release build")
        cls.paths = {name: BUILD / "src" / "cmd" / name / name for name in PROGRAMS}
        need(all(path.exists() for path in cls.paths.values()), "not everything is built")

    def each(self):
        return self.paths.items()

    def symbols(self, path):
        return set(re.findall(r"(?m)[A-Za-z] (\w+)(?:@\S+)?$", read("nm", path) + read("nm", "-D", path)))

    def test_position_independent(self):
        for _, path in self.each():
            self.assertRegex(read("readelf", "-hW", path), r"Type: +DYN ")
            self.assertRegex(read("readelf", "-dW", path), r"FLAGS_1.*\bPIE\b")

    def test_full_relro(self):
        for _, path in self.each():
            self.assertIn("GNU_RELRO", read("readelf", "-lW", path))
            self.assertRegex(read("readelf", "-dW", path), r"FLAGS_1.*\bNOW\b")

    def test_no_executable_stack_nor_text_relocations(self):
        for _, path in self.each():
            self.assertRegex(read("readelf", "-lW", path), r"GNU_STACK .* RW +0x")
            self.assertNotRegex(read("readelf", "-dW", path), r"TEXTREL|RPATH|RUNPATH")

    def test_no_segment_is_both_writable_and_executable(self):
        for _, path in self.each():
            self.assertNotRegex(read("readelf", "-lW", path), r"LOAD .* RWE ")

    def test_stack_protector(self):
        for _, path in self.each():
            self.assertTrue({"__stack_chk_fail"} & self.symbols(path))

    def test_fortify(self):
        for _, path in self.each():
            checked = {name for name in self.symbols(path) if re.fullmatch(r"__\w+_chk", name)}
            self.assertTrue(checked - {"__stack_chk"}, "no call is checked")

    def test_static_where_starts_count(self):
        for name, path in self.each():
            self.assertEqual("INTERP" not in read("readelf", "-lW", path), name in STATIC)

    def test_control_flow_protection(self):
        """The linker marks a program only when every object is marked, and Debian's static libc is not; so
        each object of ours is looked at."""
        need(os.uname().machine == "x86_64", "CET is x86's")
        objects = [path for path in pathlib.Path(BUILD, "src").rglob("*.o")]
        self.assertGreater(len(objects), 50)
        bare = []
        for path in objects:
            notes = read("readelf", "-nW", path)
            if "IBT" not in notes or "SHSTK" not in notes:
                bare.append(path.name)
        self.assertEqual(bare, [])


if __name__ == "__main__":
    main()
