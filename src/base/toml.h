/* SPDX-License-Identifier: Apache-2.0 */
/* A small strict reader of TOML: tables, dotted and quoted keys, strings on one
 * line, integers, booleans, arrays of strings. What else TOML has (floats, dates,
 * inline tables, arrays of tables, long strings) is an error that says so.
 *
 * The result is a flat list in the order of the file: a path of names ("registry",
 * "ghcr.io", "mirrors") and a value. A path given twice is an error. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

enum toml_kind { TOML_STRING, TOML_INTEGER, TOML_BOOL, TOML_STRINGS };

struct toml_entry {
	struct strv path;
	enum toml_kind kind;
	char *string;
	int64_t integer;
	bool boolean;
	struct strv strings;
	unsigned line;
};

struct toml {
	struct toml_entry *entries;
	size_t n;
};

/* @what names the file in messages: "hull.toml:3: ...". */
int toml_parse(const char *text, size_t len, const char *what, struct toml **ret, struct err *err) MUST_CHECK;
void toml_free(struct toml *t); /* NULL is fine */
static inline void cleanup_toml(struct toml **t)
{
	toml_free(*t);
}
#define CLEANUP_TOML CLEANUP(cleanup_toml)
