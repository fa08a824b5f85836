/* SPDX-License-Identifier: Apache-2.0 */
/* What the sets of hull's table say of a bridge. Straight over netlink: the nft
 * program reads all the sets there are before it adds to one, so that the
 * hundredth network would take twice what the first took. */
#include <string.h>

#include "firewall.h"
#include "firewall_parts.h"
#include "netlink.h"

#define NAME_SIZE 16 /* IFNAMSIZ, which the type ifname has */
#define ELEMENTS_MAX 8

struct elements {
	struct nft_element list[ELEMENTS_MAX];
	size_t n;
};

static void put_names(struct elements *to, const char *set, const char *name, unsigned times)
{
	struct nft_element *e = &to->list[to->n++];
	*e = (struct nft_element){ .set = set };
	for (unsigned i = 0; i < times; i++) {
		char padded[NAME_SIZE] = "";
		memcpy(padded, name, strnlen(name, NAME_SIZE - 1));
		nft_put_part(e->key, &e->key_len, padded, sizeof(padded));
	}
}

/* The first address, and the first that is not in it any more. */
static void put_subnet(struct elements *to, const char *set, const struct ip_address *gateway)
{
	struct ip_address a = ip_subnet(gateway);
	size_t len = a.family == AF_INET ? 4 : 16;
	struct nft_element *first = &to->list[to->n++];
	*first = (struct nft_element){ .set = set };
	nft_put_part(first->key, &first->key_len, a.bytes, len);
	unsigned carry = 1u << (7 - (a.prefix - 1) % 8);
	for (unsigned i = (a.prefix - 1) / 8 + 1; a.prefix && i-- > 0 && carry;) {
		carry += a.bytes[i];
		a.bytes[i] = (uint8_t)carry;
		carry >>= 8;
	}
	/* It goes to the last address that there is. */
	if (carry)
		return;
	struct nft_element *end = &to->list[to->n++];
	*end = (struct nft_element){ .set = set, .is_interval_end = true };
	nft_put_part(end->key, &end->key_len, a.bytes, len);
}

static struct elements elements_of(const struct net_bridge *bridge)
{
	struct elements e = { 0 };
	bool masquerades = !bridge->is_internal && !bridge->keeps_source;
	put_names(&e, "bridges", bridge->name, 1);
	put_names(&e, "inside", bridge->name, 2);
	if (bridge->is_internal)
		put_names(&e, "internal", bridge->name, 1);
	if (masquerades && bridge->gateway4.family)
		put_subnet(&e, "subnets4", &bridge->gateway4);
	if (masquerades && bridge->gateway6.family)
		put_subnet(&e, "subnets6", &bridge->gateway6);
	return e;
}

int bridge_elements_put(const struct net_bridge *bridge, struct err *err)
{
	CLEANUP_FD int sock = -1;
	struct elements e = elements_of(bridge);
	int r = nl_open(NETLINK_NETFILTER, &sock);
	if (r == 0)
		r = nft_change_elements(sock, &firewall_table, e.list, e.n, true);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "write what the firewall knows of the bridge %s", bridge->name) : 0;
}

int bridge_elements_drop(const struct net_bridge *bridge, struct err *err)
{
	CLEANUP_FD int sock = -1;
	struct elements e = elements_of(bridge);
	/* Added first, so that deleting what is not there cannot fail. */
	int r = nl_open(NETLINK_NETFILTER, &sock);
	if (r == 0)
		r = nft_change_elements(sock, &firewall_table, e.list, e.n, true);
	if (r == 0)
		r = nft_change_elements(sock, &firewall_table, e.list, e.n, false);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "take back what the firewall knows of the bridge %s", bridge->name) : 0;
}
