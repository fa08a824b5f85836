#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Networks of one's own: made, joined, left, while containers run and while they
do not; what reaches whom, and what does not; IPv6; macvlan; wrong input."""
import ipaddress
import json
import socket
import subprocess
import unittest

from lib.hull import HullTest, main, need

LISTEN = ("nc", "-ll", "-p", "7000", "-e", "echo", "here")
OUTSIDE4, OUTSIDE6 = "198.51.100.2", "2001:db8:ffff::2"


def run(*args, **more):
    return subprocess.run(args, check=True, capture_output=True, text=True, **more).stdout


class Host:
    """Another host: a network namespace with a link to ours."""

    def __init__(self, link, own, theirs):
        self.child = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up; echo; exec sleep 600"],
                                      stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.child.stdout.readline()
        self.link = link
        run("ip", "link", "add", link, "type", "veth", "peer", "name", "wan", "netns", str(self.child.pid))
        for address in own:
            run("ip", "addr", "add", address, "dev", link, *(["nodad"] if ":" in address else []))
        run("ip", "link", "set", link, "up")
        for address in theirs:
            self("ip", "addr", "add", address, "dev", "wan", *(["nodad"] if ":" in address else []))
        self("ip", "link", "set", "wan", "up")

    def __call__(self, *args, **more):
        return run("nsenter", "-t", str(self.child.pid), "-n", *args, **more)

    def serve(self, family, port):
        """Answer every connection with the peer's address."""
        code = ("import socket,sys\n"
                f"s=socket.socket({int(family)});s.setsockopt(1,2,1);s.bind(('',{port}));s.listen();print(flush=True)\n"
                "while 1:\n c,a=s.accept();c.sendall((a[0]+'\\n').encode());c.close()")
        child = subprocess.Popen(["nsenter", "-t", str(self.child.pid), "-n", "python3", "-c", code], stdout=subprocess.PIPE)
        child.stdout.readline()
        return child

    def close(self):
        self.child.kill()
        self.child.communicate()
        subprocess.run(["ip", "link", "del", self.link], check=False, capture_output=True)


class NetworkTest(HullTest):
    def tearDown(self):
        self.hull.remove_all()
        for name in self.hull.out("network", "ls", "-q", "--filter", "type=custom").split():
            self.hull("network", "rm", name)
        super().tearDown()

    def inspect(self, name, path):
        return self.hull.out("inspect", "-f", "{{json %s}}" % path, name)

    def networks_of(self, name):
        return json.loads(self.inspect(name, ".NetworkSettings.Networks"))

    def address(self, name, network, key="IPAddress"):
        return self.networks_of(name)[network][key]

    def network(self, name):
        return json.loads(self.hull.out("network", "inspect", name))[0]

    def serve(self, name, *flags):
        self.hull("run", "-d", "--name", name, *flags, "demo", *LISTEN)

    def reaches(self, name, address, port=7000, wait="1"):
        done = self.hull("exec", name, "nc", "-w", wait, address, str(port), code=None, timeout=20)
        return done.out.strip() or None

    def becomes_reachable(self, name, address):
        self.eventually(lambda: self.reaches(name, address) == "here")


class Objects(NetworkTest):
    def test_made_listed_shown_removed(self):
        id = self.hull.out("network", "create", "--label", "a=b", "--label", "c", "app")
        self.assertRegex(id, "^[0-9a-f]{64}$")
        listed = self.hull.out("network", "ls").splitlines()
        self.assertRegex(listed[0], r"^NETWORK ID +NAME +DRIVER +SCOPE$")
        self.assertEqual([line.split()[1:] for line in listed[1:]],
                         [["app", "bridge", "local"], ["bridge", "bridge", "local"], ["host", "host", "local"], ["none", "null", "local"]])
        self.assertEqual(self.hull.out("network", "ls", "-q", "--no-trunc", "--filter", "name=app"), id)
        self.assertEqual(json.loads(self.hull.out("network", "ls", "--filter", "label=a=b", "--format", "json"))["Labels"], "a=b,c=")
        for query, names in (("driver=host", "host"), ("type=custom", "app"), ("type=builtin", "bridge host none"),
                             ("label=x", ""), ("id=" + id[:12], "app"), ("scope=local", "app bridge host none"),
                             ("dangling=true", "app"), ("scope=swarm", "")):
            out = self.hull.out("network", "ls", "--filter", query, "--format", "{{.Name}}").split()
            self.assertEqual(out, names.split(), query)
        self.assertIn("invalid filter", self.hull("network", "ls", "--filter", "nope=1", code=1).err)
        shown = self.network(id[:10])
        self.assertEqual((shown["Name"], shown["Id"], shown["Driver"], shown["Scope"], shown["EnableIPv6"]), ("app", id, "bridge", "local", False))
        config = shown["IPAM"]["Config"][0]
        self.assertIn(ipaddress.ip_address(config["Gateway"]), ipaddress.ip_network(config["Subnet"]))
        self.assertEqual(shown["Labels"], {"a": "b", "c": ""})
        self.assertIn(shown["Bridge"], run("ip", "-o", "link"))
        self.assertEqual(self.hull.out("inspect", "-f", "{{.Name}} {{.Driver}}", "app"), "app bridge")
        self.assertEqual(self.hull.out("inspect", "--type", "network", "-f", "{{.Id}}", "app"), id)
        self.assertIn("network nope not found", self.hull("inspect", "--type", "network", "nope", code=1).err)
        self.assertEqual(self.hull.out("network", "rm", "app"), "app")
        self.assertNotIn(shown["Bridge"], run("ip", "-o", "link"))
        self.assertIn("network app not found", self.hull("network", "inspect", "app", code=1).err)
        self.assertEqual(self.hull("network", "inspect", "app", code=1).out.strip(), "[]")
        self.assertIn("network app not found", self.hull("network", "rm", "app", code=1).err)
        self.hull("network", "rm", "-f", "app")

    def test_built_in_networks_stay(self):
        for name in ("bridge", "host", "none"):
            self.assertIn(f"{name} is a pre-defined network and cannot be removed", self.hull("network", "rm", name, code=1).err)
            self.assertIn(f"operation is not permitted on predefined {name} network", self.hull("network", "create", name, code=1).err)
        config = self.network("bridge")["IPAM"]["Config"][0]
        self.assertEqual(config["Gateway"], str(ipaddress.ip_network(config["Subnet"])[1]))
        self.assertIn('only one instance of "host" network is allowed', self.hull("network", "create", "-d", "host", "x", code=1).err)

    def test_wrong_input(self):
        self.hull("network", "create", "--subnet", "10.5.0.0/16", "taken")
        for flags, text in (
                (["--subnet", "10.5.3.0/24"], "Pool overlaps with other one on this address space"),
                (["--subnet", "10.5.3.0/24"], "which the network taken has"),
                (["--subnet", "10.6.0.0"], "invalid CIDR block notation"),
                (["--subnet", "10.6.0.1/16"], "invalid subnet 10.6.0.1/16: it should be 10.6.0.0/16"),
                (["--subnet", "10.6.0.0/16", "--subnet", "10.7.0.0/16"], "bridge driver doesn't support multiple subnets"),
                (["--subnet", "10.6.0.0/31"], "no room"),
                (["--subnet", "10.6.0.0/16", "--gateway", "10.7.0.1"], "no matching subnet for gateway 10.7.0.1"),
                (["--gateway", "10.7.0.1"], "no matching subnet for gateway 10.7.0.1"),
                (["--subnet", "10.6.0.0/16", "--gateway", "10.6.0.0"], "it is the subnet's own address"),
                (["--subnet", "10.6.0.0/16", "--ip-range", "10.7.0.0/24"], "no matching subnet for range 10.7.0.0/24"),
                (["--subnet", "10.6.0.0/24", "--ip-range", "10.6.0.0/16"], "no matching subnet for range 10.6.0.0/16"),
                (["--subnet", "10.6.0.0/16", "--aux-address", "a=10.7.0.1"], "no matching subnet for aux-address 10.7.0.1"),
                (["--driver", "overlay"], 'plugin "overlay" not found'),
                (["--driver", "brigde"], "did you mean bridge?"),
                (["--driver", "macvlan"], "needs a parent link"),
                (["--driver", "macvlan", "-o", "parent=nothere0"], "nothere0 is not there"),
                (["-o", "com.docker.network.driver.mut=1400"], "did you mean com.docker.network.driver.mtu?"),
                (["-o", "com.docker.network.driver.mtu=12"], "68 to 65535"),
                (["-o", "com.docker.network.bridge.name=a/b"], "up to 15 characters"),
                (["--ipv4=false"], "IPv4 or IPv6 must be enabled"),
                (["--vlan", "7"], "--parent"),
                (["--vlan", "7000"], "it is 1 to 4094"),
                (["--scope", "swarm"], "hull has no swarm")):
            done = self.hull("network", "create", *flags, "new", code=1)
            self.assertIn(text, done.err, flags)
        self.assertIn("network with name taken already exists", self.hull("network", "create", "taken", code=1).err)
        for name in ("-x", "a/b", "x" * 256, ".x"):
            self.assertIn("invalid network name", self.hull("network", "create", "--", name, code=1).err, name)
        self.assertEqual(self.hull.out("network", "ls", "-q", "--filter", "type=custom", "--format", "{{.Name}}"), "taken")

    def test_one_with_a_running_container_stays(self):
        self.hull("network", "create", "app")
        self.hull("run", "-d", "--name", "one", "--network", "app", "demo", "sleep", "60")
        done = self.hull("network", "rm", "app", code=1)
        self.assertRegex(done.err, r'error while removing network: network app has active endpoints \(name:"one" id:"[0-9a-f]{12}"\)')
        self.assertIn("hull network disconnect app one", done.err)
        self.hull("stop", "-t", "0", "one")
        self.hull("network", "rm", "app")
        # The container remembers it; it starts again when there is one of the name.
        done = self.hull("start", "one", code=1)
        self.assertIn("network app not found", done.err)
        self.hull("network", "create", "app")
        self.hull("start", "one")

    def test_prune(self):
        for name in ("used", "idle", "old"):
            self.hull("network", "create", "--label", f"is={name}", name)
        self.hull("create", "--name", "one", "--network", "used", "demo", "true")
        out = self.hull.out("network", "prune", "-f", "--filter", "label!=is=old")
        self.assertEqual(out.splitlines(), ["Deleted Networks:", "idle"])
        self.assertEqual(self.hull.out("network", "prune", "--force").splitlines(), ["Deleted Networks:", "old"])
        self.assertEqual(self.hull.out("network", "prune", input="n\n").splitlines()[0],
                         "WARNING! This will remove all custom networks not used by at least one container.")
        self.assertIn("used", self.hull.out("network", "ls"))

    def test_a_subnet_of_the_host_is_told(self):
        run("ip", "link", "add", "office0", "up", "type", "bridge")
        run("ip", "addr", "add", "10.8.0.1/16", "dev", "office0")
        self.addCleanup(run, "ip", "link", "del", "office0")
        done = self.hull("network", "create", "--subnet", "10.8.7.0/24", "app")
        self.assertIn("warning: 10.8.7.0/24 overlaps 10.8.0.0/16, to which this host has a route by office0", done.err)
        self.assertRegex(done.out, "^[0-9a-f]{64}\n$")
        self.assertEqual(self.hull("network", "create", "--subnet", "10.11.7.0/24", "other").err, "")

    def test_system_prune_takes_networks_too(self):
        self.hull("network", "create", "--label", "keep", "kept")
        self.hull("network", "create", "idle")
        out = self.hull.out("system", "prune", "-f", "--filter", "label!=keep")
        self.assertIn("Deleted Networks:\nidle\n", out)
        self.assertIn("kept", self.hull.out("network", "ls"))

    def test_many_at_once(self):
        """Creators at the same time choose different subnets, and one of them gets the name."""
        children = [self.hull.start("network", "create", f"n{i % 20}") for i in range(24)]
        codes = [child.wait(timeout=60) for child in children]
        for child in children:
            child.communicate()
        self.assertEqual(sorted(codes), [0] * 20 + [1] * 4)
        subnets = [self.network(f"n{i}")["IPAM"]["Config"][0]["Subnet"] for i in range(20)]
        self.assertEqual(len(set(subnets)), 20)
        children = [self.hull.start("network", "rm", f"n{i}") for i in range(20)]
        self.assertEqual([child.wait(timeout=60) for child in children], [0] * 20)
        for child in children:
            child.communicate()

    def test_a_bridge_that_is_gone_is_made_again(self):
        """As after the machine went down."""
        self.hull("network", "create", "--ipv6", "app")
        run("ip", "link", "del", self.network("app")["Bridge"])
        self.hull("run", "--rm", "--network", "app", "demo", "ping", "-c", "1", "-W", "2", self.network("app")["IPAM"]["Config"][0]["Gateway"])
        run("ip", "link", "del", self.network("app")["Bridge"])
        self.hull("network", "rm", "app")

    def test_vlan_or_why_not(self):
        run("ip", "link", "add", "trunk0", "up", "type", "bridge")
        self.addCleanup(run, "ip", "link", "del", "trunk0")
        for flags in (["--parent", "trunk0", "--vlan", "50"], ["-d", "macvlan", "-o", "parent=trunk0.50"]):
            done = self.hull("network", "create", *flags, "tagged", code=None)
            if done.returncode == 0:
                self.assertIn("trunk0.50", run("ip", "-o", "link"))
                self.hull("network", "rm", "tagged")
            else:
                self.assertIn("cannot make trunk0.50: this kernel has no VLANs", done.err)
            self.assertNotIn("trunk0.50", run("ip", "-o", "link"))
            self.assertNotIn("tagged", self.hull.out("network", "ls"))

    def test_events(self):
        id = self.hull.out("network", "create", "app")
        self.hull("run", "--rm", "--name", "one", "--network", "app", "demo", "true")
        self.hull("network", "rm", "app")
        events = [json.loads(line) for line in self.hull.out("events", "--since", "1m", "--until", "0s", "--filter", "type=network",
                                                             "--format", "json").splitlines()]
        mine = [e for e in events if e["Actor"]["ID"] == id]
        self.assertEqual([e["Action"] for e in mine], ["create", "connect", "disconnect", "destroy"])
        self.assertEqual(mine[0]["Actor"]["Attributes"], {"name": "app", "type": "bridge"})
        self.assertEqual(set(mine[1]["Actor"]["Attributes"]), {"container", "name", "type"})

    def test_subnets_come_from_the_pools_and_avoid_routes(self):
        (self.hull.dir / "hull.toml").write_text('default-address-pools = ["base=10.77.0.0/22,size=24"]\n')
        self.addCleanup((self.hull.dir / "hull.toml").unlink)
        run("ip", "route", "add", "blackhole", "10.77.1.0/25")
        self.addCleanup(run, "ip", "route", "del", "blackhole", "10.77.1.0/25")
        for name in ("a", "b", "c"):
            self.hull("network", "create", name)
        self.assertEqual([self.network(n)["IPAM"]["Config"][0]["Subnet"] for n in "abc"], ["10.77.0.0/24", "10.77.2.0/24", "10.77.3.0/24"])
        done = self.hull("network", "create", "d", code=1)
        self.assertIn("all predefined address pools have been fully subnetted", done.err)
        self.assertIn("default-address-pools", done.err)
        (self.hull.dir / "hull.toml").write_text('default-address-pools = ["10.77.0.0/22"]\n')
        self.assertIn("hull.toml:1", self.hull("network", "create", "d", code=1).err)


class Members(NetworkTest):
    def test_what_was_asked_for_is_given(self):
        self.hull("network", "create", "--subnet", "10.9.0.0/24", "--gateway", "10.9.0.254", "--ip-range", "10.9.0.64/26",
                  "--aux-address", "router=10.9.0.64", "--subnet", "fd09::/64", "app")
        self.hull("run", "-d", "--name", "any", "--network", "app", "demo", "sleep", "60")
        self.assertEqual(self.address("any", "app"), "10.9.0.65")
        self.assertEqual(self.address("any", "app", "Gateway"), "10.9.0.254")
        self.assertEqual(self.address("any", "app", "GlobalIPv6Address"), "fd09::2")
        self.hull("run", "-d", "--name", "fixed", "--ip", "10.9.0.20", "--ip6", "fd09::20", "--mac-address", "92:d0:c6:0a:29:33",
                  "--network", "app", "--network-alias", "db", "--network-alias", "sql", "demo", "sleep", "60")
        out = self.hull.out("exec", "fixed", "sh", "-c", "ip addr show eth0; ip route; ip -6 route; cat /etc/hosts")
        for text in ("inet 10.9.0.20/24", "inet6 fd09::20/64", "92:d0:c6:0a:29:33", "default via 10.9.0.254", "default via fd09::1"):
            self.assertIn(text, out)
        shown = self.networks_of("fixed")["app"]
        self.assertEqual(shown["IPAMConfig"], {"IPv4Address": "10.9.0.20", "IPv6Address": "fd09::20"})
        self.assertEqual(shown["Aliases"], ["db", "sql"])
        self.assertEqual(shown["IPPrefixLen"], 24)
        self.assertEqual(shown["DNSNames"][:3], ["fixed", "db", "sql"])
        members = self.network("app")["Containers"]
        self.assertEqual({m["Name"]: (m["IPv4Address"], m["IPv6Address"]) for m in members.values()},
                         {"any": ("10.9.0.65/24", "fd09::2/64"), "fixed": ("10.9.0.20/24", "fd09::20/64")})
        self.assertEqual(self.hull.out("ps", "--filter", "network=app", "--format", "{{.Names}} {{.Networks}}").splitlines(),
                         ["fixed app", "any app"])
        self.assertEqual(self.hull.out("ps", "-q", "--filter", "network=bridge"), "")
        for flags, text in ((["--ip", "10.9.0.20"], "Address already in use"), (["--ip", "10.9.0.20"], "the container fixed has it"),
                            (["--ip", "10.9.1.1"], "no configured subnet contains IP address 10.9.1.1"),
                            (["--ip", "10.9.0.254"], "it is the gateway"), (["--ip6", "fd10::1"], "no configured subnet contains"),
                            (["--ip", "10.9.0.300"], "invalid"), (["--mac-address", "11:22:33:44:55:66"], "nvalid MAC address")):
            done = self.hull("run", "--rm", "--network", "app", *flags, "demo", "true", code=125)
            self.assertIn(text, done.err, flags)
        # A restart keeps what was asked for, and gives back what was not.
        self.hull("stop", "-t", "0", "fixed")
        self.assertEqual(self.address("fixed", "app"), "")
        for n in range(3):
            self.hull("run", "-d", "--network", "app", "demo", "sleep", "60")
        self.hull("start", "fixed")
        self.assertEqual(self.address("fixed", "app"), "10.9.0.20")

    def test_the_range_runs_out(self):
        self.hull("network", "create", "--subnet", "10.9.0.0/29", "small")
        for n in range(5):
            self.hull("run", "-d", "--network", "small", "demo", "sleep", "60")
        done = self.hull("run", "--rm", "--network", "small", "demo", "true", code=125)
        self.assertIn("no available IPv4 addresses on this network's address pools: small", done.err)

    def test_several_networks_at_once(self):
        self.hull("network", "create", "--subnet", "10.9.0.0/24", "front")
        self.hull("network", "create", "--subnet", "10.10.0.0/24", "back")
        self.hull("run", "-d", "--name", "both", "--network", "name=front,alias=web,ip=10.9.0.9,mac-address=02:00:00:00:00:09",
                  "--network", "name=back,gw-priority=1,driver-opt=com.docker.network.endpoint.ifname=data0", "demo", "sleep", "60")
        out = self.hull.out("exec", "both", "sh", "-c", "ip -o addr; ip route; cat /etc/hosts")
        self.assertRegex(out, r"eth0\s+inet 10\.9\.0\.9/24")
        self.assertRegex(out, r"data0\s+inet 10\.10\.0\.2/24")
        self.assertIn("default via 10.10.0.1 dev data0", out)
        self.assertRegex(out, r"10\.9\.0\.9\t[0-9a-f]{12}")
        self.assertRegex(out, r"10\.10\.0\.2\t[0-9a-f]{12}")
        self.assertEqual(sorted(self.networks_of("both")), ["back", "front"])
        self.assertEqual(self.hull.out("ps", "--format", "{{.Networks}}"), "back,front")
        self.hull("restart", "-t", "0", "both")
        self.assertEqual(self.address("both", "front"), "10.9.0.9")
        self.assertIn("default via 10.10.0.1", self.hull.out("exec", "both", "ip", "route"))

    def test_wrong_flags(self):
        self.hull("network", "create", "app")
        for flags, text in (
                (["--network", "missing"], "network missing not found"),
                (["--network", "app", "--network", "bridge"], "cannot attach both user-defined and non-user-defined network-modes"),
                (["--network", "app", "--network", "app"], "specified multiple times"),
                (["--network", "name=app,ip=10.0.0.1", "--ip", "10.0.0.2"], "cannot specify both --ip and per-network IPv4 address"),
                (["--network", "name=app,alias=a", "--network-alias", "b"], "cannot specify both --network-alias"),
                (["--network", "name=app,nope=1"], "invalid field"),
                (["--network", "alias=x"], "network name"),
                (["--network", "name=app,driver-opt=nope=1"], "unknown driver-opt"),
                (["--ip", "10.0.0.2"], "user specified IP address is supported on user defined networks only"),
                (["--network-alias", "x"], "network-scoped alias is supported only for containers in user defined networks")):
            done = self.hull("run", "--rm", *flags, "demo", "true", code=125)
            self.assertIn(text, done.err, flags)

    def test_by_id(self):
        id = self.hull.out("network", "create", "app")
        self.hull("run", "-d", "--name", "one", "--network", id[:12], "demo", "sleep", "60")
        self.assertEqual(list(self.networks_of("one")), ["app"])

    def test_host_and_none_are_shown(self):
        for mode in ("host", "none"):
            self.hull("run", "-d", "--name", mode, "--network", mode, "demo", "sleep", "60")
            shown = self.networks_of(mode)
            self.assertEqual(list(shown), [mode])
            self.assertEqual(shown[mode]["NetworkID"], self.network(mode)["Id"])
            self.hull("network", "create", f"for-{mode}")
            self.hull("network", "connect", f"for-{mode}", mode, code=1)

    def test_links(self):
        self.serve("db")
        out = self.hull.out("run", "--rm", "--link", "db:sql", "demo", "cat", "/etc/hosts")
        self.assertRegex(out, self.address("db", "bridge").replace(".", r"\.") + r"\tsql [0-9a-f]{12} db\n")
        self.assertIn("No such container: nope", self.hull("run", "--rm", "--link", "nope", "demo", "true", code=125).err)
        self.hull("stop", "-t", "0", "db")
        self.assertIn("Cannot link to a non running container: /db AS /xx/sql",
                      self.hull("run", "--rm", "--name", "xx", "--link", "db:sql", "demo", "true", code=125).err)

    def test_driver_options(self):
        self.hull("network", "create", "-o", "com.docker.network.driver.mtu=1400", "-o", "com.docker.network.bridge.name=mybr0",
                  "-o", "com.docker.network.container_iface_prefix=net", "app")
        self.hull("run", "-d", "--name", "one", "--network", "app", "demo", "sleep", "60")
        self.assertIn("mtu 1400", self.hull.out("exec", "one", "ip", "link", "show", "net0"))
        self.assertIn("mtu 1400", run("ip", "link", "show", "mybr0"))
        done = self.hull("network", "create", "-o", "com.docker.network.bridge.name=mybr0", "two", code=1)
        self.assertIn("networks have same bridge name", done.err)

    def test_a_bridge_of_the_host_stays_the_host_s(self):
        run("ip", "link", "add", "own0", "type", "bridge")
        self.addCleanup(run, "ip", "link", "del", "own0")
        self.hull("network", "create", "-o", "com.docker.network.bridge.name=own0", "app")
        self.hull("run", "--rm", "--network", "app", "demo", "true")
        self.hull("network", "rm", "app")
        run("ip", "link", "show", "own0")


class Reach(NetworkTest):
    """Who reaches whom."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.outside = Host("wan0", ["198.51.100.1/24", "2001:db8:ffff::1/64"], [f"{OUTSIDE4}/24", f"{OUTSIDE6}/64"])
        cls.servers = [cls.outside.serve(socket.AF_INET, 4000), cls.outside.serve(socket.AF_INET6, 4006)]

    @classmethod
    def tearDownClass(cls):
        for server in cls.servers:
            server.kill()
            server.communicate()
        cls.outside.close()
        super().tearDownClass()

    def dual(self, name, *flags):
        self.hull("network", "create", "--ipv6", *flags, name)

    def test_neighbours_do_and_others_do_not(self):
        self.dual("one")
        self.dual("two")
        self.serve("a1", "--network", "one")
        self.serve("b1", "--network", "one")
        self.serve("c1", "--network", "two")
        for key in ("IPAddress", "GlobalIPv6Address"):
            self.becomes_reachable("a1", self.address("b1", "one", key))
            self.becomes_reachable("c1", self.address("c1", "two", key))
            self.assertIsNone(self.reaches("a1", self.address("c1", "two", key)), key)
            self.assertIsNone(self.reaches("c1", self.address("a1", "one", key)), key)
        # The default network is one of the others.
        self.serve("d1")
        self.becomes_reachable("d1", self.address("d1", "bridge"))
        self.assertIsNone(self.reaches("a1", self.address("d1", "bridge")))
        self.assertIsNone(self.reaches("d1", self.address("a1", "one")))

    def test_a_member_of_both_reaches_both(self):
        self.dual("one")
        self.dual("two")
        self.serve("a1", "--network", "one")
        self.serve("c1", "--network", "two")
        self.serve("m1", "--network", "one", "--network", "two")
        self.becomes_reachable("m1", self.address("a1", "one"))
        self.becomes_reachable("m1", self.address("c1", "two", "GlobalIPv6Address"))
        self.assertIsNone(self.reaches("a1", self.address("m1", "two")))

    def test_outside_is_reached_with_the_host_s_address(self):
        self.dual("one")
        self.hull("run", "-d", "--name", "a1", "--network", "one", "demo", "sleep", "60")
        self.assertEqual(self.reaches("a1", OUTSIDE4, 4000, "3"), "198.51.100.1")
        self.assertEqual(self.reaches("a1", OUTSIDE6, 4006, "3"), "2001:db8:ffff::1")

    def test_internal_reaches_nothing_outside(self):
        self.dual("inner", "--internal")
        self.dual("outer")
        self.serve("a1", "--network", "inner", "--cap-add", "NET_ADMIN")
        self.serve("b1", "--network", "inner")
        self.serve("c1", "--network", "outer")
        self.becomes_reachable("a1", self.address("b1", "inner"))
        self.becomes_reachable("a1", self.address("b1", "inner", "GlobalIPv6Address"))
        self.assertNotIn("default", self.hull.out("exec", "a1", "sh", "-c", "ip route; ip -6 route"))
        # Also with a route, which it can make itself.
        config = self.network("inner")["IPAM"]["Config"]
        self.hull("exec", "a1", "ip", "route", "add", "default", "via", config[0]["Gateway"])
        self.hull("exec", "a1", "ip", "-6", "route", "add", "default", "via", config[1]["Gateway"])
        self.assertIsNone(self.reaches("a1", OUTSIDE4, 4000))
        self.assertIsNone(self.reaches("a1", OUTSIDE6, 4006))
        for key in ("IPAddress", "GlobalIPv6Address"):
            self.assertIsNone(self.reaches("a1", self.address("c1", "outer", key)), key)
            self.assertIsNone(self.reaches("c1", self.address("a1", "inner", key)), key)
        # Nor does the outside reach it, which has a route.
        for key, gateway in (("IPAddress", "198.51.100.1"), ("GlobalIPv6Address", "2001:db8:ffff::1")):
            for name, network in (("a1", "inner"), ("c1", "outer")):
                self.outside("ip", "route", "replace", self.address(name, network, key), "via", gateway)
                done = subprocess.run(["nsenter", "-t", str(self.outside.child.pid), "-n", "busybox", "nc", "-w", "1",
                                       self.address(name, network, key), "7000"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
                self.assertEqual(done.stdout, b"", (name, key))

    def test_a_neighbour_is_taken_for_no_router(self):
        """CVE-2020-13401: advertisements on the wire, by whoever is on it."""
        self.dual("one")
        self.hull("run", "-d", "--name", "a1", "--network", "one", "demo", "sleep", "60")
        self.hull("run", "-d", "--name", "b1", "demo", "sleep", "60")
        self.assertEqual(self.hull.out("exec", "b1", "ip", "-6", "-o", "addr", "show", "eth0"), "", "no IPv6 where the network has none")
        pid = self.inspect("a1", ".State.Pid")
        routes = lambda: self.hull.out("exec", "a1", "ip", "-6", "route")

        def advertise():
            with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as s:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
                index = socket.if_nametoindex(self.network("one")["Bridge"])
                prefix = bytes([3, 4, 64, 0xc0]) + b"\0\0\x0e\x10" * 2 + bytes(4) + socket.inet_pton(socket.AF_INET6, "2001:db8:bad::")
                s.sendto(bytes([134, 0, 0, 0, 64, 0]) + b"\x07\x08" + bytes(8) + prefix, ("ff02::1", 0, 0, index))
        # The probe works on one that would listen.
        run("nsenter", "-t", pid, "-n", "sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=1")
        self.eventually(lambda: [advertise(), "2001:db8:bad:" in routes()][1])
        self.hull("restart", "-t", "0", "a1")
        pid = self.inspect("a1", ".State.Pid")
        for _ in range(5):
            advertise()
        self.assertNotIn("2001:db8:bad:", routes())
        bridge = self.network("one")["Bridge"]
        self.assertEqual(run("sysctl", "-n", f"net.ipv6.conf.{bridge}.accept_ra").strip(), "0")

    def test_without_masquerade_the_source_stays(self):
        self.hull("network", "create", "--subnet", "10.9.0.0/24", "-o", "com.docker.network.bridge.enable_ip_masquerade=false", "plain")
        self.outside("ip", "route", "add", "10.9.0.0/24", "via", "198.51.100.1")
        self.hull("run", "-d", "--name", "a1", "--network", "plain", "demo", "sleep", "60")
        self.assertEqual(self.reaches("a1", OUTSIDE4, 4000, "3"), self.address("a1", "plain"))

    def test_without_icc_neighbours_do_not(self):
        self.hull("network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "quiet")
        self.serve("a1", "--network", "quiet")
        self.serve("b1", "--network", "quiet")
        self.becomes_reachable("a1", self.address("a1", "quiet"))
        self.assertIsNone(self.reaches("a1", self.address("b1", "quiet")))
        self.assertEqual(self.reaches("a1", OUTSIDE4, 4000, "3"), "198.51.100.1")

    def published(self, port):
        """What the outside host gets there."""
        done = subprocess.run(["nsenter", "-t", str(self.outside.child.pid), "-n", "busybox", "nc", "-w", "1", "198.51.100.1", str(port)],
                              stdin=subprocess.DEVNULL, capture_output=True, check=False)
        return done.stdout.decode().strip()

    def test_published_ports_follow_the_networks(self):
        self.hull("network", "create", "app")
        self.hull("network", "create", "zoo")
        self.serve("a1", "--network", "zoo", "-p", "8300:7000")
        self.eventually(lambda: self.published(8300) == "here")
        self.hull("network", "connect", "app", "a1")
        self.hull("network", "disconnect", "zoo", "a1")
        self.eventually(lambda: self.published(8300) == "here")
        self.hull("network", "disconnect", "app", "a1")
        self.assertEqual(self.published(8300), "")
        self.hull("network", "connect", "zoo", "a1")
        self.eventually(lambda: self.published(8300) == "here")

    def test_rules_that_were_flushed_are_put_back(self):
        self.dual("one")
        self.dual("inner", "--internal")
        self.serve("a1", "--network", "one", "-p", "8310:7000")
        self.serve("b1", "--network", "inner", "--cap-add", "NET_ADMIN")
        self.eventually(lambda: self.published(8310) == "here")
        self.hull("exec", "b1", "ip", "route", "add", "default", "via", self.network("inner")["IPAM"]["Config"][0]["Gateway"])
        run("nft", "flush", "ruleset")
        self.assertEqual(self.published(8310), "")
        # Somebody else's start is enough.
        self.hull("run", "--rm", "demo", "true")
        self.eventually(lambda: self.published(8310) == "here")
        self.assertEqual(self.reaches("a1", OUTSIDE4, 4000, "3"), "198.51.100.1")
        self.assertIsNone(self.reaches("b1", OUTSIDE4, 4000))
        self.assertIsNone(self.reaches("b1", self.address("a1", "one")))

    def test_macvlan_is_on_the_parent_s_wire(self):
        self.hull("network", "create", "-d", "macvlan", "-o", "parent=wan0", "--subnet", "198.51.100.0/24",
                  "--gateway", OUTSIDE4, "--ip-range", "198.51.100.128/26", "lan")
        self.hull("run", "-d", "--name", "a1", "--network", "lan", "demo", "sleep", "60")
        self.serve("b1", "--network", "lan", "--ip", "198.51.100.77")
        self.assertEqual(self.address("a1", "lan"), "198.51.100.128")
        # With its own address, not the host's.
        self.assertEqual(self.reaches("a1", OUTSIDE4, 4000, "3"), "198.51.100.128")
        self.becomes_reachable("a1", "198.51.100.77")
        self.assertIn("default via " + OUTSIDE4, self.hull.out("exec", "a1", "ip", "route"))
        self.hull("network", "disconnect", "lan", "a1")
        self.assertNotIn("eth0", self.hull.out("exec", "a1", "ip", "link"))
        self.hull("network", "connect", "lan", "a1")
        self.assertEqual(self.reaches("a1", OUTSIDE4, 4000, "3"), "198.51.100.128")

    def test_ipvlan_or_why_not(self):
        self.hull("network", "create", "-d", "ipvlan", "-o", "parent=wan0", "--subnet", "198.51.100.0/24", "--gateway", OUTSIDE4, "lan")
        done = self.hull("run", "--rm", "--network", "lan", "--ip", "198.51.100.80", "demo", "nc", "-w", "3", OUTSIDE4, "4000", code=None)
        if done.returncode == 0:
            self.assertEqual(done.out.strip(), "198.51.100.80")
        else:
            self.assertEqual(done.returncode, 125)
            self.assertIn("this kernel has no ipvlan links", done.err)


class Live(NetworkTest):
    """connect and disconnect."""

    def setUp(self):
        super().setUp()
        self.hull("network", "create", "--subnet", "10.9.0.0/24", "--subnet", "fd09::/64", "app")
        self.hull("network", "create", "--subnet", "10.10.0.0/24", "zoo")

    def test_while_it_runs(self):
        self.serve("a1")
        self.serve("b1", "--network", "app")
        self.assertIsNone(self.reaches("a1", self.address("b1", "app")))
        self.hull("network", "connect", "--alias", "x", "--ip", "10.9.0.50", "app", "a1")
        self.assertEqual(self.address("a1", "app"), "10.9.0.50")
        self.becomes_reachable("a1", self.address("b1", "app"))
        self.becomes_reachable("b1", "10.9.0.50")
        self.becomes_reachable("b1", self.address("a1", "app", "GlobalIPv6Address"))
        out = self.hull.out("exec", "a1", "sh", "-c", "ip -o addr show eth1; cat /etc/hosts")
        self.assertIn("10.9.0.50/24", out)
        self.assertIn("10.9.0.50\t", out)
        done = self.hull("network", "connect", "app", "a1", code=1)
        self.assertIn("endpoint with name a1 already exists in network app", done.err)
        self.hull("network", "disconnect", "app", "a1")
        self.assertIsNone(self.reaches("a1", self.address("b1", "app")))
        out = self.hull.out("exec", "a1", "sh", "-c", "ip -o link; cat /etc/hosts")
        self.assertNotIn("eth1", out)
        self.assertNotIn("10.9.0.50", out)
        done = self.hull("network", "disconnect", "app", "a1", code=1)
        self.assertIn("is not connected to the network app", done.err)
        self.assertEqual(list(self.networks_of("a1")), ["bridge"])

    def test_the_default_route_follows(self):
        route = lambda: self.hull.out("exec", "a1", "sh", "-c", "ip route | grep default")
        self.hull("run", "-d", "--name", "a1", "--network", "zoo", "demo", "sleep", "60")
        self.assertIn("via 10.10.0.1", route())
        self.hull("network", "connect", "app", "a1")  # first by name
        self.assertIn("via 10.9.0.1 dev eth1", route())
        self.assertIn("fd09::1", self.hull.out("exec", "a1", "sh", "-c", "ip -6 route | grep default"))
        self.hull("network", "disconnect", "app", "a1")
        self.assertIn("via 10.10.0.1", route())
        self.hull("network", "connect", "--gw-priority", "-1", "app", "a1")
        self.assertIn("via 10.10.0.1", route())
        self.hull("network", "disconnect", "zoo", "a1")
        self.assertIn("via 10.9.0.1", route())
        self.hull("network", "connect", "zoo", "a1")
        self.assertIn("10.10.0.2/24", self.hull.out("exec", "a1", "ip", "-o", "addr", "show", "eth0"))

    def test_while_it_does_not_run(self):
        self.hull("create", "--name", "a1", "demo", *LISTEN)
        self.hull("network", "connect", "--ip", "10.9.0.60", "app", "a1")
        self.hull("network", "disconnect", "bridge", "a1")
        self.hull("start", "a1")
        self.assertEqual(list(self.networks_of("a1")), ["app"])
        self.assertEqual(self.address("a1", "app"), "10.9.0.60")
        self.assertIn("10.9.0.60/24", self.hull.out("exec", "a1", "ip", "-o", "addr", "show", "eth0"))
        self.hull("restart", "-t", "0", "a1")
        self.assertEqual(self.address("a1", "app"), "10.9.0.60")

    def test_wrong_words(self):
        self.hull("run", "-d", "--name", "a1", "demo", "sleep", "60")
        for words, text in ((("connect", "nope", "a1"), "network nope not found"), (("connect", "app", "nope"), "No such container: nope"),
                            (("disconnect", "nope", "a1"), "network nope not found"),
                            (("connect", "host", "a1"), "container cannot be disconnected from host network or connected to host network"),
                            (("connect", "--ip", "10.1.1.1", "app", "a1"), "no configured subnet contains IP address 10.1.1.1"),
                            (("connect", "--ip", "10.9.0.1", "app", "a1"), "Address already in use"),
                            (("disconnect", "app", "a1"), "is not connected to the network app")):
            done = self.hull("network", *words, code=1)
            self.assertIn(text, done.err, words)
        self.assertEqual(list(self.networks_of("a1")), ["bridge"])
        self.assertNotIn("eth1", self.hull.out("exec", "a1", "ip", "link"))

    def test_names_follow_a_rename(self):
        self.hull("run", "-d", "--name", "a1", "--network", "app", "demo", "sleep", "60")
        self.hull("rename", "a1", "b1")
        self.assertEqual(self.networks_of("b1")["app"]["DNSNames"][0], "b1")


if __name__ == "__main__":
    main()
