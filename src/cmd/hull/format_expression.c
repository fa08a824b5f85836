/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions are interpreted as they are read. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format_internal.h"

struct scan {
	const char *s;
	const struct json *dot;
};

static int pipeline(struct run *run, struct scan *sc, struct json **ret);

int expression_bad(struct run *run, const char *what, const char *at)
{
	return err_set(run->err, ERR_INVALID, 0, "template parsing error: %s at \"%.60s\"", what, at);
}

static void blanks(struct scan *sc)
{
	while (isspace((unsigned char)*sc->s))
		sc->s++;
}

size_t expression_name_len(const char *s)
{
	size_t n = 0;

	while (isalnum((unsigned char)s[n]) || s[n] == '_')
		n++;
	return n;
}

/* .A.B.C after a value. */
static struct json *fields(struct scan *sc, struct json *v)
{
	while (*sc->s == '.' && expression_name_len(sc->s + 1)) {
		size_t len = expression_name_len(sc->s + 1);
		CLEANUP_FREE char *key = str_ndup(sc->s + 1, len);
		v = json_get(v, key);
		sc->s += len + 1;
	}
	return v;
}

static int quoted(struct run *run, struct scan *sc, struct json **ret)
{
	CLEANUP_BUF struct buf text = BUF_INIT(FORMAT_TEXT_MAX);
	char quote = *sc->s++;
	int r = 0;

	for (; r == 0 && *sc->s && *sc->s != quote; sc->s++) {
		char c = *sc->s;
		if (c == '\\' && quote == '"' && sc->s[1]) {
			c = *++sc->s;
			c = c == 'n' ? '\n' : (c == 't' ? '\t' : c);
		}
		r = buf_append_char(&text, c);
	}
	if (r < 0 || *sc->s != quote)
		return expression_bad(run, "unterminated quoted string", sc->s);
	sc->s++;
	*ret = value_text(run, buf_str(&text));
	return 0;
}

static int number(struct run *run, struct scan *sc, struct json **ret)
{
	char *end;
	int64_t v = strtoll(sc->s, &end, 10);

	if (end == sc->s)
		return expression_bad(run, "unexpected character", sc->s);
	sc->s = end;
	*ret = value_number(run, v);
	return 0;
}

static struct json *variable(struct run *run, const char *name, size_t len)
{
	if (len == 0)
		return (struct json *)run->root;
	for (size_t i = run->variables_n; i-- > 0;)
		if (strlen(run->variables[i].name) == len && memcmp(run->variables[i].name, name, len) == 0)
			return run->variables[i].value;
	return NULL;
}

static int no_field(struct run *run, const char *key)
{
	err_set(run->err, ERR_INVALID, 0, "template parsing error: template: :1:2: executing \"\" at <.%s>: map has no entry for key \"%s\"",
		key, key);
	err_hint(run->err, "--format json   shows all fields");
	return -EINVAL;
}

/* One operand; 1 means "none here" (end, '|', ')'). */
static int operand(struct run *run, struct scan *sc, struct json **ret)
{
	blanks(sc);
	if (!*sc->s || *sc->s == '|' || *sc->s == ')')
		return 1;
	if (++run->steps > FORMAT_STEPS_MAX)
		return expression_bad(run, "the template does too much", sc->s);
	if (*sc->s == '"' || *sc->s == '`')
		return quoted(run, sc, ret);
	if (*sc->s == '(') {
		if (run->depth >= FORMAT_DEPTH_MAX)
			return expression_bad(run, "parentheses nested too deep", sc->s);
		sc->s++;
		run->depth++;
		int r = pipeline(run, sc, ret);
		run->depth--;
		if (r < 0)
			return r;
		if (*sc->s != ')')
			return expression_bad(run, "unclosed left paren", sc->s);
		sc->s++;
		*ret = fields(sc, *ret);
		return 0;
	}
	if (*sc->s == '.') {
		size_t len = expression_name_len(sc->s + 1);
		CLEANUP_FREE char *key = str_ndup(sc->s + 1, len);
		*ret = (struct json *)sc->dot;
		/* Of the whole object every field is known: a typing mistake. */
		if (len && *ret == run->root && json_kind(*ret) == JT_OBJECT && !json_get(*ret, key))
			return no_field(run, key);
		if (len)
			*ret = fields(sc, *ret);
		else
			sc->s++;
		return 0;
	}
	if (*sc->s == '$') {
		size_t len = expression_name_len(sc->s + 1);
		*ret = variable(run, sc->s + 1, len);
		sc->s += len + 1;
		*ret = fields(sc, *ret);
		return 0;
	}
	if (action_is(sc->s, "true") || action_is(sc->s, "false") || action_is(sc->s, "nil")) {
		bool v = *sc->s == 't';
		*ret = *sc->s == 'n' ? NULL : value_flag(run, v);
		sc->s += expression_name_len(sc->s);
		return 0;
	}
	if (*sc->s == '-' || isdigit((unsigned char)*sc->s))
		return number(run, sc, ret);
	return expression_bad(run, "unexpected word", sc->s);
}

/* .Label "key" of a listing's row, whose Labels are "key=value,key=value": a value
 * ends at a comma after which a key comes. */
static int label_method(struct run *run, struct scan *sc, struct json **ret)
{
	CLEANUP_BUF struct buf value = BUF_INIT(1 << 20);
	struct json *key = NULL;
	const char *labels = json_str(json_get((struct json *)sc->dot, "Labels"));

	sc->s += strlen(".Label");
	blanks(sc);
	int r = quoted(run, sc, &key);
	const char *name = r == 0 ? json_str(key) : NULL;
	size_t len = name ? strlen(name) : 0;
	for (const char *p = labels; len && p && r == 0; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
		if (strncmp(p, name, len) != 0 || p[len] != '=')
			continue;
		const char *end = p + len + 1;
		while (*end && !(*end == ',' && strcspn(end + 1, "=") < strcspn(end + 1, ",")))
			end++;
		r = buf_append(&value, p + len + 1, (size_t)(end - p) - len - 1);
		break;
	}
	*ret = value_text(run, buf_str(&value));
	return r;
}

static bool is_label_method(const char *s)
{
	return str_starts_with(s, ".Label ") && (s[7 + strspn(s + 7, " ")] == '"' || s[7 + strspn(s + 7, " ")] == '`');
}

/* One command of a pipe: a function with operands, or one operand. @piped, if
 * @has_piped, is the last argument. */
static int command(struct run *run, struct scan *sc, bool has_piped, struct json *piped, struct json **ret)
{
	struct call c = { .run = run };
	size_t len;
	int r;

	blanks(sc);
	len = isalpha((unsigned char)*sc->s) ? expression_name_len(sc->s) : 0;
	const struct format_function *f = len ? format_function_find(sc->s, len) : NULL;
	bool is_literal = action_is(sc->s, "true") || action_is(sc->s, "false") || action_is(sc->s, "nil");
	if (len && !f && !is_literal)
		return err_set(run->err, ERR_INVALID, 0, "template parsing error: function \"%.*s\" not defined", (int)len, sc->s);
	if (is_label_method(sc->s))
		return label_method(run, sc, ret);
	if (!f) {
		r = operand(run, sc, ret);
		return r == 1 ? expression_bad(run, "missing value for command", sc->s) : r;
	}
	sc->s += len;
	while (c.n < FORMAT_ARGS_MAX - 1 && (r = operand(run, sc, &c.args[c.n])) != 1) {
		if (r < 0)
			return r;
		c.n++;
	}
	if (has_piped)
		c.args[c.n++] = piped;
	if (!c.n && !f->takes_none)
		return err_set(run->err, ERR_INVALID, 0, "template: wrong number of args for %s", f->name);
	*ret = f->call(&c);
	return 0;
}

static int pipeline(struct run *run, struct scan *sc, struct json **ret)
{
	struct json *v = NULL;
	int r = command(run, sc, false, NULL, &v);

	for (blanks(sc); r == 0 && *sc->s == '|'; blanks(sc)) {
		sc->s++;
		r = command(run, sc, true, v, &v);
	}
	*ret = v;
	return r;
}

void run_set_variable(struct run *run, const char *name, size_t len, struct json *value)
{
	if (run->variables_n == FORMAT_VARIABLES_MAX || len >= sizeof(run->variables[0].name))
		return;
	struct variable *v = &run->variables[run->variables_n++];
	memcpy(v->name, name, len);
	v->name[len] = 0;
	v->value = value;
}

int expression_evaluate(struct run *run, const char *text, const struct json *dot, struct json **ret)
{
	struct scan sc = { text, dot };
	int r = pipeline(run, &sc, ret);

	if (r == 0 && *sc.s)
		return expression_bad(run, "unexpected text", sc.s);
	return r;
}
