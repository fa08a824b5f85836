/* SPDX-License-Identifier: Apache-2.0 */
#include "docker_config.h"

#include <string.h>

#define HUB_KEY "https://index.docker.io/v1/"

void registry_login_done(struct registry_login *l)
{
	free(l->username);
	/* Not left in memory that is handed out again. */
	if (l->password)
		explicit_bzero(l->password, strlen(l->password));
	if (l->identity_token)
		explicit_bzero(l->identity_token, strlen(l->identity_token));
	free(l->password);
	free(l->identity_token);
	free(l->registry_token);
	*l = (struct registry_login){ 0 };
}

const char *docker_config_key(const char *registry)
{
	if (str_eq(registry, "docker.io") || str_eq(registry, "index.docker.io") || str_eq(registry, "registry-1.docker.io"))
		return HUB_KEY;
	return registry;
}

/* "https://host:port/v1/" names "host:port". */
static bool names_host(const char *key, const char *host)
{
	if (str_starts_with(key, "https://"))
		key += 8;
	else if (str_starts_with(key, "http://"))
		key += 7;
	size_t n = strcspn(key, "/");
	return n == strlen(host) && memcmp(key, host, n) == 0;
}

/* The entry of an object keyed by registries: the very key before one that only
 * names the same host. */
static const struct json *find(const struct json *object, const char *registry, const char **ret_key)
{
	const char *wanted = docker_config_key(registry), *key;
	const char *host = str_eq(wanted, HUB_KEY) ? "index.docker.io" : registry;
	struct json *value, *found = NULL;
	for (void *it = NULL; (it = json_object_next(object, it, &key, &value));) {
		bool is_exact = str_eq(key, wanted);
		if (!is_exact && (found || !names_host(key, host)))
			continue;
		found = value;
		*ret_key = key;
		if (is_exact)
			break;
	}
	return found;
}

bool docker_config_has(const struct json *config, const char *registry)
{
	const char *key;
	return find(json_get(config, "auths"), registry, &key) != NULL;
}

/* "auth": base64 of "user:password". */
static int read_auth(const char *auth, struct registry_login *l, struct err *err)
{
	uint8_t *text = NULL;
	size_t len = 0;
	int r = str_unbase64(auth, &text, &len);
	CLEANUP_FREE char *pair = r < 0 ? NULL : str_ndup((const char *)text, len);
	if (text)
		explicit_bzero(text, len);
	free(text);
	char *colon = pair ? strchr(pair, ':') : NULL;
	if (!colon)
		return err_set(err, ERR_INVALID, 0, "an \"auth\" in config.json is not base64 of user:password");
	*colon = '\0';
	l->username = str_dup(pair);
	l->password = str_dup(colon + 1);
	/* Some programs pad with zeros. */
	explicit_bzero(colon + 1, strlen(colon + 1));
	return 0;
}

static char *text_of(const struct json *entry, const char *key)
{
	const char *s = json_get_str(entry, key);
	return str_is_empty(s) ? NULL : str_dup(s);
}

int docker_config_login(const struct json *config, const char *registry, struct registry_login *ret, struct err *err)
{
	const char *key, *auth;
	const struct json *entry = find(json_get(config, "auths"), registry, &key);
	CLEANUP_REGISTRY_LOGIN struct registry_login l = { 0 };
	if (!entry)
		return 0;
	auth = json_get_str(entry, "auth");
	int r = str_is_empty(auth) ? 0 : read_auth(auth, &l, err);
	if (r < 0)
		return r;
	if (!l.username)
		l.username = text_of(entry, "username");
	if (!l.password)
		l.password = text_of(entry, "password");
	l.identity_token = text_of(entry, "identitytoken");
	l.registry_token = text_of(entry, "registrytoken");
	if (!l.username && !l.identity_token && !l.registry_token)
		return 0;
	*ret = l;
	l = (struct registry_login){ 0 };
	return 1;
}

const char *docker_config_helper(const struct json *config, const char *registry)
{
	const char *key;
	const struct json *own = find(json_get(config, "credHelpers"), registry, &key);
	const char *name = json_str(own);
	return name ? name : json_get_str(config, "credsStore");
}

/* ---- changing ---- */

static void write_entry(struct json_writer *w, const struct registry_login *l)
{
	jw_object(w);
	if (l->username && l->password && !l->identity_token) {
		CLEANUP_FREE char *pair = str_printf("%s:%s", l->username, l->password);
		CLEANUP_FREE char *auth = str_base64(pair, strlen(pair));
		jw_kv_str(w, "auth", auth);
	} else if (l->identity_token) {
		CLEANUP_FREE char *pair = str_printf("%s:", l->username ? l->username : "");
		CLEANUP_FREE char *auth = str_base64(pair, strlen(pair));
		jw_kv_str(w, "auth", auth);
		jw_kv_str(w, "identitytoken", l->identity_token);
	}
	jw_object_end(w);
}

static void write_auths(struct json_writer *w, const struct json *auths, const char *registry, const struct registry_login *l)
{
	const char *key, *skip = NULL;
	struct json *value;
	(void)!find(auths, registry, &skip);
	jw_object(w);
	for (void *it = NULL; (it = json_object_next(auths, it, &key, &value));) {
		if (str_eq(key, skip))
			continue;
		jw_key(w, key);
		jw_value(w, value);
	}
	if (l) {
		jw_key(w, docker_config_key(registry));
		write_entry(w, l);
	}
	jw_object_end(w);
}

int docker_config_change(const struct json *config, const char *registry, const struct registry_login *login, struct buf *out)
{
	struct json_writer w;
	const char *key;
	struct json *value;
	bool was_written = false;
	json_writer_init(&w, out, 4);
	jw_object(&w);
	for (void *it = NULL; (it = json_object_next(config, it, &key, &value));) {
		jw_key(&w, key);
		if (str_eq(key, "auths")) {
			write_auths(&w, value, registry, login);
			was_written = true;
		} else {
			jw_value(&w, value);
		}
	}
	if (!was_written) {
		jw_key(&w, "auths");
		write_auths(&w, NULL, registry, login);
	}
	jw_object_end(&w);
	int r = json_writer_finish(&w);
	return r < 0 ? r : buf_append_char(out, '\n');
}
