/* SPDX-License-Identifier: Apache-2.0 */
#include "log_options.h"

#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"

#define TAG_MAX 4096

struct options {
	struct monitor_conf *conf;
	const char *driver;
	const char *tag, *labels, *labels_regex, *env, *env_regex;
};

static const char *const common_keys[] = { "mode", "max-buffer-size", "tag", "labels", "labels-regex", "env", "env-regex", NULL };
static const char *const json_keys[] = { "max-size", "max-file", "compress", NULL };
static const char *const syslog_keys[] = { "syslog-address", "syslog-facility", "syslog-format", NULL };

static bool is_known(const char *const *keys, const char *key)
{
	for (; *keys; keys++) {
		if (strcmp(*keys, key) == 0)
			return true;
	}
	return false;
}

static int parse_facility(const char *text, uint32_t *ret)
{
	static const char *const names[] = { "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp",
					     "cron", "authpriv", "ftp", "", "", "", "", "local0", "local1", "local2",
					     "local3", "local4", "local5", "local6", "local7" };
	uint64_t n;
	for (uint32_t i = 0; i < ARRAY_LEN(names); i++) {
		if (*names[i] && strcmp(names[i], text) == 0) {
			*ret = i;
			return 0;
		}
	}
	if (str_parse_u64_max(text, 23, &n) < 0)
		return -EINVAL;
	*ret = (uint32_t)n;
	return 0;
}

static int parse_syslog_address(const char *text, char **ret, struct err *err)
{
	static const char *const schemes[] = { "unix://", "unixgram://", "udp://", "tcp://" };
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		if (!str_starts_with(text, schemes[i]) || !text[strlen(schemes[i])])
			continue;
		free(*ret);
		*ret = str_dup(text);
		return 0;
	}
	if (str_starts_with(text, "tcp+tls://")) {
		int r = err_set(err, ERR_UNSUPPORTED, 0, "syslog over TLS is not supported: %s", text);
		err_hint(err, "send to a local relay: --log-opt syslog-address=unix:///dev/log");
		return r;
	}
	return err_set(err, ERR_INVALID, 0, "syslog-address should be in form proto://address, got %s", text);
}

static int parse_format(const char *text, enum syslog_format *ret)
{
	static const char *const names[] = { "", "rfc3164", "rfc5424", "rfc5424micro" };
	static_assert(ARRAY_LEN(names) == SYSLOG_FORMAT_COUNT, "a name for each format");
	for (uint32_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i], text) == 0) {
			*ret = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int apply_one(struct options *o, const char *key, const char *value, struct err *err)
{
	struct monitor_conf *conf = o->conf;
	int64_t size;
	uint64_t n;
	if (strcmp(key, "tag") == 0) {
		o->tag = value;
	} else if (strcmp(key, "labels") == 0) {
		o->labels = value;
	} else if (strcmp(key, "labels-regex") == 0) {
		o->labels_regex = value;
	} else if (strcmp(key, "env") == 0) {
		o->env = value;
	} else if (strcmp(key, "env-regex") == 0) {
		o->env_regex = value;
	} else if (strcmp(key, "mode") == 0) {
		if (strcmp(value, "blocking") != 0 && strcmp(value, "non-blocking") != 0)
			return err_set(err, ERR_INVALID, 0, "logger: logging mode not supported: %s", value);
		conf->log_non_blocking = strcmp(value, "non-blocking") == 0;
	} else if (strcmp(key, "max-buffer-size") == 0) {
		if (str_parse_size_bytes(value, &size) < 0)
			return err_set(err, ERR_INVALID, 0, "error parsing option max-buffer-size: invalid size: '%s'", value);
	} else if (strcmp(key, "max-size") == 0) {
		if (strcmp(value, "-1") == 0)
			size = 0;
		else if (str_parse_size_bytes(value, &size) < 0 || size <= 0)
			return err_set(err, ERR_INVALID, 0, "invalid value for max-size: %s", value);
		conf->log_max_size_bytes = (uint64_t)size;
	} else if (strcmp(key, "max-file") == 0) {
		if (str_parse_u64_max(value, 1000, &n) < 0 || n < 1)
			return err_set(err, ERR_INVALID, 0, "max-file cannot be less than 1");
		conf->log_max_file = (uint32_t)n;
	} else if (strcmp(key, "compress") == 0) {
		if (str_parse_bool(value, &conf->log_compress) < 0)
			return err_set(err, ERR_INVALID, 0, "invalid value for compress: %s", value);
		if (conf->log_compress) {
			int r = err_set(err, ERR_UNSUPPORTED, 0, "rotated logs are not compressed yet");
			err_hint(err, "leave out --log-opt compress=true; max-size and max-file bound the space");
			return r;
		}
	} else if (strcmp(key, "syslog-address") == 0) {
		return parse_syslog_address(value, &conf->syslog_address, err);
	} else if (strcmp(key, "syslog-facility") == 0) {
		if (parse_facility(value, &conf->syslog_facility) < 0)
			return err_set(err, ERR_INVALID, 0, "invalid syslog facility: %s", value);
	} else if (strcmp(key, "syslog-format") == 0) {
		if (parse_format(value, &conf->syslog_format) < 0)
			return err_set(err, ERR_INVALID, 0, "Invalid syslog format");
	}
	return 0;
}

/* The "{{.X}}" of Docker's tag templates. */
static int expand_tag(const char *template, const struct log_subject *s, char **ret, struct err *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(TAG_MAX);
	const char *rest = template;
	int r = 0;
	while (r == 0 && *rest) {
		const char *open = strstr(rest, "{{"), *close = open ? strstr(open, "}}") : NULL;
		if (!close) {
			r = open ? -EINVAL : buf_append_str(&out, rest);
			break;
		}
		r = buf_append(&out, rest, (size_t)(open - rest));
		rest = close + 2;
		CLEANUP_FREE char *word = str_ndup(open + 2, (size_t)(close - open - 2));
		char *name = word + strspn(word, " ");
		name[strcspn(name, " ")] = '\0';
		const char *id = s->id ? s->id : "", *image_id = s->image_id ? s->image_id : "";
		if (str_starts_with(image_id, "sha256:"))
			image_id += 7;
		if (r < 0)
			break;
		if (strcmp(name, ".ID") == 0)
			r = buf_append(&out, id, strnlen(id, 12));
		else if (strcmp(name, ".FullID") == 0)
			r = buf_append_str(&out, id);
		else if (strcmp(name, ".Name") == 0)
			r = buf_append_str(&out, s->name ? s->name : "");
		else if (strcmp(name, ".ImageID") == 0)
			r = buf_append(&out, image_id, strnlen(image_id, 12));
		else if (strcmp(name, ".ImageFullID") == 0)
			r = buf_append_str(&out, image_id);
		else if (strcmp(name, ".ImageName") == 0)
			r = buf_append_str(&out, s->image_name ? s->image_name : "");
		else if (strcmp(name, ".DaemonName") == 0)
			r = buf_append_str(&out, "hull");
		else
			r = -EINVAL;
	}
	if (r < 0)
		return err_set(err, ERR_INVALID, 0, "invalid log tag template: %s", template);
	free(*ret);
	*ret = str_dup(buf_str(&out));
	return 0;
}

static bool is_listed(const char *list, const char *key, size_t key_len)
{
	for (const char *at = list; at && *at;) {
		size_t len = strcspn(at, ",");
		if (len == key_len && memcmp(at, key, len) == 0)
			return true;
		at += len;
		at += *at == ',';
	}
	return false;
}

static int select_attrs(struct strv *out, const struct strv *from, const char *list, const char *pattern, struct err *err)
{
	regex_t regex;
	if (!from || (!list && !pattern))
		return 0;
	if (pattern && regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
		return err_set(err, ERR_INVALID, 0, "invalid regular expression in a log option: %s", pattern);
	for (size_t i = 0; i < from->n; i++) {
		size_t key_len = strcspn(from->v[i], "=");
		CLEANUP_FREE char *key = str_ndup(from->v[i], key_len);
		bool match = is_listed(list, key, key_len) || (pattern && regexec(&regex, key, 0, NULL, 0) == 0);
		if (match && from->v[i][key_len] == '=')
			strv_add(out, from->v[i]);
	}
	if (pattern)
		regfree(&regex);
	return 0;
}

int log_options_apply(struct monitor_conf *conf, const char *driver, const struct strv *options,
		      const struct log_subject *subject, struct err *err)
{
	struct options o = { .conf = conf, .driver = str_is_empty(driver) ? "json-file" : driver };
	enum log_driver kind = 0;
	while (kind < LOG_DRIVER_COUNT && strcmp(log_driver_name(kind), o.driver) != 0)
		kind++;
	if (strcmp(o.driver, "local") == 0) /* Docker's other file driver: the same promise */
		kind = LOG_DRIVER_JSON_FILE;
	if (kind == LOG_DRIVER_COUNT) {
		int r = err_set(err, ERR_INVALID, 0, "logger: no log driver named '%s' is registered", o.driver);
		err_hint(err, "use --log-driver json-file, journald, syslog or none");
		return r;
	}
	conf->log_driver = kind;
	for (size_t i = 0; options && i < options->n; i++) {
		size_t key_len = strcspn(options->v[i], "=");
		CLEANUP_FREE char *key = str_ndup(options->v[i], key_len);
		const char *value = options->v[i][key_len] ? options->v[i] + key_len + 1 : "";
		bool known = kind != LOG_DRIVER_NONE &&
			     (is_known(common_keys, key) || (kind == LOG_DRIVER_JSON_FILE && is_known(json_keys, key)) ||
			      (kind == LOG_DRIVER_SYSLOG && is_known(syslog_keys, key)));
		if (!known)
			return err_set(err, ERR_INVALID, 0, "unknown log opt '%s' for %s log driver", key, o.driver);
		int r = apply_one(&o, key, value, err);
		if (r < 0)
			return r;
	}
	if (conf->syslog_address && conf->syslog_format == SYSLOG_FORMAT_LOCAL && !str_starts_with(conf->syslog_address, "unix"))
		conf->syslog_format = SYSLOG_FORMAT_RFC3164;

	int r = expand_tag("{{.ID}}", subject, &conf->log_tag_default, err);
	if (r == 0 && !str_is_empty(o.tag))
		r = expand_tag(o.tag, subject, &conf->log_tag, err);
	if (r == 0)
		r = select_attrs(&conf->log_attrs, subject->labels, o.labels, o.labels_regex, err);
	if (r == 0)
		r = select_attrs(&conf->log_attrs, subject->env, o.env, o.env_regex, err);
	return r;
}
