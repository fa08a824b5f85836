/* SPDX-License-Identifier: Apache-2.0 */
#include "container_resources.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup_stats.h"
#include "str.h"

static_assert((int)SPEC_BLKIO_KIND_COUNT == (int)CGROUP_BLKIO_KIND_COUNT, "the kinds are the same, in order");
static_assert((int)SPEC_BLKIO_WEIGHT_DEVICE == (int)CGROUP_BLKIO_WEIGHT_DEVICE, "the kinds are the same, in order");

/* Borrows from @res; @ret_blkio is the caller's to free. */
static struct cgroup_limits to_limits(const struct spec_resources *res, struct cgroup_blkio_value **ret_blkio)
{
	struct cgroup_limits l = CGROUP_LIMITS_INIT;
	size_t n = 0;

	for (int k = 0; k < SPEC_BLKIO_KIND_COUNT; k++)
		n += res->blkio_n[k];
	struct cgroup_blkio_value *values = n ? mem_calloc(n, sizeof(*values)) : NULL;
	n = 0;
	for (int k = 0; k < SPEC_BLKIO_KIND_COUNT; k++)
		for (size_t i = 0; i < res->blkio_n[k]; i++)
			values[n++] = (struct cgroup_blkio_value){
				.kind = (enum cgroup_blkio_kind)k,
				.major = res->blkio[k][i].major,
				.minor = res->blkio[k][i].minor,
				.value = res->blkio[k][i].value,
			};
	l.memory_bytes = res->memory_limit_bytes;
	l.memory_reservation_bytes = res->memory_reservation_bytes;
	l.memory_swap_bytes = res->memory_swap_bytes;
	l.memory_swappiness = res->memory_swappiness;
	l.oom_kill_disable = res->oom_kill_disable;
	l.cpu_shares = res->cpu_shares;
	l.cpu_quota_us = res->cpu_quota_us;
	l.cpu_period_us = res->cpu_period_us;
	l.cpu_realtime_runtime_us = res->cpu_realtime_runtime_us;
	l.cpu_realtime_period_us = res->cpu_realtime_period_us;
	l.cpuset_cpus = res->cpuset_cpus;
	l.cpuset_mems = res->cpuset_mems;
	l.pids = res->pids_limit;
	l.blkio_weight = res->blkio_weight;
	l.blkio = values;
	l.blkio_n = n;
	*ret_blkio = values;
	return l;
}

static struct cgroup_device_rule *to_rules(const struct spec_resources *res)
{
	struct cgroup_device_rule *rules = mem_calloc(res->devices_n ? res->devices_n : 1, sizeof(*rules));

	for (size_t i = 0; i < res->devices_n; i++) {
		rules[i].allow = res->devices[i].allow;
		rules[i].type = res->devices[i].type;
		rules[i].major = res->devices[i].major;
		rules[i].minor = res->devices[i].minor;
		memcpy(rules[i].access, res->devices[i].access, sizeof(rules[i].access));
	}
	return rules;
}

/* No list at all is no filter; an empty program would allow nothing. */
static bool wants_filter(const struct spec_resources *res, const struct cgroup_device_rule *rules)
{
	return res->devices_n && !cgroup_devices_is_open(rules, res->devices_n);
}

uint32_t container_resources_controllers(const struct cgroup_layout *layout, const struct spec_resources *res)
{
	CLEANUP_FREE struct cgroup_blkio_value *blkio = NULL;
	CLEANUP_FREE struct cgroup_device_rule *rules = to_rules(res);
	struct cgroup_limits limits = to_limits(res, &blkio);

	return cgroup_limits_controllers(&limits) |
	       (wants_filter(res, rules) && cgroup_has(layout, CGROUP_DEVICES) ? CGROUP_BIT(CGROUP_DEVICES) : 0);
}

int container_resources_apply(struct cgroup *cg, const struct spec_resources *res, bool devices, struct err *err)
{
	CLEANUP_FREE struct cgroup_blkio_value *blkio = NULL;
	struct cgroup_limits limits = to_limits(res, &blkio);
	int r = cgroup_limits_apply(cg, &limits, err);

	if (r < 0 || !devices)
		return r;
	CLEANUP_FREE struct cgroup_device_rule *rules = to_rules(res);
	return wants_filter(res, rules) ? cgroup_devices_apply(cg, rules, res->devices_n, err) : 0;
}

int container_resources_stats(const struct cgroup *cg, struct isolation_stats *ret, struct err *err)
{
	struct cgroup_stats s;
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	int r = cgroup_stats_read(cg, &s);

	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "read the figures of cgroup %s", cg->path);
	*ret = (struct isolation_stats){
		.cpu_usage_ns = s.cpu_usage_ns,
		.cpu_user_ns = s.cpu_user_ns,
		.cpu_system_ns = s.cpu_system_ns,
		.cpu_periods = s.cpu_periods,
		.cpu_throttled_periods = s.cpu_throttled_periods,
		.cpu_throttled_ns = s.cpu_throttled_ns,
		.memory_usage_bytes = s.memory_total_bytes > s.memory_inactive_file_bytes ?
					      s.memory_total_bytes - s.memory_inactive_file_bytes :
					      s.memory_total_bytes,
		.memory_total_bytes = s.memory_total_bytes,
		.memory_max_bytes = s.memory_max_bytes,
		.memory_limit_bytes = s.memory_limit_bytes,
		.memory_inactive_file_bytes = s.memory_inactive_file_bytes,
		.pids = s.pids,
		.pids_limit = s.pids_limit,
		.blkio_read_bytes = s.blkio_read_bytes,
		.blkio_write_bytes = s.blkio_write_bytes,
		.blkio_read_ops = s.blkio_read_ops,
		.blkio_write_ops = s.blkio_write_ops,
		.oom_kills = s.oom_kills,
		.online_cpus = online > 0 ? (uint64_t)online : 1,
	};
	return 0;
}
