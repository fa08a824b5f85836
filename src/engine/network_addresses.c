/* SPDX-License-Identifier: Apache-2.0 */
#include "network_addresses.h"

#include <string.h>

#include "subnet_pool.h"

/* The addresses looked at in one subnet. */
#define HOSTS_MAX 65536u

struct hosts {
	const struct network *n;
	const struct ip_address *subnet, *gateway, *range;
	struct ip_address span; /* the range, or all of the subnet */
	uint32_t count;
	uint8_t taken[HOSTS_MAX / 8];
};

static bool is_end(const struct ip_address *subnet, const struct ip_address *a)
{
	unsigned bits = (subnet->family == AF_INET ? 32 : 128) - subnet->prefix;
	uint32_t place = subnet_place(subnet, a);
	return place == 0 || (subnet->family == AF_INET && place == (uint32_t)((1ULL << bits) - 1));
}

static bool same_address(const struct ip_address *a, const struct ip_address *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static void hosts_init(struct hosts *h, const struct network *n, int family)
{
	bool is_v4 = family == AF_INET;
	h->n = n;
	h->subnet = is_v4 ? &n->subnet4 : &n->subnet6;
	h->gateway = is_v4 ? &n->gateway4 : &n->gateway6;
	h->range = is_v4 ? &n->range4 : &n->range6;
	h->span = ip_subnet(h->range->family ? h->range : h->subnet);
	unsigned bits = (is_v4 ? 32 : 128) - h->span.prefix;
	h->count = bits >= 16 ? HOSTS_MAX : 1u << bits;
}

static void hosts_take(struct hosts *h, const struct ip_address *a)
{
	uint32_t place = subnet_contains(&h->span, a) ? subnet_place(&h->span, a) : UINT32_MAX;
	if (place < h->count)
		h->taken[place / 8] |= (uint8_t)(1u << place % 8);
}

static void hosts_take_text(struct hosts *h, const char *text)
{
	struct ip_address a;
	if (!str_is_empty(text) && ip_parse(text, &a) == 0 && a.family == h->subnet->family)
		hosts_take(h, &a);
}

/* What containers have, and what stopped ones ask for. */
static int take_endpoints(struct engine *engine, struct hosts *h, const char *container, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	int r = db_query(engine->db, &row, err,
			 h->subnet->family == AF_INET ?
				 "SELECT address4, asked4 FROM endpoints WHERE network = ? AND container <> ?" :
				 "SELECT address6, asked6 FROM endpoints WHERE network = ? AND container <> ?",
			 "ss", h->n->name, container);
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		hosts_take_text(h, db_text(row, 0));
		hosts_take_text(h, db_text(row, 1));
	}
	return r;
}

static int choose(struct engine *engine, struct hosts *h, const char *container, struct ip_address *ret, struct err *err)
{
	int r = take_endpoints(engine, h, container, err);
	if (r < 0)
		return r;
	if (h->gateway->family)
		hosts_take(h, h->gateway);
	for (size_t i = 0; i < h->n->aux.n; i++) {
		const char *eq = strchr(h->n->aux.v[i], '=');
		hosts_take_text(h, eq ? eq + 1 : h->n->aux.v[i]);
	}
	for (uint32_t i = 0; i < h->count; i++) {
		if (h->taken[i / 8] >> i % 8 & 1)
			continue;
		struct ip_address a = subnet_address(&h->span, i);
		a.prefix = h->subnet->prefix;
		if (is_end(h->subnet, &a))
			continue;
		*ret = a;
		return 0;
	}
	r = err_set(err, ERR_CONFLICT, 0, "no available %s addresses on this network's address pools: %s (%s)",
		    h->subnet->family == AF_INET ? "IPv4" : "IPv6", h->n->name, h->n->id);
	err_why(err, "containers that run, and addresses that stopped ones ask for, take all of it");
	err_hint(err, "hull network create --subnet ... with more room");
	return r;
}

int network_check_address(const struct network *n, int family, const char *asked, struct ip_address *ret, struct err *err)
{
	const struct ip_address *subnet = family == AF_INET ? &n->subnet4 : &n->subnet6;
	const struct ip_address *gateway = family == AF_INET ? &n->gateway4 : &n->gateway6;
	char text[IP_TEXT_SIZE];
	struct ip_address a;
	if (strchr(asked, '/') || ip_parse(asked, &a) < 0 || a.family != family)
		return err_set(err, ERR_INVALID, 0, "invalid %s address: %s", family == AF_INET ? "IPv4" : "IPv6", asked);
	if (!subnet_contains(subnet, &a)) {
		int r = err_set(err, ERR_INVALID, 0, "no configured subnet contains IP address %s", asked);
		if (subnet->family)
			err_why(err, "the network %s has %s", n->name, ip_format(subnet, text));
		else
			err_why(err, "the network %s has no %s subnet", n->name, family == AF_INET ? "IPv4" : "IPv6");
		return r;
	}
	if (is_end(subnet, &a) || same_address(gateway, &a)) {
		int r = err_set(err, ERR_CONFLICT, 0, "Address already in use: %s", asked);
		err_why(err, "it is the %s of the network %s", same_address(gateway, &a) ? "gateway" : "first or last address", n->name);
		return r;
	}
	a.prefix = subnet->prefix;
	*ret = a;
	return 0;
}

/* 1 free, 0 held by another container, whose name is the caller's to free. */
static int is_free(struct engine *engine, const struct network *n, const struct address_wish *wish, const char *address,
		   char **ret_holder, struct err *err)
{
	int r = db_query_text(engine->db, ret_holder, err,
			      wish->family == AF_INET ?
				      "SELECT c.name FROM endpoints e JOIN containers c ON c.id = e.container"
				      " WHERE e.network = ? AND e.address4 = ? AND e.container <> ?" :
				      "SELECT c.name FROM endpoints e JOIN containers c ON c.id = e.container"
				      " WHERE e.network = ? AND e.address6 = ? AND e.container <> ?",
			      "sss", n->name, address, wish->container);
	return r < 0 ? r : r == 0;
}

int network_choose_address(struct engine *engine, const struct network *n, const struct address_wish *wish,
			   struct ip_address *ret, struct err *err)
{
	CLEANUP_FREE char *holder = NULL;
	CLEANUP_FREE struct hosts *h = NULL;
	char text[IP_TEXT_SIZE];
	if (!str_is_empty(wish->asked)) {
		int r = network_check_address(n, wish->family, wish->asked, ret, err);
		if (r == 0)
			r = is_free(engine, n, wish, ip_format_bare(ret, text), &holder, err);
		if (r != 0)
			return r < 0 ? r : 0;
		r = err_set(err, ERR_CONFLICT, 0, "Address already in use: %s", wish->asked);
		err_why(err, "the container %s has it in the network %s", holder, n->name);
		err_hint(err, "hull stop %s, or another address", holder);
		return r;
	}
	struct err none = ERR_INIT;
	if (!str_is_empty(wish->kept) && network_check_address(n, wish->family, wish->kept, ret, &none) == 0) {
		int r = is_free(engine, n, wish, wish->kept, &holder, err);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	h = mem_calloc(1, sizeof(*h));
	hosts_init(h, n, wish->family);
	return choose(engine, h, wish->container, ret, err);
}
