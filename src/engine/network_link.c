/* SPDX-License-Identifier: Apache-2.0 */
#include "network_link.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fd.h"
#include "net_bridge.h"
#include "network_policy.h"
#include "ports.h"
#include "settings.h"
#include "subnet_pool.h"

#define MTU_MIN 68 /* RFC 791 */
#define MTU_MIN6 1280 /* RFC 8200 */
#define MTU_MAX 65535

/* ---- options ---- */

const char *network_option(const struct network *n, const char *key)
{
	size_t len = strlen(key);
	for (size_t i = 0; i < n->options.n; i++)
		if (strncmp(n->options.v[i], key, len) == 0 && n->options.v[i][len] == '=')
			return n->options.v[i] + len + 1;
	return NULL;
}

bool network_option_is_on(const struct network *n, const char *key)
{
	const char *value = network_option(n, key);
	bool is_on = true;
	return !value || str_parse_bool(value, &is_on) < 0 || is_on;
}

bool network_is_routed_by_link(const struct network *n)
{
	const char *mode = network_option(n, "ipvlan_mode");
	return n->driver == DRIVER_IPVLAN && mode && str_starts_with(mode, "l3");
}

static int bad_value(const char *key, const char *value, const char *wanted, struct err *err)
{
	int r = err_set(err, ERR_INVALID, 0, "invalid value for the option %s: %s", key, value);
	err_why(err, "it takes %s", wanted);
	return r;
}

static int take_mtu(struct network *n, const char *key, const char *value, struct err *err)
{
	uint64_t mtu;
	uint64_t least = n->has_ipv6 ? MTU_MIN6 : MTU_MIN;
	if (str_parse_u64_max(value, MTU_MAX, &mtu) < 0 || (mtu && mtu < least))
		return bad_value(key, value, n->has_ipv6 ? "1280 to 65535" : "68 to 65535", err);
	n->mtu = (uint32_t)mtu;
	return 0;
}

static bool is_link_name(const char *s)
{
	return *s && strlen(s) < 16 && !strpbrk(s, "/ \t\n:%") && !str_eq(s, ".") && !str_eq(s, "..");
}

static int take_bridge(struct network *n, const char *key, const char *value, struct err *err)
{
	return is_link_name(value) && str_copy(n->bridge, sizeof(n->bridge), value) >= 0 ?
		       0 : bad_value(key, value, "the name of a link, up to 15 characters", err);
}

static int take_parent(struct network *n, const char *key, const char *value, struct err *err)
{
	if (!is_link_name(value))
		return bad_value(key, value, "the name of a link of this host", err);
	free(n->parent);
	n->parent = str_dup(value);
	return 0;
}

static int take_bool(struct network *n, const char *key, const char *value, struct err *err)
{
	bool ignored;
	(void)n;
	return str_parse_bool(value, &ignored) < 0 ? bad_value(key, value, "true or false", err) : 0;
}

static int take_false(struct network *n, const char *key, const char *value, struct err *err)
{
	bool is_on;
	(void)n;
	if (str_parse_bool(value, &is_on) < 0)
		return bad_value(key, value, "true or false", err);
	return is_on ? err_set(err, ERR_UNSUPPORTED, 0, "the option %s is not supported", key) : 0;
}

static int take_prefix(struct network *n, const char *key, const char *value, struct err *err)
{
	(void)n;
	return is_link_name(value) && strlen(value) < 12 ? 0 : bad_value(key, value, "the beginning of a link's name", err);
}

/* One of the words in @wanted, separated by spaces. */
static int take_word(const char *key, const char *value, const char *wanted, struct err *err)
{
	CLEANUP_STRV struct strv words = { 0 };
	strv_split(&words, wanted, ' ');
	return strv_contains(&words, value) ? 0 : bad_value(key, value, wanted, err);
}

static int take_macvlan_mode(struct network *n, const char *key, const char *value, struct err *err)
{
	(void)n;
	return take_word(key, value, "bridge private vepa passthru", err);
}

static int take_ipvlan_mode(struct network *n, const char *key, const char *value, struct err *err)
{
	(void)n;
	return take_word(key, value, "l2 l3 l3s", err);
}

static int take_nat(struct network *n, const char *key, const char *value, struct err *err)
{
	(void)n;
	if (str_eq(value, "nat"))
		return 0;
	return err_set(err, ERR_UNSUPPORTED, 0, "the gateway mode %s of %s is not supported", value, key);
}

static int take_any_address(struct network *n, const char *key, const char *value, struct err *err)
{
	(void)n;
	if (str_eq(value, "0.0.0.0") || str_eq(value, "::"))
		return 0;
	int r = err_set(err, ERR_UNSUPPORTED, 0, "the option %s is not supported", key);
	err_hint(err, "-p %s:PORT:PORT, for each port", value);
	return r;
}

static const struct driver_option {
	enum network_driver driver; /* DRIVER_COUNT: all that have links */
	const char *key;
	int (*take)(struct network *n, const char *key, const char *value, struct err *err);
} driver_options[] = {
	{ DRIVER_COUNT, "com.docker.network.driver.mtu", take_mtu },
	{ DRIVER_COUNT, "com.docker.network.container_iface_prefix", take_prefix },
	{ DRIVER_BRIDGE, "com.docker.network.bridge.name", take_bridge },
	{ DRIVER_BRIDGE, "com.docker.network.bridge.enable_icc", take_bool },
	{ DRIVER_BRIDGE, "com.docker.network.bridge.enable_ip_masquerade", take_bool },
	{ DRIVER_BRIDGE, "com.docker.network.bridge.host_binding_ipv4", take_any_address },
	{ DRIVER_BRIDGE, "com.docker.network.bridge.host_binding_ipv6", take_any_address },
	{ DRIVER_BRIDGE, "com.docker.network.bridge.gateway_mode_ipv4", take_nat },
	{ DRIVER_BRIDGE, "com.docker.network.bridge.gateway_mode_ipv6", take_nat },
	{ DRIVER_BRIDGE, "com.docker.network.bridge.inhibit_ipv4", take_false },
	{ DRIVER_BRIDGE, "com.docker.network.bridge.default_bridge", take_false },
	{ DRIVER_BRIDGE, "parent", take_parent },
	{ DRIVER_MACVLAN, "parent", take_parent },
	{ DRIVER_MACVLAN, "macvlan_mode", take_macvlan_mode },
	{ DRIVER_IPVLAN, "parent", take_parent },
	{ DRIVER_IPVLAN, "ipvlan_mode", take_ipvlan_mode },
};

static bool applies(const struct driver_option *o, enum network_driver driver)
{
	return o->driver == driver || (o->driver == DRIVER_COUNT && driver < DRIVER_HOST);
}

static int unknown_option(const struct network *n, const char *key, struct err *err)
{
	const char *known[ARRAY_LEN(driver_options) + 1];
	size_t count = 0;
	for (size_t i = 0; i < ARRAY_LEN(driver_options); i++)
		if (applies(&driver_options[i], n->driver))
			known[count++] = driver_options[i].key;
	known[count] = NULL;
	const char *nearest = str_nearest(key, known);
	int r = err_set(err, ERR_INVALID, 0, "unknown option %s of the network driver %s", key, network_driver_name(n->driver));
	if (nearest)
		err_hint(err, "did you mean %s?", nearest);
	return r;
}

int network_options_check(struct network *n, struct err *err)
{
	for (size_t i = 0; i < n->options.n; i++) {
		const char *eq = strchr(n->options.v[i], '=');
		CLEANUP_FREE char *key = str_ndup(n->options.v[i], eq ? (size_t)(eq - n->options.v[i]) : strlen(n->options.v[i]));
		size_t k = 0;
		while (k < ARRAY_LEN(driver_options) &&
		       !(applies(&driver_options[k], n->driver) && str_eq(driver_options[k].key, key)))
			k++;
		int r = k < ARRAY_LEN(driver_options) ? driver_options[k].take(n, key, eq ? eq + 1 : "", err) : unknown_option(n, key, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- subnets ---- */

static int used_subnets(struct engine *engine, struct ip_address **ret, size_t *ret_n, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	CLEANUP_FREE struct ip_address *list = NULL;
	size_t n = 0;
	int r = db_query(engine->db, &row, err,
			 "SELECT subnet4 FROM networks WHERE subnet4 <> '' UNION ALL SELECT subnet6 FROM networks WHERE subnet6 <> ''", "");
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		list = reallocarray(list, n + 1, sizeof(*list));
		if (!list)
			abort();
		n += ip_parse(db_text(row, 0), &list[n]) == 0;
	}
	if (r < 0)
		return r;
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

/* Of this machine and this state: two hosts, or two states, have different ones. */
static struct subnet_pool own_prefix(const struct engine *engine)
{
	CLEANUP_BUF struct buf id = BUF_INIT(256);
	(void)!fd_read_file_at(AT_FDCWD, "/etc/machine-id", &id);
	CLEANUP_FREE char *seed = str_printf("%s%s", buf_str(&id), engine->root);
	return subnet_pool_ula(seed);
}

int network_choose_subnet(struct engine *engine, int family, struct ip_address *ret, struct err *err)
{
	CLEANUP_SETTINGS struct settings settings = { 0 };
	CLEANUP_FREE struct ip_address *used = NULL;
	struct subnet_wish wish = { .family = family };
	struct subnet_pool ula = own_prefix(engine);
	bool is_said = false;
	int r = settings_load(&settings, err);
	if (r >= 0)
		r = used_subnets(engine, &used, &wish.used_n, err);
	if (r < 0)
		return r;
	wish.used = used;
	for (size_t i = 0; i < settings.address_pools_n; i++)
		is_said |= settings.address_pools[i].base.family == family;
	if (is_said) {
		wish.pools = settings.address_pools;
		wish.pools_n = settings.address_pools_n;
	} else if (family == AF_INET) {
		wish.pools_n = subnet_pools_default(&wish.pools);
	} else {
		wish.pools = &ula;
		wish.pools_n = 1;
	}
	return subnet_choose(&wish, ret, err);
}

/* ---- the default network ---- */

/* "hull0", or a name of its own for a state elsewhere, so that two of them can
 * live on one host. */
static void default_bridge_name(const struct engine *engine, char out[16])
{
	uint64_t hash = 0xcbf29ce484222325ULL; /* FNV-1a */
	if (str_eq(engine->root, "/var/lib/hull")) {
		snprintf(out, 16, "hull0");
		return;
	}
	for (const char *p = engine->root; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 0x100000001b3ULL;
	snprintf(out, 16, "hull%08x", (unsigned)(hash ^ hash >> 32));
}

int network_settle_default(struct engine *engine, struct network *n, struct err *err)
{
	char gateway[IP_TEXT_SIZE], subnet[IP_TEXT_SIZE];
	if (!str_eq(n->name, NETWORK_BRIDGE) || n->gateway4.family)
		return 0;
	default_bridge_name(engine, n->bridge);
	/* Of a start that failed: the transaction was taken back, the bridge is there. */
	int r = net_link_address4(n->bridge, &n->gateway4, err);
	if (r > 0)
		n->subnet4 = ip_subnet(&n->gateway4);
	else if (r == 0 && (r = network_choose_subnet(engine, AF_INET, &n->subnet4, err)) == 0)
		n->gateway4 = subnet_address(&n->subnet4, 1);
	if (r < 0)
		return r;
	r = db_run(engine->db, err, "UPDATE networks SET bridge = ?, gateway4 = ?, subnet4 = ? WHERE name = ? AND gateway4 = ''", "ssss",
		   n->bridge, ip_format(&n->gateway4, gateway), ip_format(&n->subnet4, subnet), NETWORK_BRIDGE);
	return r < 0 ? r : 0;
}

/* ---- the host's side ---- */

static struct net_bridge bridge_of(const struct network *n)
{
	struct net_bridge b = {
		.gateway4 = n->gateway4, .gateway6 = n->gateway6, .mtu = n->mtu, .is_internal = n->is_internal,
		.keeps_source = !network_option_is_on(n, "com.docker.network.bridge.enable_ip_masquerade"),
		.parent = n->parent, .vlan = n->vlan,
	};
	memcpy(b.name, n->bridge, sizeof(b.name));
	return b;
}

/* Somebody flushed the host's rules, and hull's with them: all of hull's networks
 * and ports are put back, not only what is about to be used. */
static int restore_firewall(struct engine *engine, const struct network *made, struct err *err)
{
	struct network **list = NULL;
	size_t n = 0;
	int r = network_list_all(engine, &list, &n, err);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		struct net_bridge b = bridge_of(list[i]);
		if (list[i]->driver == DRIVER_BRIDGE && b.name[0] && !str_eq(list[i]->name, made->name))
			r = net_bridge_guard(&b, err);
		if (r >= 0)
			r = network_policy_ensure(engine, list[i], err);
	}
	network_list_free(list, n);
	if (r >= 0)
		r = network_policies_restore(engine, err);
	return r < 0 ? r : ports_restore(engine, err);
}

int network_ensure(struct engine *engine, struct network *n, struct err *err)
{
	int r = network_settle_default(engine, n, err);
	struct net_bridge b = bridge_of(n);
	if (r < 0)
		return r;
	if (n->driver == DRIVER_BRIDGE) {
		r = net_bridge_ensure(&b, err);
		if (r > 0)
			r = restore_firewall(engine, n, err);
		return r < 0 ? r : network_policy_ensure(engine, n, err);
	}
	return n->parent ? net_parent_ensure(n->parent, err) : 0;
}

int network_remove_link(struct engine *engine, const struct network *n, struct err *err)
{
	struct net_bridge b = bridge_of(n);
	int r = network_policy_clear(engine, n, err);
	if (r < 0)
		return r;
	if (n->driver == DRIVER_BRIDGE && n->bridge[0])
		r = n->keeps_bridge ? net_bridge_forget(&b, err) : net_bridge_remove(&b, err);
	if (r >= 0 && n->owns_parent)
		r = net_parent_remove(n->parent, n->vlan, err);
	return r;
}
