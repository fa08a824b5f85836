/* SPDX-License-Identifier: Apache-2.0 */
#include "ports.h"

#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "firewall.h"
#include "net_bridge.h"

/* Where ports are chosen from when the user leaves it open: Linux's own
 * ephemeral range. */
#define EPHEMERAL_FIRST 32768
#define EPHEMERAL_LAST 60999

static bool is_every4(const char *ip)
{
	return !ip[0] || str_eq(ip, "0.0.0.0");
}

static bool is_every6(const char *ip)
{
	return !ip[0] || str_eq(ip, "::");
}

static bool is_ip6(const char *ip)
{
	return strchr(ip, ':');
}

/* Whether a packet exists that both would take. */
static bool collide(const char *a, const char *b)
{
	if (str_eq(a, b))
		return true;
	if (is_every4(a) && !is_ip6(b))
		return true;
	if (is_every4(b) && !is_ip6(a))
		return true;
	return (is_every6(a) && (is_ip6(b) || !b[0])) || (is_every6(b) && (is_ip6(a) || !a[0]));
}

static const char *shown(const char *host_ip)
{
	return host_ip[0] ? host_ip : "0.0.0.0";
}

/* 1 when the row was added, 0 when a container has the port: its name in *ret_holder. */
static int try_port(struct engine *engine, const char *id, const struct port_binding *b, uint16_t host_port,
		    const struct port_target *target, char **ret_holder, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	int r = db_query(engine->db, &row, err,
			 "SELECT p.host_ip, c.name FROM ports p JOIN containers c ON c.id = p.container"
			 " WHERE p.protocol = ? AND p.host_port = ?", "si", b->protocol, (int64_t)host_port);
	while (r >= 0 && (r = db_next(row, err)) > 0)
		if (collide(db_text_or(row, 0, ""), b->host_ip)) {
			free(*ret_holder);
			*ret_holder = str_dup(db_text_or(row, 1, ""));
			return 0;
		}
	if (r < 0)
		return r;
	r = db_run(engine->db, err,
		   "INSERT INTO ports(container, protocol, host_ip, host_port, container_port, address4, address6)"
		   " VALUES(?, ?, ?, ?, ?, ?, ?)", "sssiiss", id, b->protocol, b->host_ip, (int64_t)host_port,
		   (int64_t)b->container_port, target->address4, target->address6);
	return r < 0 ? r : 1;
}

static bool is_loopback(const char *ip)
{
	return str_starts_with(ip, "127.") || str_eq(ip, "::1");
}

static int put_port(const struct port_binding *b, uint16_t host_port, const char *host_ip, const char *address, struct spec_port *ret)
{
	*ret = (struct spec_port){ .host_port = host_port, .container_port = b->container_port };
	int r = str_copy(ret->protocol, sizeof(ret->protocol), b->protocol);
	if (r == 0)
		r = str_copy(ret->host_ip, sizeof(ret->host_ip), host_ip);
	return r == 0 ? str_copy(ret->container_ip, sizeof(ret->container_ip), address) : r;
}

/* No stranger comes by IPv6 to a host that has none. */
static bool host_has_ip6(void)
{
	static int answer = -1;
	char byte;
	if (answer < 0) {
		CLEANUP_FD int fd = open("/proc/net/if_inet6", O_RDONLY | O_CLOEXEC);
		answer = fd >= 0 && read(fd, &byte, 1) == 1;
	}
	return answer;
}

/* Of one family: @same is the container's address in it, @other that of the other
 * family. The kernel redirects within a family, and not from the loopback of IPv6,
 * whose packets it lets out by no other link. */
static size_t of_family(const struct port_binding *b, uint16_t host_port, bool is6, const struct port_target *target,
			struct spec_port ret[2])
{
	const char *same = is6 ? target->address6 : target->address4, *other = is6 ? target->address4 : target->address6;
	const char *host_ip = is6 && !b->host_ip[0] ? "::" : !is6 && !b->host_ip[0] && str_is_empty(same) ? "0.0.0.0" : b->host_ip;
	bool is_whole = is6 ? is_every6(b->host_ip) : is_every4(b->host_ip), can_proxy = !str_eq(b->protocol, "sctp");
	bool routes_loopback = !is6 && net_routes_localnet();
	bool by_kernel = !str_is_empty(same) && (!is_loopback(host_ip) || routes_loopback);
	size_t n = 0;
	if (by_kernel && put_port(b, host_port, host_ip, same, &ret[n]) == 0)
		n++;
	if (!can_proxy || (is6 && !b->host_ip[0] && !host_has_ip6()))
		return n;
	if (!by_kernel && put_port(b, host_port, host_ip, str_is_empty(same) ? other : same, &ret[n]) == 0)
		ret[n++].way = PORT_BY_PROXY;
	else if (by_kernel && is_whole && !routes_loopback && put_port(b, host_port, is6 ? "::1" : "127.0.0.1", same, &ret[n]) == 0)
		ret[n++].way = PORT_PART_BY_PROXY;
	return n;
}

/* For each family that the binding is for. */
static size_t families(const struct port_binding *b, uint16_t host_port, const struct port_target *target,
		       struct spec_port ret[PORTS_PER_ROW])
{
	size_t n = 0;
	if (str_is_empty(target->address4) && str_is_empty(target->address6))
		return 0;
	if (is_every4(b->host_ip) || !is_ip6(b->host_ip))
		n = of_family(b, host_port, false, target, ret);
	if (is_every6(b->host_ip) || is_ip6(b->host_ip))
		n += of_family(b, host_port, true, target, ret + n);
	return n;
}

size_t ports_of_row(struct db_stmt *row, int column, struct spec_port ret[PORTS_PER_ROW])
{
	struct port_binding b = { .container_port = (uint16_t)db_i64(row, column + 3) };
	struct port_target target = { db_text(row, column + 4), db_text(row, column + 5) };
	if (str_copy(b.protocol, sizeof(b.protocol), db_text_or(row, column, "")) < 0 ||
	    str_copy(b.host_ip, sizeof(b.host_ip), db_text_or(row, column + 1, "")) < 0)
		return 0;
	return families(&b, (uint16_t)db_i64(row, column + 2), &target, ret);
}

size_t ports_ever_of_row(struct db_stmt *row, int column, struct spec_port ret[PORTS_EVER_PER_ROW])
{
	static const struct port_target any[] = { { "192.0.2.1", "2001:db8::1" }, { "192.0.2.1", NULL }, { NULL, "2001:db8::1" } };
	struct port_binding b = { .container_port = (uint16_t)db_i64(row, column + 3) };
	size_t n = 0;
	if (str_copy(b.protocol, sizeof(b.protocol), db_text_or(row, column, "")) < 0 ||
	    str_copy(b.host_ip, sizeof(b.host_ip), db_text_or(row, column + 1, "")) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(any); i++)
		n += families(&b, (uint16_t)db_i64(row, column + 2), &any[i], ret + n);
	return n;
}

static bool are_free(const struct spec_port *ports, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ports[i].way != PORT_PART_BY_PROXY && !net_port_is_free(&ports[i]))
			return false;
	return true;
}

/* Not always the same one, or the thousandth would come by all the others. */
static unsigned ephemeral_start(void)
{
	uint16_t number = 0;
	(void)!getrandom(&number, sizeof(number), GRND_NONBLOCK);
	return number % (EPHEMERAL_LAST - EPHEMERAL_FIRST + 1);
}

int ports_reserve_one(struct engine *engine, const char *id, const struct port_binding *b, const struct port_target *target,
		      struct spec_port ret[PORTS_PER_ROW], size_t *ret_n, struct err *err)
{
	CLEANUP_FREE char *holder = NULL;
	unsigned first = b->host_port ? b->host_port : EPHEMERAL_FIRST;
	unsigned last = b->host_port ? (b->host_port_end > b->host_port ? b->host_port_end : b->host_port) : EPHEMERAL_LAST;
	unsigned count = last - first + 1, start = b->host_port ? 0 : ephemeral_start();
	for (unsigned i = 0; i < count; i++) {
		uint16_t port = (uint16_t)(first + (start + i) % count);
		*ret_n = families(b, port, target, ret);
		if (*ret_n == 0) {
			int r = err_set(err, ERR_INVALID, 0, "cannot publish port %u on %s", b->container_port, shown(b->host_ip));
			err_why(err, "the container has no address of that family, and SCTP cannot be relayed");
			return r;
		}
		/* Where there is a choice a port that a process of the host has is none;
		 * the one port that was asked for is checked, with words, at the start. */
		if (count > 1 && !are_free(ret, *ret_n))
			continue;
		int r = try_port(engine, id, b, port, target, &holder, err);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	if (count > 1)
		return err_set(err, ERR_CONFLICT, 0, "all ports of %u-%u are allocated", first, last);
	int r = err_set(err, ERR_CONFLICT, 0, "Bind for %s:%u failed: port is already allocated", shown(b->host_ip), first);
	err_why(err, "the container %s has it", holder ? holder : "");
	return r;
}

static int reserve(struct engine *engine, const char *id, const struct port_binding *b, const struct port_target *target,
		   struct runtime_spec *spec, struct err *err)
{
	size_t n = 0;
	int r = ports_reserve_one(engine, id, b, target, &spec->ports[spec->ports_n], &n, err);
	if (r == 0)
		spec->ports_n += n;
	return r;
}

/* -P: a port of the host's choice for each "80/tcp" that nothing publishes yet. */
static int publish_exposed(struct engine *engine, const char *id, const struct strv *exposed, const struct port_target *target,
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
		int r = reserve(engine, id, &b, target, spec, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int ports_reserve(struct engine *engine, struct container *c, const struct image_config *image, const struct port_target *target,
		  struct runtime_spec *spec, struct err *err)
{
	const struct container_config *config = c->config;
	size_t most = config->port_bindings_n + config->exposed_ports.n + image->exposed_ports.n + 1;
	spec->ports = mem_calloc(PORTS_PER_ROW * most, sizeof(*spec->ports));
	for (size_t i = 0; i < config->port_bindings_n; i++) {
		int r = reserve(engine, c->id, &config->port_bindings[i], target, spec, err);
		if (r < 0)
			return r;
	}
	if (!config->publish_all_ports)
		return 0;
	int r = publish_exposed(engine, c->id, &config->exposed_ports, target, spec, err);
	return r < 0 ? r : publish_exposed(engine, c->id, &image->exposed_ports, target, spec, err);
}

int ports_release(struct engine *engine, const char *id, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	int r = db_query(engine->db, &row, err, "SELECT " PORTS_COLUMNS " FROM ports WHERE container = ?", "s", id);
	bool any = false;
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		struct spec_port ports[PORTS_PER_ROW];
		any = true;
		r = net_unpublish(ports, ports_of_row(row, 0, ports), err);
	}
	if (r >= 0 && any)
		r = db_run(engine->db, err, "DELETE FROM ports WHERE container = ?", "s", id);
	return r < 0 ? r : 0;
}
