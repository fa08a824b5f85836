/* SPDX-License-Identifier: Apache-2.0 */
#include "registry_access.h"

#include <stdlib.h>

#include "credentials.h"
#include "settings.h"

/* Milliseconds from the environment, for tests and odd networks. */
static int64_t from_environment(const char *variable)
{
	uint64_t v = 0;
	const char *s = getenv(variable);
	return s && str_parse_u64_max(s, 3600000, &v) == 0 ? (int64_t)v : 0;
}

/* What flags and the environment say comes before the files, for whatever
 * registry this command talks to. */
static void add_words(struct strv *sv, const char *variable)
{
	const char *text = getenv(variable);
	CLEANUP_STRV struct strv words = { 0 };
	if (text)
		strv_split(&words, text, ' ');
	for (size_t i = 0; i < words.n; i++)
		if (*words.v[i])
			strv_add(sv, words.v[i]);
}

static int add_settings(const char *name, struct fetch_options *o, struct err *err)
{
	CLEANUP_SETTINGS struct settings s = { 0 };
	int r = settings_load(&s, err);
	if (r < 0)
		return r;
	add_words(&o->mirrors, "HULL_REGISTRY_MIRRORS");
	add_words(&o->insecure, "HULL_INSECURE_REGISTRIES");
	for (size_t i = 0; i < s.registries_n; i++) {
		if (str_eq(s.registries[i].host, name))
			strv_extend(&o->mirrors, &s.registries[i].mirrors);
		if (s.registries[i].is_insecure)
			strv_add(&o->insecure, s.registries[i].host);
	}
	if (str_eq(name, "docker.io"))
		strv_extend(&o->mirrors, &s.registry_mirrors);
	strv_extend(&o->insecure, &s.insecure_registries);
	return 0;
}

int registry_reach(const char *name, struct fetch_options *ret, struct err *err)
{
	CLEANUP_FETCH_OPTIONS struct fetch_options o = { .stall_ms = from_environment("HULL_REGISTRY_STALL_MS") };
	int r = add_settings(name, &o, err);
	if (r < 0)
		return r;
	*ret = o;
	o = (struct fetch_options){ 0 };
	return 0;
}

int registry_access(const char *name, struct fetch_options *ret, struct err *err)
{
	CLEANUP_REGISTRY_LOGIN struct registry_login login = { 0 };
	int r = credentials_get(name, &login, err);
	if (r < 0 || (r = registry_reach(name, ret, err)) < 0)
		return r;
	ret->username = TAKE_PTR(login.username);
	ret->password = TAKE_PTR(login.password);
	ret->identity_token = TAKE_PTR(login.identity_token);
	ret->registry_token = TAKE_PTR(login.registry_token);
	return 0;
}
