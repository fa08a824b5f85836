/* SPDX-License-Identifier: Apache-2.0 */
/* One more process in a running container. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "internal.h"
#include "fault.h"
#include "process.h"

static const struct {
	enum spec_ns ns;
	int flag;
} namespaces[] = {
	{ SPEC_NS_USER, CLONE_NEWUSER }, { SPEC_NS_MOUNT, CLONE_NEWNS }, { SPEC_NS_PID, CLONE_NEWPID },       { SPEC_NS_NET, CLONE_NEWNET },
	{ SPEC_NS_IPC, CLONE_NEWIPC },   { SPEC_NS_UTS, CLONE_NEWUTS },  { SPEC_NS_CGROUP, CLONE_NEWCGROUP },
};

/* The namespaces in which the workload is elsewhere than we are, new or another
 * container's; entering one's own user namespace again would be an error. To look at
 * those of both sides below /proc takes a tenth of an exec. */
static int workload_namespaces(const struct runtime_spec *spec)
{
	int flags = 0;
	for (size_t i = 0; i < ARRAY_LEN(namespaces); i++)
		flags |= spec->ns[namespaces[i].ns].wanted ? namespaces[i].flag : 0;
	return flags;
}

/* The cgroup namespace is left for the child: one that is inside already may not
 * be born into a group it cannot see the way to. */
static int enter(const struct isolation_handle *handle, const struct runtime_spec *spec, struct cgroup_layout *layout,
		 struct cgroup *cg, int *ret_cgroup_ns, struct err *err)
{
	int flags = workload_namespaces(spec);
	CLEANUP_FD int pidfd = -1, cgroup_ns = -1;
	int r = container_open_init(handle, &pidfd, err);
	if (r < 0)
		return r;
	/* While we still may: the group belongs to the host. */
	if (handle->cgroup[0] && cgroup_detect(layout) == 0 && cgroup_open(layout, handle->cgroup, cg) == 0) {
		r = cgroup_enter_v1(cg);
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "enter the container's control group");
	}
	if (flags & CLONE_NEWCGROUP) {
		char path[48];
		snprintf(path, sizeof(path), "/proc/%d/ns/cgroup", handle->pid);
		cgroup_ns = open(path, O_RDONLY | O_CLOEXEC);
		flags &= ~CLONE_NEWCGROUP;
		if (cgroup_ns < 0)
			return err_set(err, ERR_SYSTEM, errno, "open the container's cgroup namespace");
	}
	FAULT_HERE("exec.entering");
	if (flags && setns(pidfd, flags) < 0)
		return err_set(err, ERR_SYSTEM, errno, "enter the container's namespaces");
	*ret_cgroup_ns = TAKE_FD(cgroup_ns);
	return 0;
}

static int run_child(const struct spec_process *process, const struct isolation_io *io, int channel, int cgroup_ns,
		     bool has_userns, const struct become_args *b, struct err *err)
{
	CLEANUP_FD int master = -1;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return err_set(err, ERR_SYSTEM, errno, "ask to die with the monitor");
	if (cgroup_ns >= 0 && setns(cgroup_ns, CLONE_NEWCGROUP) < 0)
		return err_set(err, ERR_SYSTEM, errno, "enter the container's cgroup namespace");
	if (has_userns && (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0))
		return err_set(err, ERR_SYSTEM, errno, "become root of the user namespace");
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	setsid();
	int r = terminal_set_up(process, io, &master, err);
	if (r == 0 && master >= 0) {
		r = channel_send(channel, CHANNEL_PTY, NULL, 0, &master, 1);
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "hand over the terminal");
		cleanup_fd(&master);
	}
	if (r < 0)
		return r;
	(void)syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
	return become(b, err);
}

int container_exec(const struct isolation_handle *handle, const struct runtime_spec *spec,
		   const struct spec_process *process, const struct isolation_io *io, pid_t *ret_pid, int *ret_pidfd,
		   int *ret_pty, struct err *err)
{
	int pair[2];
	CLEANUP_FREE void *filter = NULL;
	struct cgroup_layout layout;
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
	CLEANUP_FD int own = -1, theirs = -1, pidfd = -1, cgroup_ns = -1;
	struct become_args b = { .process = process };

	*ret_pidfd = -1;
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	int r = filter_read(spec->seccomp_bpf_path, &filter, &b.filter_len, err);
	b.filter = filter;
	if (r == 0)
		r = stdio_give(spec, handle->pid, true, process, io, err);
	if (r == 0)
		r = enter(handle, spec, &layout, &cg, &cgroup_ns, err);
	if (r == 0)
		r = channel_pair(pair, err);
	if (r)
		return r;
	own = pair[0];
	theirs = pair[1];
	pid_t pid = process_clone(CLONE_PARENT, cgroup_clone_fd(&cg), &pidfd);
	if (pid < 0)
		return err_set(err, ERR_SYSTEM, pid, "make a process in the container");
	if (pid == 0) {
		struct err child = ERR_INIT;
		close(own);
		(void)!run_child(process, io, theirs, cgroup_ns, spec_has_userns(spec), &b, &child);
		(void)!channel_send(theirs, CHANNEL_ERROR, &child, sizeof(child), NULL, 0);
		_exit(127);
	}
	cleanup_fd(&theirs);
	*ret_pid = pid;
	*ret_pidfd = TAKE_FD(pidfd);
	struct isolation_fds made = ISOLATION_FDS_INIT;
	int r_child = launch_wait(own, &made, err);
	*ret_pty = made.pty;
	return r_child;
}
