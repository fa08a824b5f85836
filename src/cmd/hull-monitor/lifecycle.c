/* SPDX-License-Identifier: Apache-2.0 */
/* How it works. The run state moves
 *
 *   CREATED -> RUNNING <-> PAUSED -> EXITED               (start, exit)
 *                  \---------------> RESTARTING -> (exec of `hull internal restart`)
 *                                        \-> EXITED       (stop during the back-off)
 *
 * An exit is seen on the pidfd. Then: record it, take the rest of the output,
 * finish the log, tell EXIT, and at last leave the bookkeeping to the OWNER
 * client, to `hull internal exited`, or restart. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "clock.h"
#include "fault.h"
#include "fd.h"
#include "monitor.h"
#include "net_attach.h"
#include "str.h"
#include "thread_caps.h"

#define BACKOFF_FIRST_MS 100u
#define BACKOFF_MAX_MS 60000u
/* A workload that ran this long is not in a crash loop. */
#define BACKOFF_RESET_NS (10 * NS_PER_S)
#define LINGER_NS (10 * NS_PER_S)
#define PIPE_BYTES (256 * 1024)

void lifecycle_save(struct monitor *m)
{
	/* Nobody to tell when $HULL_RUN is full or gone; the lock still tells
	 * the truth about us. */
	(void)!run_state_write(m->dirfd, &m->state);
}

/* ---- start ---- */

struct io_pipes {
	int ours[3], theirs[3];
};

static void close_pipes(int fds[3])
{
	for (int i = 0; i < 3; i++)
		cleanup_fd(&fds[i]);
}

static int make_io(struct monitor *m, struct io_pipes *io, struct err *err)
{
	*io = (struct io_pipes){ { -1, -1, -1 }, { -1, -1, -1 } };
	if (m->conf->tty)
		return 0;
	for (int i = 0; i < 3; i++) {
		int p[2];
		if (i == 0 && !m->conf->open_stdin) {
			io->theirs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
			if (io->theirs[0] < 0)
				return err_set(err, ERR_SYSTEM, -errno, "open /dev/null");
			continue;
		}
		if (pipe2(p, O_CLOEXEC) < 0)
			return err_set(err, ERR_SYSTEM, -errno, "make a pipe");
		io->ours[i] = p[i == 0];
		io->theirs[i] = p[i != 0];
		if (i == 1)
			(void)fcntl(p[0], F_SETPIPE_SZ, PIPE_BYTES);
		int r = fd_set_nonblock(io->ours[i], true);
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "set up a pipe");
	}
	return 0;
}

static int adopt_io(struct monitor *m, struct io_pipes *io)
{
	int r = 0;
	if (io->ours[0] >= 0)
		r = input_add(m, TAKE_FD(io->ours[0]), false);
	for (int i = 1; r == 0 && i < 3; i++) {
		if (io->ours[i] >= 0)
			r = output_add(m, i, TAKE_FD(io->ours[i]));
	}
	return r;
}

static int adopt_pty(struct monitor *m, int pty)
{
	m->pty = pty;
	int r = fd_set_nonblock(pty, true), copy = fcntl(pty, F_DUPFD_CLOEXEC, 0);
	if (r == 0 && copy < 0)
		r = -errno;
	if (r == 0)
		r = output_add(m, 1, copy);
	if (r == 0 && m->conf->open_stdin) {
		copy = fcntl(pty, F_DUPFD_CLOEXEC, 0);
		r = copy < 0 ? -errno : input_add(m, copy, true);
	}
	if (m->rows || m->cols) {
		struct winsize size = { .ws_row = (unsigned short)m->rows, .ws_col = (unsigned short)m->cols };
		(void)ioctl(pty, TIOCSWINSZ, &size);
	}
	return r;
}

static void workload_exited(void *ctx, uint32_t events);

static uint32_t start_exit_code(const struct err *err)
{
	switch (-err->errnum) {
	case ENOENT:
		return 127;
	case EACCES:
	case EPERM:
	case ENOEXEC:
	case EISDIR:
		return 126;
	default:
		return 128;
	}
}

static void start_failed(struct monitor *m, const struct err *err)
{
	m->state.status = RUN_EXITED;
	m->state.exit_code = (int32_t)start_exit_code(err);
	m->state.finished_ns = clock_wall_ns();
	snprintf(m->state.error, sizeof(m->state.error), "%s", err->msg);
	lifecycle_save(m);
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = &m->client[i];
		if (c->source.fd >= 0 && c->wants_started) {
			c->wants_started = false;
			c->wants_exit = false;
			client_send_error(c, err);
		}
	}
	client_tell_exit(m, (uint32_t)m->state.exit_code, 0);
	m->loop.is_quitting = true;
}

static void launched(void *ctx, uint32_t events)
{
	struct monitor *m = ctx;
	struct launch_result res = { 0 };
	struct isolation_fds got;
	monitor_late_init(m);
	int r = launch_finish(m, &m->launch, &res, &got);
	if (r < 0) {
		start_failed(m, &res.err);
		return;
	}
	FAULT_HERE("monitor.launched");
	m->handle = res.handle;
	m->exit = (struct loop_source){ .fd = got.pidfd, .ready = workload_exited, .ctx = m };
	r = loop_watch(&m->loop, &m->exit, EPOLLIN);
	/* Only of a workload that is never started again: the next start would meet
	 * the mounts of the last one. */
	if (m->conf->auto_remove)
		m->hold_fd = TAKE_FD(got.hold);
	cleanup_fd(&got.hold);
	if (r == 0 && got.pty >= 0)
		r = adopt_pty(m, got.pty);
	if (r < 0)
		(void)err_set(&res.err, ERR_SYSTEM, r, "watch the workload");
	else
		r = proxy_begin(m, &res.err);
	if (r < 0) {
		(void)m->isolation->signal(&m->handle, SIGKILL, true, NULL);
		start_failed(m, &res.err);
		return;
	}
	m->state.status = RUN_RUNNING;
	m->state.pid = m->handle.pid;
	m->state.pid_start_ticks = m->handle.pid_start_ticks;
	memcpy(m->state.cgroup, m->handle.cgroup, sizeof(m->state.cgroup));
	m->state.started_ns = clock_wall_ns();
	m->state.error[0] = '\0';
	health_started(m);
	lifecycle_save(m);
	FAULT_HERE("monitor.running");
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = &m->client[i];
		if (c->source.fd >= 0 && c->wants_started && !c->exec) {
			c->wants_started = false;
			client_send(c, MON_STARTED, (uint32_t)m->handle.pid, 0, NULL, 0);
		}
	}
	FAULT_HERE("monitor.told_start");
	output_go(m);
	if (got.names[0] >= 0)
		names_begin(m, got.names);
	monitor_trim_soon(m);
	thread_caps_lower();
}

void lifecycle_start(struct monitor *m, struct client *client)
{
	struct err err = ERR_INIT;
	struct io_pipes io;
	if (m->was_started) {
		(void)err_set(&err, ERR_CONFLICT, 0, "the workload was started already");
		client_send_error(client, &err);
		return;
	}
	m->was_started = true;
	client->wants_started = true;
	int r = make_io(m, &io, &err);
	if (r == 0) {
		struct launch_request request = { .stdio = { io.theirs[0], io.theirs[1], io.theirs[2] } };
		m->launch.source.ready = launched;
		m->launch.source.ctx = m;
		r = launch_start(m, &m->launch, &request, false, &err);
	}
	close_pipes(io.theirs);
	if (r == 0 && adopt_io(m, &io) < 0)
		r = err_set(&err, ERR_SYSTEM, 0, "watch the workload's streams");
	close_pipes(io.ours);
	if (r < 0)
		start_failed(m, &err);
}

/* ---- stop, signals, pause ---- */

int lifecycle_signal(struct monitor *m, int signo, bool all, struct err *err)
{
	if (!lifecycle_is_up(m))
		return err_set(err, ERR_CONFLICT, 0, "container %.12s is not running", m->conf->id);
	int r = m->isolation->signal(&m->handle, signo, all, err);
	/* A frozen process takes not even SIGKILL on cgroup v1. */
	if (r == 0 && signo == SIGKILL && m->state.status == RUN_PAUSED)
		r = lifecycle_pause(m, false, err);
	return r;
}

int lifecycle_pause(struct monitor *m, bool pause, struct err *err)
{
	enum run_status from = pause ? RUN_RUNNING : RUN_PAUSED;
	if (m->state.status != from || !lifecycle_is_up(m))
		return err_set(err, ERR_CONFLICT, 0, "container %.12s is %s", m->conf->id,
			       !lifecycle_is_up(m) ? "not running" : pause ? "already paused" : "not paused");
	int r = pause ? m->isolation->pause(&m->handle, err) : m->isolation->resume(&m->handle, err);
	if (r < 0)
		return r;
	m->state.status = pause ? RUN_PAUSED : RUN_RUNNING;
	lifecycle_save(m);
	return 0;
}

static void stop_timed_out(void *ctx)
{
	struct monitor *m = ctx;
	(void)!lifecycle_signal(m, SIGKILL, true, NULL);
	/* Should the kernel take its time over it, once more. */
	if (lifecycle_is_up(m))
		loop_timer_set(&m->loop, &m->stop_timer, 2 * NS_PER_S);
}

static void finish(struct monitor *m);

void lifecycle_stop(struct monitor *m, uint32_t timeout_s, uint32_t signo, bool by_user)
{
	if (by_user)
		m->state.stopped_by_user = 1;
	if (m->state.status == RUN_RESTARTING) {
		loop_timer_stop(&m->loop, &m->restart_timer);
		m->state.status = RUN_EXITED;
		lifecycle_save(m);
		finish(m);
		return;
	}
	if (!lifecycle_is_up(m))
		return;
	lifecycle_save(m);
	FAULT_HERE("monitor.stopping");
	if (signo == 0 || signo == MON_DEFAULT)
		signo = m->conf->stop_signal;
	if (timeout_s == MON_DEFAULT)
		timeout_s = m->conf->stop_timeout_s;
	(void)!lifecycle_signal(m, (int)signo, false, NULL);
	if (m->state.status == RUN_PAUSED)
		(void)!lifecycle_pause(m, false, NULL);
	m->stop_timer.fire = stop_timed_out;
	m->stop_timer.ctx = m;
	if (timeout_s != MON_NEVER)
		loop_timer_set(&m->loop, &m->stop_timer, timeout_s * NS_PER_S);
}

/* ---- exit ---- */

static bool policy_restarts(const struct monitor *m)
{
	if (m->restart_wanted)
		return true;
	if (m->state.stopped_by_user || m->restart_refused || m->conf->auto_remove)
		return false;
	switch (m->conf->restart) {
	case RESTART_ALWAYS:
	case RESTART_UNLESS_STOPPED:
		return true;
	case RESTART_ON_FAILURE:
		return m->state.exit_code != 0 &&
		       (!m->conf->restart_max_retries || m->state.restart_count < m->conf->restart_max_retries);
	default:
		return false;
	}
}

static uint32_t next_delay_ms(const struct monitor *m)
{
	if (!m->state.restart_delay_ms || m->state.finished_ns - m->state.started_ns >= BACKOFF_RESET_NS)
		return BACKOFF_FIRST_MS;
	return m->state.restart_delay_ms >= BACKOFF_MAX_MS / 2 ? BACKOFF_MAX_MS : 2 * m->state.restart_delay_ms;
}

static void workload_exited(void *ctx, uint32_t events)
{
	struct monitor *m = ctx;
	bool was_killed;
	CLEANUP_FD int pidfd = loop_remove(&m->loop, &m->exit);
	thread_caps_raise_all();
	int code = launch_reap(pidfd, &was_killed);
	FAULT_HERE("monitor.reaped");
	names_end(m);
	proxy_end(m);
	loop_timer_stop(&m->loop, &m->stop_timer);
	m->state.exit_code = code < 0 ? 255 : code;
	m->state.pid = 0;
	/* A success that nobody watched is not asked whether it ran out of memory:
	 * reading the counters would cost every short workload. */
	if (m->state.exit_code != 0 || m->memory.fd >= 0)
		memory_look(m);
	memory_unwatch(m);
	m->state.finished_ns = clock_wall_ns(); /* what ran out of memory did so before */
	health_stopped(m);
	if (policy_restarts(m)) {
		m->state.status = RUN_RESTARTING;
		m->state.restart_delay_ms = next_delay_ms(m);
	} else {
		m->state.status = RUN_EXITED;
		m->state.restart_delay_ms = 0;
	}
	lifecycle_save(m);
	FAULT_HERE("monitor.exited");
	/* With the pid namespace of its own everything else is dead too; with the
	 * host's, what is left holds our pipes. The owner destroys by itself. */
	if (!m->had_owner)
		(void)m->isolation->destroy(&m->handle, NULL);
	exec_workload_gone(m);
	input_close(m);
	m->is_draining = true;
	output_drain(m);
}

static const char *hull_program(const struct monitor *m)
{
	const char *path = m->conf->hull_path;
	if (str_is_empty(path))
		path = getenv("HULL_BIN");
	return str_is_empty(path) ? "hull" : path;
}

static void give_up_name(struct monitor *m)
{
	int fd = loop_remove(&m->loop, &m->listener);
	cleanup_fd(&fd);
	(void)unlinkat(m->dirfd, "ctl", 0);
}

static void tell_engine(struct monitor *m)
{
	char *argv[] = { (char *)(uintptr_t)"hull", (char *)(uintptr_t)"internal", (char *)(uintptr_t)"exited", m->conf->id, NULL };
	posix_spawnattr_t attr;
	sigset_t none;
	pid_t pid;
	sigemptyset(&none);
	if (posix_spawnattr_init(&attr) != 0)
		return;
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	(void)posix_spawnp(&pid, hull_program(m), NULL, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
}

static void restart_now(void *ctx)
{
	struct monitor *m = ctx;
	sigset_t none;
	sigemptyset(&none);
	give_up_name(m);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	thread_caps_raise_all();
	FAULT_HERE("monitor.restart");
	/* The lock goes with the exec, by close-on-exec. */
	execlp(hull_program(m), "hull", "internal", "restart", m->conf->id, (char *)NULL);
	m->state.status = RUN_EXITED;
	snprintf(m->state.error, sizeof(m->state.error), "cannot restart: %s: %s", hull_program(m), strerror(errno));
	lifecycle_save(m);
	m->loop.is_quitting = true;
}

/* The owner deletes the record; what the record stands for goes here, at the same
 * time as the owner removes the files below $HULL_ROOT. */
static void remove_run(struct monitor *m)
{
	char path[128];
	snprintf(path, sizeof(path), "workloads/%s", m->conf->id);
	if (m->isolation->destroy(&m->handle, NULL) < 0 || fd_remove_tree_at(m->run_dirfd, path) < 0)
		return; /* the owner sees that no REMOVED comes */
	client_tell_removed(m);
	/* With nobody left in it the network namespace goes, and its links with it:
	 * when the kernel comes to it, or when the last stranger who looks into it
	 * leaves. The address may be somebody else's before that. */
	for (size_t i = 0; i < m->conf->links.n; i++) {
		struct spec_interface link = { .host_name = m->conf->links.v[i] };
		(void)!net_detach(&link, 1, NULL);
	}
}

static void end_now(void *ctx)
{
	struct monitor *m = ctx;
	loop_timer_stop(&m->loop, &m->linger);
	client_close_all(m);
	m->loop.is_quitting = true;
}

/* Nothing more will happen to the workload here. */
static void finish(struct monitor *m)
{
	/* Whoever hears of the exit may start the workload anew at once: name and
	 * lock are free by then. */
	give_up_name(m);
	cleanup_fd(&m->lock_fd);
	FAULT_HERE("monitor.unlocked");
	client_tell_exit(m, (uint32_t)m->state.exit_code, m->state.oom_killed);
	FAULT_HERE("monitor.told_exit");
	m->is_finished = true;
	bool has_owner = m->had_owner;
	if (!has_owner)
		tell_engine(m);
	else if (m->conf->auto_remove)
		remove_run(m);
	if (!client_has_exit_due(m)) {
		end_now(m);
		return;
	}
	m->linger.fire = end_now;
	m->linger.ctx = m;
	if (!has_owner)
		loop_timer_set(&m->loop, &m->linger, LINGER_NS);
}

void lifecycle_owner_lost(struct monitor *m)
{
	if (!m->had_owner)
		return;
	m->had_owner = false;
	if (m->is_finished)
		tell_engine(m);
}

void lifecycle_output_drained(struct monitor *m)
{
	m->is_draining = false;
	log_sink_finish(&m->log);
	FAULT_HERE("monitor.drained");
	if (m->state.status != RUN_RESTARTING) {
		finish(m);
		return;
	}
	client_tell_exit(m, (uint32_t)m->state.exit_code, m->state.oom_killed | MON_EXIT_RESTARTING);
	m->had_owner = false;
	m->restart_timer.fire = restart_now;
	m->restart_timer.ctx = m;
	loop_timer_set(&m->loop, &m->restart_timer, m->state.restart_delay_ms * NS_PER_MS);
}

/* A client has left (or got its EXIT): is there still a reason to live? */
void lifecycle_client_gone(struct monitor *m)
{
	if (m->is_finished && !client_has_exit_due(m)) {
		end_now(m);
		return;
	}
	if (m->was_started)
		return;
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (m->client[i].source.fd >= 0)
			return;
	}
	/* Never started and nobody there who could: its hull died. */
	m->loop.is_quitting = true;
}
