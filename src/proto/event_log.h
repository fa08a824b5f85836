/* SPDX-License-Identifier: Apache-2.0 */
/* $HULL_RUN/events: what happens to workloads while no engine is there to put it
 * into the database. Monitors append; whichever hull process comes next drains
 * the file into the database.
 *
 * One line an event: nanoseconds since the epoch, type, action, id, then
 * "key=value" attributes, separated by tabs; \t \n \\ are escaped. Monitors write
 *   container  health_status: healthy|unhealthy|starting   (no attributes)
 *   container  oom
 *   container  exec_die   execID=..., exitCode=...   (when EXEC carried an exec id)
 *   container  log_lost   reason=... (at the first line that could not be kept)
 * The engine adds image, name and labels from its own records. start, die, stop
 * and kill are the engine's to record. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define EVENT_ATTRS_MAX 16

struct event {
	int64_t wall_ns;
	const char *type, *action, *id;
	const char *attrs[EVENT_ATTRS_MAX]; /* "key=value" */
	size_t attrs_n;
};

/* @run_dirfd is $HULL_RUN. Waits at most 100 ms for a process that drains. */
int event_log_append(int run_dirfd, const struct event *event) MUST_CHECK;
/* Hand every event to @each, oldest first, then empty the file. When @each
 * returns negative, draining stops with that value and nothing is removed: the
 * same events come again next time. Call it inside one database transaction,
 * and commit in @done (NULL: none), which runs before the file is emptied. */
int event_log_drain(int run_dirfd, int (*each)(const struct event *event, void *ctx), int (*done)(void *ctx),
		    void *ctx) MUST_CHECK;
/* One line, changed in place; -EBADMSG when malformed. */
int event_log_parse_line(char *line, struct event *ret) MUST_CHECK;
