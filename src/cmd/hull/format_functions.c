/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of templates: those of Go's text/template and those that Docker's
 * client adds. */
#include <ctype.h>
#include <string.h>

#include "format_internal.h"

static const char *arg_str(const struct call *c, size_t i)
{
	const char *s = i < c->n ? json_str(c->args[i]) : NULL;

	return s ? s : "";
}

static struct json *fn_json(struct call *c)
{
	CLEANUP_FREE char *text = c->n ? json_dump(c->args[0]) : NULL;

	return value_text(c->run, text ? text : "null");
}

static struct json *fn_case(struct call *c, int kind)
{
	CLEANUP_FREE char *s = str_dup(arg_str(c, 0));
	bool first = true;

	for (char *p = s; *p; p++) {
		if (kind == 'l')
			*p = (char)tolower((unsigned char)*p);
		else if (kind == 'u' || first)
			*p = (char)toupper((unsigned char)*p);
		first = isspace((unsigned char)*p);
	}
	return value_text(c->run, s);
}

static struct json *fn_lower(struct call *c)
{
	return fn_case(c, 'l');
}

static struct json *fn_upper(struct call *c)
{
	return fn_case(c, 'u');
}

static struct json *fn_title(struct call *c)
{
	return fn_case(c, 't');
}

static struct json *fn_join(struct call *c)
{
	CLEANUP_BUF struct buf text = BUF_INIT(1 << 20);
	int r = 0;

	for (size_t i = 0; r == 0 && i < json_array_len(c->args[0]); i++) {
		r = i ? buf_append_str(&text, arg_str(c, 1)) : 0;
		if (r == 0)
			r = value_print(&text, json_array_at(c->args[0], i));
	}
	return value_text(c->run, buf_str(&text));
}

static struct json *fn_split(struct call *c)
{
	CLEANUP_STRV struct strv parts = { 0 };
	const char *s = arg_str(c, 0), *sep = arg_str(c, 1), *at;

	while (*sep && (at = strstr(s, sep))) {
		strv_take(&parts, str_ndup(s, (size_t)(at - s)));
		s = at + strlen(sep);
	}
	strv_add(&parts, s);
	return value_list(c->run, &parts);
}

static struct json *fn_len(struct call *c)
{
	const struct json *v = c->args[0];
	int64_t n = json_kind(v) == JT_ARRAY ? (int64_t)json_array_len(v) :
		    json_kind(v) == JT_OBJECT ? (int64_t)json_object_len(v) :
						(int64_t)strlen(arg_str(c, 0));

	return value_number(c->run, n);
}

static struct json *fn_index(struct call *c)
{
	struct json *v = c->args[0];

	for (size_t i = 1; i < c->n; i++)
		v = json_kind(v) == JT_ARRAY ? json_array_at(v, (size_t)json_i64(c->args[i], INT64_MAX)) :
					       json_get(v, arg_str(c, i));
	return v;
}

static struct json *fn_truncate(struct call *c)
{
	const char *s = arg_str(c, 0);
	int64_t max = c->n > 1 ? json_i64(c->args[1], 0) : 0;
	CLEANUP_FREE char *cut = str_ndup(s, max < 0 || (size_t)max > strlen(s) ? strlen(s) : (size_t)max);

	return value_text(c->run, cut);
}

/* pad "text" BEFORE AFTER, in spaces; nothing around an empty text. */
static struct json *fn_pad(struct call *c)
{
	CLEANUP_BUF struct buf text = BUF_INIT(1 << 20);
	int64_t before = c->n > 1 ? json_i64(c->args[1], 0) : 0, after = c->n > 2 ? json_i64(c->args[2], 0) : 0;
	int r = 0;
	if (!*arg_str(c, 0))
		return value_text(c->run, "");
	for (; r == 0 && before > 0; before--)
		r = buf_append_char(&text, ' ');
	if (r == 0)
		r = buf_append_str(&text, arg_str(c, 0));
	for (; r == 0 && after > 0; after--)
		r = buf_append_char(&text, ' ');
	return r < 0 ? NULL : value_text(c->run, buf_str(&text));
}

static struct json *fn_slice(struct call *c)
{
	const char *s = arg_str(c, 0);
	int64_t len = (int64_t)strlen(s), from = c->n > 1 ? json_i64(c->args[1], 0) : 0, to = c->n > 2 ? json_i64(c->args[2], len) : len;

	if (from < 0 || to > len || from > to)
		return NULL;
	CLEANUP_FREE char *cut = str_ndup(s + from, (size_t)(to - from));
	return value_text(c->run, cut);
}

static struct json *print_all(struct call *c, bool newline)
{
	CLEANUP_BUF struct buf text = BUF_INIT(1 << 20);
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->n; i++) {
		r = i ? buf_append_char(&text, ' ') : 0;
		if (r == 0)
			r = value_print(&text, c->args[i]);
	}
	if (r == 0 && newline)
		r = buf_append_char(&text, '\n');
	return r < 0 ? NULL : value_text(c->run, buf_str(&text));
}

static struct json *fn_print(struct call *c)
{
	return print_all(c, false);
}

static struct json *fn_println(struct call *c)
{
	return print_all(c, true);
}

/* %s %v %d %q %% with an optional width; nothing of it reaches C's printf. */
static struct json *fn_printf(struct call *c)
{
	CLEANUP_BUF struct buf text = BUF_INIT(1 << 20);
	size_t next = 1;
	int r = 0;

	for (const char *f = arg_str(c, 0); *f && r == 0; f++) {
		if (*f != '%') {
			r = buf_append_char(&text, *f);
			continue;
		}
		bool left = f[1] == '-';
		f += left;
		size_t width = 0;
		for (; isdigit((unsigned char)f[1]) && width < 1000; f++)
			width = width * 10 + (size_t)(f[1] - '0');
		if (!*++f)
			break;
		CLEANUP_BUF struct buf one = BUF_INIT(1 << 20);
		if (*f == '%')
			r = buf_append_char(&one, '%');
		else if (*f == 'q')
			r = buf_printf(&one, "\"%s\"", arg_str(c, next++));
		else
			r = value_print(&one, next < c->n ? c->args[next] : NULL), next++;
		for (size_t i = one.len; !left && r == 0 && i < width; i++)
			r = buf_append_char(&text, ' ');
		if (r == 0)
			r = buf_append_str(&text, buf_str(&one));
		for (size_t i = one.len; left && r == 0 && i < width; i++)
			r = buf_append_char(&text, ' ');
	}
	return value_text(c->run, buf_str(&text));
}

static int compare(const struct json *a, const struct json *b)
{
	if (json_kind(a) == JT_STRING && json_kind(b) == JT_STRING)
		return strcmp(json_str(a), json_str(b));
	if (json_kind(a) == JT_BOOL && json_kind(b) == JT_BOOL)
		return json_bool(a, false) - json_bool(b, false);
	if ((json_kind(a) == JT_INTEGER || json_kind(a) == JT_REAL) && (json_kind(b) == JT_INTEGER || json_kind(b) == JT_REAL))
		return json_double(a, 0) < json_double(b, 0) ? -1 : json_double(a, 0) > json_double(b, 0);
	return 2;
}

static struct json *flag(struct call *c, bool v)
{
	return value_flag(c->run, v);
}

static struct json *fn_eq(struct call *c)
{
	bool v = false;

	for (size_t i = 1; i < c->n; i++)
		v |= compare(c->args[0], c->args[i]) == 0;
	return flag(c, v);
}

static int compare_two(struct call *c)
{
	return c->n == 2 ? compare(c->args[0], c->args[1]) : 2;
}

static struct json *fn_ne(struct call *c)
{
	return flag(c, compare_two(c) != 0);
}

static struct json *fn_lt(struct call *c)
{
	return flag(c, compare_two(c) < 0);
}

static struct json *fn_le(struct call *c)
{
	return flag(c, compare_two(c) <= 0);
}

static struct json *fn_gt(struct call *c)
{
	return flag(c, compare_two(c) == 1 || (compare_two(c) > 0 && compare_two(c) != 2));
}

static struct json *fn_ge(struct call *c)
{
	return flag(c, compare_two(c) >= 0 && compare_two(c) != 2);
}

static struct json *fn_and(struct call *c)
{
	for (size_t i = 0; i + 1 < c->n; i++)
		if (!value_is_true(c->args[i]))
			return c->args[i];
	return c->args[c->n - 1];
}

static struct json *fn_or(struct call *c)
{
	for (size_t i = 0; i + 1 < c->n; i++)
		if (value_is_true(c->args[i]))
			return c->args[i];
	return c->args[c->n - 1];
}

static struct json *fn_not(struct call *c)
{
	return flag(c, !value_is_true(c->args[0]));
}

static const struct format_function functions[] = {
	{ "json", fn_json },
	{ "lower", fn_lower },
	{ "upper", fn_upper },
	{ "title", fn_title },
	{ "join", fn_join },
	{ "split", fn_split },
	{ "len", fn_len },
	{ "index", fn_index },
	{ "slice", fn_slice },
	{ "truncate", fn_truncate },
	{ "pad", fn_pad },
	{ "print", fn_print, true },
	{ "html", fn_print, true },
	{ "println", fn_println, true },
	{ "printf", fn_printf },
	{ "eq", fn_eq },
	{ "ne", fn_ne },
	{ "lt", fn_lt },
	{ "le", fn_le },
	{ "gt", fn_gt },
	{ "ge", fn_ge },
	{ "and", fn_and },
	{ "or", fn_or },
	{ "not", fn_not },
};

const struct format_function *format_function_find(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(functions); i++)
		if (strlen(functions[i].name) == len && memcmp(functions[i].name, name, len) == 0)
			return &functions[i];
	return NULL;
}
