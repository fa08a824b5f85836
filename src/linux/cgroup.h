/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups of workloads: v1 (a hierarchy per controller), hybrid (v1
 * beside a cgroup2 mount) and pure v2, behind one set of calls.
 *
 * A workload's group is named by a path relative to every hierarchy's mount
 * point ("hull/<id>"), so any process finds it from the id alone. Inside a
 * container the mount point is that container's own group, so groups nest. The
 * parent "hull" is made on demand and stays; a workload's own directory exists
 * only in the hierarchies it needs.
 *
 * Where a cgroup2 hierarchy exists at all (hybrid included) it does the work
 * that needs no controller: birth by CLONE_INTO_CGROUP, freezing, killing,
 * processor time, the list of processes, the event of becoming empty.
 *
 * Limits are in cgroup_limits.h, figures in cgroup_stats.h, the device filter
 * in cgroup_devices.h. Functions return 0 or a negative errno; where the text
 * of an error needs the name of a controller they also fill a struct err. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cleanup.h"
#include "err.h"

/* Controllers; the last is the cgroup2 hierarchy itself. */
enum cgroup_controller {
	CGROUP_CPU,
	CGROUP_CPUACCT,
	CGROUP_CPUSET,
	CGROUP_MEMORY,
	CGROUP_DEVICES,
	CGROUP_FREEZER,
	CGROUP_BLKIO, /* "io" in v2 */
	CGROUP_PIDS,
	CGROUP_UNIFIED,
	CGROUP_CONTROLLER_COUNT
};
#define CGROUP_BIT(controller) (1u << (controller))

const char *cgroup_controller_name(enum cgroup_controller controller);

enum cgroup_mode {
	CGROUP_MODE_NONE,
	CGROUP_MODE_V1,     /* no cgroup2 mount */
	CGROUP_MODE_HYBRID, /* controllers in v1, or in both */
	CGROUP_MODE_V2
};
const char *cgroup_mode_name(enum cgroup_mode mode);

#define CGROUP_ROOT_MAX 96
#define CGROUP_PATH_MAX 128

/* What this host has; plain data, found once per process. */
struct cgroup_layout {
	enum cgroup_mode mode;
	/* Index into root of the hierarchy that holds a controller, -1: none.
	 * Controllers mounted together share one index; those of v2 have
	 * CGROUP_UNIFIED. */
	int8_t hierarchy[CGROUP_CONTROLLER_COUNT];
	/* Mount points. */
	char root[CGROUP_CONTROLLER_COUNT][CGROUP_ROOT_MAX];
};

/* Look at the well-known places (about 15 us); only a host that mounts
 * elsewhere costs a reading of /proc/self/mountinfo. -ENOENT: no cgroups. */
int cgroup_detect(struct cgroup_layout *ret) MUST_CHECK;
static inline bool cgroup_has(const struct cgroup_layout *layout, enum cgroup_controller c)
{
	return layout->hierarchy[c] >= 0;
}
/* True when controller @c is in the cgroup2 hierarchy. */
static inline bool cgroup_is_v2(const struct cgroup_layout *layout, enum cgroup_controller c)
{
	return layout->hierarchy[c] == CGROUP_UNIFIED;
}

/* The group of one workload: directory descriptors, -1 where it has none. */
struct cgroup {
	const struct cgroup_layout *layout; /* borrowed, must outlive it */
	char path[CGROUP_PATH_MAX];
	int fd[CGROUP_CONTROLLER_COUNT]; /* by hierarchy index */
};
#define CGROUP_INIT ((struct cgroup){ .fd = { -1, -1, -1, -1, -1, -1, -1, -1, -1 } })

/* Make what @path is below in the v2 hierarchy, unless it is there: its top may be
 * written by nobody without the host's own CAP_DAC_OVERRIDE (it is 0555, whoever owns
 * it), and its processes have to be moved for its controllers to be passed on. For a
 * caller that is to make @path without these rights. A negative errno. */
int cgroup_make_parents(const struct cgroup_layout *layout, const char *path) MUST_CHECK;
/* Make the group in the hierarchies of @controllers (CGROUP_BIT()s; missing
 * controllers are ignored, see cgroup_limits_check()) and in those every
 * workload needs for its figures, freezing and killing. An existing group is
 * adopted. On failure nothing is left. */
int cgroup_create(const struct cgroup_layout *layout, const char *path, uint32_t controllers, struct cgroup *ret,
		  struct err *err) MUST_CHECK;
/* Open what exists of the group; -ENOENT if no hierarchy has it. */
int cgroup_open(const struct cgroup_layout *layout, const char *path, struct cgroup *ret) MUST_CHECK;
/* Add the hierarchy of @controller to a group that may have processes already;
 * they are moved. -ENODEV: the host lacks the controller. */
int cgroup_ensure(struct cgroup *cg, enum cgroup_controller controller) MUST_CHECK;
/* Close the descriptors; the group stays. */
void cgroup_close(struct cgroup *cg);
#define CLEANUP_CGROUP CLEANUP(cgroup_close)

/* Directory of @controller in this group, -1 if the group is not in it. */
static inline int cgroup_dir(const struct cgroup *cg, enum cgroup_controller c)
{
	return cg->layout && cg->layout->hierarchy[c] >= 0 ? cg->fd[cg->layout->hierarchy[c]] : -1;
}
/* For clone3(CLONE_INTO_CGROUP): borrowed, -1 without cgroup2. A child born
 * this way is in every v2 controller, but still needs cgroup_enter_v1() or
 * cgroup_attach() for the v1 hierarchies. */
static inline int cgroup_clone_fd(const struct cgroup *cg)
{
	return cg->fd[CGROUP_UNIFIED];
}
/* True when nothing is left for cgroup_attach(@skip_unified) to do. */
bool cgroup_is_unified_only(const struct cgroup *cg);

/* Move the caller, a process of one thread, into the v1 hierarchies. Much
 * cheaper than cgroup_attach(): a thread that moves itself needs no lock over
 * every fork and exit of the machine, whose taking waits for RCU (5-20 ms). */
int cgroup_enter_v1(const struct cgroup *cg) MUST_CHECK;

/* Move process @pid (0: the caller) into the group. @skip_unified: it was born
 * in the cgroup2 directory already. Children born later follow. */
int cgroup_attach(const struct cgroup *cg, pid_t pid, bool skip_unified) MUST_CHECK;

/* Host pids of every process in the group and in groups below it (caller
 * frees); 0 as a pid marks a process of an outer pid namespace. */
int cgroup_pids(const struct cgroup *cg, pid_t **ret, size_t *ret_n) MUST_CHECK;

/* Freeze or thaw and wait until the kernel confirms, at most until
 * @deadline_ms (CLOCK_MONOTONIC): then -ETIMEDOUT, and a group that could not
 * be frozen is thawed again. Idempotent. -ENODEV: this host has no freezer. */
int cgroup_freeze(struct cgroup *cg, bool frozen, int64_t deadline_ms) MUST_CHECK;
int cgroup_is_frozen(const struct cgroup *cg) MUST_CHECK; /* 1, 0, or -errno */

/* SIGKILL every process of the group, whatever they fork meanwhile, and wait
 * until they are gone. A frozen group is killed too. -ETIMEDOUT. */
int cgroup_kill(struct cgroup *cg, int64_t deadline_ms) MUST_CHECK;

/* Kill, then remove the group from every hierarchy, and groups that were made
 * below it. A missing group is success. -EBUSY past the deadline. */
int cgroup_destroy(const struct cgroup_layout *layout, const char *path, int64_t deadline_ms) MUST_CHECK;

/* Out-of-memory kills. The descriptor (caller closes) becomes readable (POLLIN)
 * when the memory controller has something to tell; read it dry with
 * cgroup_oom_drain(), then ask the counter. -ENODEV: no memory controller. */
int cgroup_oom_open(const struct cgroup *cg) MUST_CHECK;
void cgroup_oom_drain(int fd);
int cgroup_oom_kills(const struct cgroup *cg, uint64_t *ret) MUST_CHECK;
