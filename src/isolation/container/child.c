/* SPDX-License-Identifier: Apache-2.0 */
/* The new process, from birth to execve. Nothing here opens a path of the host:
 * what comes from there came as descriptors. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "fd.h"
#include "internal.h"
#include "mount_api.h"

/* One that is no fork of its launcher gets as descriptors what a fork has. */
static int take_extras(struct become_args *b, const struct child_extras *extras, int fds[CHILD_EXTRAS_MAX], size_t n, struct err *err)
{
	void *filter = NULL;
	size_t at = 0;
	if (n != (size_t)extras->has_filter + extras->has_init)
		return err_set(err, ERR_SYSTEM, EPIPE, "receive what the launcher opened");
	if (extras->has_filter) {
		CLEANUP_FD int fd = fds[at++];
		int r = filter_read_fd(fd, "of the container", &filter, &b->filter_len, err);
		if (r < 0)
			return r;
		b->filter = filter;
	}
	b->is_init = extras->has_init;
	if (extras->has_init)
		b->init_fd = fds[at];
	return 0;
}

static int wait_for_go(struct child_args *a, struct handover *h, struct err *err)
{
	struct child_extras extras = { false, false };
	int fds[CHILD_EXTRAS_MAX] = { -1, -1 };
	size_t n = 0;
	/* Not before: until then this process has no identity of its own. */
	int r = channel_recv(a->channel, &extras, sizeof(extras), fds, CHILD_EXTRAS_MAX, &n);
	if (r != CHANNEL_GO)
		return err_set(err, ERR_SYSTEM, r < 0 ? r : EPIPE, "wait for the launcher");
	if (n) {
		r = take_extras(&a->become, &extras, fds, n, err);
		if (r < 0)
			return r;
	}
	r = channel_recv_fds(a->channel, h->fds, h->n);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "receive what the launcher opened");
	return 0;
}

/* Before what depends on the network's links, and before anything runs. */
static int wait_for_network(int channel, struct err *err)
{
	int r = channel_recv(channel, NULL, 0, NULL, 0, NULL);
	return r == CHANNEL_NETWORK ? 0 : err_set(err, ERR_SYSTEM, r < 0 ? r : EPIPE, "wait for the network");
}

static int become_root(const struct runtime_spec *spec, struct err *err)
{
	if (!spec->ns[SPEC_NS_USER].wanted)
		return 0;
	if (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0 || syscall(SYS_setgroups, 0, NULL) < 0)
		return err_set(err, ERR_SYSTEM, errno, "become root of the user namespace");
	/* The change of identity made this process dumpable again, and forget that
	 * it is to die with the monitor. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return 0;
}

static int set_names(const struct runtime_spec *spec, struct err *err)
{
	if (!spec->ns[SPEC_NS_UTS].wanted || spec->ns[SPEC_NS_UTS].path)
		return 0;
	if (spec->hostname && sethostname(spec->hostname, strlen(spec->hostname)) < 0)
		return err_set(err, ERR_SYSTEM, errno, "set the host name %s", spec->hostname);
	if (spec->domainname && setdomainname(spec->domainname, strlen(spec->domainname)) < 0)
		return err_set(err, ERR_SYSTEM, errno, "set the domain name %s", spec->domainname);
	return 0;
}

/* By itself, because that is the cheap way, and while it still may: root of the
 * host in all but name. */
static int enter_cgroup(const struct child_args *a, struct err *err)
{
	int r = a->cgroup->layout ? cgroup_enter_v1(a->cgroup) : 0;
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "enter the control group") : 0;
}

static int build(struct child_args *a, struct err *err)
{
	CLEANUP(handover_done) struct handover h;
	CLEANUP_FD int root = -1;
	handover_init(&h, a->spec);
	/* What is made here belongs to the workload, whatever umask hull was called with. */
	umask(0022);
	int r = enter_cgroup(a, err);
	if (r == 0)
		r = wait_for_go(a, &h, err);
	if (r == 0)
		r = become_root(a->spec, err);
	if (r == 0 && a->cgroup_namespace && unshare(CLONE_NEWCGROUP) < 0)
		r = err_set(err, ERR_SYSTEM, errno, "make a cgroup namespace");
	if (r == 0)
		r = set_names(a->spec, err);
	if (r == 0)
		r = rootfs_build(a->spec, &h, &root, err);
	if (r == 0)
		r = mounts_make(a, &h, root, err);
	cleanup_fd(&a->sysfs);
	if (r == 0)
		r = devices_make(a->spec, &h, root, err);
	if (r == 0)
		r = wait_for_network(a->channel, err);
	if (r == 0)
		r = sysctls_apply(a->spec, root, err);
	if (r == 0)
		r = masks_apply(a->spec, root, err);
	if (r == 0 && a->spec->process.cwd)
		r = rootfs_make_cwd(a->spec, root, err);
	if (r == 0 && a->spec->root_readonly) {
		r = mount_change(root, MOUNT_ATTR_RDONLY, 0, false);
		if (r < 0)
			r = err_set(err, ERR_SYSTEM, r, "make the root read-only");
	}
	return r == 0 ? rootfs_enter(root, err) : r;
}

static int run(struct child_args *a, struct err *err)
{
	CLEANUP_FD int master = -1;
	/* The workload never outlives its monitor; asked again after a possible
	 * death in between. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return err_set(err, ERR_SYSTEM, errno, "ask to die with the monitor");
	setsid();
	int r = build(a, err);
	if (r == 0)
		r = terminal_set_up(&a->spec->process, a->io, &master, err);
	if (r == 0 && master >= 0) {
		r = channel_send(a->channel, CHANNEL_PTY, NULL, 0, &master, 1);
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "hand over the terminal");
		cleanup_fd(&master);
	}
	if (r < 0)
		return r;
	/* The change of identity clears it (prctl(2)). */
	(void)syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
	return become(&a->become, err);
}

_Noreturn void child_run(struct child_args *a)
{
	struct err err = ERR_INIT;
	(void)run(a, &err);
	(void)!channel_send(a->channel, CHANNEL_ERROR, &err, sizeof(err), NULL, 0);
	channel_drain(a->channel);
	_exit(127);
}
