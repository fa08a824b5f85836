/* SPDX-License-Identifier: Apache-2.0 */
/* Limits and devices of a launch description. */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "spec_builder.h"
#include "spec_parts.h"

#define MEMORY_MIN_BYTES (6 << 20)

static int check_memory(const struct container_config *c, struct err *err)
{
	if (c->memory_bytes && c->memory_bytes < MEMORY_MIN_BYTES)
		return err_set(err, ERR_INVALID, 0, "Minimum memory limit allowed is 6MB");
	if (c->memory_swap_bytes > 0 && !c->memory_bytes)
		return err_set(err, ERR_INVALID, 0,
			       "You should always set the Memory limit when using Memoryswap limit, see usage");
	if (c->memory_swap_bytes > 0 && c->memory_swap_bytes < c->memory_bytes)
		return err_set(err, ERR_INVALID, 0, "Minimum memoryswap limit should be larger than memory limit, see usage");
	if (c->memory_reservation_bytes && c->memory_bytes && c->memory_reservation_bytes > c->memory_bytes)
		return err_set(err, ERR_INVALID, 0, "Minimum memory limit can not be less than memory reservation limit, see usage");
	if (c->has_memory_swappiness && c->memory_swappiness != -1 &&
	    (c->memory_swappiness < 0 || c->memory_swappiness > 100))
		return err_set(err, ERR_INVALID, 0, "Invalid value: %jd, valid memory swappiness range is 0-100",
			       (intmax_t)c->memory_swappiness);
	return 0;
}

static int check_cpu(const struct container_config *c, struct err *err)
{
	if (c->nano_cpus && (c->cpu_period || c->cpu_quota))
		return err_set(err, ERR_INVALID, 0,
			       "Conflicting options: Nano CPUs and CPU %s cannot both be set", c->cpu_period ? "Period" : "Quota");
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	if (c->nano_cpus < 0 || c->nano_cpus > online * INT64_C(1000000000))
		return err_set(err, ERR_INVALID, 0,
			       "range of CPUs is from 0.01 to %ld.00, as there are only %ld CPUs available", online, online);
	if (c->cpu_period && (c->cpu_period < 1000 || c->cpu_period > 1000000))
		return err_set(err, ERR_INVALID, 0, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
	if (c->cpu_quota > 0 && c->cpu_quota < 1000)
		return err_set(err, ERR_INVALID, 0, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
	if (c->blkio_weight && (c->blkio_weight < 10 || c->blkio_weight > 1000))
		return err_set(err, ERR_INVALID, 0, "range of blkio weight is from 10 to 1000");
	return 0;
}

static int add_blkio(const struct config_blkio *list, size_t n, enum spec_blkio_kind kind, struct spec_resources *res,
		     struct err *err)
{
	if (!n)
		return 0;
	res->blkio[kind] = mem_calloc(n, sizeof(**res->blkio));
	for (size_t i = 0; i < n; i++) {
		struct stat st;
		if (stat(list[i].path, &st) < 0 || !S_ISBLK(st.st_mode))
			return err_set(err, ERR_INVALID, 0, "no such block device: %s", list[i].path);
		res->blkio[kind][res->blkio_n[kind]++] = (struct spec_blkio_value){ major(st.st_rdev), minor(st.st_rdev), list[i].value };
	}
	return 0;
}

int spec_limits(const struct container_config *c, struct spec_resources *ret, struct err *err)
{
	int r = check_memory(c, err);
	if (r == 0)
		r = check_cpu(c, err);
	if (r < 0)
		return r;
	ret->memory_limit_bytes = c->memory_bytes;
	ret->memory_reservation_bytes = c->memory_reservation_bytes;
	/* Docker: as much swap again as memory, unless said otherwise. */
	ret->memory_swap_bytes = c->memory_swap_bytes ? c->memory_swap_bytes : c->memory_bytes > 0 ? c->memory_bytes * 2 : 0;
	ret->memory_swappiness = c->has_memory_swappiness ? c->memory_swappiness : -1;
	ret->oom_kill_disable = c->has_oom_kill_disable && c->oom_kill_disable;
	ret->cpu_shares = (uint64_t)c->cpu_shares;
	ret->cpu_period_us = (uint64_t)c->cpu_period;
	ret->cpu_quota_us = c->cpu_quota;
	if (c->nano_cpus) {
		ret->cpu_period_us = 100000;
		ret->cpu_quota_us = c->nano_cpus / 10000;
	}
	ret->cpu_realtime_period_us = (uint64_t)c->cpu_realtime_period;
	ret->cpu_realtime_runtime_us = c->cpu_realtime_runtime;
	ret->cpuset_cpus = str_is_empty(c->cpuset_cpus) ? NULL : str_dup(c->cpuset_cpus);
	ret->cpuset_mems = str_is_empty(c->cpuset_mems) ? NULL : str_dup(c->cpuset_mems);
	if (c->has_pids_limit)
		ret->pids_limit = c->pids_limit > 0 ? c->pids_limit : -1;
	ret->blkio_weight = (uint16_t)c->blkio_weight;
	r = add_blkio(c->blkio_weight_device, c->blkio_weight_device_n, SPEC_BLKIO_WEIGHT_DEVICE, ret, err);
	if (r == 0)
		r = add_blkio(c->blkio_read_bps, c->blkio_read_bps_n, SPEC_BLKIO_READ_BPS, ret, err);
	if (r == 0)
		r = add_blkio(c->blkio_write_bps, c->blkio_write_bps_n, SPEC_BLKIO_WRITE_BPS, ret, err);
	if (r == 0)
		r = add_blkio(c->blkio_read_iops, c->blkio_read_iops_n, SPEC_BLKIO_READ_IOPS, ret, err);
	if (r == 0)
		r = add_blkio(c->blkio_write_iops, c->blkio_write_iops_n, SPEC_BLKIO_WRITE_IOPS, ret, err);
	return r;
}

/* ---- devices ---- */

static void add_rule(struct spec_resources *res, bool allow, char type, int64_t maj, int64_t min, const char *access)
{
	res->devices = reallocarray(res->devices, res->devices_n + 1, sizeof(*res->devices));
	if (!res->devices)
		abort();
	struct spec_device_rule *rule = &res->devices[res->devices_n++];
	*rule = (struct spec_device_rule){ .allow = allow, .type = type, .major = maj, .minor = min };
	if (str_copy(rule->access, sizeof(rule->access), access) < 0)
		rule->access[0] = 0;
}

/* @access: NULL when a rule lets it through already. */
static int add_device(struct runtime_spec *spec, const char *host, const char *path, const char *access, struct err *err)
{
	struct stat st;
	if (stat(host, &st) < 0)
		return err_set(err, ERR_INVALID, 0, "error gathering device information while adding custom device \"%s\": no such file or directory", host);
	if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(err, ERR_INVALID, 0, "error gathering device information while adding custom device \"%s\": not a device node", host);
	if (access && (strspn(access, "rwm") != strlen(access) || strlen(access) > 3))
		return err_set(err, ERR_INVALID, 0, "invalid device mode: %s", access);
	spec->devices = reallocarray(spec->devices, spec->devices_n + 1, sizeof(*spec->devices));
	if (!spec->devices)
		abort();
	char type = S_ISCHR(st.st_mode) ? 'c' : 'b';
	spec->devices[spec->devices_n++] = (struct spec_device){
		.path = str_dup(path), .type = type, .major = major(st.st_rdev), .minor = minor(st.st_rdev),
		.mode = st.st_mode & 07777, .uid = st.st_uid < USERNS_SIZE ? st.st_uid : 0, .gid = st.st_gid < USERNS_SIZE ? st.st_gid : 0,
	};
	if (access)
		add_rule(&spec->resources, true, type, major(st.st_rdev), minor(st.st_rdev), access);
	return 0;
}

static int add_device_dir(struct runtime_spec *spec, const struct config_device *d, struct err *err)
{
	CLEANUP_DIR DIR *dir = opendir(d->path_on_host);
	struct dirent *e;
	while (dir && (e = readdir(dir))) {
		if (e->d_type != DT_CHR && e->d_type != DT_BLK)
			continue;
		CLEANUP_FREE char *host = str_printf("%s/%s", d->path_on_host, e->d_name);
		CLEANUP_FREE char *path = str_printf("%s/%s", d->path_in_container, e->d_name);
		int r = add_device(spec, host, path, d->cgroup_permissions, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* "c 1:3 rwm", "b *:* r". */
static int add_device_rule(struct spec_resources *res, const char *rule, struct err *err)
{
	CLEANUP_STRV struct strv part = { 0 }, number = { 0 };
	strv_split(&part, rule, ' ');
	if (part.n == 3)
		strv_split(&number, part.v[1], ':');
	uint64_t maj = 0, min = 0;
	bool ok = part.n == 3 && number.n == 2 && strlen(part.v[0]) == 1 && strchr("abc", *part.v[0]) &&
		  strlen(part.v[2]) <= 3 && *part.v[2] && strspn(part.v[2], "rwm") == strlen(part.v[2]) &&
		  (str_eq(number.v[0], "*") || str_parse_u64_max(number.v[0], INT32_MAX, &maj) == 0) &&
		  (str_eq(number.v[1], "*") || str_parse_u64_max(number.v[1], INT32_MAX, &min) == 0);
	if (!ok)
		return err_set(err, ERR_INVALID, 0, "invalid device cgroup rule format: '%s'", rule);
	add_rule(res, true, *part.v[0], str_eq(number.v[0], "*") ? -1 : (int64_t)maj,
		 str_eq(number.v[1], "*") ? -1 : (int64_t)min, part.v[2]);
	return 0;
}

/* What every container may use, as in Docker: nothing but the harmless. */
static void add_default_rules(struct spec_resources *res)
{
	static const struct { char type; int major, minor; const char *access; } allowed[] = {
		{ 'c', -1, -1, "m" },  { 'b', -1, -1, "m" },  { 'c', 1, 3, "rwm" },  { 'c', 1, 5, "rwm" },
		{ 'c', 1, 7, "rwm" },  { 'c', 1, 8, "rwm" },  { 'c', 1, 9, "rwm" },  { 'c', 5, 0, "rwm" },
		{ 'c', 5, 2, "rwm" },  { 'c', 136, -1, "rwm" },
	};
	add_rule(res, false, 'a', -1, -1, "rwm");
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		add_rule(res, true, allowed[i].type, allowed[i].major, allowed[i].minor, allowed[i].access);
}

/* For --privileged: all there are, as runc's HostDevices. */
static int add_host_devices(struct runtime_spec *spec, const char *path, struct err *err)
{
	static const char *const not_shown[] = { "pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev", "ptmx" };
	CLEANUP_DIR DIR *dir = opendir(path);
	struct dirent *e;
	int r = 0;
	while (dir && r == 0 && (e = readdir(dir))) {
		bool is_shown = !str_eq(e->d_name, ".") && !str_eq(e->d_name, "..");
		for (size_t i = 0; i < ARRAY_LEN(not_shown); i++)
			is_shown &= !str_eq(e->d_name, not_shown[i]);
		CLEANUP_FREE char *below = str_printf("%s/%s", path, e->d_name);
		if (is_shown && e->d_type == DT_DIR)
			r = add_host_devices(spec, below, err);
		else if (is_shown && (e->d_type == DT_CHR || e->d_type == DT_BLK) && access(below, F_OK) == 0)
			r = add_device(spec, below, below, NULL, err);
	}
	return r;
}

static int add_custom_devices(const struct container_config *c, struct runtime_spec *spec, struct err *err)
{
	int r = 0;
	for (size_t i = 0; i < c->devices_n && r == 0; i++) {
		struct stat st;
		const struct config_device *d = &c->devices[i];
		const char *access = str_is_empty(d->cgroup_permissions) ? "rwm" : d->cgroup_permissions;
		bool is_dir = stat(d->path_on_host, &st) == 0 && S_ISDIR(st.st_mode);
		r = is_dir ? add_device_dir(spec, d, err) : add_device(spec, d->path_on_host, d->path_in_container, access, err);
	}
	return r;
}

int spec_build_devices(const struct spec_inputs *in, struct runtime_spec *spec, struct err *err)
{
	const struct container_config *c = in->config;
	int r = 0;
	if (c->privileged) {
		add_rule(&spec->resources, true, 'a', -1, -1, "rwm");
		/* All that there is, where it runs. */
		r = in->has_own_kernel ? 0 : add_host_devices(spec, "/dev", err);
	} else {
		add_default_rules(&spec->resources);
	}
	if (r == 0)
		r = add_custom_devices(c, spec, err);
	for (size_t i = 0; i < c->device_cgroup_rules.n && r == 0; i++)
		r = add_device_rule(&spec->resources, c->device_cgroup_rules.v[i], err);
	return r;
}
