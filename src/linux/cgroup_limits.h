/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of a workload's group. Only fields that are set are written, so the
 * same call serves start and live update. Values have OCI's meaning (those of
 * v1); for v2 they are converted. Asking for what this host cannot limit is
 * ERR_UNSUPPORTED that names the controller; nothing is dropped silently. */
#pragma once

#include <stdint.h>

#include "cgroup.h"

enum cgroup_blkio_kind {
	CGROUP_BLKIO_READ_BPS,
	CGROUP_BLKIO_WRITE_BPS,
	CGROUP_BLKIO_READ_IOPS,
	CGROUP_BLKIO_WRITE_IOPS,
	CGROUP_BLKIO_WEIGHT_DEVICE,
	CGROUP_BLKIO_KIND_COUNT
};

struct cgroup_blkio_value {
	enum cgroup_blkio_kind kind;
	int64_t major, minor;
	uint64_t value;
};

/* 0 and NULL: not set, unless said. */
struct cgroup_limits {
	int64_t memory_bytes; /* -1: unlimited */
	int64_t memory_reservation_bytes;
	int64_t memory_swap_bytes; /* memory plus swap; -1: unlimited */
	int64_t memory_swappiness; /* -1: not set */
	bool oom_kill_disable;
	uint64_t cpu_shares;
	int64_t cpu_quota_us; /* -1: unlimited */
	uint64_t cpu_period_us;
	int64_t cpu_realtime_runtime_us;
	uint64_t cpu_realtime_period_us;
	const char *cpuset_cpus, *cpuset_mems; /* borrowed */
	int64_t pids;                          /* -1: unlimited */
	uint16_t blkio_weight;                 /* 10 to 1000 */
	const struct cgroup_blkio_value *blkio; /* borrowed */
	size_t blkio_n;
};
#define CGROUP_LIMITS_INIT ((struct cgroup_limits){ .memory_swappiness = -1 })

/* CGROUP_BIT()s of the controllers that @limits need. */
uint32_t cgroup_limits_controllers(const struct cgroup_limits *limits);
/* ERR_UNSUPPORTED if the host lacks a controller that @limits need. No effect. */
int cgroup_limits_check(const struct cgroup_layout *layout, const struct cgroup_limits *limits,
			struct err *err) MUST_CHECK;
/* Write the limits; hierarchies the group is not in yet are added. What was
 * written before a failure stays. */
int cgroup_limits_apply(struct cgroup *cg, const struct cgroup_limits *limits, struct err *err) MUST_CHECK;

/* v1 shares (2 to 262144) as v2 weight (1 to 10000): 1024, the default of one,
 * becomes 100, the default of the other. */
uint64_t cgroup_shares_to_weight(uint64_t shares);
