/* SPDX-License-Identifier: Apache-2.0 */
#include "ports.h"

#include <string.h>

#include "firewall.h"

/* Where ports are chosen from when the user leaves it open: Linux's own
 * ephemeral range. */
#define EPHEMERAL_FIRST 32768
#define EPHEMERAL_LAST 60999

/* 1 when the row was added, 0 when somebody has the port. */
static int try_port(struct engine *engine, const char *id, const struct port_binding *b, uint16_t host_port, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	/* A port on every address collides with the same port on one, too. */
	int r = db_query(engine->db, &row, err,
			 "SELECT 1 FROM ports WHERE protocol = ? AND host_port = ? AND (host_ip = '' OR host_ip = ? OR ? = '')", "siss",
			 b->protocol, (int64_t)host_port, b->host_ip, b->host_ip);
	if (r >= 0)
		r = db_next(row, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = db_run(engine->db, err,
		   "INSERT INTO ports(container, protocol, host_ip, host_port, container_port) VALUES(?, ?, ?, ?, ?)", "sssii", id,
		   b->protocol, b->host_ip, (int64_t)host_port, (int64_t)b->container_port);
	return r < 0 ? r : 1;
}

static int reserve_port(struct engine *engine, const char *id, const struct port_binding *b, const char *container_ip,
			struct spec_port *ret, struct err *err)
{
	unsigned first = b->host_port ? b->host_port : EPHEMERAL_FIRST;
	unsigned last = b->host_port ? (b->host_port_end > b->host_port ? b->host_port_end : b->host_port) : EPHEMERAL_LAST;
	struct port_binding any = *b;
	if (str_eq(any.host_ip, "0.0.0.0") || str_eq(any.host_ip, "::"))
		any.host_ip[0] = '\0';
	for (unsigned port = first; port <= last; port++) {
		*ret = (struct spec_port){ .host_port = (uint16_t)port, .container_port = b->container_port };
		if (str_copy(ret->protocol, sizeof(ret->protocol), b->protocol) < 0 ||
		    str_copy(ret->host_ip, sizeof(ret->host_ip), any.host_ip) < 0 ||
		    str_copy(ret->container_ip, sizeof(ret->container_ip), container_ip) < 0)
			return err_set(err, ERR_INVALID, 0, "bad published port");
		/* Where there is a choice a port that a process of the host has is none;
		 * the one port that was asked for is checked, with words, at the start. */
		if (first != last && !net_port_is_free(ret))
			continue;
		int r = try_port(engine, id, &any, (uint16_t)port, err);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	if (first == last)
		return err_set(err, ERR_CONFLICT, 0, "Bind for %s:%u failed: port is already allocated",
			       any.host_ip[0] ? any.host_ip : "0.0.0.0", first);
	return err_set(err, ERR_CONFLICT, 0, "all ports of %u-%u are allocated", first, last);
}

/* -P: a port of the host's choice for each "80/tcp" that nothing publishes yet. */
static int publish_exposed(struct engine *engine, const char *id, const struct strv *exposed, const char *ip,
			   struct runtime_spec *spec, struct err *err)
{
	for (size_t i = 0; i < exposed->n; i++) {
		struct port_binding b = { 0 };
		const char *slash = strchr(exposed->v[i], '/');
		CLEANUP_FREE char *number = str_ndup(exposed->v[i], slash ? (size_t)(slash - exposed->v[i]) : strlen(exposed->v[i]));
		uint64_t port = 0;
		bool is_published = false;
		if (str_parse_u64_max(number, UINT16_MAX, &port) < 0 || port == 0 ||
		    str_copy(b.protocol, sizeof(b.protocol), slash ? slash + 1 : "tcp") < 0)
			return err_set(err, ERR_INVALID, 0, "the image exposes '%s', which is no port", exposed->v[i]);
		b.container_port = (uint16_t)port;
		for (size_t k = 0; k < spec->ports_n; k++)
			is_published |= spec->ports[k].container_port == b.container_port && str_eq(spec->ports[k].protocol, b.protocol);
		if (is_published)
			continue;
		int r = reserve_port(engine, id, &b, ip, &spec->ports[spec->ports_n], err);
		if (r < 0)
			return r;
		spec->ports_n++;
	}
	return 0;
}

int ports_reserve(struct engine *engine, struct container *c, const struct image_config *image, const char *ip,
		  struct runtime_spec *spec, struct err *err)
{
	const struct container_config *config = c->config;
	spec->ports = mem_calloc(config->port_bindings_n + config->exposed_ports.n + image->exposed_ports.n + 1, sizeof(*spec->ports));
	for (size_t i = 0; i < config->port_bindings_n; i++) {
		int r = reserve_port(engine, c->id, &config->port_bindings[i], ip, &spec->ports[spec->ports_n], err);
		if (r < 0)
			return r;
		spec->ports_n++;
	}
	if (!config->publish_all_ports)
		return 0;
	int r = publish_exposed(engine, c->id, &config->exposed_ports, ip, spec, err);
	return r < 0 ? r : publish_exposed(engine, c->id, &image->exposed_ports, ip, spec, err);
}

int ports_release(struct engine *engine, const char *id, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	int r = db_query(engine->db, &row, err, "SELECT protocol, host_ip, host_port, container_port FROM ports WHERE container = ?",
			 "s", id);
	bool any = false;
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		/* The address only says the family. */
		struct spec_port port = { .host_port = (uint16_t)db_i64(row, 2), .container_port = (uint16_t)db_i64(row, 3),
					  .container_ip = "0.0.0.0" };
		any = true;
		if (str_copy(port.protocol, sizeof(port.protocol), db_text(row, 0)) < 0 ||
		    str_copy(port.host_ip, sizeof(port.host_ip), db_text(row, 1)) < 0)
			continue;
		r = net_unpublish(&port, 1, err);
	}
	if (r >= 0 && any)
		r = db_run(engine->db, err, "DELETE FROM ports WHERE container = ?", "s", id);
	return r < 0 ? r : 0;
}
