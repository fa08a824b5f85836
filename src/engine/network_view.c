/* SPDX-License-Identifier: Apache-2.0 */
#include "network_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports.h"

int network_ports(struct engine *engine, const char *id, struct published_port **ret, size_t *ret_n, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	CLEANUP_FREE struct published_port *list = NULL;
	size_t n = 0;
	int r = db_query(engine->db, &row, err,
			 "SELECT " PORTS_COLUMNS " FROM ports WHERE container = ? ORDER BY container_port, protocol, host_port", "s", id);
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		struct spec_port ports[2];
		size_t more = ports_of_row(row, 0, ports);
		list = reallocarray(list, n + more + 1, sizeof(*list));
		if (!list)
			abort();
		for (size_t i = 0; i < more; i++) {
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

struct endpoint {
	const char *network;
	char *gateway, *address, *mac;
	int64_t prefix;
};

static void write_addresses(struct json_writer *w, const struct endpoint *e)
{
	jw_kv_str(w, "Gateway", e->gateway ? e->gateway : "");
	jw_kv_str(w, "IPAddress", e->address ? e->address : "");
	jw_kv_i64(w, "IPPrefixLen", e->prefix);
	jw_kv_str(w, "IPv6Gateway", "");
	jw_kv_str(w, "GlobalIPv6Address", "");
	jw_kv_i64(w, "GlobalIPv6PrefixLen", 0);
	jw_kv_str(w, "MacAddress", e->mac ? e->mac : "");
}

static int find_endpoint(struct engine *engine, const char *id, struct endpoint *e, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	int r = db_query(engine->db, &row, err,
			 "SELECT e.address4, e.mac, n.gateway4 FROM endpoints e LEFT JOIN networks n ON n.name = e.network"
			 " WHERE e.container = ?", "s", id);
	if (r >= 0)
		r = db_next(row, err);
	if (r <= 0)
		return r;
	e->address = str_dup(db_text(row, 0));
	e->mac = str_dup(db_text(row, 1));
	const char *gateway = db_text_or(row, 2, "");
	const char *slash = strchr(gateway, '/');
	e->gateway = str_ndup(gateway, slash ? (size_t)(slash - gateway) : strlen(gateway));
	e->prefix = slash ? strtol(slash + 1, NULL, 10) : 0;
	return 0;
}

int network_settings_write(struct engine *engine, const struct container *c, struct json_writer *w, struct err *err)
{
	CLEANUP_FREE struct published_port *ports = NULL;
	size_t n = 0;
	const char *mode = c->config->network_mode;
	struct endpoint e = { .network = str_is_empty(mode) || str_eq(mode, "default") ? "bridge" : mode };
	int r = network_ports(engine, c->id, &ports, &n, err);
	if (r == 0)
		r = find_endpoint(engine, c->id, &e, err);
	if (r < 0)
		return r;
	jw_key(w, "NetworkSettings");
	jw_object(w);
	jw_kv_str(w, "Bridge", "");
	write_ports(w, c, ports, n);
	write_addresses(w, &e);
	jw_key(w, "Networks");
	jw_object(w);
	if (!str_starts_with(e.network, "container:")) {
		jw_key(w, e.network);
		jw_object(w);
		write_addresses(w, &e);
		jw_object_end(w);
	}
	jw_object_end(w);
	jw_object_end(w);
	free(e.gateway);
	free(e.address);
	free(e.mac);
	return 0;
}
