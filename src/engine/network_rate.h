/* SPDX-License-Identifier: Apache-2.0 */
/* --network-rate of a container that runs: each of its links in bridges has it. */
#pragma once

#include "net_rate.h"
#include "state.h"

/* Make what @c's configuration says hold; the caller has its lock. Follow with
 * network_rate_settle() in the transaction that records the configuration, or
 * with network_rate_undo(). */
int network_rate_change(struct engine *engine, const struct container *c, struct err *err) MUST_CHECK;
int network_rate_settle(struct engine *engine, const char *id, struct err *err) MUST_CHECK;
/* As the recorded configuration says. */
int network_rate_undo(struct engine *engine, const char *id, struct err *err) MUST_CHECK;
/* Undo the changes of those who died. */
int network_rate_recover(struct engine *engine, struct err *err) MUST_CHECK;
/* What is in force on its first link; zeroes when nothing is. */
int network_rate_read(struct engine *engine, const char *id, struct net_rate *ret, struct err *err) MUST_CHECK;
