/* SPDX-License-Identifier: Apache-2.0 */
/* Exec sessions: one more process in the workload, for a client or a health
 * check. A session outlives its client; its process is reaped in any case. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "event_log.h"
#include "fault.h"
#include "fd.h"
#include "monitor.h"

static struct exec_session *session_new(struct monitor *m)
{
	for (size_t i = 0; i < EXECS_MAX; i++) {
		struct exec_session *e = &m->exec[i];
		if (e->in_use)
			continue;
		*e = (struct exec_session){ .in_use = true, .m = m, .launch.source.fd = -1, .exit.fd = -1, .output.fd = -1, .pty = -1 };
		return e;
	}
	return NULL;
}

static void session_free(struct exec_session *e)
{
	int fd = loop_remove(&e->m->loop, &e->output);
	cleanup_fd(&fd);
	cleanup_fd(&e->pty);
	e->in_use = false;
}

static void output_ready(void *ctx, uint32_t events)
{
	struct exec_session *e = ctx;
	char data[4096];
	ssize_t n = read(e->output.fd, data, sizeof(data));
	if (n > 0 && e->is_health)
		health_output(e->m, data, (size_t)n);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		close(loop_remove(&e->m->loop, &e->output));
}

static void log_exec_die(struct exec_session *e, int code)
{
	char id[EXEC_ID_MAX + 16], exit_code[32];
	if (!e->id[0])
		return;
	snprintf(id, sizeof(id), "execID=%s", e->id);
	snprintf(exit_code, sizeof(exit_code), "exitCode=%d", code);
	monitor_event(e->m, "exec_die", id, exit_code);
}

static void exited(void *ctx, uint32_t events)
{
	struct exec_session *e = ctx;
	struct monitor *m = e->m;
	bool was_killed;
	CLEANUP_FD int pidfd = loop_remove(&m->loop, &e->exit);
	int code = launch_reap(pidfd, &was_killed);
	if (e->is_health) {
		while (e->output.fd >= 0) {
			char data[4096];
			ssize_t n = read(e->output.fd, data, sizeof(data));
			if (n <= 0)
				break;
			health_output(m, data, (size_t)n);
		}
		session_free(e);
		health_probe_done(m, code, true, NULL);
		return;
	}
	log_exec_die(e, code);
	monitor_trim_soon(m);
	struct client *c = e->client;
	session_free(e);
	if (c) {
		c->exec = NULL;
		client_send(c, MON_EXIT, (uint32_t)(code < 0 ? 255 : code), 0, NULL, 0);
	}
}

/* With its terminal nobody else reads, the process would stop at a full buffer. */
static void discard_output(struct exec_session *e)
{
	if (e->pty < 0 || e->output.fd >= 0)
		return;
	if (fd_set_nonblock(e->pty, true) < 0)
		return;
	e->output = (struct loop_source){ .fd = TAKE_FD(e->pty), .ready = output_ready, .ctx = e };
	(void)!loop_watch(&e->m->loop, &e->output, EPOLLIN);
}

static void launched(void *ctx, uint32_t events)
{
	struct exec_session *e = ctx;
	struct monitor *m = e->m;
	struct launch_result res = { 0 };
	struct isolation_fds got;
	int r = launch_finish(m, &e->launch, &res, &got);
	e->pty = got.pty;
	struct client *c = e->client;
	FAULT_HERE("monitor.exec_launched");
	if (r == 0) {
		e->pid = res.pid;
		e->exit = (struct loop_source){ .fd = got.pidfd, .ready = exited, .ctx = e };
		r = loop_watch(&m->loop, &e->exit, EPOLLIN);
		if (r < 0)
			(void)err_set(&res.err, ERR_SYSTEM, r, "watch the process");
	}
	if (r < 0) {
		bool is_health = e->is_health;
		if (c)
			c->exec = NULL;
		session_free(e);
		if (is_health)
			health_probe_done(m, -1, false, &res.err);
		else if (c)
			client_send_error(c, &res.err);
		return;
	}
	if (e->is_health)
		return;
	if (!c) {
		discard_output(e);
		return;
	}
	int n = e->pty >= 0 ? 1 : 0;
	if (mon_send(c->source.fd, MON_STARTED, (uint32_t)e->pid, 0, NULL, 0, &e->pty, (size_t)n) < 0)
		client_close(c);
}

static int session_launch(struct exec_session *e, const struct launch_request *request, struct err *err)
{
	e->launch.source.ready = launched;
	e->launch.source.ctx = e;
	int r = launch_start(e->m, &e->launch, request, true, err);
	if (r < 0)
		session_free(e);
	return r;
}

void exec_start(struct monitor *m, struct client *c, const char *payload, size_t len, int fds[3], size_t fds_n)
{
	struct err err = ERR_INIT;
	struct exec_session *e = NULL;
	const char *newline = len && payload[0] != '{' ? memchr(payload, '\n', len < EXEC_ID_MAX ? len : EXEC_ID_MAX) : NULL;
	size_t id_len = newline ? (size_t)(newline - payload) : 0;
	if (!lifecycle_is_up(m))
		(void)err_set(&err, ERR_CONFLICT, 0, "container %s is not running", m->conf->id);
	else if (m->state.status == RUN_PAUSED)
		(void)err_set(&err, ERR_CONFLICT, 0, "container %s is paused, unpause the container before exec", m->conf->id);
	else if (c->exec || c->is_attached)
		(void)err_set(&err, ERR_INVALID, 0, "an exec needs a connection of its own");
	else if (fds_n != 0 && fds_n != 3)
		(void)err_set(&err, ERR_INVALID, 0, "an exec takes three descriptors or, with a terminal, none");
	else if (!(e = session_new(m)))
		(void)err_set(&err, ERR_CONFLICT, 0, "too many exec sessions (%d)", EXECS_MAX);
	if (!e) {
		client_send_error(c, &err);
		return;
	}
	memcpy(e->id, payload, id_len);
	e->client = c;
	c->exec = e;
	struct launch_request request = { .process_json = payload + (newline ? id_len + 1 : 0),
					  .process_len = len - (newline ? id_len + 1 : 0),
					  .stdio = { fds_n ? fds[0] : -1, fds_n ? fds[1] : -1, fds_n ? fds[2] : -1 },
					  .spare = &c->spare };
	if (session_launch(e, &request, &err) < 0) {
		c->exec = NULL;
		client_send_error(c, &err);
	}
}

struct exec_session *exec_start_health(struct monitor *m, struct err *err)
{
	int out[2];
	CLEANUP_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct exec_session *e = null < 0 ? NULL : session_new(m);
	if (!e) {
		(void)err_set(err, ERR_SYSTEM, 0, "no room for a health check");
		return NULL;
	}
	if (pipe2(out, O_CLOEXEC) < 0) {
		(void)err_set(err, ERR_SYSTEM, -errno, "make a pipe");
		session_free(e);
		return NULL;
	}
	e->is_health = true;
	e->output = (struct loop_source){ .fd = out[0], .ready = output_ready, .ctx = e };
	(void)!fd_set_nonblock(out[0], true);
	(void)!loop_watch(&m->loop, &e->output, EPOLLIN);
	struct launch_request request = { .argv = &m->conf->health_test, .stdio = { null, out[1], out[1] } };
	int r = session_launch(e, &request, err);
	close(out[1]);
	return r < 0 ? NULL : e;
}

void exec_client_gone(struct exec_session *e)
{
	e->client = NULL;
	if (e->exit.fd >= 0)
		discard_output(e);
}

int exec_signal(struct exec_session *e, int signo, struct err *err)
{
	if (e->exit.fd < 0 || syscall(SYS_pidfd_send_signal, e->exit.fd, signo, NULL, 0) < 0)
		return err_set(err, ERR_CONFLICT, 0, "the process is not running");
	return 0;
}

void exec_resize(struct exec_session *e, uint32_t rows, uint32_t cols)
{
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols };
	if (e->pty >= 0)
		(void)ioctl(e->pty, TIOCSWINSZ, &size);
}

void exec_kill(struct exec_session *e)
{
	(void)!exec_signal(e, SIGKILL, NULL);
}

/* Everything in the workload's pid namespace is dead or dying: reap, and tell. */
void exec_workload_gone(struct monitor *m)
{
	for (size_t i = 0; i < EXECS_MAX; i++) {
		struct exec_session *e = &m->exec[i];
		if (!e->in_use)
			continue;
		if (e->launch.source.fd >= 0)
			launched(e, 0);
		if (e->in_use && e->exit.fd >= 0) {
			exec_kill(e);
			exited(e, 0);
		}
	}
}
