/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of isolated networks as users know them: recorded, in order of their
 * number, and put into the firewall (network_policy.h). */
#pragma once

#include "network_rows.h"

/* An end is "any", "host", "outside", "container:NAME", "label:KEY[=VALUE]",
 * "address:CIDR" or "name:DNS-NAME". */
struct network_rule {
	int64_t id;
	char *network, *from, *to;
	char protocol[8]; /* empty: any */
	uint16_t port_first, port_last; /* 0: any */
	bool allow;
};
void network_rules_free(struct network_rule *list, size_t n);
struct network_rule_list {
	struct network_rule *v;
	size_t n;
};
static inline void network_rule_list_done(struct network_rule_list *l)
{
	network_rules_free(l->v, l->n);
}
#define CLEANUP_RULES CLEANUP(network_rule_list_done)

/* Of one network. */
int network_rules_read(struct engine *engine, const char *network, struct network_rule_list *ret, struct err *err) MUST_CHECK;
/* "5432", "8000-8010", "" */
char *network_rule_ports(const struct network_rule *rule);

/* Whether the end is that container, by name or label. */
bool network_rule_means(const char *end, const char *name, const struct strv *labels);

/* What a user says; NULL is not said. @egress ("api.example.com:443") takes the
 * place of @to, @port and @protocol. */
struct network_rule_new {
	const char *from, *to, *egress, *port, *protocol;
	bool allow;
};
/* From now on, also for what runs. ERR_INVALID, ERR_NOT_FOUND; ERR_CONFLICT for a
 * network that is not isolated. */
int network_rule_add(struct engine *engine, const char *network, const struct network_rule_new *wanted, int64_t *ret_id,
		     struct err *err) MUST_CHECK;
int network_rule_remove(struct engine *engine, const char *network, int64_t id, struct err *err) MUST_CHECK;
