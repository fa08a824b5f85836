#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's nginx, redis, postgresql, node and python, run as their users run them.

The images are made from Debian's packages (lib/debian.py), on top of one another with
`hull commit`. Without network and without a kept tar the tests are skipped; with
HULL_TESTS_MUST_RUN=1 they fail then."""
import json
import os
import pathlib
import socket
import struct
import subprocess
import tempfile
import time
import urllib.request

from lib.debian import TAR, make_tree
from lib.hull import HullTest, main, need

why_not = None

NODE_SERVER = """
const http = require('http');
const fs = require('fs');
http.createServer((request, response) => {
  if (request.url === '/stop') process.exit(9);
  fs.appendFileSync('/data/visits', request.url + '\\n');
  response.end(JSON.stringify({ uid: process.getuid(), host: require('os').hostname(), env: process.env.GREETING }));
}).listen(3000, () => console.log('listening'));
process.on('SIGTERM', () => { console.log('bye'); process.exit(3); });
"""

# nginx, which asks for the name itself, before node, which asks postgresql.
TIERS_NGINX = """
server {
  listen 80;
  resolver 127.0.0.11 valid=1s ipv6=off;
  set $api http://api:3000;
  location / { proxy_pass $api; }
}
"""
TIERS_NODE = """
const { execFile } = require('child_process');
require('http').createServer((request, response) => {
  execFile('psql', ['-h', 'database', '-U', 'app', '-d', 'postgres', '-v', 'who=' + require('os').hostname(), '-qtA', '-f', '-'],
           { env: { ...process.env, PGPASSWORD: 'secret' } }, (error, out, said) => {
    response.statusCode = error ? 502 : 200;
    response.end(error ? said : out);
  }).stdin.end("insert into visits (who) values (:'who'); select count(*) || ' ' || :'who' from visits;");
}).listen(3000, () => console.log('listening'));
process.on('SIGTERM', () => process.exit(0));
"""

PYTHON_POOL = """
import hashlib, multiprocessing, sqlite3, ssl, subprocess, threading
with multiprocessing.Pool(3) as pool:
    print(sum(pool.map(abs, range(-100, 1))))
db = sqlite3.connect('/tmp/x.db')
db.execute('create table t (a)')
db.execute('insert into t values (1)')
db.commit()
print(subprocess.run(['id', '-u'], capture_output=True, text=True).stdout.strip(), hashlib.sha256(b'').hexdigest()[:8], ssl.OPENSSL_VERSION[:7])
threads = [threading.Thread(target=lambda: None) for _ in range(50)]
for t in threads: t.start()
for t in threads: t.join()
print('done')
"""


class RealImages(HullTest):
    images = False

    @classmethod
    def setUpClass(cls):
        need(not why_not, why_not)
        super().setUpClass()
        with open(TAR, "rb") as tar:
            cls.hull("import", "-c", 'CMD ["/bin/bash"]', "-", "debian", stdin=tar, timeout=180)
        cls.build("nginx", "ln -sf /dev/stdout /var/log/nginx/access.log; ln -sf /dev/stderr /var/log/nginx/error.log",
                  'CMD ["nginx", "-g", "daemon off;"]', "EXPOSE 80", "STOPSIGNAL SIGQUIT")
        cls.build("redis", "mkdir /data && chown redis: /data", "USER redis", "VOLUME /data", "WORKDIR /data", "EXPOSE 6379",
                  'ENTRYPOINT ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--appendonly", "yes", "--dir", "/data"]')
        cls.build("postgres", "echo 'host all all all scram-sha-256' >> /etc/postgresql/15/main/pg_hba.conf", "USER postgres",
                  "VOLUME /var/lib/postgresql", "EXPOSE 5432", "STOPSIGNAL SIGINT", "ENV PGHOST=/tmp",
                  'CMD ["/usr/lib/postgresql/15/bin/postgres", "-c", "config_file=/etc/postgresql/15/main/postgresql.conf", '
                  '"-c", "listen_addresses=*", "-c", "unix_socket_directories=/tmp"]')
        cls.build("node", "useradd -m -u 1234 app && mkdir /data && chown app: /data", "USER app", "WORKDIR /srv", "VOLUME /data",
                  "EXPOSE 3000", 'ENTRYPOINT ["node"]')
        cls.build("python", "useradd -m -u 1500 app", "USER app", 'ENTRYPOINT ["python3"]')

    @classmethod
    def build(cls, name, script, *changes):
        cls.hull("run", "--name", "build", "--network", "none", "debian", "sh", "-ec", script, timeout=120)
        cls.hull("commit", *(word for change in changes for word in ("-c", change)), "build", name, timeout=120)
        cls.hull("rm", "build")

    def tearDown(self):
        self.hull.remove_all()
        names = self.hull.out("volume", "ls", "-q").split()
        if names:
            self.hull("volume", "rm", *names)
        super().tearDown()

    def get(self, port, path="/"):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            return None

    def inspect(self, name, template):
        return self.hull.out("inspect", "-f", template, name)

    # ---- Debian itself

    def test_files_belong_to_their_owners(self):
        """The user namespace shows every file with the owner it has in the image."""
        lost = self.hull.out("run", "--rm", "debian", "find", "/", "-xdev", "(", "-nouser", "-o", "-nogroup", ")")
        self.assertEqual(lost, "")
        listed = self.hull.out("run", "--rm", "debian", "stat", "-c", "%U:%G %a", "/etc/shadow", "/var/lib/redis", "/usr/bin/passwd", "/tmp",
                               "/var/lib/postgresql/15/main")
        self.assertEqual(listed.split("\n"), ["root:shadow 640", "redis:redis 750", "root:root 4755", "root:root 1777", "postgres:postgres 700"])

    def test_what_administrators_do(self):
        script = """
            useradd -m someone; su someone -c 'id -un; touch ~/file'; stat -c %U /home/someone/file
            chown 65534:12345 /tmp; stat -c %u:%g /tmp; chmod u+s /bin/true; stat -c %a /bin/true
            dpkg --verify bash | grep -v /usr/share/ || echo verified
            mkdir /m && ! mount -t tmpfs none /m 2>/dev/null && echo refused
            apt-mark showmanual > /dev/null && dpkg-query -W bash | cut -f1
            cp -a /etc /etc2 && diff -r /etc /etc2 && echo same
            python3 -c 'import os; os.setuid(33); print(os.getuid())'
        """
        out = self.hull.out("run", "--rm", "debian", "bash", "-ec", script)
        self.assertEqual(out.split(), ["someone", "someone", "65534:12345", "4755", "verified", "refused", "bash", "same", "33"])

    # ---- nginx

    def test_nginx(self):
        with tempfile.TemporaryDirectory(prefix="hull-site-") as site:
            os.chmod(site, 0o755)
            pathlib.Path(site, "index.html").write_text("hello from a bind mount\n", encoding="ascii")
            self.hull("run", "-d", "--name", "web", "-p", "8300:80", "-v", f"{site}:/var/www/html:ro", "nginx")
            self.eventually(lambda: self.get(8300) == "hello from a bind mount\n")
            pathlib.Path(site, "index.html").write_text("changed\n", encoding="ascii")
            self.assertEqual(self.get(8300), "changed\n")
            self.assertIsNone(self.get(8300, "/nothing"))
            self.eventually(lambda: '"GET /nothing HTTP/1.1" 404' in self.hull.out("logs", "web"))
            self.assertIn("www-data", self.hull.out("exec", "web", "sh", "-c", "stat -c %U /proc/[0-9]*").split())
            self.hull("exec", "web", "nginx", "-s", "reload")
            self.eventually(lambda: self.get(8300) == "changed\n")
            started = time.monotonic()
            self.hull("stop", "web")
            self.assertLess(time.monotonic() - started, 8)
            self.assertEqual(self.inspect("web", "{{.State.ExitCode}}"), "0")
            self.assertIsNone(self.get(8300))
            self.hull("start", "web")
            self.eventually(lambda: self.get(8300) == "changed\n")

    def test_nginx_without_root(self):
        """Its own user, a read-only root, no capabilities, port 80 all the same."""
        self.hull("run", "-d", "--name", "own", "-p", "8301:80", "-u", "www-data", "--read-only", "--tmpfs", "/run:mode=1777", "--tmpfs",
                  "/var/lib/nginx:mode=1777", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "nginx", "nginx", "-g",
                  "daemon off;")
        self.eventually(lambda: "Welcome to nginx" in (self.get(8301) or ""))
        self.eventually(lambda: "GET / HTTP/1.1" in self.hull.out("logs", "own"))
        self.hull("stop", "own")
        self.assertEqual(self.inspect("own", "{{.State.ExitCode}}"), "0")

    def test_nginx_that_dies_is_restarted(self):
        self.hull("run", "-d", "--name", "again", "-p", "8302:80", "--restart", "always", "nginx")
        self.eventually(lambda: self.get(8302))
        pid = int(self.inspect("again", "{{.State.Pid}}"))
        os.kill(pid, 9)
        self.eventually(lambda: self.inspect("again", "{{.RestartCount}} {{.State.Running}}") == "1 true" and self.get(8302), 20)

    # ---- redis

    def redis(self, port, *words):
        """One command in its protocol; the first line of the answer, or a bulk string."""
        with socket.create_connection(("127.0.0.1", port), 5) as s:
            s.sendall(b"".join([b"*%d\r\n" % len(words)] + [b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words]))
            f = s.makefile("rb")
            line = f.readline().decode().strip()
            return f.read(int(line[1:])).decode() if line.startswith("$") and line != "$-1" else line

    def redis_is_up(self, port):
        try:
            return self.redis(port, "PING") == "+PONG"
        except OSError:
            return False

    def test_redis_keeps_its_data(self):
        run = ("run", "-d", "--name", "kv", "-p", "8310:6379", "-v", "kvdata:/data", "--memory", "128m")
        self.hull(*run, "redis")
        self.eventually(lambda: self.redis_is_up(8310))
        self.assertEqual(self.redis(8310, "SET", "key", "value" * 1000), "+OK")
        for i in range(100):
            self.redis(8310, "INCR", "counter")
        self.assertEqual(self.hull.out("exec", "kv", "id", "-un"), "redis")
        self.assertEqual(self.hull.out("exec", "kv", "redis-cli", "GET", "counter"), "100")
        self.hull("stop", "kv")
        self.assertEqual(self.inspect("kv", "{{.State.ExitCode}}"), "0")
        self.assertIn("User requested shutdown", self.hull.out("logs", "kv"))
        self.hull("rm", "kv")
        self.hull(*run, "redis")
        self.eventually(lambda: self.redis_is_up(8310))
        self.assertEqual(self.redis(8310, "GET", "key"), "value" * 1000)
        # A killed one finds what it had written too.
        self.redis(8310, "CONFIG", "SET", "appendfsync", "always")
        self.redis(8310, "INCR", "counter")
        self.hull("kill", "kv")
        self.hull("start", "kv")
        self.eventually(lambda: self.redis_is_up(8310))
        self.assertEqual(self.redis(8310, "GET", "counter"), "101")

    def test_redis_answers_another_container(self):
        self.hull("run", "-d", "--name", "srv", "redis")
        address = self.inspect("srv", "{{.NetworkSettings.IPAddress}}")
        ask = ("run", "--rm", "--entrypoint", "redis-cli", "redis", "-h", address, "PING")
        self.eventually(lambda: self.hull(*ask, code=None).out.strip() == "PONG")
        self.assertEqual(self.hull.out("run", "--rm", "--network", "container:srv", "--entrypoint", "redis-cli", "redis", "PING"), "PONG")

    def test_redis_out_of_memory(self):
        self.hull("run", "-d", "--name", "full", "-m", "32m", "--memory-swap", "32m", "redis", "--appendonly", "no", "--save", "")
        self.eventually(lambda: self.hull("exec", "full", "redis-cli", "PING", code=None).out.strip() == "PONG")
        self.hull("exec", "full", "redis-cli", "DEBUG", "JMAP", code=None)
        self.hull("exec", "full", "redis-cli", "SETRANGE", "big", str(100 << 20), "x", code=None)
        self.eventually(lambda: self.inspect("full", "{{.State.Status}}") == "exited")
        self.assertEqual(self.inspect("full", "{{.State.ExitCode}} {{.State.OOMKilled}}"), "137 true")

    # ---- postgresql

    def sql(self, name, text, code=0):
        return self.hull("exec", name, "psql", "-Atqc", text, "postgres", code=code).out.strip()

    def sql_is_up(self, name):
        return self.hull("exec", name, "pg_isready", "-q", code=None).returncode == 0

    def test_postgres_keeps_its_data(self):
        run = ("run", "-d", "--name", "db", "-p", "8320:5432", "-v", "dbdata:/var/lib/postgresql", "--shm-size", "128m", "postgres")
        self.hull(*run)
        self.eventually(lambda: self.sql_is_up("db"), 30)
        self.sql("db", "create table t (a int primary key, b text)")
        self.sql("db", "insert into t select i, repeat('x', 100) from generate_series(1, 10000) i")
        self.assertEqual(self.sql("db", "select count(*), sum(length(b)) from t"), "10000|1000000")
        self.assertEqual(self.sql("db", "show data_directory"), "/var/lib/postgresql/15/main")
        # The published port speaks the protocol (SSLRequest).
        with socket.create_connection(("127.0.0.1", 8320), 5) as s:
            s.sendall(struct.pack("!II", 8, 80877103))
            self.assertIn(s.recv(1), (b"S", b"N"))
        # SIGINT, the image's stop signal, ends it fast though a client is connected.
        client = self.hull.start("exec", "-i", "db", "psql", "postgres", stdin=subprocess.PIPE)
        self.eventually(lambda: self.sql("db", "select count(*) from pg_stat_activity where backend_type = 'client backend'") == "2")
        started = time.monotonic()
        self.hull("stop", "db", timeout=30)
        self.assertLess(time.monotonic() - started, 8)
        self.assertEqual(self.inspect("db", "{{.State.ExitCode}}"), "0")
        client.communicate(timeout=60)
        self.hull("rm", "db")
        self.hull(*run)
        self.eventually(lambda: self.sql_is_up("db"), 30)
        self.assertEqual(self.sql("db", "select count(*) from t"), "10000")
        # Killed: it recovers from its log.
        self.sql("db", "insert into t values (0, 'last')")
        self.hull("kill", "db")
        self.hull("start", "db")
        self.eventually(lambda: self.sql_is_up("db"), 30)
        self.assertEqual(self.sql("db", "select b from t where a = 0"), "last")

    def test_postgres_made_anew(self):
        """initdb by its own user into an empty volume, parallel queries in shared memory."""
        self.hull("run", "-d", "--name", "new", "--tmpfs", "/db:uid=0,mode=1777", "--entrypoint", "sh", "postgres", "-ec",
                  "PATH=/usr/lib/postgresql/15/bin:$PATH; initdb -D /db/x >/dev/null; exec postgres -D /db/x -c unix_socket_directories=/tmp")
        self.eventually(lambda: self.sql_is_up("new"), 60)
        self.sql("new", "create table big as select generate_series(1, 200000) a; analyze big")
        self.assertEqual(self.sql("new", "set min_parallel_table_scan_size = 0; set parallel_setup_cost = 0; select sum(a) from big"), "20000100000")

    # ---- node

    def test_node_server(self):
        with tempfile.TemporaryDirectory(prefix="hull-node-") as folder:
            os.chmod(folder, 0o755)
            pathlib.Path(folder, "server.js").write_text(NODE_SERVER, encoding="ascii")
            self.hull("run", "-d", "--name", "js", "-p", "8330:3000", "-e", "GREETING=hi", "-h", "jsbox", "-v", f"{folder}:/srv:ro", "-v",
                      "visits:/data", "--init", "--restart", "on-failure:2", "node", "server.js")
            self.eventually(lambda: self.get(8330, "/one"), 20)
            self.assertEqual(json.loads(self.get(8330, "/two")), {"uid": 1234, "host": "jsbox", "env": "hi"})
            self.get(8330, "/stop")
            self.eventually(lambda: self.inspect("js", "{{.RestartCount}}") == "1" and self.get(8330, "/three"), 30)
            self.assertEqual(self.hull.out("exec", "js", "cat", "/data/visits").split()[0], "/one")
            self.assertEqual(self.hull.out("exec", "js", "tail", "-n", "1", "/data/visits"), "/three")
            self.hull("stop", "js")
            self.assertEqual(self.inspect("js", "{{.State.ExitCode}}"), "3")
            self.assertTrue(self.hull.out("logs", "js").endswith("bye"))

    def test_node_by_itself(self):
        self.assertEqual(self.hull.out("run", "--rm", "node", "-p", "process.pid + ' ' + process.getuid()"), "1 1234")
        self.assertEqual(self.hull.out("run", "--rm", "-i", "node", input="console.log(6 * 7)"), "42")
        script = "const { Worker } = require('worker_threads'); new Worker('process.exit(0)', { eval: true }).on('exit', c => console.log('worker', c));" \
                 "require('child_process').exec('echo child', (e, o) => console.log(o.trim()))"
        self.assertEqual(sorted(self.hull.out("run", "--rm", "node", "-e", script).split("\n")), ["child", "worker 0"])
        self.hull("run", "--rm", "node", "-e", "process.exit(17)", code=17)
        self.hull("run", "--rm", "--init", "node", "-e", "process.abort()", code=134)

    # ---- python

    # ---- all together

    def test_three_tiers_over_names(self):
        """nginx -> node -> postgresql, the database on an internal network."""
        place = pathlib.Path(tempfile.mkdtemp(dir=self.hull.dir))
        (place / "default").write_text(TIERS_NGINX)
        (place / "api.js").write_text(TIERS_NODE)
        place.chmod(0o755)
        self.hull("network", "create", "front")
        self.hull("network", "create", "--internal", "back")
        self.addCleanup(self.hull, "network", "rm", "front", "back")
        self.addCleanup(self.hull.remove_all)
        self.hull("run", "-d", "--name", "db", "--network", "back", "--network-alias", "database", "--shm-size", "128m", "postgres")
        self.eventually(lambda: self.sql_is_up("db"), 30)
        self.sql("db", "create role app login password 'secret'")
        self.sql("db", "create table visits (who text)")
        self.sql("db", "grant all on visits to app")

        def api(name):
            self.hull("run", "-d", "--name", name, "--hostname", name, "--network", "front", "--network", "back", "--network-alias", "api",
                      "-v", f"{place}/api.js:/srv/api.js:ro", "node", "api.js")
            self.eventually(lambda: "listening" in self.hull.out("logs", name), 20)
        api("api1")
        self.hull("run", "-d", "--name", "web", "--network", "front", "-p", "8330:80", "-v", f"{place}/default:/etc/nginx/sites-enabled/default:ro",
                  "nginx")
        self.eventually(lambda: self.get(8330) == "1 api1\n", 20)
        self.assertEqual(self.get(8330), "2 api1\n")
        # The web server knows nothing of the database, nor the database of the world.
        self.hull("exec", "web", "getent", "hosts", "database", code=2)
        self.hull("exec", "db", "getent", "hosts", "web", code=2)
        self.hull("exec", "db", "getent", "hosts", "example.org", code=2)
        self.assertIn("api", self.hull.out("exec", "web", "getent", "hosts", "api"))
        # Another takes the name over: nobody is told, nobody is restarted.
        self.hull("rm", "-f", "api1")
        api("api2")
        self.eventually(lambda: (self.get(8330) or "").endswith(" api2\n"), 20)

    def test_python(self):
        out = self.hull.out("run", "--rm", "python", "-c", PYTHON_POOL)
        self.assertEqual(out.split("\n"), ["5050", "1500 e3b0c442 OpenSSL", "done"])
        self.assertIn("ZeroDivisionError", self.hull("run", "--rm", "python", "-c", "1/0", code=1).err)

    def test_python_server_with_health(self):
        self.hull("run", "-d", "--name", "py", "-p", "127.0.0.1:8340:8000", "-w", "/home/app", "--health-cmd",
                  "python3 -c \"import urllib.request as u; u.urlopen('http://127.0.0.1:8000')\"", "--health-interval", "300ms", "--health-retries", "20",
                  "python", "-m", "http.server", "8000")
        self.eventually(lambda: "Directory listing" in (self.get(8340) or ""), 20)
        self.eventually(lambda: self.inspect("py", "{{.State.Health.Status}}") == "healthy", 20)
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "page.html").write_text("copied\n", encoding="ascii")
            self.hull("cp", f"{folder}/page.html", "py:/home/app/page.html")
        self.assertEqual(self.get(8340, "/page.html"), "copied\n")
        # PID 1 without a handler ignores SIGTERM: killed after the timeout.
        self.hull("stop", "-t", "1", "py")
        self.assertEqual(self.inspect("py", "{{.State.ExitCode}}"), "137")


if __name__ == "__main__":
    why_not = make_tree()
    main()
