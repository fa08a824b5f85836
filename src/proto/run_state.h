/* SPDX-License-Identifier: Apache-2.0 */
/* The run state of one workload: a fixed-size record that its monitor writes to
 * $HULL_RUN/workloads/<id>/state and every hull process reads.
 *
 * It is written whole with pwrite() at offset 0 to a file that is mapped by
 * nobody; readers check @generation_start == @generation_end and read again when they
 * differ. The monitor holds an exclusive flock() on $HULL_RUN/workloads/<id>/lock
 * for as long as it lives: a record that says RUNNING behind a free lock is that
 * of a monitor that died. A new monitor that finds RESTARTING here goes on
 * counting restarts, so `internal restart` leaves the file alone. Everything below $HULL_RUN vanishes at reboot. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"

#define RUN_STATE_MAGIC 0x6c6c7568u /* "hull" */
#define RUN_STATE_VERSION 1u

enum run_status {
	RUN_CREATED,    /* monitor is up, the workload is not started yet */
	RUN_RUNNING,
	RUN_PAUSED,
	RUN_RESTARTING, /* exited; the monitor waits out the back-off */
	RUN_EXITED,
	RUN_STATUS_COUNT
};

enum run_health {
	RUN_HEALTH_NONE,
	RUN_HEALTH_STARTING,
	RUN_HEALTH_HEALTHY,
	RUN_HEALTH_UNHEALTHY,
	RUN_HEALTH_COUNT
};

struct run_state {
	uint32_t magic, version;
	uint64_t generation_start;
	uint32_t status;      /* enum run_status */
	uint32_t health;      /* enum run_health */
	uint32_t failing_streak;
	uint32_t restart_count;
	int32_t monitor_pid;
	int32_t pid;
	uint64_t pid_start_ticks;
	int64_t started_ns, finished_ns; /* wall clock; 0: never */
	int32_t exit_code;
	uint8_t oom_killed;
	uint8_t dead_by_monitor; /* set by whoever cleans up after a killed monitor */
	uint8_t stopped_by_user; /* stop or kill asked for: no restart */
	uint8_t pad;
	/* The last back-off; the next monitor doubles it. 0: none yet. */
	uint32_t restart_delay_ms;
	char cgroup[128];
	char error[256]; /* why it could not start; empty: no error */
	uint64_t generation_end;
};

/* @dirfd is $HULL_RUN/workloads/<id>. Read: -ENOENT when there is none,
 * -EINVAL for a foreign or torn record. */
int run_state_read(int dirfd, struct run_state *ret) MUST_CHECK;
int run_state_write(int dirfd, struct run_state *state) MUST_CHECK;
/* Take the monitor's lock: 0 and a descriptor, or -EWOULDBLOCK while a monitor
 * lives; -ENOENT when the workload has just been removed. */
int run_state_lock(int dirfd, int *ret_fd) MUST_CHECK;
const char *run_status_name(enum run_status status); /* "created", "running", "paused", "restarting", "exited" */
const char *run_health_name(enum run_health health); /* "none", "starting", "healthy", "unhealthy" */
