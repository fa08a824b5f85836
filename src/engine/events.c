/* SPDX-License-Identifier: Apache-2.0 */
#include "events.h"

#include <string.h>

#include "clock.h"
#include "event_log.h"

/* Older ones are dropped now and then, so that the table stays small. */
#define EVENTS_KEPT 10000

static int insert(struct engine *engine, int64_t wall_ns, const char *type, const char *action, const char *actor,
		  const struct strv *attributes, struct err *err)
{
	static const struct strv none = { 0 };
	static const char add[] = "INSERT INTO events(wall_ns, type, action, actor, attributes) VALUES(?, ?, ?, ?, ?)";
	CLEANUP_FREE char *text = strv_join(attributes ? attributes : &none, "\n");
	/* Few commands tell of one thing only. */
	db_prepare_ahead(engine->db, add);
	int r = db_run(engine->db, err, add, "issss", wall_ns, type, action, actor, text);
	if (r < 0)
		return r;
	int64_t seq = db_last_rowid(engine->db);
	if (seq % 1000 != 0)
		return 0;
	r = db_run(engine->db, err, "DELETE FROM events WHERE seq < ?", "i", seq - EVENTS_KEPT);
	return r < 0 ? r : 0;
}

int event_record(struct engine *engine, const char *type, const char *action, const char *actor,
		 const struct strv *attributes, struct err *err)
{
	return insert(engine, clock_wall_ns(), type, action, actor, attributes, err);
}

static void container_attributes(const struct container *c, const char *extra, struct strv *ret)
{
	if (extra)
		strv_add(ret, extra);
	strv_printf(ret, "image=%s", c->image_name);
	strv_printf(ret, "name=%s", c->name);
	for (size_t i = 0; i < c->labels.n; i++)
		if (!strchr(c->labels.v[i], '\n'))
			strv_add(ret, c->labels.v[i]);
}

int event_record_container_at(struct engine *engine, const struct container *c, int64_t wall_ns, const char *action,
			      const char *extra, struct err *err)
{
	CLEANUP_STRV struct strv attributes = { 0 };
	container_attributes(c, extra, &attributes);
	return insert(engine, wall_ns, "container", action, c->id, &attributes, err);
}

int event_record_container(struct engine *engine, const struct container *c, const char *action, const char *extra,
			   struct err *err)
{
	return event_record_container_at(engine, c, clock_wall_ns(), action, extra, err);
}

struct drain {
	struct engine *engine;
	struct db_tx tx;
	struct err *err;
};

static int take_event(const struct event *event, void *ctx)
{
	struct drain *d = ctx;
	CLEANUP_STRV struct strv attributes = { 0 };
	CLEANUP_CONTAINER struct container *c = NULL;
	for (size_t i = 0; i < event->attrs_n; i++)
		strv_add(&attributes, event->attrs[i]);
	/* One that is gone by now has only what the monitor said. */
	struct err none = ERR_INIT;
	if (str_eq(event->type, "container") && container_find(d->engine, event->id, &c, &none) == 0)
		container_attributes(c, NULL, &attributes);
	return insert(d->engine, event->wall_ns, event->type, event->action, event->id, &attributes, d->err);
}

static int commit_events(void *ctx)
{
	struct drain *d = ctx;
	return db_tx_commit(&d->tx, d->err);
}

int events_drain(struct engine *engine, struct err *err)
{
	struct drain d = { .engine = engine, .err = err };
	/* Cheap when there is nothing: no transaction for a file that is not there. */
	if (faccessat(engine->run_fd, "events", F_OK, 0) < 0)
		return 0;
	int r = db_tx_begin(engine->db, &d.tx, err);
	if (r == 0)
		r = event_log_drain(engine->run_fd, take_event, commit_events, &d);
	db_tx_rollback(&d.tx);
	return r < 0 && !err_is_set(err) ? err_set(err, ERR_SYSTEM, r, "read the monitors' events") : r;
}

int events_read(struct engine *engine, int64_t after, int64_t since_ns, int64_t until_ns,
		int (*each)(const struct event_row *event, void *ctx), void *ctx, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	int r = db_query(engine->db, &row, err,
			 "SELECT seq, wall_ns, type, action, actor, attributes FROM events"
			 " WHERE seq > ? AND wall_ns >= ? AND wall_ns <= ? ORDER BY wall_ns, seq",
			 "iii", after, since_ns, until_ns ? until_ns : INT64_MAX);
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		struct event_row e = { .seq = db_i64(row, 0), .wall_ns = db_i64(row, 1) };
		e.type = str_dup(db_text_or(row, 2, ""));
		e.action = str_dup(db_text_or(row, 3, ""));
		e.actor = str_dup(db_text_or(row, 4, ""));
		strv_split(&e.attributes, db_text_or(row, 5, ""), '\n');
		r = each(&e, ctx);
		free(e.type);
		free(e.action);
		free(e.actor);
		strv_free(&e.attributes);
	}
	return r;
}
