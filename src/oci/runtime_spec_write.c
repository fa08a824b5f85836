/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "runtime_spec.h"

static const char *const namespace_types[SPEC_NS_COUNT] = {
	[SPEC_NS_PID] = "pid",   [SPEC_NS_NET] = "network", [SPEC_NS_MOUNT] = "mount",   [SPEC_NS_IPC] = "ipc",
	[SPEC_NS_UTS] = "uts",   [SPEC_NS_USER] = "user",   [SPEC_NS_CGROUP] = "cgroup", [SPEC_NS_TIME] = "time",
};

static const char *const blkio_keys[SPEC_BLKIO_KIND_COUNT] = {
	[SPEC_BLKIO_READ_BPS] = "throttleReadBpsDevice",   [SPEC_BLKIO_WRITE_BPS] = "throttleWriteBpsDevice",
	[SPEC_BLKIO_READ_IOPS] = "throttleReadIOPSDevice", [SPEC_BLKIO_WRITE_IOPS] = "throttleWriteIOPSDevice",
	[SPEC_BLKIO_WEIGHT_DEVICE] = "weightDevice",
};

static void kv_u64(struct json_writer *w, const char *key, uint64_t v)
{
	jw_key(w, key);
	jw_u64(w, v);
}

static void kv_str_if(struct json_writer *w, const char *key, const char *s)
{
	if (s && *s)
		jw_kv_str(w, key, s);
}

static void kv_i64_if(struct json_writer *w, const char *key, int64_t v)
{
	if (v)
		jw_kv_i64(w, key, v);
}

static void write_capability_set(struct json_writer *w, const char *key, uint64_t mask)
{
	jw_key(w, key);
	jw_array(w);
	for (int i = 0; spec_capability_name(i); i++)
		if (mask >> i & 1)
			jw_str(w, spec_capability_name(i));
	jw_array_end(w);
}

static void write_user(struct json_writer *w, const struct spec_user *user)
{
	jw_key(w, "user");
	jw_object(w);
	jw_kv_i64(w, "uid", user->uid);
	jw_kv_i64(w, "gid", user->gid);
	if (user->has_umask)
		jw_kv_i64(w, "umask", user->umask);
	if (user->groups_n) {
		jw_key(w, "additionalGids");
		jw_array(w);
		for (size_t i = 0; i < user->groups_n; i++)
			jw_i64(w, user->groups[i]);
		jw_array_end(w);
	}
	jw_object_end(w);
}

static void write_rlimits(struct json_writer *w, const struct spec_process *p)
{
	jw_key(w, "rlimits");
	jw_array(w);
	for (size_t i = 0; i < p->rlimits_n; i++) {
		char type[32] = "RLIMIT_";
		const char *name = spec_rlimit_name(p->rlimits[i].resource);
		size_t n = strlen(type);
		for (; name && *name && n + 1 < sizeof(type); name++)
			type[n++] = (char)(*name >= 'a' && *name <= 'z' ? *name - 'a' + 'A' : *name);
		type[n] = '\0';
		jw_object(w);
		jw_kv_str(w, "type", type);
		/* Infinity is -1 here: the JSON reader ends at INT64_MAX. */
		jw_kv_i64(w, "soft", (int64_t)p->rlimits[i].soft);
		jw_kv_i64(w, "hard", (int64_t)p->rlimits[i].hard);
		jw_object_end(w);
	}
	jw_array_end(w);
}

static void write_process(struct json_writer *w, const struct spec_process *p)
{
	jw_object(w);
	if (p->terminal)
		jw_kv_bool(w, "terminal", true);
	if (p->console_rows || p->console_cols) {
		jw_key(w, "consoleSize");
		jw_object(w);
		jw_kv_i64(w, "height", p->console_rows);
		jw_kv_i64(w, "width", p->console_cols);
		jw_object_end(w);
	}
	write_user(w, &p->user);
	jw_kv_strv(w, "args", &p->args);
	jw_kv_strv(w, "env", &p->env);
	jw_kv_str(w, "cwd", p->cwd ? p->cwd : "/");
	jw_key(w, "capabilities");
	jw_object(w);
	write_capability_set(w, "bounding", p->caps.bounding);
	write_capability_set(w, "effective", p->caps.effective);
	write_capability_set(w, "inheritable", p->caps.inheritable);
	write_capability_set(w, "permitted", p->caps.permitted);
	write_capability_set(w, "ambient", p->caps.ambient);
	jw_object_end(w);
	if (p->rlimits_n)
		write_rlimits(w, p);
	jw_kv_bool(w, "noNewPrivileges", p->no_new_privileges);
	if (p->has_oom_score_adj)
		jw_kv_i64(w, "oomScoreAdj", p->oom_score_adj);
	jw_object_end(w);
}

static void write_device_rules(struct json_writer *w, const struct spec_resources *r)
{
	jw_key(w, "devices");
	jw_array(w);
	for (size_t i = 0; i < r->devices_n; i++) {
		const struct spec_device_rule *d = &r->devices[i];
		jw_object(w);
		jw_kv_bool(w, "allow", d->allow);
		jw_kv_str(w, "type", (char[]){ d->type, '\0' });
		if (d->major >= 0)
			jw_kv_i64(w, "major", d->major);
		if (d->minor >= 0)
			jw_kv_i64(w, "minor", d->minor);
		jw_kv_str(w, "access", d->access);
		jw_object_end(w);
	}
	jw_array_end(w);
}

static void write_blkio(struct json_writer *w, const struct spec_resources *r)
{
	bool any = r->blkio_weight != 0;
	for (int k = 0; k < SPEC_BLKIO_KIND_COUNT; k++)
		any = any || r->blkio_n[k];
	if (!any)
		return;
	jw_key(w, "blockIO");
	jw_object(w);
	kv_i64_if(w, "weight", r->blkio_weight);
	for (int k = 0; k < SPEC_BLKIO_KIND_COUNT; k++) {
		if (!r->blkio_n[k])
			continue;
		jw_key(w, blkio_keys[k]);
		jw_array(w);
		for (size_t i = 0; i < r->blkio_n[k]; i++) {
			jw_object(w);
			jw_kv_i64(w, "major", r->blkio[k][i].major);
			jw_kv_i64(w, "minor", r->blkio[k][i].minor);
			kv_u64(w, k == SPEC_BLKIO_WEIGHT_DEVICE ? "weight" : "rate", r->blkio[k][i].value);
			jw_object_end(w);
		}
		jw_array_end(w);
	}
	jw_object_end(w);
}

static void write_resources(struct json_writer *w, const struct spec_resources *r)
{
	jw_object(w);
	jw_key(w, "memory");
	jw_object(w);
	kv_i64_if(w, "limit", r->memory_limit_bytes);
	kv_i64_if(w, "reservation", r->memory_reservation_bytes);
	kv_i64_if(w, "swap", r->memory_swap_bytes);
	if (r->memory_swappiness >= 0)
		jw_kv_i64(w, "swappiness", r->memory_swappiness);
	if (r->oom_kill_disable)
		jw_kv_bool(w, "disableOOMKiller", true);
	jw_object_end(w);
	jw_key(w, "cpu");
	jw_object(w);
	kv_i64_if(w, "shares", (int64_t)r->cpu_shares);
	kv_i64_if(w, "quota", r->cpu_quota_us);
	kv_i64_if(w, "period", (int64_t)r->cpu_period_us);
	kv_i64_if(w, "realtimeRuntime", r->cpu_realtime_runtime_us);
	kv_i64_if(w, "realtimePeriod", (int64_t)r->cpu_realtime_period_us);
	kv_str_if(w, "cpus", r->cpuset_cpus);
	kv_str_if(w, "mems", r->cpuset_mems);
	jw_object_end(w);
	if (r->pids_limit) {
		jw_key(w, "pids");
		jw_object(w);
		jw_kv_i64(w, "limit", r->pids_limit);
		jw_object_end(w);
	}
	write_blkio(w, r);
	if (r->devices_n)
		write_device_rules(w, r);
	jw_object_end(w);
}

static void write_mounts(struct json_writer *w, const struct runtime_spec *s)
{
	jw_key(w, "mounts");
	jw_array(w);
	for (size_t i = 0; i < s->mounts_n; i++) {
		jw_object(w);
		jw_kv_str(w, "destination", s->mounts[i].destination);
		kv_str_if(w, "type", s->mounts[i].type);
		kv_str_if(w, "source", s->mounts[i].source);
		if (s->mounts[i].options.n)
			jw_kv_strv(w, "options", &s->mounts[i].options);
		jw_object_end(w);
	}
	jw_array_end(w);
}

static void write_devices(struct json_writer *w, const struct runtime_spec *s)
{
	jw_key(w, "devices");
	jw_array(w);
	for (size_t i = 0; i < s->devices_n; i++) {
		const struct spec_device *d = &s->devices[i];
		jw_object(w);
		jw_kv_str(w, "path", d->path);
		jw_kv_str(w, "type", (char[]){ d->type, '\0' });
		jw_kv_i64(w, "major", d->major);
		jw_kv_i64(w, "minor", d->minor);
		jw_kv_i64(w, "fileMode", d->mode);
		jw_kv_i64(w, "uid", d->uid);
		jw_kv_i64(w, "gid", d->gid);
		jw_object_end(w);
	}
	jw_array_end(w);
}

static void write_namespaces(struct json_writer *w, const struct runtime_spec *s)
{
	jw_key(w, "namespaces");
	jw_array(w);
	for (int i = 0; i < SPEC_NS_COUNT; i++) {
		if (!s->ns[i].wanted)
			continue;
		jw_object(w);
		jw_kv_str(w, "type", namespace_types[i]);
		kv_str_if(w, "path", s->ns[i].path);
		jw_object_end(w);
	}
	jw_array_end(w);
}

static void write_idmaps(struct json_writer *w, const char *key, const struct spec_idmap *maps, size_t n)
{
	if (!n)
		return;
	jw_key(w, key);
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kv_i64(w, "containerID", maps[i].container_id);
		jw_kv_i64(w, "hostID", maps[i].host_id);
		jw_kv_i64(w, "size", maps[i].size);
		jw_object_end(w);
	}
	jw_array_end(w);
}

static void kv_pairs_if(struct json_writer *w, const char *key, const struct strv *pairs)
{
	if (pairs->n)
		jw_kv_pairs(w, key, pairs);
}

static void write_linux(struct json_writer *w, const struct runtime_spec *s)
{
	jw_key(w, "linux");
	jw_object(w);
	write_namespaces(w, s);
	write_idmaps(w, "uidMappings", s->uid_maps, s->uid_maps_n);
	write_idmaps(w, "gidMappings", s->gid_maps, s->gid_maps_n);
	kv_str_if(w, "cgroupsPath", s->cgroup_path);
	jw_key(w, "resources");
	write_resources(w, &s->resources);
	if (s->devices_n)
		write_devices(w, s);
	kv_pairs_if(w, "sysctl", &s->sysctls);
	jw_kv_strv(w, "maskedPaths", &s->masked_paths);
	jw_kv_strv(w, "readonlyPaths", &s->readonly_paths);
	kv_str_if(w, "rootfsPropagation", s->rootfs_propagation);
	jw_object_end(w);
}

static void write_interfaces(struct json_writer *w, const struct runtime_spec *s)
{
	jw_key(w, "interfaces");
	jw_array(w);
	for (size_t i = 0; i < s->interfaces_n; i++) {
		const struct spec_interface *n = &s->interfaces[i];
		jw_object(w);
		kv_str_if(w, "network", n->network);
		kv_str_if(w, "name", n->name);
		kv_str_if(w, "kind", n->kind);
		kv_str_if(w, "bridge", n->bridge);
		kv_str_if(w, "hostName", n->host_name);
		kv_str_if(w, "mode", n->mode);
		kv_str_if(w, "mac", n->mac);
		kv_str_if(w, "address4", n->address4);
		kv_str_if(w, "gateway4", n->gateway4);
		kv_str_if(w, "address6", n->address6);
		kv_str_if(w, "gateway6", n->gateway6);
		if (n->is_default4)
			jw_kv_bool(w, "isDefault4", true);
		if (n->is_default6)
			jw_kv_bool(w, "isDefault6", true);
		if (n->is_port_isolated)
			jw_kv_bool(w, "isPortIsolated", true);
		if (n->is_routed)
			jw_kv_bool(w, "isRouted", true);
		kv_i64_if(w, "rateIn", (int64_t)n->rate_in);
		kv_i64_if(w, "rateOut", (int64_t)n->rate_out);
		kv_i64_if(w, "mtu", n->mtu);
		jw_object_end(w);
	}
	jw_array_end(w);
}

static void write_ports(struct json_writer *w, const struct runtime_spec *s)
{
	jw_key(w, "ports");
	jw_array(w);
	for (size_t i = 0; i < s->ports_n; i++) {
		jw_object(w);
		jw_kv_str(w, "protocol", s->ports[i].protocol);
		kv_str_if(w, "hostIp", s->ports[i].host_ip);
		jw_kv_i64(w, "hostPort", s->ports[i].host_port);
		jw_kv_i64(w, "containerPort", s->ports[i].container_port);
		kv_str_if(w, "containerIp", s->ports[i].container_ip);
		kv_i64_if(w, "way", s->ports[i].way);
		jw_object_end(w);
	}
	jw_array_end(w);
}

static void write_guest(struct json_writer *w, const struct spec_guest *g)
{
	jw_key(w, "guest");
	jw_object(w);
	kv_str_if(w, "kernel", g->kernel);
	kv_str_if(w, "initramfs", g->initramfs);
	kv_str_if(w, "supervisor", g->supervisor);
	kv_str_if(w, "runDir", g->run_dir);
	jw_kv_strv(w, "layerFiles", &g->layer_files);
	kv_i64_if(w, "memory", (int64_t)g->memory_bytes);
	kv_i64_if(w, "cpus", g->cpus);
	kv_i64_if(w, "cpusMax", g->cpus_max);
	if (g->has_dax)
		jw_kv_bool(w, "dax", true);
	if (g->has_no_acpi)
		jw_kv_bool(w, "noAcpi", true);
	jw_object_end(w);
}

static void write_hull(struct json_writer *w, const struct runtime_spec *s)
{
	jw_key(w, "hull");
	jw_object(w);
	if (s->layers.n)
		jw_kv_strv(w, "layers", &s->layers);
	kv_str_if(w, "upper", s->upper);
	kv_str_if(w, "work", s->work);
	kv_str_if(w, "seccompBpf", s->seccomp_bpf_path);
	kv_str_if(w, "init", s->init_path);
	if (s->interfaces_n)
		write_interfaces(w, s);
	if (s->ports_n)
		write_ports(w, s);
	if (s->guest.kernel || s->guest.layer_files.n)
		write_guest(w, &s->guest);
	if (s->has_name_sockets)
		jw_kv_bool(w, "nameSockets", true);
	jw_object_end(w);
}

int runtime_spec_write(const struct runtime_spec *s, struct buf *out)
{
	struct json_writer w;
	json_writer_init(&w, out, 0);
	jw_object(&w);
	jw_kv_str(&w, "ociVersion", "1.2.0");
	jw_key(&w, "process");
	write_process(&w, &s->process);
	jw_key(&w, "root");
	jw_object(&w);
	jw_kv_str(&w, "path", s->root_path ? s->root_path : "");
	jw_kv_bool(&w, "readonly", s->root_readonly);
	jw_object_end(&w);
	kv_str_if(&w, "hostname", s->hostname);
	kv_str_if(&w, "domainname", s->domainname);
	write_mounts(&w, s);
	kv_pairs_if(&w, "annotations", &s->annotations);
	write_linux(&w, s);
	write_hull(&w, s);
	jw_object_end(&w);
	return json_writer_finish(&w);
}

int runtime_spec_write_process(const struct spec_process *process, struct buf *out)
{
	struct json_writer w;
	json_writer_init(&w, out, 0);
	write_process(&w, process);
	return json_writer_finish(&w);
}

int runtime_spec_write_resources(const struct spec_resources *res, struct buf *out)
{
	struct json_writer w;
	json_writer_init(&w, out, 0);
	write_resources(&w, res);
	return json_writer_finish(&w);
}
