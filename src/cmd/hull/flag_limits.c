/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "flag_parse.h"

static bool is_permissions(const char *s)
{
	return *s && strlen(s) <= 3 && s[strspn(s, "rwm")] == 0;
}

int flag_parse_device(struct container_config *c, const char *value, struct err *err)
{
	CLEANUP_STRV struct strv parts = { 0 };
	const char *target, *permissions = "rwm";

	strv_split(&parts, value, ':');
	if (parts.n == 0 || parts.n > 3)
		return err_set(err, ERR_INVALID, 0, "invalid device specification: %s", value);
	target = parts.v[0];
	if (parts.n == 3) {
		target = parts.v[1];
		permissions = parts.v[2];
	} else if (parts.n == 2 && is_permissions(parts.v[1])) {
		permissions = parts.v[1];
	} else if (parts.n == 2) {
		target = parts.v[1];
	}
	if (!is_permissions(permissions))
		return err_set(err, ERR_INVALID, 0, "bad mode specified: %s", permissions);
	if (parts.v[0][0] != '/' || target[0] != '/')
		return err_set(err, ERR_INVALID, 0, "%s is not an absolute path", target[0] != '/' ? target : parts.v[0]);
	struct config_device *d = config_add_device(c);
	d->path_on_host = str_dup(parts.v[0]);
	d->path_in_container = str_dup(target);
	d->cgroup_permissions = str_dup(permissions);
	return 0;
}

static bool is_number_or_star(const char *s, size_t len)
{
	return (len == 1 && *s == '*') || (len && strspn(s, "0123456789") >= len);
}

/* "[acb] MAJOR:MINOR rwm", '*' for any number. */
int flag_check_device_rule(const char *value, struct err *err)
{
	const char *major = value[0] && value[1] == ' ' ? value + 2 : NULL;
	const char *colon = major ? strchr(major, ':') : NULL;
	const char *space = colon ? strchr(colon, ' ') : NULL;

	if (!space || !strchr("acb", value[0]) || !is_number_or_star(major, (size_t)(colon - major)) ||
	    !is_number_or_star(colon + 1, (size_t)(space - colon - 1)) || !is_permissions(space + 1))
		return err_set(err, ERR_INVALID, 0, "invalid device cgroup format '%s'", value);
	return 0;
}

int flag_parse_ulimit(struct container_config *c, const char *value, struct err *err)
{
	static const char *const names[] = { "core",	"cpu",	  "data",   "fsize", "locks",	   "memlock", "msgqueue", "nice",
					     "nofile",	"nproc",  "rss",    "rtprio", "rttime",	   "sigpending", "stack", NULL };
	CLEANUP_FREE char *name = NULL;
	int64_t soft, hard;
	const char *eq = strchr(value, '=');
	size_t i = 0;

	if (!eq)
		return err_set(err, ERR_INVALID, 0, "invalid ulimit argument: %s", value);
	name = str_ndup(value, (size_t)(eq - value));
	while (names[i] && !str_eq(names[i], name))
		i++;
	if (!names[i])
		return err_set(err, ERR_INVALID, 0, "invalid ulimit type: %s", name);
	const char *colon = strchr(eq, ':');
	CLEANUP_FREE char *first = colon ? str_ndup(eq + 1, (size_t)(colon - eq - 1)) : str_dup(eq + 1);
	if (str_parse_i64(first, &soft) < 0)
		return err_set(err, ERR_INVALID, 0, "strconv.ParseInt: parsing \"%s\": invalid syntax", first);
	hard = soft;
	if (colon && str_parse_i64(colon + 1, &hard) < 0)
		return err_set(err, ERR_INVALID, 0, "strconv.ParseInt: parsing \"%s\": invalid syntax", colon + 1);
	if (soft < -1 || hard < -1)
		return err_set(err, ERR_INVALID, 0, "invalid ulimit argument: %s", value);
	if (hard != -1 && (soft > hard || soft == -1))
		return err_set(err, ERR_INVALID, 0, "ulimit soft limit must be less than or equal to hard limit: %lld > %lld",
			       (long long)soft, (long long)hard);
	struct config_ulimit *u = config_add_ulimit(c);
	u->name = TAKE_PTR(name);
	u->soft = soft;
	u->hard = hard;
	return 0;
}

int flag_parse_restart(struct container_config *c, const char *value, struct err *err)
{
	const char *colon = strchr(value, ':');
	CLEANUP_FREE char *name = colon ? str_ndup(value, (size_t)(colon - value)) : str_dup(value);
	uint64_t count = 0;

	if (colon && str_parse_u64_max(colon + 1, INT32_MAX, &count) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid restart policy format: maximum retry count must be an integer");
	if (!str_eq(name, "no") && !str_eq(name, "always") && !str_eq(name, "unless-stopped") && !str_eq(name, "on-failure") && *name)
		return err_set(err, ERR_INVALID, 0,
			       "invalid restart policy: unknown policy '%s'; use one of 'no', 'always', 'on-failure', or "
			       "'unless-stopped'",
			       name);
	if (colon && !str_eq(name, "on-failure"))
		return err_set(err, ERR_INVALID, 0,
			       "invalid restart policy: maximum retry count can only be used with 'on-failure'");
	free(c->restart_policy);
	c->restart_policy = *name ? TAKE_PTR(name) : str_dup("no");
	c->restart_max_retries = (int64_t)count;
	return 0;
}

static int split_device(const char *value, char **ret_path, const char **ret_rest, struct err *err)
{
	const char *colon = strchr(value, ':');

	if (!colon || strchr(colon + 1, ':'))
		return err_set(err, ERR_INVALID, 0, "bad format: %s", value);
	if (!str_starts_with(value, "/dev/"))
		return err_set(err, ERR_INVALID, 0, "bad format for device path: %s", value);
	*ret_path = str_ndup(value, (size_t)(colon - value));
	*ret_rest = colon + 1;
	return 0;
}

static void add_blkio(struct config_blkio **list, size_t *n, char *path, uint64_t value)
{
	struct config_blkio *b = config_add_blkio(list, n);

	b->path = path;
	b->value = value;
}

int flag_parse_throttle(struct config_blkio **list, size_t *n, const char *value, bool is_bytes, struct err *err)
{
	CLEANUP_FREE char *path = NULL;
	const char *text;
	int64_t bytes;
	uint64_t rate;

	int r = split_device(value, &path, &text, err);
	if (r < 0)
		return r;
	if (is_bytes) {
		r = str_parse_size_bytes(text, &bytes);
		rate = (uint64_t)bytes;
	} else {
		/* JSON's integers end here. */
		r = str_parse_u64_max(text, INT64_MAX, &rate);
	}
	if (r < 0)
		return err_set(err, ERR_INVALID, 0,
			       is_bytes ? "invalid rate for device: %s. The correct format is <device-path>:<number>[<unit>]. Number must "
					  "be a positive integer. Unit is optional and can be kb, mb, or gb" :
					  "invalid rate for device: %s. The correct format is <device-path>:<number>. Number must be a "
					  "positive integer",
			       value);
	add_blkio(list, n, TAKE_PTR(path), rate);
	return 0;
}

int flag_parse_weight(struct config_blkio **list, size_t *n, const char *value, struct err *err)
{
	CLEANUP_FREE char *path = NULL;
	const char *text;
	uint64_t weight;

	int r = split_device(value, &path, &text, err);
	if (r < 0)
		return r;
	if (str_parse_u64_max(text, 1000, &weight) < 0 || (weight && weight < 10))
		return err_set(err, ERR_INVALID, 0, "invalid weight for device: %s", value);
	add_blkio(list, n, TAKE_PTR(path), weight);
	return 0;
}

/* The keys that belong to one of the container's own namespaces. */
int flag_check_sysctl(const char *value, struct err *err)
{
	static const char *const names[] = { "kernel.msgmax", "kernel.msgmnb",	"kernel.msgmni", "kernel.sem",
					     "kernel.shmall", "kernel.shmmax",	"kernel.shmmni", "kernel.shm_rmid_forced",
					     "kernel.domainname", "kernel.hostname", NULL };
	const char *eq = strchr(value, '=');
	CLEANUP_FREE char *key = eq ? str_ndup(value, (size_t)(eq - value)) : str_dup(value);

	if (eq && (str_starts_with(key, "net.") || str_starts_with(key, "fs.mqueue.")))
		return 0;
	for (size_t i = 0; eq && names[i]; i++)
		if (str_eq(names[i], key))
			return 0;
	return err_set(err, ERR_INVALID, 0, "sysctl '%s' is not allowed", value);
}
