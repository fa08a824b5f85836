/* SPDX-License-Identifier: Apache-2.0 */
#include "state.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <signal.h>

#include "image_store.h"
#include "process.h"
#include "restart_wish.h"

/* What ps needs stands in columns of its own, so that a listing of a thousand
 * containers parses no JSON. */
static const char *const steps[] = {
	"CREATE TABLE containers("
	"  id TEXT PRIMARY KEY,"
	"  name TEXT NOT NULL UNIQUE,"
	"  image TEXT NOT NULL," /* id; the image may be hidden but its layers stay */
	"  image_name TEXT NOT NULL,"
	"  config TEXT NOT NULL,"
	"  command TEXT NOT NULL,"
	"  labels TEXT NOT NULL," /* a line each */
	"  level INTEGER NOT NULL,"
	"  status INTEGER NOT NULL,"
	"  created_ns INTEGER NOT NULL,"
	"  slot INTEGER UNIQUE," /* id range of the user namespace */
	"  auto_remove INTEGER NOT NULL,"
	/* Who is at work on it: a pid may be reused, with its start time not. */
	"  owner_pid INTEGER NOT NULL DEFAULT 0,"
	"  owner_ticks INTEGER NOT NULL DEFAULT 0,"
	"  started_ns INTEGER NOT NULL DEFAULT 0,"
	"  finished_ns INTEGER NOT NULL DEFAULT 0,"
	"  exit_code INTEGER NOT NULL DEFAULT 0,"
	"  oom_killed INTEGER NOT NULL DEFAULT 0,"
	"  restart_count INTEGER NOT NULL DEFAULT 0,"
	"  error TEXT"
	") WITHOUT ROWID;"
	"CREATE INDEX containers_image ON containers(image);"
	"CREATE INDEX containers_status ON containers(status);"
	"CREATE TABLE volumes("
	"  name TEXT PRIMARY KEY,"
	"  driver TEXT NOT NULL,"
	"  created_ns INTEGER NOT NULL,"
	"  labels TEXT NOT NULL,"
	"  options TEXT NOT NULL,"
	"  is_anonymous INTEGER NOT NULL,"
	"  is_filled INTEGER NOT NULL DEFAULT 0" /* the image's files have been copied */
	") WITHOUT ROWID;"
	"CREATE TABLE container_volumes("
	"  container TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE,"
	"  volume TEXT NOT NULL REFERENCES volumes(name),"
	"  destination TEXT NOT NULL,"
	"  PRIMARY KEY(container, destination)"
	") WITHOUT ROWID;"
	"CREATE INDEX container_volumes_volume ON container_volumes(volume);"
	"CREATE TABLE endpoints("
	"  container TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE,"
	"  network TEXT NOT NULL,"
	"  address4 TEXT," /* without prefix */
	"  mac TEXT,"
	"  host_name TEXT," /* of the veth */
	"  PRIMARY KEY(container, network)"
	") WITHOUT ROWID;"
	"CREATE UNIQUE INDEX endpoints_address ON endpoints(network, address4);"
	"CREATE TABLE ports("
	"  container TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE,"
	"  protocol TEXT NOT NULL,"
	"  host_ip TEXT NOT NULL,"
	"  host_port INTEGER NOT NULL,"
	"  container_port INTEGER NOT NULL,"
	"  PRIMARY KEY(protocol, host_port, host_ip)"
	") WITHOUT ROWID;"
	"CREATE INDEX ports_container ON ports(container);"
	"CREATE TABLE events("
	"  seq INTEGER PRIMARY KEY,"
	"  wall_ns INTEGER NOT NULL,"
	"  type TEXT NOT NULL,"
	"  action TEXT NOT NULL,"
	"  actor TEXT NOT NULL,"
	"  attributes TEXT NOT NULL" /* "key=value" lines */
	");",
	"CREATE TABLE networks("
	"  name TEXT PRIMARY KEY,"
	"  bridge TEXT NOT NULL," /* the link on the host */
	"  gateway4 TEXT NOT NULL" /* with the subnet's prefix */
	") WITHOUT ROWID;",
	/* The image's files are still to be copied into it for this container. */
	"ALTER TABLE container_volumes ADD COLUMN needs_copy INTEGER NOT NULL DEFAULT 0;",
	/* Whether its monitor lives is asked by every command, for every container
	 * that runs: one kill(2) each, instead of a look at its run state. */
	"ALTER TABLE containers ADD COLUMN monitor_pid INTEGER NOT NULL DEFAULT 0;"
	/* Made by a `run` that has not got it started yet: goes when that dies. */
	"ALTER TABLE containers ADD COLUMN is_new INTEGER NOT NULL DEFAULT 0;"
	/* What unless-stopped asks for when the machine comes up again. */
	"ALTER TABLE containers ADD COLUMN is_stopped_by_user INTEGER NOT NULL DEFAULT 0;"
	"DROP INDEX containers_status;"
	"CREATE INDEX containers_status ON containers(status, monitor_pid);",
	/* Networks that users make. Lists are a line each ("key=value" where they are
	 * pairs); subnets and gateways have a prefix, '' is none. */
	"CREATE TABLE networks2("
	"  name TEXT PRIMARY KEY,"
	"  id TEXT NOT NULL UNIQUE,"
	"  driver TEXT NOT NULL," /* bridge, macvlan, ipvlan, host, null */
	"  bridge TEXT NOT NULL DEFAULT ''," /* the link on the host */
	"  subnet4 TEXT NOT NULL DEFAULT '',"
	"  gateway4 TEXT NOT NULL DEFAULT '',"
	"  range4 TEXT NOT NULL DEFAULT '',"
	"  subnet6 TEXT NOT NULL DEFAULT '',"
	"  gateway6 TEXT NOT NULL DEFAULT '',"
	"  range6 TEXT NOT NULL DEFAULT '',"
	"  aux TEXT NOT NULL DEFAULT ''," /* addresses never given to a container */
	"  is_internal INTEGER NOT NULL DEFAULT 0,"
	"  is_isolated INTEGER NOT NULL DEFAULT 0,"
	"  is_attachable INTEGER NOT NULL DEFAULT 0,"
	"  has_ipv4 INTEGER NOT NULL DEFAULT 1,"
	"  has_ipv6 INTEGER NOT NULL DEFAULT 0,"
	"  mtu INTEGER NOT NULL DEFAULT 0," /* 0: the kernel's */
	"  options TEXT NOT NULL DEFAULT '',"
	"  labels TEXT NOT NULL DEFAULT '',"
	"  parent TEXT," /* link of the host that macvlan, ipvlan and VLANs use */
	"  vlan INTEGER NOT NULL DEFAULT 0,"
	"  created_ns INTEGER NOT NULL,"
	/* Who is making or removing it; 0: nobody. */
	"  owner_pid INTEGER NOT NULL DEFAULT 0,"
	"  owner_ticks INTEGER NOT NULL DEFAULT 0"
	") WITHOUT ROWID;"
	"INSERT INTO networks2(name, id, driver, bridge, gateway4, subnet4, created_ns)"
	"  SELECT name, lower(hex(randomblob(32))), 'bridge', bridge, gateway4, gateway4, CAST(strftime('%s', 'now') AS INTEGER) * 1000000000"
	"  FROM networks;"
	"DROP TABLE networks;"
	"ALTER TABLE networks2 RENAME TO networks;"
	"INSERT OR IGNORE INTO networks(name, id, driver, created_ns)"
	"  SELECT column1, lower(hex(randomblob(32))), column2, CAST(strftime('%s', 'now') AS INTEGER) * 1000000000"
	"  FROM (VALUES('bridge', 'bridge'), ('host', 'host'), ('none', 'null'));"
	"CREATE INDEX networks_owner ON networks(owner_pid) WHERE owner_pid <> 0;"
	/* A container's membership, also while it is stopped: then what one run holds
	 * is NULL, host_name among it. */
	"CREATE TABLE endpoints2("
	"  container TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE,"
	"  network TEXT NOT NULL," /* its name; it may be gone while nobody runs */
	"  position INTEGER NOT NULL DEFAULT 0,"
	"  asked4 TEXT,"
	"  asked6 TEXT,"
	"  asked_mac TEXT,"
	"  aliases TEXT NOT NULL DEFAULT '',"
	"  links TEXT NOT NULL DEFAULT '',"
	"  driver_opts TEXT NOT NULL DEFAULT '',"
	"  gw_priority INTEGER NOT NULL DEFAULT 0,"
	/* ---- of one run ---- */
	"  id TEXT,"
	"  interface TEXT," /* in the container */
	"  host_name TEXT," /* of the link on the host */
	"  mac TEXT,"
	"  address4 TEXT," /* without prefix */
	"  address6 TEXT,"
	"  dns_names TEXT," /* all it answers to in this network */
	/* Who is connecting or disconnecting it while it runs; 0: nobody. */
	"  owner_pid INTEGER NOT NULL DEFAULT 0,"
	"  owner_ticks INTEGER NOT NULL DEFAULT 0,"
	"  PRIMARY KEY(container, network)"
	") WITHOUT ROWID;"
	"INSERT INTO endpoints2(container, network, address4, mac, host_name, interface, id)"
	"  SELECT container, network, address4, mac, host_name, 'eth0', lower(hex(randomblob(32))) FROM endpoints;"
	"DROP TABLE endpoints;"
	"ALTER TABLE endpoints2 RENAME TO endpoints;"
	"INSERT OR IGNORE INTO endpoints(container, network) SELECT id, 'bridge' FROM containers"
	"  WHERE coalesce(json_extract(config, '$.HostConfig.NetworkMode'), '') IN ('', 'default', 'bridge')"
	"  AND NOT coalesce(json_extract(config, '$.NetworkDisabled'), 0);"
	"CREATE UNIQUE INDEX endpoints_address4 ON endpoints(network, address4);"
	"CREATE UNIQUE INDEX endpoints_address6 ON endpoints(network, address6);"
	"CREATE INDEX endpoints_owner ON endpoints(owner_pid) WHERE owner_pid <> 0;",
	/* Where a published port leads, and whether a change of it is under way (ports.h).
	 * What '0.0.0.0' was written as until now is for both families. */
	"ALTER TABLE ports ADD COLUMN address4 TEXT;"
	"ALTER TABLE ports ADD COLUMN address6 TEXT;"
	"ALTER TABLE ports ADD COLUMN pending INTEGER NOT NULL DEFAULT 0;"
	"UPDATE ports SET address4 = (SELECT address4 FROM endpoints e WHERE e.container = ports.container AND address4 IS NOT NULL);"
	"CREATE INDEX ports_pending ON ports(pending) WHERE pending <> 0;",
	/* Who may speak to whom (network_rules.h, network_policy.h). */
	"CREATE TABLE network_rules("
	"  id INTEGER PRIMARY KEY AUTOINCREMENT,"
	"  network TEXT NOT NULL,"
	"  source TEXT NOT NULL,"
	"  target TEXT NOT NULL,"
	"  protocol TEXT NOT NULL,"
	"  port_first INTEGER NOT NULL,"
	"  port_last INTEGER NOT NULL,"
	"  allow INTEGER NOT NULL,"
	"  created_ns INTEGER NOT NULL"
	");"
	"CREATE INDEX network_rules_network ON network_rules(network);"
	"ALTER TABLE networks ADD COLUMN rules_changing INTEGER NOT NULL DEFAULT 0;"
	"CREATE INDEX networks_changing ON networks(rules_changing) WHERE rules_changing <> 0;"
	"ALTER TABLE endpoints ADD COLUMN policies INTEGER NOT NULL DEFAULT 0;"
	"CREATE INDEX endpoints_changing ON endpoints(policies) WHERE policies >= 8;",
	/* What was on the host before the network stays when it goes. */
	"ALTER TABLE networks ADD COLUMN keeps_bridge INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE networks ADD COLUMN owns_parent INTEGER NOT NULL DEFAULT 0;",
	/* It has another name, which the name server and the firewall may not know yet. */
	"ALTER TABLE containers ADD COLUMN is_renamed INTEGER NOT NULL DEFAULT 0;"
	"CREATE INDEX containers_renamed ON containers(is_renamed) WHERE is_renamed <> 0;",
	/* Of volumes with a limited size (volume_quota.h); no id is given twice. */
	"CREATE TABLE volume_projects("
	"  id INTEGER PRIMARY KEY AUTOINCREMENT,"
	"  volume TEXT NOT NULL UNIQUE,"
	"  project INTEGER NOT NULL DEFAULT 0"
	");",
};
const struct db_schema engine_schema = { steps, ARRAY_LEN(steps) };

static const char *const status_names[] = {
	[CONTAINER_CREATED] = "created",       [CONTAINER_RUNNING] = "running", [CONTAINER_PAUSED] = "paused",
	[CONTAINER_RESTARTING] = "restarting", [CONTAINER_REMOVING] = "removing", [CONTAINER_EXITED] = "exited",
	[CONTAINER_DEAD] = "dead",
};
static_assert(ARRAY_LEN(status_names) == CONTAINER_STATUS_COUNT, "a name for each");

const char *container_status_name(enum container_status status)
{
	return status_names[status];
}

void container_free(struct container *c)
{
	if (!c)
		return;
	free(c->name);
	free(c->image_name);
	free(c->config_text);
	container_config_free(c->config);
	image_free(c->image);
	free(c->command);
	strv_free(&c->labels);
	free(c->error);
	free(c);
}

void container_list_free(struct container **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		container_free(list[i]);
	free(list);
}

uint64_t state_process_ticks(int32_t pid)
{
	uint64_t ticks = 0;
	return process_start_ticks(pid, &ticks) < 0 ? 0 : ticks;
}

static bool owner_is_alive(const struct container *c)
{
	return c->owner_pid > 0 && state_process_ticks(c->owner_pid) == c->owner_ticks;
}

/* The record is true while the monitor lives, and tells the last end after it. */
static void merge_started(struct container *c, bool has_run)
{
	static const enum container_status of_run[] = {
		[RUN_CREATED] = CONTAINER_CREATED,       [RUN_RUNNING] = CONTAINER_RUNNING,
		[RUN_PAUSED] = CONTAINER_PAUSED,         [RUN_RESTARTING] = CONTAINER_RESTARTING,
		[RUN_EXITED] = CONTAINER_EXITED,
	};
	if (!has_run) {
		c->status = c->has_been_started ? CONTAINER_EXITED : CONTAINER_CREATED;
		c->is_orphaned = !owner_is_alive(c);
		/* The machine went down under it: Docker's code for that. */
		if (c->has_been_started && c->is_orphaned)
			c->exit_code = 255;
		return;
	}
	/* Between its monitor and it a workload has `internal restart`, whose pid is
	 * the old monitor's. */
	c->is_orphaned = !c->monitor_is_alive && !owner_is_alive(c);
	bool is_over = !c->monitor_is_alive && c->run.status != RUN_CREATED;
	c->status = is_over ? CONTAINER_EXITED : of_run[c->run.status % RUN_STATUS_COUNT];
	/* Being started once more. */
	if (c->status == CONTAINER_CREATED && c->has_been_started)
		c->status = c->run.restart_count ? CONTAINER_RESTARTING : CONTAINER_EXITED;
	/* Its monitor was killed: whoever has the container now, or comes next, does so. */
	if (is_over && container_wants_restart(c))
		c->status = CONTAINER_RESTARTING;
	if (c->run.started_ns) {
		c->started_ns = c->run.started_ns;
		c->has_been_started = true;
	}
	c->restart_count = (int)c->run.restart_count;
	if (c->run.status == RUN_EXITED || c->run.status == RUN_RESTARTING) {
		c->finished_ns = c->run.finished_ns;
		c->exit_code = c->run.exit_code;
		c->oom_killed = c->run.oom_killed;
	} else if (is_over) {
		/* Its monitor was killed, and it with it. */
		c->exit_code = 137;
	} else {
		c->exit_code = 0;
		c->oom_killed = false;
	}
}

static int merge(struct engine *engine, struct container *c, struct err *err)
{
	c->run_root = engine->run;
	memset(&c->run, 0, sizeof(c->run));
	c->monitor_is_alive = c->is_orphaned = false;
	c->has_been_started = c->started_ns != 0;
	switch (c->row_status) {
	case ROW_CREATING:
	case ROW_CREATED:
		c->status = CONTAINER_CREATED;
		return 0;
	case ROW_EXITED:
		c->status = CONTAINER_EXITED;
		return 0;
	case ROW_REMOVING:
		c->status = CONTAINER_REMOVING;
		return 0;
	case ROW_STARTED:
		break;
	}
	CLEANUP_FD int dir = engine_open_run_dir(engine, c->id);
	bool has_run = dir >= 0 && run_state_read(dir, &c->run) == 0;
	/* Trying the lock takes it for a moment, which must not meet a monitor that
	 * is about to: one that has written its state has the lock already, and the
	 * next one after a back-off is left alone. */
	if (has_run && c->run.status != RUN_RESTARTING) {
		CLEANUP_FD int lock = -1;
		c->monitor_is_alive = run_state_lock(dir, &lock) == -EWOULDBLOCK;
	} else if (has_run) {
		c->monitor_is_alive = c->run.monitor_pid > 0 && kill(c->run.monitor_pid, 0) == 0;
	}
	merge_started(c, has_run);
	return 0;
}

#define COLUMNS                                                                                          \
	"id, name, image, image_name, config, command, labels, level, status, created_ns, slot, auto_remove," \
	" owner_pid, owner_ticks, started_ns, finished_ns, exit_code, oom_killed, restart_count, error," \
	" monitor_pid, is_new, is_stopped_by_user"

static void from_row(struct db_stmt *row, struct container *c)
{
	if (str_copy(c->id, sizeof(c->id), db_text_or(row, 0, "")) < 0 ||
	    str_copy(c->image_id, sizeof(c->image_id), db_text_or(row, 2, "")) < 0)
		c->image_id[0] = 0;
	c->name = str_dup(db_text_or(row, 1, ""));
	c->image_name = str_dup(db_text_or(row, 3, ""));
	c->config_text = str_dup(db_text_or(row, 4, ""));
	c->command = str_dup(db_text_or(row, 5, ""));
	strv_split(&c->labels, db_text_or(row, 6, ""), '\n');
	c->level = (enum isolation_level)db_i64(row, 7);
	c->row_status = (enum row_status)db_i64(row, 8);
	c->created_ns = db_i64(row, 9);
	c->userns_slot = db_text(row, 10) ? db_i64(row, 10) : -1;
	c->auto_remove = db_i64(row, 11) != 0;
	c->owner_pid = (int32_t)db_i64(row, 12);
	c->owner_ticks = (uint64_t)db_i64(row, 13);
	c->started_ns = db_i64(row, 14);
	c->finished_ns = db_i64(row, 15);
	c->exit_code = (int)db_i64(row, 16);
	c->oom_killed = db_i64(row, 17) != 0;
	c->restart_count = (int)db_i64(row, 18);
	c->error = str_dup(db_text(row, 19));
	c->monitor_pid = (int32_t)db_i64(row, 20);
	c->is_new = db_i64(row, 21) != 0;
	c->is_stopped_by_user = db_i64(row, 22) != 0;
}

/* The only row of @sql, or 0 when there is none, or -ENOTUNIQ. */
static int one_row(struct engine *engine, struct container **ret, struct err *err, const char *sql, const char *arg)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	int r = db_query(engine->db, &row, err, sql, "s", arg);
	if (r < 0)
		return r;
	r = db_next(row, err);
	if (r <= 0)
		return r;
	CLEANUP_CONTAINER struct container *c = mem_calloc(1, sizeof(*c));
	from_row(row, c);
	r = db_next(row, err);
	if (r < 0)
		return r;
	if (r > 0)
		return -ENOTUNIQ;
	r = merge(engine, c, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 1;
}

int container_find(struct engine *engine, const char *name, struct container **ret, struct err *err)
{
	const char *plain = *name == '/' ? name + 1 : name;
	int r = 0;
	if (id_is_valid(name))
		r = one_row(engine, ret, err, "SELECT " COLUMNS " FROM containers WHERE id = ?", name);
	if (r == 0 && *plain)
		r = one_row(engine, ret, err, "SELECT " COLUMNS " FROM containers WHERE name = ?", plain);
	if (r == 0 && *name && strlen(name) < ID_SIZE - 1 && str_is_hex(name, strlen(name))) {
		CLEANUP_FREE char *pattern = str_printf("%s*", name);
		r = one_row(engine, ret, err, "SELECT " COLUMNS " FROM containers WHERE id GLOB ? LIMIT 2", pattern);
	}
	if (r == -ENOTUNIQ)
		return err_set(err, ERR_INVALID, 0, "multiple IDs found with provided prefix: %s", name);
	if (r < 0)
		return r;
	return r ? 0 : err_set(err, ERR_NOT_FOUND, 0, "No such container: %s", name);
}

int container_list_all(struct engine *engine, struct container ***ret, size_t *ret_n, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	struct container **list = NULL;
	size_t n = 0, room = 0;
	int r = db_query(engine->db, &row, err, "SELECT " COLUMNS " FROM containers ORDER BY created_ns DESC", "");
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		if (n == room) {
			room = room ? room * 2 : 64;
			list = reallocarray(list, room, sizeof(*list));
			if (!list)
				abort();
		}
		list[n] = mem_calloc(1, sizeof(**list));
		from_row(row, list[n]);
		r = merge(engine, list[n++], err);
	}
	if (r < 0) {
		container_list_free(list, n);
		return r;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

int container_refresh(struct engine *engine, struct container *c, struct err *err)
{
	struct container *now = NULL;
	int r = one_row(engine, &now, err, "SELECT " COLUMNS " FROM containers WHERE id = ?", c->id);
	if (r < 0)
		return r;
	if (r == 0)
		return err_set(err, ERR_NOT_FOUND, 0, "No such container: %s", c->id);
	struct container old = *c;
	*c = *now;
	*now = old;
	container_free(now);
	return 0;
}

int container_load_config(struct container *c, struct err *err)
{
	if (c->config)
		return 0;
	return container_config_parse(c->config_text, strlen(c->config_text), &c->config, err);
}

bool container_wants_restart(struct container *c)
{
	struct err ignored = ERR_INIT;
	return !c->auto_remove && run_was_cut_off(&c->run) && container_load_config(c, &ignored) == 0 &&
	       run_policy_restarts(&c->run, c->config);
}

struct isolation_handle container_handle(const struct container *c)
{
	struct isolation_handle handle = { .pid = c->run.pid, .pid_start_ticks = c->run.pid_start_ticks };
	snprintf(handle.cgroup, sizeof(handle.cgroup), "%s", c->run.cgroup);
	if (!handle.cgroup[0])
		snprintf(handle.cgroup, sizeof(handle.cgroup), "hull/%s", c->id);
	snprintf(handle.run_dir, sizeof(handle.run_dir), "%s/workloads/%s", c->run_root ? c->run_root : "", c->id);
	return handle;
}
