/* SPDX-License-Identifier: Apache-2.0 */
#include "port_rewrite.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <string.h>

#include "cleanup.h"
#include "netlink.h"

#define CHAIN "out"
/* Where the addresses are in an IPv4 header, and ports and sums behind it. */
#define IP_SOURCE 12
#define IP_DESTINATION 16
#define PORT_SOURCE 0
#define PORT_DESTINATION 2
#define SUM_UDP 6
#define SUM_TCP 16

static void message(struct nl_batch *b, int type, uint16_t flags)
{
	struct nfgenmsg *g = nl_message(b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, sizeof(*g));
	g->nfgen_family = NFPROTO_IPV4;
	g->version = NFNETLINK_V0;
}

static void mark(struct nl_batch *b, uint16_t type)
{
	struct nfgenmsg *g = nl_message_no_ack(b, type, 0, sizeof(*g));
	g->nfgen_family = AF_UNSPEC;
	g->version = NFNETLINK_V0;
	g->res_id = htons(NFNL_SUBSYS_NFTABLES);
}

struct expression {
	size_t element, data;
};

static struct expression begin(struct nl_batch *b, const char *name)
{
	struct expression e = { .element = nl_nest(b, NFTA_LIST_ELEM, 0) };
	nl_attr_str(b, NFTA_EXPR_NAME, name);
	e.data = nl_nest(b, NFTA_EXPR_DATA, 0);
	return e;
}

static void end(struct nl_batch *b, const struct expression *e)
{
	nl_nest_end(b, e->data);
	nl_nest_end(b, e->element);
}

static void put_value(struct nl_batch *b, uint16_t type, const void *value, size_t len)
{
	size_t nest = nl_nest(b, type, 0);
	nl_attr(b, NFTA_DATA_VALUE, value, len);
	nl_nest_end(b, nest);
}

static void put_place(struct nl_batch *b, uint32_t base, uint32_t offset, size_t len)
{
	nl_attr_u32_be(b, NFTA_PAYLOAD_BASE, base);
	nl_attr_u32_be(b, NFTA_PAYLOAD_OFFSET, offset);
	nl_attr_u32_be(b, NFTA_PAYLOAD_LEN, (uint32_t)len);
}

static void load(struct nl_batch *b, uint32_t base, uint32_t offset, size_t len)
{
	struct expression e = begin(b, "payload");
	nl_attr_u32_be(b, NFTA_PAYLOAD_DREG, NFT_REG_1);
	put_place(b, base, offset, len);
	end(b, &e);
}

static void require(struct nl_batch *b, const void *value, size_t len)
{
	struct expression e = begin(b, "cmp");
	nl_attr_u32_be(b, NFTA_CMP_SREG, NFT_REG_1);
	nl_attr_u32_be(b, NFTA_CMP_OP, NFT_CMP_EQ);
	put_value(b, NFTA_CMP_DATA, value, len);
	end(b, &e);
}

static void require_protocol(struct nl_batch *b, uint8_t protocol)
{
	struct expression e = begin(b, "meta");
	nl_attr_u32_be(b, NFTA_META_DREG, NFT_REG_1);
	nl_attr_u32_be(b, NFTA_META_KEY, NFT_META_L4PROTO);
	end(b, &e);
	require(b, &protocol, 1);
}

static void store_port(struct nl_batch *b, uint32_t offset, uint16_t port, uint8_t protocol)
{
	port = htons(port);
	struct expression e = begin(b, "immediate");
	nl_attr_u32_be(b, NFTA_IMMEDIATE_DREG, NFT_REG_1);
	put_value(b, NFTA_IMMEDIATE_DATA, &port, sizeof(port));
	end(b, &e);
	e = begin(b, "payload");
	nl_attr_u32_be(b, NFTA_PAYLOAD_SREG, NFT_REG_1);
	put_place(b, NFT_PAYLOAD_TRANSPORT_HEADER, offset, sizeof(port));
	nl_attr_u32_be(b, NFTA_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_INET);
	nl_attr_u32_be(b, NFTA_PAYLOAD_CSUM_OFFSET, protocol == IPPROTO_UDP ? SUM_UDP : SUM_TCP);
	end(b, &e);
}

/* What is sent with @address4 at @ip_offset and port @from there has port @to. */
static void put_rule(struct nl_batch *b, const char *table, uint32_t ip_offset, uint32_t port_offset, const uint8_t address4[4],
		     uint8_t protocol, uint16_t from, uint16_t to)
{
	message(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	nl_attr_str(b, NFTA_RULE_TABLE, table);
	nl_attr_str(b, NFTA_RULE_CHAIN, CHAIN);
	size_t list = nl_nest(b, NFTA_RULE_EXPRESSIONS, 0);
	load(b, NFT_PAYLOAD_NETWORK_HEADER, ip_offset, 4);
	require(b, address4, 4);
	require_protocol(b, protocol);
	from = htons(from);
	load(b, NFT_PAYLOAD_TRANSPORT_HEADER, port_offset, sizeof(from));
	require(b, &from, sizeof(from));
	store_port(b, port_offset, to, protocol);
	nl_nest_end(b, list);
}

static void put_chain(struct nl_batch *b, const char *table)
{
	message(b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
	nl_attr_str(b, NFTA_TABLE_NAME, table);
	message(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	nl_attr_str(b, NFTA_CHAIN_TABLE, table);
	nl_attr_str(b, NFTA_CHAIN_NAME, CHAIN);
	size_t hook = nl_nest(b, NFTA_CHAIN_HOOK, 0);
	nl_attr_u32_be(b, NFTA_HOOK_HOOKNUM, NF_INET_LOCAL_OUT);
	/* Before anything that the workload may have for its own packets. */
	nl_attr_u32_be(b, NFTA_HOOK_PRIORITY, (uint32_t)NF_IP_PRI_RAW);
	nl_nest_end(b, hook);
	nl_attr_u32_be(b, NFTA_CHAIN_POLICY, NF_ACCEPT);
	nl_attr_str(b, NFTA_CHAIN_TYPE, "filter");
}

static int write_table(int sock, const char *table, const uint8_t address4[4], const struct port_rewrite *rewrites, size_t n,
		       bool is_there)
{
	struct nl_batch b;
	nl_init(&b);
	mark(&b, NFNL_MSG_BATCH_BEGIN);
	if (is_there) {
		message(&b, NFT_MSG_DELTABLE, 0);
		nl_attr_str(&b, NFTA_TABLE_NAME, table);
	}
	put_chain(&b, table);
	for (size_t i = 0; i < n; i++) {
		const struct port_rewrite *p = &rewrites[i];
		put_rule(&b, table, IP_DESTINATION, PORT_DESTINATION, address4, p->protocol, p->shown, p->actual);
		put_rule(&b, table, IP_SOURCE, PORT_SOURCE, address4, p->protocol, p->actual, p->shown);
	}
	mark(&b, NFNL_MSG_BATCH_END);
	return nl_talk(sock, &b, NULL);
}

int port_rewrite_set(const char *table, const uint8_t address4[4], const struct port_rewrite *rewrites, size_t n)
{
	CLEANUP_FD int sock = -1;
	int r = nl_open(NETLINK_NETFILTER, &sock);
	if (r == 0)
		r = write_table(sock, table, address4, rewrites, n, false);
	/* Only then: what is deleted makes the kernel wait, when the socket is closed,
	 * until no packet is looking at it; about 10 ms. */
	return r == -EEXIST ? write_table(sock, table, address4, rewrites, n, true) : r;
}
