/* SPDX-License-Identifier: Apache-2.0 */
#include "network_policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "egress.h"
#include "fault.h"
#include "firewall_policy.h"
#include "net_rate.h"

#define POLICY_NAME_SIZE 16

/* ---- rules as the firewall has them ---- */

/* An identifier whatever the network is called. */
static const char *policy_name(const char *id, char out[POLICY_NAME_SIZE])
{
	snprintf(out, POLICY_NAME_SIZE, "n%.12s", id);
	return out;
}

static int end_of(const char *text, struct policy_end *ret, struct err *err)
{
	*ret = (struct policy_end){ .kind = POLICY_MEMBERS };
	if (str_eq(text, "any"))
		ret->kind = POLICY_ANY;
	else if (str_eq(text, "host"))
		ret->kind = POLICY_HOST;
	else if (str_eq(text, "outside"))
		ret->kind = POLICY_OUTSIDE;
	else if (str_starts_with(text, "name:"))
		ret->kind = POLICY_NAME;
	else if (str_starts_with(text, "address:"))
		ret->kind = POLICY_ADDRESS;
	if (ret->kind == POLICY_ADDRESS && ip_parse(text + strlen("address:"), &ret->address) < 0)
		return err_set(err, ERR_SYSTEM, EINVAL, "a rule is recorded wrongly: %s", text);
	return 0;
}

static int compile(const struct network_rule_list *rules, struct policy_rule **ret, struct err *err)
{
	CLEANUP_FREE struct policy_rule *list = mem_calloc(rules->n + 1, sizeof(*list));
	for (size_t i = 0; i < rules->n; i++) {
		const struct network_rule *from = &rules->v[i];
		struct policy_rule *to = &list[i];
		*to = (struct policy_rule){ .id = from->id, .port_first = from->port_first, .port_last = from->port_last,
					    .allow = from->allow };
		memcpy(to->protocol, from->protocol, sizeof(to->protocol));
		int r = end_of(from->from, &to->from, err);
		if (r == 0)
			r = end_of(from->to, &to->to, err);
		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(list);
	return 0;
}

/* ---- who is meant ---- */

struct member {
	char host_name[16];
	char *network, *network_id, *name;
	struct strv labels;
	struct ip_address addresses[2];
	size_t addresses_n;
	int64_t policies;
	bool is_isolated;
};

struct members {
	struct member *v;
	size_t n;
};

static void members_done(struct members *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->v[i].network);
		free(m->v[i].network_id);
		free(m->v[i].name);
		strv_free(&m->v[i].labels);
	}
	free(m->v);
}
#define CLEANUP_MEMBERS CLEANUP(members_done)

static int add_member(struct db_stmt *row, struct members *to)
{
	to->v = reallocarray(to->v, to->n + 1, sizeof(*to->v));
	if (!to->v)
		abort();
	struct member *m = &to->v[to->n++];
	*m = (struct member){ .network = str_dup(db_text_or(row, 0, "")), .network_id = str_dup(db_text_or(row, 1, "")),
			      .name = str_dup(db_text_or(row, 5, "")), .policies = db_i64(row, 7), .is_isolated = db_i64(row, 8) != 0 };
	strv_split(&m->labels, db_text_or(row, 6, ""), '\n');
	for (int column = 3; column <= 4; column++)
		if (db_text(row, column) && ip_parse(db_text(row, column), &m->addresses[m->addresses_n]) == 0)
			m->addresses_n++;
	return str_copy(m->host_name, sizeof(m->host_name), db_text_or(row, 2, ""));
}

/* Active endpoints in bridges: of a container, of a network, or both. */
static int read_members(struct engine *engine, const char *container, const char *network, struct members *ret, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	int r = db_query(engine->db, &row, err,
			 "SELECT e.network, n.id, e.host_name, e.address4, e.address6, c.name, c.labels, e.policies, n.is_isolated"
			 " FROM endpoints e JOIN networks n ON n.name = e.network JOIN containers c ON c.id = e.container"
			 " WHERE (?1 IS NULL OR e.container = ?1) AND (?2 IS NULL OR e.network = ?2) AND e.host_name IS NOT NULL"
			 " AND n.driver = 'bridge'", "ss", container, network);
	while (r >= 0 && (r = db_next(row, err)) > 0)
		r = add_member(row, ret);
	return r < 0 ? (err_is_set(err) ? r : err_set(err, ERR_SYSTEM, r, "read the networks of a container")) : 0;
}

static bool is_meant(const struct member *m, const char *end)
{
	return network_rule_means(end, m->name, &m->labels);
}

static bool is_of_members(const char *end)
{
	return str_starts_with(end, "container:") || str_starts_with(end, "label:");
}

/* The elements of @m in the sets of the rules: all it could have, or has. */
static struct policy_member *elements_of(const struct member *m, const struct network_rule_list *rules, bool all, size_t *ret_n)
{
	struct policy_member *list = mem_calloc(rules->n * 2 * m->addresses_n + 1, sizeof(*list));
	char policy[POLICY_NAME_SIZE];
	*ret_n = 0;
	policy_name(m->network_id, policy);
	for (size_t i = 0; i < rules->n; i++)
		for (int side = 0; side < 2; side++) {
			const char *end = side ? rules->v[i].to : rules->v[i].from;
			if (!is_of_members(end) || (!all && !is_meant(m, end)))
				continue;
			for (size_t k = 0; k < m->addresses_n; k++) {
				struct policy_member *e = &list[(*ret_n)++];
				firewall_member_set(policy, rules->v[i].id, side ? 't' : 'f', m->addresses[k].family, e->set);
				e->address = m->addresses[k];
			}
		}
	return list;
}

/* What had the address before cannot have left anything behind for it. */
static int join(const struct member *m, const struct network_rule_list *rules, struct err *err)
{
	size_t all_n, n;
	CLEANUP_FREE struct policy_member *all = elements_of(m, rules, true, &all_n), *own = elements_of(m, rules, false, &n);
	int r = firewall_members_remove(all, all_n, err);
	return r < 0 ? r : firewall_members_add(own, n, err);
}

static int part(const struct member *m, const struct network_rule_list *rules, struct err *err)
{
	size_t n;
	CLEANUP_FREE struct policy_member *all = elements_of(m, rules, true, &n);
	return firewall_members_remove(all, n, err);
}

/* ---- networks ---- */

struct compiled {
	struct network_rule_list rules;
	struct policy_rule *list;
	char name[POLICY_NAME_SIZE];
	struct policy policy;
};

static void compiled_done(struct compiled *c)
{
	network_rule_list_done(&c->rules);
	free(c->list);
}

static int compile_network(struct engine *engine, const struct network *n, struct compiled *ret, struct err *err)
{
	int r = network_rules_read(engine, n->name, &ret->rules, err);
	if (r == 0)
		r = compile(&ret->rules, &ret->list, err);
	ret->policy = (struct policy){ policy_name(n->id, ret->name), n->bridge, ret->list, ret->rules.n, n->vlan != 0 };
	return r;
}

int network_policy_apply(struct engine *engine, const struct network *n, struct err *err)
{
	CLEANUP(compiled_done) struct compiled c = { 0 };
	CLEANUP_MEMBERS struct members members = { 0 };
	int r = compile_network(engine, n, &c, err);
	if (r == 0)
		r = firewall_policy_set(&c.policy, err);
	if (r == 0)
		r = read_members(engine, NULL, n->name, &members, err);
	for (size_t i = 0; r == 0 && i < members.n; i++)
		r = join(&members.v[i], &c.rules, err);
	return r;
}

/* As net_bridge.h names the port. */
static char *uplink_of(const struct network *n)
{
	return str_printf("%s.%d", n->parent, n->vlan);
}

int network_policy_ensure(struct engine *engine, const struct network *n, struct err *err)
{
	char name[POLICY_NAME_SIZE];
	if (!n->is_isolated || n->driver != DRIVER_BRIDGE)
		return 0;
	int r = firewall_policy_is_there(policy_name(n->id, name), err);
	if (r == 0)
		r = network_policy_apply(engine, n, err);
	if (r < 0 || !n->vlan)
		return r < 0 ? r : 0;
	CLEANUP_FREE char *port = uplink_of(n);
	return firewall_uplink_ensure(name, n->bridge, port, err);
}

int network_policy_clear(struct engine *engine, const struct network *n, struct err *err)
{
	char name[POLICY_NAME_SIZE];
	(void)engine;
	if (!n->is_isolated || n->driver != DRIVER_BRIDGE || !n->bridge[0])
		return 0;
	policy_name(n->id, name);
	CLEANUP_FREE char *port = n->vlan ? uplink_of(n) : NULL;
	int r = port ? firewall_uplink_clear(name, port, err) : 0;
	return r < 0 ? r : firewall_policy_clear(name, n->bridge, err);
}

/* ---- containers ---- */

/* A container's chain. */
static void egress_name(const char *container, char out[POLICY_NAME_SIZE])
{
	snprintf(out, POLICY_NAME_SIZE, "c%.12s", container);
}

static int compile_egress(const struct strv *egress, struct policy_rule **ret, struct err *err)
{
	CLEANUP_FREE struct policy_rule *list = mem_calloc(egress->n + 1, sizeof(*list));
	for (size_t i = 0; i < egress->n; i++) {
		struct egress e;
		int r = egress_parse(egress->v[i], &e, err);
		if (r < 0)
			return r;
		list[i] = (struct policy_rule){ .from.kind = POLICY_ANY, .to = { e.name[0] ? POLICY_NAME : POLICY_ADDRESS, e.address },
						.port_first = e.port_first, .port_last = e.port_last, .allow = true };
		memcpy(list[i].protocol, e.protocol, sizeof(e.protocol));
	}
	*ret = TAKE_PTR(list);
	return 0;
}

/* Of all of a container's endpoints; the caller frees. */
static struct ip_address *all_addresses(const struct members *m, size_t *ret_n)
{
	struct ip_address *list = mem_calloc(2 * m->n + 1, sizeof(*list));
	*ret_n = 0;
	for (size_t i = 0; i < m->n; i++)
		for (size_t k = 0; k < m->v[i].addresses_n; k++)
			list[(*ret_n)++] = m->v[i].addresses[k];
	return list;
}

static int64_t policies_of(const struct member *m, const struct container_config *config)
{
	return (m->is_isolated ? ENDPOINT_ISOLATED : 0) | (config->egress.n ? ENDPOINT_EGRESS : 0) |
	       (config->network_rate_in || config->network_rate_out ? ENDPOINT_RATE : 0);
}

static int record(struct engine *engine, const char *container, const struct member *m, int64_t policies, struct err *err)
{
	int r = db_run(engine->db, err, "UPDATE endpoints SET policies = ? WHERE container = ? AND network = ?", "iss", policies, container,
		       m->network);
	return r < 0 ? r : 0;
}

static int enter_one(struct engine *engine, const struct member *m, struct err *err)
{
	CLEANUP_RULES struct network_rule_list rules = { 0 };
	int r = firewall_guard(m->host_name, m->addresses, m->addresses_n, err);
	if (r == 0)
		r = firewall_admitted_forget(m->addresses, m->addresses_n, err);
	if (r < 0 || !m->is_isolated)
		return r;
	r = network_rules_read(engine, m->network, &rules, err);
	return r < 0 ? r : join(m, &rules, err);
}

int network_policies_enter(struct engine *engine, struct container *c, struct err *err)
{
	CLEANUP_MEMBERS struct members members = { 0 };
	CLEANUP_FREE struct policy_rule *egress = NULL;
	int64_t any = 0;
	int r = read_members(engine, c->id, NULL, &members, err);
	for (size_t i = 0; r == 0 && i < members.n; i++) {
		int64_t policies = policies_of(&members.v[i], c->config);
		any |= policies;
		if (policies != members.v[i].policies)
			r = record(engine, c->id, &members.v[i], policies, err);
	}
	if (r < 0 || !any)
		return r;
	r = FAULT("policy.recorded");
	for (size_t i = 0; r == 0 && i < members.n; i++)
		if (policies_of(&members.v[i], c->config) & (ENDPOINT_ISOLATED | ENDPOINT_EGRESS))
			r = enter_one(engine, &members.v[i], err);
	if (r < 0 || !(any & ENDPOINT_EGRESS))
		return r;
	size_t n;
	char name[POLICY_NAME_SIZE];
	CLEANUP_FREE struct ip_address *addresses = all_addresses(&members, &n);
	egress_name(c->id, name);
	r = compile_egress(&c->config->egress, &egress, err);
	if (r == 0)
		r = firewall_egress_set(&(struct policy){ .name = name, .rules = egress, .rules_n = c->config->egress.n }, addresses, n, err);
	return r < 0 ? r : FAULT("policy.entered");
}

static int leave_one(struct engine *engine, const char *container, const struct member *m, struct err *err)
{
	CLEANUP_RULES struct network_rule_list rules = { 0 };
	int r = 0;
	if (m->policies & ENDPOINT_ISOLATED) {
		r = network_rules_read(engine, m->network, &rules, err);
		if (r == 0)
			r = part(m, &rules, err);
	}
	if (r == 0 && (m->policies & (ENDPOINT_ISOLATED | ENDPOINT_EGRESS)))
		r = firewall_unguard(m->host_name, m->addresses, m->addresses_n, err);
	if (r == 0 && (m->policies & (ENDPOINT_ISOLATED | ENDPOINT_EGRESS)))
		r = firewall_admitted_forget(m->addresses, m->addresses_n, err);
	if (r == 0 && (m->policies & ENDPOINT_EGRESS))
		r = firewall_egress_drop(m->addresses, m->addresses_n, err);
	if (r == 0 && (m->policies & (ENDPOINT_RATE | ENDPOINT_RATE_CHANGING)))
		r = net_rate_forget(m->host_name, err);
	return r < 0 ? r : record(engine, container, m, 0, err);
}

int network_policies_leave(struct engine *engine, const char *container, const char *network, struct err *err)
{
	CLEANUP_MEMBERS struct members members = { 0 };
	int64_t one;
	int64_t any = 0;
	char name[POLICY_NAME_SIZE];
	int r = db_query_i64(engine->db, &one, err, "SELECT 1 FROM endpoints WHERE container = ? AND policies <> 0 LIMIT 1", "s", container);
	if (r <= 0)
		return r;
	r = read_members(engine, container, network, &members, err);
	for (size_t i = 0; r == 0 && i < members.n; i++) {
		any |= members.v[i].policies;
		r = leave_one(engine, container, &members.v[i], err);
	}
	if (r < 0 || !(any & ENDPOINT_EGRESS))
		return r;
	/* The chain goes with the last address. */
	r = db_query_i64(engine->db, &one, err, "SELECT 1 FROM endpoints WHERE container = ? AND policies & 2 LIMIT 1", "s", container);
	egress_name(container, name);
	return r < 0 ? r : r > 0 ? 0 : firewall_egress_clear(name, err);
}

/* ---- recovery ---- */

int network_policies_restore(struct engine *engine, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	CLEANUP_STRV struct strv ids = { 0 };
	int r = db_query(engine->db, &row, err, "SELECT DISTINCT container FROM endpoints WHERE policies & 3", "");
	while (r >= 0 && (r = db_next(row, err)) > 0)
		strv_add(&ids, db_text(row, 0));
	for (size_t i = 0; r >= 0 && i < ids.n; i++) {
		CLEANUP_CONTAINER struct container *c = NULL;
		r = container_find(engine, ids.v[i], &c, err);
		if (r == 0)
			r = container_load_config(c, err);
		if (r == 0)
			r = network_policies_enter(engine, c, err);
	}
	return r < 0 ? r : 0;
}

int network_policy_recover(struct engine *engine, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	CLEANUP_STRV struct strv names = { 0 };
	int r = db_query(engine->db, &row, err, "SELECT name FROM networks WHERE rules_changing <> 0", "");
	while (r >= 0 && (r = db_next(row, err)) > 0)
		strv_add(&names, db_text(row, 0));
	for (size_t i = 0; r >= 0 && i < names.n; i++) {
		CLEANUP_NETWORK struct network *n = NULL;
		r = network_get(engine, names.v[i], &n, err);
		if (r > 0)
			r = network_policy_apply(engine, n, err);
		if (r >= 0)
			r = db_run(engine->db, err, "UPDATE networks SET rules_changing = 0 WHERE name = ?", "s", names.v[i]);
	}
	return r < 0 ? r : 0;
}
