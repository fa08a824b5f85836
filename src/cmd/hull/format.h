/* SPDX-License-Identifier: Apache-2.0 */
/* --format: the subset of Go templates that Docker's users write, over JSON
 * values, so that inspect and every listing share it.
 *
 * Knows {{.A.B}}, {{$x}} variables, pipes, parentheses, literals, comments and
 * trim marks, if/else if/else, with, range/else, and the functions of
 * format_functions.c. What is missing prints as "<no value>"; a field that the object
 * itself has not is an error. Maps are printed and gone over by their keys' order, as
 * Go does. Output and nesting are bounded. */
#pragma once

#include <stdio.h>

#include "buf.h"
#include "json.h"

struct format; /* a parsed template */

int format_parse(const char *text, struct format **ret, struct err *err) MUST_CHECK;
void format_free(struct format *format);
static inline void cleanup_format(struct format **f)
{
	format_free(*f);
}
#define CLEANUP_FORMAT CLEANUP(cleanup_format)

/* Append what the template makes of @value. */
int format_execute(const struct format *format, const struct json *value, struct buf *out, struct err *err) MUST_CHECK;

/* One object, as JSON text, printed by --format @text ("json" prints it as it
 * is) and a newline. */
int format_print_object(FILE *out, const char *text, const struct buf *object, struct err *err) MUST_CHECK;
