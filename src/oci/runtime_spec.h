/* SPDX-License-Identifier: Apache-2.0 */
/* The launch description of one workload: what the engine writes to
 * workloads/<id>/config.json and a back end reads to start it.
 *
 * The file is an OCI runtime specification (opencontainers/runtime-spec 1.2,
 * config.md and config-linux.md) with one more member, "hull", that carries
 * what OCI has no word for: the layers under the root file system, the id
 * mapping, the networks to attach. Pure data: no function here touches the
 * host. Unknown members are ignored on reading, as the specification asks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "str.h"

struct spec_user {
	uint32_t uid, gid;
	uint32_t *groups;
	size_t groups_n;
	bool has_umask;
	uint32_t umask;
};

struct spec_rlimit {
	int resource; /* RLIMIT_x */
	uint64_t soft, hard;
};

/* Capability sets as bit masks by capability number. */
struct spec_capabilities {
	uint64_t bounding, effective, inheritable, permitted, ambient;
};

struct spec_process {
	bool terminal;
	uint16_t console_rows, console_cols; /* 0: unset */
	struct spec_user user;
	struct strv args;
	struct strv env;
	char *cwd;
	struct spec_capabilities caps;
	struct spec_rlimit *rlimits;
	size_t rlimits_n;
	bool no_new_privileges;
	bool has_oom_score_adj;
	int oom_score_adj;
};

/* One mount of OCI "mounts", in order. */
struct spec_mount {
	char *destination; /* absolute, in the container */
	char *type;        /* "bind", "tmpfs", "proc", ...; NULL with bind options is a bind */
	char *source;
	struct strv options; /* as in config.md: "rbind", "ro", "rslave", "mode=1777", "idmap", "cached", ... */
};

struct spec_device {
	char *path;
	char type; /* 'c', 'b', 'p' */
	int64_t major, minor;
	uint32_t mode, uid, gid;
};

struct spec_device_rule {
	bool allow;
	char type;             /* 'a', 'b', 'c' */
	int64_t major, minor;  /* -1: any */
	char access[4];        /* subset of "rwm" */
};

struct spec_blkio_value {
	int64_t major, minor;
	uint64_t value;
};

enum spec_blkio_kind {
	SPEC_BLKIO_READ_BPS,
	SPEC_BLKIO_WRITE_BPS,
	SPEC_BLKIO_READ_IOPS,
	SPEC_BLKIO_WRITE_IOPS,
	SPEC_BLKIO_WEIGHT_DEVICE,
	SPEC_BLKIO_KIND_COUNT
};

/* Limits; 0 means not set unless said. */
struct spec_resources {
	int64_t memory_limit_bytes;       /* -1: unlimited */
	int64_t memory_reservation_bytes;
	int64_t memory_swap_bytes;        /* memory plus swap, as in OCI; -1: unlimited */
	int64_t memory_swappiness;        /* -1: not set */
	bool oom_kill_disable;
	uint64_t cpu_shares;
	int64_t cpu_quota_us;
	uint64_t cpu_period_us;
	int64_t cpu_realtime_runtime_us;
	uint64_t cpu_realtime_period_us;
	char *cpuset_cpus, *cpuset_mems;
	int64_t pids_limit; /* -1: unlimited */
	uint16_t blkio_weight;
	struct spec_blkio_value *blkio[SPEC_BLKIO_KIND_COUNT];
	size_t blkio_n[SPEC_BLKIO_KIND_COUNT];
	struct spec_device_rule *devices;
	size_t devices_n;
};

/* Namespaces: absent (host's), new, or joined by path. */
enum spec_ns {
	SPEC_NS_PID,
	SPEC_NS_NET,
	SPEC_NS_MOUNT,
	SPEC_NS_IPC,
	SPEC_NS_UTS,
	SPEC_NS_USER,
	SPEC_NS_CGROUP,
	SPEC_NS_TIME,
	SPEC_NS_COUNT
};

struct spec_namespace {
	bool wanted;
	char *path; /* join this one; NULL: make a new one */
};

struct spec_idmap {
	uint32_t container_id, host_id, size;
};

/* One network interface to put into the workload's network namespace. */
struct spec_interface {
	char *network;   /* network id, for records */
	char *name;      /* in the container: "eth0" */
	char *kind;      /* "macvlan", "ipvlan"; NULL: a veth pair */
	char *bridge;    /* host bridge to join; the parent of a macvlan */
	char *host_name; /* host end of the veth; of no use to the others */
	char *mode;      /* of a macvlan or ipvlan; NULL: "bridge", "l2" */
	char mac[18];
	char address4[24], gateway4[16]; /* "172.17.0.2/16", "172.17.0.1"; empty: none */
	char address6[52], gateway6[46];
	/* Whether the default route goes by it: by its gateway, or without one by the
	 * link itself. */
	bool is_default4, is_default6;
	bool is_port_isolated; /* does not see its neighbours on the bridge */
	bool is_routed; /* speaks to them by the gateway alone */
	uint64_t rate_in, rate_out; /* bits a second; 0: no limit */
	uint32_t mtu; /* 0: the bridge's */
};

enum spec_port_way {
	PORT_BY_KERNEL,
	PORT_BY_PROXY, /* the kernel cannot redirect it: hull-monitor listens there */
	/* The same for what is a part of another port: ::1 of every IPv6 address. */
	PORT_PART_BY_PROXY,
	PORT_WAY_COUNT
};
struct spec_port {
	enum spec_port_way way;
	char protocol[8]; /* "tcp", "udp", "sctp" */
	char host_ip[46]; /* empty: all */
	uint16_t host_port, container_port;
	char container_ip[46];
};

/* What a workload with a kernel of its own needs besides. */
struct spec_guest {
	char *kernel;     /* absolute; NULL: the workload runs on the host's kernel */
	char *initramfs;  /* with hull-agent as its init */
	char *supervisor; /* hull-guest */
	char *run_dir;    /* $HULL_RUN/workloads/<id>, where guest.sock appears */
	struct strv layer_files; /* EROFS, of the same order and number as layers */
	uint64_t memory_bytes;
	uint32_t cpus, cpus_max; /* at the start; and as many can be there while it runs (0: no more) */
	bool has_dax;     /* its kernel maps files of layers where they are: one memory for all guests */
	bool has_no_acpi; /* the kernel was built without: it is told of devices otherwise */
};

struct runtime_spec {
	struct spec_process process;
	char *hostname, *domainname;

	/* Root file system: either a directory (root_path) or layers. */
	char *root_path;
	bool root_readonly;
	struct strv layers;  /* absolute paths of mounted layers or layer directories, lowest first */
	char *upper, *work;  /* absolute; NULL with root_readonly and no layers' writes wanted */

	struct spec_mount *mounts;
	size_t mounts_n;
	struct spec_device *devices;
	size_t devices_n;

	struct spec_namespace ns[SPEC_NS_COUNT];
	struct spec_idmap *uid_maps, *gid_maps;
	size_t uid_maps_n, gid_maps_n;

	char *cgroup_path; /* relative to each hierarchy's hull parent, e.g. "hull/<id>" */
	struct spec_resources resources;
	struct strv sysctls; /* "key=value" */
	struct strv masked_paths, readonly_paths;
	/* Path of a compiled seccomp filter (struct sock_filter array); NULL: none. */
	char *seccomp_bpf_path;
	char *rootfs_propagation; /* "private", "rslave", ... ; NULL: private */

	struct spec_interface *interfaces;
	size_t interfaces_n;
	struct spec_port *ports;
	size_t ports_n;
	/* Sockets for a name server, in the network namespace (name_sockets.h). */
	bool has_name_sockets;
	/* Files of the engine bound over /etc/hosts etc. are ordinary mounts. */

	/* Run the hull-init at this host path as PID 1 over the process (--init). */
	char *init_path;
	struct strv annotations; /* "key=value" */
	struct spec_guest guest;
};

/* Parse @text (config.json). On success *ret is the caller's to free. */
int runtime_spec_parse(const char *text, size_t len, struct runtime_spec **ret, struct err *err) MUST_CHECK;
/* Read "process" alone (an exec request; oci-runtime `exec --process`). */
int runtime_spec_parse_process(const char *text, size_t len, struct spec_process *ret, struct err *err) MUST_CHECK;
/* Append the JSON of @spec to @out. parse(write(x)) == x. */
struct buf;
int runtime_spec_write(const struct runtime_spec *spec, struct buf *out) MUST_CHECK;
int runtime_spec_write_process(const struct spec_process *process, struct buf *out) MUST_CHECK;
/* The same for limits alone (update). */
int runtime_spec_write_resources(const struct spec_resources *res, struct buf *out) MUST_CHECK;
int runtime_spec_parse_resources(const char *text, size_t len, struct spec_resources *ret, struct err *err) MUST_CHECK;

struct runtime_spec *runtime_spec_new(void); /* memory_swappiness = -1, everything else empty */
void runtime_spec_free(struct runtime_spec *spec);
/* The kernel's, where none is said. */
#define SPEC_DEFAULT_CPU_PERIOD_US 100000u
/* Processors on which a quota can be used up, at most @host; 0: there is no quota. */
uint32_t spec_resources_processors(const struct spec_resources *res, long host);
void spec_process_done(struct spec_process *process);
void spec_resources_done(struct spec_resources *res);
static inline void cleanup_runtime_spec(struct runtime_spec **spec)
{
	runtime_spec_free(*spec);
}
#define CLEANUP_RUNTIME_SPEC CLEANUP(cleanup_runtime_spec)

/* "CAP_NET_ADMIN" or "net_admin" (any case) to its number, or -1. */
int spec_capability_number(const char *name);
/* "CAP_NET_ADMIN", or NULL past the last known. */
const char *spec_capability_name(int number);
/* "RLIMIT_NOFILE" or "nofile" to RLIMIT_x, or -1; and back ("nofile"). */
int spec_rlimit_number(const char *name);
const char *spec_rlimit_name(int resource);
