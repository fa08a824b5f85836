/* SPDX-License-Identifier: Apache-2.0 */
#include "network_ipam.h"

#include <string.h>

#include "network_link.h"
#include "subnet_pool.h"

static struct ip_address *subnet_of(struct network *n, int family)
{
	return family == AF_INET ? &n->subnet4 : &n->subnet6;
}

static int take_subnet(struct network *n, const char *text, struct err *err)
{
	struct ip_address a;
	char right[IP_TEXT_SIZE];
	if (!strchr(text, '/') || ip_parse(text, &a) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid subnet %s: invalid CIDR block notation", text);
	struct ip_address first = ip_subnet(&a);
	if (memcmp(first.bytes, a.bytes, sizeof(a.bytes)) != 0)
		return err_set(err, ERR_INVALID, 0, "invalid subnet %s: it should be %s", text, ip_format(&first, right));
	struct ip_address *subnet = subnet_of(n, a.family);
	if (subnet->family) {
		int r = err_set(err, ERR_INVALID, 0, "%s driver doesn't support multiple subnets", network_driver_name(n->driver));
		err_why(err, "%s and %s are both %s", ip_format(subnet, right), text, a.family == AF_INET ? "IPv4" : "IPv6");
		return r;
	}
	if (a.prefix > (a.family == AF_INET ? 30 : 126) || a.prefix == 0) {
		int r = err_set(err, ERR_INVALID, 0, "invalid subnet %s", text);
		err_why(err, a.prefix ? "there is no room in it for a gateway and a container" : "it is all there is");
		return r;
	}
	*subnet = a;
	return 0;
}

/* The subnet that @text, an address or a subnet, lies in. */
static int find_subnet(struct network *n, const char *what, const char *text, struct ip_address *ret, struct ip_address **ret_subnet,
		       struct err *err)
{
	if (ip_parse(text, ret) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid %s %s: invalid address", what, text);
	struct ip_address *subnet = subnet_of(n, ret->family);
	if (!subnet_contains(subnet, ret) || ret->prefix < subnet->prefix) {
		char shown[IP_TEXT_SIZE];
		int r = err_set(err, ERR_INVALID, 0, "no matching subnet for %s %s", what, text);
		if (subnet->family)
			err_why(err, "the subnet is %s", ip_format(subnet, shown));
		else
			err_hint(err, "--subnet ..., which it is in");
		return r;
	}
	*ret_subnet = subnet;
	return 0;
}

static int take_gateway(struct network *n, const char *text, struct err *err)
{
	struct ip_address a, *subnet;
	int r = find_subnet(n, "gateway", text, &a, &subnet, err);
	if (r < 0)
		return r;
	if (strchr(text, '/'))
		return err_set(err, ERR_INVALID, 0, "invalid gateway %s: invalid address", text);
	struct ip_address first = ip_subnet(subnet);
	if (memcmp(first.bytes, a.bytes, sizeof(a.bytes)) == 0)
		return err_set(err, ERR_INVALID, 0, "invalid gateway %s: it is the subnet's own address", text);
	a.prefix = subnet->prefix;
	*(a.family == AF_INET ? &n->gateway4 : &n->gateway6) = a;
	return 0;
}

static int take_range(struct network *n, const char *text, struct err *err)
{
	struct ip_address a, *subnet;
	if (!strchr(text, '/'))
		return err_set(err, ERR_INVALID, 0, "invalid ip-range %s: invalid CIDR block notation", text);
	int r = find_subnet(n, "range", text, &a, &subnet, err);
	if (r == 0)
		*(a.family == AF_INET ? &n->range4 : &n->range6) = ip_subnet(&a);
	return r;
}

static int take_aux(struct network *n, const char *text, struct err *err)
{
	struct ip_address a, *subnet;
	const char *eq = strchr(text, '=');
	int r = find_subnet(n, "aux-address", eq ? eq + 1 : text, &a, &subnet, err);
	if (r == 0)
		strv_add(&n->aux, text);
	return r;
}

static int each(struct network *n, const struct strv *list, int (*take)(struct network *, const char *, struct err *), struct err *err)
{
	int r = 0;
	for (size_t i = 0; i < list->n && r == 0; i++)
		r = take(n, list->v[i], err);
	return r;
}

int network_ipam_check(struct network *n, const struct network_new *wanted, struct err *err)
{
	int r = each(n, &wanted->subnets, take_subnet, err);
	if (r == 0)
		r = each(n, &wanted->gateways, take_gateway, err);
	if (r == 0)
		r = each(n, &wanted->ranges, take_range, err);
	if (r == 0)
		r = each(n, &wanted->aux, take_aux, err);
	if (r < 0)
		return r;
	n->has_ipv4 = !wanted->no_ipv4;
	n->has_ipv6 = wanted->ipv6 || n->subnet6.family;
	if (!n->has_ipv4 && n->subnet4.family)
		return err_set(err, ERR_INVALID, 0, "IPv4 is switched off, and there is an IPv4 subnet");
	if (!n->has_ipv4 && !n->has_ipv6)
		return err_set(err, ERR_INVALID, 0, "IPv4 or IPv6 must be enabled");
	return 0;
}

/* ---- choosing ---- */

static int check_overlap(struct engine *engine, const struct ip_address *subnet, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	char text[IP_TEXT_SIZE];
	int r = db_query(engine->db, &row, err, "SELECT name, subnet4, subnet6 FROM networks", "");
	while (r >= 0 && (r = db_next(row, err)) > 0)
		for (int column = 1; column <= 2; column++) {
			struct ip_address other;
			const char *its = db_text_or(row, column, "");
			if (!*its || ip_parse(its, &other) < 0 || !subnet_overlaps(subnet, &other))
				continue;
			r = err_set(err, ERR_CONFLICT, 0, "invalid pool request: Pool overlaps with other one on this address space");
			err_why(err, "%s overlaps %s, which the network %s has", ip_format(subnet, text), its, db_text_or(row, 0, ""));
			err_hint(err, "another --subnet, or none: hull chooses one that is free");
			return r;
		}
	return r;
}

/* The first address that is not reserved by name. */
static void choose_gateway(const struct network *n, const struct ip_address *subnet, struct ip_address *ret)
{
	for (uint32_t place = 1; place < 256; place++) {
		bool is_reserved = false;
		*ret = subnet_address(subnet, place);
		for (size_t i = 0; i < n->aux.n; i++) {
			struct ip_address a;
			const char *eq = strchr(n->aux.v[i], '=');
			is_reserved |= ip_parse(eq ? eq + 1 : n->aux.v[i], &a) == 0 && a.family == ret->family &&
				       memcmp(a.bytes, ret->bytes, sizeof(a.bytes)) == 0;
		}
		if (!is_reserved)
			return;
	}
}

static int choose_family(struct engine *engine, struct network *n, int family, struct err *err)
{
	struct ip_address *subnet = subnet_of(n, family), *gateway = family == AF_INET ? &n->gateway4 : &n->gateway6;
	int r = subnet->family ? check_overlap(engine, subnet, err) : network_choose_subnet(engine, family, subnet, err);
	if (r >= 0 && !gateway->family)
		choose_gateway(n, subnet, gateway);
	return r;
}

int network_ipam_choose(struct engine *engine, struct network *n, const struct network_new *wanted, struct err *err)
{
	CLEANUP_NETWORK struct network *first = NULL;
	(void)wanted;
	/* The default network comes first, so that it has what it has with Docker. */
	int r = network_find(engine, NETWORK_BRIDGE, &first, err);
	if (r >= 0 && !n->subnet4.family)
		r = network_settle_default(engine, first, err);
	if (r < 0)
		return r;
	r = n->has_ipv4 ? choose_family(engine, n, AF_INET, err) : 0;
	if (r >= 0 && n->has_ipv6)
		r = choose_family(engine, n, AF_INET6, err);
	return r < 0 ? r : 0;
}
