/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of a container. */
#pragma once

#include "state.h"

/* Titles and rows in columns, as ps(1) gives them: cells holds titles_n for each
 * process. Without @ps_args from /proc, with ids as they are inside the
 * container; with them from the host's ps. */
struct process_table {
	struct strv titles, cells;
};
void process_table_done(struct process_table *table);
int containers_top(struct engine *engine, const char *name, const struct strv *ps_args, struct process_table *ret,
		   struct err *err) MUST_CHECK;
