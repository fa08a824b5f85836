/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime_spec.h"

#include <stdio.h>
#include <string.h>

#include "json.h"

/* What a hostile or broken document may make us allocate. */
#define ENTRIES_MAX 4096u
/* Each of two protocols and two families. */
#define PORTS_MAX (4u * 65536u)

static const char *const namespace_types[SPEC_NS_COUNT] = {
	[SPEC_NS_PID] = "pid",   [SPEC_NS_NET] = "network", [SPEC_NS_MOUNT] = "mount",   [SPEC_NS_IPC] = "ipc",
	[SPEC_NS_UTS] = "uts",   [SPEC_NS_USER] = "user",   [SPEC_NS_CGROUP] = "cgroup", [SPEC_NS_TIME] = "time",
};

static const char *const blkio_keys[SPEC_BLKIO_KIND_COUNT] = {
	[SPEC_BLKIO_READ_BPS] = "throttleReadBpsDevice",   [SPEC_BLKIO_WRITE_BPS] = "throttleWriteBpsDevice",
	[SPEC_BLKIO_READ_IOPS] = "throttleReadIOPSDevice", [SPEC_BLKIO_WRITE_IOPS] = "throttleWriteIOPSDevice",
	[SPEC_BLKIO_WEIGHT_DEVICE] = "weightDevice",
};

/* ---- members with their type checked ---- */

static int bad(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, 0, "runtime specification: bad %s", what);
}

static int get_string(const struct json *o, const char *key, char **ret, struct err *err)
{
	struct json *v = NULL;
	int r = json_check(o, key, JT_STRING, "runtime specification", &v, err);
	if (r == 0 && v)
		*ret = str_dup(json_str(v));
	return r;
}

static int get_fixed(const struct json *o, const char *key, char *dst, size_t size, struct err *err)
{
	const char *s = json_get_str(o, key);
	if (s && str_copy(dst, size, s) < 0)
		return bad(err, key);
	return 0;
}

static int get_strings(const struct json *o, const char *key, struct strv *ret, struct err *err)
{
	if (json_array_len(json_get(o, key)) > ENTRIES_MAX * 4 || json_get_strv(o, key, ret) < 0)
		return bad(err, key);
	return 0;
}

static int get_u32(const struct json *o, const char *key, uint32_t *ret, struct err *err)
{
	int64_t v = json_get_i64(o, key, *ret);
	if (v < 0 || v > UINT32_MAX)
		return bad(err, key);
	*ret = (uint32_t)v;
	return 0;
}

/* An array of objects of at most @max; *ret gets zeroed room for all. */
static int get_array_of(const struct json *o, const char *key, size_t max, size_t size, void *ret, size_t *ret_n,
			struct json **ret_array, struct err *err)
{
	struct json *array = NULL;
	int r = json_check(o, key, JT_ARRAY, "runtime specification", &array, err);
	if (r < 0)
		return r;
	*ret_array = array;
	size_t n = json_array_len(array);
	if (n == 0)
		return 0;
	if (n > max)
		return bad(err, key);
	for (size_t i = 0; i < n; i++)
		if (json_kind(json_array_at(array, i)) != JT_OBJECT)
			return bad(err, key);
	*(void **)ret = mem_calloc(n, size);
	*ret_n = n;
	return 0;
}

static int get_array(const struct json *o, const char *key, size_t size, void *ret, size_t *ret_n, struct json **ret_array,
		     struct err *err)
{
	return get_array_of(o, key, ENTRIES_MAX, size, ret, ret_n, ret_array, err);
}

/* A JSON object as "key=value" entries. */
static int get_pairs(const struct json *o, const char *key, struct strv *ret, struct err *err)
{
	struct json *pairs = NULL, *value;
	const char *name;
	int r = json_check(o, key, JT_OBJECT, "runtime specification", &pairs, err);
	if (r < 0 || !pairs)
		return r;
	for (void *it = NULL; (it = json_object_next(pairs, it, &name, &value));) {
		if (!json_str(value))
			return bad(err, key);
		strv_printf(ret, "%s=%s", name, json_str(value));
	}
	return 0;
}

/* ---- process ---- */

static int get_capability_set(const struct json *caps, const char *key, uint64_t *ret, struct err *err)
{
	CLEANUP_STRV struct strv names = { 0 };
	int r = get_strings(caps, key, &names, err);
	for (size_t i = 0; i < names.n && r == 0; i++) {
		int number = spec_capability_number(names.v[i]);
		if (number < 0)
			return err_set(err, ERR_INVALID, 0, "unknown capability %s", names.v[i]);
		*ret |= 1ULL << number;
	}
	return r;
}

static int get_user(const struct json *process, struct spec_user *u, struct err *err)
{
	const struct json *user = json_get(process, "user"), *groups = json_get(user, "additionalGids");
	int r = get_u32(user, "uid", &u->uid, err);
	if (r == 0)
		r = get_u32(user, "gid", &u->gid, err);
	if (r < 0)
		return r;
	u->has_umask = json_get(user, "umask") != NULL;
	r = get_u32(user, "umask", &u->umask, err);
	if (r < 0)
		return r;
	size_t n = json_array_len(groups);
	if (n > 65536)
		return bad(err, "additionalGids");
	if (n == 0)
		return 0;
	u->groups = mem_calloc(n, sizeof(*u->groups));
	for (size_t i = 0; i < n; i++) {
		int64_t gid = json_i64(json_array_at(groups, i), -1);
		if (gid < 0 || gid > UINT32_MAX)
			return bad(err, "additionalGids");
		u->groups[u->groups_n++] = (uint32_t)gid;
	}
	return 0;
}

static int get_rlimits(const struct json *process, struct spec_process *p, struct err *err)
{
	struct json *array = NULL;
	int r = get_array(process, "rlimits", sizeof(*p->rlimits), &p->rlimits, &p->rlimits_n, &array, err);
	for (size_t i = 0; i < p->rlimits_n && r == 0; i++) {
		const struct json *e = json_array_at(array, i);
		const char *type = json_get_str(e, "type");
		p->rlimits[i].resource = type ? spec_rlimit_number(type) : -1;
		if (p->rlimits[i].resource < 0)
			return bad(err, "rlimit type");
		/* RLIM_INFINITY is above what a JSON integer of ours holds. */
		p->rlimits[i].soft = (uint64_t)json_get_i64(e, "soft", -1);
		p->rlimits[i].hard = (uint64_t)json_get_i64(e, "hard", -1);
	}
	return r;
}

static int get_process(const struct json *o, struct spec_process *p, struct err *err)
{
	const struct json *caps = json_get(o, "capabilities"), *size = json_get(o, "consoleSize");
	p->terminal = json_get_bool(o, "terminal", false);
	p->console_rows = (uint16_t)json_get_i64(size, "height", 0);
	p->console_cols = (uint16_t)json_get_i64(size, "width", 0);
	p->no_new_privileges = json_get_bool(o, "noNewPrivileges", false);
	p->has_oom_score_adj = json_get(o, "oomScoreAdj") != NULL;
	p->oom_score_adj = (int)json_get_i64(o, "oomScoreAdj", 0);

	int r = get_user(o, &p->user, err);
	if (r == 0)
		r = get_strings(o, "args", &p->args, err);
	if (r == 0)
		r = get_strings(o, "env", &p->env, err);
	if (r == 0)
		r = get_string(o, "cwd", &p->cwd, err);
	if (r == 0)
		r = get_capability_set(caps, "bounding", &p->caps.bounding, err);
	if (r == 0)
		r = get_capability_set(caps, "effective", &p->caps.effective, err);
	if (r == 0)
		r = get_capability_set(caps, "inheritable", &p->caps.inheritable, err);
	if (r == 0)
		r = get_capability_set(caps, "permitted", &p->caps.permitted, err);
	if (r == 0)
		r = get_capability_set(caps, "ambient", &p->caps.ambient, err);
	if (r == 0)
		r = get_rlimits(o, p, err);
	if (r == 0 && p->args.n == 0)
		return err_set(err, ERR_INVALID, 0, "runtime specification: no command");
	return r;
}

/* ---- resources ---- */

static int get_device_rules(const struct json *o, struct spec_resources *res, struct err *err)
{
	struct json *array = NULL;
	int r = get_array(o, "devices", sizeof(*res->devices), &res->devices, &res->devices_n, &array, err);
	for (size_t i = 0; i < res->devices_n && r == 0; i++) {
		const struct json *e = json_array_at(array, i);
		struct spec_device_rule *d = &res->devices[i];
		const char *type = json_get_str_or(e, "type", "a");
		if (!strchr("abcpu", type[0]) || !type[0] || type[1])
			return bad(err, "device type");
		d->allow = json_get_bool(e, "allow", false);
		d->type = type[0];
		d->major = json_get_i64(e, "major", -1);
		d->minor = json_get_i64(e, "minor", -1);
		r = get_fixed(e, "access", d->access, sizeof(d->access), err);
		if (r == 0 && strspn(d->access, "rwm") != strlen(d->access))
			return bad(err, "device access");
	}
	return r;
}

static int get_blkio(const struct json *o, struct spec_resources *res, struct err *err)
{
	int r = 0;
	res->blkio_weight = (uint16_t)json_get_i64(o, "weight", 0);
	for (int k = 0; k < SPEC_BLKIO_KIND_COUNT && r == 0; k++) {
		struct json *array = NULL;
		r = get_array(o, blkio_keys[k], sizeof(**res->blkio), &res->blkio[k], &res->blkio_n[k], &array, err);
		for (size_t i = 0; i < res->blkio_n[k] && r == 0; i++) {
			const struct json *e = json_array_at(array, i);
			res->blkio[k][i].major = json_get_i64(e, "major", 0);
			res->blkio[k][i].minor = json_get_i64(e, "minor", 0);
			res->blkio[k][i].value =
				(uint64_t)json_get_i64(e, k == SPEC_BLKIO_WEIGHT_DEVICE ? "weight" : "rate", 0);
		}
	}
	return r;
}

static int get_resources(const struct json *o, struct spec_resources *res, struct err *err)
{
	const struct json *memory = json_get(o, "memory"), *cpu = json_get(o, "cpu");
	res->memory_limit_bytes = json_get_i64(memory, "limit", 0);
	res->memory_reservation_bytes = json_get_i64(memory, "reservation", 0);
	res->memory_swap_bytes = json_get_i64(memory, "swap", 0);
	res->memory_swappiness = json_get_i64(memory, "swappiness", -1);
	res->oom_kill_disable = json_get_bool(memory, "disableOOMKiller", false);
	res->cpu_shares = (uint64_t)json_get_i64(cpu, "shares", 0);
	res->cpu_quota_us = json_get_i64(cpu, "quota", 0);
	res->cpu_period_us = (uint64_t)json_get_i64(cpu, "period", 0);
	res->cpu_realtime_runtime_us = json_get_i64(cpu, "realtimeRuntime", 0);
	res->cpu_realtime_period_us = (uint64_t)json_get_i64(cpu, "realtimePeriod", 0);
	res->pids_limit = json_get_i64(json_get(o, "pids"), "limit", 0);
	int r = get_string(cpu, "cpus", &res->cpuset_cpus, err);
	if (r == 0)
		r = get_string(cpu, "mems", &res->cpuset_mems, err);
	if (r == 0)
		r = get_blkio(json_get(o, "blockIO"), res, err);
	if (r == 0)
		r = get_device_rules(o, res, err);
	return r;
}

/* ---- the rest ---- */

static int get_mounts(const struct json *o, struct runtime_spec *s, struct err *err)
{
	struct json *array = NULL;
	int r = get_array(o, "mounts", sizeof(*s->mounts), &s->mounts, &s->mounts_n, &array, err);
	for (size_t i = 0; i < s->mounts_n && r == 0; i++) {
		const struct json *e = json_array_at(array, i);
		struct spec_mount *m = &s->mounts[i];
		r = get_string(e, "destination", &m->destination, err);
		if (r == 0 && (!m->destination || m->destination[0] != '/'))
			return bad(err, "mount destination");
		if (r == 0)
			r = get_string(e, "type", &m->type, err);
		if (r == 0)
			r = get_string(e, "source", &m->source, err);
		if (r == 0)
			r = get_strings(e, "options", &m->options, err);
	}
	return r;
}

static int get_devices(const struct json *linux_, struct runtime_spec *s, struct err *err)
{
	struct json *array = NULL;
	int r = get_array(linux_, "devices", sizeof(*s->devices), &s->devices, &s->devices_n, &array, err);
	for (size_t i = 0; i < s->devices_n && r == 0; i++) {
		const struct json *e = json_array_at(array, i);
		struct spec_device *d = &s->devices[i];
		const char *type = json_get_str_or(e, "type", "");
		if (!type[0] || type[1] || !strchr("cbpu", type[0]))
			return bad(err, "device type");
		d->type = type[0] == 'u' ? 'c' : type[0];
		d->major = json_get_i64(e, "major", 0);
		d->minor = json_get_i64(e, "minor", 0);
		d->mode = 0666;
		r = get_string(e, "path", &d->path, err);
		if (r == 0 && (!d->path || d->path[0] != '/'))
			return bad(err, "device path");
		if (r == 0)
			r = get_u32(e, "fileMode", &d->mode, err);
		if (r == 0)
			r = get_u32(e, "uid", &d->uid, err);
		if (r == 0)
			r = get_u32(e, "gid", &d->gid, err);
	}
	return r;
}

static int get_namespaces(const struct json *linux_, struct runtime_spec *s, struct err *err)
{
	const struct json *array = json_get(linux_, "namespaces");
	for (size_t i = 0; i < json_array_len(array); i++) {
		const struct json *e = json_array_at(array, i);
		const char *type = json_get_str_or(e, "type", "");
		int kind = 0;
		while (kind < SPEC_NS_COUNT && !str_eq(type, namespace_types[kind]))
			kind++;
		if (kind == SPEC_NS_COUNT || s->ns[kind].wanted)
			return bad(err, "namespace");
		s->ns[kind].wanted = true;
		int r = get_string(e, "path", &s->ns[kind].path, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int get_idmaps(const struct json *linux_, const char *key, struct spec_idmap **ret, size_t *ret_n, struct err *err)
{
	struct json *array = NULL;
	int r = get_array(linux_, key, sizeof(**ret), ret, ret_n, &array, err);
	for (size_t i = 0; i < *ret_n && r == 0; i++) {
		const struct json *e = json_array_at(array, i);
		r = get_u32(e, "containerID", &(*ret)[i].container_id, err);
		if (r == 0)
			r = get_u32(e, "hostID", &(*ret)[i].host_id, err);
		if (r == 0)
			r = get_u32(e, "size", &(*ret)[i].size, err);
	}
	return r;
}

static int get_linux(const struct json *root, struct runtime_spec *s, struct err *err)
{
	const struct json *l = json_get(root, "linux");
	int r = get_namespaces(l, s, err);
	if (r == 0)
		r = get_idmaps(l, "uidMappings", &s->uid_maps, &s->uid_maps_n, err);
	if (r == 0)
		r = get_idmaps(l, "gidMappings", &s->gid_maps, &s->gid_maps_n, err);
	if (r == 0)
		r = get_string(l, "cgroupsPath", &s->cgroup_path, err);
	if (r == 0)
		r = get_resources(json_get(l, "resources"), &s->resources, err);
	if (r == 0)
		r = get_devices(l, s, err);
	if (r == 0)
		r = get_pairs(l, "sysctl", &s->sysctls, err);
	if (r == 0)
		r = get_strings(l, "maskedPaths", &s->masked_paths, err);
	if (r == 0)
		r = get_strings(l, "readonlyPaths", &s->readonly_paths, err);
	if (r == 0)
		r = get_string(l, "rootfsPropagation", &s->rootfs_propagation, err);
	return r;
}

static int get_interfaces(const struct json *hull, struct runtime_spec *s, struct err *err)
{
	struct json *array = NULL;
	int r = get_array(hull, "interfaces", sizeof(*s->interfaces), &s->interfaces, &s->interfaces_n, &array, err);
	for (size_t i = 0; i < s->interfaces_n && r == 0; i++) {
		const struct json *e = json_array_at(array, i);
		struct spec_interface *n = &s->interfaces[i];
		char **strings[] = { &n->network, &n->name, &n->kind, &n->bridge, &n->host_name, &n->mode };
		static const char *const keys[] = { "network", "name", "kind", "bridge", "hostName", "mode" };
		for (size_t k = 0; k < ARRAY_LEN(keys) && r == 0; k++)
			r = get_string(e, keys[k], strings[k], err);
		if (r == 0)
			r = get_fixed(e, "mac", n->mac, sizeof(n->mac), err);
		if (r == 0)
			r = get_fixed(e, "address4", n->address4, sizeof(n->address4), err);
		if (r == 0)
			r = get_fixed(e, "gateway4", n->gateway4, sizeof(n->gateway4), err);
		if (r == 0)
			r = get_fixed(e, "address6", n->address6, sizeof(n->address6), err);
		if (r == 0)
			r = get_fixed(e, "gateway6", n->gateway6, sizeof(n->gateway6), err);
		if (r == 0)
			r = get_u32(e, "mtu", &n->mtu, err);
		n->is_default4 = json_get_bool(e, "isDefault4", false);
		n->is_default6 = json_get_bool(e, "isDefault6", false);
		n->is_port_isolated = json_get_bool(e, "isPortIsolated", false);
		n->is_routed = json_get_bool(e, "isRouted", false);
		int64_t in = json_get_i64(e, "rateIn", 0), out = json_get_i64(e, "rateOut", 0);
		n->rate_in = in > 0 ? (uint64_t)in : 0;
		n->rate_out = out > 0 ? (uint64_t)out : 0;
		if (r == 0 && (!n->name || !n->bridge || !n->host_name))
			return bad(err, "interface");
	}
	return r;
}

static int get_ports(const struct json *hull, struct runtime_spec *s, struct err *err)
{
	struct json *array = NULL;
	int r = get_array_of(hull, "ports", PORTS_MAX, sizeof(*s->ports), &s->ports, &s->ports_n, &array, err);
	for (size_t i = 0; i < s->ports_n && r == 0; i++) {
		const struct json *e = json_array_at(array, i);
		struct spec_port *p = &s->ports[i];
		int64_t host = json_get_i64(e, "hostPort", -1), container = json_get_i64(e, "containerPort", -1);
		if (host < 0 || host > 65535 || container < 1 || container > 65535)
			return bad(err, "port");
		int64_t way = json_get_i64(e, "way", PORT_BY_KERNEL);
		if (way < 0 || way >= PORT_WAY_COUNT)
			return bad(err, "port");
		p->way = (enum spec_port_way)way;
		p->host_port = (uint16_t)host;
		p->container_port = (uint16_t)container;
		r = get_fixed(e, "protocol", p->protocol, sizeof(p->protocol), err);
		if (r == 0)
			r = get_fixed(e, "hostIp", p->host_ip, sizeof(p->host_ip), err);
		if (r == 0)
			r = get_fixed(e, "containerIp", p->container_ip, sizeof(p->container_ip), err);
	}
	return r;
}

static int get_guest(const struct json *guest, struct spec_guest *g, struct err *err)
{
	struct {
		const char *key;
		char **field;
	} const strings[] = {
		{ "kernel", &g->kernel }, { "initramfs", &g->initramfs }, { "supervisor", &g->supervisor }, { "runDir", &g->run_dir },
	};
	int r = get_strings(guest, "layerFiles", &g->layer_files, err);
	for (size_t i = 0; i < ARRAY_LEN(strings) && r == 0; i++)
		r = get_string(guest, strings[i].key, strings[i].field, err);
	int64_t memory = json_get_i64(guest, "memory", 0);
	if (r == 0 && memory < 0)
		return bad(err, "guest");
	g->memory_bytes = (uint64_t)memory;
	g->has_dax = json_get_bool(guest, "dax", false);
	g->has_no_acpi = json_get_bool(guest, "noAcpi", false);
	if (r == 0)
		r = get_u32(guest, "cpus", &g->cpus, err);
	return r < 0 ? r : get_u32(guest, "cpusMax", &g->cpus_max, err);
}

static int get_hull(const struct json *root, struct runtime_spec *s, struct err *err)
{
	const struct json *hull = json_get(root, "hull");
	int r = get_strings(hull, "layers", &s->layers, err);
	if (r == 0)
		r = get_string(hull, "upper", &s->upper, err);
	if (r == 0)
		r = get_string(hull, "work", &s->work, err);
	if (r == 0)
		r = get_string(hull, "seccompBpf", &s->seccomp_bpf_path, err);
	if (r == 0)
		r = get_string(hull, "init", &s->init_path, err);
	if (r == 0)
		r = get_interfaces(hull, s, err);
	if (r == 0)
		r = get_ports(hull, s, err);
	if (r == 0 && json_get(hull, "guest"))
		r = get_guest(json_get(hull, "guest"), &s->guest, err);
	s->has_name_sockets = json_get_bool(hull, "nameSockets", false);
	return r;
}

int runtime_spec_parse(const char *text, size_t len, struct runtime_spec **ret, struct err *err)
{
	CLEANUP_JSON struct json *root = NULL;
	CLEANUP_RUNTIME_SPEC struct runtime_spec *s = runtime_spec_new();
	int r = json_parse(text, len, "runtime specification", &root, err);
	if (r < 0)
		return r;
	const struct json *rootfs = json_get(root, "root");
	r = get_process(json_get(root, "process"), &s->process, err);
	if (r == 0)
		r = get_string(rootfs, "path", &s->root_path, err);
	s->root_readonly = json_get_bool(rootfs, "readonly", false);
	if (r == 0)
		r = get_string(root, "hostname", &s->hostname, err);
	if (r == 0)
		r = get_string(root, "domainname", &s->domainname, err);
	if (r == 0)
		r = get_mounts(root, s, err);
	if (r == 0)
		r = get_pairs(root, "annotations", &s->annotations, err);
	if (r == 0)
		r = get_linux(root, s, err);
	if (r == 0)
		r = get_hull(root, s, err);
	if (r < 0)
		return r;
	if (s->root_path && !s->root_path[0]) {
		free(s->root_path);
		s->root_path = NULL;
	}
	*ret = TAKE_PTR(s);
	return 0;
}

int runtime_spec_parse_process(const char *text, size_t len, struct spec_process *ret, struct err *err)
{
	CLEANUP_JSON struct json *root = NULL;
	struct spec_process p = { 0 };
	int r = json_parse(text, len, "process", &root, err);
	if (r == 0)
		r = get_process(root, &p, err);
	if (r < 0) {
		spec_process_done(&p);
		return r;
	}
	*ret = p;
	return 0;
}

int runtime_spec_parse_resources(const char *text, size_t len, struct spec_resources *ret, struct err *err)
{
	CLEANUP_JSON struct json *root = NULL;
	struct spec_resources res = { 0 };
	int r = json_parse(text, len, "resources", &root, err);
	if (r == 0)
		r = get_resources(root, &res, err);
	if (r < 0) {
		spec_resources_done(&res);
		return r;
	}
	*ret = res;
	return 0;
}

/* ---- life ---- */

struct runtime_spec *runtime_spec_new(void)
{
	struct runtime_spec *s = mem_calloc(1, sizeof(*s));
	s->resources.memory_swappiness = -1;
	return s;
}

void spec_process_done(struct spec_process *p)
{
	free(p->user.groups);
	strv_free(&p->args);
	strv_free(&p->env);
	free(p->cwd);
	free(p->rlimits);
	*p = (struct spec_process){ 0 };
}

uint32_t spec_resources_processors(const struct spec_resources *res, long host)
{
	uint64_t period = res->cpu_period_us ? res->cpu_period_us : SPEC_DEFAULT_CPU_PERIOD_US;
	uint64_t n = res->cpu_quota_us > 0 ? ((uint64_t)res->cpu_quota_us + period - 1) / period : 0;
	return (uint32_t)(host > 0 && n > (uint64_t)host ? (uint64_t)host : n);
}

void spec_resources_done(struct spec_resources *res)
{
	free(res->cpuset_cpus);
	free(res->cpuset_mems);
	for (int k = 0; k < SPEC_BLKIO_KIND_COUNT; k++)
		free(res->blkio[k]);
	free(res->devices);
	*res = (struct spec_resources){ .memory_swappiness = -1 };
}

static void free_mounts(struct runtime_spec *s)
{
	for (size_t i = 0; i < s->mounts_n; i++) {
		free(s->mounts[i].destination);
		free(s->mounts[i].type);
		free(s->mounts[i].source);
		strv_free(&s->mounts[i].options);
	}
	free(s->mounts);
}

static void free_interfaces(struct runtime_spec *s)
{
	for (size_t i = 0; i < s->interfaces_n; i++) {
		free(s->interfaces[i].network);
		free(s->interfaces[i].name);
		free(s->interfaces[i].kind);
		free(s->interfaces[i].bridge);
		free(s->interfaces[i].mode);
		free(s->interfaces[i].host_name);
	}
	free(s->interfaces);
}

void runtime_spec_free(struct runtime_spec *s)
{
	if (!s)
		return;
	spec_process_done(&s->process);
	spec_resources_done(&s->resources);
	free_mounts(s);
	free_interfaces(s);
	for (size_t i = 0; i < s->devices_n; i++)
		free(s->devices[i].path);
	free(s->devices);
	for (int i = 0; i < SPEC_NS_COUNT; i++)
		free(s->ns[i].path);
	strv_free(&s->layers);
	strv_free(&s->sysctls);
	strv_free(&s->masked_paths);
	strv_free(&s->readonly_paths);
	strv_free(&s->annotations);
	strv_free(&s->guest.layer_files);
	char *strings[] = { s->hostname, s->domainname,       s->root_path, s->upper,     s->work,
			    s->cgroup_path, s->seccomp_bpf_path, s->rootfs_propagation, s->init_path,
			    s->guest.kernel, s->guest.initramfs, s->guest.supervisor, s->guest.run_dir };
	for (size_t i = 0; i < ARRAY_LEN(strings); i++)
		free(strings[i]);
	free(s->uid_maps);
	free(s->gid_maps);
	free(s->ports);
	free(s);
}
