/* SPDX-License-Identifier: Apache-2.0 */
/* What a hull-monitor has to know of its workload besides how to start it:
 * $HULL_RUN/workloads/<id>/monitor.conf, written by the engine before it spawns
 * the monitor (and before MON_RELOAD), read by the monitor.
 *
 * The file is "key=value" lines, \n and \\ escaped, lists as a repeated key, so
 * that the long-lived process needs no JSON parser. Unknown keys are ignored.
 * log_options.h turns Docker's --log-driver and --log-opt into the log fields. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "str.h"

enum log_driver {
	LOG_DRIVER_JSON_FILE,
	LOG_DRIVER_NONE,
	LOG_DRIVER_JOURNALD,
	LOG_DRIVER_SYSLOG,
	LOG_DRIVER_COUNT
};

enum syslog_format {
	SYSLOG_FORMAT_LOCAL, /* what libc's syslog() sends; for unix addresses */
	SYSLOG_FORMAT_RFC3164,
	SYSLOG_FORMAT_RFC5424,
	SYSLOG_FORMAT_RFC5424MICRO,
	SYSLOG_FORMAT_COUNT
};

enum restart_policy {
	RESTART_NO,
	RESTART_ALWAYS,
	RESTART_ON_FAILURE,
	RESTART_UNLESS_STOPPED,
	RESTART_POLICY_COUNT
};

enum health_action {
	HEALTH_ACTION_NONE,
	HEALTH_ACTION_KILL,
	HEALTH_ACTION_RESTART, /* stop, then start again after the back-off, whatever the restart policy */
	HEALTH_ACTION_STOP,
	HEALTH_ACTION_COUNT
};

struct monitor_conf {
	char *id;        /* 64 hex digits */
	char *name;      /* without the slash */
	char *image;     /* as the user named it */
	char *hull_path; /* the program for `hull internal ...`; NULL: "hull" beside us or in PATH */

	enum log_driver log_driver;
	uint64_t log_max_size_bytes; /* json-file: rotate at; 0: never */
	uint32_t log_max_file;       /* files kept, the current one counted; 0 counts as 1 */
	bool log_compress;           /* gzip rotated files */
	bool log_non_blocking;       /* a log that cannot keep up loses lines instead of holding the workload */
	char *log_tag;               /* expanded; NULL: none asked for */
	char *log_tag_default;       /* what drivers that need one use: the short id */
	struct strv log_attrs;       /* "key=value": the labels and variables that the options select */
	char *syslog_address;        /* "unix:///dev/log", "unixgram:///p", "udp://h:514", "tcp://h:514" */
	uint32_t syslog_facility;    /* 0..23 */
	enum syslog_format syslog_format;

	enum restart_policy restart;
	uint32_t restart_max_retries; /* on-failure:N; 0: no limit */

	struct strv health_test; /* argv; a shell's already wrapped; empty: no check */
	/* All durations are set: the engine fills in Docker's defaults
	 * (monitor_conf_new() does: 30s, 30s, 0, 5s, 3). */
	int64_t health_interval_ns, health_timeout_ns, health_start_period_ns, health_start_interval_ns;
	uint32_t health_retries;
	enum health_action health_on_failure;

	/* The host's ends of its interfaces. */
	struct strv links;

	uint32_t stop_signal;
	uint32_t stop_timeout_s; /* UINT32_MAX: wait for ever */
	uint32_t isolation; /* enum isolation_level */
	bool auto_remove;
	bool tty, open_stdin, stdin_once;
	char *names_server; /* the program hull-names; NULL: the workload has no sockets for names */
	char *proxy_program; /* hull-proxy */
	struct strv proxied; /* what it is for: lines of proxy_proto.h */
};

struct monitor_conf *monitor_conf_new(void); /* json-file 20 MiB x 5, SIGTERM, 10 s, Docker's health defaults */
void monitor_conf_free(struct monitor_conf *conf);
static inline void cleanup_monitor_conf(struct monitor_conf **conf)
{
	monitor_conf_free(*conf);
}
#define CLEANUP_MONITOR_CONF CLEANUP(cleanup_monitor_conf)

/* @dirfd is $HULL_RUN/workloads/<id>; the file is replaced whole. */
int monitor_conf_write(int dirfd, const struct monitor_conf *conf, struct err *err) MUST_CHECK;
int monitor_conf_read(int dirfd, struct monitor_conf **ret, struct err *err) MUST_CHECK;
/* The text form alone: what the two above store. parse(format(x)) == x. */
struct buf;
int monitor_conf_format(const struct monitor_conf *conf, struct buf *out) MUST_CHECK;
int monitor_conf_parse(char *text, struct monitor_conf **ret, struct err *err) MUST_CHECK; /* changes @text */

const char *log_driver_name(enum log_driver driver); /* "json-file", "none", "journald", "syslog" */
/* "no", "", "always", "unless-stopped", "on-failure", "on-failure:5". */
int restart_policy_parse(const char *text, enum restart_policy *ret, uint32_t *ret_max_retries, struct err *err) MUST_CHECK;
const char *restart_policy_name(enum restart_policy policy);
int health_action_parse(const char *text, enum health_action *ret, struct err *err) MUST_CHECK;
const char *health_action_name(enum health_action action);
