/* SPDX-License-Identifier: Apache-2.0 */
#include "spec_builder.h"

#include <stdio.h>
#include <string.h>

#include "spec_parts.h"

/* As Docker hides them: what leaks the host or lets a container reach it. */
static const char *const masked[] = {
	"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
	"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
	"/sys/devices/virtual/powercap",
};
static const char *const read_only[] = {
	"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

bool spec_uses_host_userns(const struct container_config *c)
{
	/* Privileged means the host's ids, and namespaces shared with the host
	 * could not be used from a user namespace of one's own. */
	return str_eq(c->userns_mode, "host") || c->privileged || str_eq(c->pid_mode, "host");
}

static bool is_shared(const char *mode)
{
	return str_eq(mode, "host") || str_starts_with(mode ? mode : "", "container:");
}

bool spec_has_own_namespaces(const struct container_config *c)
{
	return !spec_uses_host_userns(c) && !is_shared(c->network_mode) && !is_shared(c->ipc_mode) && !is_shared(c->pid_mode) &&
	       !is_shared(c->uts_mode);
}

static bool has_security_opt(const struct container_config *c, const char *what)
{
	return strv_contains(&c->security_opt, what);
}

static void build_paths(const struct container_config *c, struct runtime_spec *spec)
{
	bool is_bare = c->privileged || has_security_opt(c, "systempaths=unconfined");
	if (c->has_masked_paths)
		strv_extend(&spec->masked_paths, &c->masked_paths);
	else
		for (size_t i = 0; !is_bare && i < ARRAY_LEN(masked); i++)
			strv_add(&spec->masked_paths, masked[i]);
	if (c->has_readonly_paths)
		strv_extend(&spec->readonly_paths, &c->readonly_paths);
	else
		for (size_t i = 0; !is_bare && i < ARRAY_LEN(read_only); i++)
			strv_add(&spec->readonly_paths, read_only[i]);
}

static void join(struct runtime_spec *spec, enum spec_ns ns, pid_t pid, const char *name)
{
	spec->ns[ns].wanted = true;
	if (pid)
		spec->ns[ns].path = str_printf("/proc/%d/ns/%s", pid, name);
}

static void build_namespaces(const struct spec_inputs *in, struct runtime_spec *spec)
{
	const struct container_config *c = in->config;
	join(spec, SPEC_NS_MOUNT, 0, "mnt");
	if (!str_eq(c->pid_mode, "host"))
		join(spec, SPEC_NS_PID, in->pid_pid, "pid");
	if (!str_eq(c->network_mode, "host"))
		join(spec, SPEC_NS_NET, in->net_pid, "net");
	if (!str_eq(c->ipc_mode, "host"))
		join(spec, SPEC_NS_IPC, in->ipc_pid, "ipc");
	if (!str_eq(c->uts_mode, "host"))
		join(spec, SPEC_NS_UTS, 0, "uts");
	if (!str_eq(c->cgroupns_mode, "host") && !c->privileged)
		join(spec, SPEC_NS_CGROUP, 0, "cgroup");
	/* Namespaces of processes and IPC can be joined only from the user namespace
	 * that owns them; in a network one is then without privileges. */
	if (in->userns_slot < 0 || in->other_has_host_userns)
		return;
	pid_t owner = in->net_pid && !in->net_has_host_userns ? in->net_pid : in->ipc_pid ? in->ipc_pid : in->pid_pid;
	join(spec, SPEC_NS_USER, owner, "user");
	struct spec_idmap map = { 0, USERNS_FIRST_ID + (uint32_t)in->userns_slot * USERNS_SIZE, USERNS_SIZE };
	spec->uid_maps = mem_calloc(1, sizeof(map));
	spec->gid_maps = mem_calloc(1, sizeof(map));
	spec->uid_maps[0] = spec->gid_maps[0] = map;
	spec->uid_maps_n = spec->gid_maps_n = 1;
}

/* The last of two with one name counts. */
static void put_sysctl(struct runtime_spec *spec, const char *text)
{
	size_t len = strcspn(text, "=") + 1;
	for (size_t i = 0; i < spec->sysctls.n; i++) {
		if (strncmp(spec->sysctls.v[i], text, len) != 0)
			continue;
		free(spec->sysctls.v[i]);
		spec->sysctls.v[i] = str_dup(text);
		return;
	}
	strv_add(&spec->sysctls, text);
}

static int build_sysctls(const struct container_config *c, struct runtime_spec *spec, struct err *err)
{
	/* Those of a namespace of the container; anything else is the host's. */
	static const char *const ipc[] = { "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall",
					   "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced", NULL };
	for (size_t i = 0; i < c->sysctls.n; i++) {
		const char *s = c->sysctls.v[i], *eq = strchr(s, '=');
		CLEANUP_FREE char *key = str_ndup(s, eq ? (size_t)(eq - s) : strlen(s));
		bool is_net = str_starts_with(key, "net.");
		bool is_ipc = str_starts_with(key, "fs.mqueue.");
		for (size_t j = 0; ipc[j]; j++)
			is_ipc |= str_eq(key, ipc[j]);
		if (!eq || (!is_net && !is_ipc))
			return err_set(err, ERR_INVALID, 0, "invalid argument \"%s\" for \"--sysctl\": sysctl '%s' is not allowed", s, s);
		if ((is_net && str_eq(c->network_mode, "host")) || (is_ipc && str_eq(c->ipc_mode, "host")))
			return err_set(err, ERR_INVALID, 0, "sysctl '%s' not allowed in host %s namespace", key, is_net ? "network" : "ipc");
		put_sysctl(spec, s);
	}
	return 0;
}

/* As Docker: ports below 1024 and ping need no capability inside. Before the
 * user's own, which win. */
static void add_default_sysctls(const struct container_config *c, struct runtime_spec *spec)
{
	if (str_eq(c->network_mode, "host") || str_starts_with(c->network_mode ? c->network_mode : "", "container:"))
		return;
	strv_add(&spec->sysctls, "net.ipv4.ip_unprivileged_port_start=0");
	/* The groups of a user namespace end where its map does. Nobody to ping
	 * without a network: that start saves the write. */
	if (!str_eq(c->network_mode, "none"))
		strv_add(&spec->sysctls, spec->gid_maps_n ? "net.ipv4.ping_group_range=0 65535"
							  : "net.ipv4.ping_group_range=0 2147483647");
}

int spec_build(const struct spec_inputs *in, struct runtime_spec **ret, struct err *err)
{
	const struct container_config *c = in->config;
	CLEANUP_RUNTIME_SPEC struct runtime_spec *spec = runtime_spec_new();
	strv_extend(&spec->layers, in->layers);
	spec->root_readonly = c->readonly_rootfs;
	spec->upper = str_printf("%s/upper", in->workload);
	spec->work = str_printf("%s/work", in->workload);
	spec->hostname = str_eq(c->uts_mode, "host") ? NULL : str_dup(in->hostname);
	spec->domainname = str_is_empty(c->domainname) ? NULL : str_dup(c->domainname);
	spec->cgroup_path = str_printf("hull/%s", in->id);
	spec->seccomp_bpf_path = str_dup(in->seccomp_bpf);
	if (c->has_init && c->init)
		spec->init_path = str_printf("%s/hull-init", in->libexec);
	build_namespaces(in, spec);
	build_paths(c, spec);
	strv_extend(&spec->annotations, &c->annotations);
	add_default_sysctls(c, spec);
	int r = build_sysctls(c, spec, err);
	if (r == 0)
		r = spec_build_process(in, spec, err);
	if (r == 0)
		r = spec_build_mounts(in, spec, err);
	if (r == 0)
		r = spec_limits(c, &spec->resources, err);
	if (r == 0)
		r = spec_build_devices(in, spec, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(spec);
	return 0;
}
