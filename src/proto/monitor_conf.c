/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor_conf.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "fd.h"

#define CONF_FILE "monitor.conf"
#define CONF_MAX_BYTES (4u << 20)
#define NS 1000000000LL

enum field_kind { FIELD_STR, FIELD_STRV, FIELD_BOOL, FIELD_U32, FIELD_U64, FIELD_I64, FIELD_ENUM };

struct field {
	const char *key;
	enum field_kind kind;
	size_t offset;
	uint32_t count; /* of an enum */
};

#define F(name, kind) { #name, kind, offsetof(struct monitor_conf, name), 0 }
#define FE(name, count) { #name, FIELD_ENUM, offsetof(struct monitor_conf, name), count }
static const struct field fields[] = {
	F(id, FIELD_STR),
	F(name, FIELD_STR),
	F(image, FIELD_STR),
	F(hull_path, FIELD_STR),
	FE(log_driver, LOG_DRIVER_COUNT),
	F(log_max_size_bytes, FIELD_U64),
	F(log_max_file, FIELD_U32),
	F(log_compress, FIELD_BOOL),
	F(log_non_blocking, FIELD_BOOL),
	F(log_tag, FIELD_STR),
	F(log_tag_default, FIELD_STR),
	F(log_attrs, FIELD_STRV),
	F(syslog_address, FIELD_STR),
	F(syslog_facility, FIELD_U32),
	FE(syslog_format, SYSLOG_FORMAT_COUNT),
	FE(restart, RESTART_POLICY_COUNT),
	F(restart_max_retries, FIELD_U32),
	F(health_test, FIELD_STRV),
	F(links, FIELD_STRV),
	F(health_interval_ns, FIELD_I64),
	F(health_timeout_ns, FIELD_I64),
	F(health_start_period_ns, FIELD_I64),
	F(health_start_interval_ns, FIELD_I64),
	F(health_retries, FIELD_U32),
	FE(health_on_failure, HEALTH_ACTION_COUNT),
	F(stop_signal, FIELD_U32),
	F(stop_timeout_s, FIELD_U32),
	F(isolation, FIELD_U32),
	F(auto_remove, FIELD_BOOL),
	F(tty, FIELD_BOOL),
	F(open_stdin, FIELD_BOOL),
	F(stdin_once, FIELD_BOOL),
	F(names_server, FIELD_STR),
	F(proxy_program, FIELD_STR),
	F(proxied, FIELD_STRV),
};
static_assert(sizeof(enum log_driver) == sizeof(uint32_t), "enums are written as uint32_t");

struct monitor_conf *monitor_conf_new(void)
{
	struct monitor_conf *conf = calloc(1, sizeof(*conf));
	if (!conf)
		abort();
	conf->log_max_size_bytes = 20u << 20;
	conf->log_max_file = 5;
	conf->syslog_facility = 3; /* daemon, as Docker */
	conf->health_interval_ns = 30 * NS;
	conf->health_timeout_ns = 30 * NS;
	conf->health_start_interval_ns = 5 * NS;
	conf->health_retries = 3;
	conf->stop_signal = SIGTERM;
	conf->stop_timeout_s = 10;
	return conf;
}

void monitor_conf_free(struct monitor_conf *conf)
{
	if (!conf)
		return;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		void *at = (char *)conf + fields[i].offset;
		if (fields[i].kind == FIELD_STR)
			free(*(char **)at);
		else if (fields[i].kind == FIELD_STRV)
			strv_free(at);
	}
	free(conf);
}

static int append_pair(struct buf *out, const char *key, const char *value)
{
	int r = buf_append_str(out, key);
	if (r == 0)
		r = buf_append_char(out, '=');
	for (; r == 0 && *value; value++) {
		if (*value == '\n')
			r = buf_append(out, "\\n", 2);
		else if (*value == '\\')
			r = buf_append(out, "\\\\", 2);
		else
			r = buf_append_char(out, *value);
	}
	return r < 0 ? r : buf_append_char(out, '\n');
}

int monitor_conf_format(const struct monitor_conf *conf, struct buf *out)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(fields); i++) {
		const struct field *f = &fields[i];
		const void *at = (const char *)conf + f->offset;
		switch (f->kind) {
		case FIELD_STR:
			if (*(char *const *)at)
				r = append_pair(out, f->key, *(char *const *)at);
			break;
		case FIELD_STRV: {
			const struct strv *list = at;
			for (size_t k = 0; r == 0 && k < list->n; k++)
				r = append_pair(out, f->key, list->v[k]);
			break;
		}
		case FIELD_BOOL:
			r = buf_printf(out, "%s=%d\n", f->key, *(const bool *)at);
			break;
		case FIELD_U32:
		case FIELD_ENUM:
			r = buf_printf(out, "%s=%u\n", f->key, *(const uint32_t *)at);
			break;
		case FIELD_U64:
			r = buf_printf(out, "%s=%llu\n", f->key, (unsigned long long)*(const uint64_t *)at);
			break;
		case FIELD_I64:
			r = buf_printf(out, "%s=%lld\n", f->key, (long long)*(const int64_t *)at);
			break;
		}
	}
	return r;
}

/* In place; a lone backslash at the end stays one. */
static void unescape(char *s)
{
	char *to = s;
	for (; *s; s++) {
		if (*s == '\\' && s[1])
			*to++ = *++s == 'n' ? '\n' : *s;
		else
			*to++ = *s;
	}
	*to = '\0';
}

static int set_field(struct monitor_conf *conf, const struct field *f, const char *value)
{
	void *at = (char *)conf + f->offset;
	uint64_t u = 0;
	int64_t i = 0;
	int r = 0;
	switch (f->kind) {
	case FIELD_STR:
		free(*(char **)at);
		*(char **)at = str_dup(value);
		return 0;
	case FIELD_STRV:
		strv_add(at, value);
		return 0;
	case FIELD_I64:
		r = str_parse_i64(value, &i);
		if (r == 0)
			*(int64_t *)at = i;
		return r;
	case FIELD_BOOL:
		r = str_parse_u64_max(value, 1, &u);
		if (r == 0)
			*(bool *)at = u;
		return r;
	case FIELD_U32:
	case FIELD_ENUM:
		r = str_parse_u64_max(value, f->kind == FIELD_ENUM ? f->count - 1 : UINT32_MAX, &u);
		if (r == 0)
			*(uint32_t *)at = (uint32_t)u;
		return r;
	case FIELD_U64:
		r = str_parse_u64(value, &u);
		if (r == 0)
			*(uint64_t *)at = u;
		return r;
	}
	return -EINVAL;
}

int monitor_conf_parse(char *text, struct monitor_conf **ret, struct err *err)
{
	CLEANUP_MONITOR_CONF struct monitor_conf *conf = monitor_conf_new();
	size_t next_field = 0;
	for (char *line = text, *next; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		char *value = strchr(line, '=');
		if (!value)
			return err_set(err, ERR_INVALID, 0, "%s: a line without \"=\"", CONF_FILE);
		*value++ = '\0';
		unescape(value);
		/* The writer keeps the table's order, so the next key is near. */
		for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
			const struct field *f = &fields[(next_field + i) % ARRAY_LEN(fields)];
			if (strcmp(f->key, line) != 0)
				continue;
			if (set_field(conf, f, value) < 0)
				return err_set(err, ERR_INVALID, 0, "%s: bad value for %s", CONF_FILE, line);
			next_field = (size_t)(f - fields);
			break;
		}
	}
	if (!conf->id)
		return err_set(err, ERR_INVALID, 0, "%s: no id", CONF_FILE);
	*ret = TAKE_PTR(conf);
	return 0;
}

int monitor_conf_write(int dirfd, const struct monitor_conf *conf, struct err *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(CONF_MAX_BYTES);
	int r = monitor_conf_format(conf, &out);
	if (r == 0)
		r = fd_replace_file_at(dirfd, CONF_FILE, out.data, out.len, 0600, false);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "write %s", CONF_FILE) : 0;
}

int monitor_conf_read(int dirfd, struct monitor_conf **ret, struct err *err)
{
	CLEANUP_BUF struct buf in = BUF_INIT(CONF_MAX_BYTES);
	int r = fd_read_file_at(dirfd, CONF_FILE, &in);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "read %s", CONF_FILE);
	if (in.len == 0 || memchr(in.data, '\0', in.len))
		return err_set(err, ERR_INVALID, 0, "%s is damaged", CONF_FILE);
	return monitor_conf_parse(in.data, ret, err);
}

const char *log_driver_name(enum log_driver driver)
{
	static const char *const names[] = {
		[LOG_DRIVER_JSON_FILE] = "json-file",
		[LOG_DRIVER_NONE] = "none",
		[LOG_DRIVER_JOURNALD] = "journald",
		[LOG_DRIVER_SYSLOG] = "syslog",
	};
	static_assert(ARRAY_LEN(names) == LOG_DRIVER_COUNT, "a name for each driver");
	return names[driver];
}

static const char *const restart_names[] = {
	[RESTART_NO] = "no",
	[RESTART_ALWAYS] = "always",
	[RESTART_ON_FAILURE] = "on-failure",
	[RESTART_UNLESS_STOPPED] = "unless-stopped",
};
static_assert(ARRAY_LEN(restart_names) == RESTART_POLICY_COUNT, "a name for each policy");

const char *restart_policy_name(enum restart_policy policy)
{
	return restart_names[policy];
}

int restart_policy_parse(const char *text, enum restart_policy *ret, uint32_t *ret_max_retries, struct err *err)
{
	const char *colon = strchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : strlen(text);
	enum restart_policy policy = RESTART_NO;
	uint64_t retries = 0;
	if (len) {
		while (policy < RESTART_POLICY_COUNT &&
		       (strlen(restart_names[policy]) != len || memcmp(restart_names[policy], text, len) != 0))
			policy++;
		if (policy == RESTART_POLICY_COUNT)
			return err_set(err, ERR_INVALID, 0, "invalid restart policy: unknown policy '%.*s'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'", (int)len, text);
	}
	if (colon) {
		if (policy != RESTART_ON_FAILURE)
			return err_set(err, ERR_INVALID, 0, "invalid restart policy: maximum retry count can only be used with 'on-failure'");
		if (str_parse_u64_max(colon + 1, UINT32_MAX, &retries) < 0)
			return err_set(err, ERR_INVALID, 0, "maximum retry count must be an integer");
	}
	*ret = policy;
	*ret_max_retries = (uint32_t)retries;
	return 0;
}

static const char *const action_names[] = {
	[HEALTH_ACTION_NONE] = "none",
	[HEALTH_ACTION_KILL] = "kill",
	[HEALTH_ACTION_RESTART] = "restart",
	[HEALTH_ACTION_STOP] = "stop",
};
static_assert(ARRAY_LEN(action_names) == HEALTH_ACTION_COUNT, "a name for each action");

const char *health_action_name(enum health_action action)
{
	return action_names[action];
}

int health_action_parse(const char *text, enum health_action *ret, struct err *err)
{
	for (enum health_action i = 0; i < HEALTH_ACTION_COUNT; i++) {
		if (str_eq(text, action_names[i])) {
			*ret = i;
			return 0;
		}
	}
	return err_set(err, ERR_INVALID, 0, "invalid health check action \"%s\"; use none, kill, restart or stop", text);
}
