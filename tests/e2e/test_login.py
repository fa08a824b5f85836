#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Logging in and out, where log-ins are kept, and the settings of registries."""
import base64
import json
import os
import pathlib
import pty
import subprocess
import unittest
import urllib.parse

from lib.hull import Hull, main
from lib.registry import Image, Server, make_tar

USER, PASSWORD = "me", "s3cret:with colon"
PAIR = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class Login(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.hull = Hull()
        self.addCleanup(self.hull.remove)
        self.config = self.hull.dir / "docker" / "config.json"
        self.image = Image([make_tar({"a": os.urandom(5000)})])
        self.name = self.server.add("x", self.image)

    def basic(self):
        def hook(handler, method, path):
            if handler.headers.get("Authorization") == f"Basic {PAIR}":
                return False
            handler.error(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate='Basic realm="test"')
            return True
        self.server.hooks.append(hook)

    def tokens(self, refresh=None):
        """A token server beside the registry; what it was asked is returned."""
        tokens, asked = Server(), []
        self.addCleanup(tokens.close)

        def give(handler, method, path):
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)
            if method == "POST":
                length = int(handler.headers["Content-Length"])
                query = urllib.parse.parse_qs(handler.rfile.read(length).decode())
            asked.append((method, query, handler.headers.get("Authorization")))
            ok = query.get("refresh_token") == ["long-lived"] if method == "POST" else asked[-1][2] == f"Basic {PAIR}"
            if not ok:
                handler.send(401, b"{}")
            else:
                answer = {"token": "good"}
                if refresh and "offline_token" in query:
                    answer["refresh_token"] = refresh
                handler.send(200, json.dumps(answer).encode())
            return True
        tokens.hooks.append(give)

        def hook(handler, method, path):
            if handler.headers.get("Authorization") == "Bearer good":
                return False
            handler.error(401, WWW_Authenticate=f'Bearer realm="{tokens.url}/token",service="reg"')
            return True
        self.server.hooks.append(hook)
        return asked

    def login(self, password=PASSWORD, **kwargs):
        return self.hull("login", "-u", USER, "--password-stdin", self.server.host, input=password + "\n", **kwargs)

    def test_basic(self):
        self.basic()
        self.assertIn("pull access denied", self.hull("pull", self.name, code=1).err)
        done = self.login()
        self.assertEqual(done.out, "Login Succeeded\n")
        self.assertIn(f"stored unencrypted in '{self.config}'", done.err)
        self.assertEqual(json.loads(self.config.read_text()), {"auths": {self.server.host: {"auth": PAIR}}})
        self.assertEqual(self.config.stat().st_mode & 0o777, 0o600)
        self.hull("pull", self.name)
        self.assertIn("Authenticating with existing credentials", self.hull("login", self.server.host).err)
        self.assertEqual(self.hull.out("logout", self.server.host), f"Removing login credentials for {self.server.host}")
        self.assertEqual(json.loads(self.config.read_text()), {"auths": {}})
        self.assertEqual(self.hull.out("logout", self.server.host), f"Not logged in to {self.server.host}")

    def test_wrong_password(self):
        for setup in (self.basic, self.tokens):
            self.server.hooks.clear()
            setup()
            done = self.login("wrong", code=1)
            self.assertIn("unauthorized: incorrect username or password", done.err)
            self.assertFalse(self.config.exists())

    def test_token(self):
        asked = self.tokens()
        self.login()
        self.hull("pull", self.name)
        self.assertEqual(asked[-1][1]["scope"], ["repository:x:pull"])
        self.assertEqual(asked[-1][1]["service"], ["reg"])

    def test_identity_token_is_kept_instead_of_the_password(self):
        asked = self.tokens("long-lived")
        self.login()
        entry = json.loads(self.config.read_text())["auths"][self.server.host]
        self.assertEqual(entry["identitytoken"], "long-lived")
        self.assertEqual(base64.b64decode(entry["auth"]), b"me:")
        self.hull("pull", self.name)
        self.assertEqual(asked[-1][0], "POST")

    def test_push_asks_for_more(self):
        asked = self.tokens()
        self.login()
        self.hull("pull", self.name)
        self.hull("push", self.name, code=None)
        self.assertEqual(asked[-1][1]["scope"], ["repository:x:pull,push"])

    def helper(self, text):
        path = self.hull.dir / "programs" / "docker-credential-test"
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(json.dumps({"credsStore": "test", "psFormat": "kept"}))

    def test_helper(self):
        self.basic()
        kept = self.hull.dir / "kept"
        self.helper(f"""case $1 in
store) cat > {kept};;
get) read -r server; [ -e {kept} ] || {{ echo credentials not found in native keychain; exit 1; }}; cat {kept};;
erase) cat >/dev/null; rm {kept};;
esac
""")
        done = self.login()
        self.assertNotIn("unencrypted", done.err)
        self.assertEqual(json.loads(kept.read_text()), {"ServerURL": self.server.host, "Username": USER, "Secret": PASSWORD})
        self.assertEqual(json.loads(self.config.read_text()),
                         {"credsStore": "test", "psFormat": "kept", "auths": {self.server.host: {}}})
        self.hull("pull", self.name)
        self.hull("logout", self.server.host)
        self.assertFalse(kept.exists())
        self.hull("pull", self.name, code=1)

    def test_helper_of_one_registry(self):
        """credHelpers go before credsStore and before what the file says."""
        self.basic()
        log = self.hull.dir / "asked"
        for name, secret in (("test", PASSWORD), ("wrong", "wrong")):
            path = self.hull.dir / "programs" / f"docker-credential-{name}"
            path.write_text(f"#!/bin/sh\necho {name} $1 >>{log}\n"
                            f"cat >/dev/null; echo '{json.dumps({'ServerURL': 'x', 'Username': USER, 'Secret': secret})}'\n")
            path.chmod(0o755)
        self.config.parent.mkdir(exist_ok=True)
        wrong = base64.b64encode(b"a:b").decode()
        document = {"credsStore": "wrong", "credHelpers": {self.server.host: "test", "other.example.com": "nosuch"},
                    "auths": {self.server.host: {"auth": wrong}}}
        self.config.write_text(json.dumps(document))
        self.hull("pull", self.name)
        self.assertEqual(set(log.read_text().splitlines()), {"test get"})
        self.hull("logout", self.server.host)
        self.assertIn("test erase", log.read_text())
        self.assertNotIn("wrong", log.read_text())
        self.assertEqual(json.loads(self.config.read_text())["credHelpers"], document["credHelpers"])
        # Of another registry: the general one.
        document["credHelpers"].pop(self.server.host)
        self.config.write_text(json.dumps(document))
        self.hull("rmi", self.name)
        self.assertIn("pull access denied", self.hull("pull", self.name, code=1).err)
        self.assertIn("wrong get", log.read_text())

    def test_helper_keeps_an_identity_token(self):
        asked = self.tokens()
        self.helper("""cat >/dev/null; echo '{"ServerURL": "x", "Username": "<token>", "Secret": "long-lived"}'\n""")
        self.hull("pull", self.name)
        self.assertEqual((asked[-1][0], asked[-1][1]["refresh_token"]), ("POST", ["long-lived"]))

    def test_config_as_a_flag(self):
        self.basic()
        other = self.hull.dir / "elsewhere"
        self.hull("--config", other, "login", "-u", USER, "--password-stdin", self.server.host, input=PASSWORD)
        self.assertFalse(self.config.exists())
        self.hull("--config", other, "pull", self.name)
        # Docker's older spelling of the name.
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(json.dumps({"auths": {f"http://{self.server.host}/v2/": {"auth": PAIR}}}))
        self.hull("rmi", self.name)
        self.hull("pull", self.name)

    def test_bad_helpers(self):
        for text, expected in (("exit 1", "docker-credential-test get failed"), ("echo not json", "credential helper"),
                               ("echo locked; exit 3", "locked")):
            self.helper(text)
            self.assertIn(expected, self.hull("pull", self.name, code=1).err)
        self.config.write_text('{"credsStore": "nosuch"}')
        self.assertIn("docker-credential-nosuch", self.hull("pull", self.name, code=1).err)
        self.config.write_text('{"credsStore": "../../bin/sh"}')
        self.assertIn("credential helper", self.hull("pull", self.name, code=1).err)

    def test_broken_config(self):
        self.config.parent.mkdir()
        for text in ("{", "[]", '{"auths": {"%s": {"auth": "!"}}}' % self.server.host):
            self.config.write_text(text)
            self.assertIn("config.json", self.hull("pull", self.name, code=1).err)
        self.config.write_text("")
        self.hull("pull", self.name)

    def test_what_is_asked_on_a_terminal(self):
        self.basic()
        self.assertIn("non TTY", self.hull("login", self.server.host, code=1).err)
        self.assertIn("--username", self.hull("login", "--password-stdin", self.server.host, code=1).err)
        parent, child = pty.openpty()
        process = self.hull.start("login", self.server.host, stdin=child)
        os.close(child)
        os.write(parent, f"{USER}\n".encode())
        deadline = b""
        while b"Password: " not in deadline:
            deadline += process.stderr.read(1)
        os.write(parent, f"{PASSWORD}\n".encode())
        out, _ = process.communicate(timeout=20)
        echoed = os.read(parent, 4096)
        os.close(parent)
        self.assertEqual((process.returncode, out), (0, b"Login Succeeded\n"))
        self.assertNotIn(PASSWORD.encode(), echoed)

    def test_nobody_there(self):
        done = self.hull("login", "-u", "x", "-p", "y", "127.0.0.1:1", code=1)
        self.assertIn("connection refused", done.err)
        self.assertIn("Using --password via the CLI is insecure", done.err)


class Settings(unittest.TestCase):
    def setUp(self):
        self.origin, self.mirror = Server(), Server()
        self.addCleanup(self.origin.close)
        self.addCleanup(self.mirror.close)
        self.hull = Hull()
        self.addCleanup(self.hull.remove)
        self.toml = self.hull.dir / "hull.toml"
        self.image = Image([make_tar({"a": b"x"})])
        self.name = self.origin.add("x", self.image)
        self.mirror.add("x", self.image)

    def test_mirror_of_a_registry(self):
        self.toml.write_text(f'[registry."{self.origin.host}"]\nmirrors = ["{self.mirror.url}"]\n')
        self.hull("pull", self.name)
        self.assertEqual(self.origin.seen, [])

    def test_mirror_as_a_flag(self):
        self.hull("--registry-mirror", self.mirror.url, "pull", self.name)
        self.assertEqual(self.origin.seen, [])

    def test_mirror_of_docker_hub(self):
        self.mirror.add("library/debian", self.image, "12")
        self.toml.write_text(f'registry-mirrors = ["{self.mirror.url}"]\n')
        self.assertIn("docker.io/library/debian:12", self.hull.out("pull", "debian:12"))

    def test_daemon_json_is_taken_over(self):
        self.mirror.add("library/debian", self.image, "12")
        folder = pathlib.Path("/etc/docker")
        folder.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=True)  # in a namespace of our own
        try:
            (folder / "daemon.json").write_text(json.dumps({"registry-mirrors": [self.mirror.url], "debug": False}))
            self.hull("pull", "debian:12")
        finally:
            subprocess.run(["umount", folder], check=True)

    def test_mistakes_name_the_line(self):
        self.toml.write_text("# x\nregistry-miror = []\n")
        done = self.hull("pull", self.name, code=1)
        self.assertIn(f"{self.toml}:2: unknown setting registry-miror", done.err)
        self.assertIn("registry-mirrors", done.err)
        self.toml.write_text('registry-mirrors = ["ftp://x"]\n')
        self.hull("pull", self.name)  # of another registry
        self.assertIn("mirror ftp://x", self.hull("pull", "debian", code=1).err)


if __name__ == "__main__":
    main()
