/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <string.h>

#include "json.h"

#define JSON_DEPTH_MAX 64

static json_t *raw(const struct json *v)
{
	return (json_t *)(uintptr_t)v;
}

static struct json *wrapped(json_t *v)
{
	return (struct json *)v;
}

static bool is_too_deep(json_t *v, unsigned depth)
{
	size_t i;
	const char *key;
	json_t *e;

	if (depth > JSON_DEPTH_MAX)
		return true;
	json_array_foreach (v, i, e)
		if (is_too_deep(e, depth + 1))
			return true;
	json_object_foreach (v, key, e)
		if (is_too_deep(e, depth + 1))
			return true;
	return false;
}

int json_parse(const char *text, size_t len, const char *what, struct json **ret, struct err *err)
{
	json_error_t e;
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
	if (!root)
		return err_set(err, ERR_INVALID, 0, "%s is not valid JSON: line %d column %d: %s", what, e.line,
			       e.column, e.text);
	if (is_too_deep(root, 0)) {
		json_decref(root);
		return err_set(err, ERR_INVALID, 0, "%s is nested deeper than %d levels", what, JSON_DEPTH_MAX);
	}
	*ret = wrapped(root);
	return 0;
}

void json_free(struct json *root)
{
	json_decref(raw(root));
}

enum json_kind json_kind(const struct json *v)
{
	if (!v)
		return JT_MISSING;
	switch (json_typeof(raw(v))) {
	case JSON_OBJECT:
		return JT_OBJECT;
	case JSON_ARRAY:
		return JT_ARRAY;
	case JSON_STRING:
		return JT_STRING;
	case JSON_INTEGER:
		return JT_INTEGER;
	case JSON_REAL:
		return JT_REAL;
	case JSON_TRUE:
	case JSON_FALSE:
		return JT_BOOL;
	case JSON_NULL:
		break;
	}
	return JT_NULL;
}

struct json *json_get(const struct json *object, const char *key)
{
	json_t *v = json_object_get(raw(object), key);
	return json_is_null(v) ? NULL : wrapped(v);
}

size_t json_array_len(const struct json *array)
{
	return json_array_size(raw(array));
}

struct json *json_array_at(const struct json *array, size_t i)
{
	return wrapped(json_array_get(raw(array), i));
}

void *json_object_next(const struct json *object, void *it, const char **ret_key, struct json **ret_value)
{
	json_t *o = raw(object);
	it = it ? json_object_iter_next(o, it) : json_object_iter(o);
	if (it) {
		*ret_key = json_object_iter_key(it);
		*ret_value = wrapped(json_object_iter_value(it));
	}
	return it;
}

size_t json_object_len(const struct json *object)
{
	return json_object_size(raw(object));
}

const char *json_str(const struct json *v)
{
	return json_string_value(raw(v));
}

int64_t json_i64(const struct json *v, int64_t otherwise)
{
	return json_is_integer(raw(v)) ? json_integer_value(raw(v)) : otherwise;
}

double json_double(const struct json *v, double otherwise)
{
	return json_is_number(raw(v)) ? json_number_value(raw(v)) : otherwise;
}

bool json_bool(const struct json *v, bool otherwise)
{
	return json_is_boolean(raw(v)) ? json_is_true(raw(v)) : otherwise;
}

const char *json_get_str(const struct json *object, const char *key)
{
	return json_str(json_get(object, key));
}

const char *json_get_str_or(const struct json *object, const char *key, const char *otherwise)
{
	const char *s = json_get_str(object, key);
	return s ? s : otherwise;
}

int64_t json_get_i64(const struct json *object, const char *key, int64_t otherwise)
{
	return json_i64(json_get(object, key), otherwise);
}

bool json_get_bool(const struct json *object, const char *key, bool otherwise)
{
	return json_bool(json_get(object, key), otherwise);
}

int json_get_strv(const struct json *object, const char *key, struct strv *sv)
{
	const struct json *array = json_get(object, key);
	if (!array)
		return 0;
	if (json_kind(array) != JT_ARRAY)
		return -EINVAL;
	for (size_t i = 0; i < json_array_len(array); i++)
		if (!json_str(json_array_at(array, i)))
			return -EINVAL;
	for (size_t i = 0; i < json_array_len(array); i++)
		strv_add(sv, json_str(json_array_at(array, i)));
	return 0;
}

static const char *kind_name(enum json_kind kind)
{
	static const char *const names[] = {
		[JT_MISSING] = "nothing", [JT_NULL] = "null",       [JT_BOOL] = "a boolean",
		[JT_INTEGER] = "an integer", [JT_REAL] = "a number", [JT_STRING] = "a string",
		[JT_ARRAY] = "an array",  [JT_OBJECT] = "an object",
	};
	return names[kind];
}

int json_check(const struct json *object, const char *key, enum json_kind want, const char *what,
	       struct json **ret, struct err *err)
{
	struct json *v = json_get(object, key);
	if (!v)
		return 0;
	if (json_kind(v) != want)
		return err_set(err, ERR_INVALID, 0, "%s: \"%s\" must be %s, not %s", what, key, kind_name(want),
			       kind_name(json_kind(v)));
	*ret = v;
	return 0;
}

char *json_dump(const struct json *v)
{
	char *s = json_dumps(raw(v), JSON_COMPACT | JSON_ENCODE_ANY);
	if (!s)
		abort();
	return s;
}
