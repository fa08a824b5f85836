/* SPDX-License-Identifier: Apache-2.0 */
/* A line of Docker's json-file log, as hull-monitor and dockerd write it:
 * {"log":"text\n","stream":"stdout","attrs":{"k":"v"},"time":"..."}. Keys may
 * come in any order, unknown ones are passed over. The text may hold any byte,
 * NUL too, which is why the general JSON reader does not do. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"

struct json_log_line {
	int stream; /* 1 or 2 */
	int64_t wall_ns;
	struct buf text;
	struct buf attrs; /* "k=v,k2=v2" in the order of the line; empty: none */
};
#define JSON_LOG_LINE_MAX (1u << 20)
#define JSON_LOG_LINE_INIT { .text = BUF_INIT(JSON_LOG_LINE_MAX), .attrs = BUF_INIT(JSON_LOG_LINE_MAX) }

/* Parse @len bytes (with or without the line feed) into @line, whose buffers are
 * used again. -EINVAL for what is no such line (a torn one). */
int json_log_parse(const char *text, size_t len, struct json_log_line *line) MUST_CHECK;
void json_log_line_done(struct json_log_line *line);
#define CLEANUP_JSON_LOG_LINE CLEANUP(json_log_line_done)
