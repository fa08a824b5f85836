/* SPDX-License-Identifier: Apache-2.0 */
#include "cgroup_limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fd.h"
#include "str.h"

uint32_t cgroup_limits_controllers(const struct cgroup_limits *l)
{
	uint32_t need = 0;

	if (l->memory_bytes || l->memory_reservation_bytes || l->memory_swap_bytes || l->memory_swappiness >= 0 ||
	    l->oom_kill_disable)
		need |= CGROUP_BIT(CGROUP_MEMORY);
	if (l->cpu_shares || l->cpu_quota_us || l->cpu_period_us || l->cpu_realtime_runtime_us ||
	    l->cpu_realtime_period_us)
		need |= CGROUP_BIT(CGROUP_CPU);
	if (!str_is_empty(l->cpuset_cpus) || !str_is_empty(l->cpuset_mems))
		need |= CGROUP_BIT(CGROUP_CPUSET);
	if (l->pids)
		need |= CGROUP_BIT(CGROUP_PIDS);
	if (l->blkio_weight || l->blkio_n)
		need |= CGROUP_BIT(CGROUP_BLKIO);
	return need;
}

static int missing_controller(const struct cgroup_layout *layout, enum cgroup_controller c, struct err *err)
{
	int r = err_set(err, ERR_UNSUPPORTED, 0, "this host cannot limit %s: no %s cgroup controller",
			c == CGROUP_BLKIO ? "block I/O" : cgroup_controller_name(c),
			cgroup_is_v2(layout, CGROUP_FREEZER) && c == CGROUP_BLKIO ? "io" : cgroup_controller_name(c));
	err_why(err, "the kernel was built or booted without it, or it is not mounted (cgroups here: %s)",
		cgroup_mode_name(layout->mode));
	err_hint(err, "cat /proc/cgroups");
	return r;
}

int cgroup_limits_check(const struct cgroup_layout *layout, const struct cgroup_limits *limits, struct err *err)
{
	uint32_t need = cgroup_limits_controllers(limits);

	for (int c = 0; c < CGROUP_UNIFIED; c++)
		/* "Unlimited" is honoured by a host without the controller. */
		if ((need & CGROUP_BIT(c)) && !cgroup_has(layout, (enum cgroup_controller)c) &&
		    !(c == CGROUP_PIDS && limits->pids < 0))
			return missing_controller(layout, (enum cgroup_controller)c, err);
	return 0;
}

static int refuse_v2(struct err *err, const char *what, const char *instead)
{
	int r = err_set(err, ERR_UNSUPPORTED, 0, "%s is not supported with cgroup v2", what);
	err_why(err, "the kernel has this setting in cgroup v1 only");
	if (instead)
		err_hint(err, "%s", instead);
	return r;
}

static int put(int dir, const char *file, const char *value, struct err *err)
{
	int r = fd_write_value_at(dir, file, value);

	if (r == -ENOENT) {
		r = err_set(err, ERR_UNSUPPORTED, r, "set %s to %s", file, value);
		err_why(err, "this kernel has no %s", file);
		return r;
	}
	if (r == -EINVAL || r == -ERANGE)
		return err_set(err, ERR_INVALID, r, "set %s to %s", file, value);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "set %s to %s", file, value) : 0;
}

static int put_i64(int dir, const char *file, int64_t value, struct err *err)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	return put(dir, file, text, err);
}

/* -1 becomes "max". */
static int put_max(int dir, const char *file, int64_t value, struct err *err)
{
	return value < 0 ? put(dir, file, "max", err) : put_i64(dir, file, value, err);
}

/* A number in a file; "max", or too large for v1's "unlimited", is -1. */
static int64_t read_limit(int dir, const char *file)
{
	CLEANUP_BUF struct buf text = BUF_INIT(64);
	uint64_t value;

	if (fd_read_file_at(dir, file, &text) < 0 || !text.len)
		return -1;
	text.data[strcspn(text.data, "\n")] = '\0';
	if (str_parse_u64(text.data, &value) < 0 || value >= (UINT64_C(1) << 62))
		return -1;
	return (int64_t)value;
}

static bool has_file(int dir, const char *file)
{
	return faccessat(dir, file, F_OK, 0) == 0;
}

/* Docker's default for swap (as much again as memory) is not a wish of the
 * user, so a kernel that does not count swap is no reason to fail. */
static bool is_default_swap(const struct cgroup_limits *l)
{
	return l->memory_swap_bytes < 0 || (l->memory_bytes > 0 && l->memory_swap_bytes == 2 * l->memory_bytes);
}

static int put_memory_v1(int dir, int64_t bytes, struct err *err)
{
	int r = put_i64(dir, "memory.limit_in_bytes", bytes, err);

	if (r == -EBUSY)
		err_why(err, "the workload uses %" PRId64 " bytes now, and the kernel could not free enough",
			read_limit(dir, "memory.usage_in_bytes"));
	return r;
}

/* The kernel refuses memory > memory+swap at every moment, so the order depends
 * on the direction. */
static int apply_memory_v1(int dir, const struct cgroup_limits *l, struct err *err)
{
	static const char swap_file[] = "memory.memsw.limit_in_bytes";
	bool has_swap = l->memory_swap_bytes && (has_file(dir, swap_file) || !is_default_swap(l));
	int64_t swap_now = read_limit(dir, swap_file);
	bool is_growing = l->memory_swap_bytes < 0 || (swap_now >= 0 && swap_now < l->memory_swap_bytes);
	int r = 0;

	if (l->memory_bytes > 0 && !l->memory_swap_bytes && swap_now >= 0 && l->memory_bytes > swap_now) {
		r = err_set(err, ERR_INVALID, 0,
			    "Memory limit should be smaller than already set memoryswap limit, "
			    "update the memoryswap at the same time");
		return r;
	}
	if (has_swap && is_growing)
		r = put_i64(dir, swap_file, l->memory_swap_bytes, err);
	/* "Unlimited" memory needs unlimited memory+swap first. */
	if (r == 0 && l->memory_bytes < 0 && !l->memory_swap_bytes && has_file(dir, swap_file))
		r = put_i64(dir, swap_file, -1, err);
	if (r == 0 && l->memory_bytes)
		r = put_memory_v1(dir, l->memory_bytes, err);
	if (r == 0 && has_swap && !is_growing)
		r = put_i64(dir, swap_file, l->memory_swap_bytes, err);
	if (r == 0 && l->memory_reservation_bytes)
		r = put_i64(dir, "memory.soft_limit_in_bytes", l->memory_reservation_bytes, err);
	if (r == 0 && l->memory_swappiness >= 0)
		r = put_i64(dir, "memory.swappiness", l->memory_swappiness, err);
	if (r == 0 && l->oom_kill_disable)
		r = put(dir, "memory.oom_control", "1", err);
	return r;
}

static int apply_memory_v2(int dir, const struct cgroup_limits *l, struct err *err)
{
	static const char swap_file[] = "memory.swap.max";
	int r = 0;

	if (l->memory_swappiness >= 0)
		return refuse_v2(err, "memory swappiness", NULL);
	if (l->oom_kill_disable)
		return refuse_v2(err, "disabling the OOM killer", "leave out --oom-kill-disable");
	if (l->memory_swap_bytes && (has_file(dir, swap_file) || !is_default_swap(l))) {
		int64_t memory = l->memory_bytes ? l->memory_bytes : read_limit(dir, "memory.max");
		int64_t swap = -1;

		if (l->memory_swap_bytes > 0) {
			if (memory < 0)
				return err_set(err, ERR_INVALID, 0,
					       "You should always set the Memory limit when using Memoryswap limit");
			swap = l->memory_swap_bytes - memory;
			if (swap < 0)
				return err_set(err, ERR_INVALID, 0,
					       "Minimum memoryswap limit should be larger than memory limit");
		}
		r = put_max(dir, swap_file, swap, err);
	}
	if (r == 0 && l->memory_bytes)
		r = put_max(dir, "memory.max", l->memory_bytes, err);
	if (r == 0 && l->memory_reservation_bytes)
		r = put_max(dir, "memory.low", l->memory_reservation_bytes, err);
	return r;
}

uint64_t cgroup_shares_to_weight(uint64_t shares)
{
	/* log2(weight) against log2(shares): the three fixed points (2, 1),
	 * (1024, 100) and (262144, 10000) joined by straight lines in the
	 * logarithm, which keeps ratios near the default. In 1/256 steps. */
	static const struct {
		double shares, weight;
	} points[] = { { 2, 1 }, { 1024, 100 }, { 262144, 10000 } };

	if (shares <= 2)
		return 1;
	if (shares >= 262144)
		return 10000;
	int i = shares < 1024 ? 0 : 1;
	/* Solve weight = w0 * (w1/w0)^t, t = log(s/s0) / log(s1/s0), by halving
	 * both intervals geometrically: no libm in the smallest programs. */
	double s0 = points[i].shares, s1 = points[i + 1].shares, w0 = points[i].weight, w1 = points[i + 1].weight;
	for (int step = 0; step < 40; step++) {
		double s = __builtin_sqrt(s0 * s1), w = __builtin_sqrt(w0 * w1);
		if ((double)shares < s) {
			s1 = s;
			w1 = w;
		} else {
			s0 = s;
			w0 = w;
		}
	}
	return (uint64_t)(w0 + 0.5);
}

static int apply_cpu_v1(int dir, const struct cgroup_limits *l, struct err *err)
{
	int r = 0;

	if (l->cpu_shares)
		r = put_i64(dir, "cpu.shares", (int64_t)l->cpu_shares, err);
	if (r == 0 && l->cpu_realtime_period_us)
		r = put_i64(dir, "cpu.rt_period_us", (int64_t)l->cpu_realtime_period_us, err);
	if (r == 0 && l->cpu_realtime_runtime_us)
		r = put_i64(dir, "cpu.rt_runtime_us", l->cpu_realtime_runtime_us, err);
	if (r < 0)
		return r;
	/* A shorter period may make the old quota exceed what the parent allows;
	 * then the quota must go first. */
	bool is_period_late = false;
	if (l->cpu_period_us) {
		r = put_i64(dir, "cpu.cfs_period_us", (int64_t)l->cpu_period_us, err);
		is_period_late = r == -EINVAL && l->cpu_quota_us;
		if (r < 0 && !is_period_late)
			return r;
	}
	if (l->cpu_quota_us) {
		*err = ERR_INIT;
		r = put_i64(dir, "cpu.cfs_quota_us", l->cpu_quota_us, err);
		if (r == 0 && is_period_late)
			r = put_i64(dir, "cpu.cfs_period_us", (int64_t)l->cpu_period_us, err);
	}
	return r;
}

static int apply_cpu_v2(int dir, const struct cgroup_limits *l, struct err *err)
{
	char text[64], now[64] = "max 100000";
	int r = 0;

	if (l->cpu_realtime_period_us || l->cpu_realtime_runtime_us)
		return refuse_v2(err, "real-time processor time", NULL);
	if (l->cpu_shares)
		r = put_i64(dir, "cpu.weight", (int64_t)cgroup_shares_to_weight(l->cpu_shares), err);
	if (r < 0 || (!l->cpu_quota_us && !l->cpu_period_us))
		return r;
	/* One file for both: keep the half that is not set. */
	CLEANUP_BUF struct buf old = BUF_INIT(64);
	if (fd_read_file_at(dir, "cpu.max", &old) == 0 && old.len)
		snprintf(now, sizeof(now), "%.*s", (int)strcspn(old.data, "\n"), old.data);
	char *period = strchr(now, ' ');
	if (period)
		*period++ = '\0';
	if (l->cpu_quota_us > 0)
		snprintf(text, sizeof(text), "%" PRId64 " ", l->cpu_quota_us);
	else
		snprintf(text, sizeof(text), "%.24s ", l->cpu_quota_us < 0 ? "max" : now);
	size_t at = strlen(text);
	if (l->cpu_period_us)
		snprintf(text + at, sizeof(text) - at, "%" PRIu64, l->cpu_period_us);
	else
		snprintf(text + at, sizeof(text) - at, "%.24s", period ? period : "100000");
	return put(dir, "cpu.max", text, err);
}

static int apply_cpuset(int dir, const struct cgroup_limits *l, struct err *err)
{
	int r = 0;

	if (!str_is_empty(l->cpuset_cpus))
		r = put(dir, "cpuset.cpus", l->cpuset_cpus, err);
	if (r == 0 && !str_is_empty(l->cpuset_mems))
		r = put(dir, "cpuset.mems", l->cpuset_mems, err);
	return r;
}

static int apply_blkio_weight(int dir, bool is_v2, uint64_t weight, struct err *err)
{
	if (!is_v2)
		return put_i64(dir, has_file(dir, "blkio.weight") ? "blkio.weight" : "blkio.bfq.weight",
			       (int64_t)weight, err);
	if (has_file(dir, "io.bfq.weight"))
		return put_i64(dir, "io.bfq.weight", (int64_t)weight, err);
	/* 10..1000 onto 1..10000. */
	return put_i64(dir, "io.weight", 1 + ((int64_t)weight - 10) * 9999 / 990, err);
}

static int apply_blkio(int dir, bool is_v2, const struct cgroup_limits *l, struct err *err)
{
	static const char *const v1_files[] = {
		[CGROUP_BLKIO_READ_BPS] = "blkio.throttle.read_bps_device",
		[CGROUP_BLKIO_WRITE_BPS] = "blkio.throttle.write_bps_device",
		[CGROUP_BLKIO_READ_IOPS] = "blkio.throttle.read_iops_device",
		[CGROUP_BLKIO_WRITE_IOPS] = "blkio.throttle.write_iops_device",
		[CGROUP_BLKIO_WEIGHT_DEVICE] = "blkio.weight_device",
	};
	static const char *const v2_keys[] = { "rbps=", "wbps=", "riops=", "wiops=", "" };
	static_assert(ARRAY_LEN(v1_files) == CGROUP_BLKIO_KIND_COUNT, "a file for each kind");
	static_assert(ARRAY_LEN(v2_keys) == CGROUP_BLKIO_KIND_COUNT, "a key for each kind");
	int r = l->blkio_weight ? apply_blkio_weight(dir, is_v2, l->blkio_weight, err) : 0;

	for (size_t i = 0; r == 0 && i < l->blkio_n; i++) {
		const struct cgroup_blkio_value *b = &l->blkio[i];
		bool is_weight = b->kind == CGROUP_BLKIO_WEIGHT_DEVICE;
		const char *file = !is_v2 ? v1_files[b->kind] : is_weight ? "io.bfq.weight" : "io.max";
		char text[96];

		if (!is_v2 && is_weight && !has_file(dir, file))
			file = "blkio.bfq.weight_device";
		if (is_v2 && b->value == 0 && !is_weight) /* v1's way to lift a limit */
			snprintf(text, sizeof(text), "%" PRId64 ":%" PRId64 " %smax", b->major, b->minor,
				 v2_keys[b->kind]);
		else
			snprintf(text, sizeof(text), "%" PRId64 ":%" PRId64 " %s%" PRIu64, b->major, b->minor,
				 is_v2 ? v2_keys[b->kind] : "", b->value);
		r = put(dir, file, text, err);
	}
	return r;
}

static int apply_one(struct cgroup *cg, enum cgroup_controller c, const struct cgroup_limits *l, struct err *err)
{
	bool is_v2 = cgroup_is_v2(cg->layout, c);
	int dir = cgroup_dir(cg, c);

	switch (c) {
	case CGROUP_MEMORY:
		return is_v2 ? apply_memory_v2(dir, l, err) : apply_memory_v1(dir, l, err);
	case CGROUP_CPU:
		return is_v2 ? apply_cpu_v2(dir, l, err) : apply_cpu_v1(dir, l, err);
	case CGROUP_CPUSET:
		return apply_cpuset(dir, l, err);
	case CGROUP_PIDS:
		return put_max(dir, "pids.max", l->pids, err);
	case CGROUP_BLKIO:
		return apply_blkio(dir, is_v2, l, err);
	default:
		return 0;
	}
}

int cgroup_limits_apply(struct cgroup *cg, const struct cgroup_limits *limits, struct err *err)
{
	uint32_t need = cgroup_limits_controllers(limits);
	struct err scratch = ERR_INIT;

	if (!err)
		err = &scratch;
	int r = cgroup_limits_check(cg->layout, limits, err);
	for (int c = 0; r == 0 && c < CGROUP_UNIFIED; c++) {
		if (!(need & CGROUP_BIT(c)) || !cgroup_has(cg->layout, (enum cgroup_controller)c))
			continue;
		r = cgroup_ensure(cg, (enum cgroup_controller)c);
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "enter the %s cgroup",
				       cgroup_controller_name((enum cgroup_controller)c));
		r = apply_one(cg, (enum cgroup_controller)c, limits, err);
	}
	return r;
}
