/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports of a container that is there already. */
#include <stdio.h>
#include <string.h>

#include "container_lock.h"
#include "fault.h"
#include "firewall.h"
#include "ports.h"

/* ports.pending */
enum { BEING_ADDED = 1, BEING_REMOVED = 2 };

static bool is_same_binding(const struct port_binding *a, const struct port_binding *b)
{
	return a->container_port == b->container_port && str_eq(a->protocol, b->protocol) && str_eq(a->host_ip, b->host_ip) &&
	       a->host_port == b->host_port && a->host_port_end == b->host_port_end;
}

/* Whether the removal @wish is about what is published as the rest says. */
static bool is_meant(const struct port_binding *wish, const char *protocol, const char *host_ip, unsigned host_port,
		     unsigned container_port)
{
	return wish->container_port == container_port && str_eq(wish->protocol, protocol) &&
	       (!wish->host_port || wish->host_port == host_port) && (!wish->host_ip[0] || str_eq(wish->host_ip, host_ip));
}

/* Out of the configuration; an error when there is nothing of the kind. */
static int forget_binding(struct container *c, const struct port_binding *wish, struct err *err)
{
	struct container_config *config = c->config;
	size_t kept = 0;
	for (size_t i = 0; i < config->port_bindings_n; i++) {
		const struct port_binding *b = &config->port_bindings[i];
		bool in_range = b->host_port_end > b->host_port && wish->host_port >= b->host_port && wish->host_port <= b->host_port_end;
		if (is_meant(wish, b->protocol, b->host_ip, in_range ? wish->host_port : b->host_port, b->container_port))
			continue;
		config->port_bindings[kept++] = *b;
	}
	if (kept == config->port_bindings_n) {
		int r = err_set(err, ERR_NOT_FOUND, 0, "No public port '%u/%s' published for %s", wish->container_port, wish->protocol,
				c->name);
		if (config->publish_all_ports)
			err_why(err, "what --publish-all publishes cannot be taken back one by one");
		else
			err_hint(err, "hull port %s   (name the container's port: -p -80, or both: -p -8080:80)", c->name);
		return r;
	}
	config->port_bindings_n = kept;
	return 0;
}

static void remember_binding(struct container *c, const struct port_binding *b)
{
	char exposed[16];
	struct port_binding copy = *b;
	*config_add_port(c->config) = copy;
	snprintf(exposed, sizeof(exposed), "%u/%.7s", b->container_port, b->protocol);
	if (!strv_contains(&c->config->exposed_ports, exposed))
		strv_add(&c->config->exposed_ports, exposed);
}

static bool has_binding(const struct container *c, const struct port_binding *b)
{
	for (size_t i = 0; i < c->config->port_bindings_n; i++)
		if (is_same_binding(&c->config->port_bindings[i], b))
			return true;
	return false;
}

/* ---- of one that runs ---- */

struct plan {
	struct spec_port *add, *remove;
	size_t add_n, remove_n;
};

static void plan_done(struct plan *p)
{
	free(p->add);
	free(p->remove);
}

static void append(struct spec_port **list, size_t *n, const struct spec_port *more, size_t more_n)
{
	if (more_n == 0)
		return;
	*list = reallocarray(*list, *n + more_n, sizeof(**list));
	if (!*list)
		abort();
	memcpy(*list + *n, more, more_n * sizeof(**list));
	*n += more_n;
}

/* Of the network by which it is reached from outside: as its default route. */
static int find_address(struct engine *engine, const char *id, const char *column, char **ret, struct err *err)
{
	CLEANUP_FREE char *sql = str_printf("SELECT e.%s FROM endpoints e JOIN networks n ON n.name = e.network WHERE e.container = ?"
					    " AND e.%s IS NOT NULL AND n.driver = 'bridge' AND NOT n.is_internal"
					    " ORDER BY e.gw_priority DESC, e.network LIMIT 1", column, column);
	int r = db_query_text(engine->db, ret, err, sql, "s", id);
	return r < 0 ? r : 0;
}

static int plan_removals(struct engine *engine, struct container *c, const struct port_binding *wish, struct plan *plan, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	int r = db_query(engine->db, &row, err, "SELECT " PORTS_COLUMNS " FROM ports WHERE container = ? AND pending = 0", "s", c->id);
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		struct spec_port ports[PORTS_PER_ROW];
		const char *protocol = db_text_or(row, 0, ""), *host_ip = db_text_or(row, 1, "");
		if (!is_meant(wish, protocol, host_ip, (unsigned)db_i64(row, 2), (unsigned)db_i64(row, 3)))
			continue;
		append(&plan->remove, &plan->remove_n, ports, ports_of_row(row, 0, ports));
		r = db_run(engine->db, err, "UPDATE ports SET pending = 2 WHERE protocol = ? AND host_port = ? AND host_ip = ?", "sis",
			   protocol, db_i64(row, 2), host_ip);
	}
	return r < 0 ? r : 0;
}

static int plan_addition(struct engine *engine, struct container *c, const struct port_binding *b, const struct port_target *target,
			 struct plan *plan, struct err *err)
{
	struct spec_port ports[PORTS_PER_ROW];
	size_t n = 0;
	if (str_is_empty(target->address4) && str_is_empty(target->address6))
		return err_set(err, ERR_CONFLICT, 0, "cannot publish port %u: %s is in no network that is reached from outside",
			       b->container_port, c->name);
	int r = ports_reserve_one(engine, c->id, b, target, ports, &n, err);
	if (r < 0)
		return r;
	append(&plan->add, &plan->add_n, ports, n);
	r = db_run(engine->db, err, "UPDATE ports SET pending = 1 WHERE protocol = ? AND host_port = ? AND container = ? AND container_port = ?"
		   " AND host_ip = ?", "sisis", b->protocol, (int64_t)ports[0].host_port, c->id, (int64_t)b->container_port, b->host_ip);
	return r < 0 ? r : 0;
}

/* The rows, in one transaction: from then on the change can be undone by anyone. */
static int record_plan(struct engine *engine, struct container *c, const struct port_changes *changes, struct plan *plan, struct err *err)
{
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	CLEANUP_FREE char *address4 = NULL, *address6 = NULL;
	int r = db_tx_begin(engine->db, &tx, err);
	if (r == 0)
		r = find_address(engine, c->id, "address4", &address4, err);
	if (r == 0)
		r = find_address(engine, c->id, "address6", &address6, err);
	struct port_target target = { address4, address6 };
	for (size_t i = 0; r == 0 && i < changes->remove_n; i++)
		r = plan_removals(engine, c, &changes->remove[i], plan, err);
	for (size_t i = 0; r == 0 && i < changes->add_n; i++)
		r = plan_addition(engine, c, &changes->add[i], &target, plan, err);
	return r < 0 ? r : db_tx_commit(&tx, err);
}

static int change_running(struct engine *engine, struct container *c, const struct port_changes *changes, struct err *err)
{
	CLEANUP(plan_done) struct plan plan = { 0 };
	struct err ignored = ERR_INIT;
	int r = record_plan(engine, c, changes, &plan, err);
	if (r < 0)
		return r;
	r = FAULT("ports.recorded");
	if (r == 0)
		r = net_unpublish(plan.remove, plan.remove_n, err);
	if (r == 0)
		r = ports_proxy_change(engine, c->id, plan.remove, plan.remove_n, NULL, 0, err);
	if (r == 0)
		r = FAULT("ports.removed");
	if (r == 0)
		r = net_publish(plan.add, plan.add_n, err);
	if (r == 0)
		r = FAULT("ports.published");
	if (r == 0)
		r = ports_proxy_change(engine, c->id, NULL, 0, plan.add, plan.add_n, err);
	if (r == 0)
		r = FAULT("ports.added");
	if (r < 0) {
		(void)!ports_undo(engine, c->id, &ignored);
		return err_is_set(err) ? r : err_set(err, ERR_SYSTEM, r, "change the published ports of %s", c->name);
	}
	return 0;
}

int ports_change(struct engine *engine, struct container *c, const struct port_changes *changes, struct err *err)
{
	CLEANUP_FREE struct port_binding *fresh = mem_calloc(changes->add_n + 1, sizeof(*fresh));
	struct port_changes wanted = *changes;
	wanted.add = fresh;
	wanted.add_n = 0;
	for (size_t i = 0; i < changes->remove_n; i++) {
		int r = forget_binding(c, &changes->remove[i], err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < changes->add_n; i++) {
		if (has_binding(c, &changes->add[i]))
			continue;
		fresh[wanted.add_n++] = changes->add[i];
		remember_binding(c, &changes->add[i]);
	}
	const char *mode = c->config->network_mode;
	if (str_starts_with(mode ? mode : "", "container:"))
		return err_set(err, ERR_CONFLICT, 0, "conflicting options: port publishing and the container type network mode");
	if (!container_is_running(c) || c->status == CONTAINER_RESTARTING || str_eq(mode, "host") || str_eq(mode, "none"))
		return 0;
	return change_running(engine, c, &wanted, err);
}

int ports_settle(struct engine *engine, const char *id, struct err *err)
{
	int r = db_run(engine->db, err, "DELETE FROM ports WHERE container = ? AND pending = 2", "s", id);
	if (r >= 0)
		r = db_run(engine->db, err, "UPDATE ports SET pending = 0 WHERE container = ? AND pending = 1", "s", id);
	return r < 0 ? r : 0;
}

int ports_undo(struct engine *engine, const char *id, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	CLEANUP(plan_done) struct plan plan = { 0 };
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int r = db_query(engine->db, &row, err, "SELECT " PORTS_COLUMNS ", pending FROM ports WHERE container = ? AND pending <> 0", "s", id);
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		struct spec_port ports[PORTS_PER_ROW];
		size_t n = ports_of_row(row, 0, ports);
		if (db_i64(row, 6) == BEING_ADDED)
			append(&plan.remove, &plan.remove_n, ports, n);
		else
			append(&plan.add, &plan.add_n, ports, n);
	}
	if (r >= 0)
		r = net_unpublish(plan.remove, plan.remove_n, err);
	if (r == 0)
		r = net_publish_again(plan.add, plan.add_n, err);
	if (r == 0)
		r = ports_proxy_change(engine, id, plan.remove, plan.remove_n, plan.add, plan.add_n, err);
	if (r == 0)
		r = db_tx_begin(engine->db, &tx, err);
	if (r == 0)
		r = db_run(engine->db, err, "DELETE FROM ports WHERE container = ? AND pending = 1", "s", id);
	if (r >= 0)
		r = db_run(engine->db, err, "UPDATE ports SET pending = 0 WHERE container = ?", "s", id);
	return r < 0 ? r : db_tx_commit(&tx, err);
}

int ports_recover(struct engine *engine, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	CLEANUP_STRV struct strv ids = { 0 };
	/* Left to itself SQLite goes through all ports there are, in the order of containers. */
	int r = db_query(engine->db, &row, err, "SELECT DISTINCT container FROM ports INDEXED BY ports_pending WHERE pending <> 0", "");
	while (r >= 0 && (r = db_next(row, err)) > 0)
		strv_add(&ids, db_text_or(row, 0, ""));
	for (size_t i = 0; r >= 0 && i < ids.n; i++) {
		/* Whoever is at work on it holds the lock. */
		r = container_trylock(engine, ids.v[i], err);
		if (r > 0)
			r = ports_undo(engine, ids.v[i], err);
		container_unlock(engine);
	}
	return r < 0 ? r : 0;
}
