/* SPDX-License-Identifier: Apache-2.0 */
/* What rules refused in the last hour, with names in place of addresses. */
#pragma once

#include "network_rows.h"

struct network_log_line {
	char from[80], to[80]; /* a container's name, or an address */
	char protocol[16];
	uint16_t port; /* 0: none */
	uint64_t packets, ago_ms;
};
struct network_log {
	struct network_log_line *v;
	size_t n;
};
void network_log_done(struct network_log *log);
/* Newest first; of one network (NULL: all). */
int network_log_read(struct engine *engine, const char *network, struct network_log *ret, struct err *err) MUST_CHECK;
