/* SPDX-License-Identifier: Apache-2.0 */
/* Strings and the strict parsing of numbers, sizes and durations that come
 * from outside. Parsers accept exactly what they describe: no sign, no
 * white space, no trailing bytes, no hexadecimal. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cleanup.h"
#include "err.h"

bool str_eq(const char *a, const char *b); /* NULL equals only NULL */
bool str_starts_with(const char *s, const char *prefix);
bool str_ends_with(const char *s, const char *suffix);
static inline bool str_is_empty(const char *s)
{
	return !s || !*s;
}

/* Allocated printf and strdup that abort when out of memory: for one-shot
 * programs and small strings only. */
char *str_printf(const char *fmt, ...) PRINTF_LIKE(1, 2);
char *str_dup(const char *s); /* NULL gives NULL */
char *str_ndup(const char *s, size_t n);
void *mem_calloc(size_t n, size_t size); /* aborts out of memory */

/* 0, -EINVAL (malformed) or -ERANGE (larger than the type or @max). */
int str_parse_u64(const char *s, uint64_t *ret) MUST_CHECK;
int str_parse_u64_max(const char *s, uint64_t max, uint64_t *ret) MUST_CHECK;
int str_parse_i64(const char *s, int64_t *ret) MUST_CHECK; /* one leading '-' allowed */
int str_parse_octal(const char *s, uint32_t max, uint32_t *ret) MUST_CHECK;
/* "512", "64k", "1.5GiB", "2gb" as Docker reads it: powers of 1024. */
int str_parse_size_bytes(const char *s, int64_t *ret) MUST_CHECK;
/* Go's durations: "1h2m3.5s", "300ms", "10us", "5ns". In nanoseconds. */
int str_parse_duration_ns(const char *s, int64_t *ret) MUST_CHECK;
/* "1", "t", "true", "True", "TRUE" and their opposites, as Go's ParseBool. */
int str_parse_bool(const char *s, bool *ret) MUST_CHECK;

/* Lower-case hex of @len bytes into @out[2 * len + 1]. */
void str_hex(const void *data, size_t len, char *out);
int str_unhex(const char *hex, size_t len, uint8_t *out) MUST_CHECK;
bool str_is_hex(const char *s, size_t len);

/* Standard alphabet with padding; both give allocated results. */
char *str_base64(const void *data, size_t len);
/* Also accepts the URL alphabet and missing padding. */
int str_unbase64(const char *s, uint8_t **ret, size_t *ret_len) MUST_CHECK;

/* Number of single-character edits between @a and @b (Damerau, adjacent
 * transpositions count one), for suggestions. */
size_t str_edit_distance(const char *a, const char *b);
/* The entry of the NULL-terminated @list nearest to @s, or NULL if none is
 * near enough to be meant. */
const char *str_nearest(const char *s, const char *const *list);

/* NULL-terminated, owned vectors of strings. */
struct strv {
	char **v; /* NULL-terminated once non-empty; may be NULL when n == 0 */
	size_t n;
};
void strv_add(struct strv *sv, const char *s);       /* copies */
void strv_take(struct strv *sv, char *s);            /* takes ownership */
void strv_printf(struct strv *sv, const char *fmt, ...) PRINTF_LIKE(2, 3);
void strv_extend(struct strv *sv, const struct strv *more); /* copies */
void strv_sort(struct strv *sv); /* by bytes */
bool strv_contains(const struct strv *sv, const char *s);
/* Split at @sep; "a,,b" gives three entries, "" gives none. */
void strv_split(struct strv *sv, const char *s, char sep);
char *strv_join(const struct strv *sv, const char *sep);
void strv_free(struct strv *sv);
#define CLEANUP_STRV CLEANUP(strv_free)

/* Copy that always terminates; -E2BIG (and @dst = "") if it does not fit. */
int str_copy(char *dst, size_t size, const char *src) MUST_CHECK;

/* "1.5MB" as Docker prints sizes (str_human_size: powers of 1000, three digits)
 * or "1.5MiB" (str_human_bytes: powers of 1024, four digits). Into
 * @out, returned. */
const char *str_human_size(double bytes, char out[32]);
const char *str_human_bytes(double bytes, char out[32]);
