/* SPDX-License-Identifier: Apache-2.0 */
/* What can be done to a running container by its handle, from any process. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "container.h"
#include "container_resources.h"
#include "internal.h"
#include "process.h"

#define FREEZE_TIMEOUT_MS 10000
#define DESTROY_TIMEOUT_MS 10000

static int probe(struct err *err)
{
	struct cgroup_layout layout;
	if (geteuid() != 0) {
		int r = err_set(err, ERR_UNSUPPORTED, EPERM, "containers need root for now");
		err_hint(err, "sudo hull ...");
		return r;
	}
	int r = cgroup_detect(&layout);
	if (r < 0) {
		r = err_set(err, ERR_UNSUPPORTED, r, "no control groups are mounted");
		err_hint(err, "mount -t cgroup2 none /sys/fs/cgroup");
	}
	return r;
}

/* A descriptor on PID 1, if it still is the process of the handle. */
int container_open_init(const struct isolation_handle *handle, int *ret, struct err *err)
{
	uint64_t ticks = 0;
	CLEANUP_FD int pidfd = -1;
	int r = handle->pid > 0 ? process_open(handle->pid, &pidfd) : -ESRCH;
	if (r == 0)
		r = process_start_ticks(handle->pid, &ticks);
	if (r == -ESRCH || (r == 0 && ticks != handle->pid_start_ticks))
		return err_set(err, ERR_CONFLICT, ESRCH, "container is not running");
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "look at process %d", handle->pid);
	*ret = TAKE_FD(pidfd);
	return 0;
}

static int open_group(const struct isolation_handle *handle, struct cgroup_layout *layout, struct cgroup *cg,
		      struct err *err)
{
	int r = cgroup_detect(layout);
	if (r == 0)
		r = cgroup_open(layout, handle->cgroup, cg);
	if (r == -ENOENT)
		return err_set(err, ERR_CONFLICT, 0, "container is not running");
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "open the control group %s", handle->cgroup);
	return 0;
}

static int signal_all(const struct isolation_handle *handle, int signo, struct err *err);

static int container_signal(const struct isolation_handle *handle, int signo, bool all, struct err *err)
{
	CLEANUP_FD int pidfd = -1;
	if (all)
		return signal_all(handle, signo, err);
	int r = container_open_init(handle, &pidfd, err);
	if (r < 0)
		return r;
	r = process_signal(pidfd, signo);
	if (r == -ESRCH)
		return err_set(err, ERR_CONFLICT, 0, "container is not running");
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "send signal %d", signo) : 0;
}

static int set_frozen(const struct isolation_handle *handle, bool frozen, struct err *err)
{
	struct cgroup_layout layout;
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
	int r = open_group(handle, &layout, &cg, err);
	if (r < 0)
		return r;
	r = cgroup_freeze(&cg, frozen, clock_mono_ms() + FREEZE_TIMEOUT_MS);
	if (r == -ETIMEDOUT)
		return err_set(err, ERR_TIMEOUT, 0, "the container did not %s in %d s", frozen ? "freeze" : "thaw",
			       FREEZE_TIMEOUT_MS / 1000);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "%s the container", frozen ? "freeze" : "thaw") : 0;
}

static int container_pause(const struct isolation_handle *handle, struct err *err)
{
	return set_frozen(handle, true, err);
}

static int container_resume(const struct isolation_handle *handle, struct err *err)
{
	return set_frozen(handle, false, err);
}

static int container_update(const struct isolation_handle *handle, const struct spec_resources *res, struct err *err)
{
	struct cgroup_layout layout;
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
	int r = open_group(handle, &layout, &cg, err);
	return r < 0 ? r : container_resources_apply(&cg, res, false, err);
}

static int container_stats(const struct isolation_handle *handle, struct isolation_stats *ret, struct err *err)
{
	struct cgroup_layout layout;
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
	int r = open_group(handle, &layout, &cg, err);
	return r < 0 ? r : container_resources_stats(&cg, ret, err);
}

static int container_watch_memory(const struct isolation_handle *handle, int *ret_fd, struct err *err)
{
	struct cgroup_layout layout;
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
	int r = open_group(handle, &layout, &cg, err);
	if (r < 0)
		return r;
	r = cgroup_oom_open(&cg);
	if (r < 0)
		return err_set(err, r == -ENODEV ? ERR_UNSUPPORTED : ERR_SYSTEM, r, "watch the memory of %s", cg.path);
	*ret_fd = r;
	return 0;
}

static int container_pids(const struct isolation_handle *handle, pid_t **ret, size_t *ret_n, struct err *err)
{
	struct cgroup_layout layout;
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
	int r = open_group(handle, &layout, &cg, err);
	if (r < 0)
		return r;
	r = cgroup_pids(&cg, ret, ret_n);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "list the processes of %s", handle->cgroup) : 0;
}

static int signal_all(const struct isolation_handle *handle, int signo, struct err *err)
{
	CLEANUP_FREE pid_t *pids = NULL;
	size_t n = 0;
	int r = container_pids(handle, &pids, &n, err);
	for (size_t i = 0; i < n && r == 0; i++) {
		CLEANUP_FD int pidfd = -1;
		/* One that ended meanwhile needs no signal. */
		if (pids[i] > 0 && process_open(pids[i], &pidfd) == 0)
			(void)!process_signal(pidfd, signo);
	}
	return r;
}

static int container_destroy(const struct isolation_handle *handle, struct err *err)
{
	struct cgroup_layout layout;
	if (!handle->cgroup[0])
		return 0;
	int r = cgroup_detect(&layout);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = cgroup_destroy(&layout, handle->cgroup, clock_mono_ms() + DESTROY_TIMEOUT_MS);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "remove the control group %s", handle->cgroup);
	return 0;
}

const struct isolation isolation_container = {
	.level = ISOLATION_CONTAINER,
	.probe = probe,
	.prepare = container_prepare,
	.expect = container_expect,
	.start = container_start,
	.exec = container_exec,
	.signal = container_signal,
	.pause = container_pause,
	.resume = container_resume,
	.update = container_update,
	.stats = container_stats,
	.watch_memory = container_watch_memory,
	.pids = container_pids,
	.enter_files = container_enter_files,
	.destroy = container_destroy,
};
