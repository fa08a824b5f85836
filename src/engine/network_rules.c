/* SPDX-License-Identifier: Apache-2.0 */
#include "network_rules.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "egress.h"
#include "fault.h"
#include "name_service.h"
#include "network_policy.h"
#include "volumes.h"

void network_rules_free(struct network_rule *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(list[i].network);
		free(list[i].from);
		free(list[i].to);
	}
	free(list);
}

int network_rules_read(struct engine *engine, const char *network, struct network_rule_list *ret, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	CLEANUP_RULES struct network_rule_list list = { 0 };
	int r = db_query(engine->db, &row, err,
			 "SELECT id, source, target, protocol, port_first, port_last, allow FROM network_rules WHERE network = ? ORDER BY id",
			 "s", network);
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		list.v = reallocarray(list.v, list.n + 1, sizeof(*list.v));
		if (!list.v)
			abort();
		struct network_rule *rule = &list.v[list.n++];
		*rule = (struct network_rule){
			.id = db_i64(row, 0), .network = str_dup(network), .from = str_dup(db_text_or(row, 1, "any")),
			.to = str_dup(db_text_or(row, 2, "any")), .port_first = (uint16_t)db_i64(row, 4),
			.port_last = (uint16_t)db_i64(row, 5), .allow = db_i64(row, 6) != 0,
		};
		r = str_copy(rule->protocol, sizeof(rule->protocol), db_text_or(row, 3, ""));
	}
	if (r < 0)
		return r;
	*ret = list;
	list = (struct network_rule_list){ 0 };
	return 0;
}

char *network_rule_ports(const struct network_rule *rule)
{
	if (!rule->port_first)
		return str_dup("");
	if (rule->port_last > rule->port_first)
		return str_printf("%u-%u", rule->port_first, rule->port_last);
	return str_printf("%u", rule->port_first);
}

bool network_rule_means(const char *end, const char *name, const struct strv *labels)
{
	if (str_starts_with(end, "container:"))
		return str_eq(name, end + strlen("container:"));
	return str_starts_with(end, "label:") && labels_match(labels, end + strlen("label:"));
}

/* ---- adding ---- */

/* A word, an address, a label ("app=db", "label:app"), or a container. */
static int take_end(struct engine *engine, const char *text, char **ret, struct err *err)
{
	CLEANUP_CONTAINER struct container *c = NULL;
	struct ip_address a;
	char address[IP_TEXT_SIZE];
	if (str_is_empty(text) || str_eq(text, "any") || str_eq(text, "host") || str_eq(text, "outside")) {
		*ret = str_dup(str_is_empty(text) ? "any" : text);
		return 0;
	}
	if (str_starts_with(text, "label:") || strchr(text, '=')) {
		*ret = str_starts_with(text, "label:") ? str_dup(text) : str_printf("label:%s", text);
		return strpbrk(*ret, "\n") ? err_set(err, ERR_INVALID, 0, "invalid label \"%s\"", text) : 0;
	}
	if (ip_parse(text, &a) == 0) {
		*ret = str_printf("address:%s", ip_format(&a, address));
		return 0;
	}
	const char *name = str_starts_with(text, "container:") ? text + strlen("container:") : text;
	int r = container_find(engine, name, &c, err);
	if (r < 0) {
		err_hint(err, "an end of a rule is a container, a label (app=db), an address, any, host or outside");
		return r;
	}
	*ret = str_printf("container:%s", c->name);
	return 0;
}

static int take_egress(const char *text, struct network_rule *rule, struct err *err)
{
	struct egress e;
	char address[IP_TEXT_SIZE];
	int r = egress_parse(text, &e, err);
	if (r < 0)
		return r;
	rule->to = e.name[0] ? str_printf("name:%s", e.name) : str_printf("address:%s", ip_format(&e.address, address));
	memcpy(rule->protocol, e.protocol, sizeof(rule->protocol));
	rule->port_first = e.port_first;
	rule->port_last = e.port_last;
	return 0;
}

static int take_service(const struct network_rule_new *wanted, struct network_rule *rule, struct err *err)
{
	if (wanted->protocol && egress_parse_protocol(wanted->protocol, rule->protocol) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid protocol %s: it is tcp, udp, sctp or icmp", wanted->protocol);
	if (wanted->port && egress_parse_ports(wanted->port, &rule->port_first, &rule->port_last) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid port %s", wanted->port);
	if (wanted->port && str_eq(rule->protocol, "icmp"))
		return err_set(err, ERR_INVALID, 0, "icmp has no ports");
	if (wanted->port && !rule->protocol[0])
		memcpy(rule->protocol, "tcp", 4);
	return 0;
}

static bool is_far(const char *end)
{
	return str_starts_with(end, "address:") || str_starts_with(end, "name:") || str_eq(end, "outside") || str_eq(end, "host");
}

static int parse(struct engine *engine, const struct network_rule_new *wanted, struct network_rule *rule, struct err *err)
{
	rule->allow = wanted->allow;
	if (wanted->egress && (wanted->to || wanted->port || wanted->protocol))
		return err_set(err, ERR_INVALID, 0, "conflicting options: --egress says where to, and by which port");
	int r = take_end(engine, wanted->from, &rule->from, err);
	if (r == 0)
		r = wanted->egress ? take_egress(wanted->egress, rule, err) : take_end(engine, wanted->to, &rule->to, err);
	if (r == 0 && !wanted->egress)
		r = take_service(wanted, rule, err);
	if (r == 0 && is_far(rule->from) && is_far(rule->to))
		r = err_set(err, ERR_INVALID, 0, "a rule from %s to %s is about no container of the network", rule->from, rule->to);
	return r;
}

/* The change is recorded before it is made: recovery makes what is recorded. */
static int mark(struct engine *engine, const char *network, bool changing, struct err *err)
{
	int r = db_run(engine->db, err, "UPDATE networks SET rules_changing = ? WHERE name = ?", "is", (int64_t)changing, network);
	return r < 0 ? r : 0;
}

/* The name server opens the names that the rules are about. */
static int tell_names(struct engine *engine, const struct network *n, struct err *err)
{
	CLEANUP_ENDPOINTS struct endpoint_list list = { 0 };
	int r = endpoints_of_network(engine, n->name, &list.v, &list.n, err);
	for (size_t i = 0; r >= 0 && i < list.n; i++) {
		CLEANUP_CONTAINER struct container *c = NULL;
		if (!list.v[i].is_active)
			continue;
		r = container_find(engine, list.v[i].container, &c, err);
		if (r == 0)
			r = container_load_config(c, err);
		if (r == 0)
			r = name_service_publish(engine, c, err);
	}
	return r < 0 ? r : 0;
}

static int apply(struct engine *engine, const struct network *n, struct err *err)
{
	int r = FAULT("rule.recorded");
	if (r == 0)
		r = network_policy_apply(engine, n, err);
	if (r == 0)
		r = FAULT("rule.applied");
	if (r == 0)
		r = tell_names(engine, n, err);
	return r < 0 ? r : mark(engine, n->name, false, err);
}

static int find_isolated(struct engine *engine, const char *name, struct network **ret, struct err *err)
{
	CLEANUP_NETWORK struct network *n = NULL;
	int r = network_find(engine, name, &n, err);
	if (r < 0)
		return r;
	if (!n->is_isolated || n->driver != DRIVER_BRIDGE) {
		r = err_set(err, ERR_CONFLICT, 0, "network %s has no rules: it is not isolated", n->name);
		err_hint(err, "hull network create --isolated NAME; or hull run --egress HOST:PORT for one container");
		return r;
	}
	*ret = TAKE_PTR(n);
	return 0;
}

static void undo_add(struct engine *engine, const struct network *n, int64_t id)
{
	struct err ignored = ERR_INIT;
	if (db_run(engine->db, &ignored, "DELETE FROM network_rules WHERE id = ?", "i", id) >= 0 &&
	    network_policy_apply(engine, n, &ignored) == 0)
		(void)!mark(engine, n->name, false, &ignored);
}

int network_rule_add(struct engine *engine, const char *network, const struct network_rule_new *wanted, int64_t *ret_id, struct err *err)
{
	CLEANUP_NETWORK struct network *n = NULL;
	CLEANUP_RULES struct network_rule_list list = { mem_calloc(1, sizeof(*list.v)), 1 };
	struct network_rule *rule = list.v;
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int r = find_isolated(engine, network, &n, err);
	if (r == 0)
		r = parse(engine, wanted, rule, err);
	if (r == 0)
		r = db_tx_begin(engine->db, &tx, err);
	if (r == 0)
		r = mark(engine, n->name, true, err);
	if (r == 0)
		r = db_run(engine->db, err,
			   "INSERT INTO network_rules(network, source, target, protocol, port_first, port_last, allow, created_ns)"
			   " VALUES(?, ?, ?, ?, ?, ?, ?, ?)", "ssssiiii", n->name, rule->from, rule->to, rule->protocol,
			   (int64_t)rule->port_first, (int64_t)rule->port_last, (int64_t)rule->allow, clock_wall_ns());
	if (r >= 0)
		r = db_query_i64(engine->db, ret_id, err, "SELECT last_insert_rowid()", "");
	if (r >= 0)
		r = db_tx_commit(&tx, err);
	if (r < 0)
		return r;
	r = apply(engine, n, err);
	if (r < 0)
		undo_add(engine, n, *ret_id);
	return r;
}

int network_rule_remove(struct engine *engine, const char *network, int64_t id, struct err *err)
{
	CLEANUP_NETWORK struct network *n = NULL;
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int r = find_isolated(engine, network, &n, err);
	if (r == 0)
		r = db_tx_begin(engine->db, &tx, err);
	if (r == 0)
		r = mark(engine, n->name, true, err);
	if (r == 0)
		r = db_run(engine->db, err, "DELETE FROM network_rules WHERE network = ? AND id = ?", "si", n->name, id);
	if (r == 0) {
		r = err_set(err, ERR_NOT_FOUND, 0, "network %s has no rule %lld", n->name, (long long)id);
		err_hint(err, "hull network rule ls %s", n->name);
		return r;
	}
	if (r > 0)
		r = db_tx_commit(&tx, err);
	return r < 0 ? r : apply(engine, n, err);
}
