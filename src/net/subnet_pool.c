/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/rtnetlink.h>
#include <string.h>

#include "cleanup.h"
#include "net_bridge.h"
#include "netlink.h"

#define ROUTES_MAX 4096

struct routes {
	struct ip_address list[ROUTES_MAX];
	size_t n;
};

static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	if (memcmp(a, b, bits / 8) != 0)
		return false;
	uint8_t mask = (uint8_t)(0xff00u >> bits % 8);
	return bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) & mask) == 0;
}

bool net_subnets_overlap(const struct ip_address *a, const struct ip_address *b)
{
	if (a->family != b->family)
		return false;
	return same_prefix(a->bytes, b->bytes, a->prefix < b->prefix ? a->prefix : b->prefix);
}

static int take_route(const struct nlmsghdr *h, void *arg)
{
	struct routes *routes = arg;
	if (h->nlmsg_type != RTM_NEWROUTE || h->nlmsg_len < NLMSG_LENGTH(sizeof(struct rtmsg)))
		return 0;
	const struct rtmsg *msg = NLMSG_DATA(h);
	/* A default route overlaps everything and says nothing. */
	if (msg->rtm_family != AF_INET || msg->rtm_dst_len == 0 || routes->n == ROUTES_MAX)
		return 0;
	size_t len;
	const void *dst = nl_find_attr(msg + 1, h->nlmsg_len - NLMSG_LENGTH(sizeof(*msg)), RTA_DST, &len);
	if (!dst || len != 4)
		return 0;
	struct ip_address *a = &routes->list[routes->n++];
	*a = (struct ip_address){ .family = AF_INET, .prefix = msg->rtm_dst_len };
	memcpy(a->bytes, dst, 4);
	return 0;
}

static int read_routes(struct routes *routes)
{
	struct nl_batch b;
	CLEANUP_FD int sock = -1;
	int r = nl_open(NETLINK_ROUTE, &sock);
	if (r < 0)
		return r;
	nl_init(&b);
	struct rtmsg *msg = nl_message_no_ack(&b, RTM_GETROUTE, NLM_F_DUMP, sizeof(*msg));
	msg->rtm_family = AF_INET;
	return nl_query(sock, &b, take_route, routes);
}

/* Candidate @i of the pool as its gateway address, or false past the end. */
static bool pool_candidate(unsigned i, struct ip_address *ret)
{
	if (i < 15)
		*ret = (struct ip_address){ AF_INET, { 172, (uint8_t)(17 + i), 0, 1 }, 16 };
	else if (i < 31)
		*ret = (struct ip_address){ AF_INET, { 192, 168, (uint8_t)((i - 15) * 16), 1 }, 20 };
	else
		return false;
	return true;
}

int net_choose_subnet4(const struct ip_address *used, size_t n, struct ip_address *ret, struct err *err)
{
	CLEANUP_FREE struct routes *routes = calloc(1, sizeof(*routes));
	if (!routes)
		return err_set(err, ERR_SYSTEM, ENOMEM, "read the host's routes");
	int r = read_routes(routes);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "read the host's routes");

	struct ip_address candidate;
	for (unsigned i = 0; pool_candidate(i, &candidate); i++) {
		bool taken = false;
		for (size_t j = 0; j < routes->n && !taken; j++)
			taken = net_subnets_overlap(&candidate, &routes->list[j]);
		for (size_t j = 0; j < n && !taken; j++)
			taken = net_subnets_overlap(&candidate, &used[j]);
		if (!taken) {
			*ret = candidate;
			return 0;
		}
	}
	r = err_set(err, ERR_CONFLICT, 0, "no subnet is left in the address pool");
	err_why(err, "each of 172.17-31.0.0/16 and 192.168.0.0/16 overlaps a network of hull or a route of this host");
	return r;
}
