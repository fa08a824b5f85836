/* SPDX-License-Identifier: Apache-2.0 */
/* What the rules of networks, --egress and --network-rate make of the firewall
 * and the links.
 *
 * endpoints.policies says what of it an endpoint has (POLICY_x): set before
 * anything is made, cleared after it is gone. */
#pragma once

#include "network_rules.h"

enum {
	ENDPOINT_ISOLATED = 1, /* a member of its network's rules */
	ENDPOINT_EGRESS = 2,
	ENDPOINT_RATE = 4,
	ENDPOINT_RATE_CHANGING = 8, /* recovery puts back what the configuration says */
};

/* The chains of an isolated network, unless they are there; nothing for others. */
int network_policy_ensure(struct engine *engine, const struct network *n, struct err *err) MUST_CHECK;
/* Write them anew, and who is a member now. */
int network_policy_apply(struct engine *engine, const struct network *n, struct err *err) MUST_CHECK;
int network_policy_clear(struct engine *engine, const struct network *n, struct err *err) MUST_CHECK;

/* Outside a transaction, when the rows of @c's endpoints are there and before its
 * links are: its memberships and egress rules. Any number of times. */
int network_policies_enter(struct engine *engine, struct container *c, struct err *err) MUST_CHECK;
/* While the rows are still there. @network NULL: of all. Idempotent. */
int network_policies_leave(struct engine *engine, const char *container, const char *network, struct err *err) MUST_CHECK;

/* The firewall's tables were lost: what runs enters once more. */
int network_policies_restore(struct engine *engine, struct err *err) MUST_CHECK;

/* Changes that somebody died in are made whole. */
int network_policy_recover(struct engine *engine, struct err *err) MUST_CHECK;
