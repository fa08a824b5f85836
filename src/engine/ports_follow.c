/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports when the container's networks change, or the firewall is lost. */
#include <stdlib.h>
#include <string.h>

#include "firewall.h"
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

/* The ports of all rows that @sql finds. */
static int load(struct engine *engine, const char *sql, const char *id, struct spec_port **ret, size_t *ret_n, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	CLEANUP_FREE struct spec_port *list = NULL;
	size_t n = 0;
	int r = id ? db_query(engine->db, &row, err, sql, "s", id) : db_query(engine->db, &row, err, sql, "");
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		list = reallocarray(list, n + 2, sizeof(*list));
		if (!list)
			abort();
		n += ports_of_row(row, 0, &list[n]);
	}
	if (r < 0)
		return r;
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

#define OF_CONTAINER "SELECT " PORTS_COLUMNS " FROM ports WHERE container = ? AND pending <> 1"

int ports_follow(struct engine *engine, const char *id, struct err *err)
{
	CLEANUP_FREE struct spec_port *old = NULL, *now = NULL;
	CLEANUP_FREE char *address4 = NULL, *address6 = NULL;
	size_t old_n = 0, now_n = 0;
	int r = load(engine, OF_CONTAINER, id, &old, &old_n, err);
	if (r == 0)
		r = reached_by(engine, id, "address4", &address4, err);
	if (r == 0)
		r = reached_by(engine, id, "address6", &address6, err);
	if (r == 0)
		r = db_run(engine->db, err, "UPDATE ports SET address4 = ?, address6 = ? WHERE container = ?", "sss", address4, address6, id);
	/* None are published. */
	if (r <= 0)
		return r;
	r = load(engine, OF_CONTAINER, id, &now, &now_n, err);
	if (r < 0 || (now_n == old_n && memcmp(now, old, now_n * sizeof(*now)) == 0))
		return r;
	r = net_unpublish(old, old_n, err);
	return r < 0 ? r : net_publish(now, now_n, err);
}

int ports_restore(struct engine *engine, struct err *err)
{
	CLEANUP_FREE struct spec_port *all = NULL;
	size_t n = 0;
	int r = load(engine, "SELECT " PORTS_COLUMNS " FROM ports WHERE pending <> 1", NULL, &all, &n, err);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		struct err why = ERR_INIT;
		/* Whoever listens there by now has it. */
		if (net_publish(&all[i], 1, &why) < 0 && why.kind != ERR_CONFLICT) {
			*err = why;
			r = why.errnum ? why.errnum : -EIO;
		}
	}
	return r;
}
