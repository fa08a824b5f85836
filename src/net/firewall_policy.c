/* SPDX-License-Identifier: Apache-2.0 */
#include "firewall_policy.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "buf.h"
#include "firewall.h"
#include "netlink.h"
#include "str.h"

#define SCRIPT_MAX (1u << 20)
static const int families[] = { AF_INET, AF_INET6 };

static const char *ip_word(int family)
{
	return family == AF_INET ? "ip" : "ip6";
}

const char *firewall_member_set(const char *policy, int64_t rule, char side, int family, char out[MEMBER_SET_SIZE])
{
	snprintf(out, MEMBER_SET_SIZE, "%s_%lld%c%c", policy, (long long)rule, side, family == AF_INET ? '4' : '6');
	return out;
}

/* ---- one rule ---- */

static int put_end(struct buf *s, const struct policy *p, const struct policy_rule *r, char side, int family)
{
	const struct policy_end *end = side == 'f' ? &r->from : &r->to;
	const char *word = side == 'f' ? "saddr" : "daddr";
	char text[IP_TEXT_SIZE], set[MEMBER_SET_SIZE];
	switch (end->kind) {
	case POLICY_MEMBERS:
		return buf_printf(s, " %s %s @%s", ip_word(family), word, firewall_member_set(p->name, r->id, side, family, set));
	case POLICY_ADDRESS:
		return buf_printf(s, " %s %s %s", ip_word(family), word, ip_format(&end->address, text));
	case POLICY_NAME:
		return buf_printf(s, " %s saddr . %s daddr . meta l4proto . th dport @named%c", ip_word(family), ip_word(family),
				  family == AF_INET ? '4' : '6');
	default:
		return 0;
	}
}

static int put_service(struct buf *s, const struct policy_rule *r, int family)
{
	const char *protocol = r->protocol[0] ? r->protocol : r->port_first ? "tcp" : "";
	if (str_eq(protocol, "icmp"))
		protocol = family == AF_INET ? "icmp" : "ipv6-icmp";
	int e = protocol[0] ? buf_printf(s, " meta l4proto %s", protocol) : 0;
	if (e < 0 || !r->port_first)
		return e;
	if (r->port_last > r->port_first)
		return buf_printf(s, " th dport %u-%u", r->port_first, r->port_last);
	return buf_printf(s, " th dport %u", r->port_first);
}

static bool is_of_family(const struct policy_end *end, int family)
{
	return end->kind != POLICY_ADDRESS || end->address.family == family;
}

/* A line for each family that the rule is for. @links is "iifname ..." or "". */
static int put_rule(struct buf *s, const char *chain, const char *links, const struct policy *p, const struct policy_rule *r,
		    const char *verdict)
{
	int e = 0;
	for (size_t i = 0; i < ARRAY_LEN(families) && e == 0; i++) {
		int family = families[i];
		if (!is_of_family(&r->from, family) || !is_of_family(&r->to, family))
			continue;
		e = buf_printf(s, "add rule inet hull %s_%s%s meta nfproto %s", p->name, chain, links,
			       family == AF_INET ? "ipv4" : "ipv6");
		if (e == 0)
			e = put_end(s, p, r, 'f', family);
		if (e == 0)
			e = put_end(s, p, r, 't', family);
		if (e == 0)
			e = put_service(s, r, family);
		if (e == 0)
			e = buf_printf(s, " %s\n", verdict);
	}
	return e;
}

static bool is_inside(const struct policy_end *end)
{
	return end->kind == POLICY_MEMBERS || end->kind == POLICY_ANY;
}

static bool is_outside(const struct policy_end *end)
{
	return end->kind == POLICY_OUTSIDE || end->kind == POLICY_ADDRESS || end->kind == POLICY_NAME || end->kind == POLICY_ANY;
}

static bool is_host(const struct policy_end *end)
{
	return end->kind == POLICY_HOST || end->kind == POLICY_ANY;
}

/* What an allowed packet does next: one that leaves the network still has to pass
 * the egress rules of who sends it, one that comes in is done. */
static int put_network_rule(struct buf *s, const struct policy *p, const struct policy_rule *r)
{
	char both[64], out[64], in[64];
	const char *allowed = r->allow ? "return" : "jump refuse", *let_in = r->allow ? "accept" : "jump refuse";
	snprintf(both, sizeof(both), " iifname \"%s\" oifname \"%s\"", p->bridge, p->bridge);
	snprintf(out, sizeof(out), " iifname \"%s\" oifname != \"%s\"", p->bridge, p->bridge);
	/* Other networks are not outside: no rule joins two. */
	snprintf(in, sizeof(in), " iifname != @bridges oifname \"%s\"", p->bridge);
	int e = 0;
	/* A machine of the bridge's VLAN is on no other link than the members. */
	bool is_beside = p->has_uplink && ((is_inside(&r->from) && r->to.kind == POLICY_ADDRESS) ||
					   (r->from.kind == POLICY_ADDRESS && is_inside(&r->to)));
	if ((is_inside(&r->from) && is_inside(&r->to)) || is_beside)
		e = put_rule(s, "forward", both, p, r, allowed);
	if (e == 0 && is_inside(&r->from) && is_outside(&r->to))
		e = put_rule(s, "forward", out, p, r, allowed);
	if (e == 0 && is_outside(&r->from) && is_inside(&r->to))
		e = put_rule(s, "forward", in, p, r, let_in);
	if (e == 0 && is_inside(&r->from) && is_host(&r->to))
		e = put_rule(s, "incoming", "", p, r, allowed);
	if (e == 0 && is_host(&r->from) && is_inside(&r->to))
		e = put_rule(s, "outgoing", "", p, r, allowed);
	return e;
}

/* ---- a network ---- */

static const char *const chains[] = { "forward", "incoming", "outgoing" };

static bool has_members(const struct policy_rule *r, char side)
{
	return (side == 'f' ? r->from.kind : r->to.kind) == POLICY_MEMBERS;
}

static int put_sets(struct buf *s, const struct policy *p)
{
	char set[MEMBER_SET_SIZE];
	int e = 0;
	for (size_t i = 0; i < p->rules_n; i++)
		for (size_t k = 0; k < 4 && e == 0; k++) {
			char side = k < 2 ? 'f' : 't';
			int family = families[k % 2];
			if (has_members(&p->rules[i], side))
				e = buf_printf(s, "add set inet hull %s { type %s; }\n",
					       firewall_member_set(p->name, p->rules[i].id, side, family, set),
					       family == AF_INET ? "ipv4_addr" : "ipv6_addr");
		}
	return e;
}

static bool is_used(const struct policy *p, const char *name)
{
	char set[MEMBER_SET_SIZE];
	for (size_t i = 0; i < p->rules_n; i++)
		for (size_t k = 0; k < 4; k++) {
			char side = k < 2 ? 'f' : 't';
			firewall_member_set(p->name, p->rules[i].id, side, families[k % 2], set);
			if (has_members(&p->rules[i], side) && str_eq(set, name))
				return true;
		}
	return false;
}

struct stale {
	struct buf *script;
	const struct policy *policy;
	char marker[MEMBER_SET_SIZE];
};

static int put_stale(const char *name, void *arg)
{
	const struct stale *stale = arg;
	size_t prefix = strlen(stale->policy->name);
	if (strncmp(name, stale->policy->name, prefix) != 0 || name[prefix] != '_' || str_eq(name, stale->marker) ||
	    is_used(stale->policy, name))
		return 0;
	return buf_printf(stale->script, "delete set inet hull %s\n", name);
}

/* The sets of rules that were there before; no chain names them any more. */
static int put_stale_sets(struct buf *s, const struct policy *p)
{
	CLEANUP_FD int sock = -1;
	struct stale stale = { s, p, "" };
	snprintf(stale.marker, sizeof(stale.marker), "%s_policy", p->name);
	int e = nl_open(NETLINK_NETFILTER, &sock);
	return e < 0 ? e : nft_visit_sets(sock, &firewall_table, put_stale, &stale);
}

static int put_network(struct buf *s, const struct policy *p)
{
	int e = buf_printf(s, "add set inet hull %s_policy { type ifname; }\n", p->name);
	if (e == 0)
		e = put_sets(s, p);
	for (size_t i = 0; i < ARRAY_LEN(chains) && e == 0; i++)
		e = buf_printf(s, "add chain inet hull %s_%s\nflush chain inet hull %s_%s\n", p->name, chains[i], p->name, chains[i]);
	if (e == 0)
		e = put_stale_sets(s, p);
	/* "This way is shorter" is not what an isolated workload should hear. */
	if (e == 0)
		e = buf_printf(s, "add rule inet hull %s_outgoing icmp type redirect drop\n"
			       "add rule inet hull %s_outgoing icmpv6 type nd-redirect drop\n", p->name, p->name);
	/* To publish a port is to allow it from outside; a workload that comes by it
	 * is still one of the network's own. */
	if (e == 0)
		e = buf_printf(s, "add rule inet hull %s_forward iifname != \"%s\" ct status dnat accept\n", p->name, p->bridge);
	for (size_t i = 0; i < p->rules_n && e == 0; i++)
		e = put_network_rule(s, p, &p->rules[i]);
	for (size_t i = 0; i < ARRAY_LEN(chains) && e == 0; i++)
		e = buf_printf(s, "add rule inet hull %s_%s jump refuse\nadd element inet hull policies_%s { \"%s\" : jump %s_%s }\n", p->name,
			       chains[i], chains[i], p->bridge, p->name, chains[i]);
	return e;
}

static int run(const struct buf *script, int e, struct err *err)
{
	if (e < 0)
		return err_set(err, ERR_SYSTEM, e, "write the rules of a network");
	return nft_run(buf_str(script), err);
}

int firewall_policy_set(const struct policy *policy, struct err *err)
{
	CLEANUP_BUF struct buf script = BUF_INIT(SCRIPT_MAX);
	return run(&script, put_network(&script, policy), err);
}

int firewall_policy_clear(const char *name, const char *bridge, struct err *err)
{
	CLEANUP_BUF struct buf script = BUF_INIT(SCRIPT_MAX);
	const struct policy none = { .name = name, .bridge = bridge };
	int there = firewall_is_there(err);
	if (there <= 0)
		return there;
	/* Made first, so that deleting what is not there cannot fail. */
	int e = put_network(&script, &none);
	for (size_t i = 0; i < ARRAY_LEN(chains) && e == 0; i++)
		e = buf_printf(&script, "delete element inet hull policies_%s { \"%s\" : jump %s_%s }\nflush chain inet hull %s_%s\n"
			       "delete chain inet hull %s_%s\n", chains[i], bridge, name, chains[i], name, chains[i], name, chains[i]);
	if (e == 0)
		e = buf_printf(&script, "delete set inet hull %s_policy\n", name);
	return run(&script, e, err);
}

int firewall_policy_is_there(const char *name, struct err *err)
{
	CLEANUP_FD int sock = -1;
	char set[MEMBER_SET_SIZE];
	snprintf(set, sizeof(set), "%s_policy", name);
	int r = nl_open(NETLINK_NETFILTER, &sock);
	if (r == 0)
		r = nft_has_set(sock, &firewall_table, set);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "look for the rules of a network") : r;
}

/* ---- one workload ---- */

int firewall_egress_set(const struct policy *policy, const struct ip_address *addresses, size_t n, struct err *err)
{
	CLEANUP_BUF struct buf script = BUF_INIT(SCRIPT_MAX);
	char text[IP_TEXT_SIZE];
	int e = buf_printf(&script, "add chain inet hull %s_egress\nflush chain inet hull %s_egress\n", policy->name, policy->name);
	for (size_t i = 0; i < policy->rules_n && e == 0; i++)
		e = put_rule(&script, "egress", "", policy, &policy->rules[i], policy->rules[i].allow ? "return" : "jump refuse");
	if (e == 0)
		e = buf_printf(&script, "add rule inet hull %s_egress jump refuse\n", policy->name);
	for (size_t i = 0; i < n && e == 0; i++) {
		ip_format(&addresses[i], text);
		*strchrnul(text, '/') = '\0';
		e = buf_printf(&script, "add element inet hull egress%c { %s : jump %s_egress }\n",
			       addresses[i].family == AF_INET ? '4' : '6', text, policy->name);
	}
	return run(&script, e, err);
}

int firewall_egress_clear(const char *name, struct err *err)
{
	CLEANUP_BUF struct buf script = BUF_INIT(4096);
	int there = firewall_is_there(err);
	if (there <= 0)
		return there;
	return run(&script, buf_printf(&script, "add chain inet hull %s_egress\nflush chain inet hull %s_egress\n"
				       "delete chain inet hull %s_egress\n", name, name, name), err);
}
