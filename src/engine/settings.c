/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "fd.h"
#include "json.h"
#include "toml.h"

#define FILE_MAX (1u << 20)
#define REGISTRIES_MAX 256

void settings_done(struct settings *s)
{
	strv_free(&s->registry_mirrors);
	strv_free(&s->insecure_registries);
	for (size_t i = 0; i < s->registries_n; i++) {
		free(s->registries[i].host);
		strv_free(&s->registries[i].mirrors);
	}
	free(s->registries);
	free(s->address_pools);
	*s = (struct settings){ 0 };
}

static void replace(struct strv *to, const struct strv *from)
{
	strv_free(to);
	strv_extend(to, from);
}

static void add_pool(struct settings *s, const struct subnet_pool *pool)
{
	s->address_pools = reallocarray(s->address_pools, s->address_pools_n + 1, sizeof(*pool));
	if (!s->address_pools)
		abort();
	s->address_pools[s->address_pools_n++] = *pool;
}

/* ---- hull.toml ---- */

static struct registry_settings *registry_of(struct settings *s, const char *host)
{
	for (size_t i = 0; i < s->registries_n; i++)
		if (str_eq(s->registries[i].host, host))
			return &s->registries[i];
	if (!s->registries)
		s->registries = mem_calloc(REGISTRIES_MAX, sizeof(*s->registries));
	if (s->registries_n == REGISTRIES_MAX)
		return NULL;
	struct registry_settings *r = &s->registries[s->registries_n++];
	r->host = str_dup(host);
	return r;
}

static int wrong_kind(const struct toml_entry *e, const char *what, const char *wanted, struct err *err)
{
	return err_set(err, ERR_INVALID, 0, "%s:%u: %s must be %s", what, e->line, e->path.v[e->path.n - 1], wanted);
}

static int take_list(const struct toml_entry *e, struct strv *to, const char *what, struct err *err)
{
	if (e->kind != TOML_STRINGS)
		return wrong_kind(e, what, "a list of strings", err);
	replace(to, &e->strings);
	return 0;
}

static int unknown(const struct toml_entry *e, const char *what, const char *const *names, struct err *err)
{
	const char *name = e->path.v[e->path.n - 1], *nearest = str_nearest(name, names);
	int r = err_set(err, ERR_INVALID, 0, "%s:%u: unknown setting %s", what, e->line, name);
	if (nearest)
		err_hint(err, "did you mean %s?", nearest);
	return r;
}

static int take_registry(struct settings *s, const struct toml_entry *e, const char *what, struct err *err)
{
	static const char *const names[] = { "mirrors", "insecure", NULL };
	const char *key = e->path.v[2];
	struct registry_settings *r = registry_of(s, e->path.v[1]);
	if (!r)
		return err_set(err, ERR_INVALID, 0, "%s: too many registries", what);
	if (str_eq(key, "mirrors"))
		return take_list(e, &r->mirrors, what, err);
	if (!str_eq(key, "insecure"))
		return unknown(e, what, names, err);
	if (e->kind != TOML_BOOL)
		return wrong_kind(e, what, "true or false", err);
	r->is_insecure = e->boolean;
	return 0;
}

static int take_pools(struct settings *s, const struct toml_entry *e, const char *what, struct err *err)
{
	if (e->kind != TOML_STRINGS)
		return wrong_kind(e, what, "a list of strings", err);
	s->address_pools_n = 0;
	for (size_t i = 0; i < e->strings.n; i++) {
		struct subnet_pool pool;
		int r = subnet_pool_parse(e->strings.v[i], &pool, err);
		if (r < 0)
			return err_context(err, r, "%s:%u", what, e->line);
		add_pool(s, &pool);
	}
	return 0;
}

static int take_entry(struct settings *s, const struct toml_entry *e, const char *what, struct err *err)
{
	static const char *const names[] = { "registry-mirrors", "insecure-registries", "registry", "default-address-pools", NULL };
	const char *key = e->path.v[0];
	if (e->path.n == 1 && str_eq(key, "registry-mirrors"))
		return take_list(e, &s->registry_mirrors, what, err);
	if (e->path.n == 1 && str_eq(key, "insecure-registries"))
		return take_list(e, &s->insecure_registries, what, err);
	if (e->path.n == 1 && str_eq(key, "default-address-pools"))
		return take_pools(s, e, what, err);
	if (e->path.n == 3 && str_eq(key, "registry"))
		return take_registry(s, e, what, err);
	return unknown(e, what, names, err);
}

int settings_add_toml(struct settings *s, const char *text, size_t len, const char *what, struct err *err)
{
	CLEANUP_TOML struct toml *t = NULL;
	int r = toml_parse(text, len, what, &t, err);
	for (size_t i = 0; r >= 0 && i < t->n; i++)
		r = take_entry(s, &t->entries[i], what, err);
	return r;
}

/* ---- daemon.json ---- */

static int daemon_pools(struct settings *s, const struct json *list, const char *what, struct err *err)
{
	if (list)
		s->address_pools_n = 0;
	for (size_t i = 0; i < json_array_len(list); i++) {
		const struct json *o = json_array_at(list, i);
		struct subnet_pool pool;
		CLEANUP_FREE char *text = str_printf("base=%s,size=%lld", json_str(json_get(o, "base")) ? json_str(json_get(o, "base")) : "",
						     (long long)json_get_i64(o, "size", -1));
		int r = subnet_pool_parse(text, &pool, err);
		if (r < 0)
			return err_context(err, r, "%s: default-address-pools", what);
		add_pool(s, &pool);
	}
	return 0;
}

int settings_add_daemon_json(struct settings *s, const char *text, size_t len, const char *what, struct err *err)
{
	static const char *const names[] = { "registry-mirrors", "insecure-registries" };
	struct strv *const to[] = { &s->registry_mirrors, &s->insecure_registries };
	CLEANUP_JSON struct json *root = NULL;
	/* Docker takes an empty file. */
	int r = len ? json_parse(text, len, what, &root, err) : 0;
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		CLEANUP_STRV struct strv list = { 0 };
		if (json_get_strv(root, names[i], &list) < 0)
			return err_set(err, ERR_INVALID, 0, "%s: %s must be a list of strings", what, names[i]);
		if (list.n)
			replace(to[i], &list);
	}
	return daemon_pools(s, json_get(root, "default-address-pools"), what, err);
}

/* ---- files ---- */

static int add_file(struct settings *s, const char *path,
		    int (*add)(struct settings *, const char *, size_t, const char *, struct err *), struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(FILE_MAX);
	int r = fd_read_file_at(AT_FDCWD, path, &text);
	/* Another user's settings are none of ours. */
	if (r == -ENOENT || r == -ENOTDIR || r == -EACCES)
		return 0;
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "read %s", path);
	return add(s, buf_str(&text), text.len, path, err);
}

static int is_toml(const struct dirent *e)
{
	return e->d_name[0] != '.' && str_ends_with(e->d_name, ".toml");
}

static int add_folder(struct settings *s, const char *folder, struct err *err)
{
	struct dirent **list = NULL;
	int n = scandir(folder, &list, is_toml, alphasort), r = 0;
	for (int i = 0; i < n; i++) {
		CLEANUP_FREE char *path = str_printf("%s/%s", folder, list[i]->d_name);
		if (r >= 0)
			r = add_file(s, path, settings_add_toml, err);
		free(list[i]);
	}
	free(list);
	return r;
}

static char *users_file(void)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	if (!str_is_empty(config))
		return str_printf("%s/hull/hull.toml", config);
	return str_is_empty(home) ? NULL : str_printf("%s/.config/hull/hull.toml", home);
}

int settings_load(struct settings *ret, struct err *err)
{
	CLEANUP_SETTINGS struct settings s = { 0 };
	const char *only = getenv("HULL_CONFIG");
	CLEANUP_FREE char *users = users_file();
	int r = add_file(&s, "/etc/docker/daemon.json", settings_add_daemon_json, err);
	if (r >= 0 && !str_is_empty(only))
		r = add_file(&s, only, settings_add_toml, err);
	if (r >= 0 && str_is_empty(only)) {
		r = add_file(&s, "/etc/hull/hull.toml", settings_add_toml, err);
		if (r >= 0)
			r = add_folder(&s, "/etc/hull/conf.d", err);
		if (r >= 0 && users)
			r = add_file(&s, users, settings_add_toml, err);
	}
	if (r < 0)
		return r;
	*ret = s;
	s = (struct settings){ 0 };
	return 0;
}
