/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports when the container's networks change, or the firewall is lost. */
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "firewall.h"
#include "image_store.h"
#include "ports.h"

/* Of the network by which it is reached from outside: as its default route. */
static int reached_by(struct engine *engine, const char *id, const char *column, char **ret, struct err *err)
{
	CLEANUP_FREE char *sql = str_printf("SELECT e.%s FROM endpoints e JOIN networks n ON n.name = e.network WHERE e.container = ?"
					    " AND e.host_name IS NOT NULL AND e.%s IS NOT NULL AND n.driver = 'bridge' AND NOT n.is_internal"
					    " ORDER BY e.gw_priority DESC, e.network LIMIT 1", column, column);
	int r = db_query_text(engine->db, ret, err, sql, "s", id);
	return r < 0 ? r : 0;
}

struct list {
	struct spec_port *v;
	size_t n;
};

static void list_done(struct list *l)
{
	free(l->v);
}

/* The ports of all rows of the container, or whatever they may have stood for. */
static int load(struct engine *engine, const char *id, bool ever, struct list *ret, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	int r = db_query(engine->db, &row, err, "SELECT " PORTS_COLUMNS " FROM ports WHERE container = ? AND pending <> 1", "s", id);
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		ret->v = reallocarray(ret->v, ret->n + PORTS_EVER_PER_ROW, sizeof(*ret->v));
		if (!ret->v)
			abort();
		ret->n += ever ? ports_ever_of_row(row, 0, &ret->v[ret->n]) : ports_of_row(row, 0, &ret->v[ret->n]);
	}
	return r;
}

static int set_rows(struct engine *engine, const char *id, const struct port_target *to, struct err *err)
{
	int r = db_run(engine->db, err, "UPDATE ports SET address4 = ?, address6 = ? WHERE container = ?", "sss", to->address4, to->address6,
		       id);
	return r < 0 ? r : 0;
}

/* It was started where nobody reaches it, and nothing was reserved. */
static int reserve(struct engine *engine, struct container *c, const struct port_target *to, struct err *err)
{
	CLEANUP_IMAGE struct image *image = NULL;
	CLEANUP_RUNTIME_SPEC struct runtime_spec *spec = runtime_spec_new();
	int r = image_load(engine->store, c->image_id, &image, err);
	return r < 0 ? r : ports_reserve(engine, c, image->config, to, spec, err);
}

/* Inside a transaction, which the caller takes back: what is published when the
 * container is reached by @to. */
static int plan(struct engine *engine, struct container *c, const struct port_target *to, bool has_rows, struct list *ret, struct err *err)
{
	bool is_reached = to->address4 || to->address6;
	int r = has_rows || !is_reached ? set_rows(engine, c->id, to, err) : reserve(engine, c, to, err);
	return r < 0 ? r : load(engine, c->id, false, ret, err);
}

/* New rows come before what they stand for; others change last, so that they tell
 * where it was reached until all of it leads elsewhere. */
int ports_follow(struct engine *engine, struct container *c, bool is_half_done, struct err *err)
{
	CLEANUP(list_done) struct list old = { 0 }, now = { 0 };
	CLEANUP_FREE char *address4 = NULL, *address6 = NULL;
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int64_t rows = 0;
	if (!c->config->port_bindings_n && !c->config->publish_all_ports)
		return 0;
	int r = db_query_i64(engine->db, &rows, err, "SELECT COUNT(*) FROM ports WHERE container = ?", "s", c->id);
	if (r >= 0)
		r = load(engine, c->id, is_half_done, &old, err);
	if (r >= 0)
		r = reached_by(engine, c->id, "address4", &address4, err);
	if (r == 0)
		r = reached_by(engine, c->id, "address6", &address6, err);
	struct port_target to = { address4, address6 };
	if (r == 0)
		r = db_tx_begin(engine->db, &tx, err);
	if (r == 0)
		r = plan(engine, c, &to, rows > 0, &now, err);
	if (r < 0)
		return r;
	bool is_same = !is_half_done && now.n == old.n && (now.n == 0 || memcmp(now.v, old.v, now.n * sizeof(*now.v)) == 0);
	if (is_same || rows == 0)
		r = db_tx_commit(&tx, err);
	else
		db_tx_rollback(&tx);
	if (r < 0 || is_same)
		return r;
	r = FAULT("ports.follow");
	if (r == 0)
		r = net_unpublish(old.v, old.n, err);
	if (r == 0)
		r = ports_proxy_change(engine, c->id, old.v, old.n, NULL, 0, err);
	if (r == 0)
		r = FAULT("ports.unfollowed");
	if (r == 0)
		r = net_publish(now.v, now.n, err);
	if (r == 0)
		r = ports_proxy_change(engine, c->id, NULL, 0, now.v, now.n, err);
	if (r == 0)
		r = FAULT("ports.followed");
	return r < 0 || rows == 0 ? r : set_rows(engine, c->id, &to, err);
}

/* One row at a time: whoever listens by now has it. */
int ports_restore(struct engine *engine, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	int r = db_query(engine->db, &row, err, "SELECT " PORTS_COLUMNS " FROM ports WHERE pending <> 1", "");
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		struct spec_port ports[PORTS_PER_ROW];
		struct err why = ERR_INIT;
		if (net_publish_again(ports, ports_of_row(row, 0, ports), &why) < 0 && why.kind != ERR_CONFLICT) {
			*err = why;
			r = why.errnum ? why.errnum : -EIO;
		}
	}
	return r;
}
