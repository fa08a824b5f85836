/* SPDX-License-Identifier: Apache-2.0 */
/* One poll() loop with at most five descriptors. Writing to the user blocks, as
 * it would for any program in a pipe; what is left of the user's input waits
 * while the other side takes no more. */
#include "attach_session.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "detach_keys.h"
#include "fd.h"
#include "monitor_proto.h"
#include "str.h"

#define INPUT_MAX 32768u
#define FLUSH_MS 200
#ifndef PIPEFS_MAGIC
#define PIPEFS_MAGIC 0x50495045
#endif

struct session {
	int sock;
	const struct attach_opts *opts;
	struct attach_result *result;
	int signal_fd;
	sigset_t old_mask;
	int deadly_signal;
	bool is_raw;
	struct termios saved;
	int pty;      /* of an exec with a terminal; -1 otherwise */
	int relay[3]; /* of an exec without */
	bool input_done, is_over;
	bool eof_due; /* STDIN_EOF did not fit in the socket yet */
	int64_t settled_at_ms; /* on_started is due; 0: has been called */
	int pid;
	struct detach_matcher keys;
	char input[INPUT_MAX];
	size_t input_len, input_off;
	char payload[MON_PAYLOAD_MAX];
};

static bool is_exec(const struct session *s)
{
	return s->opts->exec_io != NULL;
}

static int set_raw(struct session *s)
{
	struct termios raw;
	if (!s->opts->tty || s->opts->stdin_fd < 0 || tcgetattr(s->opts->stdin_fd, &s->saved) < 0)
		return 0;
	raw = s->saved;
	cfmakeraw(&raw);
	/* Not TCSAFLUSH: what the user typed ahead is for the process. */
	if (tcsetattr(s->opts->stdin_fd, TCSADRAIN, &raw) < 0)
		return -errno;
	s->is_raw = true;
	return 0;
}

static void restore(struct session *s)
{
	if (s->is_raw)
		(void)tcsetattr(s->opts->stdin_fd, TCSADRAIN, &s->saved);
	s->is_raw = false;
}

static void send_size(struct session *s)
{
	struct winsize size;
	int from = s->opts->stdout_fd >= 0 && isatty(s->opts->stdout_fd) ? s->opts->stdout_fd : s->opts->stdin_fd;
	if (!s->opts->tty || from < 0 || ioctl(from, TIOCGWINSZ, &size) < 0 || (!size.ws_row && !size.ws_col))
		return;
	if (s->pty >= 0)
		(void)ioctl(s->pty, TIOCSWINSZ, &size);
	else
		(void)!mon_send(s->sock, MON_RESIZE, size.ws_row, size.ws_col, NULL, 0, NULL, 0);
}

static int open_signals(struct session *s)
{
	static const int proxied[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT, SIGTSTP };
	sigset_t set;
	sigemptyset(&set);
	if (s->opts->tty)
		sigaddset(&set, SIGWINCH);
	for (size_t i = 0; i < ARRAY_LEN(proxied) && s->opts->sig_proxy && !s->opts->tty; i++)
		sigaddset(&set, proxied[i]);
	/* A raw terminal sends no SIGINT; from elsewhere they still have to
	 * restore the terminal first. */
	if (s->opts->tty) {
		sigaddset(&set, SIGTERM);
		sigaddset(&set, SIGHUP);
		sigaddset(&set, SIGINT);
	}
	if (sigprocmask(SIG_BLOCK, &set, &s->old_mask) < 0)
		return -errno;
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signal_fd < 0 ? -errno : 0;
}

static void take_signal(struct session *s)
{
	struct signalfd_siginfo info;
	while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGWINCH)
			send_size(s);
		else if (s->opts->sig_proxy && !s->opts->tty)
			(void)!mon_send(s->sock, MON_SIGNAL, info.ssi_signo, MON_SIGNAL_BY_USER, NULL, 0, NULL, 0);
		else {
			/* Ours, not the process's: it ends hull, after the terminal is restored. */
			s->result->end = ATTACH_DETACHED;
			s->is_over = true;
			s->deadly_signal = (int)info.ssi_signo;
		}
	}
}

/* The user has gone (a closed pipe) or the disk is full: the process runs on,
 * there is just nobody to show its output to. */
static void show(int fd, const char *data, size_t len)
{
	if (fd < 0)
		return;
	while (len) {
		ssize_t n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			struct pollfd p = { .fd = fd, .events = POLLOUT };
			(void)poll(&p, 1, -1);
			continue;
		}
		if (n < 0)
			return;
		data += n;
		len -= (size_t)n;
	}
}

static int take_message(struct session *s, struct err *err)
{
	struct mon_msg msg;
	int fds[3];
	size_t fds_n = 0;
	int r = mon_recv(s->sock, &msg, s->payload, fds, ARRAY_LEN(fds), &fds_n);
	if (r <= 0) {
		s->result->end = ATTACH_LOST;
		s->is_over = true;
		return 0;
	}
	for (size_t i = (msg.type == MON_STARTED && s->pty < 0) ? 1 : 0; i < fds_n; i++)
		close(fds[i]);
	switch (msg.type) {
	case MON_STARTED:
		if (fds_n && s->pty < 0)
			s->pty = fds[0];
		s->result->was_started = true;
		send_size(s);
		s->result->started_ns = clock_wall_ns();
		s->pid = (int)msg.arg;
		s->settled_at_ms = s->opts->on_started ? clock_mono_ms() + s->opts->settle_ms : 0;
		return 0;
	case MON_STDOUT:
		show(s->opts->stdout_fd, s->payload, msg.len);
		return 0;
	case MON_STDERR:
		show(s->opts->stderr_fd, s->payload, msg.len);
		return 0;
	case MON_EXIT:
		s->result->end = ATTACH_EXITED;
		s->result->ended_ns = clock_wall_ns();
		s->result->exit_code = (int)msg.arg;
		s->result->oom_killed = msg.arg2 & MON_EXIT_OOM;
		s->result->will_restart = msg.arg2 & MON_EXIT_RESTARTING;
		s->is_over = true;
		return 0;
	case MON_ERROR:
		/* Answers to proxied signals may come late and mean nothing. */
		if (s->result->was_started || msg.len != sizeof(*err))
			return 0;
		memcpy(err, s->payload, sizeof(*err));
		err->msg[sizeof(err->msg) - 1] = err->why[sizeof(err->why) - 1] = err->hint[sizeof(err->hint) - 1] = '\0';
		return err->errnum < 0 ? err->errnum : -EIO;
	default:
		return 0;
	}
}

/* ---- input ---- */

static int input_target(const struct session *s)
{
	return s->pty >= 0 ? s->pty : s->relay[0];
}

static void end_input(struct session *s)
{
	s->input_done = true;
	if (is_exec(s))
		cleanup_fd(&s->relay[0]);
	else
		s->eof_due = mon_send(s->sock, MON_STDIN_EOF, 0, 0, NULL, 0, NULL, 0) == -EAGAIN;
}

static void write_input(struct session *s);

/* What was typed before the detach keys still goes where it should; a process
 * that does not read is not waited for. */
static void flush_input(struct session *s)
{
	int64_t until_ms = clock_mono_ms() + FLUSH_MS;
	while (s->input_len && !s->input_done && clock_mono_ms() < until_ms) {
		struct pollfd p = { .fd = is_exec(s) ? input_target(s) : s->sock, .events = POLLOUT };
		if (poll(&p, 1, FLUSH_MS) <= 0)
			return;
		write_input(s);
	}
}

static bool wants_input(const struct session *s)
{
	if (s->opts->no_stdin || s->input_done || s->opts->stdin_fd < 0 || s->input_len)
		return false;
	return is_exec(s) ? input_target(s) >= 0 : true;
}

static void read_input(struct session *s)
{
	char raw[INPUT_MAX / 2];
	ssize_t n = read(s->opts->stdin_fd, raw, sizeof(raw));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		end_input(s);
		return;
	}
	s->input_off = 0;
	bool detach = false;
	s->input_len = detach_keys_feed(&s->keys, raw, (size_t)n, s->input, sizeof(s->input), &detach);
	if (detach) {
		flush_input(s);
		s->result->end = ATTACH_DETACHED;
		s->is_over = true;
	}
}

/* Pass on what was read; false while the other side takes nothing. */
static void write_input(struct session *s)
{
	ssize_t n = (ssize_t)(s->input_len - s->input_off);
	if (is_exec(s)) {
		n = write(input_target(s), s->input + s->input_off, (size_t)n);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			s->input_len = 0;
			end_input(s);
			return;
		}
	} else {
		int r = mon_send(s->sock, MON_STDIN, 0, 0, s->input + s->input_off, (size_t)n, NULL, 0);
		if (r == -EAGAIN)
			return;
		if (r < 0) {
			/* The monitor is going; its EXIT is in the queue. */
			s->input_len = 0;
			s->input_done = true;
			return;
		}
	}
	s->input_off += (size_t)n;
	if (s->input_off >= s->input_len)
		s->input_len = 0;
}

/* ---- output of an exec ---- */

/* Returns false at its end. */
static bool relay_output(struct session *s, int *from, int to)
{
	ssize_t n = read(*from, s->payload, sizeof(s->payload));
	if (n > 0) {
		show(to, s->payload, (size_t)n);
		return true;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return errno == EINTR;
	cleanup_fd(from);
	return false;
}

/* What the process wrote before it ended is in the pipes; what its children
 * write later is not waited for. */
static void relay_rest(struct session *s)
{
	while (s->pty >= 0 && relay_output(s, &s->pty, s->opts->stdout_fd))
		continue;
	while (s->relay[1] >= 0 && relay_output(s, &s->relay[1], s->opts->stdout_fd))
		continue;
	while (s->relay[2] >= 0 && relay_output(s, &s->relay[2], s->opts->stderr_fd))
		continue;
}

/* Milliseconds until on_started is due; -1: it is not. Calls it when it is time. */
static int settle(struct session *s)
{
	if (!s->settled_at_ms)
		return -1;
	int64_t left = s->settled_at_ms - clock_mono_ms();
	if (left > 0)
		return (int)left;
	s->settled_at_ms = 0;
	s->opts->on_started(s->opts->ctx, s->pid);
	return -1;
}

enum { P_SOCK, P_SIGNAL, P_STDIN, P_TARGET, P_OUT, P_ERR, P_COUNT };

static int turn(struct session *s, struct err *err)
{
	bool waits = s->input_len != 0 || s->eof_due;
	struct pollfd p[P_COUNT];
	for (int i = 0; i < P_COUNT; i++)
		p[i] = (struct pollfd){ .fd = -1 };
	p[P_SOCK] = (struct pollfd){ .fd = s->sock, .events = (short)(POLLIN | (waits && !is_exec(s) ? POLLOUT : 0)) };
	p[P_SIGNAL] = (struct pollfd){ .fd = s->signal_fd, .events = POLLIN };
	if (wants_input(s))
		p[P_STDIN] = (struct pollfd){ .fd = s->opts->stdin_fd, .events = POLLIN };
	if (waits && is_exec(s))
		p[P_TARGET] = (struct pollfd){ .fd = input_target(s), .events = POLLOUT };
	p[P_OUT] = (struct pollfd){ .fd = s->pty >= 0 ? s->pty : s->relay[1], .events = POLLIN };
	p[P_ERR] = (struct pollfd){ .fd = s->relay[2], .events = POLLIN };
	if (poll(p, P_COUNT, settle(s)) < 0)
		return errno == EINTR ? 0 : err_set(err, ERR_SYSTEM, -errno, "wait for the session");

	if (p[P_SIGNAL].revents)
		take_signal(s);
	/* Output first: what comes before the EXIT must be shown before it. */
	if (p[P_OUT].revents)
		(void)relay_output(s, s->pty >= 0 ? &s->pty : &s->relay[1], s->opts->stdout_fd);
	if (p[P_ERR].revents)
		(void)relay_output(s, &s->relay[2], s->opts->stderr_fd);
	if (p[P_STDIN].revents && !s->is_over)
		read_input(s);
	if (s->eof_due && p[P_SOCK].revents & POLLOUT)
		end_input(s);
	if (s->input_len && !s->is_over && ((p[P_SOCK].revents & POLLOUT) || p[P_TARGET].revents || p[P_STDIN].revents))
		write_input(s);
	if (p[P_SOCK].revents & (POLLIN | POLLHUP | POLLERR) && !s->is_over)
		return take_message(s, err);
	return 0;
}

int attach_session_run(int sock, const struct attach_opts *opts, struct attach_result *ret, struct err *err)
{
	/* 100 KiB, too much for a stack that may be small. */
	CLEANUP_FREE struct session *s = mem_calloc(1, sizeof(*s));
	*ret = (struct attach_result){ .end = ATTACH_LOST };
	s->sock = sock;
	s->opts = opts;
	s->result = ret;
	s->signal_fd = s->pty = -1;
	for (int i = 0; i < 3; i++) {
		s->relay[i] = opts->exec_io ? TAKE_FD(opts->exec_io->relay[i]) : -1;
		if (s->relay[i] >= 0)
			(void)!fd_set_nonblock(s->relay[i], true);
	}
	int r = 0;
	if (opts->tty)
		r = detach_keys_parse(opts->detach_keys ? opts->detach_keys : "ctrl-p,ctrl-q", s->keys.keys, &s->keys.n, err);
	/* A user who closes our output must not kill us before the exit code. */
	void (*old_pipe)(int) = signal(SIGPIPE, SIG_IGN);
	if (r == 0 && (open_signals(s) < 0 || set_raw(s) < 0))
		r = err_set(err, ERR_SYSTEM, 0, "set up the terminal");
	int flags = fcntl(sock, F_GETFL);
	if (flags >= 0)
		(void)fcntl(sock, F_SETFL, flags | O_NONBLOCK);
	if (r == 0)
		send_size(s);
	while (r == 0 && !s->is_over) {
		r = turn(s, err);
		if (r == -EAGAIN)
			r = 0;
	}
	if (s->settled_at_ms && ret->end == ATTACH_DETACHED)
		opts->on_started(opts->ctx, s->pid);
	if (r == 0 && ret->end == ATTACH_EXITED)
		relay_rest(s);
	restore(s);
	if (flags >= 0)
		(void)fcntl(sock, F_SETFL, flags);
	cleanup_fd(&s->signal_fd);
	cleanup_fd(&s->pty);
	for (int i = 0; i < 3; i++)
		cleanup_fd(&s->relay[i]);
	(void)sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
	signal(SIGPIPE, old_pipe);
	if (s->deadly_signal)
		(void)raise(s->deadly_signal);
	return r;
}

int attach_check_terminal(bool tty, bool with_stdin, struct err *err)
{
	if (!tty || !with_stdin || isatty(STDIN_FILENO))
		return 0;
	int r = err_set(err, ERR_INVALID, 0, "the input device is not a TTY");
	err_hint(err, "leave -t out: the input is a pipe or a file");
	return r;
}

/* ---- descriptors of an exec ---- */

/* Anonymous pipes alone: a file of the host has an owner and a mode that the
 * process would meet when it opens /dev/stdout, and is no business of its. */
static bool can_pass(int fd)
{
	struct statfs fs;
	return fstatfs(fd, &fs) == 0 && fs.f_type == PIPEFS_MAGIC;
}

int exec_io_open(const struct attach_opts *opts, struct exec_io *ret, struct err *err)
{
	const int given[3] = { opts->no_stdin ? -1 : opts->stdin_fd, opts->stdout_fd, opts->stderr_fd };
	struct exec_io io = { { -1, -1, -1 }, { -1, -1, -1 }, { false } };
	for (int i = 0; i < 3 && !opts->tty; i++) {
		int p[2];
		if (given[i] < 0) {
			io.passed[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
			io.is_own[i] = true;
			if (io.passed[i] < 0)
				break;
		} else if (can_pass(given[i])) {
			io.passed[i] = given[i];
		} else if (pipe2(p, O_CLOEXEC) == 0) {
			io.passed[i] = p[i == 0 ? 0 : 1];
			io.relay[i] = p[i == 0 ? 1 : 0];
			io.is_own[i] = true;
		} else {
			break;
		}
	}
	if (!opts->tty && (io.passed[0] < 0 || io.passed[1] < 0 || io.passed[2] < 0)) {
		int r = err_set(err, ERR_SYSTEM, -errno, "make the process's streams");
		exec_io_done(&io);
		return r;
	}
	*ret = io;
	return 0;
}

void exec_io_close_passed(struct exec_io *io)
{
	for (int i = 0; i < 3; i++) {
		if (io->is_own[i])
			cleanup_fd(&io->passed[i]);
		io->is_own[i] = false;
		io->passed[i] = -1;
	}
}

void exec_io_done(struct exec_io *io)
{
	exec_io_close_passed(io);
	for (int i = 0; i < 3; i++)
		cleanup_fd(&io->relay[i]);
}
