/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine offers hull: each facility found by trying it in a child
 * process with namespaces of its own, so that nothing is changed and nothing is
 * guessed from version numbers. Needs no store and makes none; takes some tens
 * of milliseconds. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "isolation.h"

enum host_state {
	HOST_OK,
	HOST_LIMITED, /* hull works, with less */
	HOST_MISSING, /* level container cannot work */
	HOST_STATE_COUNT
};
const char *host_state_name(enum host_state state);

struct host_check {
	const char *name;
	enum host_state state;
	char found[240];
	char why[240]; /* when it is not HOST_OK */
	char fix[240]; /* a line to paste */
};

struct host_level {
	enum isolation_level level;
	bool available;
	char why[400], fix[240];
	/* Of one that is available, as far as there is something to say; @fix then makes
	 * it better. */
	struct isolation_note note;
};

#define HOST_CHECKS_MAX 24
struct host_report {
	struct host_check checks[HOST_CHECKS_MAX];
	size_t checks_n;
	struct host_level levels[ISOLATION_LEVEL_COUNT];
};

void host_checks_run(struct host_report *ret);
