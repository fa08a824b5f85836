#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What run's options do, seen from inside the container."""
import io
import json
import os
import pathlib
import re
import subprocess
import tarfile
import unittest

from lib.hull import HullTest, busybox_tar, main, need


class Options(HullTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.hull("import", "-c", "USER user", "-c", "ENV FROM=image", "-c", "ENV BOTH=image", "-c", "WORKDIR /work/dir",
                 "-c", 'ENTRYPOINT ["/bin/echo", "entry"]', "-c", 'CMD ["cmd"]', "-c", "STOPSIGNAL USR1", "-", "made", input=busybox_tar())

    def setUp(self):
        self.dir = pathlib.Path(self.hull.dir)

    def sh(self, script, *flags, image="demo", net="none", **kwargs):
        return self.hull.out("run", "--rm", *(("--network", net) if net else ()), *flags, image, "sh", "-c", script, **kwargs)

    def refused(self, *flags, code=125):
        return self.hull("run", "--rm", *flags, "demo", "true", code=code).err

    # ---- who

    def test_user(self):
        who = "id -u; id -g; id -G; echo $HOME"
        for user, expected in (
                ("user", ["1000", "1000", "1000 2000", "/home/user"]), ("1000", ["1000", "1000", "1000 2000", "/home/user"]),
                ("user:extra", ["1000", "2000", "2000", "/home/user"]), ("1000:55", ["1000", "55", "55", "/home/user"]),
                ("4321", ["4321", "0", "0", "/"]), ("4321:4321", ["4321", "4321", "4321", "/"]),
                ("0:2000", ["0", "2000", "2000", "/root"]), ("root", ["0", "0", "0", "/root"])):
            self.assertEqual(self.sh(who, "--user", user).splitlines(), expected, user)
        self.assertIn("unable to find user nobody-there: no matching entries in passwd file", self.refused("-u", "nobody-there"))
        self.assertIn("unable to find group no-such-group: no matching entries in group file", self.refused("-u", "user:no-such-group"))

    def test_user_of_the_image_and_groups(self):
        self.assertEqual(self.hull.out("run", "--rm", "--entrypoint", "id", "made", "-un"), "user")
        self.assertEqual(self.hull.out("run", "--rm", "--entrypoint", "id", "-u", "0", "made", "-u"), "0")
        out = self.sh("id -G", "--group-add", "extra", "--group-add", "777", "-u", "4321").split()
        self.assertLessEqual({"2000", "777"}, set(out))
        self.assertIn("nonesuch", self.refused("--group-add", "nonesuch"))

    def test_user_in_exec(self):
        self.hull("run", "-d", "--name", "ue", "--group-add", "777", "-u", "user", "--network", "none", "demo", "sleep", "600")
        self.assertEqual(self.hull.out("exec", "ue", "sh", "-c", "id -u; echo $HOME").split(), ["1000", "/home/user"])
        self.assertEqual(set(self.hull.out("exec", "ue", "id", "-G").split()), {"1000", "2000", "777"})
        self.assertEqual(self.hull.out("exec", "-u", "0", "-w", "/tmp", "-e", "X=1", "ue", "sh", "-c", "id -u; pwd; echo $X").split(),
                         ["0", "/tmp", "1"])

    # ---- where

    def test_workdir(self):
        self.assertEqual(self.sh("pwd; stat -c '%u:%g %a' . ..", "-w", "/new/place", "-u", "user").splitlines(),
                         ["/new/place", "0:0 755", "0:0 755"])
        self.assertEqual(self.hull.out("run", "--rm", "--entrypoint", "pwd", "made"), "/work/dir")
        self.assertIn("absolute", self.refused("-w", "relative"))
        self.assertIn("Not a directory", self.hull("run", "--rm", "-w", "/etc/passwd", "demo", "true", code=None).err)

    def test_entrypoint_and_command(self):
        run = lambda *args: self.hull.out("run", "--rm", "--network", "none", *args)
        self.assertEqual(run("made"), "entry cmd")
        self.assertEqual(run("made", "other", "words"), "entry other words")
        self.assertEqual(run("--entrypoint", "/bin/echo", "made"), "")
        self.assertEqual(run("--entrypoint", "", "made", "echo", "bare"), "bare")
        self.assertIn("no command specified", self.hull("run", "--rm", "--entrypoint", "", "made", code=125).err)

    # ---- environment

    def test_environment(self):
        env_file, other = self.dir / "env", self.dir / "env2"
        env_file.write_text("# remark\n\nA=1\nB=two words\nC='quoted'\nFROM_HOST\nNOT_SET\nBOTH=file\n")
        other.write_text("A=2\n")
        out = self.hull.out("run", "--rm", "--network", "none", "--entrypoint", "env", "--env-file", env_file, "-e", "BOTH=flag", "-e", "HOSTED",
                            "-e", "EMPTY=", "made", env={"FROM_HOST": "seen", "HOSTED": "yes"})
        got = dict(line.split("=", 1) for line in out.splitlines())
        self.assertEqual({k: got.get(k) for k in ("A", "B", "C", "FROM_HOST", "NOT_SET", "BOTH", "HOSTED", "EMPTY", "FROM", "HOME")},
                         {"A": "1", "B": "two words", "C": "'quoted'", "FROM_HOST": "seen", "NOT_SET": None, "BOTH": "flag", "HOSTED": "yes",
                          "EMPTY": "", "FROM": "image", "HOME": "/home/user"})
        self.assertEqual(got["PATH"], "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        self.assertEqual(got["HOSTNAME"], got["HOSTNAME"].lower())
        self.assertNotIn("HULL_ROOT", got)
        self.assertEqual(self.sh("echo $A", "--env-file", env_file, "--env-file", other), "2")
        self.assertIn("no such file", self.refused("--env-file", "/nonexistent").lower())
        (self.dir / "bad").write_text("has space=1\n")
        self.assertIn("contains whitespaces", self.refused("--env-file", self.dir / "bad"))
        self.assertEqual(self.sh("echo -n \"$NL\" | wc -l", "-e", "NL=a\nb"), "1")

    # ---- names

    def test_hostname_and_hosts(self):
        out = self.sh("hostname; cat /etc/hostname; cat /etc/hosts", "-h", "box", "--domainname", "example.org", "--add-host", "db:10.1.2.3",
                      "--add-host", "six:fd00::7", "--add-host=eq=10.9.8.7", net=None)
        lines = out.splitlines()
        self.assertEqual(lines[:2], ["box", "box"])
        hosts = dict(reversed(line.split(None, 1)) for line in lines[2:] if line)
        self.assertEqual({k: hosts.get(k) for k in ("db", "six", "eq")}, {"db": "10.1.2.3", "six": "fd00::7", "eq": "10.9.8.7"})
        self.assertIn("box.example.org box", hosts)
        self.assertIn("127.0.0.1\tlocalhost", lines)
        gateway = self.sh("ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p'; grep gw /etc/hosts", "--add-host", "gw:host-gateway", net=None).split()
        self.assertEqual(gateway[0], gateway[1])
        self.assertIn("invalid IP address", self.refused("--add-host", "x:not-an-address"))
        self.assertIn("bad format for add-host", self.refused("--add-host", "justaname"))
        short = self.sh("hostname", net=None)
        self.assertRegex(short, "^[0-9a-f]{12}$")
        self.assertIn("invalid hostname format", self.refused("-h", "bad host"))

    def test_resolv_conf(self):
        out = self.sh("cat /etc/resolv.conf", "--dns", "1.2.3.4", "--dns", "9.9.9.9", "--dns-search", "a.example", "--dns-search", "b.example",
                      "--dns-opt", "ndots:3", net=None)
        words = [line.split() for line in out.splitlines() if not line.startswith("#")]
        self.assertEqual([w[1] for w in words if w and w[0] == "nameserver"], ["1.2.3.4", "9.9.9.9"])
        self.assertIn(["search", "a.example", "b.example"], words)
        self.assertIn(["options", "ndots:3"], words)
        self.assertNotIn("search", self.sh("cat /etc/resolv.conf", "--dns-search", ".", net=None))
        self.assertIn("is not an ip address", self.refused("--dns", "name").lower())
        # The files belong to the container: it can change them.
        self.assertEqual(self.sh("echo '# mine' >> /etc/hosts && tail -n 1 /etc/hosts"), "# mine")

    def test_names_with_the_host_s_network(self):
        self.assertEqual(self.sh("hostname", net="host"), os.uname().nodename)
        with open("/etc/hosts", encoding="utf-8") as f:
            self.assertEqual(self.sh("cat /etc/hosts", net="host"), f.read().strip())
        self.assertEqual(self.sh("hostname", "-h", "own", net="host"), "own")

    def test_names_with_a_container_s_network(self):
        self.hull("run", "-d", "--name", "net", "-h", "theirs", "--add-host", "x:1.1.1.1", "--dns", "4.3.2.1", "demo", "sleep", "600")
        out = self.sh("hostname; cat /etc/hosts /etc/resolv.conf; ip -4 -o addr show eth0", net="container:net")
        self.assertEqual(out.splitlines()[0], "theirs")
        self.assertIn("1.1.1.1\tx", out)
        self.assertIn("nameserver 4.3.2.1", out)
        address = self.hull.out("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "net")
        self.assertIn(address, out)
        for flags, message in ((("-h", "x"), "conflicting options: hostname and the network mode"),
                               (("--dns", "1.1.1.1"), "conflicting options: dns and the network mode"),
                               (("--add-host", "a:1.1.1.1"), "conflicting options: custom host-to-IP mapping and the network mode"),
                               (("-p", "80:80"), "conflicting options: port publishing and the container type network mode"),
                               (("--expose", "80"), "conflicting options: port exposing and the container type network mode"),
                               (("--mac-address", "02:42:ac:11:00:09"), "conflicting options: mac-address and the network mode")):
            self.assertIn(message, self.refused("--network", "container:net", *flags), flags)

    # ---- processes

    def test_init(self):
        self.assertEqual(self.sh("cat /proc/1/comm", "--init"), "hull-init")
        self.assertEqual(self.sh("(sleep 0.05 & ) ; sleep 0.3; ps -o stat | grep -c '^Z'; true", "--init"), "0")
        self.hull("run", "--rm", "--init", "demo", "sh", "-c", "exit 7", code=7)

    def test_ulimits(self):
        out = self.sh("ulimit -n; ulimit -Hn; ulimit -c; ulimit -u", "--ulimit", "nofile=100:200", "--ulimit", "core=-1", "--ulimit", "nproc=50")
        self.assertEqual(out.split(), ["100", "200", "unlimited", "50"])
        self.hull("run", "-d", "--name", "ul", "--ulimit", "nofile=111:222", "--network", "none", "demo", "sleep", "600")
        self.assertEqual(self.hull.out("exec", "ul", "sh", "-c", "ulimit -n; ulimit -Hn").split(), ["111", "222"])
        self.assertIn("invalid ulimit type: bogus", self.refused("--ulimit", "bogus=1"))
        self.assertIn("ulimit soft limit must be less than or equal to hard limit", self.refused("--ulimit", "nofile=5:4"))

    def test_oom_score(self):
        self.assertEqual(self.sh("cat /proc/self/oom_score_adj", "--oom-score-adj", "555"), "555")
        self.assertIn("Invalid value 2000, range for oom score adj is [-1000, 1000]", self.refused("--oom-score-adj", "2000"))

    def test_sysctls(self):
        out = self.sh("cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax /proc/sys/fs/mqueue/msg_max /proc/sys/net/core/somaxconn",
                      "--sysctl", "net.ipv4.ip_unprivileged_port_start=0", "--sysctl", "kernel.msgmax=10000", "--sysctl", "fs.mqueue.msg_max=20",
                      "--sysctl", "net.core.somaxconn=99")
        self.assertEqual(out.split(), ["0", "10000", "20", "99"])
        for flags, message in ((("--sysctl", "kernel.panic=1"), "sysctl 'kernel.panic=1' is not allowed"),
                               (("--sysctl", "net.core.somaxconn=1", "--network", "host"), "not allowed in host network namespace"),
                               (("--sysctl", "kernel.msgmax=1", "--ipc", "host"), "not allowed in host ipc namespace"),
                               (("--sysctl", "../../etc/x=1"), "sysctl")):
            self.assertIn(message, self.refused(*flags), flags)

    # ---- privileges

    def caps(self, *flags):
        status = self.sh("grep -E 'Cap(Eff|Bnd|Prm|Amb|Inh)' /proc/self/status", *flags)
        return {line.split(":")[0]: int(line.split()[1], 16) for line in status.splitlines()}

    def test_capabilities(self):
        default = self.caps()
        self.assertEqual((default["CapEff"], default["CapBnd"], default["CapInh"], default["CapAmb"]), (0xa80425fb, 0xa80425fb, 0, 0))
        added = self.caps("--cap-add", "sys_time", "--cap-add", "CAP_NET_ADMIN")
        self.assertEqual(added["CapEff"], 0xa80425fb | 1 << 25 | 1 << 12)
        self.assertEqual(self.caps("--cap-drop", "CHOWN")["CapEff"], 0xa80425fa)
        self.assertEqual(self.caps("--cap-drop", "ALL", "--cap-add", "KILL")["CapBnd"], 1 << 5)
        self.assertGreater(bin(self.caps("--cap-add", "ALL")["CapEff"]).count("1"), 36)
        self.assertEqual(self.caps("-u", "user")["CapEff"], 0)
        self.assertIn("invalid capadd: unknown capability", self.refused("--cap-add", "NONSENSE").lower())
        self.assertIn("not permitted", self.sh("chown user /root 2>&1; true", "--cap-drop", "CHOWN"))

    def test_security_options(self):
        self.assertIn("NoNewPrivs:\t1", self.sh("cat /proc/self/status", "--security-opt", "no-new-privileges:true"))
        self.assertIn("NoNewPrivs:\t0", self.sh("cat /proc/self/status", "--security-opt", "no-new-privileges=false"))
        for accepted in ("apparmor=unconfined", "label=disable", "label:type:x", "seccomp:unconfined"):
            self.sh("true", "--security-opt", accepted)
        self.assertEqual(self.sh("cat /proc/kcore 2>&1 | head -c 1 | wc -c; echo ok > /proc/sys/kernel/domainname && echo written",
                                 "--security-opt", "systempaths=unconfined", "--userns=host").split()[-1], "written")
        self.assertIn("invalid --security-opt", self.refused("--security-opt", "nonsense").lower())
        self.assertIn("nonexistent", self.refused("--security-opt", "seccomp=/nonexistent"))
        profile = self.dir / "profile.json"
        profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW",
                                       "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}))
        self.assertIn("No space left", self.sh("mkdir /x 2>&1; true", "--security-opt", f"seccomp={profile}"))
        profile.write_text("{broken")
        self.assertIn("seccomp", self.refused("--security-opt", f"seccomp={profile}").lower())

    def test_privileged(self):
        out = self.sh("ls /dev | wc -l; grep Seccomp: /proc/self/status; mkdir -p /m && mount -t tmpfs t /m && echo mounted; "
                      "touch /sys/kernel/x 2>&1; cat /proc/self/uid_map; grep ' /sys ' /proc/mounts", "--privileged")
        self.assertIn("Seccomp:\t0", out)
        self.assertIn("mounted", out)
        self.assertNotIn("Read-only", out)
        self.assertIn("4294967295", out)
        self.assertGreater(int(out.split()[0]), len(self.sh("ls /dev").split()))

    def test_user_namespace_of_the_host(self):
        out = self.sh("cat /proc/self/uid_map; touch /f; stat -c %u /f", "--userns=host").split()
        self.assertEqual(out, ["0", "0", "4294967295", "0"])
        self.assertIn("invalid", self.refused("--userns", "nonsense").lower())

    # ---- namespaces

    def test_modes_that_do_not_exist(self):
        for flag in ("--pid", "--ipc", "--uts", "--cgroupns"):
            self.assertIn("invalid", self.refused(flag, "nonsense").lower(), flag)
        self.assertIn("No such container: nobody", self.refused("--pid", "container:nobody"))
        self.assertIn("conflicting options: hostname and the UTS mode", self.refused("--uts", "host", "-h", "x"))

    def test_joining_a_stopped_container(self):
        self.hull("create", "--name", "still", "demo")
        for flag, what in (("--pid", "PID"), ("--ipc", "IPC"), ("--network", "network")):
            self.assertIn("non running container", self.refused(flag, "container:still"), what)

    def test_cgroup_namespace(self):
        self.assertTrue(all(line.endswith(":/") for line in self.sh("cat /proc/self/cgroup").splitlines()))
        self.assertIn("/hull/", self.sh("cat /proc/self/cgroup", "--cgroupns", "host"))

    def test_host_namespaces_see_the_host(self):
        self.assertEqual(self.sh("cat /proc/1/comm", "--pid", "host"), pathlib.Path("/proc/1/comm").read_text().strip())
        self.assertEqual(self.sh("hostname", "--uts", "host"), os.uname().nodename)

    # ---- devices

    def test_devices(self):
        out = self.sh("ls -l /dev/mine /dev/full2; head -c 2 /dev/mine | wc -c; echo x > /dev/mine 2>&1; cat /dev/full2 | head -c 1 | wc -c; "
                      "(echo x > /dev/full2) 2>&1; true", "--device", "/dev/zero:/dev/mine:r", "--device", "/dev/full:/dev/full2")
        self.assertRegex(out, r"c\S+ .* 1, +5 .* /dev/mine")
        self.assertIn("\n2\n", out)
        self.assertIn("error gathering device information while adding custom device", self.refused("--device", "/dev/nonexistent"))
        self.assertIn("bad mode specified: q", self.refused("--device", "/dev/zero:/dev/z:q"))
        denied = self.sh("mknod /dev/k c 1 11 && cat /dev/k 2>&1; true", "--userns=host")
        self.assertIn("not permitted", denied)
        allowed = self.sh("mknod /z c 1 5 && head -c 3 /z | wc -c", "--userns=host", "--device-cgroup-rule", "c 1:5 rwm", "--cap-add", "MKNOD")
        self.assertEqual(allowed, "3")
        self.assertIn("invalid device cgroup format", self.refused("--device-cgroup-rule", "nonsense"))

    def test_device_is_read_only_by_its_rule(self):
        need(pathlib.Path("/dev/loop-control").exists(), "the host has no /dev/loop-control")
        script = ": < /dev/r && echo read; (: > /dev/r) 2>&1; stat -c %u:%g /dev/r"
        for flags in ((), ("--userns=host",)):
            out = self.sh(script, "--device", "/dev/loop-control:/dev/r:r", *flags)
            self.assertIn("read\n", out)
            self.assertIn("not permitted", out)
            self.assertIn("0:", out)

    def test_device_elsewhere(self):
        out = self.sh("head -c 3 /opt/deep/zero | wc -c; ls -A /dev /opt/deep", "--device", "/dev/zero:/opt/deep/zero", "--device", "/dev/zero:/dev/sub/zero")
        self.assertEqual(out.split()[0], "3")
        self.assertNotIn(".hull", out)
        self.assertIn("sub", out.split())

    # ---- the rest

    def test_labels(self):
        labels = self.dir / "labels"
        labels.write_text("# remark\na=1\nb\n")
        self.hull("create", "--name", "ll", "-l", "c=3", "--label-file", labels, "--annotation", "x=y", "demo")
        info = json.loads(self.hull.out("inspect", "ll"))[0]
        self.assertEqual(info["Config"]["Labels"], {"a": "1", "b": "", "c": "3"})
        self.assertEqual(info["HostConfig"]["Annotations"], {"x": "y"})

    def test_cidfile(self):
        path = self.dir / "cid"
        ident = self.hull.out("create", "--cidfile", path, "demo")
        self.assertEqual(path.read_text(), ident)
        self.assertIn("container ID file found", self.refused("--cidfile", path))

    def test_stop_signal(self):
        self.hull("run", "-d", "--name", "ss", "--network", "none", "--stop-signal", "USR2", "--stop-timeout", "9", "demo", "sh", "-c",
                  "trap 'exit 22' USR2; touch /ready; while :; do sleep 0.02; done")
        self.eventually(lambda: self.hull("exec", "ss", "test", "-e", "/ready", code=None).returncode == 0)
        self.hull("stop", "ss")
        self.assertEqual(self.hull.out("inspect", "-f", "{{.State.ExitCode}}", "ss"), "22")

    def test_read_only(self):
        out = self.sh("touch /x 2>&1; touch /etc/y 2>&1; echo ok > /dev/shm/z && echo fine", "--read-only")
        self.assertEqual(out.count("Read-only"), 2)
        self.assertIn("fine", out)

    def test_everything_together(self):
        out = self.hull.out("run", "--rm", "--init", "--read-only", "--tmpfs", "/tmp", "-u", "user", "-w", "/home/user", "-h", "all", "-e", "E=1",
                            "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--ulimit", "nofile=64", "--pids-limit", "50", "-m", "64m",
                            "--cpus", "1", "--sysctl", "net.core.somaxconn=55", "--oom-score-adj", "100", "--shm-size", "1m", "-v", "/data",
                            "--device", "/dev/zero:/dev/mine", "--dns", "1.1.1.1", "--add-host", "a:1.1.1.1", "--label", "x=y", "demo",
                            "sh", "-c", "id -u; pwd; hostname; echo $E; ulimit -n; touch /tmp/x && echo tmp")
        self.assertEqual(out.split(), ["1000", "/home/user", "all", "1", "64", "tmp"])


if __name__ == "__main__":
    main()
