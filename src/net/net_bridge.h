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
	/* 802.1Q: the bridge's way out is VLAN @vlan of the link @parent. */
	const char *parent;
	int vlan;
};

/* Make the bridge, its addresses and the firewall table unless they are there;
 * cheap (two netlink round trips) when they are. Also switches forwarding on. 1
 * when the table had to be made: net_bridge_guard() the other bridges then. */
int net_bridge_ensure(const struct net_bridge *bridge, struct err *err) MUST_CHECK;
/* The elements of a bridge whose table was lost; nothing when there is no link of
 * the name. */
int net_bridge_guard(const struct net_bridge *bridge, struct err *err) MUST_CHECK;
/* Whether what is sent to 127.0.0.0/8 can be made to leave by a bridge: not where
 * /proc/sys is read-only, or somebody guards route_localnet. Asked once. */
bool net_routes_localnet(void);
/* The IPv4 address, with its prefix, of the link @name: 1, or 0 when it has none. */
int net_link_address4(const char *name, struct ip_address *ret, struct err *err) MUST_CHECK;
/* 1 when there is a link of the name, 0 when not. */
int net_link_exists(const char *name, struct err *err) MUST_CHECK;
/* The link that a macvlan or ipvlan is to sit on: it is there, or it is "eth0.50"
 * and is made as VLAN 50 of eth0. ERR_NOT_FOUND, ERR_UNSUPPORTED. */
int net_parent_ensure(const char *parent, struct err *err) MUST_CHECK;
/* Remove that VLAN: @parent itself, or with a @vlan that of it. */
int net_parent_remove(const char *parent, int vlan, struct err *err) MUST_CHECK;
/* Remove the link and its elements; one that is gone is success. */
int net_bridge_remove(const struct net_bridge *bridge, struct err *err) MUST_CHECK;
/* Only the elements: the link is somebody else's. */
int net_bridge_forget(const struct net_bridge *bridge, struct err *err) MUST_CHECK;
