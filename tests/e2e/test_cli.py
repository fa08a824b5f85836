#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The surface of the command line: texts, suggestions, exit codes, global options."""
import json
import os
import pathlib
import subprocess
import tempfile

from lib.hull import HullTest, main, need


class Cli(HullTest):
    def fails(self, *args, code=1, **kwargs):
        return self.hull(*args, code=code, **kwargs).err

    def docker(self, *args, code=0, env=None):
        """hull called as docker."""
        link = self.hull.dir / "as" / "docker"
        link.parent.mkdir(exist_ok=True)
        if not link.exists():
            link.symlink_to(self.hull.bin.resolve())
        done = subprocess.run([str(link), *args], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
                              env=dict(self.hull.env, **(env or {})))
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    # ---- what is not there

    def test_unknown_verbs(self):
        self.assertEqual(self.fails("rnu"), "hull: 'rnu' is not a hull command\n  try: hull run\n")
        self.assertEqual(self.fails("image", "histroy"), "hull: 'image histroy' is not a hull command\n  try: hull image history\n")
        self.assertEqual(self.fails("imag"), "hull: 'imag' is not a hull command\n  try: hull image\n")
        self.assertEqual(self.fails("zzzzzz"), "hull: 'zzzzzz' is not a hull command\n  try: hull help\n")
        self.assertEqual(self.docker("rnu", code=1).stderr,
                         "docker: unknown command: docker rnu\n\nRun 'docker --help' for more information\n")

    def test_unknown_flags(self):
        self.assertIn("hull: unknown flag: --memroy\n  try: hull run --memory 512m demo 'a b'\n",
                      self.fails("run", "--memroy", "512m", "demo", "a b", code=125))
        self.assertIn("hull: unknown flag: --publsih=8080:80\n".replace("=8080:80", "") + "  try: hull run --publish=8080:80 demo\n",
                      self.fails("run", "--publsih=8080:80", "demo", code=125))
        self.assertIn("unknown shorthand flag: 'Z' in -Z", self.fails("ps", "-Z", code=125))
        self.assertIn("try: hull --config", self.fails("--conifg", "x", "ps", code=2))
        self.assertIn("flag needs an argument: --memory", self.fails("run", "--memory", code=125))
        # As Docker: no suggestion, a usage line.
        self.assertEqual(self.docker("run", "--memroy", "1", "demo", code=125).stderr,
                         "unknown flag: --memroy\n\nUsage:  docker run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\n"
                         "Run 'docker run --help' for more information\n")

    def test_what_docker_has_and_hull_has_not(self):
        self.assertIn("hull: 'swarm' is not part of hull\n  why: hull has no swarm\n", self.fails("swarm", "init"))
        self.assertIn("hull: 'build' is not part of hull\n  why: this version of hull builds no images", self.fails("build", "."))
        self.assertIn("'volume update' is not part of hull", self.fails("volume", "update", "x"))
        text = self.fails("start", "--checkpoint", "x", "y", code=125)
        self.assertIn("hull: --checkpoint is not supported\n  why: this version of hull makes no checkpoints\n", text)
        self.assertIn("--scope is not supported", self.fails("volume", "create", "--scope", "single", code=125))
        self.assertIn("--use-api-socket is not supported", self.fails("run", "--use-api-socket", "demo", code=125))
        # What is refused is not suggested either.
        self.assertNotIn("checkpoint", self.fails("start", "--chekpoint", "x", "y", code=125).partition("Usage")[0].replace("--chekpoint", ""))

    def test_nothing_is_taken_without_effect(self):
        run = ("run", "--rm")
        for flags, text in ((("--security-opt", "foo=bar"), 'invalid --security-opt 2: "foo=bar"'),
                            (("--security-opt", "apparmor=mine"), "AppArmor profile mine is not applied"),
                            (("--security-opt", "no-new-privileges:maybe"), "invalid --security-opt 2"),
                            (("--storage-opt", "size=5G"), "--storage-opt is not supported\n  why: "),
                            (("--cgroup-parent", "x"), "--cgroup-parent is not supported\n  why: "),
                            (("--ip", "1.2.3.4"), "user specified IP address is supported on user defined networks only"),
                            (("--network-alias", "x"), "network-scoped alias is supported only"),
                            (("--network", "bridge", "--network", "none"), "cannot attach both user-defined and non-user-defined network-modes")):
            self.assertIn(text, self.fails(*run, *flags, "demo", "true", code=125))
        self.hull(*run, "--network", "none", "--security-opt", "apparmor=unconfined", "--security-opt", "label=disable", "demo", "true")
        self.assertIn("invalid filter 'status=foo'", self.fails("ps", "-f", "status=foo"))
        self.assertIn('"foo" is not a valid value for --type', self.fails("inspect", "--type", "foo", "x"))
        self.assertIn('map has no entry for key "Nope"', self.fails("image", "inspect", "-f", "{{.Nope}}", "demo"))
        self.hull("create", "--name", "one", "demo")
        self.assertIn('map has no entry for key "Nope"', self.fails("ps", "-a", "--format", "{{.Nope}}"))
        self.hull("rm", "one")
        done = self.hull("save", "demo", "nosuch", code=1)
        self.assertEqual(done.stdout, b"")

    def test_the_platform_of_an_image(self):
        mine = self.hull.out("image", "inspect", "-f", "{{.Os}}/{{.Architecture}}", "demo")
        for verb in (("history",), ("image", "inspect"), ("save", "-o", self.hull.dir / "p.tar")):
            self.hull(*verb, "--platform", mine, "demo")
            text = self.fails(*verb, "--platform", "linux/s390x", "demo")
            self.assertIn("hull: image with reference demo was found but does not provide the specified platform (linux/s390x)\n  why: ", text)
        self.fails("rmi", "--platform", "linux/s390x", "demo")
        self.hull("load", "--platform", mine, "-i", self.hull.dir / "p.tar")
        self.assertIn("is loaded", self.fails("load", "--platform", "linux/s390x", "-i", self.hull.dir / "p.tar"))

    def test_ps_shows_more_when_asked(self):
        self.hull("volume", "create", "box")
        self.hull("create", "--name", "shown", "--network", "none", "-v", "box:/box", "-v", "/usr/share:/host:ro", "-l", "a=1", "-l", "list=x,y", "demo",
                  "true")
        ps = ("ps", "-a", "--format")
        self.assertEqual(self.hull.out(*ps, '{{.Names}} {{.Label "a"}} {{.Label "list"}} {{.Label "none"}}'), "shown 1 x,y")
        self.assertEqual(self.hull.out(*ps, "{{.Mounts}} {{.LocalVolumes}} {{.Networks}}"), "box,/usr/share 1 none")
        self.assertRegex(self.hull.out(*ps, "{{.Size}}"), r"^[0-9.]+k?B \(virtual [0-9.]+[kM]B\)$")
        row = json.loads(self.hull.out(*ps, "json"))
        self.assertEqual((row["Mounts"], row["Networks"], row["LocalVolumes"], row["Size"]), ("box,/usr/share", "none", "1", "0B"))
        self.assertRegex(self.hull.out("ps", "-a", "-s"), r"NAMES +SIZE\n.*shown +.* \(virtual ")
        self.assertNotIn("SIZE", self.hull.out("ps", "-a"))
        sizes = self.hull.out("inspect", "-s", "-f", "{{.SizeRw}} {{.SizeRootFs}}", "shown").split()
        self.assertLess(int(sizes[0]) + 500000, int(sizes[1]))
        self.hull("rm", "shown")
        self.hull("volume", "rm", "box")

    def test_environment_of_exec(self):
        file = self.hull.dir / "env"
        file.write_text("# remark\nA=file\nB=file\n", encoding="utf-8")
        self.hull("run", "-d", "--name", "up", "--network", "none", "-e", "B=run", "-e", "GONE=run", "demo", "sleep", "60")
        out = self.hull.out("exec", "--env-file", file, "-e", "A=flag", "-e", "FROM_HULL", "-e", "GONE", "-e", "HOME=/tmp", "up", "env",
                            env={"FROM_HULL": "yes"}).splitlines()
        self.assertLessEqual({"A=flag", "B=file", "FROM_HULL=yes", "HOME=/tmp"}, set(out))
        self.assertEqual(len({line.partition("=")[0] for line in out}), len(out), out)
        self.assertFalse([line for line in out if line.startswith("GONE")])
        self.assertIn("no such file", self.fails("exec", "--env-file", "/nosuch", "up", "env").lower())

    def test_counts_of_arguments(self):
        self.assertIn("'hull run' requires at least 1 argument", self.fails("run"))
        self.assertIn("'hull rename' requires 2 arguments", self.fails("rename", "a"))
        self.assertIn("'hull version' accepts no arguments", self.fails("version", "x"))

    def test_exit_codes_of_run(self):
        run = ("run", "--rm", "--network", "none")
        self.assertIn("executable file not found", self.fails(*run, "demo", "nosuch", code=127))
        self.assertIn("permission denied", self.fails(*run, "demo", "/etc", code=126))
        self.assertIn("permission denied", self.fails(*run, "demo", "/etc/passwd", code=126))
        self.hull(*run, "demo", "sh", "-c", "exit 7", code=7)
        self.hull(*run, "--init", "demo", "sh", "-c", "kill -TERM $$", code=143)
        self.assertIn("No such image: nosuch:1", self.fails("run", "--pull", "never", "nosuch:1", code=125))
        self.assertIn("Minimum memory limit allowed is 6MB", self.fails(*run, "-m", "1m", "demo", "true", code=125))
        self.assertIn("Invalid hostPort: 99999", self.fails("run", "-p", "99999:80", "demo", code=125))

    def test_errors_called_as_docker(self):
        self.assertTrue(self.docker("run", "-p", "99999:80", "demo", code=125).stderr.startswith("docker: Invalid hostPort: 99999\n\nRun '"))
        self.assertTrue(self.docker("run", "-m", "1m", "demo", code=125).stderr.startswith(
            "docker: Error response from daemon: Minimum memory limit allowed is 6MB\n\nRun 'docker run --help' for more information\n"))
        self.assertEqual(self.docker("rm", "nosuch", code=1).stderr, "Error response from daemon: No such container: nosuch\n")
        self.assertTrue(self.docker("-H", "tcp://a:1", "ps", code=1).stderr.startswith(
            "Cannot connect to the Docker daemon at tcp://a:1. Is the docker daemon running?\n"))
        self.assertRegex(self.docker("--version").stdout, r"^Docker version [0-9.]+, build ")
        # What Docker's client finds by itself is not the daemon's word.
        self.assertTrue(self.docker("run", "--dns", "x", "demo", code=125).stderr.startswith('invalid argument "x" for "--dns" flag: '))
        self.assertEqual(self.docker("run", code=1).stderr,
                         "docker: 'docker run' requires at least 1 argument\n\nUsage:  docker run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\n"
                         "See 'docker run --help' for more information\n")
        self.assertEqual(self.docker("run", "-it", "demo", code=1).stderr.splitlines()[0], "the input device is not a TTY")
        self.assertEqual(self.docker("cp", "a", "b", code=1).stderr.splitlines()[0], "must specify at least one container source")
        self.assertEqual(self.docker("update", "x", code=1).stderr, "you must provide one or more flags when using this command\n")
        self.assertEqual(self.docker("login", "--password-stdin", code=1).stderr, "the --password-stdin option requires --username to be set\n")
        self.assertEqual(self.docker("container", "nosuch", code=1).stderr,
                         "docker: unknown command: docker container nosuch\n\nUsage:  docker container\n\n"
                         "Run 'docker container --help' for more information\n")
        self.assertIn("Invalid escape keys (nosuch)", self.docker("run", "--detach-keys", "nosuch", "demo", "true", code=125).stderr)

    # ---- the dial

    def test_isolation(self):
        run = ("run", "--rm", "--network", "none")
        self.assertEqual(self.hull.out(*run, "--isolation", "container", "demo", "echo", "in"), "in")
        for name in ("default", "process", "runc"):
            self.assertEqual(self.hull.out(*run, "-I", name, "demo", "echo", "in"), "in")
        auto = self.hull(*run, "--isolation=auto", "demo", "echo", "in")
        self.assertEqual(auto.out, "in\n")
        self.assertIn("isolation auto: container", auto.err)
        for name, level in (("vm", "vm"), ("wasm", "wasm")):
            text = self.fails(*run, "-I", name, "demo", "true", code=125)
            self.assertIn(f"isolation level {level} is not available\n  why: ", text)
            self.assertIn("  try: --isolation=container", text)
        # Names for a virtual machine; where none can run, that is said and nothing weaker taken.
        for words in (("-I", "microvm"), ("-I", "kata"), ("-I", "hyperv"), ("--runtime", "io.containerd.kata.v2")):
            done = self.hull(*run, *words, "demo", "uname", "-r", code=None)
            if done.returncode:
                self.assertEqual((done.returncode, done.out), (125, ""))
                self.assertRegex(done.err, "KVM|/dev/kvm|kernel for microvm")
            else:
                self.assertNotEqual(done.out.strip(), os.uname().release)
        self.assertIn("level wasm", self.fails(*run, "--platform", "wasi/wasm", "demo", "true", code=125))
        self.assertIn("unknown or invalid runtime name: x", self.fails(*run, "--runtime", "x", "demo", "true", code=125))
        self.assertIn("try: --isolation microvm", self.fails(*run, "-I", "micorvm", "demo", "true", code=125))
        # A default of the user's is a level asked for, too.
        self.assertIn("level vm", self.fails(*run, "demo", "true", code=125, env={"HULL_ISOLATION": "vm"}))
        self.assertEqual(self.hull.out("ps", "-aq"), "")

    # ---- global options

    def test_other_engines_are_refused(self):
        self.assertIn("cannot connect to tcp://x\n  why: ", self.fails("-H", "tcp://x", "ps"))
        self.assertIn('context "other" is not known', self.fails("--context", "other", "ps"))
        self.assertIn("cannot use the engine that DOCKER_HOST names", self.fails("ps", env={"DOCKER_HOST": "unix:///x"}))
        self.assertIn("try: env -u HULL_HOST hull", self.fails("run", "demo", code=125, env={"HULL_HOST": "x"}))
        self.hull("--context", "default", "ps")
        self.hull("--context", "default", "ps", env={"DOCKER_HOST": "unix:///x"})
        # What touches no container needs none.
        self.hull("version", env={"DOCKER_HOST": "unix:///x"})
        self.hull("run", "--help", env={"DOCKER_HOST": "unix:///x"})

    def test_log_level_and_debug(self):
        self.assertNotIn("debug:", self.fails("rm", "nosuch"))
        for flags in (("-D",), ("--debug",), ("-l", "debug"), ("--log-level=debug",)):
            self.assertIn(f"debug: kind not-found, errno ", self.fails(*flags, "rm", "nosuch"))
        self.assertIn('invalid argument "loud" for "-l, --log-level" flag', self.fails("-l", "loud", "ps", code=2))
        quiet = self.hull("-l", "error", "run", "--rm", "--network", "none", "-I", "auto", "demo", "true")
        self.assertEqual(quiet.err, "")

    def test_error_format(self):
        done = self.hull("--error-format", "json", "run", "-I", "vm", "demo", code=125)
        error = json.loads(done.err)
        self.assertEqual((error["code"], error["message"]), ("unsupported", "isolation level vm is not available"))
        self.assertTrue(error["why"] and error["try"])
        self.assertIn("it is text or json", self.fails("--error-format", "xml", "ps", code=2))

    def test_directories(self):
        with tempfile.TemporaryDirectory() as other:
            self.assertEqual(self.hull.out("--root", f"{other}/root", "--run", f"{other}/run", "images", "-q"), "")
            self.assertTrue(os.path.exists(f"{other}/root/hull.db"))

    def test_without_root(self):
        env = {key: value for key, value in self.hull.env.items() if key not in ("HULL_ROOT", "HULL_RUN")}
        with tempfile.TemporaryDirectory() as home:
            program = pathlib.Path(home, "hull")
            program.write_bytes(self.hull.bin.resolve().read_bytes())
            os.chmod(home, 0o755)
            os.chmod(program, 0o755)
            need(os.geteuid() == 0, "needs root to become somebody else")

            def as_nobody(*args):
                return subprocess.run([str(program), *args], user=65534, group=65534, extra_groups=[], env=env, cwd="/",
                                      capture_output=True, text=True, check=False)
            done = as_nobody("run", "-it", "demo", "sh")
            self.assertEqual(done.returncode, 125)
            self.assertTrue(done.stderr.startswith("hull: must be run as root\n  why: "), done.stderr)
            self.assertIn("  try: sudo hull run -it demo sh\n", done.stderr)
            self.assertEqual(as_nobody("ps").returncode, 1)
            self.assertEqual(as_nobody("--version").returncode, 0)
            self.assertEqual(as_nobody("help", "run").returncode, 0)

    # ---- doctor

    def test_doctor(self):
        text = self.hull.out("doctor")
        self.assertRegex(text, r"(?m)^ok +kernel ")
        self.assertRegex(text, r"(?m)^ok +container$")
        self.assertRegex(text, r"(?m)^no +vm +its machine")
        # What a guest has found out.
        self.assertRegex(text, r"(?m)^(ok +microvm$|no +microvm +(a probe guest found|this machine has no))")
        report = json.loads(self.hull.out("doctor", "--format", "json"))
        self.assertTrue(report["ok"])
        self.assertEqual([level["name"] for level in report["levels"]], ["container", "sandbox", "microvm", "vm", "wasm"])
        for check in report["checks"]:
            self.assertIn(check["state"], ("ok", "limited"))
            # Whatever is less than well says why, and what to type.
            self.assertEqual(check["state"] != "ok", bool(check["why"]) and bool(check["try"]), check)
        names = {check["name"] for check in report["checks"]}
        self.assertLessEqual({"kernel", "cgroups", "user namespaces", "overlayfs", "id-mapped mounts", "EROFS", "seccomp", "nftables",
                              "IP forwarding", "KVM", "disk"}, names)
        self.assertEqual(self.hull.out("doctor", "--format", "{{(index .levels 0).available}}"), "true")

    def test_doctor_fails_only_when_containers_cannot_work(self):
        done = self.hull("doctor", env={"HULL_LIBEXECDIR": "/nonexistent"}, code=1)
        self.assertRegex(done.out, r"(?m)^missing +programs")
        self.assertRegex(done.out, r"(?m)^no +container +programs: ")
        self.assertIn("try: ", done.out)
        # Without nft there is still a network of the host's.
        report = json.loads(self.hull.out("doctor", "--format", "json", env={"PATH": "/nonexistent"}))
        self.assertTrue(report["ok"])

    def test_doctor_changes_nothing(self):
        with tempfile.TemporaryDirectory() as work:
            before = open("/proc/self/mountinfo", encoding="utf-8").read(), subprocess.check_output(["ip", "link"])
            self.hull("doctor", env={"HULL_ROOT": f"{work}/root", "HULL_RUN": f"{work}/run"})
            self.assertEqual(os.listdir(work), [])
            self.assertEqual(before, (open("/proc/self/mountinfo", encoding="utf-8").read(), subprocess.check_output(["ip", "link"])))

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([str(self.hull.bin), "help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("write the output: No space left on device", done.stderr)


if __name__ == "__main__":
    main()
