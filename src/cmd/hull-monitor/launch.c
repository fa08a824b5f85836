/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher: a fork of the monitor that parses config.json, calls the back
 * end, which clones the workload as a sibling (CLONE_PARENT: the monitor is the
 * parent), sends the outcome back and ends, and its memory with it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "buf.h"
#include "fault.h"
#include "fd.h"
#include "monitor.h"
#include "runtime_spec.h"
#include "thread_caps.h"

#define CONFIG_MAX_BYTES (16u << 20)
/* The level whose namespaces can be made before the order comes. */
#define ISOLATION_AHEAD ISOLATION_CONTAINER

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* What a launcher that was forked ahead is told. */
struct spare_order {
	/* The description is there: with state_dirfd. Else start: with that and, without
	 * a terminal, the three of stdio. */
	bool is_expect;
	uint8_t level;
};
/* The state directory, the lock, the workload's standard descriptors. */
#define SPARE_FDS 5
/* The outcome comes with a pidfd, a hold, a terminal, two sockets for names. */
#define RESULT_FDS 5

/* What the monitor has changed about itself and a workload must not inherit. */
static void undo_monitor_ways(const struct monitor *m)
{
	sigset_t none;
	char text[16];
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	thread_caps_raise_all();
	prctl(PR_SET_DUMPABLE, 1);
	struct rlimit limit;
	if (m->proxy.old_nofile && getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = m->proxy.old_nofile;
		(void)!setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (!m->has_oom_score)
		return;
	int n = snprintf(text, sizeof(text), "%d", m->old_oom_score_adj);
	CLEANUP_FD int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)!write(fd, text, (size_t)n);
}

/* Without a monitor nobody would own what a launcher makes. */
static void die_with(pid_t monitor)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != monitor)
		_exit(1);
}

static int read_description(const struct monitor *m, struct runtime_spec **ret, struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(CONFIG_MAX_BYTES);
	int r = fd_read_file_at(m->state_dirfd, "config.json", &text);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "read config.json");
	return runtime_spec_parse(text.data ? text.data : "", text.len, ret, err);
}

static int run(struct monitor *m, const struct launch_request *request, bool is_exec, struct launch_result *res,
	       struct isolation_fds *ret)
{
	CLEANUP_RUNTIME_SPEC struct runtime_spec *spec = request->spec;
	struct isolation_io io = { request->stdio[0], request->stdio[1], request->stdio[2], request->ahead };
	int r = spec ? 0 : read_description(m, &spec, &res->err);
	if (r < 0)
		return r;
	if (!is_exec)
		return m->isolation->start(spec, &io, &res->handle, ret, &res->err);
	if (!request->process_json) {
		strv_free(&spec->process.args);
		strv_extend(&spec->process.args, request->argv);
		spec->process.terminal = false;
		return m->isolation->exec(&m->handle, spec, &spec->process, &io, &res->pid, &ret->pidfd, &ret->pty, &res->err);
	}
	struct spec_process process = { 0 };
	r = runtime_spec_parse_process(request->process_json, request->process_len, &process, &res->err);
	if (r < 0)
		return r;
	return m->isolation->exec(&m->handle, spec, &process, &io, &res->pid, &ret->pidfd, &ret->pty, &res->err);
}

static void child(struct monitor *m, const struct launch_request *request, bool is_exec, int sock)
{
	struct launch_result res = { 0 };
	struct isolation_fds got = ISOLATION_FDS_INIT;
	int fds[RESULT_FDS];
	size_t n = 0;
	FAULT_HERE("launcher.forked");
	res.helper = request->ahead ? request->ahead->pid : 0;
	res.r = run(m, request, is_exec, &res, &got);
	if (res.r < 0 && !err_is_set(&res.err))
		(void)err_set(&res.err, ERR_SYSTEM, res.r, "start");
	if (got.pidfd >= 0)
		fds[n++] = got.pidfd;
	if (res.r >= 0 && (res.has_hold = got.hold >= 0))
		fds[n++] = got.hold;
	if (res.r >= 0 && (res.has_pty = got.pty >= 0))
		fds[n++] = got.pty;
	for (size_t i = 0; i < 2 && res.r >= 0 && (res.has_names = got.names[0] >= 0); i++)
		fds[n++] = got.names[i];
	FAULT_HERE("launcher.done");
	(void)!fd_send(sock, &res, sizeof(res), fds, n);
	_exit(0);
}

/* The description is there: it is read here and, at the same time, by what was made. */
static void expect(struct monitor *m, struct launch_request *request)
{
	struct err none = ERR_INIT;
	CLEANUP_FD int config = openat(m->state_dirfd, "config.json", O_RDONLY | O_CLOEXEC);
	if (config < 0)
		return;
	m->isolation->expect(request->ahead, config, m->lock_fd);
	/* What is wrong with it is told when it is to be started. */
	if (read_description(m, &request->spec, &none) < 0)
		request->spec = NULL;
}

static void wait_for_order(struct monitor *m, int sock, bool makes_ahead)
{
	struct isolation_ahead ahead = { 0, -1, -1 };
	struct launch_request request = { 0 };
	struct err err = ERR_INIT;
	if (makes_ahead && isolation_get(ISOLATION_AHEAD, &m->isolation, &err) == 0 && m->isolation->prepare)
		m->isolation->prepare(&ahead);
	if (ahead.sock >= 0)
		request.ahead = &ahead;
	for (;;) {
		struct spare_order order;
		int fds[SPARE_FDS] = { -1, -1, -1, -1, -1 };
		size_t n = 0;
		if (fd_recv(sock, &order, sizeof(order), fds, SPARE_FDS, &n) != (ssize_t)sizeof(order) || n < 2)
			_exit(0); /* the monitor has gone */
		m->state_dirfd = fds[0];
		/* Ours too: whoever has it may be sure that nothing is being made. */
		cleanup_fd(&m->lock_fd);
		m->lock_fd = fds[1];
		if (order.is_expect && request.ahead)
			expect(m, &request);
		if (order.is_expect)
			continue;
		for (size_t i = 0; i < 3; i++)
			request.stdio[i] = fds[i + 2];
		if (isolation_get((enum isolation_level)order.level, &m->isolation, &err) < 0)
			_exit(1);
		child(m, &request, false, sock);
	}
}

void launch_prepare(struct monitor *m, bool makes_ahead)
{
	int sv[2];
	pid_t self = getpid();
	m->spare.sock = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return;
	pid_t pid = fork();
	if (pid == 0) {
		close(sv[0]);
		close(HULL_SOCKET);
		die_with(self);
		undo_monitor_ways(m);
		wait_for_order(m, sv[1], makes_ahead);
	}
	close(sv[1]);
	if (pid < 0)
		close(sv[0]);
	else
		m->spare = (struct spare_launcher){ sv[0], pid };
}

/* The launcher of @launch is the spare one, if there is one and it lives. */
static bool use_spare(struct monitor *m, struct launch *launch, const struct launch_request *request)
{
	const struct spare_order order = { .level = (uint8_t)m->conf->isolation };
	const int fds[SPARE_FDS] = { m->state_dirfd, m->lock_fd, request->stdio[0], request->stdio[1], request->stdio[2] };
	CLEANUP_FD int sock = m->spare.sock;
	m->spare.sock = -1;
	if (sock < 0 || fd_send(sock, &order, sizeof(order), fds, request->stdio[0] < 0 ? 2 : SPARE_FDS) < 0)
		return false;
	launch->pid = m->spare.pid;
	launch->source.fd = TAKE_FD(sock);
	return true;
}

void launch_expect(struct monitor *m)
{
	const struct spare_order order = { .is_expect = true };
	/* One that has died is met at the start. */
	if (m->spare.sock >= 0)
		(void)!fd_send(m->spare.sock, &order, sizeof(order), (const int[]){ m->state_dirfd, m->lock_fd }, 2);
}

/* 0 in the launcher, whose end of the socket *ret_sock is then. */
static pid_t fork_with_socket(struct monitor *m, int *ret_sock, struct err *err)
{
	int sv[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a socket pair");
	pid_t self = getpid(), pid = fork();
	if (pid < 0)
		err_set(err, ERR_SYSTEM, -errno, "fork");
	close(sv[pid != 0]);
	if (pid < 0) {
		close(sv[0]);
		return err->errnum;
	}
	*ret_sock = sv[pid == 0];
	if (pid == 0) {
		die_with(self);
		undo_monitor_ways(m);
	}
	return pid;
}

static int fork_launcher(struct monitor *m, struct launch *launch, const struct launch_request *request, bool is_exec,
			 struct err *err)
{
	int sock = -1;
	pid_t pid = fork_with_socket(m, &sock, err);
	if (pid == 0)
		child(m, request, is_exec, sock);
	if (pid < 0)
		return (int)pid;
	launch->pid = pid;
	launch->source.fd = sock;
	return 0;
}

/* One that waits keeps no copy of the lock, of a client's socket, of a log: whoever
 * waits for the end of those would wait for it. */
static bool keep_only(int *sock, int *state_dirfd)
{
	int high_sock = fcntl(*sock, F_DUPFD_CLOEXEC, 5), high_dir = fcntl(*state_dirfd, F_DUPFD_CLOEXEC, 5);
	if (high_sock < 0 || high_dir < 0 || dup3(high_sock, 3, O_CLOEXEC) < 0 || dup3(high_dir, 4, O_CLOEXEC) < 0)
		return false;
	fd_close_from(5);
	*sock = 3;
	*state_dirfd = 4;
	return true;
}

static void wait_for_exec(struct monitor *m, int sock)
{
	if (!keep_only(&sock, &m->state_dirfd))
		_exit(1);
	CLEANUP_FREE char *json = mem_calloc(1, MON_PAYLOAD_MAX);
	struct launch_request request = { .process_json = json, .stdio = { -1, -1, -1 } };
	struct err none = ERR_INIT;
	size_t n = 0;
	/* What is wrong with it is told with the exec. */
	if (read_description(m, &request.spec, &none) < 0)
		request.spec = NULL;
	ssize_t len = fd_recv(sock, json, MON_PAYLOAD_MAX, request.stdio, 3, &n);
	if (len <= 0 || (n != 0 && n != 3))
		_exit(0); /* thought better of it */
	request.process_len = (size_t)len;
	child(m, &request, true, sock);
}

void launch_expect_exec(struct monitor *m, struct spare_launcher *ret)
{
	int sock = -1;
	struct err none = ERR_INIT;
	if (ret->sock >= 0)
		return;
	/* What stands in the way is told with the exec. */
	pid_t pid = fork_with_socket(m, &sock, &none);
	if (pid == 0)
		wait_for_exec(m, sock);
	if (pid > 0)
		*ret = (struct spare_launcher){ sock, pid };
}

void launch_drop(struct spare_launcher *spare)
{
	if (spare->sock < 0)
		return;
	cleanup_fd(&spare->sock);
	while (waitpid(spare->pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}

static bool use_exec_spare(struct launch *launch, const struct launch_request *request)
{
	struct spare_launcher *spare = request->spare;
	if (!spare || spare->sock < 0)
		return false;
	if (!request->process_len || fd_send(spare->sock, request->process_json, request->process_len, request->stdio,
					     request->stdio[0] < 0 ? 0 : 3) < 0) {
		launch_drop(spare);
		return false;
	}
	launch->pid = spare->pid;
	launch->source.fd = TAKE_FD(spare->sock);
	return true;
}

int launch_start(struct monitor *m, struct launch *launch, const struct launch_request *request, bool is_exec, struct err *err)
{
	if (is_exec ? !use_exec_spare(launch, request) : !use_spare(m, launch, request)) {
		int r = fork_launcher(m, launch, request, is_exec, err);
		if (r < 0)
			return r;
	}
	launch->source.events = 0;
	int r = loop_watch(&m->loop, &launch->source, 1 /* EPOLLIN */);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "watch the launcher") : 0;
}

int launch_finish(struct monitor *m, struct launch *launch, struct launch_result *res, struct isolation_fds *ret)
{
	int fds[RESULT_FDS] = { -1, -1, -1, -1, -1 };
	size_t n = 0, i = 0;
	CLEANUP_FD int sock = loop_remove(&m->loop, &launch->source);
	ssize_t got = fd_recv(sock, res, sizeof(*res), fds, RESULT_FDS, &n);
	int status;
	while (waitpid(launch->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	bool is_whole = got == (ssize_t)sizeof(*res);
	/* It is over before the launcher's answer, or about to be. */
	while (is_whole && res->helper > 0 && waitpid(res->helper, &status, 0) < 0 && errno == EINTR)
		continue;
	if (is_whole && res->r < 0 && n > 0) {
		/* What failed on its way is our child. */
		bool was_killed;
		(void)!syscall(SYS_pidfd_send_signal, fds[0], SIGKILL, NULL, 0);
		(void)launch_reap(fds[0], &was_killed);
		cleanup_fd(&fds[0]);
		n = 0;
	}
	*ret = ISOLATION_FDS_INIT;
	ret->pidfd = n > i ? fds[i++] : -1;
	ret->hold = is_whole && res->has_hold && n > i ? fds[i++] : -1;
	ret->pty = is_whole && res->has_pty && n > i ? fds[i++] : -1;
	for (size_t k = 0; k < 2 && is_whole && res->has_names && n > i; k++)
		ret->names[k] = fds[i++];
	if (!is_whole || (res->r == 0 && n == 0)) {
		*res = (struct launch_result){ 0 };
		res->r = err_set(&res->err, ERR_SYSTEM, 0, "the launcher died (status %d)", status);
	}
	return res->r;
}

int launch_reap(int pidfd, bool *ret_was_killed)
{
	siginfo_t info = { 0 };
	int r;
	do
		r = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED);
	while (r < 0 && errno == EINTR);
	*ret_was_killed = r == 0 && info.si_code != CLD_EXITED && info.si_status == SIGKILL;
	if (r < 0)
		return -1;
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}
