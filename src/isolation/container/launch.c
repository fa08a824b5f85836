/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a container, the launcher's side: what needs the host's privileges. */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "clock.h"
#include "container_resources.h"
#include "fault.h"
#include "fd.h"
#include "firewall.h"
#include "internal.h"
#include "name_sockets.h"
#include "net_attach.h"
#include "process.h"

#define DESTROY_TIMEOUT_MS 10000

static const struct {
	enum spec_ns ns;
	uint64_t flag;
} clone_flags[] = {
	{ SPEC_NS_USER, CLONE_NEWUSER }, { SPEC_NS_PID, CLONE_NEWPID }, { SPEC_NS_NET, CLONE_NEWNET },
	{ SPEC_NS_IPC, CLONE_NEWIPC },   { SPEC_NS_UTS, CLONE_NEWUTS }, { SPEC_NS_MOUNT, CLONE_NEWNS },
};

/* Enter the namespaces to be shared; the rest is made by clone. The launcher is
 * not to return from here: only the child it is about to have. */
static int join_namespaces(const struct runtime_spec *spec, uint64_t *ret_flags, struct err *err)
{
	uint64_t flags = 0;
	int fds[ARRAY_LEN(clone_flags)], r = 0;
	/* All are opened before the first is entered: the user namespace, which comes
	 * first, takes the host's privileges away. */
	for (size_t i = 0; i < ARRAY_LEN(clone_flags); i++) {
		const struct spec_namespace *ns = &spec->ns[clone_flags[i].ns];
		fds[i] = -1;
		if (ns->wanted && !ns->path)
			flags |= clone_flags[i].flag;
		else if (r == 0 && ns->wanted && (fds[i] = open(ns->path, O_RDONLY | O_CLOEXEC)) < 0)
			r = err_set(err, ERR_SYSTEM, errno, "open the namespace %s", ns->path);
	}
	for (size_t i = 0; i < ARRAY_LEN(clone_flags); i++) {
		if (r == 0 && fds[i] >= 0 && setns(fds[i], (int)clone_flags[i].flag) < 0)
			r = err_set(err, ERR_SYSTEM, errno, "join the namespace %s", spec->ns[clone_flags[i].ns].path);
		cleanup_fd(&fds[i]);
	}
	*ret_flags = flags;
	return r;
}

static int open_namespace(pid_t pid, const char *name, int *ret, struct err *err)
{
	char path[48];
	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, name);
	*ret = open(path, O_RDONLY | O_CLOEXEC);
	if (*ret < 0)
		return err_set(err, ERR_SYSTEM, errno, "open the container's %s namespace", name);
	return 0;
}

static int attach_network(const struct runtime_spec *spec, pid_t pid, int ret_names[2], struct err *err)
{
	CLEANUP_FD int netns = -1;
	if (!spec->ns[SPEC_NS_NET].wanted || spec->ns[SPEC_NS_NET].path)
		return 0;
	int r = open_namespace(pid, "net", &netns, err);
	if (r == 0)
		r = net_attach(netns, spec->interfaces, spec->interfaces_n, err);
	if (r == 0 && spec->has_name_sockets)
		r = name_sockets_open(netns, ret_names, err);
	if (r == 0)
		r = FAULT("launch.attached");
	if (r == 0)
		r = net_publish(spec->ports, spec->ports_n, err);
	return r == 0 ? FAULT("launch.published") : r;
}

static int set_oom_score(pid_t pid, const struct spec_process *p, struct err *err)
{
	char path[48], value[16];
	if (!p->has_oom_score_adj)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
	snprintf(value, sizeof(value), "%d", p->oom_score_adj);
	int r = fd_write_value_at(AT_FDCWD, path, value);
	/* Lowering below the host's own takes CAP_SYS_RESOURCE. */
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "set oom_score_adj to %d", p->oom_score_adj);
	return 0;
}

static bool has_spoken(int channel)
{
	struct pollfd p = { .fd = channel, .events = POLLIN };
	return poll(&p, 1, 0) > 0;
}

/* The user namespace of @pid: mapped, if it is new. *ret is -1 where there is none. */
static int map_userns(const struct runtime_spec *spec, pid_t pid, int *ret, struct err *err)
{
	*ret = -1;
	if (spec_joins_userns(spec)) {
		*ret = open(spec->ns[SPEC_NS_USER].path, O_RDONLY | O_CLOEXEC);
		return *ret < 0 ? err_set(err, ERR_SYSTEM, errno, "open the namespace %s", spec->ns[SPEC_NS_USER].path) : 0;
	}
	if (!spec_has_userns(spec))
		return 0;
	int r = idmap_write(pid, "uid_map", spec->uid_maps, spec->uid_maps_n, err);
	if (r == 0)
		r = idmap_write(pid, "gid_map", spec->gid_maps, spec->gid_maps_n, err);
	return r == 0 ? open_namespace(pid, "user", ret, err) : r;
}

/* What the child waits for. @extras: fds of its own kind, for one that needs them. */
static int say_go(int channel, const struct handover *h, const struct child_extras *extras, const int *fds, size_t n,
		  struct err *err)
{
	int r = channel_send(channel, CHANNEL_GO, extras, extras ? sizeof(*extras) : 0, fds, n);
	if (r == 0)
		r = channel_send_fds(channel, h->fds, h->n);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "hand over to the container") : 0;
}

/* While the child builds its root; one that fails at that first has told why, and
 * launch_wait() reads it. */
static int connect_child(const struct runtime_spec *spec, pid_t pid, int channel, struct isolation_fds *ret, struct err *err)
{
	int r = attach_network(spec, pid, ret->names, err);
	if (r < 0 && has_spoken(channel))
		return 0;
	struct err ignored = ERR_INIT;
	if (r == 0 && open_namespace(pid, "mnt", &ret->hold, &ignored) < 0)
		ret->hold = -1;
	if (r == 0)
		(void)!channel_send(channel, CHANNEL_NETWORK, NULL, 0, NULL, 0);
	return r;
}

static int prepare_child(const struct runtime_spec *spec, pid_t pid, int channel, struct isolation_fds *ret, struct err *err)
{
	CLEANUP(handover_done) struct handover h;
	CLEANUP_FD int userns = -1;
	handover_init(&h, spec);
	int r = map_userns(spec, pid, &userns, err);
	if (r == 0)
		r = set_oom_score(pid, &spec->process, err);
	if (r == 0)
		r = handover_open(&h, spec, pid, userns, err);
	if (r == 0)
		r = say_go(channel, &h, NULL, NULL, 0, err);
	return r == 0 ? connect_child(spec, pid, channel, ret, err) : r;
}

static void take_fds(struct isolation_fds *ret, int type, const int fds[2], size_t n)
{
	int *const places[] = { type == CHANNEL_NAMES ? &ret->names[0] : &ret->pty, &ret->names[1] };
	for (size_t i = 0; i < n && i < ARRAY_LEN(places); i++) {
		cleanup_fd(places[i]);
		*places[i] = fds[i];
	}
}

int launch_wait(int channel, struct isolation_fds *ret, struct err *err)
{
	struct err child = ERR_INIT;
	for (;;) {
		size_t n = 0;
		int fds[2] = { -1, -1 };
		int r = channel_recv(channel, &child, sizeof(child), fds, 2, &n);
		take_fds(ret, r, fds, n);
		if (r == 0)
			return 0;
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "wait for the container");
		if (r == CHANNEL_ERROR) {
			*err = child;
			return child.errnum < 0 ? child.errnum : -EIO;
		}
	}
}

int launch_detect_cgroups(struct cgroup_layout *ret, struct err *err)
{
	int r = cgroup_detect(ret);
	if (r == -ENOENT)
		ret->mode = CGROUP_MODE_NONE;
	else if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "find the control groups");
	return 0;
}

int launch_make_cgroup(const struct runtime_spec *spec, const struct cgroup_layout *layout, struct cgroup *cg, struct err *err)
{
	if (layout->mode == CGROUP_MODE_NONE || !spec->cgroup_path)
		return 0;
	return cgroup_create(layout, spec->cgroup_path, container_resources_controllers(layout, &spec->resources), cg, err);
}

static int limit(const struct runtime_spec *spec, struct cgroup *cg, struct err *err)
{
	int r = cg->layout ? container_resources_apply(cg, &spec->resources, true, err) : 0;
	return r == 0 ? FAULT("launch.cgroup") : r;
}

static void undo(const struct runtime_spec *spec, const struct cgroup_layout *layout, pid_t pid, int pidfd)
{
	if (pidfd >= 0)
		(void)!process_signal(pidfd, SIGKILL);
	(void)pid; /* reaped by the monitor, whose child it is */
	(void)!net_unpublish(spec->ports, spec->ports_n, NULL);
	(void)!net_detach(spec->interfaces, spec->interfaces_n, NULL);
	if (spec->cgroup_path && layout->mode != CGROUP_MODE_NONE)
		(void)!cgroup_destroy(layout, spec->cgroup_path, clock_mono_ms() + DESTROY_TIMEOUT_MS);
}

static int open_init(const struct runtime_spec *spec, int *ret, struct err *err)
{
	*ret = -1;
	if (!spec->init_path)
		return 0;
	*ret = open(spec->init_path, O_PATH | O_CLOEXEC);
	return *ret < 0 ? err_set(err, ERR_SYSTEM, errno, "open %s", spec->init_path) : 0;
}

/* What is done for a child that exists, with the host's privileges. */
struct host_side {
	const struct runtime_spec *spec;
	const struct isolation_io *io;
	int channel;
};

static int bring_up(const struct host_side *host, pid_t pid, struct isolation_fds *ret, struct err *err)
{
	int r = stdio_give(host->spec, pid, spec_joins_userns(host->spec), &host->spec->process, host->io, err);
	if (r == 0)
		r = prepare_child(host->spec, pid, host->channel, ret, err);
	return r == 0 ? launch_wait(host->channel, ret, err) : r;
}

/* Whoever joins another container's user namespace loses the host's privileges,
 * and only a child of the monitor may make a child of the monitor. So a helper
 * stays behind on the host's side: it is told the pid, brings the child up, and
 * reports as the child itself would. */
static pid_t start_helper(const struct host_side *host, int theirs, int *ret_sock, struct err *err)
{
	int pair[2];
	if (channel_pair(pair, err) < 0)
		return err->errnum;
	CLEANUP_FD int own = pair[0], far = pair[1];
	pid_t helper = fork();
	if (helper < 0)
		return err_set(err, ERR_SYSTEM, errno, "fork");
	if (helper > 0) {
		*ret_sock = TAKE_FD(own);
		return helper;
	}
	struct err failed = ERR_INIT;
	struct isolation_fds made = ISOLATION_FDS_INIT;
	pid_t pid = 0;
	close(theirs);
	close(own);
	if (channel_recv(far, &pid, sizeof(pid), NULL, 0, NULL) != CHANNEL_MADE)
		_exit(1);
	if (bring_up(host, pid, &made, &failed) < 0)
		_exit(channel_send(far, CHANNEL_ERROR, &failed, sizeof(failed), NULL, 0) < 0);
	if (made.names[0] >= 0 && channel_send(far, CHANNEL_NAMES, NULL, 0, made.names, 2) < 0)
		_exit(1);
	_exit(made.pty >= 0 && channel_send(far, CHANNEL_PTY, NULL, 0, &made.pty, 1) < 0);
}

static int bring_up_by_helper(pid_t helper, int sock, pid_t pid, struct isolation_fds *ret, struct err *err)
{
	int status = 0;
	int r = channel_send(sock, CHANNEL_MADE, &pid, sizeof(pid), NULL, 0);
	r = r < 0 ? err_set(err, ERR_SYSTEM, r, "tell the helper") : launch_wait(sock, ret, err);
	while (waitpid(helper, &status, 0) < 0 && errno == EINTR)
		;
	if (r == 0 && status != 0)
		r = err_set(err, ERR_SYSTEM, 0, "the launcher's helper died");
	return r;
}

static int launch(const struct runtime_spec *spec, const struct isolation_io *io, struct cgroup_layout *layout,
		  struct cgroup *cg, struct isolation_handle *handle, struct isolation_fds *ret, struct err *err)
{
	int pair[2];
	uint64_t flags = 0;
	CLEANUP_FREE void *filter = NULL;
	CLEANUP_FD int init = -1, own = -1, theirs = -1, pidfd = -1;
	struct child_args args = {
		.spec = spec,
		.io = io,
		.cgroups = layout,
		.cgroup = cg,
		.sysfs = -1,
		.cgroup_namespace = spec->ns[SPEC_NS_CGROUP].wanted && layout->mode != CGROUP_MODE_NONE,
		.become = { .process = &spec->process, .is_init = spec->init_path != NULL },
	};
	int r = filter_read(spec->seccomp_bpf_path, &filter, &args.become.filter_len, err);
	if (r == 0)
		r = open_init(spec, &init, err);
	if (r == 0)
		r = channel_pair(pair, err);
	if (r)
		return r;
	own = pair[0];
	theirs = pair[1];
	args.channel = theirs;
	args.become.filter = filter;
	args.become.init_fd = init;
	int cgroup_fd = cg->layout ? cgroup_clone_fd(cg) : -1;
	const struct host_side host = { spec, io, own };
	CLEANUP_FD int helper_sock = -1;
	pid_t helper = spec_joins_userns(spec) ? start_helper(&host, theirs, &helper_sock, err) : 0;
	r = helper < 0 ? (int)helper : join_namespaces(spec, &flags, err);
	if (r < 0)
		return r;
	pid_t pid = process_clone(flags | CLONE_PARENT, cgroup_fd, &pidfd);
	if (pid < 0) {
		err_set(err, ERR_SYSTEM, pid, "make the container's process");
		if (flags & CLONE_NEWUSER) {
			err_why(err, "the kernel makes no user namespace here; in a chroot it never does");
			err_hint(err, "hull doctor      or: --userns=host");
		}
		return pid;
	}
	if (pid == 0) {
		close(own);
		child_run(&args);
	}
	cleanup_fd(&theirs);
	handle->pid = pid;
	ret->pidfd = TAKE_FD(pidfd);
	FAULT_HERE("launch.cloned");
	r = process_start_ticks(pid, &handle->pid_start_ticks);
	if (r < 0)
		r = err_set(err, ERR_SYSTEM, r, "look at the new process");
	if (r == 0 && helper) {
		cleanup_fd(&own);
		r = bring_up_by_helper(helper, helper_sock, pid, ret, err);
	} else if (r == 0) {
		r = bring_up(&host, pid, ret, err);
	}
	if (r < 0)
		undo(spec, layout, pid, ret->pidfd);
	return r;
}

/* ---- with what was made ahead (ahead.c) ---- */

/* The answer of what was made ahead, taken apart. */
static int wait_for_birth(int maker, const struct cgroup_layout *layout, struct isolation_handle *handle, struct cgroup *cg,
			  int *ret_pidfd, struct err *err)
{
	union {
		struct ahead_child born;
		struct err err;
	} said;
	int fds[AHEAD_CHILD_FDS];
	size_t n = 0, at = 0;
	int r = channel_recv(maker, &said, sizeof(said), fds, AHEAD_CHILD_FDS, &n);
	if (r == CHANNEL_ERROR) {
		*err = said.err;
		return err->errnum < 0 ? err->errnum : -EIO;
	}
	if (r != CHANNEL_BORN || n == 0)
		return err_set(err, ERR_SYSTEM, r < 0 ? r : EPIPE, "wait for the container's process");
	handle->pid = said.born.pid;
	*ret_pidfd = fds[at++];
	for (unsigned i = 0; i < CGROUP_CONTROLLER_COUNT; i++) {
		if (!(said.born.hierarchies >> i & 1) || at == n)
			continue;
		cg->layout = layout;
		cg->fd[i] = fds[at++];
	}
	return cg->layout ? str_copy(cg->path, sizeof(cg->path), handle->cgroup) : 0;
}

/* The filter and the init program, which the child is no fork of ours to have. */
static int open_extras(const struct runtime_spec *spec, struct child_extras *extras, int fds[CHILD_EXTRAS_MAX], size_t *ret_n,
		       struct err *err)
{
	size_t n = 0;
	fds[0] = fds[1] = -1;
	extras->has_filter = spec->seccomp_bpf_path != NULL;
	extras->has_init = spec->init_path != NULL;
	if (extras->has_filter && (fds[n++] = open(spec->seccomp_bpf_path, O_RDONLY | O_CLOEXEC)) < 0)
		return err_set(err, ERR_SYSTEM, errno, "read the seccomp filter %s", spec->seccomp_bpf_path);
	if (extras->has_init && (fds[n++] = open(spec->init_path, O_PATH | O_CLOEXEC)) < 0)
		return err_set(err, ERR_SYSTEM, errno, "open %s", spec->init_path);
	*ret_n = n;
	return 0;
}

static int hand_over(const struct runtime_spec *spec, pid_t maker, int channel, struct err *err)
{
	CLEANUP(handover_done) struct handover h;
	CLEANUP_FD int userns = -1;
	struct child_extras extras;
	int fds[CHILD_EXTRAS_MAX] = { -1, -1 };
	size_t n = 0;
	handover_init(&h, spec);
	int r = map_userns(spec, maker, &userns, err);
	if (r == 0)
		r = handover_open(&h, spec, maker, userns, err);
	if (r == 0)
		r = open_extras(spec, &extras, fds, &n, err);
	if (r == 0)
		r = say_go(channel, &h, &extras, fds, n, err);
	for (size_t i = 0; i < CHILD_EXTRAS_MAX; i++)
		cleanup_fd(&fds[i]);
	return r;
}

/* The child is being made while its user namespace is mapped and everything is
 * opened. It builds its root as soon as it has that, and waits for its network,
 * which comes after its limits, before it runs anything that is not ours. */
static int launch_ahead(const struct runtime_spec *spec, const struct isolation_io *io, const struct cgroup_layout *layout,
			struct isolation_handle *handle, struct isolation_fds *ret, struct err *err)
{
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
	CLEANUP_FD int maker_sock = io->ahead->sock, channel = io->ahead->child_sock;
	struct err at_birth = ERR_INIT;
	io->ahead->sock = io->ahead->child_sock = -1;
	int r = ahead_make(maker_sock, io, err);
	if (r < 0)
		return r;
	r = stdio_give(spec, 0, false, &spec->process, io, err);
	if (r == 0)
		r = hand_over(spec, io->ahead->pid, channel, err);
	/* Also after a failure: what was made is to be reaped. */
	int born = wait_for_birth(maker_sock, layout, handle, &cg, &ret->pidfd, &at_birth);
	cleanup_fd(&maker_sock); /* its maker may go */
	/* What failed there explains what failed here. */
	if (born < 0 && (r == 0 || born != -EPIPE)) {
		*err = at_birth;
		r = born;
	}
	FAULT_HERE("launch.cloned");
	if (r == 0 && (r = process_start_ticks(handle->pid, &handle->pid_start_ticks)) < 0)
		r = err_set(err, ERR_SYSTEM, r, "look at the new process");
	if (r == 0)
		r = limit(spec, &cg, err);
	if (r == 0)
		r = set_oom_score(handle->pid, &spec->process, err);
	if (r == 0)
		r = connect_child(spec, handle->pid, channel, ret, err);
	return r == 0 ? launch_wait(channel, ret, err) : r;
}

static bool can_use(const struct isolation_ahead *ahead, const struct runtime_spec *spec)
{
	return ahead && ahead->sock >= 0 && ahead->child_sock >= 0 && ahead_fits(spec);
}

int container_start(const struct runtime_spec *spec, const struct isolation_io *io, struct isolation_handle *ret_handle,
		    struct isolation_fds *ret, struct err *err)
{
	struct cgroup_layout layout = { 0 };
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
	struct isolation_handle handle = { 0 };

	ret->pidfd = -1;
	/* Nobody inside may look into a process that is on its way there. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	int r = launch_detect_cgroups(&layout, err);
	if (r < 0)
		return r;
	if (spec->cgroup_path && str_copy(handle.cgroup, sizeof(handle.cgroup), spec->cgroup_path) < 0)
		return err_set(err, ERR_INVALID, 0, "the control group's path is too long");
	if (can_use(io->ahead, spec)) {
		r = launch_ahead(spec, io, &layout, &handle, ret, err);
		if (r < 0)
			undo(spec, &layout, 0, ret->pidfd);
	} else {
		if (io->ahead) {
			cleanup_fd(&io->ahead->sock);
			cleanup_fd(&io->ahead->child_sock);
		}
		r = launch_make_cgroup(spec, &layout, &cg, err);
		if (r == 0)
			r = limit(spec, &cg, err);
		if (r == 0)
			r = launch(spec, io, &layout, &cg, &handle, ret, err);
		else
			undo(spec, &layout, 0, -1);
	}
	if (r < 0)
		return r;
	*ret_handle = handle;
	return 0;
}
