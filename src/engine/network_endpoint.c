/* SPDX-License-Identifier: Apache-2.0 */
#include "network_endpoint.h"

#include <stdio.h>
#include <string.h>

#include "events.h"
#include "net_attach.h"
#include "network_addresses.h"
#include "network_link.h"

#define IFNAME_OPTION "com.docker.network.endpoint.ifname="
#define PREFIX_OPTION "com.docker.network.container_iface_prefix"
#define NUMBERS_MAX 100u

int endpoint_event(struct engine *engine, const char *action, const char *network, const char *container, struct err *err)
{
	CLEANUP_STRV struct strv attributes = { 0 };
	CLEANUP_NETWORK struct network *n = NULL;
	int r = network_get(engine, network, &n, err);
	if (r < 0)
		return r;
	strv_printf(&attributes, "container=%s", container);
	strv_printf(&attributes, "name=%s", network);
	strv_printf(&attributes, "type=%s", n ? network_driver_name(n->driver) : "bridge");
	return event_record(engine, "network", action, n ? n->id : network, &attributes, err);
}

static void add_name(struct strv *names, const char *name)
{
	if (!str_is_empty(name) && !strv_contains(names, name))
		strv_add(names, name);
}

void endpoint_dns_names(const struct container *c, const struct strv *aliases, struct strv *ret)
{
	char id[ID_SHORT + 1];
	snprintf(id, sizeof(id), "%s", c->id);
	add_name(ret, c->name);
	for (size_t i = 0; i < aliases->n; i++)
		add_name(ret, aliases->v[i]);
	add_name(ret, id);
	add_name(ret, c->config->hostname);
}

/* "hv" and the container's id, so that whoever cleans up finds it; a digit for
 * all but the first. Up to 15 characters. */
static void host_name_of(const char *container, unsigned number, char ret[16])
{
	if (number == 0)
		snprintf(ret, 16, "hv%.11s", container);
	else
		snprintf(ret, 16, "hv%.11s%u", container, number % NUMBERS_MAX);
}

int endpoint_free_number(struct engine *engine, const char *container, unsigned *ret, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	bool taken[NUMBERS_MAX] = { false };
	char name[16];
	int r = db_query(engine->db, &row, err, "SELECT host_name FROM endpoints WHERE container = ? AND host_name IS NOT NULL", "s",
			 container);
	while (r >= 0 && (r = db_next(row, err)) > 0)
		for (unsigned i = 0; i < NUMBERS_MAX; i++) {
			host_name_of(container, i, name);
			taken[i] |= str_eq(name, db_text(row, 0));
		}
	if (r < 0)
		return r;
	for (unsigned i = 0; i < NUMBERS_MAX; i++)
		if (!taken[i]) {
			*ret = i;
			return 0;
		}
	return err_set(err, ERR_CONFLICT, 0, "container %s has %u networks already", container, NUMBERS_MAX);
}

static int give_address(struct engine *engine, const struct endpoint_activation *a, int family, struct ip_address *ret,
			struct spec_interface *i, struct err *err)
{
	bool is_v4 = family == AF_INET;
	char text[IP_TEXT_SIZE];
	struct endpoint *e = a->e;
	const struct ip_address *gateway = is_v4 ? &a->n->gateway4 : &a->n->gateway6;
	struct address_wish wish = { .container = a->c->id, .family = family, .asked = is_v4 ? e->asked4 : e->asked6,
				     .kept = is_v4 ? e->address4 : e->address6 };
	*ret = (struct ip_address){ 0 };
	if (!(is_v4 ? a->n->subnet4 : a->n->subnet6).family) {
		if (is_v4)
			e->address4[0] = '\0';
		else
			e->address6[0] = '\0';
		return str_is_empty(wish.asked) ? 0 : network_check_address(a->n, family, wish.asked, ret, err);
	}
	int r = network_choose_address(engine, a->n, &wish, ret, err);
	if (r < 0)
		return r;
	ip_format_bare(ret, text);
	r = is_v4 ? str_copy(e->address4, sizeof(e->address4), text) : str_copy(e->address6, sizeof(e->address6), text);
	ip_format(ret, text);
	if (r >= 0)
		r = is_v4 ? str_copy(i->address4, sizeof(i->address4), text) : str_copy(i->address6, sizeof(i->address6), text);
	if (gateway->family && !network_is_routed_by_link(a->n))
		ip_format_bare(gateway, text);
	else
		text[0] = '\0';
	if (r >= 0)
		r = is_v4 ? str_copy(i->gateway4, sizeof(i->gateway4), text) : str_copy(i->gateway6, sizeof(i->gateway6), text);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "format an address") : 0;
}

static int give_mac(struct endpoint *e, const struct ip_address *v4, const struct ip_address *v6, struct err *err)
{
	if (!e->asked_mac[0]) {
		net_mac_from_address(v4->family ? v4 : v6, e->mac);
		return 0;
	}
	if (net_mac_check(e->asked_mac) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid MAC address: %s", e->asked_mac);
	return str_copy(e->mac, sizeof(e->mac), e->asked_mac);
}

static char *interface_name(const struct endpoint_activation *a)
{
	for (size_t i = 0; i < a->e->driver_opts.n; i++)
		if (str_starts_with(a->e->driver_opts.v[i], IFNAME_OPTION))
			return str_dup(a->e->driver_opts.v[i] + strlen(IFNAME_OPTION));
	const char *prefix = network_option(a->n, PREFIX_OPTION);
	return str_printf("%s%u", prefix ? prefix : "eth", a->number);
}

static int record(struct engine *engine, const struct endpoint *e, struct err *err)
{
	CLEANUP_FREE char *names = strv_join(&e->dns_names, "\n");
	int r = db_run(engine->db, err,
		       "UPDATE endpoints SET id = ?, interface = ?, host_name = ?, mac = ?, address4 = ?, address6 = ?, dns_names = ?"
		       " WHERE container = ? AND network = ?",
		       "sssssssss", e->id, e->interface, e->host_name, e->mac, e->address4[0] ? e->address4 : NULL,
		       e->address6[0] ? e->address6 : NULL, names, e->container, e->network);
	return r < 0 ? r : 0;
}

int endpoint_activate(struct engine *engine, const struct endpoint_activation *a, struct spec_interface *ret, struct err *err)
{
	static const char *const kinds[] = { [DRIVER_MACVLAN] = "macvlan", [DRIVER_IPVLAN] = "ipvlan" };
	struct ip_address v4, v6;
	struct endpoint *e = a->e;
	char host_name[16];
	int r = give_address(engine, a, AF_INET, &v4, ret, err);
	if (r == 0)
		r = give_address(engine, a, AF_INET6, &v6, ret, err);
	if (r == 0)
		r = give_mac(e, &v4, &v6, err);
	if (r < 0)
		return r;
	host_name_of(a->c->id, a->number, host_name);
	id_generate(e->id);
	free(e->interface);
	free(e->host_name);
	e->interface = interface_name(a);
	e->host_name = str_dup(host_name);
	e->is_active = true;
	strv_free(&e->dns_names);
	endpoint_dns_names(a->c, &e->aliases, &e->dns_names);
	bool is_upper = a->n->driver == DRIVER_MACVLAN || a->n->driver == DRIVER_IPVLAN;
	const char *mode = is_upper ? network_option(a->n, a->n->driver == DRIVER_MACVLAN ? "macvlan_mode" : "ipvlan_mode") : NULL;
	ret->network = str_dup(a->n->name);
	ret->name = str_dup(e->interface);
	ret->host_name = str_dup(host_name);
	ret->kind = is_upper ? str_dup(kinds[a->n->driver]) : NULL;
	ret->bridge = str_dup(is_upper ? a->n->parent : a->n->bridge);
	ret->mode = str_dup(mode);
	ret->mtu = a->n->mtu;
	ret->is_routed = !is_upper && a->n->is_isolated;
	ret->is_port_isolated =
		ret->is_routed || (!is_upper && !network_option_is_on(a->n, "com.docker.network.bridge.enable_icc"));
	ret->rate_in = (uint64_t)a->c->config->network_rate_in;
	ret->rate_out = (uint64_t)a->c->config->network_rate_out;
	if (str_copy(ret->mac, sizeof(ret->mac), e->mac) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid MAC address: %s", e->mac);
	return record(engine, e, err);
}

int endpoints_deactivate(struct engine *engine, const char *container, const char *network, struct err *err)
{
	int r = db_run(engine->db, err,
		       "UPDATE endpoints SET id = NULL, interface = NULL, host_name = NULL, mac = NULL, address4 = NULL,"
		       " address6 = NULL, dns_names = NULL, owner_pid = 0, owner_ticks = 0"
		       " WHERE container = ? AND (?2 IS NULL OR network = ?2)", "ss", container, network);
	return r < 0 ? r : 0;
}

/* ---- default routes ---- */

void endpoint_gateways_done(struct endpoint_gateways *g)
{
	free(g->v4.interface);
	free(g->v4.network);
	free(g->v6.interface);
	free(g->v6.network);
	*g = (struct endpoint_gateways){ 0 };
}

static int take_gateway(struct db_stmt *row, int address, int gateway, bool by_link, struct endpoint_gateway *ret)
{
	const char *text = db_text_or(row, gateway, "");
	if (ret->interface || !db_text(row, address) || (!*text && !by_link))
		return 0;
	ret->interface = str_dup(db_text(row, 0));
	ret->network = str_dup(db_text(row, 1));
	CLEANUP_FREE char *bare = str_ndup(text, strcspn(text, "/"));
	int r = str_copy(ret->address, sizeof(ret->address), db_text(row, address));
	return r < 0 ? r : str_copy(ret->gateway, sizeof(ret->gateway), by_link ? "" : bare);
}

int endpoint_gateways_find(struct engine *engine, const char *container, struct endpoint_gateways *ret, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	*ret = (struct endpoint_gateways){ 0 };
	int r = db_query(engine->db, &row, err,
			 "SELECT e.interface, e.network, e.address4, n.gateway4, e.address6, n.gateway6,"
			 " n.driver = 'ipvlan' AND n.options LIKE '%ipvlan_mode=l3%'"
			 " FROM endpoints e JOIN networks n ON n.name = e.network"
			 " WHERE e.container = ? AND e.host_name IS NOT NULL AND NOT n.is_internal"
			 " ORDER BY e.gw_priority DESC, e.network", "s", container);
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		bool by_link = db_i64(row, 6) != 0;
		if (take_gateway(row, 2, 3, by_link, &ret->v4) < 0 || take_gateway(row, 4, 5, by_link, &ret->v6) < 0)
			return err_set(err, ERR_SYSTEM, EINVAL, "a gateway is recorded wrongly");
	}
	return r < 0 ? r : 0;
}
