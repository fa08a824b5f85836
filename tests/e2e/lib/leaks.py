# SPDX-License-Identifier: Apache-2.0
"""What hull has made on this machine and no container or image that it lists
accounts for: mounts, control groups, links, firewall elements, processes,
folders, rows, files. Read from the outside, without a hull command (one would
clean up)."""
import json
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess

CREATING, CREATED, STARTED, EXITED, REMOVING = range(5)


def processes(hull):
    """pid -> name of hull's own processes with this state."""
    found = {}
    wanted = f"HULL_RUN={hull.run_dir}".encode()
    for process in pathlib.Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            name = (process / "comm").read_text().strip()
            if name.startswith("hull") and wanted in (process / "environ").read_bytes().split(b"\0") and \
                    (process / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                found[int(process.name)] = name
        except OSError:
            continue
    return found


def parent_of(pid):
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


class Database:
    def __init__(self, hull):
        path = hull.root / "hull.db"
        self.db = sqlite3.connect(f"file:{path}?mode=ro", uri=True) if path.exists() else None

    def rows(self, query):
        try:
            return self.db.execute(query).fetchall() if self.db else []
        except sqlite3.OperationalError:
            return []

    def close(self):
        if self.db:
            self.db.close()


def _orphan_rows(db, ids):
    for table, condition in (("endpoints", "host_name IS NOT NULL"), ("ports", "1"), ("container_volumes", "1")):
        for (container,) in db.rows(f"SELECT container FROM {table} WHERE {condition}"):
            if container not in ids:
                yield f"row of {table} for {container[:12]}"
            elif ids[container] != STARTED and table != "container_volumes":
                yield f"row of {table} for {container[:12]}, which does not run"
    for (name,) in db.rows("SELECT name FROM volumes WHERE is_anonymous AND name NOT IN (SELECT volume FROM container_volumes)"):
        yield f"anonymous volume {name[:12]} of no container"


def _mounts(hull):
    layers = str(hull.run_dir / "layers")
    for line in open("/proc/self/mountinfo", encoding="utf-8"):
        point = line.split()[4]
        if point.startswith(str(hull.dir)) and not point.startswith(layers):
            yield f"mount {point}"


def _folders(hull, db, ids):
    for top in (hull.root, hull.run_dir):
        folder = top / "workloads"
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in ids:
                yield f"folder {path}"
    names = hull.run_dir / "names"
    for path in names.iterdir() if names.is_dir() else ():
        if ids.get(path.name.split(".")[0]) != STARTED:
            yield f"names {path}"
    ingest = hull.root / "ingest"
    for path in ingest.iterdir() if ingest.is_dir() else ():
        if path.is_dir():
            yield f"folder {path}"
    if not db.db:
        return
    known = {row[0].split(":")[1] for row in db.rows("SELECT diffid FROM layers")}
    for path in (hull.root / "layers").iterdir() if (hull.root / "layers").is_dir() else ():
        if path.name.split(".")[0] not in known:
            yield f"layer without a row: {path}"
    known = {row[0].split(":")[1] for row in db.rows("SELECT digest FROM blobs")}
    for path in (hull.root / "blobs/sha256").iterdir() if (hull.root / "blobs/sha256").is_dir() else ():
        if path.name not in known:
            yield f"blob without a row: {path}"
    known = {row[0] for row in db.rows("SELECT name FROM volumes")}
    for path in (hull.root / "volumes").iterdir() if (hull.root / "volumes").is_dir() else ():
        if path.name not in known:
            yield f"volume without a row: {path}"
    for (diffid,) in db.rows("SELECT diffid FROM layers WHERE diffid NOT IN (SELECT diffid FROM image_layers)"):
        yield f"layer of no image: {diffid[:19]}"
    for (image,) in db.rows("SELECT id FROM images WHERE is_hidden AND id NOT IN (SELECT image FROM containers)"):
        yield f"hidden image of no container: {image[:19]}"


def cgroups(ids):
    """Folders of these workloads in any hierarchy: one mount, or one each."""
    top = pathlib.Path("/sys/fs/cgroup")
    found = []
    for base in (top, *top.iterdir()):
        try:
            found += [base / "hull" / name for name in os.listdir(base / "hull") if name in ids]
        except OSError:
            continue
    return found


def _network(hull, db, running):
    expected = {row[0] for row in db.rows("SELECT host_name FROM endpoints")}
    links = subprocess.run(["ip", "-j", "link"], capture_output=True, text=True, check=False).stdout
    for link in json.loads(links or "[]"):
        name = link["ifname"]
        if name.startswith(("hv", "hi", "veth")) and f"hv{name[2:]}" not in expected and not any(name[2:] == i[:11] for i in running):
            yield f"link {name}"
    bridges = {row[0] for row in db.rows("SELECT bridge FROM networks")}
    for link in json.loads(links or "[]"):
        if link["ifname"].startswith("hb") and link["ifname"] not in bridges:
            yield f"bridge {link['ifname']}"
    for (name,) in db.rows("SELECT name FROM networks WHERE owner_pid <> 0"):
        yield f"half a network: {name}"
    for network, container in db.rows("SELECT network, container FROM endpoints WHERE owner_pid <> 0"):
        yield f"half a connection: {network} of {container[:12]}"
    if not shutil.which("nft"):
        return
    table = subprocess.run(["nft", "-j", "list", "table", "inet", "hull"], capture_output=True, text=True, check=False)
    if table.returncode != 0:
        table = subprocess.run(["nft", "-j", "list", "ruleset"], capture_output=True, text=True, check=False)
    ports = {row[0] for row in db.rows("SELECT host_port FROM ports")}
    for item in json.loads(table.stdout or "{}").get("nftables", []):
        table = item.get("map") or item.get("set") or {}
        if not table.get("name", "").startswith(("ports", "open", "proxied")):
            continue
        for element in table.get("elem", []):
            key = element[0] if isinstance(element, list) else element
            port = key["concat"][-1]
            if port not in ports:
                yield f"published port {port} in {table['name']}"


def _policies(db, running):
    """Members of rules, egress chains and guarded links of nobody."""
    addresses, links = set(), set()
    for v4, v6, link in db.rows("SELECT address4, address6, host_name FROM endpoints WHERE host_name IS NOT NULL"):
        addresses |= {v4, v6}
        links.add(link)
    for family in ("inet", "bridge"):
        done = subprocess.run(["nft", "-j", "list", "table", family, "hull"], capture_output=True, text=True, check=False)
        for item in json.loads(done.stdout or "{}").get("nftables", []):
            chain = item.get("chain", {}).get("name", "")
            if chain.endswith("_egress") and not any(chain[1:13] == i[:12] for i in running):
                yield f"chain {chain}"
            found = item.get("set") or item.get("map") or {}
            name = found.get("name", "")
            for element in found.get("elem", []):
                key = element[0] if isinstance(element, list) else element
                if (re.fullmatch(r"n[0-9a-f]{12}_\d+[ft][46]|egress[46]", name)) and key not in addresses:
                    yield f"{key} in {name}"
                if name == "guarded" and key not in links or name in ("own4", "own6") and key["concat"][0] not in links:
                    yield f"{key} in {name}"


def leftovers(hull, nothing_runs=False):
    """A list of words; empty when all is accounted for. @nothing_runs: no
    container should be there at all."""
    db = Database(hull)
    try:
        ids = dict(db.rows("SELECT id, status FROM containers"))
        ever = {row[0] for row in db.rows("SELECT DISTINCT actor FROM events WHERE type = 'container'")} | set(ids)
        running = {i for i, status in ids.items() if status == STARTED}
        left = list(_mounts(hull)) + list(_folders(hull, db, ids)) + list(_orphan_rows(db, ids)) + \
            list(_network(hull, db, running)) + list(_policies(db, running))
        left += [f"row {i[:12]} with status {status}" for i, status in ids.items()
                 if nothing_runs or status in (CREATING, REMOVING)]
        left += [f"cgroup {path}" for path in cgroups(ever - running)]
        for pid, name in processes(hull).items():
            try:
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            # One for all; it ends a moment after the last of them.
            if name.startswith("hull-names") and running:
                continue
            # While it is used, and a moment longer: its monitor's.
            if name == "hull-proxy" and processes(hull).get(parent_of(pid)) == "hull-monitor":
                continue
            if not (name == "hull-monitor" and len(words) > 1 and words[1].decode() in running):
                left.append(f"process {pid} {b' '.join(words).decode()}")
        return left
    finally:
        db.close()
