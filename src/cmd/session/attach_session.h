/* SPDX-License-Identifier: Apache-2.0 */
/* The user's side of run, start -a, attach and exec: relays a terminal, pipes or
 * files to a hull-monitor connection until the process ends or the user detaches.
 *
 *   run:    mon_send(ATTACH...), mon_send(START), attach_session_run(sock, ...)
 *   attach: mon_send(ATTACH...), attach_session_run(sock, ...)
 *   exec:   exec_io_open(), mon_send(EXEC, json, fds), exec_io_close_passed(),
 *           attach_session_run(sock, opts with .exec_io) */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"

/* Descriptors for EXEC: pipes of the caller go straight to the process,
 * terminals, files and sockets through a pipe that the session relays. */
struct exec_io {
	int passed[3];   /* for mon_send(); some may be the caller's own */
	int relay[3];    /* our ends; -1: passed straight */
	bool is_own[3];  /* passed[i] is a descriptor that exec_io_open() made */
};

struct attach_opts {
	/* What the user gave us; -1: not connected. */
	int stdin_fd, stdout_fd, stderr_fd;
	/* The process has a terminal: with a terminal on stdin_fd it is put into raw
	 * mode and its size is followed. */
	bool tty;
	/* Send signals that we get on to the process (not with a tty, where the
	 * terminal makes them). */
	bool sig_proxy;
	/* detach_keys.h. "ctrl-p,ctrl-q"; NULL: that; "": none. Looked for with a tty only. */
	const char *detach_keys;
	struct exec_io *exec_io; /* for exec; NULL otherwise */
	bool no_stdin;           /* never read stdin_fd */
	/* Called once with the pid when the process has run for @settle_ms, or when
	 * it is left running; not for one that ended before. (NULL: not wanted) */
	void (*on_started)(void *ctx, int pid);
	int settle_ms;
	void *ctx;
};

enum attach_end {
	ATTACH_EXITED,   /* exit_code is set */
	ATTACH_DETACHED, /* the user pressed the detach keys */
	ATTACH_LOST,     /* the monitor went away without an exit code */
};

struct attach_result {
	enum attach_end end;
	int exit_code;
	bool oom_killed;
	bool will_restart; /* the monitor starts it again: nothing to clean up */
	bool was_started;
	int64_t started_ns, ended_ns; /* wall clock, when it was told */
};

/* Refused, before anything is made: a terminal for the process that is to read
 * something else. */
int attach_check_terminal(bool tty, bool with_stdin, struct err *err) MUST_CHECK;

/* Blocks. @sock stays the caller's. Negative with @err: the monitor refused or a
 * relay failed; the terminal is restored in every case. */
int attach_session_run(int sock, const struct attach_opts *opts, struct attach_result *ret, struct err *err) MUST_CHECK;

/* With @tty there are no descriptors to pass but the three are still set (to -1).
 * Missing ones (-1) become /dev/null. */
int exec_io_open(const struct attach_opts *opts, struct exec_io *ret, struct err *err) MUST_CHECK;
void exec_io_close_passed(struct exec_io *io); /* after mon_send() */
void exec_io_done(struct exec_io *io);
