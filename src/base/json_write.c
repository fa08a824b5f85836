/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "cleanup.h"
#include "json.h"

static void put(struct json_writer *w, const char *s, size_t len)
{
	if (w->error == 0)
		w->error = buf_append(w->out, s, len);
}

static void put_str(struct json_writer *w, const char *s)
{
	put(w, s, strlen(s));
}

static void newline(struct json_writer *w)
{
	static const char spaces[] = "                                ";
	if (!w->indent)
		return;
	put(w, "\n", 1);
	for (size_t n = (size_t)w->indent * w->depth; n;) {
		size_t chunk = n < sizeof(spaces) - 1 ? n : sizeof(spaces) - 1;
		put(w, spaces, chunk);
		n -= chunk;
	}
}

/* Comma and line break before a member or an element. */
static void begin_item(struct json_writer *w)
{
	if (w->after_key) {
		w->after_key = false;
		return;
	}
	if (w->depth == 0)
		return;
	uint64_t bit = 1ULL << w->depth;
	if (w->has_member & bit)
		put(w, ",", 1);
	w->has_member |= bit;
	newline(w);
}

static void open_level(struct json_writer *w, const char *bracket)
{
	begin_item(w);
	put(w, bracket, 1);
	w->depth++;
	assert(w->depth < 64);
	w->has_member &= ~(1ULL << w->depth);
}

static void close_level(struct json_writer *w, const char *bracket)
{
	assert(w->depth > 0 && !w->after_key);
	bool had_member = w->has_member & (1ULL << w->depth);
	w->depth--;
	if (had_member)
		newline(w);
	put(w, bracket, 1);
}

void json_writer_init(struct json_writer *w, struct buf *out, unsigned indent)
{
	*w = (struct json_writer){ .out = out, .indent = indent };
}

void jw_object(struct json_writer *w)
{
	open_level(w, "{");
}

void jw_object_end(struct json_writer *w)
{
	close_level(w, "}");
}

void jw_array(struct json_writer *w)
{
	open_level(w, "[");
}

void jw_array_end(struct json_writer *w)
{
	close_level(w, "]");
}

/* Length of the valid UTF-8 sequence at @s, or 0. */
static size_t utf8_len(const unsigned char *s, size_t len)
{
	size_t n;
	uint32_t cp;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2, cp = s[0] & 0x1fu;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		n = 3, cp = s[0] & 0x0fu;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4, cp = s[0] & 0x07u;
	else
		return 0;
	if (len < n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (s[i] & 0x3fu);
	}
	if ((n == 3 && (cp < 0x800 || (cp >= 0xd800 && cp <= 0xdfff))) || (n == 4 && (cp < 0x10000 || cp > 0x10ffff)))
		return 0;
	return n;
}

static void put_quoted(struct json_writer *w, const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s, *end = p + len, *plain = p;

	put(w, "\"", 1);
	while (p < end) {
		size_t n = utf8_len(p, (size_t)(end - p));
		if (n > 1 || (n == 1 && *p >= 0x20 && *p != '"' && *p != '\\' && *p != 0x7f)) {
			p += n;
			continue;
		}
		put(w, (const char *)plain, (size_t)(p - plain));
		char esc[8];
		if (n == 0)
			put_str(w, "\\ufffd");
		else if (*p == '"' || *p == '\\')
			put(w, (char[]){ '\\', (char)*p }, 2);
		else if (*p == '\n')
			put_str(w, "\\n");
		else if (*p == '\r')
			put_str(w, "\\r");
		else if (*p == '\t')
			put_str(w, "\\t");
		else {
			snprintf(esc, sizeof(esc), "\\u%04x", *p);
			put_str(w, esc);
		}
		plain = ++p;
	}
	put(w, (const char *)plain, (size_t)(p - plain));
	put(w, "\"", 1);
}

void jw_key(struct json_writer *w, const char *key)
{
	assert(w->depth > 0 && !w->after_key);
	begin_item(w);
	put_quoted(w, key, strlen(key));
	put(w, ": ", w->indent ? 2 : 1);
	w->after_key = true;
}

void jw_strn(struct json_writer *w, const char *s, size_t len)
{
	begin_item(w);
	put_quoted(w, s, len);
}

void jw_str(struct json_writer *w, const char *s)
{
	if (s)
		jw_strn(w, s, strlen(s));
	else
		jw_null(w);
}

void jw_i64(struct json_writer *w, int64_t v)
{
	char text[24];
	begin_item(w);
	snprintf(text, sizeof(text), "%lld", (long long)v);
	put_str(w, text);
}

void jw_u64(struct json_writer *w, uint64_t v)
{
	char text[24];
	begin_item(w);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	put_str(w, text);
}

void jw_double(struct json_writer *w, double v)
{
	char text[40];
	begin_item(w);
	snprintf(text, sizeof(text), "%.17g", isfinite(v) ? v : 0.0);
	put_str(w, text);
}

void jw_bool(struct json_writer *w, bool v)
{
	begin_item(w);
	put_str(w, v ? "true" : "false");
}

void jw_null(struct json_writer *w)
{
	begin_item(w);
	put_str(w, "null");
}

void jw_value(struct json_writer *w, const struct json *v)
{
	const char *key;
	struct json *e;

	switch (json_kind(v)) {
	case JT_MISSING:
	case JT_NULL:
		jw_null(w);
		break;
	case JT_BOOL:
		jw_bool(w, json_bool(v, false));
		break;
	case JT_INTEGER:
		jw_i64(w, json_i64(v, 0));
		break;
	case JT_REAL:
		jw_double(w, json_double(v, 0));
		break;
	case JT_STRING:
		jw_str(w, json_str(v));
		break;
	case JT_ARRAY:
		jw_array(w);
		for (size_t i = 0; i < json_array_len(v); i++)
			jw_value(w, json_array_at(v, i));
		jw_array_end(w);
		break;
	case JT_OBJECT:
		jw_object(w);
		for (void *it = NULL; (it = json_object_next(v, it, &key, &e));) {
			jw_key(w, key);
			jw_value(w, e);
		}
		jw_object_end(w);
		break;
	}
}

void jw_strv(struct json_writer *w, const struct strv *sv)
{
	jw_array(w);
	for (size_t i = 0; i < sv->n; i++)
		jw_str(w, sv->v[i]);
	jw_array_end(w);
}

void jw_kv_str(struct json_writer *w, const char *key, const char *s)
{
	jw_key(w, key);
	jw_str(w, s);
}

void jw_kv_i64(struct json_writer *w, const char *key, int64_t v)
{
	jw_key(w, key);
	jw_i64(w, v);
}

void jw_kv_bool(struct json_writer *w, const char *key, bool v)
{
	jw_key(w, key);
	jw_bool(w, v);
}

void jw_kv_strv(struct json_writer *w, const char *key, const struct strv *sv)
{
	jw_key(w, key);
	jw_strv(w, sv);
}

void jw_pairs(struct json_writer *w, const struct strv *pairs)
{
	jw_object(w);
	for (size_t i = 0; i < pairs->n; i++) {
		const char *pair = pairs->v[i], *eq = strchrnul(pair, '=');
		CLEANUP_FREE char *name = str_ndup(pair, (size_t)(eq - pair));
		jw_kv_str(w, name, *eq ? eq + 1 : "");
	}
	jw_object_end(w);
}

void jw_kv_pairs(struct json_writer *w, const char *key, const struct strv *pairs)
{
	jw_key(w, key);
	jw_pairs(w, pairs);
}

int json_writer_finish(struct json_writer *w)
{
	assert(w->depth == 0 && !w->after_key);
	return w->error;
}
