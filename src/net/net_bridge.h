/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of a network: a bridge, its addresses, and hull's own
 * nftables table (inet hull), in which sets and maps hold one element a bridge,
 * a subnet or a published port, so that no rule is ever added or removed after
 * the table was made.
 *
 * Everything acts on the network namespace of the calling thread. */
#pragma once

#include <stdbool.h>

#include "err.h"
#include "link.h"

struct net_bridge {
	char name[16]; /* of the link */
	struct ip_address gateway4, gateway6; /* with the subnet's prefix; family 0: none */
	uint32_t mtu; /* 0: the kernel's */
	bool is_internal; /* nothing is forwarded into or out of it */
	bool keeps_source; /* what leaves it is not masqueraded */
};

/* Make the bridge, its addresses and the firewall table unless they are there;
 * cheap (two netlink round trips) when they are. Also switches forwarding on. */
int net_bridge_ensure(const struct net_bridge *bridge, struct err *err) MUST_CHECK;
/* Remove the link and its elements; one that is gone is success. */
int net_bridge_remove(const struct net_bridge *bridge, struct err *err) MUST_CHECK;

/* The first subnet of the pool (172.17-31.0.0/16, then 192.168.n.0/20) that
 * overlaps neither a route of the host nor one of @used. In *ret the gateway
 * (first address) with the prefix. ERR_CONFLICT when the pool is exhausted. */
int net_choose_subnet4(const struct ip_address *used, size_t n, struct ip_address *ret, struct err *err) MUST_CHECK;
bool net_subnets_overlap(const struct ip_address *a, const struct ip_address *b);
