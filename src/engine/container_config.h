/* SPDX-License-Identifier: Apache-2.0 */
/* What a user asked for when a container was created: the Engine API's Config,
 * HostConfig and NetworkingConfig in one struct. The command line fills it, the
 * database keeps it as JSON, `inspect` prints it, spec_builder.h turns it and an
 * image into a launch description.
 *
 * Pure data. Lists of pairs are strv of "key=value". Empty means "not said", as
 * in Docker; where zero has a meaning of its own there is a has_x. Names follow
 * the API, in snake case, so that the API's reference is the manual. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "image_config.h"
#include "json.h"
#include "str.h"

struct port_binding {
	uint16_t container_port;
	char protocol[8]; /* "tcp", "udp", "sctp" */
	char host_ip[46]; /* empty: all addresses */
	uint16_t host_port; /* first; 0: chosen when the container starts */
	uint16_t host_port_end; /* last of a range to choose from; 0 or host_port: no range */
};

struct config_device {
	char *path_on_host, *path_in_container;
	char *cgroup_permissions; /* subset of "rwm" */
};

struct config_ulimit {
	char *name; /* "nofile" */
	int64_t soft, hard; /* -1: unlimited */
};

struct config_blkio {
	char *path; /* of the device */
	uint64_t value; /* rate, or weight */
};

struct config_mount {
	char *type; /* "bind", "volume", "tmpfs", "image" */
	char *source; /* host path, volume name, image */
	char *target;
	bool read_only;
	char *consistency;
	/* bind */
	char *propagation; /* "rprivate", ... */
	bool non_recursive, create_mountpoint, read_only_non_recursive, read_only_force_recursive;
	/* volume */
	bool no_copy;
	struct strv labels;
	char *driver;
	struct strv driver_opts;
	char *subpath; /* also image */
	/* tmpfs */
	int64_t tmpfs_size_bytes;
	uint32_t tmpfs_mode; /* 0: 1777 */
	bool idmap; /* hull: owners on the host appear as in the container */
};

struct config_endpoint {
	char *network; /* as the user named it */
	struct strv aliases, links, driver_opts, link_local_ips;
	char *ipv4_address, *ipv6_address, *mac_address;
	int64_t gw_priority;
};

struct container_config {
	/* ---- Config ---- */
	char *hostname, *domainname, *user;
	bool attach_stdin, attach_stdout, attach_stderr, tty, open_stdin, stdin_once;
	struct strv exposed_ports; /* "80/tcp" */
	struct strv env;           /* "KEY=value"; "KEY" alone removes the image's */
	bool has_cmd; /* given, even if empty */
	struct strv cmd;
	/* {""} with has_entrypoint: none, the image's is dropped too (--entrypoint ""). */
	bool has_entrypoint;
	struct strv entrypoint;
	bool has_health;
	struct image_health health; /* {"NONE"}: off */
	char *image; /* as the user named it */
	struct strv volumes; /* anonymous, by path */
	char *working_dir, *mac_address;
	bool network_disabled;
	struct strv on_build, shell;
	struct strv labels;
	char *stop_signal;
	bool has_stop_timeout;
	int64_t stop_timeout_s; /* -1: wait for ever */

	/* ---- HostConfig ---- */
	struct strv binds; /* "src:dst[:opts]" */
	char *container_id_file;
	char *log_driver;
	struct strv log_opts;
	char *network_mode; /* "default", "bridge", "none", "host", "container:x", a network */
	struct port_binding *port_bindings;
	size_t port_bindings_n;
	char *restart_policy; /* "no", "always", "unless-stopped", "on-failure" */
	int64_t restart_max_retries;
	bool auto_remove, publish_all_ports, privileged, readonly_rootfs;
	char *volume_driver;
	struct strv volumes_from;
	uint16_t console_rows, console_cols;
	struct strv annotations;
	struct strv cap_add, cap_drop;
	char *cgroupns_mode; /* "private", "host" */
	struct strv dns, dns_options, dns_search, extra_hosts;
	struct strv group_add;
	char *ipc_mode, *pid_mode, *uts_mode, *userns_mode, *cgroup, *cgroup_parent;
	struct strv links;
	int64_t oom_score_adj;
	struct strv security_opt, storage_opt;
	struct strv tmpfs; /* "path=options" */
	int64_t shm_size_bytes;
	struct strv sysctls;
	char *runtime, *isolation;
	bool has_init, init;
	struct config_device *devices;
	size_t devices_n;
	struct strv device_cgroup_rules;
	char *gpus; /* hull: --gpus as given; refused at start */
	struct config_ulimit *ulimits;
	size_t ulimits_n;
	struct config_mount *mounts;
	size_t mounts_n;
	bool has_masked_paths, has_readonly_paths;
	struct strv masked_paths, readonly_paths;

	/* ---- limits, as in the API ---- */
	int64_t memory_bytes, memory_reservation_bytes, memory_swap_bytes; /* swap -1: unlimited */
	bool has_memory_swappiness;
	int64_t memory_swappiness;
	bool has_oom_kill_disable, oom_kill_disable;
	int64_t nano_cpus, cpu_shares, cpu_period, cpu_quota, cpu_realtime_period, cpu_realtime_runtime;
	char *cpuset_cpus, *cpuset_mems;
	bool has_pids_limit;
	int64_t pids_limit; /* 0 or -1: unlimited */
	int64_t blkio_weight;
	struct config_blkio *blkio_weight_device, *blkio_read_bps, *blkio_write_bps, *blkio_read_iops, *blkio_write_iops;
	size_t blkio_weight_device_n, blkio_read_bps_n, blkio_write_bps_n, blkio_read_iops_n, blkio_write_iops_n;

	/* ---- NetworkingConfig ---- */
	struct config_endpoint *endpoints;
	size_t endpoints_n;

	/* ---- hull's own ---- */
	struct strv egress; /* egress.h; with one, nothing else leaves its networks */
	int64_t network_rate_in, network_rate_out; /* bits a second; 0: no limit */
	bool has_network_rate_in, has_network_rate_out; /* of an update: said */
	char *health_on_failure; /* "none", "kill", "restart", "stop" */
};

struct container_config *container_config_new(void);
void container_config_free(struct container_config *c);
static inline void cleanup_container_config(struct container_config **c)
{
	container_config_free(*c);
}
#define CLEANUP_CONTAINER_CONFIG CLEANUP(cleanup_container_config)

/* Append a zeroed entry; valid until the next call for the same list. */
struct port_binding *config_add_port(struct container_config *c);
struct config_device *config_add_device(struct container_config *c);
struct config_ulimit *config_add_ulimit(struct container_config *c);
struct config_mount *config_add_mount(struct container_config *c);
struct config_endpoint *config_add_endpoint(struct container_config *c);
/* @list is &c->blkio_x, @n is &c->blkio_x_n. */
struct config_blkio *config_add_blkio(struct config_blkio **list, size_t *n);

/* The body of POST /containers/create: Config's members, HostConfig,
 * NetworkingConfig. parse(write(c)) == c. */
int container_config_write(const struct container_config *c, struct buf *out) MUST_CHECK;
int container_config_parse(const char *text, size_t len, struct container_config **ret, struct err *err) MUST_CHECK;
/* The single objects, as inspect shows them. */
void container_config_write_config(const struct container_config *c, struct json_writer *w);
void container_config_write_host_config(const struct container_config *c, struct json_writer *w);
