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
#include <sys/socket.h>
#include <sys/wait.h>

#include "buf.h"
#include "fd.h"
#include "monitor.h"
#include "runtime_spec.h"
#include "thread_caps.h"

#define CONFIG_MAX_BYTES (16u << 20)

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

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
	int n = snprintf(text, sizeof(text), "%d", m->old_oom_score_adj);
	CLEANUP_FD int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)!write(fd, text, (size_t)n);
}

static int run(struct monitor *m, const struct launch_request *request, bool is_exec, struct launch_result *res,
	       int *ret_pidfd, int *ret_pty)
{
	CLEANUP_BUF struct buf text = BUF_INIT(CONFIG_MAX_BYTES);
	CLEANUP_RUNTIME_SPEC struct runtime_spec *spec = NULL;
	struct isolation_io io = { request->stdio[0], request->stdio[1], request->stdio[2] };
	int r = fd_read_file_at(m->state_dirfd, "config.json", &text);
	if (r < 0)
		return err_set(&res->err, ERR_SYSTEM, r, "read config.json");
	r = runtime_spec_parse(text.data ? text.data : "", text.len, &spec, &res->err);
	if (r < 0)
		return r;
	if (!is_exec)
		return m->isolation->start(spec, &io, &res->handle, ret_pidfd, ret_pty, &res->err);
	if (!request->process_json) {
		strv_free(&spec->process.args);
		strv_extend(&spec->process.args, request->argv);
		spec->process.terminal = false;
		return m->isolation->exec(&m->handle, spec, &spec->process, &io, &res->pid, ret_pidfd, ret_pty, &res->err);
	}
	struct spec_process process = { 0 };
	r = runtime_spec_parse_process(request->process_json, request->process_len, &process, &res->err);
	if (r < 0)
		return r;
	return m->isolation->exec(&m->handle, spec, &process, &io, &res->pid, ret_pidfd, ret_pty, &res->err);
}

static void child(struct monitor *m, const struct launch_request *request, bool is_exec, int sock)
{
	struct launch_result res = { 0 };
	int fds[2] = { -1, -1 };
	undo_monitor_ways(m);
	res.r = run(m, request, is_exec, &res, &fds[0], &fds[1]);
	if (res.r < 0 && !err_is_set(&res.err))
		(void)err_set(&res.err, ERR_SYSTEM, res.r, "start");
	(void)!fd_send(sock, &res, sizeof(res), fds, res.r < 0 ? 0 : fds[1] >= 0 ? 2 : 1);
	_exit(0);
}

int launch_start(struct monitor *m, struct launch *launch, const struct launch_request *request, bool is_exec, struct err *err)
{
	int sv[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a socket pair");
	pid_t pid = fork();
	if (pid < 0) {
		int r = err_set(err, ERR_SYSTEM, -errno, "fork");
		close(sv[0]);
		close(sv[1]);
		return r;
	}
	if (pid == 0) {
		close(sv[0]);
		child(m, request, is_exec, sv[1]);
	}
	close(sv[1]);
	launch->pid = pid;
	launch->source.fd = sv[0];
	launch->source.events = 0;
	int r = loop_watch(&m->loop, &launch->source, 1 /* EPOLLIN */);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "watch the launcher") : 0;
}

int launch_finish(struct monitor *m, struct launch *launch, struct launch_result *res, int *ret_pidfd, int *ret_pty)
{
	int fds[2] = { -1, -1 };
	size_t n = 0;
	CLEANUP_FD int sock = loop_remove(&m->loop, &launch->source);
	ssize_t got = fd_recv(sock, res, sizeof(*res), fds, 2, &n);
	int status;
	while (waitpid(launch->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	*ret_pidfd = n > 0 ? fds[0] : -1;
	*ret_pty = n > 1 ? fds[1] : -1;
	if (got != (ssize_t)sizeof(*res) || (res->r == 0 && n == 0)) {
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
