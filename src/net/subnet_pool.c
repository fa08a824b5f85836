/* SPDX-License-Identifier: Apache-2.0 */
#include "subnet_pool.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "netlink.h"
#include "str.h"

#define CANDIDATES_MAX (1u << 20)

static const struct subnet_pool default_pools[] = {
	/* Docker's own, which it counts through one after the other. */
	{ { AF_INET, { 172, 17 }, 16 }, 16 }, { { AF_INET, { 172, 18 }, 15 }, 16 }, { { AF_INET, { 172, 20 }, 14 }, 16 },
	{ { AF_INET, { 172, 24 }, 13 }, 16 }, { { AF_INET, { 192, 168 }, 16 }, 20 },
	/* hull's, for those who have thousands. */
	{ { AF_INET, { 10, 128 }, 10 }, 24 }, { { AF_INET, { 10, 192 }, 10 }, 28 },
};

size_t subnet_pools_default(const struct subnet_pool **ret)
{
	*ret = default_pools;
	return ARRAY_LEN(default_pools);
}

struct subnet_pool subnet_pool_ula(const char *seed)
{
	struct subnet_pool pool = { { AF_INET6, { 0xfd }, 48 }, 64 };
	uint64_t hash = 0xcbf29ce484222325ULL; /* FNV-1a */
	for (const char *p = seed; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 0x100000001b3ULL;
	for (unsigned i = 1; i < 6; i++)
		pool.base.bytes[i] = (uint8_t)(hash >> (8 * i));
	return pool;
}

int subnet_pool_parse(const char *text, struct subnet_pool *ret, struct err *err)
{
	CLEANUP_STRV struct strv fields = { 0 };
	struct subnet_pool pool = { 0 };
	uint64_t size = 0;
	strv_split(&fields, text, ',');
	for (size_t i = 0; i < fields.n; i++) {
		const char *f = fields.v[i];
		int r = -EINVAL;
		if (str_starts_with(f, "base=") && strchr(f, '/'))
			r = ip_parse(f + strlen("base="), &pool.base);
		else if (str_starts_with(f, "size="))
			r = str_parse_u64_max(f + strlen("size="), 128, &size);
		if (r < 0)
			return err_set(err, ERR_INVALID, 0, "invalid address pool '%s': bad part '%s'", text, f);
	}
	unsigned widest = pool.base.family == AF_INET ? 30 : 126;
	if (!pool.base.family || size < pool.base.prefix || size > widest) {
		int r = err_set(err, ERR_INVALID, 0, "invalid address pool '%s'", text);
		err_why(err, "it says base=ADDRESS/PREFIX,size=PREFIX, where size is not shorter than the base's prefix and leaves room for hosts");
		return r;
	}
	pool.base = ip_subnet(&pool.base);
	pool.size = (uint8_t)size;
	*ret = pool;
	return 0;
}

/* ---- bits ---- */

static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	if (memcmp(a, b, bits / 8) != 0)
		return false;
	uint8_t mask = (uint8_t)(0xff00u >> bits % 8);
	return bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) & mask) == 0;
}

bool subnet_overlaps(const struct ip_address *a, const struct ip_address *b)
{
	if (a->family != b->family)
		return false;
	return same_prefix(a->bytes, b->bytes, a->prefix < b->prefix ? a->prefix : b->prefix);
}

bool subnet_contains(const struct ip_address *subnet, const struct ip_address *a)
{
	return subnet->family && a->family == subnet->family && same_prefix(a->bytes, subnet->bytes, subnet->prefix);
}

static unsigned width(const struct ip_address *a)
{
	return a->family == AF_INET ? 4 : 16;
}

struct ip_address subnet_address(const struct ip_address *subnet, uint32_t n)
{
	struct ip_address a = ip_subnet(subnet);
	uint64_t carry = n;
	for (unsigned i = width(subnet); i-- > 0 && carry;) {
		carry += a.bytes[i];
		a.bytes[i] = (uint8_t)carry;
		carry >>= 8;
	}
	return a;
}

uint32_t subnet_place(const struct ip_address *subnet, const struct ip_address *a)
{
	struct ip_address first = ip_subnet(subnet);
	int64_t place = 0;
	for (unsigned i = 0; i < width(subnet); i++) {
		place = place * 256 + a->bytes[i] - first.bytes[i];
		if (place > UINT32_MAX || place < 0)
			return UINT32_MAX;
	}
	return (uint32_t)place;
}

/* Bits [@from, @to) as a number; at most 32 of them. */
static uint32_t bits_of(const struct ip_address *a, unsigned from, unsigned to)
{
	uint32_t n = 0;
	for (unsigned i = from; i < to; i++)
		n = n << 1 | (a->bytes[i / 8] >> (7 - i % 8) & 1);
	return n;
}

/* ---- choosing ---- */

/* Which subnets of a pool are taken: a bit each. */
struct pool_map {
	const struct subnet_pool *pool;
	uint32_t n;
	uint8_t *taken;
};

static void map_mark(struct pool_map *m, const struct ip_address *used)
{
	const struct ip_address *base = &m->pool->base;
	if (!subnet_overlaps(base, used))
		return;
	unsigned from = base->prefix, to = m->pool->size;
	uint64_t first = 0, count = m->n;
	if (used->prefix > from) {
		unsigned end = used->prefix < to ? used->prefix : to;
		/* A pool wider than what is looked at has its front looked at. */
		unsigned skip = end - from > 32 ? end - from - 32 : 0;
		if (bits_of(used, from, from + (skip > 32 ? 32 : skip)) != 0)
			return;
		first = (uint64_t)bits_of(used, from + skip, end) << (to - end > 31 ? 31 : to - end);
		count = 1ULL << (to - end > 31 ? 31 : to - end);
	}
	for (uint64_t i = first; i < first + count && i < m->n; i++)
		m->taken[i / 8] |= (uint8_t)(1u << i % 8);
}

/* The destination of a route; false for a default route, which overlaps everything
 * and says nothing. */
static bool parse_route(const struct nlmsghdr *h, struct ip_address *ret, uint32_t *ret_link)
{
	if (h->nlmsg_type != RTM_NEWROUTE || h->nlmsg_len < NLMSG_LENGTH(sizeof(struct rtmsg)))
		return false;
	const struct rtmsg *msg = NLMSG_DATA(h);
	if (msg->rtm_dst_len == 0 || (msg->rtm_family != AF_INET && msg->rtm_family != AF_INET6))
		return false;
	size_t len, attributes = h->nlmsg_len - NLMSG_LENGTH(sizeof(*msg));
	const void *dst = nl_find_attr(msg + 1, attributes, RTA_DST, &len);
	*ret = (struct ip_address){ .family = msg->rtm_family, .prefix = msg->rtm_dst_len };
	if (!dst || len != width(ret))
		return false;
	memcpy(ret->bytes, dst, len);
	const void *link = nl_find_attr(msg + 1, attributes, RTA_OIF, &len);
	*ret_link = 0;
	if (link && len == sizeof(*ret_link))
		memcpy(ret_link, link, len);
	return true;
}

static int visit_routes(int family, int (*visit)(const struct nlmsghdr *h, void *arg), void *arg)
{
	struct nl_batch b;
	CLEANUP_FD int sock = -1;
	int r = nl_open(NETLINK_ROUTE, &sock);
	if (r < 0)
		return r;
	nl_init(&b);
	struct rtmsg *msg = nl_message_no_ack(&b, RTM_GETROUTE, NLM_F_DUMP, sizeof(*msg));
	msg->rtm_family = (uint8_t)family;
	return nl_query(sock, &b, visit, arg);
}

static int mark_route(const struct nlmsghdr *h, void *arg)
{
	struct ip_address to;
	uint32_t link;
	if (parse_route(h, &to, &link))
		map_mark(arg, &to);
	return 0;
}

struct route_search {
	const struct ip_address *subnet;
	struct subnet_route *found;
};

static int compare_route(const struct nlmsghdr *h, void *arg)
{
	struct route_search *search = arg;
	struct ip_address to;
	uint32_t link;
	if (!parse_route(h, &to, &link) || !subnet_overlaps(search->subnet, &to))
		return 0;
	search->found->to = to;
	if (!link || !if_indextoname(link, search->found->link))
		search->found->link[0] = '\0';
	return 1;
}

int subnet_find_route(const struct ip_address *subnet, struct subnet_route *ret, struct err *err)
{
	struct route_search search = { subnet, ret };
	int r = visit_routes(subnet->family, compare_route, &search);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "read the host's routes") : r;
}

/* 1 found, 0 the pool is exhausted. */
static int choose_from(const struct subnet_pool *pool, const struct subnet_wish *wish, struct ip_address *ret)
{
	unsigned bits = pool->size - pool->base.prefix;
	struct pool_map m = { .pool = pool, .n = bits >= 20 ? CANDIDATES_MAX : 1u << bits };
	CLEANUP_FREE uint8_t *taken = mem_calloc(m.n / 8 + 1, 1);
	m.taken = taken;
	for (size_t i = 0; i < wish->used_n; i++)
		map_mark(&m, &wish->used[i]);
	int r = visit_routes(pool->base.family, mark_route, &m);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < m.n; i++) {
		if (taken[i / 8] >> i % 8 & 1)
			continue;
		*ret = pool->base;
		ret->prefix = pool->size;
		for (unsigned bit = 0; bit < bits && bit < 32; bit++)
			if (i >> bit & 1)
				ret->bytes[(pool->size - 1 - bit) / 8] |= (uint8_t)(0x80u >> (pool->size - 1 - bit) % 8);
		return 1;
	}
	return 0;
}

int subnet_choose(const struct subnet_wish *wish, struct ip_address *ret, struct err *err)
{
	int r = 0;
	for (size_t i = 0; i < wish->pools_n && r == 0; i++)
		if (wish->pools[i].base.family == wish->family)
			r = choose_from(&wish->pools[i], wish, ret);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "read the host's routes");
	if (r > 0)
		return 0;
	r = err_set(err, ERR_CONFLICT, 0, "all predefined address pools have been fully subnetted");
	err_why(err, "each subnet of the pools overlaps a network of hull or a route of this host");
	err_hint(err, "hull network create --subnet ...   or default-address-pools in hull.toml");
	return r;
}
