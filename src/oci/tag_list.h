/* SPDX-License-Identifier: Apache-2.0 */
/* The tags of a repository as a registry lists them, a page at a time (OCI
 * distribution specification, "Listing Tags"): what is on a page, and where the
 * next one is. Both come from strangers. */
#pragma once

#include <stddef.h>

#include "err.h"
#include "str.h"

/* More than any repository that somebody wants whole has. */
#define TAG_LIST_MAX 20000u

/* Add the tags of {"tags": [...]} to @ret, which holds what was before. An error
 * when something in it is no tag, or when there are too many. */
int tag_list_parse(const char *text, size_t len, struct strv *ret, struct err *err) MUST_CHECK;

/* The query of the next page, allocated, out of a Link header (RFC 8288); NULL when
 * @link (may be NULL) names none. The page itself is always that of @path: an
 * address that leads elsewhere is an error. */
int tag_list_next(const char *link, const char *path, char **ret_query, struct err *err) MUST_CHECK;
