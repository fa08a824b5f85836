/* SPDX-License-Identifier: Apache-2.0 */
/* What of the host's files a guest sees: its writable layer, its volumes and bind
 * mounts, each a share of hull-files, which has the identity and the reach that the
 * container level would give the workload. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "files_proto.h"
#include "guest.h"
#include "internal.h"
#include "mount_api.h"
#include "process.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* A user namespace with the workload's mapping and nobody in it. */
static int make_userns(const struct runtime_spec *spec, int *ret, struct err *err)
{
	char path[48];
	CLEANUP_FD int pidfd = -1;
	siginfo_t info;
	pid_t pid = process_clone(CLONE_NEWUSER, -1, &pidfd);
	if (pid < 0) {
		int r = err_set(err, ERR_SYSTEM, pid, "make a user namespace");
		err_hint(err, "hull doctor");
		return r;
	}
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		for (;;)
			pause();
	}
	int r = idmap_write(pid, "uid_map", spec->uid_maps, spec->uid_maps_n, err);
	if (r == 0)
		r = idmap_write(pid, "gid_map", spec->gid_maps, spec->gid_maps_n, err);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	if (r == 0 && (*ret = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		r = err_set(err, ERR_SYSTEM, -errno, "open the workload's user namespace");
	(void)!process_signal(pidfd, SIGKILL);
	while (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0 && errno == EINTR)
		continue;
	return r;
}

/* With all that is mounted below. */
static bool is_read_only(const struct spec_mount *m)
{
	return strv_contains(&m->options, "rro");
}

bool guest_is_read_only_at_top(const struct spec_mount *m)
{
	return !is_read_only(m) && (strv_contains(&m->options, "ro") || strv_contains(&m->options, "readonly"));
}

/* hull writes them itself and nobody locks them. One share that may be locked would
 * make each close() of the guest, also in its writable layer, a question. */
static bool is_own_file(const struct spec_mount *m)
{
	return str_eq(m->destination, "/etc/hosts") || str_eq(m->destination, "/etc/hostname") ||
	       str_eq(m->destination, "/etc/resolv.conf");
}

static uint32_t flags_of(const struct spec_mount *m)
{
	return (is_read_only(m) ? FILES_SHARE_READ_ONLY : 0) | (is_own_file(m) ? FILES_SHARE_LOCAL_LOCKS : 0) |
	       (strv_contains(&m->options, "cached") ? FILES_SHARE_CACHED : 0);
}

/* The order is that of the handover. */
static int list_shares(const struct runtime_spec *spec, struct files_start *start, struct err *err)
{
	struct files_share *shares = start->shares;
	if (spec->upper) {
		snprintf(shares[start->shares_n].name, sizeof(shares->name), "root");
		shares[start->shares_n++].flags = FILES_SHARE_PRIVATE | FILES_SHARE_LOCAL_LOCKS;
	}
	for (size_t i = 0; i < spec->mounts_n; i++) {
		if (!spec_mount_is_bind(&spec->mounts[i]))
			continue;
		if (start->shares_n == FILES_SHARES_MAX)
			return err_set(err, ERR_UNSUPPORTED, 0, "a guest has at most %d mounts", FILES_SHARES_MAX);
		snprintf(shares[start->shares_n].name, sizeof(shares->name), GUEST_SHARE_FORMAT, i);
		shares[start->shares_n++].flags = flags_of(&spec->mounts[i]);
	}
	return 0;
}

/* Mounts that are read-only, but not what is mounted below, are so outside: to the
 * guest a share is one mount. @fds of the binds, in their order. */
static int close_tops(const struct runtime_spec *spec, const int *fds, struct err *err)
{
	for (size_t i = 0; i < spec->mounts_n; i++) {
		if (!spec_mount_is_bind(&spec->mounts[i]))
			continue;
		int r = guest_is_read_only_at_top(&spec->mounts[i]) ? mount_change(*fds, MOUNT_ATTR_RDONLY, 0, false) : 0;
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "make %s read-only", spec->mounts[i].source);
		fds++;
	}
	return 0;
}

static _Noreturn void server_run(const struct runtime_spec *spec, const struct cgroup *cgroup, int sock)
{
	CLEANUP_FREE char *path = str_dup(spec->guest.supervisor);
	char *slash = strrchr(path, '/');
	char *argv[] = { (char *)(uintptr_t)FILES_PROGRAM, NULL }, *env[] = { NULL };
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	setsid();
	if (!slash || (cgroup->layout && cgroup_enter_v1(cgroup) < 0) || (sock != FILES_SOCKET_FD && dup2(sock, FILES_SOCKET_FD) < 0) ||
	    fd_set_cloexec(FILES_SOCKET_FD, false) < 0)
		_exit(1);
	slash[1] = '\0';
	CLEANUP_FREE char *program = str_printf("%s" FILES_PROGRAM, path);
	execve(program, argv, env);
	_exit(127);
}

static int start_server(const struct runtime_spec *spec, const struct cgroup *cgroup, int *ret, struct err *err)
{
	int pair[2], pidfd = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a socket pair");
	CLEANUP_FD int ours = pair[0], theirs = pair[1];
	/* PID 1 of a namespace of its own, which it would otherwise make by forking. */
	pid_t pid = process_clone(CLONE_NEWPID, cgroup->layout ? cgroup_clone_fd(cgroup) : -1, &pidfd);
	if (pid < 0)
		return err_set(err, ERR_SYSTEM, pid, "fork");
	if (pid == 0)
		server_run(spec, cgroup, theirs);
	cleanup_fd(&pidfd);
	*ret = TAKE_FD(ours);
	return 0;
}

int guest_files_start(const struct runtime_spec *spec, const struct cgroup *cgroup, bool is_small, int *ret, struct err *err)
{
	static struct files_start start;
	CLEANUP(handover_done) struct handover h;
	CLEANUP_FD int userns = -1, sock = -1;
	int fds[FILES_FDS_MAX];
	size_t n = 0;
	/* What is handed over of a container's, without its layers and devices. */
	struct runtime_spec shared = *spec;
	shared.layers = (struct strv){ 0 };
	shared.ns[SPEC_NS_USER] = (struct spec_namespace){ 0 };
	handover_init(&h, &shared);
	start = (struct files_start){ .magic = FILES_MAGIC, .flags = FILES_USERNS | (is_small ? FILES_SMALL : 0) };
	int r = list_shares(spec, &start, err);
	if (r == 0)
		r = make_userns(spec, &userns, err);
	if (r == 0)
		r = handover_open(&h, &shared, 0, userns, err);
	if (r == 0)
		r = start_server(spec, cgroup, &sock, err);
	if (r < 0)
		return r;
	fds[n++] = userns;
	for (size_t i = 0; i < start.shares_n; i++)
		fds[n++] = h.fds[i];
	r = close_tops(spec, h.fds + (spec->upper != NULL), err);
	if (r < 0)
		return r;
	r = files_send_start(sock, &start, fds, n, err);
	if (r == 0)
		*ret = TAKE_FD(sock);
	return r;
}
