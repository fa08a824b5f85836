/* SPDX-License-Identifier: Apache-2.0 */
/* Values are JSON values; what a function makes is owned by the run. */
#include <stdlib.h>
#include <string.h>

#include "format_internal.h"

static struct json *own(struct run *run, const struct buf *text)
{
	struct json *v = NULL;
	struct json **more = realloc(run->arena, (run->arena_n + 1) * sizeof(*more));

	if (!more)
		return NULL;
	run->arena = more;
	/* The reader wants a document; a scalar in an array is one. */
	if (json_parse(text->data, text->len, "value", &v, NULL) < 0)
		return NULL;
	run->arena[run->arena_n++] = v;
	return json_array_at(v, 0);
}

static struct json *make(struct run *run, void (*write)(struct json_writer *w, const void *value), const void *value)
{
	CLEANUP_BUF struct buf text = BUF_INIT(8 << 20);
	struct json_writer w;

	json_writer_init(&w, &text, 0);
	jw_array(&w);
	write(&w, value);
	jw_array_end(&w);
	return json_writer_finish(&w) == 0 ? own(run, &text) : NULL;
}

static void write_text(struct json_writer *w, const void *value)
{
	jw_str(w, value);
}

static void write_number(struct json_writer *w, const void *value)
{
	jw_i64(w, *(const int64_t *)value);
}

static void write_flag(struct json_writer *w, const void *value)
{
	jw_bool(w, *(const bool *)value);
}

static void write_list(struct json_writer *w, const void *value)
{
	jw_strv(w, value);
}

struct json *value_text(struct run *run, const char *text)
{
	return make(run, write_text, text);
}

struct json *value_number(struct run *run, int64_t number)
{
	return make(run, write_number, &number);
}

struct json *value_flag(struct run *run, bool flag)
{
	return make(run, write_flag, &flag);
}

struct json *value_list(struct run *run, const struct strv *list)
{
	return make(run, write_list, list);
}

bool value_is_true(const struct json *v)
{
	switch (json_kind(v)) {
	case JT_MISSING:
	case JT_NULL:
		return false;
	case JT_BOOL:
		return json_bool(v, false);
	case JT_INTEGER:
	case JT_REAL:
		return json_double(v, 0) != 0;
	case JT_STRING:
		return *json_str(v);
	case JT_ARRAY:
		return json_array_len(v) > 0;
	default:
		return json_object_len(v) > 0;
	}
}

void value_keys(const struct json *object, struct strv *ret)
{
	const char *key;
	struct json *member;
	for (void *it = NULL; (it = json_object_next(object, it, &key, &member));)
		strv_add(ret, key);
	strv_sort(ret);
}

int value_print(struct buf *out, const struct json *v)
{
	CLEANUP_STRV struct strv keys = { 0 };
	int r = 0;
	switch (json_kind(v)) {
	case JT_MISSING:
	case JT_NULL:
		return buf_append_str(out, "<no value>");
	case JT_BOOL:
		return buf_append_str(out, json_bool(v, false) ? "true" : "false");
	case JT_INTEGER:
		return buf_printf(out, "%lld", (long long)json_i64(v, 0));
	case JT_REAL:
		return buf_printf(out, "%g", json_double(v, 0));
	case JT_STRING:
		return buf_append_str(out, json_str(v));
	case JT_ARRAY:
		r = buf_append_char(out, '[');
		for (size_t i = 0; r == 0 && i < json_array_len(v); i++) {
			r = i ? buf_append_char(out, ' ') : 0;
			if (r == 0)
				r = value_print(out, json_array_at(v, i));
		}
		return r ? r : buf_append_char(out, ']');
	default:
		value_keys(v, &keys);
		r = buf_append_str(out, "map[");
		for (size_t i = 0; r == 0 && i < keys.n; i++) {
			r = buf_printf(out, "%s%s:", i ? " " : "", keys.v[i]);
			if (r == 0)
				r = value_print(out, json_get(v, keys.v[i]));
		}
		return r ? r : buf_append_char(out, ']');
	}
}
