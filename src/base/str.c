/* SPDX-License-Identifier: Apache-2.0 */
#include "str.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "buf.h"

bool str_eq(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	return strcmp(a, b) == 0;
}

bool str_starts_with(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends_with(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);
	return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

void *mem_calloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);
	if (!p)
		abort();
	return p;
}

char *str_printf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	return s;
}

char *str_dup(const char *s)
{
	return s ? str_ndup(s, strlen(s)) : NULL;
}

char *str_ndup(const char *s, size_t n)
{
	char *copy = strndup(s, n);
	if (!copy)
		abort();
	return copy;
}

int str_parse_u64_max(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;
	if (str_is_empty(s))
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return -ERANGE;
	}
	if (v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

int str_parse_u64(const char *s, uint64_t *ret)
{
	return str_parse_u64_max(s, UINT64_MAX, ret);
}

int str_parse_i64(const char *s, int64_t *ret)
{
	bool negative = s && s[0] == '-';
	uint64_t v;
	int r = str_parse_u64_max(negative ? s + 1 : s, (uint64_t)INT64_MAX, &v);
	if (r < 0)
		return r;
	*ret = negative ? -(int64_t)v : (int64_t)v;
	return 0;
}

int str_parse_octal(const char *s, uint32_t max, uint32_t *ret)
{
	uint32_t v = 0;
	if (str_is_empty(s))
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '7')
			return -EINVAL;
		if (__builtin_mul_overflow(v, 8u, &v) ||
		    __builtin_add_overflow(v, (uint32_t)(*s - '0'), &v))
			return -ERANGE;
	}
	if (v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

/* "12" or "12.5" at @s; the rest in @end. No sign, no exponent. */
static int parse_decimal(const char *s, double *ret, const char **end)
{
	double v = 0, scale = 1;
	const char *p = s;
	bool digits = false;

	for (; *p >= '0' && *p <= '9'; p++, digits = true)
		v = v * 10 + (*p - '0');
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++, digits = true) {
			scale /= 10;
			v += (*p - '0') * scale;
		}
	if (!digits)
		return -EINVAL;
	*ret = v;
	*end = p;
	return 0;
}

int str_parse_size_bytes(const char *s, int64_t *ret)
{
	static const char units[] = "kmgtp";
	const char *p;
	double v;

	if (str_is_empty(s))
		return -EINVAL;
	int r = parse_decimal(s, &v, &p);
	if (r < 0)
		return r;
	if (*p == ' ')
		p++;
	if (*p) {
		const char *unit = strchr(units, tolower((unsigned char)*p));
		if (unit && *unit) {
			for (const char *u = units; u <= unit; u++)
				v *= 1024;
			p++;
			if (*p == 'i')
				p++;
		}
		if (*p == 'b' || *p == 'B')
			p++;
	}
	if (*p)
		return -EINVAL;
	if (v >= 9223372036854775807.0)
		return -ERANGE;
	*ret = (int64_t)v;
	return 0;
}

int str_parse_duration_ns(const char *s, int64_t *ret)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = {
		/* Longer names before their prefixes. */
		{ "ns", 1 },   { "us", 1e3 }, { "µs", 1e3 }, { "ms", 1e6 },
		{ "s", 1e9 },  { "m", 60e9 }, { "h", 3600e9 },
	};
	double total = 0;
	bool negative = false;

	if (str_is_empty(s))
		return -EINVAL;
	if (*s == '-' || *s == '+')
		negative = *s++ == '-';
	if (str_eq(s, "0")) {
		*ret = 0;
		return 0;
	}
	if (!*s)
		return -EINVAL;
	while (*s) {
		double v;
		int r = parse_decimal(s, &v, &s);
		if (r < 0)
			return r;
		size_t i;
		for (i = 0; i < ARRAY_LEN(units); i++)
			if (str_starts_with(s, units[i].name))
				break;
		if (i == ARRAY_LEN(units))
			return -EINVAL;
		total += v * units[i].ns;
		s += strlen(units[i].name);
	}
	if (total >= 9223372036854775807.0)
		return -ERANGE;
	*ret = (int64_t)(negative ? -total : total);
	return 0;
}

int str_parse_bool(const char *s, bool *ret)
{
	static const char *const yes[] = { "1", "t", "T", "true", "True", "TRUE" };
	static const char *const no[] = { "0", "f", "F", "false", "False", "FALSE" };
	for (size_t i = 0; s && i < ARRAY_LEN(yes); i++) {
		if (str_eq(s, yes[i])) {
			*ret = true;
			return 0;
		}
		if (str_eq(s, no[i])) {
			*ret = false;
			return 0;
		}
	}
	return -EINVAL;
}

void str_hex(const void *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = data;
	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * len] = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int str_unhex(const char *hex, size_t len, uint8_t *out)
{
	if (len % 2)
		return -EINVAL;
	for (size_t i = 0; i < len; i += 2) {
		int hi = hex_value(hex[i]), lo = hi < 0 ? -1 : hex_value(hex[i + 1]);
		if (lo < 0)
			return -EINVAL;
		out[i / 2] = (uint8_t)(hi << 4 | lo);
	}
	return 0;
}

bool str_is_hex(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (hex_value(s[i]) < 0)
			return false;
	return true;
}

char *str_base64(const void *data, size_t len)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *p = data;
	char *out = mem_calloc((len + 2) / 3 * 4 + 1, 1), *o = out;
	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16;
		if (i + 1 < len)
			v |= (uint32_t)p[i + 1] << 8;
		if (i + 2 < len)
			v |= p[i + 2];
		*o++ = alphabet[v >> 18];
		*o++ = alphabet[v >> 12 & 63];
		*o++ = i + 1 < len ? alphabet[v >> 6 & 63] : '=';
		*o++ = i + 2 < len ? alphabet[v & 63] : '=';
	}
	return out;
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	if (c == '/' || c == '_')
		return 63;
	return -1;
}

int str_unbase64(const char *s, uint8_t **ret, size_t *ret_len)
{
	size_t len = strlen(s), n = 0;
	while (len && s[len - 1] == '=')
		len--;
	if (len % 4 == 1)
		return -EINVAL;
	CLEANUP_FREE uint8_t *out = mem_calloc(len / 4 * 3 + 4, 1);
	uint32_t v = 0;
	for (size_t i = 0; i < len; i++) {
		int x = base64_value(s[i]);
		if (x < 0)
			return -EINVAL;
		v = v << 6 | (uint32_t)x;
		if (i % 4 == 3) {
			out[n++] = (uint8_t)(v >> 16);
			out[n++] = (uint8_t)(v >> 8);
			out[n++] = (uint8_t)v;
			v = 0;
		}
	}
	if (len % 4 == 2)
		out[n++] = (uint8_t)(v >> 4);
	if (len % 4 == 3) {
		out[n++] = (uint8_t)(v >> 10);
		out[n++] = (uint8_t)(v >> 2);
	}
	*ret = TAKE_PTR(out);
	*ret_len = n;
	return 0;
}

size_t str_edit_distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	if (n > 64 || m > 64)
		return SIZE_MAX;
	size_t d[66][66];
	for (size_t i = 0; i <= n; i++)
		d[i][0] = i;
	for (size_t j = 0; j <= m; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= n; i++)
		for (size_t j = 1; j <= m; j++) {
			size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			if (d[i - 1][j] + 1 < best)
				best = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < best)
				best = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	return d[n][m];
}

const char *str_nearest(const char *s, const char *const *list)
{
	const char *best = NULL;
	size_t best_distance = SIZE_MAX;
	for (; *list; list++) {
		size_t distance = str_edit_distance(s, *list);
		if (distance < best_distance) {
			best = *list;
			best_distance = distance;
		}
	}
	size_t allowed = strlen(s) <= 3 ? 1 : strlen(s) <= 6 ? 2 : 3;
	return best_distance <= allowed ? best : NULL;
}

void strv_take(struct strv *sv, char *s)
{
	/* Grows at powers of two, so no capacity field is needed. */
	if ((sv->n & (sv->n - 1)) == 0 || !sv->v) {
		size_t cap = sv->n ? sv->n * 2 : 1;
		char **v = reallocarray(sv->v, cap + 1, sizeof(char *));
		if (!v)
			abort();
		sv->v = v;
	}
	sv->v[sv->n++] = s;
	sv->v[sv->n] = NULL;
}

void strv_add(struct strv *sv, const char *s)
{
	strv_take(sv, str_dup(s));
}

void strv_printf(struct strv *sv, const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	strv_take(sv, s);
}

void strv_extend(struct strv *sv, const struct strv *more)
{
	for (size_t i = 0; i < more->n; i++)
		strv_add(sv, more->v[i]);
}

bool strv_contains(const struct strv *sv, const char *s)
{
	for (size_t i = 0; i < sv->n; i++)
		if (str_eq(sv->v[i], s))
			return true;
	return false;
}

void strv_split(struct strv *sv, const char *s, char sep)
{
	while (s && *s) {
		const char *end = strchr(s, sep);
		if (!end) {
			strv_add(sv, s);
			return;
		}
		strv_take(sv, str_ndup(s, (size_t)(end - s)));
		s = end + 1;
		if (!*s)
			strv_add(sv, "");
	}
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void strv_sort(struct strv *sv)
{
	if (sv->n)
		qsort(sv->v, sv->n, sizeof(*sv->v), by_bytes);
}

char *strv_join(const struct strv *sv, const char *sep)
{
	CLEANUP_BUF struct buf b = BUF_INIT(SIZE_MAX / 2);
	for (size_t i = 0; i < sv->n; i++)
		if ((i && buf_append_str(&b, sep) < 0) || buf_append_str(&b, sv->v[i]) < 0)
			abort();
	char *s = buf_steal(&b);
	if (!s)
		abort();
	return s;
}

void strv_free(struct strv *sv)
{
	for (size_t i = 0; i < sv->n; i++)
		free(sv->v[i]);
	free(sv->v);
	*sv = (struct strv){ 0 };
}

int str_copy(char *dst, size_t size, const char *src)
{
	size_t n = strlen(src);
	if (n >= size) {
		if (size)
			dst[0] = '\0';
		return -E2BIG;
	}
	memcpy(dst, src, n + 1);
	return 0;
}

static const char *human(double bytes, double base, const char *const *units, size_t n, char out[32])
{
	size_t i = 0;
	while (bytes >= base && i + 1 < n) {
		bytes /= base;
		i++;
	}
	snprintf(out, 32, "%.4g%s", bytes, units[i]);
	return out;
}

const char *str_human_size(double bytes, char out[32])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB" };
	/* Docker prints image sizes with three significant digits. */
	size_t i = 0;
	while (bytes >= 1000 && i + 1 < ARRAY_LEN(units)) {
		bytes /= 1000;
		i++;
	}
	snprintf(out, 32, "%.3g%s", bytes, units[i]);
	return out;
}

const char *str_human_bytes(double bytes, char out[32])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	return human(bytes, 1024, units, ARRAY_LEN(units), out);
}
