/* SPDX-License-Identifier: Apache-2.0 */
#include "detach_keys.h"

#include <string.h>

/* One key of the list, "a" or "ctrl-x"; -1 when it is none. */
static int parse_key(const char *text, size_t len)
{
	static const char specials[] = "@[\\]^_";
	if (len == 1)
		return (unsigned char)text[0];
	if (len != 6 || memcmp(text, "ctrl-", 5) != 0)
		return -1;
	char c = text[5];
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 1;
	if (c && strchr(specials, c))
		return c == '@' ? 0 : 27 + (int)(strchr(specials, c) - specials) - 1;
	return -1;
}

int detach_keys_parse(const char *text, unsigned char ret_keys[DETACH_KEYS_MAX], size_t *ret_n, struct err *err)
{
	size_t n = 0;
	for (const char *at = text; *at;) {
		size_t len = strcspn(at, ",");
		int key = parse_key(at, len);
		if (key < 0)
			return err_set(err, ERR_INVALID, 0, "Invalid escape keys (%s): Unknown character: '%.*s'", text, (int)len, at);
		if (n == DETACH_KEYS_MAX)
			return err_set(err, ERR_INVALID, 0, "Invalid escape keys (%s): more than %d", text, DETACH_KEYS_MAX);
		ret_keys[n++] = (unsigned char)key;
		at += len;
		if (*at == ',')
			at++;
	}
	*ret_n = n;
	return 0;
}

int detach_keys_check(const char *text, struct err *err)
{
	unsigned char keys[DETACH_KEYS_MAX];
	size_t n;
	return text ? detach_keys_parse(text, keys, &n, err) : 0;
}

size_t detach_keys_feed(struct detach_matcher *m, const char *in, size_t len, char *out, size_t size, bool *ret_detach)
{
	size_t n = 0;
	*ret_detach = false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)in[i];
		if (m->n && c == m->keys[m->seen]) {
			if (++m->seen == m->n) {
				m->seen = 0;
				*ret_detach = true;
				return n;
			}
			continue;
		}
		/* Broken off: the start was meant for the process. */
		for (size_t k = 0; k < m->seen && n < size; k++)
			out[n++] = (char)m->keys[k];
		m->seen = 0;
		if (m->n > 1 && c == m->keys[0])
			m->seen = 1;
		else if (n < size)
			out[n++] = (char)c;
	}
	return n;
}
