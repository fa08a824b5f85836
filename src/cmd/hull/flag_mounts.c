/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "flag_parse.h"

static const char *const volume_options[] = { "ro",	 "rw",	    "z",       "Z",	 "U",	    "idmap",   "nocopy",     "private",
					      "rprivate", "shared", "rshared", "slave",	 "rslave",  "cached",  "delegated",  "consistent",
					      "bind",	 "rbind",   "default", "nodev",	 "nosuid",  "noexec",  NULL };

static bool is_one_of(const char *s, const char *const *list)
{
	for (; *list; list++)
		if (str_eq(s, *list))
			return true;
	return false;
}

static int check_mode(const char *mode, const char *value, struct err *err)
{
	CLEANUP_STRV struct strv words = { 0 };

	strv_split(&words, mode, ',');
	for (size_t i = 0; i < words.n; i++)
		if (!is_one_of(words.v[i], volume_options))
			return err_set(err, ERR_INVALID, 0, "invalid volume specification: '%s': invalid mode: %s", value, mode);
	return 0;
}

static bool is_root_path(const char *path)
{
	for (; *path; path++)
		if (*path != '/' && !(*path == '.' && (path[1] == '/' || !path[1])))
			return false;
	return true;
}

static int check_target(const char *target, const char *value, struct err *err)
{
	if (target[0] != '/')
		return err_set(err, ERR_INVALID, 0,
			       "invalid volume specification: '%s': invalid mount config for type \"bind\": invalid mount path: '%s' "
			       "mount path must be absolute",
			       value, target);
	if (is_root_path(target))
		return err_set(err, ERR_INVALID, 0, "invalid volume specification: '%s': invalid specification: destination can't be '/'",
			       value);
	return 0;
}

static bool is_volume_name(const char *s)
{
	if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9')))
		return false;
	return s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")] == 0;
}

/* "./x", "../x", "." and "~"-less relative paths with a dot become absolute. */
static char *absolute(const char *source)
{
	char cwd[PATH_MAX];

	if (source[0] != '.' || (source[1] && source[1] != '/' && !(source[1] == '.' && (!source[2] || source[2] == '/'))))
		return str_dup(source);
	if (!getcwd(cwd, sizeof(cwd)))
		return str_dup(source);
	if (!source[1])
		return str_dup(cwd);
	return str_printf("%s/%s", cwd, source[1] == '/' ? source + 2 : source);
}

int flag_parse_volume(struct container_config *c, const char *value, struct err *err)
{
	CLEANUP_STRV struct strv parts = { 0 };

	strv_split(&parts, value, ':');
	for (size_t i = 0; i < parts.n; i++)
		if (!*parts.v[i])
			return err_set(err, ERR_INVALID, 0, "invalid spec: %s: empty section between colons", value);
	if (parts.n == 0 || parts.n > 3)
		return err_set(err, ERR_INVALID, 0, "invalid volume specification: '%s'", value);
	/* "/data:ro" is a target with a mode only for Windows; here both are paths. */
	const char *target = parts.v[parts.n == 1 ? 0 : 1];
	int r = check_target(target, value, err);
	if (r == 0 && parts.n == 3)
		r = check_mode(parts.v[2], value, err);
	if (r < 0)
		return r;
	if (parts.n == 1) {
		strv_add(&c->volumes, target);
		return 0;
	}
	CLEANUP_FREE char *source = absolute(parts.v[0]);
	if (source[0] != '/' && !is_volume_name(source)) {
		err_set(err, ERR_INVALID, 0,
			"create %s: \"%s\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are "
			"allowed. If you intended to pass a host directory, use absolute path",
			source, source);
		return -EINVAL;
	}
	strv_printf(&c->binds, "%s:%s%s%s", source, target, parts.n == 3 ? ":" : "", parts.n == 3 ? parts.v[2] : "");
	return 0;
}

int flag_parse_tmpfs(struct container_config *c, const char *value, struct err *err)
{
	const char *colon = strchr(value, ':');
	CLEANUP_FREE char *path = colon ? str_ndup(value, (size_t)(colon - value)) : str_dup(value);

	if (path[0] != '/' || is_root_path(path))
		return err_set(err, ERR_INVALID, 0, "invalid tmpfs path \"%s\": mount path must be absolute and not '/'", path);
	strv_printf(&c->tmpfs, "%s=%s", path, colon ? colon + 1 : "");
	return 0;
}

static int mount_bool(const char *key, const char *value, bool *ret, struct err *err)
{
	if (!value) {
		*ret = true;
		return 0;
	}
	if (str_parse_bool(value, ret) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid value for %s: %s", key, value);
	return 0;
}

static void replace(char **field, const char *value)
{
	free(*field);
	*field = str_dup(value);
}

static int mount_flag(struct config_mount *m, const char *key, const char *value, struct err *err)
{
	if (str_eq(key, "readonly") || str_eq(key, "ro"))
		return mount_bool(key, value, &m->read_only, err);
	if (str_eq(key, "volume-nocopy"))
		return mount_bool(key, value, &m->no_copy, err);
	if (str_eq(key, "bind-nonrecursive"))
		return mount_bool(key, value, &m->non_recursive, err);
	if (str_eq(key, "bind-create-mountpoint") || str_eq(key, "bind-create-src"))
		return mount_bool(key, value, &m->create_mountpoint, err);
	if (str_eq(key, "idmap"))
		return mount_bool(key, value, &m->idmap, err);
	return 1;
}

static int mount_recursive(struct config_mount *m, const char *value, struct err *err)
{
	if (str_eq(value, "disabled"))
		m->non_recursive = true;
	else if (str_eq(value, "writable"))
		m->read_only_non_recursive = true;
	else if (str_eq(value, "readonly"))
		m->read_only_force_recursive = true;
	else if (!str_eq(value, "enabled"))
		return err_set(err, ERR_INVALID, 0,
			       "invalid value for bind-recursive: %s (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")",
			       value);
	return 0;
}

static int mount_field(struct config_mount *m, const char *key, const char *value, struct err *err)
{
	static const char *const propagations[] = { "private", "rprivate", "shared", "rshared", "slave", "rslave", NULL };

	if (str_eq(key, "type")) {
		replace(&m->type, value);
	} else if (str_eq(key, "source") || str_eq(key, "src")) {
		free(m->source);
		m->source = absolute(value);
	} else if (str_eq(key, "target") || str_eq(key, "dst") || str_eq(key, "destination")) {
		replace(&m->target, value);
	} else if (str_eq(key, "consistency")) {
		replace(&m->consistency, value);
	} else if (str_eq(key, "bind-propagation")) {
		if (!is_one_of(value, propagations))
			return err_set(err, ERR_INVALID, 0, "invalid value for bind-propagation: %s", value);
		replace(&m->propagation, value);
	} else if (str_eq(key, "bind-recursive")) {
		return mount_recursive(m, value, err);
	} else if (str_eq(key, "volume-subpath") || str_eq(key, "image-subpath")) {
		replace(&m->subpath, value);
	} else if (str_eq(key, "volume-driver")) {
		replace(&m->driver, value);
	} else if (str_eq(key, "volume-label")) {
		strv_printf(&m->labels, "%s%s", value, strchr(value, '=') ? "" : "=");
	} else if (str_eq(key, "volume-opt")) {
		strv_printf(&m->driver_opts, "%s%s", value, strchr(value, '=') ? "" : "=");
	} else if (str_eq(key, "tmpfs-size")) {
		if (str_parse_size_bytes(value, &m->tmpfs_size_bytes) < 0)
			return err_set(err, ERR_INVALID, 0, "invalid value for %s: %s", key, value);
	} else if (str_eq(key, "tmpfs-mode")) {
		if (str_parse_octal(value, 07777, &m->tmpfs_mode) < 0)
			return err_set(err, ERR_INVALID, 0, "invalid value for %s: %s", key, value);
	} else {
		return err_set(err, ERR_INVALID, 0, "unknown option '%s' in '%s=%s'", key, key, value);
	}
	return 0;
}

/* Options of one kind on a mount of another are a mistake worth telling. */
static int check_mount(struct config_mount *m, const struct strv *fields, struct err *err)
{
	static const char *const types[] = { "bind", "volume", "tmpfs", "image", NULL };

	if (!m->type)
		m->type = str_dup("volume");
	if (!is_one_of(m->type, types))
		return err_set(err, ERR_INVALID, 0, "mount type unknown: \"%s\"", m->type);
	if (str_is_empty(m->target))
		return err_set(err, ERR_INVALID, 0, "target is required");
	if (m->target[0] != '/' || is_root_path(m->target))
		return err_set(err, ERR_INVALID, 0, "invalid mount target \"%s\": must be an absolute path and not '/'", m->target);
	for (size_t i = 0; i < fields->n; i++)
		for (const char *const *t = types; *t; t++) {
			size_t len = strlen(*t);
			if (strncmp(fields->v[i], *t, len) == 0 && fields->v[i][len] == '-' && !str_eq(m->type, *t))
				return err_set(err, ERR_INVALID, 0, "cannot mix '%s-*' options with mount type '%s'", *t, m->type);
		}
	if (str_eq(m->type, "bind") && (str_is_empty(m->source) || m->source[0] != '/'))
		return err_set(err, ERR_INVALID, 0,
			       "invalid mount config for type \"bind\": invalid mount path: '%s' mount path must be absolute",
			       m->source ? m->source : "");
	if (m->read_only_force_recursive && !m->read_only)
		return err_set(err, ERR_INVALID, 0, "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction");
	if (m->read_only_force_recursive && !str_eq(m->propagation, "rprivate"))
		return err_set(err, ERR_INVALID, 0,
			       "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction");
	if (m->read_only_non_recursive && !m->read_only)
		return err_set(err, ERR_INVALID, 0, "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction");
	if (str_eq(m->type, "tmpfs") && m->source)
		return err_set(err, ERR_INVALID, 0, "invalid mount config for type \"tmpfs\": field Source must not be specified");
	return 0;
}

static int parse_mount(struct config_mount *m, const struct strv *fields, struct err *err)
{
	for (size_t i = 0; i < fields->n; i++) {
		char *eq = strchr(fields->v[i], '=');
		CLEANUP_FREE char *key = eq ? str_ndup(fields->v[i], (size_t)(eq - fields->v[i])) : str_dup(fields->v[i]);
		int r = mount_flag(m, key, eq ? eq + 1 : NULL, err);
		if (r == 1 && !eq)
			return err_set(err, ERR_INVALID, 0, "invalid field '%s' must be a key=value pair", fields->v[i]);
		if (r == 1)
			r = mount_field(m, key, eq + 1, err);
		if (r < 0)
			return r;
	}
	return check_mount(m, fields, err);
}

/* Fields as in a CSV file, so that a path may have a comma: "src=/a,b",dst=/c */
static int split_fields(const char *value, struct strv *ret, struct err *err)
{
	for (const char *p = value; *p;) {
		CLEANUP_BUF struct buf field = BUF_INIT(1 << 16);
		bool is_quoted = *p == '"';
		int r = 0;
		for (p += is_quoted; r == 0 && *p && (is_quoted || *p != ','); p++) {
			if (is_quoted && *p == '"' && p[1] != '"')
				break;
			p += is_quoted && *p == '"';
			r = buf_append(&field, p, 1);
		}
		if (r < 0 || (is_quoted && *p++ != '"') || (*p && *p != ','))
			return err_set(err, ERR_INVALID, 0, "parse error on line 1: bare or missing \" in '%s'", value);
		strv_add(ret, field.len ? buf_str(&field) : "");
		if (*p == ',' && !*++p)
			strv_add(ret, "");
	}
	return 0;
}

int flag_parse_mount(struct container_config *c, const char *value, struct err *err)
{
	CLEANUP_STRV struct strv fields = { 0 };

	if (!*value)
		return err_set(err, ERR_INVALID, 0, "value is empty");
	int r = split_fields(value, &fields, err);
	return r < 0 ? r : parse_mount(config_add_mount(c), &fields, err);
}
