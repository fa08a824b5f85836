/* SPDX-License-Identifier: Apache-2.0 */
#include "network_rows.h"

#include <stdlib.h>
#include <string.h>

static const char *const driver_names[] = {
	[DRIVER_BRIDGE] = "bridge", [DRIVER_MACVLAN] = "macvlan", [DRIVER_IPVLAN] = "ipvlan",
	[DRIVER_HOST] = "host",	    [DRIVER_NULL] = "null",
};
static_assert(ARRAY_LEN(driver_names) == DRIVER_COUNT, "a name for each");

const char *network_driver_name(enum network_driver driver)
{
	return driver_names[driver];
}

enum network_driver network_driver_parse(const char *name)
{
	enum network_driver d = 0;
	while (d < DRIVER_COUNT && !str_eq(driver_names[d], name))
		d++;
	return d;
}

bool network_is_predefined(const char *name)
{
	return str_eq(name, NETWORK_BRIDGE) || str_eq(name, NETWORK_HOST) || str_eq(name, NETWORK_NONE);
}

/* ---- networks ---- */

void network_free(struct network *n)
{
	if (!n)
		return;
	free(n->name);
	strv_free(&n->aux);
	strv_free(&n->options);
	strv_free(&n->labels);
	free(n->parent);
	free(n);
}

void network_list_free(struct network **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		network_free(list[i]);
	free(list);
}

#define NETWORK_COLUMNS                                                                                     \
	"id, name, driver, bridge, subnet4, gateway4, range4, subnet6, gateway6, range6, aux, is_internal," \
	" is_isolated, is_attachable, has_ipv4, has_ipv6, mtu, options, labels, parent, vlan, created_ns," \
	" keeps_bridge, owns_parent"

static int parse_address(struct db_stmt *row, int column, struct ip_address *ret)
{
	const char *text = db_text_or(row, column, "");
	return *text ? ip_parse(text, ret) : 0;
}

static int network_from_row(struct db_stmt *row, struct network **ret, struct err *err)
{
	CLEANUP_NETWORK struct network *n = mem_calloc(1, sizeof(*n));
	struct ip_address *const addresses[] = { &n->subnet4, &n->gateway4, &n->range4, &n->subnet6, &n->gateway6, &n->range6 };
	int r = str_copy(n->id, sizeof(n->id), db_text_or(row, 0, ""));
	n->name = str_dup(db_text_or(row, 1, ""));
	n->driver = network_driver_parse(db_text(row, 2));
	if (r >= 0)
		r = str_copy(n->bridge, sizeof(n->bridge), db_text_or(row, 3, ""));
	for (size_t i = 0; r >= 0 && i < ARRAY_LEN(addresses); i++)
		r = parse_address(row, 4 + (int)i, addresses[i]);
	if (r < 0 || n->driver == DRIVER_COUNT)
		return err_set(err, ERR_SYSTEM, EINVAL, "the network %s is recorded wrongly", n->name);
	n->subnet4 = ip_subnet(&n->subnet4);
	n->subnet6 = ip_subnet(&n->subnet6);
	strv_split(&n->aux, db_text_or(row, 10, ""), '\n');
	n->is_internal = db_i64(row, 11) != 0;
	n->is_isolated = db_i64(row, 12) != 0;
	n->is_attachable = db_i64(row, 13) != 0;
	n->has_ipv4 = db_i64(row, 14) != 0;
	n->has_ipv6 = db_i64(row, 15) != 0;
	n->mtu = (uint32_t)db_i64(row, 16);
	strv_split(&n->options, db_text_or(row, 17, ""), '\n');
	strv_split(&n->labels, db_text_or(row, 18, ""), '\n');
	n->parent = str_dup(db_text(row, 19));
	n->vlan = (int)db_i64(row, 20);
	n->created_ns = db_i64(row, 21);
	n->keeps_bridge = db_i64(row, 22) != 0;
	n->owns_parent = db_i64(row, 23) != 0;
	*ret = TAKE_PTR(n);
	return 0;
}

/* The rows of @sql; more than one of them only if @ret_n is not NULL. */
static int networks_by(struct engine *engine, struct network ***ret, size_t *ret_n, struct err *err, const char *sql,
		       const char *types, const char *arg)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	struct network **list = NULL;
	size_t n = 0;
	int r = *types ? db_query(engine->db, &row, err, sql, types, arg) : db_query(engine->db, &row, err, sql, types);
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		list = reallocarray(list, n + 1, sizeof(*list));
		if (!list)
			abort();
		r = network_from_row(row, &list[n], err);
		n += r >= 0;
	}
	if (r < 0) {
		network_list_free(list, n);
		return r;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

int network_list_all(struct engine *engine, struct network ***ret, size_t *ret_n, struct err *err)
{
	return networks_by(engine, ret, ret_n, err, "SELECT " NETWORK_COLUMNS " FROM networks WHERE owner_pid = 0 ORDER BY name COLLATE NOCASE", "",
			   NULL);
}

static int get(struct engine *engine, const char *sql, const char *name, struct network **ret, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	int r = db_query(engine->db, &row, err, sql, "s", name);
	if (r >= 0)
		r = db_next(row, err);
	if (r <= 0)
		return r;
	r = network_from_row(row, ret, err);
	return r < 0 ? r : 1;
}

int network_get(struct engine *engine, const char *name, struct network **ret, struct err *err)
{
	return get(engine, "SELECT " NETWORK_COLUMNS " FROM networks WHERE name = ? AND owner_pid = 0", name, ret, err);
}

int network_get_any(struct engine *engine, const char *name, struct network **ret, struct err *err)
{
	return get(engine, "SELECT " NETWORK_COLUMNS " FROM networks WHERE name = ?", name, ret, err);
}

int network_find(struct engine *engine, const char *name, struct network **ret, struct err *err)
{
	struct network **list = NULL;
	size_t n = 0;
	int r = network_get(engine, name, ret, err);
	if (r != 0)
		return r < 0 ? r : 0;
	size_t len = strlen(name);
	if (len > 0 && len < ID_SIZE && str_is_hex(name, len)) {
		CLEANUP_FREE char *pattern = str_printf("%s*", name);
		r = networks_by(engine, &list, &n, err, "SELECT " NETWORK_COLUMNS " FROM networks WHERE id GLOB ? AND owner_pid = 0 LIMIT 2", "s", pattern);
		if (r < 0)
			return r;
	}
	if (n == 1) {
		*ret = list[0];
		free(list);
		return 0;
	}
	network_list_free(list, n);
	if (n > 1)
		return err_set(err, ERR_INVALID, 0, "network %s is ambiguous (2 matches found on ID prefix)", name);
	return err_set(err, ERR_NOT_FOUND, 0, "network %s not found", name);
}

/* ---- endpoints ---- */

static void endpoint_done(struct endpoint *e)
{
	free(e->network);
	free(e->interface);
	free(e->host_name);
	strv_free(&e->aliases);
	strv_free(&e->links);
	strv_free(&e->driver_opts);
	strv_free(&e->dns_names);
}

void endpoint_list_free(struct endpoint *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		endpoint_done(&list[i]);
	free(list);
}

#define ENDPOINT_COLUMNS                                                                            \
	"container, network, position, id, interface, host_name, mac, address4, address6, asked_mac," \
	" asked4, asked6, aliases, links, driver_opts, gw_priority, dns_names"

static int endpoint_from_row(struct db_stmt *row, struct endpoint *e, struct err *err)
{
	*e = (struct endpoint){ 0 };
	e->network = str_dup(db_text_or(row, 1, ""));
	e->position = db_i64(row, 2);
	e->interface = str_dup(db_text(row, 4));
	e->host_name = str_dup(db_text(row, 5));
	e->is_active = e->host_name != NULL;
	strv_split(&e->aliases, db_text_or(row, 12, ""), '\n');
	strv_split(&e->links, db_text_or(row, 13, ""), '\n');
	strv_split(&e->driver_opts, db_text_or(row, 14, ""), '\n');
	e->gw_priority = db_i64(row, 15);
	strv_split(&e->dns_names, db_text_or(row, 16, ""), '\n');
	if (str_copy(e->container, sizeof(e->container), db_text_or(row, 0, "")) < 0 ||
	    str_copy(e->id, sizeof(e->id), db_text_or(row, 3, "")) < 0 ||
	    str_copy(e->mac, sizeof(e->mac), db_text_or(row, 6, "")) < 0 ||
	    str_copy(e->address4, sizeof(e->address4), db_text_or(row, 7, "")) < 0 ||
	    str_copy(e->address6, sizeof(e->address6), db_text_or(row, 8, "")) < 0 ||
	    str_copy(e->asked_mac, sizeof(e->asked_mac), db_text_or(row, 9, "")) < 0 ||
	    str_copy(e->asked4, sizeof(e->asked4), db_text_or(row, 10, "")) < 0 ||
	    str_copy(e->asked6, sizeof(e->asked6), db_text_or(row, 11, "")) < 0) {
		endpoint_done(e);
		return err_set(err, ERR_SYSTEM, EINVAL, "an endpoint of the network %s is recorded wrongly", db_text_or(row, 1, ""));
	}
	return 0;
}

static int endpoints_by(struct engine *engine, struct endpoint **ret, size_t *ret_n, struct err *err, const char *sql, const char *arg)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	CLEANUP_ENDPOINTS struct endpoint_list list = { 0 };
	size_t room = 0;
	int r = db_query(engine->db, &row, err, sql, "s", arg);
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		if (list.n == room) {
			room = room ? room * 2 : 4;
			list.v = reallocarray(list.v, room, sizeof(*list.v));
			if (!list.v)
				abort();
		}
		r = endpoint_from_row(row, &list.v[list.n], err);
		list.n += r >= 0;
	}
	if (r < 0)
		return r;
	*ret = list.v;
	*ret_n = list.n;
	list = (struct endpoint_list){ 0 };
	return 0;
}

int endpoints_of_container(struct engine *engine, const char *id, struct endpoint **ret, size_t *ret_n, struct err *err)
{
	return endpoints_by(engine, ret, ret_n, err,
			    "SELECT " ENDPOINT_COLUMNS " FROM endpoints WHERE container = ? ORDER BY position", id);
}

int endpoints_of_network(struct engine *engine, const char *network, struct endpoint **ret, size_t *ret_n, struct err *err)
{
	return endpoints_by(engine, ret, ret_n, err,
			    "SELECT " ENDPOINT_COLUMNS " FROM endpoints WHERE network = ? ORDER BY address4, container", network);
}
