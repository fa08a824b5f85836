/* SPDX-License-Identifier: Apache-2.0 */
/* What of this host's workloads is reached from outside, as the kernel has it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

struct firewall_report {
	/* "8080/tcp, 198.51.100.1:53/udp": what is published beyond the host itself;
	 * a port of both families once. Cut with "..." when it is long. */
	char open[200];
	size_t open_n;
	/* "ip filter INPUT": a chain of the host's that refuses what it does not know;
	 * empty: none. */
	char refuses[160];
};
/* Fine also where hull has made nothing yet. */
int firewall_report(struct firewall_report *ret, struct err *err) MUST_CHECK;
