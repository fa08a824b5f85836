/* SPDX-License-Identifier: Apache-2.0 */
#include "json_log.h"

#include <errno.h>
#include <string.h>

#include "clock.h"
#include "str.h"

struct cursor {
	const char *p, *end;
};

static void skip_space(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
		c->p++;
}

static bool take(struct cursor *c, char wanted)
{
	skip_space(c);
	if (c->p == c->end || *c->p != wanted)
		return false;
	c->p++;
	return true;
}

static int hex4(struct cursor *c, uint32_t *ret)
{
	uint32_t v = 0;
	if (c->end - c->p < 4)
		return -EINVAL;
	for (int i = 0; i < 4; i++) {
		char d = *c->p++;
		if (d >= '0' && d <= '9')
			v = v * 16 + (uint32_t)(d - '0');
		else if ((d | 0x20) >= 'a' && (d | 0x20) <= 'f')
			v = v * 16 + (uint32_t)((d | 0x20) - 'a' + 10);
		else
			return -EINVAL;
	}
	*ret = v;
	return 0;
}

static int put_utf8(struct buf *b, uint32_t u)
{
	char out[4];
	size_t n = u < 0x80 ? 1 : u < 0x800 ? 2 : u < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	for (size_t i = n; i-- > 1; u >>= 6)
		out[i] = (char)(0x80 | (u & 0x3f));
	out[0] = (char)(lead[n] | u);
	return buf_append(b, out, n);
}

static int unicode_escape(struct cursor *c, struct buf *out)
{
	uint32_t high, low;
	if (hex4(c, &high) < 0)
		return -EINVAL;
	/* A lone surrogate becomes U+FFFD, as Go has it. */
	if (high >= 0xd800 && high < 0xdc00 && c->end - c->p >= 6 && c->p[0] == '\\' && c->p[1] == 'u') {
		struct cursor ahead = { c->p + 2, c->end };
		if (hex4(&ahead, &low) == 0 && low >= 0xdc00 && low < 0xe000) {
			*c = ahead;
			return put_utf8(out, 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
		}
	}
	return put_utf8(out, high >= 0xd800 && high < 0xe000 ? 0xfffd : high);
}

static int escape(struct cursor *c, struct buf *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	if (c->p == c->end)
		return -EINVAL;
	char e = *c->p++;
	if (e == 'u')
		return unicode_escape(c, out);
	const char *found = e ? strchr(from, e) : NULL;
	return found ? buf_append_char(out, to[found - from]) : -EINVAL;
}

/* A string, appended to @out. */
static int string(struct cursor *c, struct buf *out)
{
	if (!take(c, '"'))
		return -EINVAL;
	for (;;) {
		const char *start = c->p;
		while (c->p < c->end && *c->p != '"' && *c->p != '\\')
			c->p++;
		if (c->p == c->end || buf_append(out, start, (size_t)(c->p - start)) < 0)
			return -EINVAL;
		if (*c->p++ == '"')
			return 0;
		if (escape(c, out) < 0)
			return -EINVAL;
	}
}

static int attributes(struct cursor *c, struct buf *out)
{
	if (!take(c, '{'))
		return -EINVAL;
	if (take(c, '}'))
		return 0;
	do {
		if ((out->len && buf_append_char(out, ',') < 0) || string(c, out) < 0 || !take(c, ':') ||
		    buf_append_char(out, '=') < 0 || string(c, out) < 0)
			return -EINVAL;
	} while (take(c, ','));
	return take(c, '}') ? 0 : -EINVAL;
}

static int member(struct cursor *c, const char *key, struct json_log_line *line)
{
	CLEANUP_BUF struct buf value = BUF_INIT(JSON_LOG_LINE_MAX);
	if (str_eq(key, "log"))
		return string(c, &line->text);
	if (str_eq(key, "attrs"))
		return attributes(c, &line->attrs);
	if (string(c, &value) < 0)
		return -EINVAL;
	if (str_eq(key, "time"))
		return clock_parse_rfc3339(buf_str(&value), &line->wall_ns);
	if (str_eq(key, "stream"))
		line->stream = str_eq(buf_str(&value), "stderr") ? 2 : 1;
	return 0;
}

int json_log_parse(const char *text, size_t len, struct json_log_line *line)
{
	struct cursor c = { text, text + len };
	line->stream = 1;
	line->wall_ns = 0;
	buf_clear(&line->text);
	buf_clear(&line->attrs);
	if (!take(&c, '{'))
		return -EINVAL;
	do {
		CLEANUP_BUF struct buf key = BUF_INIT(256);
		if (string(&c, &key) < 0 || !take(&c, ':') || member(&c, buf_str(&key), line) < 0)
			return -EINVAL;
	} while (take(&c, ','));
	if (!take(&c, '}'))
		return -EINVAL;
	skip_space(&c);
	return c.p == c.end ? 0 : -EINVAL;
}

void json_log_line_done(struct json_log_line *line)
{
	buf_free(&line->text);
	buf_free(&line->attrs);
}
