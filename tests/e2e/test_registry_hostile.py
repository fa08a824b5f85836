#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Registries that lie, stall, break and cheat: each ends in a clear error, in time,
with nothing left behind but what can be resumed; or it is overcome."""
import base64
import gzip
import json
import os
import re
import signal
import subprocess
import time
import unittest

from lib import leaks
from lib.hull import Hull, main, need
from lib.registry import (CONFIG, INDEX, LAYER, MANIFEST, Image, Server, index_of, make_certificate, make_tar, sha)

LIMIT = 1 << 20  # of what may be kept for a resumption, beyond what was sent


def one(size=200000):
    return Image([make_tar({"file": os.urandom(size)})])


def need_login(hull):
    need(hull("login", "--help", code=None).returncode == 0, "hull has no log-in yet")


class Hostile(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.hull = Hull()
        self.addCleanup(self.hull.remove)
        self.hull.env["HULL_REGISTRY_STALL_MS"] = "700"
        self.image = one()
        self.name = self.server.add("x", self.image)
        self.blob = sha(self.image.layers[0])

    def left(self):
        found = {path.name: path.stat().st_size for path in (self.hull.root / "ingest").iterdir()} \
            if (self.hull.root / "ingest").is_dir() else {}
        for folder in ("layers", "blobs/sha256"):
            found.update({path.name: -1 for path in (self.hull.root / folder).iterdir()})
        return found

    def fails(self, *texts, name=None, resumable=False, seconds=20, env=None):
        """The pull fails with a message, a cause or a remedy, and leaves nothing."""
        start = time.monotonic()
        done = self.hull("pull", name or self.name, code=1, env=env)
        self.assertLess(time.monotonic() - start, seconds)
        self.assertTrue(done.err.startswith("hull: "), done.err)
        self.assertRegex(done.err, r"\n  (why|try): ", done.err)
        for text in texts:
            self.assertIn(text, done.err)
        self.assertNotIn("Sanitizer", done.err)
        left = self.left()
        for file, size in left.items():
            self.assertTrue(resumable and re.fullmatch("[0-9a-f]{64}\\.partial", file), f"left behind: {left}")
            self.assertLessEqual(size, len(self.image.layers[0]))
        self.assertEqual(self.hull.leftovers(), [])
        return done.err

    def succeeds(self, name=None, **kwargs):
        name = name or self.name
        done = self.hull("pull", name, **kwargs)
        self.assertEqual(json.loads(self.hull.out("image", "inspect", name))[0]["Id"], self.image.id)
        self.assertEqual([f for f in self.left() if not re.fullmatch(r"[0-9a-f]{64}(\.erofs)?", f)], [])
        return done

    def on(self, pattern, answer, times=None):
        """Answer requests for @pattern with @answer(handler), the first @times only."""
        state = {"n": 0}

        def hook(handler, method, path):
            if not re.search(pattern, path) or (times is not None and state["n"] >= times):
                return False
            state["n"] += 1
            return answer(handler) is not False

        self.server.hooks.append(hook)
        return state

    def manifest(self, document, media_type=MANIFEST):
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.server.put("x", data, media_type)

    # ---- wrong bytes

    def test_wrong_layer(self):
        self.server.blobs[self.blob] = self.image.layers[0][:-4] + b"abcd"
        self.fails("wrong", self.blob[7:19])

    def test_wrong_config(self):
        config = sha(self.image.config)
        self.server.blobs[config] = self.image.config.replace(b"amd64", b"amd65")
        self.fails("is not what was asked for", config)

    def test_wrong_manifest(self):
        wanted = sha(self.image.manifest)
        self.server.manifests["x", wanted] = (self.image.manifest + b" ", MANIFEST)
        self.fails("is not what was asked for", name=f"{self.server.host}/x@{wanted}")

    def test_wrong_digest_header(self):
        self.on("/manifests/", lambda h: h.send(200, self.image.manifest, Content_Type=MANIFEST,
                                                Docker_Content_Digest="sha256:" + "0" * 64))
        self.fails("is not what was asked for")

    def test_wrong_diff_id(self):
        document = json.loads(self.image.config)
        document["rootfs"]["diff_ids"] = ["sha256:" + "1" * 64]
        self.image.config = json.dumps(document).encode()
        self.image.document["config"].update(digest=self.image.id, size=len(self.image.config))
        self.server.add("x", self.image)
        self.fails("diff id")

    def test_not_a_layer(self):
        junk = os.urandom(5000)
        self.image.layers = [junk]
        self.image.document["layers"] = [{"mediaType": LAYER + "+gzip", "digest": sha(junk), "size": len(junk)}]
        self.server.add("x", self.image)
        self.fails("layer")

    def test_shorter_than_announced(self):
        self.server.blobs[self.blob] = self.image.layers[0][:1000]
        self.fails("instead of the", resumable=True)

    def test_ends_early_without_length(self):
        def answer(h):
            h.send(200, b"", Content_Length=None, Connection="close")
            h.wfile.write(self.image.layers[0][:70000])
            h.close_connection = True
        self.on("/blobs/" + self.blob, answer)
        self.fails("ended a blob after", resumable=True)

    def test_endless(self):
        def answer(h):
            h.send(200, b"", Content_Length=None, Connection="close")
            while not self.server.stopping.is_set():
                h.wfile.write(bytes(65536))
        self.on("/blobs/" + self.blob, answer)
        self.fails("more than the")

    def test_endless_manifest(self):
        def answer(h):
            h.send(200, b"", Content_Length=None, Connection="close", Content_Type=MANIFEST)
            while not self.server.stopping.is_set():
                h.wfile.write(b" " * 65536)
        self.on("/manifests/", answer)
        self.fails("longer than")

    def test_endless_headers(self):
        def answer(h):
            h.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not self.server.stopping.is_set():
                h.wfile.write(b"X-More: " + b"a" * 1000 + b"\r\n")
        self.on("/manifests/", answer)
        self.fails()

    def test_gzip_bomb(self):
        bomb = gzip.compress(make_tar({"zeros": bytes(1 << 20)})[:512] + bytes(8 << 20), 9)
        # 3 GiB of nothing: whole members one after the other
        bomb = bomb * 400
        self.image.document["layers"] = [{"mediaType": LAYER + "+gzip", "digest": sha(bomb), "size": len(bomb)}]
        self.server.blobs[sha(bomb)] = bomb
        self.manifest(self.image.document)
        self.fails("layer", seconds=60)

    # ---- documents

    def test_bad_json_of_every_kind(self):
        good = self.image.document
        layer, config = good["layers"][0], good["config"]
        big = dict(layer, size=1 << 50)
        for bad in (b"", b"{", b"[]", b"null", b"\xff\xfe{}", b'"x"', b"{}" * 2, b"[" * 100000, b'{"schemaVersion":2}',
                    b'{"schemaVersion":2,"schemaVersion":2,"layers":[]}',
                    dict(good, schemaVersion=3), dict(good, schemaVersion="2"), dict(good, manifests=[]),
                    dict(good, layers={}), dict(good, layers=[1]), dict(good, layers=[{}]), dict(good, layers=[layer] * 2000),
                    dict(good, layers=[dict(layer, digest="sha256:../../etc/passwd")]),
                    dict(good, layers=[dict(layer, digest="md5:abc")]), dict(good, layers=[dict(layer, size=-1)]),
                    dict(good, layers=[dict(layer, size="5")]), dict(good, layers=[big]),
                    dict(good, layers=[dict(layer, mediaType="text/plain")]),
                    dict(good, layers=[dict(layer, mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                                            urls=["http://127.0.0.1:1/x"])]),
                    dict(good, config=dict(config, size=1 << 40)), dict(good, config=dict(config, mediaType="application/x")),
                    dict(good, config=None), dict(good, layers=[]), dict(good, mediaType=INDEX),
                    dict(good, layers=[layer, layer])):
            with self.subTest(bad=bad[:60] if isinstance(bad, bytes) else json.dumps(bad)[:300]):
                self.manifest(bad)
                self.fails() if bad != dict(good, layers=[]) else self.fails_somehow()

    def fails_somehow(self):
        self.hull("pull", self.name, code=1)
        self.assertEqual(self.left(), {})

    def test_bad_indexes(self):
        entry = {"mediaType": MANIFEST, "digest": sha(self.image.manifest), "size": 1, "platform": {"os": "linux", "architecture": "amd64"}}
        base = {"schemaVersion": 2, "mediaType": INDEX}
        for bad in (dict(base, manifests={}), dict(base, manifests=[dict(entry, digest="x")]), dict(base, manifests=[5]),
                    dict(base, manifests=[entry] * 5000)):
            with self.subTest(bad=json.dumps(bad)[:200]):
                self.manifest(bad, INDEX)
                self.hull("pull", self.name, code=1)
                self.assertEqual(self.left(), {})
        # it leads nowhere
        self.manifest(dict(base, manifests=[dict(entry, digest="sha256:" + "2" * 64)]), INDEX)
        self.fails("not found")

    def test_index_in_circles(self):
        depth = b"{}"
        for _ in range(6):
            self.server.manifests["x", sha(depth)] = (depth, INDEX)
            depth = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
                {"mediaType": INDEX, "digest": sha(depth), "size": len(depth),
                 "platform": {"os": "linux", "architecture": "amd64"}}]}).encode()
        self.manifest(depth, INDEX)
        self.hull("pull", self.name, code=1)

    def test_content_type_must_agree(self):
        self.manifest(self.image.document, INDEX)
        self.fails("media type")

    def test_old_schema(self):
        self.manifest({"schemaVersion": 1, "fsLayers": [], "history": []}, "application/vnd.docker.distribution.manifest.v1+json")
        self.fails("schema 1")

    def test_html_instead_of_a_manifest(self):
        self.on("/manifests/", lambda h: h.send(200, b"<html>log in to this network</html>", Content_Type="text/html"))
        self.fails("invalid manifest")

    # ---- statuses

    def test_statuses(self):
        for status, texts in ((403, ["pull access denied for", "try: hull login"]), (401, ["pull access denied for"]),
                              (404, ["not found"]), (400, ["400 Bad Request"]), (405, ["405"]), (418, ["418"])):
            with self.subTest(status=status):
                self.server.hooks.clear()
                seen = self.on("/manifests/", lambda h: h.error(status, "DENIED", "because of\x1b[31m reasons"))
                err = self.fails(*texts)
                self.assertNotIn("\x1b", err)
                self.assertEqual(seen["n"], 1)

    def test_500_is_tried_again(self):
        seen = self.on("/manifests/", lambda h: h.error(500), times=2)
        self.succeeds()
        self.assertEqual(seen["n"], 2)

    def test_500_without_end(self):
        seen = self.on("/manifests/", lambda h: h.error(503, "UNAVAILABLE", "later"))
        self.fails("503 Service Unavailable", "later")
        self.assertEqual(seen["n"], 5)

    def test_429_waits_as_told(self):
        self.on("/blobs/", lambda h: h.error(429, "TOOMANYREQUESTS", "slow down", Retry_After="1"), times=1)
        start = time.monotonic()
        self.succeeds()
        self.assertGreaterEqual(time.monotonic() - start, 0.9)

    def test_429_for_too_long(self):
        seen = self.on("/manifests/", lambda h: h.error(429, "TOOMANYREQUESTS", "slow down", Retry_After="86000"))
        self.fails("toomanyrequests")
        self.assertEqual(seen["n"], 1)

    def test_missing_blob(self):
        del self.server.blobs[self.blob]
        self.fails(self.blob[7:19], "404")

    # ---- redirects

    def test_redirect_loop(self):
        seen = self.on("/blobs/" + self.blob, lambda h: h.send(307, Location=h.path))
        self.fails("redirects more than 10 times")
        self.assertEqual(seen["n"], 11)

    def test_redirect_drops_credentials(self):
        need_login(self.hull)
        other = Server()
        self.addCleanup(other.close)
        other.blobs.update(self.image.blobs())
        self.login("Basic realm=\"x\"")
        self.on("/blobs/", lambda h: h.send(307, Location=f"{other.url}/elsewhere/{h.path.rpartition('/')[2]}"))
        self.succeeds()
        self.assertEqual(len(other.seen), 2)
        for _, _, headers in other.seen:
            self.assertNotIn("Authorization", headers)

    def test_bad_redirects(self):
        for location in (None, "", "file:///etc/passwd", "ftp://x/", "http://user:pw@127.0.0.1/", "http://169.254.169.254/latest",
                         "http://[fe80::1]/", "http://example.com/open", "gopher://127.0.0.1/", "http://2852039166/", "//\\evil"):
            with self.subTest(location=location):
                self.server.hooks.clear()
                self.on("/blobs/" + self.blob, lambda h: h.send(302, Location=location) if location is not None else h.send(302))
                if location == "":
                    self.hull("pull", self.name, code=1)
                else:
                    self.fails("redirect")

    # ---- cut, slow, silent

    def cut(self, at, times):
        def answer(h):
            data = self.image.layers[0]
            begin = int(h.headers.get("Range", "bytes=0-")[6:-1])
            h.send(206 if begin else 200, b"", Content_Length=str(len(data) - begin),
                   Content_Range=f"bytes {begin}-{len(data) - 1}/{len(data)}" if begin else None)
            h.wfile.write(data[begin:begin + at])
            h.close_connection = True
        return self.on("/blobs/" + self.blob, answer, times)

    def test_resumes_after_a_cut(self):
        seen = self.cut(50000, 2)
        self.succeeds()
        self.assertEqual(seen["n"], 2)
        ranges = [h.get("Range") for _, path, h in self.server.seen if self.blob in path]
        self.assertEqual(ranges[0], None)
        self.assertTrue(all(r for r in ranges[1:]), ranges)

    def test_server_without_ranges(self):
        self.cut(50000, 1)
        self.on("/blobs/" + self.blob, lambda h: h.send(200, self.image.layers[0]))
        self.succeeds()

    def test_range_is_wrong(self):
        self.cut(50000, 1)
        self.on("/blobs/" + self.blob, lambda h: h.send(206, self.image.layers[0][10:], Content_Range="bytes 10-99/100"))
        self.fails("another part of a blob", resumable=True)

    def test_next_pull_goes_on(self):
        state = self.cut(150000, 1)
        self.on("/blobs/" + self.blob, lambda h: h.error(404))
        self.fails(resumable=True)
        self.assertEqual(list(self.left().values()), [150000])
        self.server.hooks.clear()
        self.server.seen.clear()
        self.succeeds()
        self.assertEqual([h.get("Range") for _, path, h in self.server.seen if self.blob in path], ["bytes=150000-"])
        self.assertEqual(state["n"], 1)

    def test_bad_head_start(self):
        self.hull("images")
        (self.hull.root / "ingest" / (self.blob[7:] + ".partial")).write_bytes(os.urandom(100000))
        done = self.succeeds()
        self.assertIn("Verification failed, pulling again", done.out)
        (self.hull.root / "ingest" / ("0" * 64 + ".partial")).write_bytes(b"x")
        self.hull("rmi", "-f", self.image.id)
        (self.hull.root / "ingest" / (self.blob[7:] + ".partial")).write_bytes(bytes(len(self.image.layers[0]) + 1))
        self.hull("pull", self.name)

    def test_hangs(self):
        def hang(h):
            self.server.stopping.wait(30)
            h.close_connection = True
        for pattern in ("^/v2/$", "/manifests/", "/blobs/"):
            with self.subTest(pattern=pattern):
                self.server.hooks.clear()
                self.on(pattern, hang)
                self.fails("stopped sending", seconds=30)

    def test_drips(self):
        def drip(h):
            h.send(200, b"", Content_Length=str(len(self.image.layers[0])))
            for byte in self.image.layers[0]:
                h.wfile.write(bytes([byte]))
                h.wfile.flush()
                if self.server.stopping.wait(0.1):
                    break
        self.on("/blobs/" + self.blob, drip)
        self.fails("stopped sending", seconds=30)

    # ---- lists of tags

    def tags_say(self, *pages, header="Link"):
        """Each page: its body, and the link to the next or None."""
        asked = []

        def hook(handler, method, path):
            if "/tags/list" not in path:
                return False
            body, link = pages[min(len(asked), len(pages) - 1)]
            asked.append(path)
            handler.send(200, body, **({header: link} if link else {}))
            return True
        self.server.hooks.append(hook)
        return asked

    def test_pages_of_tags(self):
        for i in range(7):
            self.server.add("pages", self.image, f"t{i}")
        self.server.page = 3
        name = f"{self.server.host}/pages"
        out = self.hull("pull", "-a", name).out
        self.assertEqual([line.split(":")[0] for line in out.splitlines() if "Pulling from" in line], [f"t{i}" for i in range(7)])
        self.assertEqual(self.server.requests("/tags/list"),
                         ["/v2/pages/tags/list", "/v2/pages/tags/list?last=t2&n=3", "/v2/pages/tags/list?last=t5&n=3"])

    def all_fails(self, *texts):
        done = self.hull("pull", "-a", f"{self.server.host}/x", code=1)
        self.assertTrue(done.err.startswith("hull: "), done.err)
        for text in texts:
            self.assertIn(text, done.err)
        self.assertEqual((self.left(), self.hull.out("images", "-q")), ({}, ""))

    def test_lists_of_tags_that_are_none(self):
        for body in (b"", b"[", b"<html>", b'{"tags":{}}', b'{"tags":[1]}', b'{"tags":["a/../b"]}', b'{"tags":["a\\nb"]}',
                     b'{"tags":["' + b"a" * 129 + b'"]}'):
            with self.subTest(body[:40]):
                self.server.hooks.clear()
                self.tags_say((body, None))
                self.all_fails("list")

    def test_lists_of_tags_without_end(self):
        page = b'{"tags":["latest"]}'
        link = "</v2/x/tags/list?last=%s>; rel=next"
        asked = self.tags_say((page, link % "same"))
        self.all_fails("goes in circles")
        self.assertEqual(len(asked), 2)
        self.server.hooks.clear()
        asked = self.tags_say(*[(b'{"tags":null}', link % i) for i in range(1200)])
        self.all_fails("more than 1000 pages")
        self.assertEqual(len(asked), 1000)
        self.server.hooks.clear()
        asked = self.tags_say(*[(b'{"tags":[' + b'"a",' * 9999 + b'"a"]}', link % i) for i in range(9)])
        self.all_fails("more than 20000 tags")
        self.assertEqual(len(asked), 3)
        self.server.hooks.clear()
        self.tags_say((b'{"tags":["' + b"a" * (5 << 20), None))
        self.all_fails("a document longer than")

    def test_lists_of_tags_that_go_on_elsewhere(self):
        for link in (f"<{self.server.url}/v2/secret/tags/list?n=1>; rel=next", "<http://169.254.169.254/?a=1>; rel=next",
                     "</v2/x/tags/list?a b>; rel=next", "</v2/x/tags/list#a?b>; rel=next"):
            with self.subTest(link):
                self.server.hooks.clear()
                asked = self.tags_say((b'{"tags":["latest"]}', link))
                self.all_fails("goes on in a place that is not taken")
                self.assertEqual(asked, ["/v2/x/tags/list"])

    def test_a_list_of_tags_is_asked_for_again(self):
        failures = []

        def hook(handler, method, path):
            if "/tags/list" not in path or len(failures) == 2:
                return False
            failures.append(path)
            handler.error(503)
            return True
        self.server.hooks.append(hook)
        self.hull("pull", "-a", f"{self.server.host}/x")
        self.assertEqual(len(failures), 2)

    def test_a_listed_tag_that_is_not_there(self):
        self.tags_say((b'{"tags":["latest","missing"]}', None))
        err = self.hull("pull", "-a", f"{self.server.host}/x", code=1).err
        self.assertIn(f"manifest for {self.server.host}/x:missing not found", err)
        # What came before it is kept.
        self.assertEqual(json.loads(self.hull.out("image", "inspect", self.name))[0]["Id"], self.image.id)

    def test_garbage_instead_of_http(self):
        def garbage(h):
            h.wfile.write(os.urandom(3000))
            h.close_connection = True
        self.on("/manifests/", garbage)
        self.hull("pull", self.name, code=1)
        self.assertEqual(self.left(), {})

    def wait_for_half(self, size=1 << 20, seconds=40):
        """Until the layer's own file has so much: what the server has sent may
        still be in a socket, or with the fetcher, or in a pipe."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for path in (self.hull.root / "ingest").glob(f"*/{self.blob[7:]}.blob"):
                if path.stat().st_size >= size:
                    return
            time.sleep(0.02)
        self.fail("the download did not get that far")

    def wait_for_processes(self, seconds=20):
        """The workers of a hull that was killed end by themselves."""
        deadline = time.monotonic() + seconds
        while leaks.processes(self.hull):
            self.assertLess(time.monotonic(), deadline, leaks.processes(self.hull))
            time.sleep(0.02)

    def test_interrupted_then_resumed(self):
        big = Image([make_tar({"file": os.urandom(3 << 20)})])
        self.image, self.blob = big, sha(big.layers[0])
        self.name = self.server.add("big", big)

        def slow(h):
            h.send(200, b"", Content_Length=str(len(big.layers[0])))
            h.wfile.write(big.layers[0][:2 << 20])
            h.wfile.flush()
            self.server.stopping.wait(60)
        self.on("/blobs/" + self.blob, slow, 2)
        self.hull.env["HULL_REGISTRY_STALL_MS"] = "60000"
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            process = self.hull.start("pull", self.name)
            self.wait_for_half()
            process.send_signal(number)
            _, err = process.communicate(timeout=20)
            self.assertEqual(process.returncode, code, err)
            self.assertIn(b"continues where it ended", err)
            (self.hull.root / "x").unlink(missing_ok=True)
            left = self.left()
            self.assertEqual(list(left), [self.blob[7:] + ".partial"])
            self.assertEqual(self.hull.wait_until_clean(), [])
            if number == signal.SIGINT:
                (self.hull.root / "ingest" / (self.blob[7:] + ".partial")).unlink()
        self.assertGreater(left[self.blob[7:] + ".partial"], 1 << 20)
        self.succeeds()

    def test_killed_then_resumed(self):
        big = Image([make_tar({"file": os.urandom(3 << 20)})])
        self.image, self.blob = big, sha(big.layers[0])
        self.name = self.server.add("big", big)

        def slow(h):
            h.send(200, b"", Content_Length=str(len(big.layers[0])))
            h.wfile.write(big.layers[0][:2 << 20])
            h.wfile.flush()
            self.server.stopping.wait(60)
        self.on("/blobs/" + self.blob, slow, 1)
        self.hull.env["HULL_REGISTRY_STALL_MS"] = "60000"
        process = self.hull.start("pull", self.name)
        self.wait_for_half()
        process.kill()
        process.communicate()
        self.wait_for_processes()
        # Its folder is taken over by the next hull, with what has come.
        self.succeeds()
        self.assertTrue([h for _, path, h in self.server.seen if self.blob in path][1].get("Range"))
        self.assertEqual(self.hull.wait_until_clean(), [])

    # ---- here at home

    def test_full_disk(self):
        self.hull("images")
        root = self.hull.root
        big = Image([make_tar({"file": os.urandom(12 << 20)})])
        name = self.server.add("big", big)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", root], check=True)  # in a namespace of our own
        try:
            done = self.hull("pull", name, code=1)
            self.assertIn("No space left on device", done.err)
            self.assertEqual({n for n in self.left() if not n.endswith(".partial")}, set())
            # Room for others again, and no harm done.
            for path in (root / "ingest").glob("*.partial"):
                path.unlink()
            self.hull("pull", self.name)
        finally:
            subprocess.run(["umount", "-l", root], check=True)

    def test_worker_is_missing(self):
        (self.hull.dir / "programs" / "hull-fetch").unlink()
        self.fails("hull-fetch", "not completely installed")

    def test_worker_dies(self):
        for program in ("hull-fetch", "hull-unpack"):
            path = self.hull.dir / "programs" / program
            kept = path.readlink()
            path.unlink()
            path.write_text("#!/bin/sh\nkill -SEGV $$\n")
            path.chmod(0o755)
            self.hull("pull", self.name, code=1)
            self.assertEqual([n for n in self.left() if not n.endswith(".partial")], [])
            path.unlink()
            path.symlink_to(kept)
        self.succeeds()

    # ---- log-in

    def login(self, challenge, user="me", password="secret", host=None):
        """Make the registry want a log-in, and hull know one."""
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        config = self.hull.dir / "docker" / "config.json"
        config.parent.mkdir(exist_ok=True)
        config.write_text(json.dumps({"auths": {host or self.server.host: {"auth": pair}}}))

        def hook(handler, method, path):
            wanted = f"Basic {pair}" if challenge.startswith("Basic") else "Bearer good"
            if path.startswith("/v2/") and handler.headers.get("Authorization") != wanted:
                handler.error(401, "UNAUTHORIZED", "log in", WWW_Authenticate=challenge)
                return True
            return False
        self.server.hooks.append(hook)
        return f"Basic {pair}"

    def token_server(self):
        tokens = Server()
        self.addCleanup(tokens.close)
        tokens.hooks.append(lambda h, method, path: h.send(200, b'{"token": "good", "expires_in": 300}') or True)
        return tokens

    def test_anonymous_token(self):
        tokens = self.token_server()
        self.login(f'Bearer realm="{tokens.url}/token",service="x y",scope="ignored"')
        (self.hull.dir / "docker" / "config.json").unlink()
        self.succeeds()
        self.assertEqual(tokens.seen[0][1], "/token?service=x%20y&scope=repository%3Ax%3Apull")
        self.assertEqual(len(tokens.seen), 1)
        self.assertNotIn("Authorization", tokens.seen[0][2])

    def test_wrong_realms(self):
        for realm in ("http://169.254.169.254/token", "http://example.com/token", "file:///etc/passwd",
                      "http://user:pw@127.0.0.1/t", "ftp://127.0.0.1/", "", "http://127.0.0.1/a\\r\\nX: y", "//127.0.0.1/"):
            with self.subTest(realm=realm):
                self.server.hooks.clear()
                self.login(f'Bearer realm="{realm}",service="x"')
                self.fails()

    def test_broken_challenges(self):
        for challenge in ("Bearer", 'Bearer realm="unfinished', "Bearer realm", "\x01", "Negotiate abc", "Bearer " + "a=b," * 3000):
            with self.subTest(challenge=challenge[:40]):
                self.server.hooks.clear()
                self.login(challenge)
                self.fails()

    def test_broken_tokens(self):
        for answer in (b"", b"{}", b'{"token": 5}', b'{"token": "a\\r\\nX-Evil: 1"}', b'{"token": ""}', b"[" * 5000, b"x" * (2 << 20)):
            with self.subTest(answer=answer[:30]):
                self.server.hooks.clear()
                tokens = Server()
                self.addCleanup(tokens.close)
                tokens.hooks.append(lambda h, method, path: h.send(200, answer) or True)
                self.login(f'Bearer realm="{tokens.url}/token"')
                self.fails()

    def test_token_that_is_never_good(self):
        tokens = Server()
        self.addCleanup(tokens.close)
        tokens.hooks.append(lambda h, method, path: h.send(200, b'{"token": "bad"}') or True)
        self.login(f'Bearer realm="{tokens.url}/token"')
        self.fails("pull access denied")
        self.assertLessEqual(len(tokens.seen), 3)


class Mirrors(unittest.TestCase):
    """The registry is our own server on 127.0.0.1; so are its mirrors."""

    def setUp(self):
        self.origin, self.mirror = Server(), Server()
        self.addCleanup(self.origin.close)
        self.addCleanup(self.mirror.close)
        self.hull = Hull()
        self.addCleanup(self.hull.remove)
        self.hull.env["HULL_REGISTRY_STALL_MS"] = "700"
        self.hull.env["HULL_REGISTRY_MIRRORS"] = self.mirror.url
        self.image = one()
        self.name = self.origin.add("x", self.image)
        self.mirror.add("x", self.image)
        self.blob = sha(self.image.layers[0])

    def pulls(self):
        self.hull("pull", self.name)
        self.assertEqual(json.loads(self.hull.out("image", "inspect", self.name))[0]["Id"], self.image.id)

    def test_mirror_is_first(self):
        self.pulls()
        self.assertEqual(self.origin.seen, [])

    def test_mirror_is_down(self):
        self.mirror.close()
        self.pulls()

    def test_mirror_lacks_it(self):
        self.mirror.manifests.clear()
        self.pulls()

    def test_mirror_breaks_in_the_middle(self):
        self.mirror.blobs[self.blob] = self.image.layers[0][:1000]
        self.pulls()

    def test_mirror_lies(self):
        data = bytearray(self.image.layers[0])
        data[-5] ^= 1
        self.mirror.blobs[self.blob] = bytes(data)
        self.mirror.blobs[self.image.id] = self.image.config.replace(b"amd", b"amb")
        self.pulls()

    def test_log_in_stays_at_home(self):
        need_login(self.hull)
        pair = base64.b64encode(b"me:secret").decode()
        config = self.hull.dir / "docker" / "config.json"
        config.parent.mkdir()
        config.write_text(json.dumps({"auths": {self.origin.host: {"auth": pair}}}))
        self.mirror.hooks.append(lambda h, m, p: h.error(401, WWW_Authenticate='Basic realm="x"') or True)
        self.pulls()
        self.assertFalse([h for _, _, h in self.mirror.seen if "Authorization" in h])


if __name__ == "__main__":
    main()
