#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Programs of Debian's do in a sandbox what they do in a container: the same image,
the same command, the same output."""
import pathlib
import shutil

from lib.debian import TAR, make_tree
from lib.hull import HullTest, main, need

SOURCE = pathlib.Path(__file__).resolve().parents[2] / "src/base"
LEVELS = ("container", "sandbox")
why_not = None

NGINX = """
mkdir -p /srv/www && for i in 1 2 3; do head -c ${i}00000 /dev/zero | tr '\\0' $i > /srv/www/$i; done
printf 'server { listen 8080; root /srv/www; location /a { return 302 /1; } }' > /etc/nginx/sites-enabled/default
nginx
python3 - <<'END'
import hashlib, urllib.request, urllib.error
for path in ("1", "2", "3", "a", "none"):
    try:
        with urllib.request.urlopen("http://127.0.0.1:8080/" + path) as answer:
            print(path, answer.status, hashlib.sha256(answer.read()).hexdigest())
    except urllib.error.HTTPError as error:
        print(path, error.code)
END
nginx -s quit 2>/dev/null
"""

REDIS = """
redis-server --daemonize yes --dir /tmp --appendonly yes > /dev/null
until redis-cli ping 2>/dev/null; do sleep 0.1; done
for i in 1 2 3; do redis-cli incr counter; done
redis-cli lpush list a b c; redis-cli lrange list 0 -1
redis-cli eval 'local s = 0; for i = 1, 1000 do s = s + i; redis.call("zadd", "z", i, i) end; return s' 0
redis-cli zcount z 10 500
redis-cli save; redis-cli bgrewriteaof > /dev/null
redis-cli shutdown; redis-server --daemonize yes --dir /tmp --appendonly yes > /dev/null
until redis-cli ping 2>/dev/null | grep PONG; do sleep 0.1; done
redis-cli get counter; redis-cli zcard z
"""

POSTGRES = """
export PATH=/usr/lib/postgresql/15/bin:$PATH
echo "pg_ctl -D /var/lib/postgresql/15/main -o '-c config_file=/etc/postgresql/15/main/postgresql.conf -c unix_socket_directories=/tmp' -w -s start > /dev/null
psql -h /tmp -Atq postgres <<'END'
create table t (a int primary key, b text, c numeric);
insert into t select i, md5(i::text), i / 7.0 from generate_series(1, 20000) i;
create index on t (b);
select count(*), sum(c)::numeric(20, 4), max(b) from t;
select a from t where b = md5('777');
begin; delete from t where a % 2 = 0; rollback;
select count(*) from t;
with recursive f(a, b) as (select 1, 1 union all select b, a + b from f where b < 10000) select string_agg(a::text, ' ') from f;
END
pg_ctl -D /var/lib/postgresql/15/main -s -m fast stop" > /tmp/script
chmod 644 /tmp/script
exec setpriv --reuid postgres --regid postgres --init-groups sh -e /tmp/script
"""

NODE = """
cat > /tmp/main.js <<'END'
const http = require('http'), fs = require('fs'), crypto = require('crypto'), zlib = require('zlib');
const { Worker } = require('worker_threads'), { execFileSync } = require('child_process');
const data = Buffer.alloc(300000, 'hull ');
console.log(zlib.gunzipSync(zlib.gzipSync(data)).equals(data), crypto.createHash('sha256').update(data).digest('hex'));
console.log(execFileSync('echo', ['a child']).toString().trim());
fs.writeFileSync('/tmp/f', data); console.log(fs.statSync('/tmp/f').size);
const server = http.createServer((request, response) => response.end('you asked for ' + request.url));
server.listen(3000, () => http.get('http://127.0.0.1:3000/x', (answer) => {
  answer.on('data', (d) => console.log(d.toString()));
  answer.on('end', () => { server.close(); new Worker('process.exit(7)', { eval: true }).on('exit', (c) => console.log('worker', c)); });
}));
END
node /tmp/main.js
"""

PYTHON = """
python3 - <<'END'
import asyncio, ctypes, hashlib, json, multiprocessing, os, signal, socket, sqlite3, subprocess, tempfile, threading, time, zlib
print(sum(multiprocessing.Pool(3).map(abs, range(-1000, 1))))
with tempfile.TemporaryDirectory() as d:
    db = sqlite3.connect(d + "/x.db")
    db.execute("pragma journal_mode = wal")
    db.execute("create table t (a, b)")
    db.executemany("insert into t values (?, ?)", ((i, i * i % 97) for i in range(5000)))
    db.commit()
    print(db.execute("select b, count(*) from t group by b order by b limit 3").fetchall(), sorted(os.listdir(d)))
async def echo():
    server = await asyncio.start_server(lambda r, w: asyncio.ensure_future(answer(r, w)), "127.0.0.1", 0)
    async def answer(r, w):
        w.write((await r.readline()).upper()); await w.drain(); w.close()
    r, w = await asyncio.open_connection(*server.sockets[0].getsockname())
    w.write(b"hello\\n"); print(await r.readline())
asyncio.run(echo())
signal.signal(signal.SIGALRM, lambda *a: print("alarm")); signal.setitimer(signal.ITIMER_REAL, 0.05); signal.pause()
print(ctypes.CDLL(None).strlen(b"hull"), json.dumps({"crc": zlib.crc32(b"x" * 100000)}))
lock, total = threading.Lock(), [0]
def add():
    for _ in range(1000):
        with lock: total[0] += 1
threads = [threading.Thread(target=add) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]; print(total)
print(subprocess.run("kill -9 $$", shell=True).returncode, os.cpu_count() > 0)
END
"""

GIT = """
export HOME=/tmp GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z'
git config --global user.name a; git config --global user.email a@b; git config --global init.defaultBranch main; git config --global safe.directory '*'
mkdir /tmp/r && cd /tmp/r && git init -q && cp -r /source . && git add -A && git commit -qm one
for i in 1 2 3 4 5; do echo $i >> source/new; git add -A; git commit -qm "change $i"; done
git checkout -qb side HEAD~3; echo side > side; git add -A; git commit -qm side; git checkout -q main; git merge -q --no-edit side
git gc -q; git fsck --strict 2>&1 | sort; git log --format='%H %s'; git clone -q /tmp/r /tmp/s; git -C /tmp/s rev-parse HEAD
git -C /tmp/s grep -c static | sort | head -5; git diff --stat HEAD~3 | tail -1
"""

GCC = """
mkdir /tmp/b && cd /tmp/b
for f in /source/*.c; do case $f in */json_*) continue;; esac; gcc -std=gnu17 -D_GNU_SOURCE -I/source -O2 -g0 -c $f -o $(basename $f .c).o; done
ls *.o | wc -l; sha256sum *.o
ar rcD libbase.a *.o; sha256sum libbase.a
printf '#include <stdio.h>\\n#include "str.h"\\nint main(void) { char t[32]; puts(str_human_bytes(123456789, t)); return 3; }\\n' > main.c
gcc -std=gnu17 -D_GNU_SOURCE -I/source main.c libbase.a -o main; ./main || echo exit $?
"""


class Programs(HullTest):
    images = False
    level = None

    @classmethod
    def setUpClass(cls):
        need(not why_not, why_not)
        need(shutil.which("linux.uml"), "user-mode-linux is not installed")
        super().setUpClass()
        with open(TAR, "rb") as tar:
            cls.hull("import", "-", "debian", stdin=tar, timeout=180)

    def alike(self, script, *wanted):
        """What it prints at each level; nothing on its error output."""
        said = {}
        for level in LEVELS:
            done = self.hull("run", "--rm", "--isolation", level, "--network", "none", "-v", f"{SOURCE}:/source:ro", "debian",
                             "sh", "-ec", script, timeout=240)
            said[level] = done.out
            self.assertEqual(done.err, "", level)
        self.assertEqual(said["sandbox"], said["container"])
        for words in wanted:
            self.assertIn(words, said["container"])

    def test_nginx(self):
        self.alike(NGINX, "3 200 ", "a 200 ", "none 404")

    def test_redis(self):
        self.alike(REDIS, "PONG\n1\n2\n3\n", "500500\n491\n")

    def test_postgres(self):
        self.alike(POSTGRES, "20000|28572857.1429|", "777\n20000\n", "1 1 2 3 5 8")

    def test_node(self):
        self.alike(NODE, "true ", "a child\n300000\nyou asked for /x\nworker 7\n")

    def test_python(self):
        self.alike(PYTHON, "500500\n", "b'HELLO\\n'", "alarm\n4 ", "[8000]\n-9 True\n")

    def test_git(self):
        self.alike(GIT, "change 5\n", "Merge branch 'side'")

    def test_gcc(self):
        self.alike(GCC, "libbase.a\n", "exit 3\n")


if __name__ == "__main__":
    why_not = make_tree()
    main()
