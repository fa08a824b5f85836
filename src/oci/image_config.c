/* SPDX-License-Identifier: Apache-2.0 */
#include "image_config.h"

#include <string.h>

#include "clock.h"
#include "reference.h"

#define LAYERS_MAX 1024
#define HISTORY_MAX 4096

struct image_config *image_config_new(void)
{
	return mem_calloc(1, sizeof(struct image_config));
}

void image_config_free(struct image_config *c)
{
	if (!c)
		return;
	free(c->os);
	free(c->architecture);
	free(c->variant);
	free(c->author);
	free(c->comment);
	free(c->user);
	free(c->workdir);
	free(c->stop_signal);
	struct strv *lists[] = { &c->env,           &c->entrypoint, &c->cmd,    &c->shell,       &c->onbuild,
				 &c->exposed_ports, &c->volumes,    &c->labels, &c->health.test, &c->diffids };
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		strv_free(lists[i]);
	for (size_t i = 0; i < c->history_n; i++) {
		free(c->history[i].created_by);
		free(c->history[i].author);
		free(c->history[i].comment);
	}
	free(c->history);
	free(c);
}

struct image_history *image_config_add_history(struct image_config *c)
{
	struct image_history *more = reallocarray(c->history, c->history_n + 1, sizeof(*more));
	if (!more)
		abort();
	c->history = more;
	more[c->history_n] = (struct image_history){ 0 };
	return &more[c->history_n++];
}

/* ---- reading ---- */

static int read_str(const struct json *o, const char *key, char **ret, struct err *err)
{
	struct json *v = NULL;
	int r = json_check(o, key, JT_STRING, "image configuration", &v, err);
	if (r < 0)
		return r;
	/* An embedded NUL would cut the string where others see more. */
	const char *s = json_str(v);
	if (!str_is_empty(s)) {
		free(*ret);
		*ret = str_dup(s);
	}
	return 0;
}

static int read_time(const struct json *o, int64_t *ret)
{
	const char *s = json_get_str(o, "created");
	int64_t t = 0;
	if (!str_is_empty(s) && clock_parse_rfc3339(s, &t) == 0)
		*ret = t;
	return 0;
}

static int read_list(const struct json *o, const char *key, struct strv *sv, struct err *err)
{
	struct json *v = json_get(o, key);
	/* Old Docker wrote a plain string for a shell-form entry point. */
	if (json_kind(v) == JT_STRING) {
		strv_add(sv, json_str(v));
		return 0;
	}
	if (json_get_strv(o, key, sv) < 0)
		return err_set(err, ERR_INVALID, 0, "image configuration: %s must be a list of strings", key);
	return 0;
}

/* {"80/tcp": {}, ...}: the keys. */
static int read_keys(const struct json *o, const char *key, struct strv *sv, struct err *err)
{
	struct json *v = NULL, *ignored;
	const char *name;
	int r = json_check(o, key, JT_OBJECT, "image configuration", &v, err);
	if (r < 0)
		return r;
	for (void *it = NULL; (it = json_object_next(v, it, &name, &ignored));)
		strv_add(sv, name);
	return 0;
}

static int read_labels(const struct json *o, struct strv *sv, struct err *err)
{
	struct json *v = NULL, *value;
	const char *name;
	int r = json_check(o, "Labels", JT_OBJECT, "image configuration", &v, err);
	if (r < 0)
		return r;
	for (void *it = NULL; (it = json_object_next(v, it, &name, &value));) {
		if (json_kind(value) != JT_STRING)
			return err_set(err, ERR_INVALID, 0, "image configuration: label %s must be a string", name);
		strv_printf(sv, "%s=%s", name, json_str(value));
	}
	return 0;
}

static int read_health(const struct json *o, struct image_config *c, struct err *err)
{
	struct json *v = NULL;
	int r = json_check(o, "Healthcheck", JT_OBJECT, "image configuration", &v, err);
	if (r < 0 || !v)
		return r;
	c->has_health = true;
	c->health.interval_ns = json_get_i64(v, "Interval", 0);
	c->health.timeout_ns = json_get_i64(v, "Timeout", 0);
	c->health.start_period_ns = json_get_i64(v, "StartPeriod", 0);
	c->health.start_interval_ns = json_get_i64(v, "StartInterval", 0);
	c->health.retries = json_get_i64(v, "Retries", 0);
	return read_list(v, "Test", &c->health.test, err);
}

static int read_run(const struct json *root, struct image_config *c, struct err *err)
{
	struct json *o = NULL;
	int r = json_check(root, "config", JT_OBJECT, "image configuration", &o, err);
	if (r < 0 || !o)
		return r;
	if ((r = read_str(o, "User", &c->user, err)) < 0 || (r = read_str(o, "WorkingDir", &c->workdir, err)) < 0 ||
	    (r = read_str(o, "StopSignal", &c->stop_signal, err)) < 0)
		return r;
	if ((r = read_list(o, "Env", &c->env, err)) < 0 || (r = read_list(o, "Entrypoint", &c->entrypoint, err)) < 0 ||
	    (r = read_list(o, "Cmd", &c->cmd, err)) < 0 || (r = read_list(o, "Shell", &c->shell, err)) < 0 ||
	    (r = read_list(o, "OnBuild", &c->onbuild, err)) < 0)
		return r;
	c->args_escaped = json_get_bool(o, "ArgsEscaped", false);
	if ((r = read_keys(o, "ExposedPorts", &c->exposed_ports, err)) < 0 ||
	    (r = read_keys(o, "Volumes", &c->volumes, err)) < 0 || (r = read_labels(o, &c->labels, err)) < 0)
		return r;
	return read_health(o, c, err);
}

static int read_rootfs(const struct json *root, struct image_config *c, struct err *err)
{
	struct json *o = NULL;
	int r = json_check(root, "rootfs", JT_OBJECT, "image configuration", &o, err);
	if (r < 0)
		return r;
	if (json_get_strv(o, "diff_ids", &c->diffids) < 0)
		return err_set(err, ERR_INVALID, 0, "image configuration: diff_ids must be a list of strings");
	if (c->diffids.n > LAYERS_MAX)
		return err_set(err, ERR_INVALID, 0, "image configuration: more than %d layers", LAYERS_MAX);
	for (size_t i = 0; i < c->diffids.n; i++)
		if (!digest_is_valid(c->diffids.v[i]) || !str_starts_with(c->diffids.v[i], "sha256:"))
			return err_set(err, ERR_INVALID, 0, "image configuration: invalid diff id \"%.80s\"",
				       c->diffids.v[i]);
	return 0;
}

static int read_history(const struct json *root, struct image_config *c, struct err *err)
{
	struct json *list = NULL;
	int r = json_check(root, "history", JT_ARRAY, "image configuration", &list, err);
	if (r < 0)
		return r;
	if (json_array_len(list) > HISTORY_MAX)
		return err_set(err, ERR_INVALID, 0, "image configuration: history is too long");
	for (size_t i = 0; i < json_array_len(list); i++) {
		struct json *o = json_array_at(list, i);
		struct image_history *h = image_config_add_history(c);
		if ((r = read_time(o, &h->created_ns)) < 0 || (r = read_str(o, "created_by", &h->created_by, err)) < 0 ||
		    (r = read_str(o, "author", &h->author, err)) < 0 ||
		    (r = read_str(o, "comment", &h->comment, err)) < 0)
			return r;
		h->is_empty_layer = json_get_bool(o, "empty_layer", false);
	}
	return 0;
}

int image_config_parse(const char *text, size_t len, struct image_config **ret, struct err *err)
{
	CLEANUP_JSON struct json *root = NULL;
	CLEANUP_IMAGE_CONFIG struct image_config *c = image_config_new();
	int r = json_parse(text, len, "image configuration", &root, err);
	if (r < 0)
		return r;
	if (json_kind(root) != JT_OBJECT)
		return err_set(err, ERR_INVALID, 0, "image configuration is not a JSON object");
	if ((r = read_str(root, "os", &c->os, err)) < 0 ||
	    (r = read_str(root, "architecture", &c->architecture, err)) < 0 ||
	    (r = read_str(root, "variant", &c->variant, err)) < 0 ||
	    (r = read_str(root, "author", &c->author, err)) < 0 ||
	    (r = read_str(root, "comment", &c->comment, err)) < 0 || (r = read_time(root, &c->created_ns)) < 0)
		return r;
	if ((r = read_run(root, c, err)) < 0 || (r = read_rootfs(root, c, err)) < 0 ||
	    (r = read_history(root, c, err)) < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

/* ---- writing ---- */

static void write_str(struct json_writer *w, const char *key, const char *s)
{
	if (s)
		jw_kv_str(w, key, s);
}

static void write_list(struct json_writer *w, const char *key, const struct strv *sv)
{
	if (sv->n)
		jw_kv_strv(w, key, sv);
}

static void write_keys(struct json_writer *w, const char *key, const struct strv *sv)
{
	if (!sv->n)
		return;
	jw_key(w, key);
	jw_object(w);
	for (size_t i = 0; i < sv->n; i++) {
		jw_key(w, sv->v[i]);
		jw_object(w);
		jw_object_end(w);
	}
	jw_object_end(w);
}

static void write_time(struct json_writer *w, int64_t ns)
{
	char text[CLOCK_RFC3339_SIZE];
	if (ns)
		jw_kv_str(w, "created", clock_format_rfc3339(ns, text));
}

static void write_health(struct json_writer *w, const struct image_health *h)
{
	jw_key(w, "Healthcheck");
	jw_object(w);
	write_list(w, "Test", &h->test);
	const struct {
		const char *key;
		int64_t value;
	} numbers[] = { { "Interval", h->interval_ns },
			{ "Timeout", h->timeout_ns },
			{ "StartPeriod", h->start_period_ns },
			{ "StartInterval", h->start_interval_ns },
			{ "Retries", h->retries } };
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (numbers[i].value)
			jw_kv_i64(w, numbers[i].key, numbers[i].value);
	jw_object_end(w);
}

void image_config_write_run(const struct image_config *c, struct json_writer *w)
{
	jw_object(w);
	write_str(w, "User", c->user);
	write_keys(w, "ExposedPorts", &c->exposed_ports);
	write_list(w, "Env", &c->env);
	write_list(w, "Entrypoint", &c->entrypoint);
	write_list(w, "Cmd", &c->cmd);
	if (c->has_health)
		write_health(w, &c->health);
	if (c->args_escaped)
		jw_kv_bool(w, "ArgsEscaped", true);
	write_keys(w, "Volumes", &c->volumes);
	write_str(w, "WorkingDir", c->workdir);
	write_list(w, "OnBuild", &c->onbuild);
	if (c->labels.n)
		jw_kv_pairs(w, "Labels", &c->labels);
	write_str(w, "StopSignal", c->stop_signal);
	write_list(w, "Shell", &c->shell);
	jw_object_end(w);
}

static void write_history(struct json_writer *w, const struct image_config *c)
{
	jw_key(w, "history");
	jw_array(w);
	for (size_t i = 0; i < c->history_n; i++) {
		const struct image_history *h = &c->history[i];
		jw_object(w);
		write_time(w, h->created_ns);
		write_str(w, "created_by", h->created_by);
		write_str(w, "author", h->author);
		write_str(w, "comment", h->comment);
		if (h->is_empty_layer)
			jw_kv_bool(w, "empty_layer", true);
		jw_object_end(w);
	}
	jw_array_end(w);
}

int image_config_write(const struct image_config *c, struct buf *out)
{
	struct json_writer w;
	json_writer_init(&w, out, 0);
	jw_object(&w);
	jw_kv_str(&w, "architecture", c->architecture ? c->architecture : "");
	write_str(&w, "author", c->author);
	write_str(&w, "comment", c->comment);
	jw_key(&w, "config");
	image_config_write_run(c, &w);
	write_time(&w, c->created_ns);
	if (c->history_n)
		write_history(&w, c);
	jw_kv_str(&w, "os", c->os ? c->os : "");
	jw_key(&w, "rootfs");
	jw_object(&w);
	jw_kv_str(&w, "type", "layers");
	jw_kv_strv(&w, "diff_ids", &c->diffids);
	jw_object_end(&w);
	write_str(&w, "variant", c->variant);
	jw_object_end(&w);
	return json_writer_finish(&w);
}
