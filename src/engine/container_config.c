/* SPDX-License-Identifier: Apache-2.0 */
/* Plain members are a table of (API name, kind, offset), one for Config and one
 * for HostConfig, read by the parser, the writer and the destructor alike; only
 * what has a shape of its own is written out. */
#include "container_config.h"

#include <string.h>

#include "container_config_fields.h"

#define OFF(m) offsetof(struct container_config, m)
#define FIELD(n, k, m) { n, k, OFF(m), 0 }
#define FIELD2(n, k, m, h) { n, k, OFF(m), OFF(h) }

const struct field config_fields[] = {
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

const struct field host_fields[] = {
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

const size_t config_fields_n = ARRAY_LEN(config_fields), host_fields_n = ARRAY_LEN(host_fields);

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
	free_fields(c, config_fields, config_fields_n);
	free_fields(c, host_fields, host_fields_n);
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
