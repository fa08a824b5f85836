/* SPDX-License-Identifier: Apache-2.0 */
/* The host's other firewalls, where they forward nothing that they do not know.
 *
 * A packet goes through the forward chains of all tables, and one drop is final:
 * no accept of hull's can lift it. Docker sets its forward policy to drop, ufw
 * does, firewalld ends with a reject; beside them no workload could leave the
 * host. So a chain that refuses everything by its policy or its last rule gets
 * two rules for each of hull's bridges right before that: whatever its owner
 * refuses by name is still refused, only "all the rest" is not. What may pass
 * between bridges and from outside is decided in hull's own table in any case.
 *
 * The rules are as iptables-nft writes "-i BRIDGE -j ACCEPT", so that iptables
 * can read its table. They go with the bridge; each start puts back what a
 * reload of the other firewall has removed. */
#include <linux/netfilter.h>
#include <string.h>

#include "firewall_parts.h"
#include "netlink.h"
#include "nft.h"
#include "str.h"

#define COMMENT "hull: "
#define CHAINS_MAX 16

struct chain {
	uint8_t family;
	char table[64], name[64];
	bool drops;
};

struct chains {
	struct chain list[CHAINS_MAX];
	size_t n;
};

static int take_chain(const struct nft_chain *c, void *arg)
{
	struct chains *chains = arg;
	if (c->hook != NF_INET_FORWARD || str_eq(c->table, "hull") || chains->n == CHAINS_MAX ||
	    (c->family != NFPROTO_INET && c->family != NFPROTO_IPV4 && c->family != NFPROTO_IPV6))
		return 0;
	struct chain *to = &chains->list[chains->n];
	*to = (struct chain){ .family = c->family, .drops = c->drops };
	/* Names longer than that, or that the script could not quote, are nobody's we know. */
	if (str_copy(to->table, sizeof(to->table), c->table) == 0 && str_copy(to->name, sizeof(to->name), c->name) == 0)
		chains->n++;
	return 0;
}

struct look {
	const char *bridge;     /* NULL: any */
	bool has_ours;
	uint64_t last;          /* handle of the last rule, 0: none */
	bool last_refuses_all;
	uint64_t ours[64];
	size_t ours_n;
};

static bool is_ours(const struct nft_rule *rule, const char *bridge)
{
	size_t prefix = strlen(COMMENT);
	if (rule->comment_len <= prefix || memcmp(rule->comment, COMMENT, prefix) != 0)
		return false;
	return !bridge || (rule->comment_len - prefix == strlen(bridge) && memcmp(rule->comment + prefix, bridge, strlen(bridge)) == 0);
}

static int take_rule(const struct nft_rule *rule, void *arg)
{
	struct look *look = arg;
	if (is_ours(rule, look->bridge)) {
		look->has_ours = true;
		if (look->ours_n < ARRAY_LEN(look->ours))
			look->ours[look->ours_n++] = rule->handle;
	}
	look->last = rule->handle;
	look->last_refuses_all = rule->refuses_all;
	return 0;
}

static const char *family_name(uint8_t family)
{
	return family == NFPROTO_IPV4 ? "ip" : family == NFPROTO_IPV6 ? "ip6" : "inet";
}

static int put_rules(const struct chain *c, const struct look *look, struct buf *script)
{
	static const char *const matches[] = { "iifname", "oifname" };
	int r = 0;
	for (size_t i = 0; i < ARRAY_LEN(matches) && r == 0; i++) {
		if (look->last_refuses_all)
			r = buf_printf(script, "insert rule %s %s %s handle %llu", family_name(c->family), c->table, c->name,
				       (unsigned long long)look->last);
		else
			r = buf_printf(script, "add rule %s %s %s", family_name(c->family), c->table, c->name);
		if (r == 0)
			r = buf_printf(script, " %s \"%s\" counter accept comment \"" COMMENT "%s\"\n", matches[i], look->bridge,
				       look->bridge);
	}
	return r;
}

static int list_chains(int *ret_sock, struct chains *chains, struct err *err)
{
	int r = nl_open(NETLINK_NETFILTER, ret_sock);
	if (r == 0)
		r = nft_visit_base_chains(*ret_sock, take_chain, chains);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "read the firewall's chains") : 0;
}

int foreign_ensure(const char *bridge, struct err *err)
{
	CLEANUP_FD int sock = -1;
	CLEANUP_BUF struct buf script = BUF_INIT(16384);
	struct chains chains = { .n = 0 };
	int r = list_chains(&sock, &chains, err);
	for (size_t i = 0; r == 0 && i < chains.n; i++) {
		const struct chain *c = &chains.list[i];
		struct look look = { .bridge = bridge };
		r = nft_visit_rules(sock, &(struct nft_table){ c->family, c->table }, c->name, take_rule, &look);
		if (r == 0 && !look.has_ours && (c->drops || look.last_refuses_all))
			r = put_rules(c, &look, &script);
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "read the firewall's rules");
	}
	return r == 0 && script.len ? nft_run(buf_str(&script), err) : r;
}

int foreign_forget(const char *bridge, struct err *err)
{
	CLEANUP_FD int sock = -1;
	struct chains chains = { .n = 0 };
	int r = list_chains(&sock, &chains, err);
	for (size_t i = 0; r == 0 && i < chains.n; i++) {
		const struct nft_table table = { chains.list[i].family, chains.list[i].table };
		struct look look = { .bridge = bridge };
		r = nft_visit_rules(sock, &table, chains.list[i].name, take_rule, &look);
		for (size_t k = 0; r == 0 && k < look.ours_n; k++) {
			r = nft_delete_rule(sock, &table, chains.list[i].name, look.ours[k]);
			if (r == -ENOENT)
				r = 0;
		}
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "take hull's rules out of the table %s", table.name);
	}
	return r;
}
