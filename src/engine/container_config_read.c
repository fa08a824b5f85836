/* SPDX-License-Identifier: Apache-2.0 */
/* A container's configuration from JSON, which may be a stranger's. */
#include <stdio.h>
#include <string.h>

#include "container_config.h"
#include "container_config_fields.h"

static int wrong(struct err *err, const char *key)
{
	return err_set(err, ERR_INVALID, 0, "invalid value for %s in the container's configuration", key);
}

static int read_list(const struct json *o, const char *key, struct strv *sv, struct err *err)
{
	/* One string stands for a list of one (Docker accepts it for Cmd, Entrypoint). */
	const char *one = json_get_str(o, key);
	if (one) {
		strv_add(sv, one);
		return 0;
	}
	return json_get_strv(o, key, sv) < 0 ? wrong(err, key) : 0;
}

static int read_map(const struct json *object, const char *what, struct strv *sv, bool is_set, struct err *err)
{
	const char *key;
	struct json *value;
	if (object && json_kind(object) != JT_OBJECT)
		return wrong(err, what);
	for (void *it = NULL; object && (it = json_object_next(object, it, &key, &value));) {
		if (is_set) {
			strv_add(sv, key);
			continue;
		}
		const char *s = json_str(value);
		if (!s && json_kind(value) != JT_NULL)
			return wrong(err, what);
		strv_printf(sv, "%s=%s", key, s ? s : "");
	}
	return 0;
}

static int read_blkio(const struct json *list, const char *what, struct container_config *c, const struct field *f,
		      struct err *err)
{
	for (size_t i = 0; i < json_array_len(list); i++) {
		const struct json *o = json_array_at(list, i);
		int64_t value = json_get_i64(o, f->kind == F_BLKIO ? "Rate" : "Weight", -1);
		if (!json_get_str(o, "Path") || value < 0)
			return wrong(err, what);
		struct config_blkio *b =
			config_add_blkio(AT(c, f->offset, struct config_blkio *), AT(c, f->offset2, size_t));
		b->path = str_dup(json_get_str(o, "Path"));
		b->value = (uint64_t)value;
	}
	return 0;
}

static int read_field(const struct json *o, struct container_config *c, const struct field *f, struct err *err)
{
	const struct json *v = json_get(o, f->name);
	if (!v)
		return 0;
	enum json_kind kind = json_kind(v);
	switch (f->kind) {
	case F_STR:
		if (kind != JT_STRING)
			return wrong(err, f->name);
		if (*json_str(v))
			*AT(c, f->offset, char *) = str_dup(json_str(v));
		return 0;
	case F_BOOL:
	case F_OPT_BOOL:
		if (kind != JT_BOOL)
			return wrong(err, f->name);
		*AT(c, f->offset, bool) = json_bool(v, false);
		if (f->kind == F_OPT_BOOL)
			*AT(c, f->offset2, bool) = true;
		return 0;
	case F_I64:
	case F_OPT_I64:
		if (kind != JT_INTEGER)
			return wrong(err, f->name);
		*AT(c, f->offset, int64_t) = json_i64(v, 0);
		if (f->kind == F_OPT_I64)
			*AT(c, f->offset2, bool) = true;
		return 0;
	case F_LIST:
	case F_LIST0:
		return read_list(o, f->name, AT(c, f->offset, struct strv), err);
	case F_OPT_LIST:
		*AT(c, f->offset2, bool) = true;
		return read_list(o, f->name, AT(c, f->offset, struct strv), err);
	case F_MAP:
	case F_SET:
		return read_map(v, f->name, AT(c, f->offset, struct strv), f->kind == F_SET, err);
	case F_BLKIO:
	case F_BLKIO_WEIGHT:
		return read_blkio(v, f->name, c, f, err);
	}
	return 0;
}

static char *opt_str(const struct json *o, const char *key)
{
	const char *s = json_get_str(o, key);
	return str_is_empty(s) ? NULL : str_dup(s);
}

static int read_health(const struct json *o, struct container_config *c, struct err *err)
{
	const struct json *h = json_get(o, "Healthcheck");
	if (!h)
		return 0;
	c->has_health = true;
	c->health.interval_ns = json_get_i64(h, "Interval", 0);
	c->health.timeout_ns = json_get_i64(h, "Timeout", 0);
	c->health.start_period_ns = json_get_i64(h, "StartPeriod", 0);
	c->health.start_interval_ns = json_get_i64(h, "StartInterval", 0);
	c->health.retries = json_get_i64(h, "Retries", 0);
	return read_list(h, "Test", &c->health.test, err);
}

static int read_one_port(struct container_config *c, const char *key, const struct json *o, struct err *err)
{
	struct port_binding *p = config_add_port(c);
	const char *slash = strchr(key, '/');
	CLEANUP_FREE char *number = str_ndup(key, slash ? (size_t)(slash - key) : strlen(key));
	uint64_t n = 0;
	if (str_parse_u64_max(number, 65535, &n) < 0 || n == 0 ||
	    str_copy(p->protocol, sizeof(p->protocol), slash ? slash + 1 : "tcp") < 0 ||
	    str_copy(p->host_ip, sizeof(p->host_ip), json_get_str_or(o, "HostIp", "")) < 0)
		return wrong(err, "PortBindings");
	p->container_port = (uint16_t)n;
	const char *host = json_get_str_or(o, "HostPort", "");
	if (!*host)
		return 0;
	const char *dash = strchr(host, '-');
	CLEANUP_FREE char *first = str_ndup(host, dash ? (size_t)(dash - host) : strlen(host));
	if (str_parse_u64_max(first, 65535, &n) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid port specification: \"%s\"", host);
	p->host_port = (uint16_t)n;
	if (dash) {
		if (str_parse_u64_max(dash + 1, 65535, &n) < 0 || n < p->host_port)
			return err_set(err, ERR_INVALID, 0, "invalid port specification: \"%s\"", host);
		p->host_port_end = (uint16_t)n;
	}
	return 0;
}

static int read_ports(const struct json *host, struct container_config *c, struct err *err)
{
	const struct json *ports = json_get(host, "PortBindings");
	const char *key;
	struct json *list;
	for (void *it = NULL; ports && (it = json_object_next(ports, it, &key, &list));) {
		size_t n = json_array_len(list);
		if (n == 0) {
			int r = read_one_port(c, key, NULL, err);
			if (r < 0)
				return r;
		}
		for (size_t i = 0; i < n; i++) {
			int r = read_one_port(c, key, json_array_at(list, i), err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int read_mount(const struct json *o, struct container_config *c, struct err *err)
{
	struct config_mount *m = config_add_mount(c);
	m->type = str_dup(json_get_str_or(o, "Type", "volume"));
	m->source = opt_str(o, "Source");
	m->target = str_dup(json_get_str_or(o, "Target", ""));
	m->read_only = json_get_bool(o, "ReadOnly", false);
	m->consistency = opt_str(o, "Consistency");
	m->idmap = json_get_bool(o, "Idmap", false);
	const struct json *b = json_get(o, "BindOptions");
	m->propagation = opt_str(b, "Propagation");
	m->non_recursive = json_get_bool(b, "NonRecursive", false);
	m->create_mountpoint = json_get_bool(b, "CreateMountpoint", false);
	m->read_only_non_recursive = json_get_bool(b, "ReadOnlyNonRecursive", false);
	m->read_only_force_recursive = json_get_bool(b, "ReadOnlyForceRecursive", false);
	const struct json *t = json_get(o, "TmpfsOptions");
	m->tmpfs_size_bytes = json_get_i64(t, "SizeBytes", 0);
	m->tmpfs_mode = (uint32_t)json_get_i64(t, "Mode", 0) & 07777;
	const struct json *v = json_get(o, "VolumeOptions");
	m->no_copy = json_get_bool(v, "NoCopy", false);
	m->subpath = opt_str(v ? v : json_get(o, "ImageOptions"), "Subpath");
	const struct json *d = json_get(v, "DriverConfig");
	m->driver = opt_str(d, "Name");
	int r = read_map(json_get(v, "Labels"), "Labels", &m->labels, false, err);
	return r < 0 ? r : read_map(json_get(d, "Options"), "Options", &m->driver_opts, false, err);
}

static int read_host_lists(const struct json *host, struct container_config *c, struct err *err)
{
	const struct json *list = json_get(host, "Devices");
	for (size_t i = 0; i < json_array_len(list); i++) {
		const struct json *o = json_array_at(list, i);
		struct config_device *d = config_add_device(c);
		d->path_on_host = str_dup(json_get_str_or(o, "PathOnHost", ""));
		d->path_in_container = str_dup(json_get_str_or(o, "PathInContainer", d->path_on_host));
		d->cgroup_permissions = str_dup(json_get_str_or(o, "CgroupPermissions", "rwm"));
	}
	list = json_get(host, "Ulimits");
	for (size_t i = 0; i < json_array_len(list); i++) {
		const struct json *o = json_array_at(list, i);
		struct config_ulimit *u = config_add_ulimit(c);
		u->name = str_dup(json_get_str_or(o, "Name", ""));
		u->soft = json_get_i64(o, "Soft", -1);
		u->hard = json_get_i64(o, "Hard", -1);
	}
	list = json_get(host, "Mounts");
	for (size_t i = 0; i < json_array_len(list); i++) {
		int r = read_mount(json_array_at(list, i), c, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_host(const struct json *host, struct container_config *c, struct err *err)
{
	for (size_t i = 0; i < host_fields_n; i++) {
		int r = read_field(host, c, &host_fields[i], err);
		if (r < 0)
			return r;
	}
	const struct json *log = json_get(host, "LogConfig");
	c->log_driver = opt_str(log, "Type");
	int r = read_map(json_get(log, "Config"), "LogConfig", &c->log_opts, false, err);
	if (r < 0)
		return r;
	const struct json *policy = json_get(host, "RestartPolicy");
	c->restart_policy = opt_str(policy, "Name");
	c->restart_max_retries = json_get_i64(policy, "MaximumRetryCount", 0);
	const struct json *size = json_get(host, "ConsoleSize");
	c->console_rows = (uint16_t)json_i64(json_array_at(size, 0), 0);
	c->console_cols = (uint16_t)json_i64(json_array_at(size, 1), 0);
	r = read_ports(host, c, err);
	return r < 0 ? r : read_host_lists(host, c, err);
}

static int read_endpoints(const struct json *list, struct container_config *c, struct err *err)
{
	const char *key;
	struct json *o;
	for (void *it = NULL; list && (it = json_object_next(list, it, &key, &o));) {
		struct config_endpoint *e = config_add_endpoint(c);
		const struct json *ipam = json_get(o, "IPAMConfig");
		e->network = str_dup(key);
		e->ipv4_address = opt_str(ipam, "IPv4Address");
		e->ipv6_address = opt_str(ipam, "IPv6Address");
		e->mac_address = opt_str(o, "MacAddress");
		e->gw_priority = json_get_i64(o, "GwPriority", 0);
		if (json_get_strv(ipam, "LinkLocalIPs", &e->link_local_ips) < 0 ||
		    json_get_strv(o, "Links", &e->links) < 0 || json_get_strv(o, "Aliases", &e->aliases) < 0)
			return wrong(err, "NetworkingConfig");
		int r = read_map(json_get(o, "DriverOpts"), "DriverOpts", &e->driver_opts, false, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int container_config_parse(const char *text, size_t len, struct container_config **ret, struct err *err)
{
	CLEANUP_JSON struct json *root = NULL;
	int r = json_parse(text, len, "container configuration", &root, err);
	if (r < 0)
		return r;
	CLEANUP_CONTAINER_CONFIG struct container_config *c = container_config_new();
	for (size_t i = 0; i < config_fields_n; i++) {
		r = read_field(root, c, &config_fields[i], err);
		if (r < 0)
			return r;
	}
	r = read_health(root, c, err);
	if (r == 0)
		r = read_host(json_get(root, "HostConfig"), c, err);
	if (r == 0)
		r = read_endpoints(json_get(json_get(root, "NetworkingConfig"), "EndpointsConfig"), c, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}
