/* SPDX-License-Identifier: Apache-2.0 */
/* What a workload's group has used so far. */
#pragma once

#include <stdint.h>

#include "cgroup.h"

/* Figures of controllers that are missing are 0. */
struct cgroup_stats {
	uint64_t cpu_usage_ns, cpu_user_ns, cpu_system_ns;
	uint64_t cpu_periods, cpu_throttled_periods, cpu_throttled_ns;
	uint64_t memory_total_bytes;
	uint64_t memory_inactive_file_bytes; /* page cache that can be dropped at once */
	uint64_t memory_max_bytes;           /* high-water mark */
	uint64_t memory_limit_bytes;         /* UINT64_MAX: none */
	uint64_t pids;                       /* threads, as the controller counts */
	uint64_t pids_limit;                 /* 0: none */
	uint64_t blkio_read_bytes, blkio_write_bytes, blkio_read_ops, blkio_write_ops;
	uint64_t oom_kills;
};

/* Read them all; one pass of a dozen small files. */
int cgroup_stats_read(const struct cgroup *cg, struct cgroup_stats *ret) MUST_CHECK;
