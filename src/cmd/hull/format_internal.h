/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of the templates: the pieces of a text, a run over them, the
 * values that it makes. */
#pragma once

#include "format.h"

#define FORMAT_TEXT_MAX 65536
#define FORMAT_DEPTH_MAX 32
#define FORMAT_STEPS_MAX 1000000
#define FORMAT_ARGS_MAX 16
#define FORMAT_VARIABLES_MAX 16

struct piece {
	bool is_action;
	char *text;
};

struct format {
	struct piece *v;
	size_t n;
};

/* Whether the action's first word is @word. */
bool action_is(const char *action, const char *word);
bool action_opens_block(const char *action);

struct variable {
	char name[32];
	struct json *value;
};

struct run {
	const struct format *format;
	struct buf *out;
	struct json **arena; /* what functions made, freed with the run */
	size_t arena_n;
	struct variable variables[FORMAT_VARIABLES_MAX];
	size_t variables_n;
	const struct json *root;
	unsigned steps, depth;
	struct err *err;
};

/* ---- values: NULL is Go's nil; also when memory or a bound does not suffice ---- */

struct json *value_text(struct run *run, const char *text);
struct json *value_number(struct run *run, int64_t number);
struct json *value_flag(struct run *run, bool flag);
struct json *value_list(struct run *run, const struct strv *list);
bool value_is_true(const struct json *v);
/* The keys of an object in the order in which Go goes over a map. */
void value_keys(const struct json *object, struct strv *ret);
/* Append it as Go's %v does. */
int value_print(struct buf *out, const struct json *v) MUST_CHECK;

/* ---- functions ---- */

struct call {
	struct run *run;
	struct json *args[FORMAT_ARGS_MAX];
	size_t n;
};

struct format_function {
	const char *name;
	struct json *(*call)(struct call *c);
	bool takes_none; /* may be called without arguments */
};

/* NULL if there is none of this name. */
const struct format_function *format_function_find(const char *name, size_t len);

/* ---- expressions ---- */

size_t expression_name_len(const char *s);
/* The value of "A | B | ..." with @dot as ".". */
int expression_evaluate(struct run *run, const char *text, const struct json *dot, struct json **ret) MUST_CHECK;
int expression_bad(struct run *run, const char *what, const char *at);
void run_set_variable(struct run *run, const char *name, size_t len, struct json *value);
