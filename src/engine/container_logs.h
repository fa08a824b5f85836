/* SPDX-License-Identifier: Apache-2.0 */
/* Reading back what a container has written: the json-file log with its rotated
 * files, oldest first, and what is added while one looks. */
#pragma once

#include "json_log.h"
#include "state.h"

struct log_query {
	int64_t since_ns, until_ns; /* 0: no limit */
	int64_t tail;               /* the last lines only; -1: all */
	bool follow;                /* until the container ends, for good */
};

/* What each() returns but 0 ends the reading and is returned. */
typedef int log_line_fn(void *ctx, const struct json_log_line *line);

/* ERR_UNSUPPORTED in Docker's words for a log driver that cannot be read. Lines
 * that are torn (by a full disk, a power cut) are passed over. Blocks while it
 * follows. */
int containers_logs(struct engine *engine, struct container *c, const struct log_query *query, log_line_fn *each, void *ctx,
		    struct err *err) MUST_CHECK;
