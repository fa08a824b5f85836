/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fd.h"
#include "flag_parse.h"
#include "run_flags.h"

static int endpoint_field(struct config_endpoint *e, const char *key, const char *value, struct err *err)
{
	if (str_eq(key, "name")) {
		free(e->network);
		e->network = str_dup(value);
	} else if (str_eq(key, "alias")) {
		strv_add(&e->aliases, value);
	} else if (str_eq(key, "ip")) {
		free(e->ipv4_address);
		e->ipv4_address = str_dup(value);
	} else if (str_eq(key, "ip6")) {
		free(e->ipv6_address);
		e->ipv6_address = str_dup(value);
	} else if (str_eq(key, "mac-address")) {
		free(e->mac_address);
		e->mac_address = str_dup(value);
	} else if (str_eq(key, "link-local-ip")) {
		strv_add(&e->link_local_ips, value);
	} else if (str_eq(key, "driver-opt")) {
		strv_add(&e->driver_opts, value);
	} else if (str_eq(key, "gw-priority")) {
		if (str_parse_i64(value, &e->gw_priority) < 0)
			return err_set(err, ERR_INVALID, 0, "invalid gw-priority: %s", value);
	} else {
		return err_set(err, ERR_INVALID, 0, "invalid field key %s", key);
	}
	return 0;
}

int flag_parse_network(struct container_config *c, const char *value, struct err *err)
{
	struct config_endpoint *e = config_add_endpoint(c);

	if (!strchr(value, '=')) {
		e->network = str_dup(*value ? value : "default");
		return 0;
	}
	CLEANUP_STRV struct strv fields = { 0 };
	strv_split(&fields, value, ',');
	for (size_t i = 0; i < fields.n; i++) {
		char *eq = strchr(fields.v[i], '=');
		if (!eq)
			return err_set(err, ERR_INVALID, 0, "invalid field %s", fields.v[i]);
		*eq = 0;
		int r = endpoint_field(e, fields.v[i], eq + 1, err);
		if (r < 0)
			return r;
	}
	if (str_is_empty(e->network))
		return err_set(err, ERR_INVALID, 0, "network name is missing in %s", value);
	return 0;
}

int flag_parse_add_host(struct container_config *c, const char *value, struct err *err)
{
	size_t at = strcspn(value, ":=");
	unsigned char address[16];

	if (!at || !value[at])
		return err_set(err, ERR_INVALID, 0, "bad format for add-host: \"%s\"", value);
	CLEANUP_FREE char *name = str_ndup(value, at), *ip = str_dup(value + at + 1);
	size_t len = strlen(ip);
	if (len > 2 && ip[0] == '[' && ip[len - 1] == ']') {
		memmove(ip, ip + 1, len - 2);
		ip[len - 2] = 0;
	}
	if (!str_eq(ip, "host-gateway") && inet_pton(AF_INET, ip, address) != 1 && inet_pton(AF_INET6, ip, address) != 1)
		return err_set(err, ERR_INVALID, 0, "invalid IP address in add-host: \"%s\"", ip);
	strv_printf(&c->extra_hosts, "%s:%s", name, ip);
	return 0;
}

static int pair_line(struct strv *out, char *line, const char *path, bool from_environ, struct err *err)
{
	line += strspn(line, " \t");
	size_t len = strlen(line);
	if (len && line[len - 1] == '\r')
		line[--len] = 0;
	if (!len || *line == '#')
		return 0;
	size_t key = strcspn(line, "=");
	if (!key)
		return err_set(err, ERR_INVALID, 0, "invalid file (%s): no variable name on line '%s'", path, line);
	if (strcspn(line, " \t") < key)
		return err_set(err, ERR_INVALID, 0, "invalid file (%s): variable '%.*s' contains whitespaces", path, (int)key, line);
	if (line[key]) {
		strv_add(out, line);
	} else if (!from_environ) {
		strv_printf(out, "%s=", line);
	} else {
		const char *value = getenv(line);
		if (value)
			strv_printf(out, "%s=%s", line, value);
	}
	return 0;
}

int flag_parse_pairs(struct strv *out, const char *text, const char *path, bool from_environ, struct err *err)
{
	CLEANUP_STRV struct strv lines = { 0 };

	if (str_starts_with(text, "\xef\xbb\xbf"))
		text += 3;
	strv_split(&lines, text, '\n');
	for (size_t i = 0; i < lines.n; i++) {
		int r = pair_line(out, lines.v[i], path, from_environ, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int flag_read_pairs(struct strv *out, const char *path, bool from_environ, struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(4 << 20);

	int r = fd_read_file_at(AT_FDCWD, path, &text);
	if (r < 0)
		return err_set(err, ERR_INVALID, r, "open %s", path);
	return flag_parse_pairs(out, buf_str(&text), path, from_environ, err);
}

int flag_env(struct strv *out, const struct strv *files, const struct strv *pairs, struct err *err)
{
	for (size_t i = 0; i < files->n; i++) {
		int r = flag_read_pairs(out, files->v[i], true, err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < pairs->n; i++) {
		const char *e = pairs->v[i];
		if (!*e || *e == '=')
			return err_set(err, ERR_INVALID, 0, "invalid argument \"%s\" for \"-e, --env\" flag: invalid environment variable: %s",
				       e, e);
		const char *value = strchr(e, '=') ? NULL : getenv(e);
		if (value)
			strv_printf(out, "%s=%s", e, value);
		else
			strv_add(out, e);
	}
	return 0;
}

/* "100mbit", "2gbit", "500kbit" (powers of ten, as tc has them), "1000000". */
static int parse_rate(const char *text, int64_t *ret)
{
	static const struct {
		const char *unit;
		int64_t factor;
	} units[] = { { "gbit", 1000000000 }, { "mbit", 1000000 }, { "kbit", 1000 }, { "bit", 1 }, { "", 1 } };
	uint64_t number;
	size_t digits = strspn(text, "0123456789");
	CLEANUP_FREE char *value = str_ndup(text, digits);
	for (size_t i = 0; digits && i < ARRAY_LEN(units); i++)
		if (strcasecmp(text + digits, units[i].unit) == 0) {
			if (str_parse_u64_max(value, (uint64_t)(INT64_MAX / 8 / units[i].factor), &number) < 0)
				return -EINVAL;
			*ret = (int64_t)number * units[i].factor;
			/* A token bucket counts whole bytes. */
			return *ret && *ret < 8 ? -EINVAL : 0;
		}
	return -EINVAL;
}

int flag_parse_network_rate(const char *value, int64_t *ret_in, int64_t *ret_out, struct err *err)
{
	CLEANUP_STRV struct strv parts = { 0 };
	int64_t in = *ret_in, out = *ret_out;
	int r = 0;
	strv_split(&parts, value, ',');
	for (size_t i = 0; i < parts.n && r == 0; i++) {
		if (str_starts_with(parts.v[i], "in="))
			r = parse_rate(parts.v[i] + 3, &in);
		else if (str_starts_with(parts.v[i], "out="))
			r = parse_rate(parts.v[i] + 4, &out);
		else if (parts.n == 1 && (r = parse_rate(parts.v[i], &in)) == 0)
			out = in;
		else
			r = -EINVAL;
	}
	if (r < 0 || parts.n == 0) {
		r = err_set(err, ERR_INVALID, 0, "invalid network rate \"%s\"", value);
		err_hint(err, "100mbit, 500kbit, 2gbit, or in=50mbit,out=10mbit; 0 is no limit");
		return r;
	}
	*ret_in = in;
	*ret_out = out;
	return 0;
}
