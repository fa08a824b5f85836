# SPDX-License-Identifier: Apache-2.0
"""Registries for the tests: Debian's docker-registry on loopback, and one of our
own that can misbehave in every way."""
import gzip
import hashlib
import http.server
import io
import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import tarfile
import tempfile
import threading
import time
import urllib.parse

from lib.hull import need_program

OCI = "application/vnd.oci.image."
MANIFEST = OCI + "manifest.v1+json"
INDEX = OCI + "index.v1+json"
CONFIG = OCI + "config.v1+json"
LAYER = OCI + "layer.v1.tar"
DOCKER = "application/vnd.docker."
DOCKER_MANIFEST = DOCKER + "distribution.manifest.v2+json"
DOCKER_LIST = DOCKER + "distribution.manifest.list.v2+json"


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def make_tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1700000000
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zstd(data):
    need_program("zstd")
    return subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout


COMPRESS = {"": lambda data: data, "+gzip": lambda data: gzip.compress(data, 1, mtime=0), "+zstd": zstd}


class Image:
    """An image as documents: config, blobs, manifest."""

    def __init__(self, tars, kinds=None, architecture="amd64", docker=False, config=None, variant=None):
        kinds = kinds or ["+gzip"] * len(tars)
        self.tars = tars
        self.layers = [COMPRESS[kind](tar) for tar, kind in zip(tars, kinds)]
        document = {"architecture": architecture, "os": "linux", "config": {"Cmd": ["/bin/sh"], **(config or {})},
                    "rootfs": {"type": "layers", "diff_ids": [sha(tar) for tar in tars]}}
        if variant:
            document["variant"] = variant
        self.config = json.dumps(document).encode()
        types = [LAYER + kind for kind in kinds]
        if docker:
            types = [DOCKER + "image.rootfs.diff.tar" + kind.replace("+", ".") for kind in kinds]
        self.media_type = DOCKER_MANIFEST if docker else MANIFEST
        self.document = {
            "schemaVersion": 2, "mediaType": self.media_type,
            "config": {"mediaType": DOCKER + "container.image.v1+json" if docker else CONFIG, "digest": sha(self.config),
                       "size": len(self.config)},
            "layers": [{"mediaType": t, "digest": sha(layer), "size": len(layer)} for t, layer in zip(types, self.layers)]}
        self.platform = {"os": "linux", "architecture": architecture, **({"variant": variant} if variant else {})}

    @property
    def manifest(self):
        return json.dumps(self.document).encode()

    @property
    def id(self):
        return sha(self.config)

    def blobs(self):
        return {sha(data): data for data in [self.config, *self.layers]}


def index_of(images, docker=False):
    return json.dumps({"schemaVersion": 2, "mediaType": DOCKER_LIST if docker else INDEX, "manifests": [
        {"mediaType": image.media_type, "digest": sha(image.manifest), "size": len(image.manifest), "platform": image.platform}
        for image in images]}).encode()


class Server:
    """A registry of our own. `hooks` are functions(handler, method, path) that may
    answer themselves (returning True) before the well-behaved code does."""

    def __init__(self, tls=None, address="127.0.0.1", client=None):
        self.blobs, self.manifests, self.hooks, self.seen = {}, {}, [], []
        self.page = 1000
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def send(self, status, body=b"", **headers):
                self.send_response(status)
                headers.setdefault("Content_Length", str(len(body)))
                for key, value in headers.items():
                    if value is not None:
                        self.send_header(key.replace("_", "-"), value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def error(self, status, code="UNKNOWN", message="no", **headers):
                self.send(status, json.dumps({"errors": [{"code": code, "message": message}]}).encode(),
                          Content_Type="application/json", **headers)

            def any(self):
                outer.seen.append((self.command, self.path, dict(self.headers)))
                try:
                    for hook in list(outer.hooks):
                        if hook(self, self.command, self.path):
                            return
                    outer.answer(self)
                except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
                    self.close_connection = True

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = any

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                """Clients that go away are what is tested."""

        self.http = Quiet((address, 0), Handler)
        self.http.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            if client:
                context.load_verify_locations(client)
                context.verify_mode = ssl.CERT_REQUIRED
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.http.server_address[1]
        self.host = f"{address}:{self.port}"
        self.url = f"http{'s' if tls else ''}://{self.host}"
        self.stopping = threading.Event()
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.stopping.set()
        self.http.shutdown()
        self.http.server_close()

    def add(self, name, image, tag="latest"):
        self.blobs.update(image.blobs())
        self.put(name, image.manifest, image.media_type, tag)
        return f"{self.host}/{name}:{tag}"

    def put(self, name, manifest, media_type, tag="latest"):
        for reference in (tag, sha(manifest)):
            self.manifests[name, reference] = (manifest, media_type)
        return f"{self.host}/{name}:{tag}"

    def answer(self, handler):
        path = handler.path.split("?")[0]
        if path == "/v2/":
            return handler.send(200, b"{}")
        if path.endswith("/tags/list"):
            return self.list_tags(handler, path[len("/v2/"):-len("/tags/list")])
        name, _, rest = path[len("/v2/"):].rpartition("/manifests/")
        if name:
            if (name, rest) not in self.manifests:
                return handler.error(404, "MANIFEST_UNKNOWN", "manifest unknown")
            manifest, media_type = self.manifests[name, rest]
            return handler.send(200, manifest, Content_Type=media_type, Docker_Content_Digest=sha(manifest))
        digest = path.rpartition("/")[2]
        if digest not in self.blobs:
            return handler.error(404, "BLOB_UNKNOWN", "blob unknown")
        data, begin = self.blobs[digest], handler.headers.get("Range")
        if begin:
            begin = int(begin[len("bytes="):].rstrip("-"))
            return handler.send(206, data[begin:], Content_Range=f"bytes {begin}-{len(data) - 1}/{len(data)}")
        return handler.send(200, data, Content_Type="application/octet-stream")

    def list_tags(self, handler, name):
        """@page tags a page, with a link to the next."""
        query = dict(urllib.parse.parse_qsl(handler.path.partition("?")[2]))
        tags = sorted(tag for repository, tag in self.manifests if repository == name and ":" not in tag)
        if not tags:
            return handler.error(404, "NAME_UNKNOWN", "repository name not known to registry")
        left = [tag for tag in tags if tag > query.get("last", "")]
        link = None
        if len(left) > self.page:
            link = f'</v2/{name}/tags/list?last={left[self.page - 1]}&n={self.page}>; rel="next"'
        return handler.send(200, json.dumps({"name": name, "tags": left[:self.page]}).encode(), Content_Type="application/json",
                            Link=link)

    def requests(self, text):
        return [path for _, path, _ in self.seen if text in path]


class Proxy:
    """One of the kind that HTTP_PROXY names: whole addresses, and CONNECT. `seen`
    are the first lines of the requests."""

    def __init__(self):
        self.seen = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(65536)
            if not data:
                return
            head += data
        line = head.split(b"\r\n", 1)[0].decode()
        self.seen.append(line)
        method, target, _ = line.split()
        host, _, port = target.removeprefix("http://").split("/")[0].rpartition(":")
        server = socket.create_connection((host, int(port)))
        if method == "CONNECT":
            client.sendall(b"HTTP/1.1 200 go on\r\n\r\n")
        else:
            # One request a connection, so that each is seen.
            path = "/" + target.removeprefix("http://").split("/", 1)[1]
            head = head.replace(target.encode(), path.encode(), 1).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            server.sendall(head)
        threading.Thread(target=self.copy, args=(client, server), daemon=True).start()
        self.copy(server, client)

    @staticmethod
    def copy(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.close()


class DockerRegistry:
    """Debian's docker-registry with a folder of its own."""

    def __init__(self):
        program = need_program("docker-registry")
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hull-registry-"))
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        config = self.dir / "config.yml"
        config.write_text("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\n"
                          "http: {addr: '%s'}\n" % (self.dir / "data", self.host))
        self.process = subprocess.Popen([program, "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    self.close()
                    raise
                time.sleep(0.02)

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def make_certificate(folder, address="127.0.0.1"):
    """A self-signed certificate and its key."""
    need_program("openssl")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=registry", "-addext", f"subjectAltName=IP:{address}", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key
