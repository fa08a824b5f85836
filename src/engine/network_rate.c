/* SPDX-License-Identifier: Apache-2.0 */
#include "network_rate.h"

#include "container_lock.h"
#include "fault.h"
#include "network_policy.h"

/* The host's ends of @id's links in bridges. */
static int read_links(struct engine *engine, const char *id, struct strv *ret, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	int r = db_query(engine->db, &row, err,
			 "SELECT e.host_name FROM endpoints e JOIN networks n ON n.name = e.network"
			 " WHERE e.container = ? AND e.host_name IS NOT NULL AND n.driver = 'bridge' ORDER BY e.position", "s", id);
	while (r >= 0 && (r = db_next(row, err)) > 0)
		strv_add(ret, db_text(row, 0));
	return r < 0 ? r : 0;
}

static int set_all(const struct strv *links, const struct container_config *config, struct err *err)
{
	struct net_rate rate = { (uint64_t)config->network_rate_in, (uint64_t)config->network_rate_out };
	int r = 0;
	for (size_t i = 0; i < links->n && r == 0; i++)
		r = net_rate_set(links->v[i], &rate, err);
	return r;
}

int network_rate_change(struct engine *engine, const struct container *c, struct err *err)
{
	CLEANUP_STRV struct strv links = { 0 };
	struct err ignored = ERR_INIT;
	if (!container_is_running(c) || c->status == CONTAINER_RESTARTING)
		return 0;
	int r = read_links(engine, c->id, &links, err);
	if (r == 0)
		r = db_run(engine->db, err, "UPDATE endpoints SET policies = policies | ? WHERE container = ? AND host_name IS NOT NULL", "is",
			   (int64_t)(ENDPOINT_RATE | ENDPOINT_RATE_CHANGING), c->id);
	if (r >= 0)
		r = FAULT("rate.recorded");
	if (r >= 0)
		r = set_all(&links, c->config, err);
	if (r >= 0)
		r = FAULT("rate.set");
	if (r < 0) {
		(void)!network_rate_undo(engine, c->id, &ignored);
		return err_is_set(err) ? r : err_set(err, ERR_SYSTEM, r, "limit the rate of %s", c->name);
	}
	return 0;
}

int network_rate_settle(struct engine *engine, const char *id, struct err *err)
{
	int r = db_run(engine->db, err, "UPDATE endpoints SET policies = policies & ~? WHERE container = ? AND policies >= 8", "is",
		       (int64_t)ENDPOINT_RATE_CHANGING, id);
	return r < 0 ? r : 0;
}

int network_rate_undo(struct engine *engine, const char *id, struct err *err)
{
	CLEANUP_CONTAINER struct container *c = NULL;
	CLEANUP_STRV struct strv links = { 0 };
	int r = container_find(engine, id, &c, err);
	if (r == 0)
		r = container_load_config(c, err);
	if (r == 0 && container_is_running(c))
		r = read_links(engine, id, &links, err);
	if (r == 0)
		r = set_all(&links, c->config, err);
	return r < 0 ? r : network_rate_settle(engine, id, err);
}

int network_rate_recover(struct engine *engine, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	CLEANUP_STRV struct strv ids = { 0 };
	int r = db_query(engine->db, &row, err, "SELECT DISTINCT container FROM endpoints INDEXED BY endpoints_changing WHERE policies >= 8",
			 "");
	while (r >= 0 && (r = db_next(row, err)) > 0)
		strv_add(&ids, db_text(row, 0));
	for (size_t i = 0; r >= 0 && i < ids.n; i++) {
		/* Whoever is at work on it holds the lock. */
		r = container_trylock(engine, ids.v[i], err);
		if (r > 0)
			r = network_rate_undo(engine, ids.v[i], err);
		container_unlock(engine);
	}
	return r < 0 ? r : 0;
}

int network_rate_read(struct engine *engine, const char *id, struct net_rate *ret, struct err *err)
{
	CLEANUP_FREE char *link = NULL;
	*ret = (struct net_rate){ 0 };
	int r = db_query_text(engine->db, &link, err,
			      "SELECT host_name FROM endpoints WHERE container = ? AND policies & 4 AND host_name IS NOT NULL"
			      " ORDER BY position LIMIT 1", "s", id);
	return r <= 0 ? r : net_rate_get(link, ret, err);
}
