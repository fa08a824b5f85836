/* SPDX-License-Identifier: Apache-2.0 */
#include "network_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "network_link.h"
#include "ports.h"

int network_ports(struct engine *engine, const char *id, struct published_port **ret, size_t *ret_n, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	CLEANUP_FREE struct published_port *list = NULL;
	size_t n = 0;
	int r = db_query(engine->db, &row, err,
			 "SELECT " PORTS_COLUMNS " FROM ports WHERE container = ? ORDER BY container_port, protocol, host_port", "s", id);
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		struct spec_port ports[PORTS_PER_ROW];
		size_t more = ports_of_row(row, 0, ports);
		list = reallocarray(list, n + more + 1, sizeof(*list));
		if (!list)
			abort();
		for (size_t i = 0; i < more; i++) {
			if (ports[i].way == PORT_PART_BY_PROXY)
				continue;
			struct published_port *p = &list[n++];
			*p = (struct published_port){ .host_port = ports[i].host_port, .container_port = ports[i].container_port };
			memcpy(p->protocol, ports[i].protocol, sizeof(p->protocol));
			snprintf(p->host_ip, sizeof(p->host_ip), "%s", ports[i].host_ip[0] ? ports[i].host_ip : "0.0.0.0");
		}
	}
	if (r < 0)
		return r;
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

static bool is_published(const struct published_port *ports, size_t n, const char *exposed)
{
	char text[16];
	for (size_t i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "%u/%.7s", ports[i].container_port, ports[i].protocol);
		if (str_eq(text, exposed))
			return true;
	}
	return false;
}

/* As our own writer writes it; an escaped quote of a value does not look like it.
 * To parse each of a thousand configurations for `ps` takes longer than all else. */
static bool exposes_ports(const struct container *c)
{
	return !c->config_text || strstr(c->config_text, "\"ExposedPorts\":{\"");
}

static bool publishes_ports(struct engine *engine, const struct container *c)
{
	static const char any[] = "SELECT 1 FROM ports WHERE container = ? LIMIT 1";
	int64_t one;
	struct err ignored = ERR_INIT;
	db_prepare_ahead(engine->db, any);
	return db_query_i64(engine->db, &one, &ignored, any, "s", c->id) != 0;
}

char *network_ports_text(struct engine *engine, struct container *c)
{
	CLEANUP_STRV struct strv parts = { 0 };
	CLEANUP_FREE struct published_port *ports = NULL;
	size_t n = 0;
	struct err ignored = ERR_INIT;
	if (!container_is_running(c))
		return str_dup("");
	if (publishes_ports(engine, c) && network_ports(engine, c->id, &ports, &n, &ignored) < 0)
		return str_dup("");
	for (size_t i = 0; i < n; i++)
		strv_printf(&parts, strchr(ports[i].host_ip, ':') ? "[%s]:%u->%u/%s" : "%s:%u->%u/%s", ports[i].host_ip,
			    ports[i].host_port, ports[i].container_port, ports[i].protocol);
	if (exposes_ports(c) && container_load_config(c, &ignored) == 0)
		for (size_t i = 0; i < c->config->exposed_ports.n; i++)
			if (!is_published(ports, n, c->config->exposed_ports.v[i]))
				strv_add(&parts, c->config->exposed_ports.v[i]);
	char *text = strv_join(&parts, ", ");
	return text ? text : str_dup("");
}

static void write_ports(struct json_writer *w, const struct container *c, const struct published_port *ports, size_t n)
{
	char key[16], number[8];
	jw_key(w, "Ports");
	jw_object(w);
	for (size_t i = 0; i < n;) {
		size_t first = i;
		snprintf(key, sizeof(key), "%u/%.7s", ports[i].container_port, ports[i].protocol);
		jw_key(w, key);
		jw_array(w);
		for (; i < n && ports[i].container_port == ports[first].container_port &&
		       str_eq(ports[i].protocol, ports[first].protocol); i++) {
			jw_object(w);
			jw_kv_str(w, "HostIp", ports[i].host_ip);
			snprintf(number, sizeof(number), "%u", ports[i].host_port);
			jw_kv_str(w, "HostPort", number);
			jw_object_end(w);
		}
		jw_array_end(w);
	}
	for (size_t i = 0; container_is_running(c) && i < c->config->exposed_ports.n; i++)
		if (!is_published(ports, n, c->config->exposed_ports.v[i])) {
			jw_key(w, c->config->exposed_ports.v[i]);
			jw_null(w);
		}
	jw_object_end(w);
}

/* ---- endpoints ---- */

/* What a container has of one network, as Docker shows it. */
struct view {
	const struct network *n;
	const struct endpoint *e;
};

static const char *gateway_text(const struct network *n, const struct ip_address *gateway, char text[IP_TEXT_SIZE])
{
	text[0] = '\0';
	return n->is_internal || network_is_routed_by_link(n) ? text : ip_format_bare(gateway, text);
}

static void write_addresses(struct json_writer *w, const struct view *v)
{
	static const struct endpoint nothing = { 0 };
	const struct endpoint *e = v && v->e->is_active ? v->e : &nothing;
	const struct network *n = v && v->e->is_active ? v->n : NULL;
	char text[IP_TEXT_SIZE];
	jw_kv_str(w, "EndpointID", e->id);
	jw_kv_str(w, "Gateway", n ? gateway_text(n, &n->gateway4, text) : "");
	jw_kv_str(w, "GlobalIPv6Address", e->address6);
	jw_kv_i64(w, "GlobalIPv6PrefixLen", n && e->address6[0] ? n->subnet6.prefix : 0);
	jw_kv_str(w, "IPAddress", e->address4);
	jw_kv_i64(w, "IPPrefixLen", n && e->address4[0] ? n->subnet4.prefix : 0);
	jw_kv_str(w, "IPv6Gateway", n ? gateway_text(n, &n->gateway6, text) : "");
	jw_kv_str(w, "MacAddress", e->mac);
}

static void write_list(struct json_writer *w, const char *key, const struct strv *list)
{
	jw_key(w, key);
	if (list->n == 0) {
		jw_null(w);
		return;
	}
	jw_array(w);
	for (size_t i = 0; i < list->n; i++)
		jw_str(w, list->v[i]);
	jw_array_end(w);
}

static void write_pairs_or_null(struct json_writer *w, const char *key, const struct strv *pairs)
{
	if (pairs->n)
		jw_kv_pairs(w, key, pairs);
	else
		jw_kv_str(w, key, NULL);
}

static void write_ipam_config(struct json_writer *w, const struct endpoint *e)
{
	jw_key(w, "IPAMConfig");
	if (!e->asked4[0] && !e->asked6[0]) {
		jw_null(w);
		return;
	}
	jw_object(w);
	if (e->asked4[0])
		jw_kv_str(w, "IPv4Address", e->asked4);
	if (e->asked6[0])
		jw_kv_str(w, "IPv6Address", e->asked6);
	jw_object_end(w);
}

static void write_endpoint(struct json_writer *w, const struct view *v)
{
	const struct endpoint *e = v->e;
	jw_key(w, e->network);
	jw_object(w);
	write_ipam_config(w, e);
	write_list(w, "Links", &e->links);
	write_list(w, "Aliases", &e->aliases);
	write_pairs_or_null(w, "DriverOpts", &e->driver_opts);
	jw_kv_i64(w, "GwPriority", e->gw_priority);
	jw_kv_str(w, "NetworkID", v->n ? v->n->id : "");
	write_addresses(w, v);
	write_list(w, "DNSNames", &e->dns_names);
	jw_object_end(w);
}

/* The host's network, and none: no endpoint, and shown as one. */
static int write_plain(struct engine *engine, const char *mode, struct json_writer *w, struct err *err)
{
	CLEANUP_NETWORK struct network *n = NULL;
	struct endpoint e = { .network = (char *)mode };
	int r = network_get(engine, mode, &n, err);
	if (r < 0)
		return r;
	struct view v = { n, &e };
	write_endpoint(w, &v);
	return 0;
}

struct views {
	struct endpoint_list list;
	struct network **networks; /* of each endpoint; NULL: gone */
};

static void views_done(struct views *v)
{
	network_list_free(v->networks, v->list.n);
	endpoint_list_done(&v->list);
}

static int views_load(struct engine *engine, const char *id, struct views *ret, struct err *err)
{
	int r = endpoints_of_container(engine, id, &ret->list.v, &ret->list.n, err);
	ret->networks = mem_calloc(ret->list.n + 1, sizeof(*ret->networks));
	for (size_t i = 0; r >= 0 && i < ret->list.n; i++) {
		r = network_get(engine, ret->list.v[i].network, &ret->networks[i], err);
		ret->list.v[i].is_active &= r > 0;
	}
	return r < 0 ? r : 0;
}

int network_settings_write(struct engine *engine, const struct container *c, struct json_writer *w, struct err *err)
{
	CLEANUP_FREE struct published_port *ports = NULL;
	CLEANUP(views_done) struct views views = { 0 };
	size_t n = 0, first = 0;
	const char *mode = c->config->network_mode ? c->config->network_mode : "";
	bool has_plain = str_eq(mode, NETWORK_HOST) || str_eq(mode, NETWORK_NONE);
	int r = network_ports(engine, c->id, &ports, &n, err);
	if (r == 0)
		r = views_load(engine, c->id, &views, err);
	if (r < 0)
		return r;
	/* The old fields on top are the default network's. */
	while (first < views.list.n && !str_eq(views.list.v[first].network, NETWORK_BRIDGE))
		first++;
	struct view top = { 0 };
	if (first < views.list.n)
		top = (struct view){ views.networks[first], &views.list.v[first] };
	CLEANUP_FREE char *key = container_is_running(c) && c->run.pid > 0 ? str_printf("/proc/%d/ns/net", c->run.pid) : str_dup("");
	jw_key(w, "NetworkSettings");
	jw_object(w);
	jw_kv_str(w, "Bridge", "");
	jw_kv_str(w, "SandboxID", container_is_running(c) ? c->id : "");
	jw_kv_str(w, "SandboxKey", key);
	write_ports(w, c, ports, n);
	jw_kv_bool(w, "HairpinMode", false);
	jw_kv_str(w, "LinkLocalIPv6Address", "");
	jw_kv_i64(w, "LinkLocalIPv6PrefixLen", 0);
	jw_key(w, "SecondaryIPAddresses");
	jw_null(w);
	jw_key(w, "SecondaryIPv6Addresses");
	jw_null(w);
	write_addresses(w, top.e ? &top : NULL);
	jw_key(w, "Networks");
	jw_object(w);
	if (has_plain)
		r = write_plain(engine, mode, w, err);
	for (size_t i = 0; i < views.list.n; i++) {
		struct view v = { views.networks[i], &views.list.v[i] };
		write_endpoint(w, &v);
	}
	jw_object_end(w);
	jw_object_end(w);
	return r;
}

/* ---- networks ---- */

static void write_ipam_entry(struct json_writer *w, const struct network *n, int family)
{
	const struct ip_address *subnet = family == AF_INET ? &n->subnet4 : &n->subnet6;
	const struct ip_address *gateway = family == AF_INET ? &n->gateway4 : &n->gateway6;
	const struct ip_address *range = family == AF_INET ? &n->range4 : &n->range6;
	CLEANUP_STRV struct strv aux = { 0 };
	char text[IP_TEXT_SIZE];
	if (!subnet->family)
		return;
	for (size_t i = 0; i < n->aux.n; i++) {
		const char *eq = strchr(n->aux.v[i], '=');
		if (eq && (strchr(eq, ':') != NULL) == (family == AF_INET6))
			strv_add(&aux, n->aux.v[i]);
	}
	jw_object(w);
	jw_kv_str(w, "Subnet", ip_format(subnet, text));
	if (range->family)
		jw_kv_str(w, "IPRange", ip_format(range, text));
	if (gateway->family)
		jw_kv_str(w, "Gateway", ip_format_bare(gateway, text));
	if (aux.n)
		write_pairs_or_null(w, "AuxiliaryAddresses", &aux);
	jw_object_end(w);
}

static void with_prefix(const char *address, const struct ip_address *subnet, char out[IP_TEXT_SIZE])
{
	out[0] = '\0';
	if (*address)
		snprintf(out, IP_TEXT_SIZE, "%s/%u", address, subnet->prefix);
}

static int write_members(struct engine *engine, const struct network *n, struct json_writer *w, struct err *err)
{
	CLEANUP_ENDPOINTS struct endpoint_list list = { 0 };
	char text[IP_TEXT_SIZE];
	int r = endpoints_of_network(engine, n->name, &list.v, &list.n, err);
	jw_key(w, "Containers");
	jw_object(w);
	for (size_t i = 0; r >= 0 && i < list.n; i++) {
		CLEANUP_FREE char *name = NULL;
		const struct endpoint *e = &list.v[i];
		if (!e->is_active)
			continue;
		r = db_query_text(engine->db, &name, err, "SELECT name FROM containers WHERE id = ?", "s", e->container);
		jw_key(w, e->container);
		jw_object(w);
		jw_kv_str(w, "Name", name ? name : "");
		jw_kv_str(w, "EndpointID", e->id);
		jw_kv_str(w, "MacAddress", e->mac);
		with_prefix(e->address4, &n->subnet4, text);
		jw_kv_str(w, "IPv4Address", text);
		with_prefix(e->address6, &n->subnet6, text);
		jw_kv_str(w, "IPv6Address", text);
		jw_object_end(w);
	}
	jw_object_end(w);
	return r < 0 ? r : 0;
}

int network_write(struct engine *engine, const struct network *n, struct json_writer *w, struct err *err)
{
	char created[CLOCK_RFC3339_SIZE];
	jw_object(w);
	jw_kv_str(w, "Name", n->name);
	jw_kv_str(w, "Id", n->id);
	jw_kv_str(w, "Created", clock_format_rfc3339(n->created_ns, created));
	jw_kv_str(w, "Scope", "local");
	jw_kv_str(w, "Driver", network_driver_name(n->driver));
	jw_kv_bool(w, "EnableIPv4", n->has_ipv4);
	jw_kv_bool(w, "EnableIPv6", n->has_ipv6);
	jw_key(w, "IPAM");
	jw_object(w);
	jw_kv_str(w, "Driver", "default");
	jw_key(w, "Options");
	jw_null(w);
	jw_key(w, "Config");
	jw_array(w);
	write_ipam_entry(w, n, AF_INET);
	write_ipam_entry(w, n, AF_INET6);
	jw_array_end(w);
	jw_object_end(w);
	jw_kv_bool(w, "Internal", n->is_internal);
	jw_kv_bool(w, "Attachable", n->is_attachable);
	jw_kv_bool(w, "Ingress", false);
	jw_key(w, "ConfigFrom");
	jw_object(w);
	jw_kv_str(w, "Network", "");
	jw_object_end(w);
	jw_kv_bool(w, "ConfigOnly", false);
	/* hull's own. */
	jw_kv_bool(w, "Isolated", n->is_isolated);
	jw_kv_str(w, "Bridge", n->bridge);
	if (n->parent)
		jw_kv_str(w, "Parent", n->parent);
	if (n->vlan)
		jw_kv_i64(w, "Vlan", n->vlan);
	int r = write_members(engine, n, w, err);
	jw_kv_pairs(w, "Options", &n->options);
	jw_kv_pairs(w, "Labels", &n->labels);
	jw_object_end(w);
	return r;
}
