/* SPDX-License-Identifier: Apache-2.0 */
/* The subnets, gateways and ranges of a network that is being made. */
#pragma once

#include "network_objects.h"

/* What @wanted says, into @n: each gateway, range and reserved address has to be
 * in one of the subnets. */
int network_ipam_check(struct network *n, const struct network_new *wanted, struct err *err) MUST_CHECK;
/* Inside the transaction that records @n: no other network may have any of its
 * subnets; what was not said is chosen. */
int network_ipam_choose(struct engine *engine, struct network *n, const struct network_new *wanted, struct err *err) MUST_CHECK;
