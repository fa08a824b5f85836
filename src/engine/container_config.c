/* SPDX-License-Identifier: Apache-2.0 */
/* Plain members are a table of (API name, kind, offset), one for Config and one
 * for HostConfig, read by the parser, the writer and the destructor alike; only
 * what has a shape of its own is written out. */
#include "container_config.h"

#include <stdio.h>
#include <string.h>


enum field_kind {
	F_STR,       /* char * */
	F_BOOL,
	F_I64,
	F_LIST,      /* strv: array, null when empty */
	F_LIST0,     /* strv: array, [] when empty */
	F_MAP,       /* strv of key=value: object of strings */
	F_SET,       /* strv: object of empty objects */
	F_OPT_BOOL,  /* has_x at offset2: null when not said */
	F_OPT_I64,
	F_OPT_LIST,  /* has_x: null when not said */
	F_BLKIO,     /* list at offset, count at offset2 */
	F_BLKIO_WEIGHT,
};

struct field {
	const char *name;
	enum field_kind kind;
	size_t offset, offset2;
};
#define OFF(m) offsetof(struct container_config, m)
#define FIELD(n, k, m) { n, k, OFF(m), 0 }
#define FIELD2(n, k, m, h) { n, k, OFF(m), OFF(h) }

static const struct field config_fields[] = {
	FIELD("Hostname", F_STR, hostname),
	FIELD("Domainname", F_STR, domainname),
	FIELD("User", F_STR, user),
	FIELD("AttachStdin", F_BOOL, attach_stdin),
	FIELD("AttachStdout", F_BOOL, attach_stdout),
	FIELD("AttachStderr", F_BOOL, attach_stderr),
	FIELD("ExposedPorts", F_SET, exposed_ports),
	FIELD("Tty", F_BOOL, tty),
	FIELD("OpenStdin", F_BOOL, open_stdin),
	FIELD("StdinOnce", F_BOOL, stdin_once),
	FIELD("Env", F_LIST0, env),
	FIELD2("Cmd", F_OPT_LIST, cmd, has_cmd),
	FIELD("Image", F_STR, image),
	FIELD("Volumes", F_SET, volumes),
	FIELD("WorkingDir", F_STR, working_dir),
	FIELD2("Entrypoint", F_OPT_LIST, entrypoint, has_entrypoint),
	FIELD("NetworkDisabled", F_BOOL, network_disabled),
	FIELD("MacAddress", F_STR, mac_address),
	FIELD("OnBuild", F_LIST, on_build),
	FIELD("Labels", F_MAP, labels),
	FIELD("StopSignal", F_STR, stop_signal),
	FIELD2("StopTimeout", F_OPT_I64, stop_timeout_s, has_stop_timeout),
	FIELD("Shell", F_LIST, shell),
};

static const struct field host_fields[] = {
	FIELD("Binds", F_LIST, binds),
	FIELD("ContainerIDFile", F_STR, container_id_file),
	FIELD("NetworkMode", F_STR, network_mode),
	FIELD("AutoRemove", F_BOOL, auto_remove),
	FIELD("VolumeDriver", F_STR, volume_driver),
	FIELD("VolumesFrom", F_LIST, volumes_from),
	FIELD("Annotations", F_MAP, annotations),
	FIELD("CapAdd", F_LIST, cap_add),
	FIELD("CapDrop", F_LIST, cap_drop),
	FIELD("CgroupnsMode", F_STR, cgroupns_mode),
	FIELD("Dns", F_LIST0, dns),
	FIELD("DnsOptions", F_LIST0, dns_options),
	FIELD("DnsSearch", F_LIST0, dns_search),
	FIELD("ExtraHosts", F_LIST, extra_hosts),
	FIELD("GroupAdd", F_LIST, group_add),
	FIELD("IpcMode", F_STR, ipc_mode),
	FIELD("Cgroup", F_STR, cgroup),
	FIELD("Links", F_LIST, links),
	FIELD("OomScoreAdj", F_I64, oom_score_adj),
	FIELD("PidMode", F_STR, pid_mode),
	FIELD("Privileged", F_BOOL, privileged),
	FIELD("PublishAllPorts", F_BOOL, publish_all_ports),
	FIELD("ReadonlyRootfs", F_BOOL, readonly_rootfs),
	FIELD("SecurityOpt", F_LIST, security_opt),
	FIELD("StorageOpt", F_MAP, storage_opt),
	FIELD("Tmpfs", F_MAP, tmpfs),
	FIELD("UTSMode", F_STR, uts_mode),
	FIELD("UsernsMode", F_STR, userns_mode),
	FIELD("ShmSize", F_I64, shm_size_bytes),
	FIELD("Sysctls", F_MAP, sysctls),
	FIELD("Runtime", F_STR, runtime),
	FIELD("Isolation", F_STR, isolation),
	FIELD("CpuShares", F_I64, cpu_shares),
	FIELD("Memory", F_I64, memory_bytes),
	FIELD("NanoCpus", F_I64, nano_cpus),
	FIELD("CgroupParent", F_STR, cgroup_parent),
	FIELD("BlkioWeight", F_I64, blkio_weight),
	FIELD2("BlkioWeightDevice", F_BLKIO_WEIGHT, blkio_weight_device, blkio_weight_device_n),
	FIELD2("BlkioDeviceReadBps", F_BLKIO, blkio_read_bps, blkio_read_bps_n),
	FIELD2("BlkioDeviceWriteBps", F_BLKIO, blkio_write_bps, blkio_write_bps_n),
	FIELD2("BlkioDeviceReadIOps", F_BLKIO, blkio_read_iops, blkio_read_iops_n),
	FIELD2("BlkioDeviceWriteIOps", F_BLKIO, blkio_write_iops, blkio_write_iops_n),
	FIELD("CpuPeriod", F_I64, cpu_period),
	FIELD("CpuQuota", F_I64, cpu_quota),
	FIELD("CpuRealtimePeriod", F_I64, cpu_realtime_period),
	FIELD("CpuRealtimeRuntime", F_I64, cpu_realtime_runtime),
	FIELD("CpusetCpus", F_STR, cpuset_cpus),
	FIELD("CpusetMems", F_STR, cpuset_mems),
	FIELD("DeviceCgroupRules", F_LIST, device_cgroup_rules),
	FIELD("MemoryReservation", F_I64, memory_reservation_bytes),
	FIELD("MemorySwap", F_I64, memory_swap_bytes),
	FIELD2("MemorySwappiness", F_OPT_I64, memory_swappiness, has_memory_swappiness),
	FIELD2("OomKillDisable", F_OPT_BOOL, oom_kill_disable, has_oom_kill_disable),
	FIELD2("PidsLimit", F_OPT_I64, pids_limit, has_pids_limit),
	FIELD2("MaskedPaths", F_OPT_LIST, masked_paths, has_masked_paths),
	FIELD2("ReadonlyPaths", F_OPT_LIST, readonly_paths, has_readonly_paths),
	FIELD2("Init", F_OPT_BOOL, init, has_init),
	FIELD("Gpus", F_STR, gpus),
	FIELD("HealthOnFailure", F_STR, health_on_failure),
	FIELD("Egress", F_LIST, egress),
	FIELD("NetworkRateIn", F_I64, network_rate_in),
	FIELD("NetworkRateOut", F_I64, network_rate_out),
};

/* Members that Docker's types do not have: only shown when set. */
static bool is_ours(const struct field *f)
{
	return str_eq(f->name, "Gpus") || str_eq(f->name, "HealthOnFailure") || str_eq(f->name, "Egress") ||
	       str_eq(f->name, "NetworkRateIn") || str_eq(f->name, "NetworkRateOut");
}

#define AT(c, off, type) ((type *)(void *)((char *)(uintptr_t)(c) + (off)))

struct container_config *container_config_new(void)
{
	return mem_calloc(1, sizeof(struct container_config));
}

static void free_blkio(struct config_blkio *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i].path);
	free(list);
}

static void free_fields(struct container_config *c, const struct field *f, size_t n)
{
	for (; n; n--, f++) {
		switch (f->kind) {
		case F_STR:
			free(*AT(c, f->offset, char *));
			break;
		case F_LIST:
		case F_LIST0:
		case F_MAP:
		case F_SET:
		case F_OPT_LIST:
			strv_free(AT(c, f->offset, struct strv));
			break;
		case F_BLKIO:
		case F_BLKIO_WEIGHT:
			free_blkio(*AT(c, f->offset, struct config_blkio *), *AT(c, f->offset2, size_t));
			break;
		default:
			break;
		}
	}
}

static void mount_done(struct config_mount *m)
{
	free(m->type);
	free(m->source);
	free(m->target);
	free(m->consistency);
	free(m->propagation);
	free(m->driver);
	free(m->subpath);
	strv_free(&m->labels);
	strv_free(&m->driver_opts);
}

static void endpoint_done(struct config_endpoint *e)
{
	free(e->network);
	free(e->ipv4_address);
	free(e->ipv6_address);
	free(e->mac_address);
	strv_free(&e->aliases);
	strv_free(&e->links);
	strv_free(&e->driver_opts);
	strv_free(&e->link_local_ips);
}

void container_config_free(struct container_config *c)
{
	if (!c)
		return;
	free_fields(c, config_fields, ARRAY_LEN(config_fields));
	free_fields(c, host_fields, ARRAY_LEN(host_fields));
	strv_free(&c->health.test);
	free(c->log_driver);
	strv_free(&c->log_opts);
	free(c->port_bindings);
	free(c->restart_policy);
	for (size_t i = 0; i < c->devices_n; i++) {
		free(c->devices[i].path_on_host);
		free(c->devices[i].path_in_container);
		free(c->devices[i].cgroup_permissions);
	}
	free(c->devices);
	for (size_t i = 0; i < c->ulimits_n; i++)
		free(c->ulimits[i].name);
	free(c->ulimits);
	for (size_t i = 0; i < c->mounts_n; i++)
		mount_done(&c->mounts[i]);
	free(c->mounts);
	for (size_t i = 0; i < c->endpoints_n; i++)
		endpoint_done(&c->endpoints[i]);
	free(c->endpoints);
	free(c);
}

static void *grow(void *list, size_t *n, size_t size)
{
	char *more = reallocarray(list, *n + 1, size);
	if (!more)
		abort();
	memset(more + *n * size, 0, size);
	(*n)++;
	return more;
}

struct port_binding *config_add_port(struct container_config *c)
{
	c->port_bindings = grow(c->port_bindings, &c->port_bindings_n, sizeof(*c->port_bindings));
	return &c->port_bindings[c->port_bindings_n - 1];
}

struct config_device *config_add_device(struct container_config *c)
{
	c->devices = grow(c->devices, &c->devices_n, sizeof(*c->devices));
	return &c->devices[c->devices_n - 1];
}

struct config_ulimit *config_add_ulimit(struct container_config *c)
{
	c->ulimits = grow(c->ulimits, &c->ulimits_n, sizeof(*c->ulimits));
	return &c->ulimits[c->ulimits_n - 1];
}

struct config_mount *config_add_mount(struct container_config *c)
{
	c->mounts = grow(c->mounts, &c->mounts_n, sizeof(*c->mounts));
	return &c->mounts[c->mounts_n - 1];
}

struct config_endpoint *config_add_endpoint(struct container_config *c)
{
	c->endpoints = grow(c->endpoints, &c->endpoints_n, sizeof(*c->endpoints));
	return &c->endpoints[c->endpoints_n - 1];
}

struct config_blkio *config_add_blkio(struct config_blkio **list, size_t *n)
{
	*list = grow(*list, n, sizeof(**list));
	return &(*list)[*n - 1];
}

/* ---- writing ---- */

static void write_map(struct json_writer *w, const struct strv *sv)
{
	jw_object(w);
	for (size_t i = 0; i < sv->n; i++) {
		const char *eq = strchr(sv->v[i], '=');
		CLEANUP_FREE char *key = str_ndup(sv->v[i], eq ? (size_t)(eq - sv->v[i]) : strlen(sv->v[i]));
		jw_kv_str(w, key, eq ? eq + 1 : "");
	}
	jw_object_end(w);
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
		write_map(w, sv);
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
	for (size_t i = 0; i < ARRAY_LEN(config_fields); i++)
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
			write_map(w, &m->labels);
		}
		if (m->driver || m->driver_opts.n) {
			jw_key(w, "DriverConfig");
			jw_object(w);
			jw_kv_str(w, "Name", m->driver);
			jw_key(w, "Options");
			write_map(w, &m->driver_opts);
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
	for (size_t i = 0; i < ARRAY_LEN(host_fields); i++)
		write_field(w, c, &host_fields[i]);
	jw_key(w, "LogConfig");
	jw_object(w);
	jw_kv_str(w, "Type", c->log_driver ? c->log_driver : "json-file");
	jw_key(w, "Config");
	write_map(w, &c->log_opts);
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
		write_map(w, &e->driver_opts);
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

/* ---- reading ---- */

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
	for (size_t i = 0; i < ARRAY_LEN(host_fields); i++) {
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
	for (size_t i = 0; i < ARRAY_LEN(config_fields); i++) {
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
