/* SPDX-License-Identifier: Apache-2.0 */
/* Where a workload's output is kept: splits it into lines and hands them to one
 * log driver. Nothing is allocated; a driver's buffers are static.
 *
 * A line is at most LOG_LINE_MAX bytes, as Docker cuts them: longer ones arrive
 * in parts without a newline, cut between UTF-8 characters. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event_loop.h"
#include "monitor_conf.h"

#define LOG_LINE_MAX 16384u

struct log_line {
	int stream; /* 1 stdout, 2 stderr */
	const char *text; /* with its newline, if it has one */
	size_t len;
	bool is_partial; /* more of the same line follows */
	int64_t wall_ns;
};

struct log_driver_ops {
	/* 0, or a negative errno that makes the start fail. */
	int (*open)(const struct monitor_conf *conf, int state_dirfd, struct err *err);
	/* 0; -EAGAIN: hand it in again later; else the line is lost for that reason. */
	int (*write)(const struct log_line *line);
	/* The end of a batch. Returns the lines lost since, and why in *ret_why. */
	uint64_t (*flush)(int *ret_why);
	/* Give back the memory that a burst touched; may be NULL. */
	void (*trim)(void);
};
extern const struct log_driver_ops log_json_file_ops, log_journald_ops, log_syslog_ops;

struct log_sink {
	const struct log_driver_ops *ops; /* NULL: none */
	const struct monitor_conf *conf;
	size_t carry_len[3];
	/* Lost and not told yet, and ever. */
	uint64_t lost, lost_total;
	int lost_why;
};

int log_sink_open(struct log_sink *sink, const struct monitor_conf *conf, int state_dirfd, struct err *err) MUST_CHECK;
/* Returns how many bytes were taken; fewer than @len: the driver cannot take
 * more now, come again with the rest. */
size_t log_sink_feed(struct log_sink *sink, int stream, const char *data, size_t len) MUST_CHECK;
/* The workload is gone: write unfinished lines too. */
void log_sink_finish(struct log_sink *sink);
