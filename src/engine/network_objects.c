/* SPDX-License-Identifier: Apache-2.0 */
#include "network_objects.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "events.h"
#include "fault.h"
#include "net_bridge.h"
#include "network_connect.h"
#include "network_ipam.h"
#include "network_link.h"
#include "subnet_pool.h"
#include "volumes.h"

/* ---- making ---- */

static int check_name(const char *name, struct err *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t len = strlen(name);
	if (network_is_predefined(name) || str_eq(name, "default"))
		return err_set(err, ERR_DENIED, 0, "operation is not permitted on predefined %s network", name);
	if (len > 0 && len <= NETWORK_NAME_MAX && !strchr("_.-", *name) && strspn(name, allowed) == len)
		return 0;
	int r = err_set(err, ERR_INVALID, 0, "invalid network name \"%s\": only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed", name);
	if (len > NETWORK_NAME_MAX)
		err_why(err, "it is longer than %d characters", NETWORK_NAME_MAX);
	return r;
}

static int check_driver(const char *driver, enum network_driver *ret, struct err *err)
{
	static const char *const known[] = { "bridge", "macvlan", "ipvlan", NULL };
	*ret = str_is_empty(driver) ? DRIVER_BRIDGE : network_driver_parse(driver);
	if (*ret == DRIVER_HOST || *ret == DRIVER_NULL)
		return err_set(err, ERR_DENIED, 0, "only one instance of \"%s\" network is allowed", driver);
	if (*ret != DRIVER_COUNT)
		return 0;
	const char *nearest = str_nearest(driver, known);
	int r = err_set(err, ERR_NOT_FOUND, 0, "could not find the network driver %s: plugin \"%s\" not found", driver, driver);
	err_why(err, "%s", str_eq(driver, "overlay") ? "overlay networks are of a swarm, and hull has none" :
						       "hull has bridge, macvlan and ipvlan, and no plugins");
	if (nearest)
		err_hint(err, "did you mean %s?", nearest);
	return r;
}

/* A macvlan is of a link that is there; a bridge needs none. */
static int check_parent(struct network *n, const struct network_new *wanted, struct err *err)
{
	if (wanted->parent) {
		free(n->parent);
		n->parent = str_dup(wanted->parent);
	}
	n->vlan = wanted->vlan;
	bool is_bridge = n->driver == DRIVER_BRIDGE;
	if (is_bridge && n->vlan && !n->parent) {
		int r = err_set(err, ERR_INVALID, 0, "a VLAN needs the link that it is of");
		err_hint(err, "--parent eth0 --vlan %d", n->vlan);
		return r;
	}
	if (is_bridge && n->parent && !n->vlan)
		return err_set(err, ERR_INVALID, 0, "a bridge network takes --parent only with --vlan");
	if (!is_bridge && n->vlan)
		return err_set(err, ERR_INVALID, 0, "a %s network names its VLAN in the parent: -o parent=eth0.%d",
			       network_driver_name(n->driver), n->vlan);
	if (!is_bridge && !n->parent) {
		int r = err_set(err, ERR_INVALID, 0, "a %s network needs a parent link", network_driver_name(n->driver));
		err_hint(err, "-o parent=eth0   (ip link shows the links of this host)");
		return r;
	}
	if (!n->parent)
		return 0;
	CLEANUP_FREE char *link = n->vlan ? str_printf("%s.%d", n->parent, n->vlan) : str_dup(n->parent);
	int there = net_link_exists(link, err);
	n->owns_parent = there == 0;
	return there < 0 ? there : 0;
}

/* The link of the bridge: the user's name, which may be of one that is there, or
 * the id's. */
static int check_bridge(struct engine *engine, struct network *n, struct err *err)
{
	CLEANUP_FREE char *other = NULL;
	if (n->driver != DRIVER_BRIDGE)
		return 0;
	if (!n->bridge[0]) {
		snprintf(n->bridge, sizeof(n->bridge), "hb%.12s", n->id);
		return 0;
	}
	int r = db_query_text(engine->db, &other, err, "SELECT name FROM networks WHERE bridge = ?", "s", n->bridge);
	if (r > 0)
		return err_set(err, ERR_CONFLICT, 0, "cannot create network %s (%s): conflicts with network %s: networks have same bridge name",
			       n->name, n->bridge, other);
	if (r == 0)
		r = net_link_exists(n->bridge, err);
	n->keeps_bridge = r > 0;
	return r < 0 ? r : 0;
}

static int check_name_is_free(struct engine *engine, const char *name, struct err *err)
{
	int64_t one;
	int r = db_query_i64(engine->db, &one, err, "SELECT 1 FROM networks WHERE name = ?", "s", name);
	if (r <= 0)
		return r;
	r = err_set(err, ERR_CONFLICT, 0, "network with name %s already exists", name);
	err_hint(err, "hull network inspect %s", name);
	return r;
}

static int insert(struct engine *engine, const struct network *n, struct err *err)
{
	const struct ip_address *const addresses[] = { &n->subnet4, &n->gateway4, &n->range4, &n->subnet6, &n->gateway6, &n->range6 };
	char text[ARRAY_LEN(addresses)][IP_TEXT_SIZE];
	CLEANUP_FREE char *aux = strv_join(&n->aux, "\n"), *options = strv_join(&n->options, "\n"), *labels = strv_join(&n->labels, "\n");
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		text[i][0] = '\0';
		if (addresses[i]->family)
			ip_format(addresses[i], text[i]);
	}
	pid_t self = getpid();
	int r = db_run(engine->db, err,
		       "INSERT INTO networks(id, name, driver, bridge, subnet4, gateway4, range4, subnet6, gateway6, range6, aux,"
		       " is_internal, is_isolated, is_attachable, has_ipv4, has_ipv6, mtu, options, labels, parent, vlan, created_ns,"
		       " keeps_bridge, owns_parent, owner_pid, owner_ticks)"
		       " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		       "sssssssssssiiiiiisssiiiiii", n->id, n->name, network_driver_name(n->driver), n->bridge, text[0], text[1], text[2],
		       text[3], text[4], text[5], aux, (int64_t)n->is_internal, (int64_t)n->is_isolated, (int64_t)n->is_attachable,
		       (int64_t)n->has_ipv4, (int64_t)n->has_ipv6, (int64_t)n->mtu, options, labels, n->parent, (int64_t)n->vlan,
		       n->created_ns, (int64_t)n->keeps_bridge, (int64_t)n->owns_parent, (int64_t)self,
		       (int64_t)state_process_ticks(self));
	return r < 0 ? r : 0;
}

static int record(struct engine *engine, const char *action, const struct network *n, struct err *err)
{
	CLEANUP_STRV struct strv attributes = { 0 };
	strv_printf(&attributes, "name=%s", n->name);
	strv_printf(&attributes, "type=%s", network_driver_name(n->driver));
	return event_record(engine, "network", action, n->id, &attributes, err);
}

static int reserve(struct engine *engine, struct network *n, const struct network_new *wanted, struct err *err)
{
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int r = db_tx_begin(engine->db, &tx, err);
	if (r == 0)
		r = check_name_is_free(engine, n->name, err);
	if (r == 0)
		r = check_bridge(engine, n, err);
	if (r == 0)
		r = network_ipam_choose(engine, n, wanted, err);
	if (r == 0)
		r = insert(engine, n, err);
	return r < 0 ? r : db_tx_commit(&tx, err);
}

static int settle(struct engine *engine, const struct network *n, struct err *err)
{
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int r = db_tx_begin(engine->db, &tx, err);
	if (r == 0)
		r = db_run(engine->db, err, "UPDATE networks SET owner_pid = 0, owner_ticks = 0 WHERE name = ?", "s", n->name);
	if (r >= 0)
		r = record(engine, "create", n, err);
	return r < 0 ? r : db_tx_commit(&tx, err);
}

/* What is on the host, then the row. */
static int forget(struct engine *engine, const struct network *n, const char *event, struct err *err)
{
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int r = network_remove_link(engine, n, err);
	if (r >= 0)
		r = FAULT("network.link_gone");
	if (r >= 0)
		r = db_tx_begin(engine->db, &tx, err);
	if (r >= 0)
		r = db_run(engine->db, err, "DELETE FROM network_rules WHERE network = ?", "s", n->name);
	if (r >= 0)
		r = db_run(engine->db, err, "DELETE FROM networks WHERE name = ?", "s", n->name);
	if (r > 0 && event)
		r = record(engine, event, n, err);
	return r < 0 ? r : db_tx_commit(&tx, err);
}

/* As with Docker a subnet may be one that the host has a route to; then the host
 * does not reach what it reached there. */
static int warn_of_route(const struct network *n, const struct ip_address *subnet, struct strv *warnings, struct err *err)
{
	char text[IP_TEXT_SIZE], route[IP_TEXT_SIZE];
	struct subnet_route found;
	if (!subnet->family || n->driver != DRIVER_BRIDGE || n->keeps_bridge)
		return 0;
	int r = subnet_find_route(subnet, &found, err);
	if (r > 0)
		strv_printf(warnings, "%s overlaps %s, to which this host has a route%s%s: it reaches the containers there instead",
			    ip_format(subnet, text), ip_format(&found.to, route), found.link[0] ? " by " : "", found.link);
	return r < 0 ? r : 0;
}

int network_create(struct engine *engine, const struct network_new *wanted, char ret_id[ID_SIZE], struct strv *warnings,
		   struct err *err)
{
	CLEANUP_NETWORK struct network *n = mem_calloc(1, sizeof(*n));
	int r = check_name(wanted->name, err);
	if (r == 0)
		r = check_driver(wanted->driver, &n->driver, err);
	if (r < 0)
		return r;
	id_generate(n->id);
	n->name = str_dup(wanted->name);
	n->is_internal = wanted->is_internal;
	n->is_attachable = wanted->is_attachable;
	n->is_isolated = wanted->is_isolated;
	n->created_ns = clock_wall_ns();
	strv_extend(&n->options, &wanted->options);
	strv_extend(&n->labels, &wanted->labels);
	r = network_ipam_check(n, wanted, err);
	if (r == 0)
		r = network_options_check(n, err);
	if (r == 0)
		r = check_parent(n, wanted, err);
	if (r == 0)
		r = reserve(engine, n, wanted, err);
	if (r < 0)
		return r;
	r = FAULT("network.row");
	if (r == 0 && wanted->subnets.n)
		r = warn_of_route(n, &n->subnet4, warnings, err);
	if (r == 0 && wanted->subnets.n)
		r = warn_of_route(n, &n->subnet6, warnings, err);
	if (r == 0)
		r = network_ensure(engine, n, err);
	if (r == 0)
		r = FAULT("network.made");
	if (r == 0)
		r = settle(engine, n, err);
	if (r < 0) {
		struct err ignored = ERR_INIT;
		if (forget(engine, n, NULL, &ignored) < 0)
			return r; /* recovery does it */
		return r;
	}
	memcpy(ret_id, n->id, sizeof(n->id));
	return 0;
}

/* ---- removing ---- */

static int check_unused(struct engine *engine, const struct network *n, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	CLEANUP_STRV struct strv users = { 0 };
	int r = db_query(engine->db, &row, err,
			 "SELECT c.name, e.id FROM endpoints e JOIN containers c ON c.id = e.container"
			 " WHERE e.network = ? AND e.host_name IS NOT NULL ORDER BY 1 LIMIT 5", "s", n->name);
	CLEANUP_FREE char *first = NULL;
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		if (!first)
			first = str_dup(db_text(row, 0));
		strv_printf(&users, "name:\"%s\" id:\"%.12s\"", db_text_or(row, 0, ""), db_text_or(row, 1, ""));
	}
	if (r < 0 || users.n == 0)
		return r;
	CLEANUP_FREE char *text = strv_join(&users, ", ");
	r = err_set(err, ERR_CONFLICT, 0, "error while removing network: network %s has active endpoints (%s)", n->name, text);
	err_hint(err, "hull network disconnect %s %s", n->name, first);
	return r;
}

/* From now on it is this process's to remove; the number's sign tells recovery that it
 * was there, and that its end is to be told. */
static int claim(struct engine *engine, const char *name, bool unless_joined, struct network **ret, struct err *err)
{
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	CLEANUP_NETWORK struct network *n = NULL;
	int64_t one;
	pid_t self = getpid();
	int r = db_tx_begin(engine->db, &tx, err);
	if (r == 0)
		r = network_find(engine, name, &n, err);
	if (r == 0 && network_is_predefined(n->name))
		r = err_set(err, ERR_DENIED, 0, "%s is a pre-defined network and cannot be removed", n->name);
	if (r == 0)
		r = check_unused(engine, n, err);
	if (r == 0 && unless_joined &&
	    (r = db_query_i64(engine->db, &one, err, "SELECT 1 FROM endpoints WHERE network = ? LIMIT 1", "s", n->name)) > 0)
		r = err_set(err, ERR_CONFLICT, 0, "network %s is in use", n->name);
	if (r == 0)
		r = db_run(engine->db, err, "UPDATE networks SET owner_pid = ?, owner_ticks = ? WHERE name = ?", "iis", -(int64_t)self,
			   (int64_t)state_process_ticks(self), n->name);
	if (r >= 0)
		r = db_tx_commit(&tx, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(n);
	return FAULT("network.claimed");
}

int network_remove(struct engine *engine, const char *name, struct err *err)
{
	CLEANUP_NETWORK struct network *n = NULL;
	int r = claim(engine, name, false, &n, err);
	return r < 0 ? r : forget(engine, n, "destroy", err);
}

/* ---- listing ---- */

static int is_dangling(struct engine *engine, const struct network *n, struct err *err)
{
	int64_t one;
	if (network_is_predefined(n->name))
		return 0;
	int r = db_query_i64(engine->db, &one, err, "SELECT 1 FROM endpoints WHERE network = ? LIMIT 1", "s", n->name);
	return r < 0 ? r : r == 0;
}

/* 1 matches, 0 not, or an error. */
static int matches_one(struct engine *engine, const struct network *n, const char *pair, struct err *err)
{
	const char *eq = strchr(pair, '='), *value = eq ? eq + 1 : "";
	int64_t before;
	bool wanted;
	if (!eq)
		return err_set(err, ERR_INVALID, 0, "invalid argument \"%s\" for \"-f, --filter\" flag: invalid filter '%s'", pair, pair);
	if (str_starts_with(pair, "label!="))
		return !labels_match(&n->labels, value);
	if (str_starts_with(pair, "label="))
		return labels_match(&n->labels, value);
	if (str_starts_with(pair, "name="))
		return strstr(n->name, value) != NULL;
	if (str_starts_with(pair, "id="))
		return str_starts_with(n->id, value);
	if (str_starts_with(pair, "driver="))
		return str_eq(network_driver_name(n->driver), value);
	if (str_starts_with(pair, "scope="))
		return str_eq(value, "local");
	if (str_eq(pair, "type=builtin"))
		return network_is_predefined(n->name);
	if (str_eq(pair, "type=custom"))
		return !network_is_predefined(n->name);
	if (str_starts_with(pair, "type="))
		return err_set(err, ERR_INVALID, 0, "invalid filter: 'type'='%s'", value);
	if (str_starts_with(pair, "until=") && clock_parse_since(value, clock_wall_ns(), &before) == 0)
		return n->created_ns < before;
	if (str_starts_with(pair, "dangling=") && str_parse_bool(value, &wanted) == 0) {
		int r = is_dangling(engine, n, err);
		return r < 0 ? r : (r != 0) == wanted;
	}
	return err_set(err, ERR_INVALID, 0, "invalid filter '%s'", pair);
}

/* Each key must be met by one of its values; labels must all be met. */
static int matches(struct engine *engine, const struct network *n, const struct strv *pairs, struct err *err)
{
	for (size_t i = 0; i < pairs->n; i++) {
		size_t key = strcspn(pairs->v[i], "=");
		bool is_label = str_starts_with(pairs->v[i], "label");
		int any = 0;
		for (size_t j = 0; j < pairs->n && any == 0; j++)
			if (is_label ? j == i : strncmp(pairs->v[j], pairs->v[i], key + 1) == 0)
				any = matches_one(engine, n, pairs->v[j], err);
		if (any <= 0)
			return any;
	}
	return 1;
}

int networks_list(struct engine *engine, const struct network_filter *filter, struct network ***ret, size_t *ret_n, struct err *err)
{
	struct network **list = NULL;
	size_t n = 0, kept = 0, i = 0;
	int r = network_list_all(engine, &list, &n, err);
	for (; r >= 0 && i < n; i++) {
		r = matches(engine, list[i], &filter->pairs, err);
		if (r > 0)
			list[kept++] = list[i];
		else
			network_free(list[i]);
	}
	if (r < 0) {
		for (; i < n; i++)
			network_free(list[i]);
		network_list_free(list, kept);
		return r;
	}
	*ret = list;
	*ret_n = kept;
	return 0;
}

int networks_prune(struct engine *engine, const struct network_filter *filter, struct strv *ret_names, struct err *err)
{
	struct network **list = NULL;
	size_t n = 0;
	int r = networks_list(engine, filter, &list, &n, err);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		CLEANUP_NETWORK struct network *claimed = NULL;
		struct err why = ERR_INIT;
		r = is_dangling(engine, list[i], err);
		if (r <= 0)
			continue;
		r = claim(engine, list[i]->name, true, &claimed, &why);
		if (r >= 0)
			r = forget(engine, claimed, "destroy", &why);
		if (r >= 0)
			strv_add(ret_names, list[i]->name);
		else if (why.kind == ERR_CONFLICT || why.kind == ERR_NOT_FOUND)
			r = 0; /* taken, or gone, meanwhile */
		else
			*err = why;
	}
	network_list_free(list, n);
	return r < 0 ? r : 0;
}

/* ---- recovery ---- */

static int recover_networks(struct engine *engine, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	CLEANUP_STRV struct strv made = { 0 }, removed = { 0 };
	int r = db_query(engine->db, &row, err, "SELECT name, owner_pid, owner_ticks FROM networks WHERE owner_pid <> 0", "");
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		int64_t owner = db_i64(row, 1);
		if (state_process_ticks((int32_t)(owner < 0 ? -owner : owner)) != (uint64_t)db_i64(row, 2))
			strv_add(owner < 0 ? &removed : &made, db_text(row, 0));
	}
	for (size_t i = 0; r >= 0 && i < made.n + removed.n; i++) {
		CLEANUP_NETWORK struct network *n = NULL;
		bool was_there = i >= made.n;
		r = network_get_any(engine, was_there ? removed.v[i - made.n] : made.v[i], &n, err);
		if (r > 0)
			r = forget(engine, n, was_there ? "destroy" : NULL, err);
	}
	return r;
}

int network_recover(struct engine *engine, struct err *err)
{
	int64_t one;
	int r = db_query_i64(engine->db, &one, err,
			     "SELECT 1 FROM networks WHERE owner_pid <> 0 UNION ALL SELECT 1 FROM endpoints WHERE owner_pid <> 0 LIMIT 1", "");
	if (r <= 0)
		return r;
	r = network_connect_recover(engine, err);
	return r < 0 ? r : recover_networks(engine, err);
}
