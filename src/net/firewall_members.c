/* SPDX-License-Identifier: Apache-2.0 */
/* The elements of policies: members, own addresses, admitted names, refusals. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "firewall.h"
#include "firewall_policy.h"
#include "netlink.h"
#include "str.h"

#define REFUSED_MS 3600000u /* the timeout of the sets */
#define IFNAME_SIZE 16

static size_t address_len(const struct ip_address *a)
{
	return a->family == AF_INET ? 4 : 16;
}

/* One by one when they are not all there. */
static int remove_each(int sock, const struct nft_table *table, const struct nft_element *elements, size_t n)
{
	if (nft_change_elements(sock, table, elements, n, false) == 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		int r = nft_change_elements(sock, table, &elements[i], 1, false);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

static int change(const struct nft_table *table, const struct nft_element *elements, size_t n, bool add, struct err *err)
{
	CLEANUP_FD int sock = -1;
	if (n == 0)
		return 0;
	int r = nl_open(NETLINK_NETFILTER, &sock);
	if (r == 0)
		r = add ? nft_change_elements(sock, table, elements, n, true) : remove_each(sock, table, elements, n);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "change the members of a network's rules") : 0;
}

static int change_members(const struct policy_member *members, size_t n, bool add, struct err *err)
{
	CLEANUP_FREE struct nft_element *elements = mem_calloc(n + 1, sizeof(*elements));
	for (size_t i = 0; i < n; i++) {
		elements[i].set = members[i].set;
		nft_put_part(elements[i].key, &elements[i].key_len, members[i].address.bytes, address_len(&members[i].address));
	}
	return change(&firewall_table, elements, n, add, err);
}

int firewall_members_add(const struct policy_member *members, size_t n, struct err *err)
{
	return change_members(members, n, true, err);
}

int firewall_members_remove(const struct policy_member *members, size_t n, struct err *err)
{
	return change_members(members, n, false, err);
}

/* Whoever has a policy speaks only with its own address. Made when the first has
 * one: every frame of every bridge of the host goes by its hook. Made twice at the
 * same time it has its rules twice, which changes nothing. */
static const char guard_script[] =
	"table bridge hull {\n"
	"	set guarded { type ifname; }\n"
	"	set own4 { type ifname . ipv4_addr; }\n"
	"	set own6 { type ifname . ipv6_addr; }\n"
	"	set taken4 { type ipv4_addr; }\n"
	"	set taken6 { type ipv6_addr; }\n"
	"	set ports { type ifname; }\n"
	"	map uplinks { type ifname : verdict; }\n"
	"	chain neighbours {\n"
	"		ether type arp accept\n"
	"		ether type ip6 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n"
	"	}\n"
	"	chain leave {\n"
	"		jump neighbours\n"
	"		drop\n"
	"	}\n"
	"	chain forward {\n"
	"		type filter hook forward priority -300; policy accept;\n"
	"		oifname @ports jump leave\n"
	"	}\n"
	"	chain prerouting {\n"
	"		type filter hook prerouting priority -300; policy accept;\n"
	"		iifname @guarded jump check\n"
	"		iifname vmap @uplinks\n"
	"	}\n"
	"	chain check {\n"
	"		ether type ip iifname . ip saddr @own4 accept\n"
	"		ether type arp iifname . arp saddr ip @own4 accept\n"
	"		ether type ip6 iifname . ip6 saddr @own6 accept\n"
	"		ether type ip6 ip6 saddr { ::, fe80::/10 } icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert,"
	" nd-router-solicit, mld-listener-report, mld2-listener-report } accept\n"
	"		drop\n"
	"	}\n"
	"}\n";

int firewall_guard_ensure(struct err *err)
{
	CLEANUP_FD int sock = -1;
	int r = nl_open(NETLINK_NETFILTER, &sock);
	if (r == 0)
		r = nft_has_set(sock, &firewall_bridge_table, "taken6");
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "look for the table of bridges");
	return r ? 0 : nft_run(guard_script, err);
}

static int change_guard(const char *host_name, const struct ip_address *addresses, size_t n, bool add, struct err *err)
{
	CLEANUP_FREE struct nft_element *elements = mem_calloc(2 * n + 1, sizeof(*elements));
	char name[IFNAME_SIZE] = "";
	if (str_copy(name, sizeof(name), host_name) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid link name %s", host_name);
	elements[0].set = "guarded";
	nft_put_part(elements[0].key, &elements[0].key_len, name, sizeof(name));
	for (size_t i = 0; i < n; i++) {
		struct nft_element *e = &elements[i + 1];
		e->set = addresses[i].family == AF_INET ? "own4" : "own6";
		nft_put_part(e->key, &e->key_len, name, sizeof(name));
		nft_put_part(e->key, &e->key_len, addresses[i].bytes, address_len(&addresses[i]));
		e += n;
		e->set = addresses[i].family == AF_INET ? "taken4" : "taken6";
		nft_put_part(e->key, &e->key_len, addresses[i].bytes, address_len(&addresses[i]));
	}
	return change(&firewall_bridge_table, elements, 2 * n + 1, add, err);
}

int firewall_guard(const char *host_name, const struct ip_address *addresses, size_t n, struct err *err)
{
	int r = firewall_guard_ensure(err);
	return r < 0 ? r : change_guard(host_name, addresses, n, true, err);
}

int firewall_unguard(const char *host_name, const struct ip_address *addresses, size_t n, struct err *err)
{
	return change_guard(host_name, addresses, n, false, err);
}

int firewall_admit(int sock, const struct admission *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct admission *a = &list[i];
		uint16_t port = htons(a->port);
		struct nft_element e = { .set = a->to.family == AF_INET ? "named4" : "named6",
					 .timeout_ms = (a->ttl_s ? a->ttl_s : 1) * (uint64_t)1000 };
		if (a->from.family != a->to.family)
			continue;
		nft_put_part(e.key, &e.key_len, a->from.bytes, address_len(&a->from));
		nft_put_part(e.key, &e.key_len, a->to.bytes, address_len(&a->to));
		nft_put_part(e.key, &e.key_len, &a->protocol, 1);
		nft_put_part(e.key, &e.key_len, &port, 2);
		int r = nft_renew_element(sock, &firewall_table, &e);
		if (r < 0)
			return r;
	}
	return 0;
}

struct admitted {
	const struct ip_address *address;
	struct nft_element *list;
	size_t n;
};

static int take_admitted(const struct nft_found *found, void *arg)
{
	struct admitted *a = arg;
	size_t len = address_len(a->address);
	if (found->key_len > NFT_KEY_MAX || found->key_len < len || memcmp(found->key, a->address->bytes, len) != 0)
		return 0;
	a->list = reallocarray(a->list, a->n + 1, sizeof(*a->list));
	if (!a->list)
		abort();
	struct nft_element *e = &a->list[a->n++];
	*e = (struct nft_element){ .set = len == 4 ? "named4" : "named6", .key_len = found->key_len };
	memcpy(e->key, found->key, found->key_len);
	return 0;
}

int firewall_admitted_forget(const struct ip_address *addresses, size_t n, struct err *err)
{
	CLEANUP_FD int sock = -1;
	int r = n ? nl_open(NETLINK_NETFILTER, &sock) : 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		struct admitted a = { .address = &addresses[i] };
		r = nft_visit_elements(sock, &firewall_table, addresses[i].family == AF_INET ? "named4" : "named6", take_admitted, &a);
		if (r == 0 && a.n)
			r = remove_each(sock, &firewall_table, a.list, a.n);
		free(a.list);
		if (r == -ENOENT)
			r = 0;
	}
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "forget the names that were told") : 0;
}

int firewall_egress_drop(const struct ip_address *addresses, size_t n, struct err *err)
{
	CLEANUP_FREE struct nft_element *elements = mem_calloc(n + 1, sizeof(*elements));
	for (size_t i = 0; i < n; i++) {
		elements[i].set = addresses[i].family == AF_INET ? "egress4" : "egress6";
		nft_put_part(elements[i].key, &elements[i].key_len, addresses[i].bytes, address_len(&addresses[i]));
	}
	return change(&firewall_table, elements, n, false, err);
}

/* ---- what was refused ---- */

struct refused_visit {
	int (*visit)(const struct refusal *refusal, void *arg);
	void *arg;
	int family;
	bool has_port;
};

static int take_refused(const struct nft_found *found, void *arg)
{
	const struct refused_visit *v = arg;
	size_t len = v->family == AF_INET ? 4 : 16;
	uint8_t prefix = v->family == AF_INET ? 32 : 128;
	struct refusal r = { .from = { .family = v->family, .prefix = prefix }, .to = { .family = v->family, .prefix = prefix },
			     .packets = found->packets };
	if (found->key_len != 2 * len + 4 + (v->has_port ? 4 : 0))
		return -EBADMSG;
	memcpy(r.from.bytes, found->key, len);
	memcpy(r.to.bytes, found->key + len, len);
	r.protocol = found->key[2 * len];
	if (v->has_port) {
		memcpy(&r.port, found->key + 2 * len + 4, 2);
		r.port = ntohs(r.port);
	}
	r.ago_ms = found->expires_ms < REFUSED_MS ? REFUSED_MS - found->expires_ms : 0;
	return v->visit(&r, v->arg);
}

int firewall_visit_refused(int (*visit)(const struct refusal *refusal, void *arg), void *arg, struct err *err)
{
	static const char *const sets[] = { "refused4", "refused6", "refused4_other", "refused6_other" };
	CLEANUP_FD int sock = -1;
	int r = nl_open(NETLINK_NETFILTER, &sock);
	for (size_t i = 0; i < ARRAY_LEN(sets) && r == 0; i++) {
		struct refused_visit v = { visit, arg, i % 2 ? AF_INET6 : AF_INET, i < 2 };
		r = nft_visit_elements(sock, &firewall_table, sets[i], take_refused, &v);
		/* No network has been made yet, or the table is of before. */
		if (r == -ENOENT)
			r = 0;
	}
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "read what was refused") : r;
}
