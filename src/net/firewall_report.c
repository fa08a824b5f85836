/* SPDX-License-Identifier: Apache-2.0 */
#include "firewall_report.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "firewall.h"
#include "netlink.h"
#include "str.h"

struct reading {
	struct firewall_report *report;
	int sock, family;
	bool has_address;
	/* Ports of every IPv4 address, so that those of IPv6 are not told again. */
	uint8_t seen[3][65536 / 8];
};

static int protocol_index(uint8_t protocol)
{
	return protocol == IPPROTO_TCP ? 0 : protocol == IPPROTO_UDP ? 1 : 2;
}

static void append(struct firewall_report *report, const char *text)
{
	size_t len = strlen(report->open);
	report->open_n++;
	if (len + strlen(text) + sizeof(", ...") < sizeof(report->open))
		snprintf(report->open + len, sizeof(report->open) - len, "%s%s", len ? ", " : "", text);
	else if (!str_ends_with(report->open, "..."))
		snprintf(report->open + len, sizeof(report->open) - len, ", ...");
}

static int take_open(const struct nft_found *found, void *arg)
{
	static const char *const protocols[] = { "tcp", "udp", "sctp" };
	struct reading *r = arg;
	size_t address_len = !r->has_address ? 0 : r->family == AF_INET ? 4 : 16;
	char address[INET6_ADDRSTRLEN] = "", text[80];
	uint16_t port;
	if (found->key_len != address_len + 8)
		return -EBADMSG;
	int protocol = protocol_index(found->key[address_len]);
	memcpy(&port, found->key + address_len + 4, sizeof(port));
	port = ntohs(port);
	if (!address_len) {
		bool is_known = r->seen[protocol][port / 8] >> port % 8 & 1;
		r->seen[protocol][port / 8] |= (uint8_t)(1u << port % 8);
		if (is_known)
			return 0;
	}
	if (address_len && !inet_ntop(r->family, found->key, address, sizeof(address)))
		return -EBADMSG;
	snprintf(text, sizeof(text), address_len == 16 ? "[%s]:%u/%s" : address_len ? "%s:%u/%s" : "%s%u/%s", address, port,
		 protocols[protocol]);
	append(r->report, text);
	return 0;
}

static int take_last(const struct nft_rule *rule, void *arg)
{
	*(bool *)arg = rule->refuses_all;
	return 0;
}

static int take_chain(const struct nft_chain *c, void *arg)
{
	struct firewall_report *report = arg;
	bool is_ours = str_eq(c->table, "hull") || str_eq(c->table, "hull-gate");
	if (c->hook != NF_INET_LOCAL_IN || is_ours || report->refuses[0] || c->family == NFPROTO_BRIDGE || c->family == NFPROTO_ARP)
		return 0;
	/* Asked by another socket: this one is in the middle of an answer. */
	CLEANUP_FD int sock = -1;
	const struct nft_table table = { c->family, c->table };
	bool refuses_at_end = false;
	int r = nl_open(NETLINK_NETFILTER, &sock);
	if (r == 0)
		r = nft_visit_rules(sock, &table, c->name, take_last, &refuses_at_end);
	if (r == 0 && (c->drops || refuses_at_end))
		snprintf(report->refuses, sizeof(report->refuses), "%s %.60s %.60s",
			 c->family == NFPROTO_IPV4 ? "ip" : c->family == NFPROTO_IPV6 ? "ip6" : "inet", c->table, c->name);
	return r;
}

int firewall_report(struct firewall_report *ret, struct err *err)
{
	static const char *const sets[] = { "open4", "open4_addr", "open6", "open6_addr",
					   "proxied4", "proxied4_addr", "proxied6", "proxied6_addr" };
	CLEANUP_FREE struct reading *reading = mem_calloc(1, sizeof(*reading));
	CLEANUP_FD int sock = -1;
	*ret = (struct firewall_report){ .open_n = 0 };
	reading->report = ret;
	int r = nl_open(NETLINK_NETFILTER, &sock);
	for (size_t i = 0; i < ARRAY_LEN(sets) && r == 0; i++) {
		reading->family = i % 4 < 2 ? AF_INET : AF_INET6;
		reading->has_address = i % 2;
		r = nft_visit_elements(sock, &firewall_table, sets[i], take_open, reading);
		if (r == -ENOENT)
			r = 0;
	}
	if (r == 0)
		r = nft_visit_base_chains(sock, take_chain, ret);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "read the host's firewall") : 0;
}
