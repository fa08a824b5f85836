/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "flag_parse.h"

struct range {
	uint64_t first, last;
};

/* "80", "80-90"; ports are 1..65535 (0 for a host port: any). */
static int parse_range(const char *s, struct range *r)
{
	const char *dash = strchr(s, '-');
	CLEANUP_FREE char *first = dash ? str_ndup(s, (size_t)(dash - s)) : str_dup(s);

	if (str_parse_u64_max(first, 65535, &r->first) < 0)
		return -EINVAL;
	r->last = r->first;
	if (dash && str_parse_u64_max(dash + 1, 65535, &r->last) < 0)
		return -EINVAL;
	return r->last < r->first ? -EINVAL : 0;
}

static int split_protocol(char *spec, char protocol[8], struct err *err)
{
	char *slash = strrchr(spec, '/');
	const char *name = slash ? slash + 1 : "tcp";

	if (slash)
		*slash = 0;
	if (strcasecmp(name, "tcp") == 0)
		return str_copy(protocol, 8, "tcp");
	if (strcasecmp(name, "udp") == 0)
		return str_copy(protocol, 8, "udp");
	if (strcasecmp(name, "sctp") == 0)
		return str_copy(protocol, 8, "sctp");
	return err_set(err, ERR_INVALID, 0, "Invalid proto: %s", name);
}

/* All of @r at once: of 65535 ports each would look through all others. */
static void expose(struct container_config *c, const struct range *r, const char *protocol)
{
	uint8_t has[65536 / 8] = { 0 };
	size_t n = c->exposed_ports.n;

	for (size_t i = 0; i < n; i++) {
		char *end;
		unsigned long port = strtoul(c->exposed_ports.v[i], &end, 10);
		if (*end == '/' && str_eq(end + 1, protocol) && port < 65536)
			has[port / 8] |= (uint8_t)(1 << port % 8);
	}
	for (uint64_t port = r->first; port <= r->last; port++)
		if (!(has[port / 8] & 1 << port % 8))
			strv_printf(&c->exposed_ports, "%u/%s", (unsigned)port, protocol);
}

int flag_parse_expose(struct container_config *c, const char *value, struct err *err)
{
	CLEANUP_FREE char *spec = str_dup(value);
	char protocol[8];
	struct range r;

	int e = split_protocol(spec, protocol, err);
	if (e < 0)
		return e;
	if (strchr(value, ':'))
		return err_set(err, ERR_INVALID, 0, "invalid port format for --expose: %s", value);
	if (parse_range(spec, &r) < 0 || !r.first)
		return err_set(err, ERR_INVALID, 0, "invalid range format for --expose: %s, error: invalid port", value);
	expose(c, &r, protocol);
	return 0;
}

/* Cut "[ip:][host:]container" from the right; an IPv6 address is in brackets. */
static void cut(char *spec, char **ip, char **host, char **container)
{
	char *colon = strrchr(spec, ':');

	*ip = *host = NULL;
	*container = colon ? colon + 1 : spec;
	if (!colon)
		return;
	*colon = 0;
	*host = spec;
	colon = strrchr(spec, ':');
	if (!colon || (spec[0] == '[' && strrchr(spec, ']') > colon))
		return;
	*colon = 0;
	*ip = spec;
	*host = colon + 1;
}

static int check_ip(char **ip, const char *value, struct err *err)
{
	unsigned char address[16];
	size_t len = strlen(*ip);

	if (!len)
		return 0;
	if ((*ip)[0] == '[' && (*ip)[len - 1] == ']') {
		(*ip)[len - 1] = 0;
		(*ip)++;
	}
	if (inet_pton(AF_INET, *ip, address) != 1 && inet_pton(AF_INET6, *ip, address) != 1)
		return err_set(err, ERR_INVALID, 0, "Invalid IP address: %s", *ip);
	return 0;
}

static int check_ranges(const char *host_text, const char *container_text, struct range *host, struct range *container,
			struct err *err)
{
	if (parse_range(container_text, container) < 0 || !container->first)
		return err_set(err, ERR_INVALID, 0, "Invalid containerPort: %s", container_text);
	if (parse_range(host_text ? host_text : "", host) < 0) {
		if (host_text && *host_text)
			return err_set(err, ERR_INVALID, 0, "Invalid hostPort: %s", host_text);
		*host = (struct range){ 0 };
	}
	if (host->first && container->last != container->first && host->last - host->first != container->last - container->first)
		return err_set(err, ERR_INVALID, 0, "Invalid ranges specified for container and host Ports: %s and %s",
			       container_text, host_text);
	return 0;
}

/* The long form of Docker's --publish: target=80,published=8080,protocol=tcp. */
static int long_form(const char *value, char **ret, struct err *err)
{
	CLEANUP_STRV struct strv fields = { 0 };
	const char *target = NULL, *published = "", *protocol = "tcp";

	strv_split(&fields, value, ',');
	for (size_t i = 0; i < fields.n; i++) {
		char *eq = strchr(fields.v[i], '=');
		if (!eq)
			return err_set(err, ERR_INVALID, 0, "invalid field: %s", fields.v[i]);
		*eq = 0;
		if (str_eq(fields.v[i], "target"))
			target = eq + 1;
		else if (str_eq(fields.v[i], "published"))
			published = eq + 1;
		else if (str_eq(fields.v[i], "protocol"))
			protocol = eq + 1;
		else if (!str_eq(fields.v[i], "mode"))
			return err_set(err, ERR_INVALID, 0, "invalid field key: %s", fields.v[i]);
	}
	if (!target)
		return err_set(err, ERR_INVALID, 0, "missing mandatory field 'target'");
	*ret = str_printf("%s:%s/%s", published, target, protocol);
	return 0;
}

int flag_parse_publish(struct container_config *c, const char *value, struct err *err)
{
	CLEANUP_FREE char *spec = NULL;
	char protocol[8], *ip, *host_text, *container_text;
	struct range host, container;
	int r = 0;

	if (strchr(value, '='))
		r = long_form(value, &spec, err);
	else
		spec = str_dup(value);
	if (r == 0)
		r = split_protocol(spec, protocol, err);
	if (r < 0)
		return r;
	cut(spec, &ip, &host_text, &container_text);
	if (!*container_text)
		return err_set(err, ERR_INVALID, 0, "No port specified: %s<empty>", value);
	if (ip)
		r = check_ip(&ip, value, err);
	if (r == 0)
		r = check_ranges(host_text, container_text, &host, &container, err);
	if (r)
		return r;
	bool is_choice = container.first == container.last && host.first != host.last;
	for (uint64_t i = 0; i <= container.last - container.first; i++) {
		struct port_binding *b = config_add_port(c);
		b->container_port = (uint16_t)(container.first + i);
		b->host_port = host.first ? (uint16_t)(host.first + i) : 0;
		b->host_port_end = is_choice ? (uint16_t)host.last : 0;
		r = str_copy(b->protocol, sizeof(b->protocol), protocol);
		if (r == 0)
			r = str_copy(b->host_ip, sizeof(b->host_ip), ip ? ip : "");
		if (r < 0)
			return err_set(err, ERR_INVALID, 0, "Invalid IP address: %s", ip);
	}
	expose(c, &container, protocol);
	return 0;
}
