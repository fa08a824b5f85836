/* SPDX-License-Identifier: Apache-2.0 */
#include "json_escape.h"

#include <stdint.h>
#include <string.h>

/* Length of the valid UTF-8 sequence at @s, 0 if it is none. */
static size_t utf8_len(const unsigned char *s, size_t left)
{
	size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc2 || s[0] > 0xf4 || left < n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	/* Overlong forms, surrogates, past U+10FFFF. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static int is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&' && c != 0x7f;
}

/* Eight bytes at once: any that is not plain? 0x7f is passed too, as Docker does. */
static int all_plain8(const char *s)
{
	const uint64_t ones = 0x0101010101010101ull, high = 0x8080808080808080ull;
	uint64_t v;
	memcpy(&v, s, sizeof(v));
#define HAS_ZERO(x) (((x)-ones) & ~(x) & high)
	uint64_t bad = (v & high) | ((v - ones * 0x20) & ~v & high) | HAS_ZERO(v ^ (ones * '"')) |
		       HAS_ZERO(v ^ (ones * '\\')) | HAS_ZERO(v ^ (ones * '<')) | HAS_ZERO(v ^ (ones * '>')) |
		       HAS_ZERO(v ^ (ones * '&'));
#undef HAS_ZERO
	return bad == 0;
}

static size_t escape_one(char *out, const unsigned char *s, size_t left, size_t *ret_used)
{
	static const char hex[] = "0123456789abcdef";
	*ret_used = 1;
	switch (*s) {
	case '"':
	case '\\':
		out[0] = '\\';
		out[1] = (char)*s;
		return 2;
	case '\n':
		return (size_t)((char *)memcpy(out, "\\n", 2) + 2 - out);
	case '\r':
		return (size_t)((char *)memcpy(out, "\\r", 2) + 2 - out);
	case '\t':
		return (size_t)((char *)memcpy(out, "\\t", 2) + 2 - out);
	default:
		break;
	}
	if (*s < 0x20 || *s == '<' || *s == '>' || *s == '&') {
		memcpy(out, "\\u00", 4);
		out[4] = hex[*s >> 4];
		out[5] = hex[*s & 15];
		return 6;
	}
	if (*s < 0x80) {
		out[0] = (char)*s;
		return 1;
	}
	size_t n = utf8_len(s, left);
	if (!n)
		return (size_t)((char *)memcpy(out, "\\ufffd", 6) + 6 - out);
	*ret_used = n;
	if (n == 3 && s[0] == 0xe2 && s[1] == 0x80 && (s[2] == 0xa8 || s[2] == 0xa9)) {
		memcpy(out, s[2] == 0xa8 ? "\\u2028" : "\\u2029", 6);
		return 6;
	}
	memcpy(out, s, n);
	return n;
}

size_t json_escape(char *out, const char *text, size_t len)
{
	char *p = out;
	size_t i = 0;
	while (i < len) {
		while (i + 8 <= len && all_plain8(text + i)) {
			memcpy(p, text + i, 8);
			p += 8;
			i += 8;
		}
		if (i == len)
			break;
		if (is_plain((unsigned char)text[i])) {
			*p++ = text[i++];
			continue;
		}
		size_t used;
		p += escape_one(p, (const unsigned char *)text + i, len - i, &used);
		i += used;
	}
	return (size_t)(p - out);
}
