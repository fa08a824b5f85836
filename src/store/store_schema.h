/* SPDX-License-Identifier: Apache-2.0 */
/* Schemas as lists of steps, and the one of the image store's own tables. */
#pragma once

#include <stddef.h>

/* Each step is SQL that takes the schema from version i to i + 1. A step that
 * has been released is never edited; add another. */
struct db_schema {
	const char *const *steps;
	size_t n;
};

extern const struct db_schema store_schema;
