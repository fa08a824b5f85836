/* SPDX-License-Identifier: Apache-2.0 */
/* What the prune verbs share. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "str.h"

/* Ask on standard output whether to go on after "WARNING! @warning"; anything
 * but y is no. */
bool prune_is_confirmed(const char *warning);
/* "Deleted Volumes:", the names, "Total reclaimed space: ..." */
void prune_print(const char *title, const struct strv *names, int64_t freed_bytes);

struct prune_filter {
	int64_t until_ns; /* only made before; 0: any */
	struct strv labels, not_labels; /* "key" or "key=value" */
};
void prune_filter_done(struct prune_filter *filter);
#define CLEANUP_PRUNE_FILTER CLEANUP(prune_filter_done)
/* "until=24h", "label=x", "label!=x". */
int prune_filter_read(const struct strv *pairs, struct prune_filter *ret, struct err *err) MUST_CHECK;
