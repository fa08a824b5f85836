/* SPDX-License-Identifier: Apache-2.0 */
/* How much a workload may send and receive, in bits a second, by the host's end
 * of its link: nothing inside can lift it. */
#pragma once

#include <stdint.h>

#include "err.h"

struct net_rate {
	uint64_t in, out; /* 0: as much as there is */
};
/* Of the link @host_name, which must be there; in place of what is in force. What
 * the workload sends goes through a link of its own (IFB) named after the other. */
int net_rate_set(const char *host_name, const struct net_rate *rate, struct err *err) MUST_CHECK;
/* Remove that link; the rest goes with @host_name. Idempotent. */
int net_rate_forget(const char *host_name, struct err *err) MUST_CHECK;
/* What is in force. */
int net_rate_get(const char *host_name, struct net_rate *ret, struct err *err) MUST_CHECK;
