/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static const char *const type_words[] = {
	[OPT_BOOL] = "",      [OPT_TRI] = "",      [OPT_STR] = "string",     [OPT_LIST] = "list",        [OPT_CSV] = "strings",
	[OPT_INT] = "int",    [OPT_UINT] = "uint", [OPT_DOUBLE] = "decimal", [OPT_SIZE] = "bytes",
	[OPT_DURATION] = "duration", [OPT_CALL] = "value",
};
static_assert(ARRAY_LEN(type_words) == OPT_TYPE_COUNT, "a word for each type");

const char *option_value_name(const struct option *o)
{
	if (o->value)
		return o->value;
	return type_words[o->type];
}

const struct option *option_find(const struct option *const *tables, const char *name, size_t len)
{
	for (size_t t = 0; t < 4 && tables[t]; t++)
		for (const struct option *o = tables[t]; o->name; o++)
			if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
				return o;
	return NULL;
}

const struct option *option_find_letter(const struct option *const *tables, char letter)
{
	for (size_t t = 0; t < 4 && tables[t]; t++)
		for (const struct option *o = tables[t]; o->name; o++)
			if (o->letter == letter)
				return o;
	return NULL;
}

static const struct option *option_nearest(const struct option *const *tables, const char *name, size_t len)
{
	CLEANUP_FREE char *word = str_ndup(name, len);
	const struct option *best = NULL;
	size_t best_distance = len <= 3 ? 2 : len / 3 + 1;

	for (size_t t = 0; t < 4 && tables[t]; t++)
		for (const struct option *o = tables[t]; o->name; o++) {
			size_t distance = str_edit_distance(word, o->name);
			if (distance < best_distance && !(o->flags & OPTION_REFUSED)) {
				best_distance = distance;
				best = o;
			}
		}
	return best;
}

static void add_csv(struct strv *sv, const char *value)
{
	if (*value)
		strv_split(sv, value, ',');
}

static int parse_double(const char *s, double *ret)
{
	char *end;

	errno = 0;
	double v = strtod(s, &end);
	if (!*s || *end || errno || !isfinite(v))
		return -EINVAL;
	*ret = v;
	return 0;
}

/* Go's strconv texts, which scripts and people have seen before. */
static int refuse(struct err *err, const struct option *o, const char *value, const char *reason)
{
	if (o->letter)
		return err_set(err, ERR_INVALID, 0, "invalid argument \"%s\" for \"-%c, --%s\" flag: %s", value, o->letter, o->name,
			       reason);
	return err_set(err, ERR_INVALID, 0, "invalid argument \"%s\" for \"--%s\" flag: %s", value, o->name, reason);
}

static int store_number(const struct option *o, char *field, const char *value, struct err *err)
{
	int r;

	switch (o->type) {
	case OPT_INT:
		r = str_parse_i64(value, (int64_t *)(void *)field);
		break;
	case OPT_UINT:
		r = str_parse_u64(value, (uint64_t *)(void *)field);
		break;
	default:
		r = parse_double(value, (double *)(void *)field);
		break;
	}
	if (r == 0)
		return 0;
	CLEANUP_FREE char *reason = str_printf(
		"strconv.Parse%s: parsing \"%s\": %s", o->type == OPT_INT ? "Int" : (o->type == OPT_UINT ? "Uint" : "Float"),
		value, r == -ERANGE ? "value out of range" : "invalid syntax");
	return refuse(err, o, value, reason);
}

static int store_bool(const struct option *o, char *field, const char *value, struct err *err)
{
	bool v;

	if (str_parse_bool(value, &v) < 0) {
		CLEANUP_FREE char *reason = str_printf("strconv.ParseBool: parsing \"%s\": invalid syntax", value);
		return refuse(err, o, value, reason);
	}
	if (o->type == OPT_BOOL)
		*(bool *)(void *)field = v;
	else
		*(enum tri *)(void *)field = v ? TRI_TRUE : TRI_FALSE;
	return 0;
}

static int store(const struct option *o, void *opts, const char *value, struct err *err)
{
	char *field = (char *)opts + o->offset;
	int r = 0;

	if (o->flags & OPTION_REFUSED) {
		err_set(err, ERR_UNSUPPORTED, 0, "--%s is not supported", o->name);
		err_why(err, "%s", o->help);
		return -EOPNOTSUPP;
	}
	switch (o->type) {
	case OPT_BOOL:
	case OPT_TRI:
		r = store_bool(o, field, value, err);
		break;
	case OPT_STR:
		*(const char **)(void *)field = value;
		break;
	case OPT_LIST:
		strv_add((struct strv *)(void *)field, value);
		break;
	case OPT_CSV:
		add_csv((struct strv *)(void *)field, value);
		break;
	case OPT_INT:
	case OPT_UINT:
	case OPT_DOUBLE:
		r = store_number(o, field, value, err);
		break;
	case OPT_SIZE:
		if (str_parse_size_bytes(value, (int64_t *)(void *)field) < 0) {
			CLEANUP_FREE char *reason = str_printf("invalid size: '%s'", value);
			r = refuse(err, o, value, reason);
		}
		break;
	case OPT_DURATION:
		if (str_parse_duration_ns(value, (int64_t *)(void *)field) < 0) {
			CLEANUP_FREE char *reason = str_printf("time: invalid duration \"%s\"", value);
			r = refuse(err, o, value, reason);
		}
		break;
	case OPT_CALL:
	case OPT_TYPE_COUNT:
		break;
	}
	if (r < 0 || !o->set)
		return r;
	struct err inner = ERR_INIT;
	r = o->set(opts, value, &inner);
	if (r < 0) {
		refuse(err, o, value, inner.msg);
		err_why(err, "%s", inner.why);
		err_hint(err, "%s", inner.hint);
	}
	return r;
}

static int parse_long(struct option_parse *p, int argc, char **argv, int *at, struct err *err)
{
	const char *word = argv[*at], *name = word + 2, *eq = strchr(name, '=');
	size_t len = eq ? (size_t)(eq - name) : strlen(name);

	p->bad = word;
	if (len == 0)
		return err_set(err, ERR_INVALID, 0, "bad flag syntax: %s", word);
	const struct option *o = option_find(p->tables, name, len);
	if (!o && len == 4 && memcmp(name, "help", 4) == 0) {
		p->help = true;
		return 0;
	}
	if (!o) {
		p->nearest = option_nearest(p->tables, name, len);
		return err_set(err, ERR_INVALID, 0, "unknown flag: --%.*s", (int)len, name);
	}
	if (eq)
		return store(o, p->opts, eq + 1, err);
	if (!option_takes_value(o))
		return store(o, p->opts, "true", err);
	if (*at + 1 >= argc)
		return err_set(err, ERR_INVALID, 0, "flag needs an argument: --%s", o->name);
	return store(o, p->opts, argv[++*at], err);
}

static int parse_letters(struct option_parse *p, int argc, char **argv, int *at, struct err *err)
{
	const char *word = argv[*at];

	p->bad = word;
	for (const char *c = word + 1; *c; c++) {
		const struct option *o = option_find_letter(p->tables, *c);
		if (!o && *c == 'h') {
			p->help = true;
			return 0;
		}
		if (!o)
			return err_set(err, ERR_INVALID, 0, "unknown shorthand flag: '%c' in %s", *c, word);
		if (!option_takes_value(o)) {
			if (c[1] == '=')
				return store(o, p->opts, c + 2, err);
			int r = store(o, p->opts, "true", err);
			if (r < 0)
				return r;
			continue;
		}
		if (c[1])
			return store(o, p->opts, c[1] == '=' ? c + 2 : c + 1, err);
		if (*at + 1 >= argc)
			return err_set(err, ERR_INVALID, 0, "flag needs an argument: '%c' in %s", *c, word);
		return store(o, p->opts, argv[++*at], err);
	}
	return 0;
}

int options_parse(struct option_parse *p, int argc, char **argv, struct err *err)
{
	bool open = true;

	p->args = mem_calloc((size_t)argc + 1, sizeof(*p->args));
	p->n_args = 0;
	for (int i = 0; i < argc; i++) {
		const char *word = argv[i];
		int r = 0;

		if (!open || word[0] != '-' || !word[1]) {
			p->args[p->n_args++] = argv[i];
			if (p->stop_at_first)
				open = false;
		} else if (str_eq(word, "--")) {
			open = false;
		} else if (word[1] == '-') {
			r = parse_long(p, argc, argv, &i, err);
		} else {
			r = parse_letters(p, argc, argv, &i, err);
		}
		if (r < 0)
			return r;
	}
	p->bad = NULL;
	return 0;
}

void options_free(const struct option *table, void *opts)
{
	if (!table || !opts)
		return;
	for (const struct option *o = table; o->name; o++)
		if ((o->type == OPT_LIST || o->type == OPT_CSV) && !(o->flags & OPTION_REFUSED))
			strv_free((struct strv *)(void *)((char *)opts + o->offset));
}
