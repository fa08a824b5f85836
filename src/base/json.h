/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: a strict reader (over jansson) and a streaming writer (our own, so
 * that nothing else in the tree ever prints a brace).
 *
 * Reading refuses duplicate keys, bytes after the value, invalid UTF-8, and
 * anything larger than the caller's limit; depth is limited to 64. Objects and
 * arrays are borrowed views: only the root is freed. Getters on NULL give NULL
 * or the default, so that chains of them need no checks; a value of the wrong
 * type counts as missing for the json_get_x_or() getters and is an error for
 * the checked ones. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "str.h"

struct json; /* a value; opaque */

enum json_kind {
	JT_MISSING, /* for NULL */
	JT_NULL,
	JT_BOOL,
	JT_INTEGER,
	JT_REAL,
	JT_STRING,
	JT_ARRAY,
	JT_OBJECT,
};

/* @what names the document in error messages ("manifest"). */
int json_parse(const char *text, size_t len, const char *what, struct json **ret, struct err *err) MUST_CHECK;
void json_free(struct json *root);
static inline void cleanup_json(struct json **j)
{
	json_free(*j);
}
#define CLEANUP_JSON CLEANUP(cleanup_json)

enum json_kind json_kind(const struct json *v);
struct json *json_get(const struct json *object, const char *key); /* NULL if missing or JSON null */
size_t json_array_len(const struct json *array);                  /* 0 if not an array */
struct json *json_array_at(const struct json *array, size_t i);

/* Iterate an object in document order:
 *   for (void *it = NULL; (it = json_object_next(obj, it, &key, &value));) */
void *json_object_next(const struct json *object, void *it, const char **ret_key, struct json **ret_value);
size_t json_object_len(const struct json *object);

/* The scalar itself. */
const char *json_str(const struct json *v);  /* NULL if not a string; borrowed */
int64_t json_i64(const struct json *v, int64_t otherwise);
double json_double(const struct json *v, double otherwise); /* integers too */
bool json_bool(const struct json *v, bool otherwise);

/* A member of an object. */
const char *json_get_str(const struct json *object, const char *key);
const char *json_get_str_or(const struct json *object, const char *key, const char *otherwise);
int64_t json_get_i64(const struct json *object, const char *key, int64_t otherwise);
bool json_get_bool(const struct json *object, const char *key, bool otherwise);
/* Append the strings of an array member; -EINVAL if it is there but is not an
 * array of strings. */
int json_get_strv(const struct json *object, const char *key, struct strv *sv) MUST_CHECK;

/* Checked member: missing gives 0 and leaves *ret alone, a wrong type fills
 * @err with "what: key must be a string, not an array". */
int json_check(const struct json *object, const char *key, enum json_kind want, const char *what,
	       struct json **ret, struct err *err) MUST_CHECK;

/* The text of a value again (compact), for passing parts through untouched. */
char *json_dump(const struct json *v);

/* ---- writing ----
 * Calls must nest properly (asserted). Errors stick: check once at the end
 * with json_writer_finish(). Strings are escaped; bytes that are not UTF-8
 * become U+FFFD. indent = 0 gives compact output, 4 is Docker's inspect. */
struct json_writer {
	struct buf *out;
	int error;
	unsigned indent;
	unsigned depth;
	/* Bit i: level i has had a member already. */
	uint64_t has_member;
	bool after_key;
};

void json_writer_init(struct json_writer *w, struct buf *out, unsigned indent);
void jw_object(struct json_writer *w);
void jw_object_end(struct json_writer *w);
void jw_array(struct json_writer *w);
void jw_array_end(struct json_writer *w);
void jw_key(struct json_writer *w, const char *key);
void jw_str(struct json_writer *w, const char *s); /* NULL writes null */
void jw_strn(struct json_writer *w, const char *s, size_t len);
void jw_i64(struct json_writer *w, int64_t v);
void jw_u64(struct json_writer *w, uint64_t v);
void jw_double(struct json_writer *w, double v);
void jw_bool(struct json_writer *w, bool v);
void jw_null(struct json_writer *w);
void jw_value(struct json_writer *w, const struct json *v); /* a parsed value; NULL writes null */
void jw_strv(struct json_writer *w, const struct strv *sv); /* an array */
/* "name=value" strings as the members of an object; without "=" the value is "". */
void jw_pairs(struct json_writer *w, const struct strv *pairs);

/* Key and value in one. */
void jw_kv_str(struct json_writer *w, const char *key, const char *s);
void jw_kv_i64(struct json_writer *w, const char *key, int64_t v);
void jw_kv_bool(struct json_writer *w, const char *key, bool v);
void jw_kv_strv(struct json_writer *w, const char *key, const struct strv *sv);
void jw_kv_pairs(struct json_writer *w, const char *key, const struct strv *pairs);

/* 0, or the first error (-E2BIG, -ENOMEM). */
int json_writer_finish(struct json_writer *w) MUST_CHECK;
