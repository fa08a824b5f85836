/* SPDX-License-Identifier: Apache-2.0 */
/* A container's configuration as Docker's Engine API shows it, and as it is kept. */
#include <stdio.h>
#include <string.h>

#include "container_config.h"
#include "container_config_fields.h"

/* Members that Docker's types do not have: only shown when set. */
static bool is_ours(const struct field *f)
{
	return str_eq(f->name, "Gpus") || str_eq(f->name, "HealthOnFailure") || str_eq(f->name, "Egress") ||
	       str_eq(f->name, "NetworkRateIn") || str_eq(f->name, "NetworkRateOut");
}

static void write_list_or_null(struct json_writer *w, const struct strv *sv, bool is_said)
{
	if (is_said)
		jw_strv(w, sv);
	else
		jw_null(w);
}

static void write_blkio(struct json_writer *w, const struct config_blkio *list, size_t n, const char *value_name)
{
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kv_str(w, "Path", list[i].path);
		jw_key(w, value_name);
		jw_u64(w, list[i].value);
		jw_object_end(w);
	}
	jw_array_end(w);
}

static void write_set(struct json_writer *w, const struct strv *sv)
{
	jw_object(w);
	for (size_t i = 0; i < sv->n; i++) {
		jw_key(w, sv->v[i]);
		jw_object(w);
		jw_object_end(w);
	}
	jw_object_end(w);
}

static bool is_said(const struct container_config *c, const struct field *f)
{
	switch (f->kind) {
	case F_LIST:
		return AT(c, f->offset, const struct strv)->n > 0;
	case F_I64:
		return *AT(c, f->offset, int64_t) != 0;
	default:
		return *AT(c, f->offset, char *) != NULL;
	}
}

static void write_field(struct json_writer *w, const struct container_config *c, const struct field *f)
{
	const struct strv *sv = AT(c, f->offset, const struct strv);
	bool is_blkio = f->kind == F_BLKIO || f->kind == F_BLKIO_WEIGHT;
	bool said = f->offset2 && !is_blkio ? *AT(c, f->offset2, bool) : false;
	if (is_ours(f) && !is_said(c, f))
		return;
	/* Docker leaves these out when they are empty. */
	if ((str_eq(f->name, "ExposedPorts") || str_eq(f->name, "Annotations") || str_eq(f->name, "StorageOpt") ||
	     str_eq(f->name, "Tmpfs") || str_eq(f->name, "Sysctls") || str_eq(f->name, "Shell")) &&
	    sv->n == 0)
		return;
	if ((str_eq(f->name, "NetworkDisabled") && !c->network_disabled) ||
	    (str_eq(f->name, "MacAddress") && str_is_empty(c->mac_address)) ||
	    (str_eq(f->name, "StopSignal") && str_is_empty(c->stop_signal)) ||
	    (str_eq(f->name, "StopTimeout") && !said) || (str_eq(f->name, "Init") && !said))
		return;
	jw_key(w, f->name);
	switch (f->kind) {
	case F_STR:
		jw_str(w, *AT(c, f->offset, char *) ? *AT(c, f->offset, char *) : "");
		break;
	case F_BOOL:
		jw_bool(w, *AT(c, f->offset, bool));
		break;
	case F_I64:
		jw_i64(w, *AT(c, f->offset, int64_t));
		break;
	case F_LIST:
		write_list_or_null(w, sv, sv->n > 0);
		break;
	case F_LIST0:
		jw_strv(w, sv);
		break;
	case F_MAP:
		jw_pairs(w, sv);
		break;
	case F_SET:
		if (sv->n)
			write_set(w, sv);
		else
			jw_null(w);
		break;
	case F_OPT_BOOL:
		if (said)
			jw_bool(w, *AT(c, f->offset, bool));
		else
			jw_null(w);
		break;
	case F_OPT_I64:
		if (said)
			jw_i64(w, *AT(c, f->offset, int64_t));
		else
			jw_null(w);
		break;
	case F_OPT_LIST:
		write_list_or_null(w, sv, said);
		break;
	case F_BLKIO:
	case F_BLKIO_WEIGHT:
		write_blkio(w, *AT(c, f->offset, struct config_blkio *), *AT(c, f->offset2, size_t),
			    f->kind == F_BLKIO ? "Rate" : "Weight");
		break;
	}
}

static void write_health(struct json_writer *w, const struct image_health *h)
{
	jw_key(w, "Healthcheck");
	jw_object(w);
	if (h->test.n)
		jw_kv_strv(w, "Test", &h->test);
	if (h->interval_ns)
		jw_kv_i64(w, "Interval", h->interval_ns);
	if (h->timeout_ns)
		jw_kv_i64(w, "Timeout", h->timeout_ns);
	if (h->start_period_ns)
		jw_kv_i64(w, "StartPeriod", h->start_period_ns);
	if (h->start_interval_ns)
		jw_kv_i64(w, "StartInterval", h->start_interval_ns);
	if (h->retries)
		jw_kv_i64(w, "Retries", h->retries);
	jw_object_end(w);
}

static void write_config_members(const struct container_config *c, struct json_writer *w)
{
	for (size_t i = 0; i < config_fields_n; i++)
		write_field(w, c, &config_fields[i]);
	if (c->has_health)
		write_health(w, &c->health);
}

void container_config_write_config(const struct container_config *c, struct json_writer *w)
{
	jw_object(w);
	write_config_members(c, w);
	jw_object_end(w);
}

static bool same_port(const struct port_binding *a, const struct port_binding *b)
{
	return a->container_port == b->container_port && str_eq(a->protocol, b->protocol);
}

static void write_ports(struct json_writer *w, const struct container_config *c)
{
	jw_object(w);
	for (size_t i = 0; i < c->port_bindings_n; i++) {
		const struct port_binding *p = &c->port_bindings[i];
		bool is_seen = false;
		for (size_t j = 0; j < i; j++)
			is_seen |= same_port(p, &c->port_bindings[j]);
		if (is_seen)
			continue;
		CLEANUP_FREE char *key = str_printf("%u/%s", p->container_port, p->protocol);
		jw_key(w, key);
		jw_array(w);
		for (size_t j = i; j < c->port_bindings_n; j++) {
			const struct port_binding *q = &c->port_bindings[j];
			if (!same_port(p, q))
				continue;
			jw_object(w);
			jw_kv_str(w, "HostIp", q->host_ip);
			CLEANUP_FREE char *port = q->host_port == 0 ? str_dup("") :
						  q->host_port_end > q->host_port ?
								    str_printf("%u-%u", q->host_port, q->host_port_end) :
								    str_printf("%u", q->host_port);
			jw_kv_str(w, "HostPort", port);
			jw_object_end(w);
		}
		jw_array_end(w);
	}
	jw_object_end(w);
}

static void write_mount(struct json_writer *w, const struct config_mount *m)
{
	jw_object(w);
	jw_kv_str(w, "Type", m->type);
	if (m->source)
		jw_kv_str(w, "Source", m->source);
	jw_kv_str(w, "Target", m->target);
	if (m->read_only)
		jw_kv_bool(w, "ReadOnly", true);
	if (m->consistency)
		jw_kv_str(w, "Consistency", m->consistency);
	if (m->idmap)
		jw_kv_bool(w, "Idmap", true);
	if (str_eq(m->type, "bind")) {
		jw_key(w, "BindOptions");
		jw_object(w);
		if (m->propagation)
			jw_kv_str(w, "Propagation", m->propagation);
		if (m->non_recursive)
			jw_kv_bool(w, "NonRecursive", true);
		if (m->create_mountpoint)
			jw_kv_bool(w, "CreateMountpoint", true);
		if (m->read_only_non_recursive)
			jw_kv_bool(w, "ReadOnlyNonRecursive", true);
		if (m->read_only_force_recursive)
			jw_kv_bool(w, "ReadOnlyForceRecursive", true);
		jw_object_end(w);
	} else if (str_eq(m->type, "tmpfs")) {
		jw_key(w, "TmpfsOptions");
		jw_object(w);
		if (m->tmpfs_size_bytes)
			jw_kv_i64(w, "SizeBytes", m->tmpfs_size_bytes);
		if (m->tmpfs_mode)
			jw_kv_i64(w, "Mode", m->tmpfs_mode);
		jw_object_end(w);
	} else {
		jw_key(w, str_eq(m->type, "image") ? "ImageOptions" : "VolumeOptions");
		jw_object(w);
		if (m->no_copy)
			jw_kv_bool(w, "NoCopy", true);
		if (m->labels.n) {
			jw_key(w, "Labels");
			jw_pairs(w, &m->labels);
		}
		if (m->driver || m->driver_opts.n) {
			jw_key(w, "DriverConfig");
			jw_object(w);
			jw_kv_str(w, "Name", m->driver);
			jw_key(w, "Options");
			jw_pairs(w, &m->driver_opts);
			jw_object_end(w);
		}
		if (m->subpath)
			jw_kv_str(w, "Subpath", m->subpath);
		jw_object_end(w);
	}
	jw_object_end(w);
}

static void write_devices(struct json_writer *w, const struct container_config *c)
{
	jw_array(w);
	for (size_t i = 0; i < c->devices_n; i++) {
		jw_object(w);
		jw_kv_str(w, "PathOnHost", c->devices[i].path_on_host);
		jw_kv_str(w, "PathInContainer", c->devices[i].path_in_container);
		jw_kv_str(w, "CgroupPermissions", c->devices[i].cgroup_permissions);
		jw_object_end(w);
	}
	jw_array_end(w);
}

static void write_ulimits(struct json_writer *w, const struct container_config *c)
{
	jw_array(w);
	for (size_t i = 0; i < c->ulimits_n; i++) {
		jw_object(w);
		jw_kv_str(w, "Name", c->ulimits[i].name);
		jw_kv_i64(w, "Hard", c->ulimits[i].hard);
		jw_kv_i64(w, "Soft", c->ulimits[i].soft);
		jw_object_end(w);
	}
	jw_array_end(w);
}

void container_config_write_host_config(const struct container_config *c, struct json_writer *w)
{
	jw_object(w);
	for (size_t i = 0; i < host_fields_n; i++)
		write_field(w, c, &host_fields[i]);
	jw_key(w, "LogConfig");
	jw_object(w);
	jw_kv_str(w, "Type", c->log_driver ? c->log_driver : "json-file");
	jw_key(w, "Config");
	jw_pairs(w, &c->log_opts);
	jw_object_end(w);
	jw_key(w, "PortBindings");
	write_ports(w, c);
	jw_key(w, "RestartPolicy");
	jw_object(w);
	jw_kv_str(w, "Name", c->restart_policy ? c->restart_policy : "no");
	jw_kv_i64(w, "MaximumRetryCount", c->restart_max_retries);
	jw_object_end(w);
	jw_key(w, "ConsoleSize");
	jw_array(w);
	jw_i64(w, c->console_rows);
	jw_i64(w, c->console_cols);
	jw_array_end(w);
	jw_key(w, "Devices");
	write_devices(w, c);
	jw_key(w, "DeviceRequests");
	jw_null(w);
	jw_key(w, "Ulimits");
	write_ulimits(w, c);
	if (c->mounts_n) {
		jw_key(w, "Mounts");
		jw_array(w);
		for (size_t i = 0; i < c->mounts_n; i++)
			write_mount(w, &c->mounts[i]);
		jw_array_end(w);
	}
	jw_object_end(w);
}

static void write_endpoint(struct json_writer *w, const struct config_endpoint *e)
{
	jw_key(w, e->network ? e->network : "");
	jw_object(w);
	jw_key(w, "IPAMConfig");
	jw_object(w);
	if (e->ipv4_address)
		jw_kv_str(w, "IPv4Address", e->ipv4_address);
	if (e->ipv6_address)
		jw_kv_str(w, "IPv6Address", e->ipv6_address);
	if (e->link_local_ips.n)
		jw_kv_strv(w, "LinkLocalIPs", &e->link_local_ips);
	jw_object_end(w);
	if (e->links.n)
		jw_kv_strv(w, "Links", &e->links);
	if (e->aliases.n)
		jw_kv_strv(w, "Aliases", &e->aliases);
	if (e->mac_address)
		jw_kv_str(w, "MacAddress", e->mac_address);
	if (e->driver_opts.n) {
		jw_key(w, "DriverOpts");
		jw_pairs(w, &e->driver_opts);
	}
	if (e->gw_priority)
		jw_kv_i64(w, "GwPriority", e->gw_priority);
	jw_object_end(w);
}

int container_config_write(const struct container_config *c, struct buf *out)
{
	struct json_writer w;
	json_writer_init(&w, out, 0);
	jw_object(&w);
	write_config_members(c, &w);
	jw_key(&w, "HostConfig");
	container_config_write_host_config(c, &w);
	jw_key(&w, "NetworkingConfig");
	jw_object(&w);
	jw_key(&w, "EndpointsConfig");
	jw_object(&w);
	for (size_t i = 0; i < c->endpoints_n; i++)
		write_endpoint(&w, &c->endpoints[i]);
	jw_object_end(&w);
	jw_object_end(&w);
	jw_object_end(&w);
	return json_writer_finish(&w);
}
