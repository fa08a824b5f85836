/* SPDX-License-Identifier: Apache-2.0 */
/* Where the subnets of networks come from when the user names none. */
#pragma once

#include "err.h"
#include "link.h"

struct subnet_pool {
	struct ip_address base; /* with its prefix */
	uint8_t size; /* prefix of the subnets cut from it */
};

/* Docker's pools first, then 10.128.0.0/10 in /24s and 10.192.0.0/10 in /28s:
 * 279,000 networks. */
size_t subnet_pools_default(const struct subnet_pool **ret);
/* fdXX:XXXX:XXXX::/48 in /64s, its 40 random bits taken from @seed (RFC 4193). */
struct subnet_pool subnet_pool_ula(const char *seed);
/* "base=172.30.0.0/16,size=24", as dockerd's --default-address-pool. */
int subnet_pool_parse(const char *text, struct subnet_pool *ret, struct err *err) MUST_CHECK;

/* The first subnet of @family that overlaps neither a route of this network
 * namespace (a default route apart) nor one of @used. ERR_CONFLICT when there is
 * none. Each pool's first 2^20 subnets are looked at. */
struct subnet_wish {
	int family;
	const struct subnet_pool *pools;
	size_t pools_n;
	const struct ip_address *used;
	size_t used_n;
};
int subnet_choose(const struct subnet_wish *wish, struct ip_address *ret, struct err *err) MUST_CHECK;

/* A route of this network namespace, a default route apart, that overlaps @subnet:
 * 1 with its destination and link, 0 when there is none. */
struct subnet_route {
	struct ip_address to;
	char link[16]; /* "" for one that leads nowhere */
};
int subnet_find_route(const struct ip_address *subnet, struct subnet_route *ret, struct err *err) MUST_CHECK;

bool subnet_overlaps(const struct ip_address *a, const struct ip_address *b);
/* @a, whatever its own prefix, lies in @subnet. */
bool subnet_contains(const struct ip_address *subnet, const struct ip_address *a);
/* The address @n places after the first of @subnet, with the subnet's prefix. */
struct ip_address subnet_address(const struct ip_address *subnet, uint32_t n);
/* How many places @a is after the first of @subnet; UINT32_MAX for more. */
uint32_t subnet_place(const struct ip_address *subnet, const struct ip_address *a);
