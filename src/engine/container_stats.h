/* SPDX-License-Identifier: Apache-2.0 */
/* What a container uses: its control group's figures, its network's, and the
 * rates between two looks. */
#pragma once

#include "isolation.h"
#include "net_rate.h"
#include "state.h"

struct container_sample {
	int64_t mono_ns; /* when it was taken */
	struct isolation_stats stats;
	uint64_t net_rx_bytes, net_tx_bytes; /* of all links but lo; 0 with the host's network */
	struct net_rate net_rate; /* that --network-rate holds it to; zeroes: nothing does */
};

/* Of a running container; ERR_CONFLICT otherwise. */
int containers_sample(struct engine *engine, struct container *c, struct container_sample *ret, struct err *err) MUST_CHECK;
/* Per cent of one processor between two samples. */
double container_cpu_percent(const struct container_sample *before, const struct container_sample *now);
/* What memory is measured against: the limit, or the machine's. */
uint64_t container_memory_limit(const struct container_sample *sample);
