#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pulling from and pushing to Debian's docker-registry, and exchange with skopeo."""
import base64
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import tempfile
import unittest

from lib.hull import Hull, HullTest, busybox_tar, main, need_program
from lib.registry import (Proxy, DOCKER_LIST, INDEX, DockerRegistry, Image, Server, index_of, make_certificate, make_tar, sha)


def layers(n=3):
    return [make_tar({f"file{i}": os.urandom(1000) + bytes(100000 * i)}) for i in range(n)]


class Registry(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.registry = DockerRegistry()

    @classmethod
    def tearDownClass(cls):
        cls.registry.close()

    def setUp(self):
        self.hull = Hull()
        self.addCleanup(self.hull.remove)

    def skopeo(self, *args):
        program = need_program("skopeo")
        done = subprocess.run([program, *args], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def upload(self, image, name):
        """By way of hull: load an archive, push it."""
        files = {f"{i}.tar": layer for i, layer in enumerate(image.layers)}
        reference = f"{self.registry.host}/{name}"
        manifest = [{"Config": "c.json", "RepoTags": [reference], "Layers": list(files)}]
        archive = make_tar({**files, "c.json": image.config, "manifest.json": json.dumps(manifest).encode()})
        other = Hull()
        self.addCleanup(other.remove)
        other("load", input=archive)
        other("push", reference)
        return reference

    def id_of(self, name):
        return json.loads(self.hull.out("image", "inspect", name))[0]["Id"]

    def stored(self, folder="ingest"):
        return sorted(path.name for path in (self.hull.root / folder).iterdir())

    def test_lines_of_a_pull(self):
        image = Image(layers(2))
        name = self.upload(image, "lines:1")
        out = self.hull.out("pull", name).splitlines()
        self.assertEqual(out[0], "1: Pulling from lines")
        self.assertEqual(sum(line.endswith(": Pull complete") for line in out), 2)
        self.assertRegex(out[-3], "^Digest: sha256:[0-9a-f]{64}$")
        self.assertEqual(out[-2:], [f"Status: Downloaded newer image for {name}", name])
        out = self.hull.out("pull", name).splitlines()
        self.assertEqual(sum(line.endswith(": Already exists") for line in out), 2)
        self.assertEqual(out[-2], f"Status: Image is up to date for {name}")
        self.assertEqual(self.hull.out("pull", "-q", name), name)
        self.assertEqual(self.id_of(name), image.id)
        self.assertEqual(self.stored(), [])

    def test_default_tag(self):
        self.upload(Image(layers(1)), "plain:latest")
        out = self.hull.out("pull", f"{self.registry.host}/plain").splitlines()
        self.assertEqual(out[:2], ["Using default tag: latest", "latest: Pulling from plain"])

    def test_push_then_pull_keeps_digests(self):
        name = self.upload(Image(layers(3)), "again:1")
        self.hull("pull", name)
        digests = json.loads(self.hull.out("image", "inspect", name))[0]["RepoDigests"]
        copy = f"{self.registry.host}/deep/er/copy:2"
        self.hull("tag", name, copy)
        out = self.hull.out("push", copy).splitlines()
        self.assertEqual(out[0], f"The push refers to repository [{copy.rsplit(':', 1)[0]}]")
        self.assertEqual(sum("Mounted from again" in line for line in out), 3)
        self.assertRegex(out[-1], "^2: digest: sha256:[0-9a-f]{64} size: [0-9]+$")
        self.assertEqual(out[-1].split()[2], digests[0].split("@")[1])
        self.assertEqual(sum("Layer already exists" in line for line in self.hull.out("push", copy).splitlines()), 3)
        before = self.id_of(copy)
        self.hull("rmi", "-f", before)
        self.assertEqual(self.stored("layers") + self.stored("blobs/sha256"), [])
        self.hull("pull", copy)
        self.assertEqual(self.id_of(copy), before)

    def test_all_tags(self):
        one, two = Image(layers(1)), Image(layers(2))
        for image, tags in ((one, ("1", "one")), (two, ("2",))):
            for tag in tags:
                self.upload(image, f"many/of:{tag}")
        name = f"{self.registry.host}/many/of"
        lines = self.hull("pull", "-a", name).out.splitlines()
        self.assertEqual(sorted(line.split(":")[0] for line in lines if "Pulling from" in line), ["1", "2", "one"])
        self.assertEqual([line.split()[0] for line in lines if line.startswith(("Digest: ", "Status: "))], ["Digest:"] * 3 + ["Status:"])
        self.assertEqual(lines[-2:], [f"Status: Downloaded newer image for {name}", name])
        for tag, image in (("1", one), ("one", one), ("2", two)):
            self.assertEqual(self.id_of(f"{name}:{tag}"), image.id)
        again = self.hull.out("pull", "--all-tags", name).splitlines()
        self.assertEqual(again[-2:], [f"Status: Image is up to date for {name}", name])
        self.assertEqual(self.hull.out("pull", "-q", "-a", name), name)
        for reference in (f"{name}:1", f"{name}@{one.id}"):
            self.assertIn("tag can't be used with --all-tags/-a", self.hull("pull", "-a", reference, code=1).err)
        err = self.hull("pull", "-a", f"{self.registry.host}/many/none", code=1).err
        self.assertIn(f"repository {self.registry.host}/many/none not found: name unknown", err)

    def test_push_of_all_tags(self):
        one, two = Image(layers(1)), Image(layers(1))
        name = f"{self.registry.host}/all/of"
        for image, tag in ((one, "1"), (two, "2")):
            self.hull("pull", self.upload(image, f"from/there:{tag}"))
            self.hull("tag", f"{self.registry.host}/from/there:{tag}", f"{name}:{tag}")
        self.assertIn("tag can't be used with --all-tags/-a", self.hull("push", "-a", f"{name}:1", code=1).err)
        err = self.hull("push", "-a", "--platform", "linux/s390x", name, code=1).err
        self.assertIn("does not provide the specified platform (linux/s390x)", err)
        err = self.hull("push", "--platform", "linux/s390x", f"{name}:1", code=1).err
        self.assertIn("does not provide the specified platform (linux/s390x)", err)
        out = self.hull("push", "-a", "--platform", "linux/amd64", name).out
        self.assertEqual([line.split(":")[0] for line in out.splitlines() if ": digest: " in line], ["1", "2"])
        other = Hull()
        self.addCleanup(other.remove)
        other("pull", "-a", name)
        for tag, image in (("1", one), ("2", two)):
            self.assertEqual(json.loads(other.out("image", "inspect", f"{name}:{tag}"))[0]["Id"], image.id)
        self.assertEqual(self.hull.out("push", "-q", "-a", name), name)
        self.assertIn("does not exist locally", self.hull("push", "-a", f"{self.registry.host}/all/none", code=1).err)

    def test_pull_by_digest(self):
        name = self.upload(Image(layers(1)), "bydigest:1")
        digest = self.hull.out("pull", name).splitlines()[-3].split()[1]
        self.hull("rmi", "-f", self.id_of(name))
        whole = f"{self.registry.host}/bydigest@{digest}"
        out = self.hull.out("pull", whole).splitlines()
        self.assertEqual(out[0], f"{digest}: Pulling from bydigest")
        self.assertEqual(out[-1], whole)
        self.assertIn(whole, json.loads(self.hull.out("image", "inspect", whole))[0]["RepoDigests"])

    def test_skopeo_reads_what_hull_pushes(self):
        image = Image(layers(2), ["", "+zstd"])
        name = self.upload(image, "forskopeo:1")
        found = json.loads(self.skopeo("inspect", "--tls-verify=false", f"docker://{name}"))
        self.assertEqual(len(found["Layers"]), 2)
        config = json.loads(self.skopeo("inspect", "--config", "--tls-verify=false", f"docker://{name}"))
        self.assertEqual(config["rootfs"]["diff_ids"], [sha(tar) for tar in image.tars])

    def test_hull_pulls_what_skopeo_copies(self):
        image = Image(layers(3))
        name = self.upload(image, "source:1")
        for kind in ("oci", "v2s2"):
            copy = f"{self.registry.host}/{kind}:1"
            self.skopeo("copy", "-q", "--format", kind, "--src-tls-verify=false", "--dest-tls-verify=false",
                        f"docker://{name}", f"docker://{copy}")
            self.hull("pull", copy)
            inspected = json.loads(self.hull.out("image", "inspect", copy))[0]
            self.assertEqual(inspected["RootFS"]["Layers"], [sha(tar) for tar in image.tars])

    def test_unknown_names(self):
        done = self.hull("pull", f"{self.registry.host}/nosuch:1", code=1)
        self.assertIn(f"manifest for {self.registry.host}/nosuch:1 not found", done.err)
        self.assertIn("try:", done.err)
        done = self.hull("push", f"{self.registry.host}/nosuch:1", code=1)
        self.assertIn("An image does not exist locally with the tag", done.err)
        self.assertIn("invalid reference format", self.hull("pull", "bad//name", code=1).err)
        done = self.hull("pull", "127.0.0.1:1/x", code=1)
        self.assertIn("connection refused", done.err)

    def test_two_at_once(self):
        name = self.upload(Image([make_tar({"a": os.urandom(5 << 20)}), make_tar({"b": os.urandom(3 << 20)})]), "both:1")
        started = [self.hull.start("pull", name) for _ in range(3)]
        for process in started:
            out, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0, (out, err))
        self.assertEqual(len(self.stored("layers")), 2)
        self.assertEqual(len(self.stored("blobs/sha256")), 2)
        self.assertEqual(self.stored(), [])


class Kinds(unittest.TestCase):
    """What docker-registry or skopeo of Debian 12 do not make: from a server of our own."""

    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.hull = Hull()
        self.addCleanup(self.hull.remove)

    def inspect(self, name):
        return json.loads(self.hull.out("image", "inspect", name))[0]

    def test_compressions(self):
        for docker in (False, True):
            image = Image(layers(3), ["", "+gzip", "+zstd"], docker=docker)
            name = self.server.add("mixed", image, "docker" if docker else "oci")
            self.hull("pull", name)
            self.assertEqual(self.inspect(name)["Id"], image.id)
            self.hull("rmi", "-f", image.id)

    def test_platforms(self):
        images = [Image(layers(1), architecture=a, variant=v) for a, v in
                  (("s390x", None), ("arm64", "v8"), ("amd64", None), ("arm", "v7"))]
        for image in images:
            self.server.add("multi", image, "x")
        for docker in (False, True):
            name = self.server.put("multi", index_of(images, docker), DOCKER_LIST if docker else INDEX)
            for platform, wanted in (("linux/amd64", 2), ("linux/arm64", 1), ("linux/arm64/v8", 1), ("linux/s390x", 0),
                                     ("linux/arm/v7", 3)):
                self.hull("pull", "--platform", platform, name)
                self.assertEqual(self.inspect(name)["Id"], images[wanted].id, platform)
            self.hull("pull", name)
            self.assertEqual(self.inspect(name)["Id"], images[2].id)
            self.assertEqual(self.inspect(name)["RepoDigests"], [f"{name.rsplit(':', 1)[0]}@{sha(index_of(images, docker))}"])
            self.hull("rmi", "-f", *{image.id for image in images}, code=None)
        done = self.hull("pull", "--platform", "linux/mips", name, code=1)
        self.assertIn("no matching manifest for linux/mips", done.err)
        self.assertIn("linux/arm64/v8", done.err)

    def test_layers_twice_and_empty(self):
        tar = layers(1)[0]
        image = Image([tar, make_tar({}), tar])
        name = self.server.add("twice", image)
        self.hull("pull", name)
        self.assertEqual(len(self.inspect(name)["RootFS"]["Layers"]), 3)
        self.assertEqual(len(self.server.requests(sha(image.layers[0]))), 1)

    def test_shared_layers_are_fetched_once(self):
        base, one, two = layers(3)
        first, second = Image([base, one]), Image([base, two])
        self.hull("pull", self.server.add("a", first))
        out = self.hull.out("pull", self.server.add("b", second))
        self.assertIn("Already exists", out)
        self.assertEqual(len(self.server.requests(sha(first.layers[0]))), 1)


class Runs(HullTest):
    images = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Server()
        cls.image = Image([busybox_tar()])
        cls.name = cls.server.add("busy", cls.image)

    @classmethod
    def tearDownClass(cls):
        cls.server.close()
        super().tearDownClass()

    def test_run_pulls_what_is_missing(self):
        self.hull("rmi", "-f", self.image.id, code=None)
        done = self.hull("run", "--rm", "--network", "none", self.name, "echo", "hello")
        self.assertEqual(done.out, "hello\n")
        self.assertTrue(done.err.startswith(f"Unable to find image '{self.name}' locally\n"), done.err)
        self.assertIn("Status: Downloaded newer image", done.err)
        done = self.hull("run", "--rm", "--network", "none", self.name, "echo", "again")
        self.assertEqual((done.out, done.err), ("again\n", ""))
        self.hull("rmi", "-f", self.image.id)
        done = self.hull("create", "-q", "--pull", "missing", self.name)
        self.assertEqual(done.err, f"Unable to find image '{self.name}' locally\n")

    def test_never_and_always(self):
        done = self.hull("run", "--rm", "--pull", "never", f"{self.server.host}/busy:other", code=125)
        self.assertIn("No such image: ", done.err)
        self.assertNotIn("Unable", done.err)
        done = self.hull("run", "--rm", "--network", "none", "--pull", "always", self.name, "true")
        self.assertIn("Pulling from busy", done.err)
        done = self.hull("run", "--rm", "--pull", "sometimes", self.name, code=125)
        self.assertIn("invalid pull option", done.err)

    def test_what_cannot_be_pulled_is_125(self):
        done = self.hull("run", "--rm", f"{self.server.host}/nosuch", code=125)
        self.assertIn("not found", done.err)
        done = self.hull("run", "--rm", "--platform", "linux/mips", self.name, code=125)
        self.assertIn("linux/mips", done.err)


class Tls(unittest.TestCase):
    """At an address that is not loopback: TLS, and nothing else unless allowed."""
    address = "10.213.7.1"

    @classmethod
    def setUpClass(cls):
        subprocess.run(["ip", "addr", "replace", f"{cls.address}/32", "dev", "lo"], check=True)
        cls.dir = pathlib.Path(tempfile.mkdtemp(prefix="hull-tls-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir)
        cls.pair = make_certificate(cls.dir, cls.address)
        cls.docker = pathlib.Path("/etc/docker")
        cls.docker.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", cls.docker], check=True)  # in a namespace of our own
        cls.addClassCleanup(subprocess.run, ["umount", cls.docker], check=True)

    def setUp(self):
        self.hull = Hull()
        self.addCleanup(self.hull.remove)
        self.image = Image(layers(1))

    def serve(self, **kwargs):
        server = Server(address=self.address, **kwargs)
        self.addCleanup(server.close)
        return server, server.add("x", self.image)

    def certs(self, server, **files):
        folder = self.docker / "certs.d" / server.host
        folder.mkdir(parents=True)
        for name, source in files.items():
            shutil.copy(source, folder / name.replace("_", "."))

    def test_unknown_authority(self):
        _, name = self.serve(tls=self.pair)
        done = self.hull("pull", name, code=1)
        self.assertIn(f"the certificate of {self.address} is not trusted", done.err)
        self.assertIn("try: put its authority's certificate into /etc/docker/certs.d", done.err)

    def test_own_authority(self):
        server, name = self.serve(tls=self.pair)
        self.certs(server, ca_crt=self.pair[0])
        self.hull("pull", name)

    def test_client_certificate(self):
        server, name = self.serve(tls=self.pair, client=self.pair[0])
        self.certs(server, ca_crt=self.pair[0])
        self.hull("pull", name, code=1)
        self.certs_more(server)
        self.hull("pull", name)

    def certs_more(self, server):
        folder = self.docker / "certs.d" / server.host
        shutil.copy(self.pair[0], folder / "client.cert")
        shutil.copy(self.pair[1], folder / "client.key")
        (folder / "client.key").chmod(0o600)

    def test_authority_of_another_name(self):
        server, name = self.serve(tls=make_certificate(pathlib.Path(tempfile.mkdtemp(dir=self.dir)), "10.1.1.1"))
        self.certs(server, ca_crt=self.pair[0])
        self.assertIn("is not trusted", self.hull("pull", name, code=1).err)

    def test_plain_http_is_refused(self):
        server, name = self.serve()
        done = self.hull("pull", name, code=1)
        self.assertIn("no encrypted connection", done.err)
        self.assertIn("insecure-registries", done.err)
        self.assertEqual(server.seen, [])

    def test_insecure_is_asked_for(self):
        for tls in (None, self.pair):
            server, name = self.serve(tls=tls)
            self.hull("pull", name, env={"HULL_INSECURE_REGISTRIES": server.host})
            self.assertTrue(server.seen)

    def test_insecure_in_every_place(self):
        server, name = self.serve()
        toml, daemon = self.hull.dir / "hull.toml", self.docker / "daemon.json"
        self.addCleanup(daemon.unlink, missing_ok=True)
        self.hull("--insecure-registry", server.host, "pull", name)
        for text in (server.host, "10.213.0.0/16"):
            toml.write_text(f'insecure-registries = ["{text}"]\n')
            self.hull("pull", name)
        toml.write_text('insecure-registries = ["10.214.0.0/16"]\n')
        self.hull("pull", name, code=1)
        toml.unlink()
        daemon.write_text(json.dumps({"insecure-registries": [server.host]}))
        self.hull("pull", name)
        # hull's own file has the last word.
        toml.write_text("insecure-registries = []\n")
        self.hull("pull", name, code=1)

    def test_insecure_is_not_for_others(self):
        _, name = self.serve()
        self.hull("pull", name, code=1, env={"HULL_INSECURE_REGISTRIES": f"{self.address}:1,example.com"})

    def log_in(self, server):
        config = self.hull.dir / "docker" / "config.json"
        config.parent.mkdir()
        pair = base64.b64encode(b"me:secret").decode()
        config.write_text(json.dumps({"auths": {server.host: {"auth": pair}}}))

    def test_token_over_plain_http_is_refused(self):
        """A registry that speaks TLS may not send the log-in over an open line."""
        server, name = self.serve(tls=self.pair)
        self.certs(server, ca_crt=self.pair[0])
        tokens, _ = self.serve()
        self.log_in(server)
        server.hooks.append(lambda h, m, p: h.error(401, WWW_Authenticate=f'Bearer realm="{tokens.url}/token"') or True)
        self.assertRegex(self.hull("pull", name, code=1).err, f"log-ins are not sent to {self.address}: it is not encrypted")
        self.assertEqual(tokens.seen, [])

    def test_log_in_is_not_sent_to_another_host(self):
        server, name = self.serve(tls=self.pair)
        self.certs(server, ca_crt=self.pair[0])
        self.log_in(server)
        # A name that is this machine, too, but not the registry's.
        tokens = Server(tls=make_certificate(pathlib.Path(tempfile.mkdtemp(dir=self.dir)), "127.0.0.1"))
        self.addCleanup(tokens.close)
        server.hooks.append(lambda h, m, p: h.error(401, WWW_Authenticate=f'Bearer realm="{tokens.url}/token"') or True)
        self.hull("pull", name, code=1)
        self.assertFalse([h for _, _, h in tokens.seen if "Authorization" in h])

    # ---- proxies

    def test_proxy_of_plain_http(self):
        server, name = self.serve()
        proxy = Proxy()
        self.addCleanup(proxy.close)
        insecure = {"HULL_INSECURE_REGISTRIES": server.host}
        for variable in ("HTTP_PROXY", "http_proxy"):
            before = len(proxy.seen)
            self.hull("pull", name, env={**insecure, variable: proxy.url})
            self.assertGreater(len(proxy.seen), before)
            self.hull("rmi", name)
        for exempt in (self.address, "10.0.0.0/8", "*", f"example.com,{server.host}"):
            with self.subTest(exempt=exempt):
                proxy.seen.clear()
                self.hull("pull", name, env={**insecure, "HTTP_PROXY": proxy.url, "NO_PROXY": exempt})
                self.assertEqual(proxy.seen, [])
        self.assertIn("try: ", self.hull("pull", name, code=1, env={**insecure, "HTTP_PROXY": "http://127.0.0.1:1"}).err)

    def test_proxy_of_tls(self):
        server, name = self.serve(tls=self.pair)
        self.certs(server, ca_crt=self.pair[0])
        proxy = Proxy()
        self.addCleanup(proxy.close)
        self.hull("pull", name, env={"HTTPS_PROXY": proxy.url, "HTTP_PROXY": "http://127.0.0.1:1"})
        self.assertEqual({line.split()[:2] == ["CONNECT", server.host] for line in proxy.seen}, {True})
        proxy.seen.clear()
        self.hull("pull", name, env={"HTTPS_PROXY": proxy.url, "NO_PROXY": self.address})
        self.assertEqual(proxy.seen, [])

    def test_this_machine_needs_no_proxy(self):
        server = Server()
        self.addCleanup(server.close)
        name = server.add("x", self.image)
        self.hull("pull", name, env={"HTTP_PROXY": "http://10.255.255.1:1", "HTTPS_PROXY": "http://10.255.255.1:1"})


class PowerCut(HullTest):
    """A pull does not wait for the disk; a machine that goes down meanwhile must not
    leave an image that is silently damaged."""
    images = False

    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.image = Image([busybox_tar(), make_tar({"unique": os.urandom(300000)})])
        self.name = self.server.add("cut", self.image)
        self.hull("pull", self.name)
        self.eventually(lambda: self.unsynced() == 0)

    def query(self, sql, *values):
        with sqlite3.connect(self.hull.root / "hull.db", timeout=60) as db:
            return db.execute(sql, values).fetchall()

    def unsynced(self):
        return self.query("SELECT count(*) FROM layers WHERE unsynced IS NOT NULL")[0][0]

    def cut(self, *paths):
        """What a power cut right after the pull leaves: the rows, but not the data."""
        self.query("UPDATE layers SET unsynced='another boot' WHERE diffid=?", sha(self.image.tars[1]))
        for path in paths:
            os.truncate(self.hull.root / path, 100)

    def layer(self):
        return "layers/" + sha(self.image.tars[1])[7:] + ".erofs"

    def blob(self):
        return "blobs/sha256/" + sha(self.image.layers[1])[7:]

    def reads(self):
        out = self.hull.out("run", "--rm", "--network", "none", self.name, "sh", "-c", "wc -c < /unique")
        self.assertEqual(out, "300000")

    def test_layer_is_made_again_from_its_blob(self):
        self.cut(self.layer())
        self.reads()
        self.assertEqual(self.unsynced(), 0)

    def test_nothing_was_lost(self):
        self.cut()
        self.reads()

    def test_both_are_lost(self):
        self.cut(self.layer(), self.blob())
        done = self.hull("run", "--rm", "--network", "none", self.name, "true", code=125)
        self.assertIn("was lost when the machine went down", done.err)
        self.assertIn("try: hull pull", done.err)
        self.hull("pull", self.name)
        self.reads()


if __name__ == "__main__":
    main()
