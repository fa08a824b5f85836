/* SPDX-License-Identifier: Apache-2.0 */
/* What can be done to a container. Every function takes names as users give
 * them, and its errors have Docker's words without "Error response from
 * daemon: ". Nothing here prints, relays or reads a terminal. */
#pragma once

#include "state.h"

/* Create from @config (name NULL: made up). The image must be there; else
 * ERR_NOT_FOUND "No such image: x:latest". @start also marks it as about to be
 * started by this process, in the same transaction: follow with
 * containers_launch(). Warnings are appended to @warnings. */
int containers_create(struct engine *engine, const struct container_config *config, const char *name, bool start,
		     struct container **ret, struct strv *warnings, struct err *err) MUST_CHECK;

/* Prepare everything and spawn the monitor of a created or exited container.
 * *ret_sock (the caller's) is the conversation with it: the caller sends ATTACH
 * if it wants to, then START, and runs attach_session or containers_await_start(). */
int containers_launch(struct engine *engine, struct container *c, int *ret_sock, struct err *err) MUST_CHECK;
/* Send START, wait for STARTED; on ERROR clean up, record it, and return it. */
int containers_await_start(struct engine *engine, struct container *c, int sock, struct err *err) MUST_CHECK;
/* Record that it runs (event "start"); for callers with a session of their own. */
int containers_started(struct engine *engine, struct container *c, struct err *err) MUST_CHECK;
/* It could not be started, for @why: record, release, --rm. */
void containers_start_failed(struct engine *engine, struct container *c, const struct err *why);
/* Detached start of a container by name; fine when it runs already. */
int containers_start(struct engine *engine, const char *name, struct err *err) MUST_CHECK;
/* Docker's exit code of a failed start: 127, 126 or 125. */
int containers_start_exit_code(const struct err *why);

/* It has ended: record (event "die"), release what it held, --rm. Any number of
 * times, by any process. */
int containers_finish(struct engine *engine, const char *id, struct err *err) MUST_CHECK;
/* The end of a run that the caller was the OWNER of: what its conversation told.
 * Its record and --rm cost one transaction, where containers_finish() takes two,
 * and the monitor does a part of the removal at the same time. */
struct run_end {
	int sock; /* the conversation; read to its end */
	int64_t started_ns, finished_ns;
	bool is_start_recorded; /* by containers_started() */
	int exit_code;
	bool oom_killed;
};
/* Get ready for it, while there is time. */
void containers_expect_end(struct engine *engine, const struct container *c);
int containers_ended(struct engine *engine, struct container *c, const struct run_end *end, struct err *err) MUST_CHECK;
/* Remove everything that is named after @id, whatever state it is in, and its
 * row. Idempotent. */
int containers_undo(struct engine *engine, const char *id, struct err *err) MUST_CHECK;

/* @timeout_s and @signo: MON_DEFAULT for the container's own; blocks until it is
 * gone. Fine when it does not run. */
int containers_stop(struct engine *engine, const char *name, uint32_t timeout_s, uint32_t signo, struct err *err) MUST_CHECK;
int containers_restart(struct engine *engine, const char *name, uint32_t timeout_s, uint32_t signo, struct err *err) MUST_CHECK;
int containers_kill(struct engine *engine, const char *name, int signo, struct err *err) MUST_CHECK;
int containers_pause(struct engine *engine, const char *name, struct err *err) MUST_CHECK;
int containers_unpause(struct engine *engine, const char *name, struct err *err) MUST_CHECK;
int containers_rename(struct engine *engine, const char *name, const char *to, struct err *err) MUST_CHECK;
/* ERR_NOT_FOUND for a missing one also with @force. */
int containers_remove(struct engine *engine, const char *name, bool force, bool volumes, struct err *err) MUST_CHECK;

enum wait_condition { WAIT_NOT_RUNNING, WAIT_NEXT_EXIT, WAIT_REMOVED };
int containers_wait(struct engine *engine, const char *name, enum wait_condition condition, int *ret_code, struct err *err) MUST_CHECK;

/* A connection to the monitor of a running container; ERR_CONFLICT "container
 * X is not running". */
int containers_connect(struct engine *engine, const struct container *c, int *ret_sock, struct err *err) MUST_CHECK;

/* The process of an exec for MON_EXEC: what is not said comes from the container. */
struct exec_request {
	struct strv args, env;
	const char *user, *workdir; /* NULL: the container's */
	bool tty, privileged;
	uint16_t rows, cols;
};
int containers_exec_json(struct engine *engine, struct container *c, const struct exec_request *request, struct buf *out,
			struct err *err) MUST_CHECK;

/* ---- looking ---- */
/* "Up 3 minutes (healthy)", "Exited (0) 2 days ago", "Created". Allocated. */
char *containers_status_text(const struct container *c, int64_t now_ns);
/* One object of `inspect` (@size adds SizeRw, SizeRootFs). */
int containers_inspect(struct engine *engine, struct container *c, bool size, struct json_writer *w, struct err *err) MUST_CHECK;
/* Host pids of its processes (caller frees). */
int containers_pids(struct container *c, pid_t **ret, size_t *ret_n, struct err *err) MUST_CHECK;

struct container_filter {
	struct strv pairs; /* "key=value" as given with --filter */
	bool all;          /* stopped ones too */
	int64_t last;      /* -n; 0: no limit */
};
int containers_list(struct engine *engine, const struct container_filter *filter, struct container ***ret, size_t *ret_n,
		   struct err *err) MUST_CHECK;
