/* SPDX-License-Identifier: Apache-2.0 */
#include "image_change.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char *skip_space(const char *s)
{
	while (isspace((unsigned char)*s))
		s++;
	return s;
}

/* The next word of *s with quotes and backslashes taken away, NULL at the end. */
static char *next_word(const char **s)
{
	CLEANUP_BUF struct buf word = BUF_INIT(1 << 16);
	const char *c = skip_space(*s);
	char quote = 0;
	if (!*c)
		return NULL;
	for (; *c && (quote || !isspace((unsigned char)*c)); c++) {
		if (quote ? *c == quote : *c == '"' || *c == '\'') {
			quote = quote ? 0 : *c;
			continue;
		}
		if (*c == '\\' && c[1] && quote != '\'')
			c++;
		if (buf_append_char(&word, *c) < 0)
			return NULL;
	}
	*s = c;
	return str_dup(buf_str(&word));
}

/* ["a", "b"]: 1, or 0 when it is not in this form. */
static int add_exec_form(struct strv *sv, const char *args, struct err *err)
{
	CLEANUP_JSON struct json *list = NULL;
	if (*args != '[' || json_parse(args, strlen(args), "command", &list, NULL) < 0)
		return 0;
	for (size_t i = 0; i < json_array_len(list); i++) {
		if (!json_str(json_array_at(list, i)))
			return err_set(err, ERR_INVALID, 0, "a command must be a list of strings");
		strv_add(sv, json_str(json_array_at(list, i)));
	}
	return 1;
}

/* The exec form as it is; anything else is for the shell. */
static int set_command(struct strv *sv, const char *args, struct err *err)
{
	strv_free(sv);
	int r = add_exec_form(sv, args, err);
	if (r != 0)
		return r < 0 ? r : 0;
	strv_add(sv, "/bin/sh");
	strv_add(sv, "-c");
	strv_add(sv, args);
	return 0;
}

/* Replace the entry of the same key, or append. */
static void set_pair(struct strv *sv, const char *key, size_t key_len, const char *value)
{
	char *pair = str_printf("%.*s=%s", (int)key_len, key, value);
	for (size_t i = 0; i < sv->n; i++)
		if (strncmp(sv->v[i], pair, key_len + 1) == 0) {
			free(sv->v[i]);
			sv->v[i] = pair;
			return;
		}
	strv_take(sv, pair);
}

/* "k=v k2=v2", or the old "k the rest". */
static int set_pairs(struct strv *sv, const char *args, struct err *err)
{
	size_t key_len = strcspn(args, "= \t");
	if (args[key_len] != '=') {
		if (!args[key_len])
			return err_set(err, ERR_INVALID, 0, "%s needs a value", args);
		set_pair(sv, args, key_len, skip_space(args + key_len));
		return 0;
	}
	for (;;) {
		CLEANUP_FREE char *word = next_word(&args);
		if (!word)
			return 0;
		char *eq = strchr(word, '=');
		if (!eq || eq == word)
			return err_set(err, ERR_INVALID, 0, "%s must be key=value", word);
		set_pair(sv, word, (size_t)(eq - word), eq + 1);
	}
}

static int add_words(struct strv *sv, const char *args, const char *suffix)
{
	CLEANUP_JSON struct json *list = NULL;
	if (*args == '[' && json_parse(args, strlen(args), "list", &list, NULL) == 0) {
		for (size_t i = 0; i < json_array_len(list); i++)
			if (json_str(json_array_at(list, i)) && !strv_contains(sv, json_str(json_array_at(list, i))))
				strv_add(sv, json_str(json_array_at(list, i)));
		return 0;
	}
	for (;;) {
		CLEANUP_FREE char *word = next_word(&args);
		if (!word)
			return 0;
		CLEANUP_FREE char *whole = str_printf("%s%s", word, strchr(word, '/') ? "" : suffix);
		if (!strv_contains(sv, whole))
			strv_add(sv, whole);
	}
}

static int set_str(char **where, const char *args)
{
	const char *rest = args;
	free(*where);
	*where = next_word(&rest);
	return 0;
}

/* One "--interval=5s" of HEALTHCHECK: 1, 0 when @word is none, or an error. */
static int set_health_option(struct image_health *h, const char *word, struct err *err)
{
	struct {
		const char *name;
		int64_t *ns;
	} const times[] = { { "--interval=", &h->interval_ns }, { "--timeout=", &h->timeout_ns },
			    { "--start-period=", &h->start_period_ns }, { "--start-interval=", &h->start_interval_ns } };
	if (!str_starts_with(word, "--"))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		if (str_starts_with(word, times[i].name))
			return str_parse_duration_ns(word + strlen(times[i].name), times[i].ns) < 0 || *times[i].ns < 0 ?
				       err_set(err, ERR_INVALID, 0, "HEALTHCHECK: bad duration in %s", word) : 1;
	if (str_starts_with(word, "--retries="))
		return str_parse_i64(word + strlen("--retries="), &h->retries) < 0 || h->retries < 0 ?
			       err_set(err, ERR_INVALID, 0, "HEALTHCHECK: bad number in %s", word) : 1;
	return err_set(err, ERR_INVALID, 0, "HEALTHCHECK has no option %s", word);
}

/* "NONE", or "[OPTIONS] CMD command". */
static int set_health(struct image_config *c, const char *args, struct err *err)
{
	struct image_health h = { 0 };
	for (;;) {
		const char *rest = args;
		CLEANUP_FREE char *word = next_word(&rest);
		int r = word ? set_health_option(&h, word, err) : 0;
		if (r < 0)
			return r;
		if (r == 0)
			break;
		args = skip_space(rest);
	}
	size_t len = strcspn(args, " \t");
	const char *command = skip_space(args + len);
	if (len == 4 && strncasecmp(args, "NONE", 4) == 0 && !*command) {
		strv_add(&h.test, "NONE");
	} else if (len == 3 && strncasecmp(args, "CMD", 3) == 0 && *command) {
		CLEANUP_STRV struct strv exec = { 0 };
		int r = add_exec_form(&exec, command, err);
		if (r < 0)
			return r;
		strv_add(&h.test, r ? "CMD" : "CMD-SHELL");
		if (r)
			strv_extend(&h.test, &exec);
		else
			strv_add(&h.test, command);
	} else {
		return err_set(err, ERR_INVALID, 0, "HEALTHCHECK takes NONE, or options and CMD command: %s", args);
	}
	strv_free(&c->health.test);
	c->health = h;
	c->has_health = true;
	return 0;
}

static int apply(struct image_config *c, const char *word, size_t len, const char *args, struct err *err)
{
#define IS(name) (len == strlen(name) && strncasecmp(word, name, len) == 0)
	if (IS("CMD"))
		return set_command(&c->cmd, args, err);
	if (IS("ENTRYPOINT"))
		return set_command(&c->entrypoint, args, err);
	if (IS("ENV"))
		return set_pairs(&c->env, args, err);
	if (IS("LABEL"))
		return set_pairs(&c->labels, args, err);
	if (IS("EXPOSE"))
		return add_words(&c->exposed_ports, args, "/tcp");
	if (IS("VOLUME"))
		return add_words(&c->volumes, args, "");
	if (IS("USER"))
		return set_str(&c->user, args);
	if (IS("WORKDIR"))
		return set_str(&c->workdir, args);
	if (IS("STOPSIGNAL"))
		return set_str(&c->stop_signal, args);
	if (IS("HEALTHCHECK"))
		return set_health(c, args, err);
	if (IS("ONBUILD")) {
		strv_add(&c->onbuild, args);
		return 0;
	}
#undef IS
	err_set(err, ERR_INVALID, 0, "%.*s is not a valid change command", (int)len, word);
	err_hint(err, "one of CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR");
	return -EINVAL;
}

int image_change_apply(struct image_config *config, const char *instruction, struct err *err)
{
	const char *word = skip_space(instruction);
	size_t len = strcspn(word, " \t");
	const char *args = skip_space(word + len);
	if (!*args)
		return err_set(err, ERR_INVALID, 0, "%.*s needs an argument", (int)len, word);
	return apply(config, word, len, args, err);
}
