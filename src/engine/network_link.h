/* SPDX-License-Identifier: Apache-2.0 */
/* What a network is on the host: a bridge, or a parent link; and what its
 * driver's options mean. */
#pragma once

#include "network_rows.h"

/* The value of the option @key ("com.docker.network.driver.mtu"), or NULL. */
const char *network_option(const struct network *n, const char *key);
/* True unless the option says no. */
bool network_option_is_on(const struct network *n, const char *key);
/* The options of @n->driver, with all their values; also fills what has fields of
 * its own: mtu, parent, bridge. ERR_INVALID, ERR_UNSUPPORTED. */
int network_options_check(struct network *n, struct err *err) MUST_CHECK;

/* The link itself leads out, without a gateway (ipvlan in mode l3). */
bool network_is_routed_by_link(const struct network *n);

/* Make what is missing on the host. The default network chooses its subnet when
 * it is first needed, in the transaction of the caller. */
int network_ensure(struct engine *engine, struct network *n, struct err *err) MUST_CHECK;
/* Only the choice of the default network. */
int network_settle_default(struct engine *engine, struct network *n, struct err *err) MUST_CHECK;
/* Take from the host what hull made for it; idempotent. */
int network_remove_link(struct engine *engine, const struct network *n, struct err *err) MUST_CHECK;

/* A subnet of @family that no network and no route of the host has; @seed sets
 * hull's own IPv6 prefix apart. */
int network_choose_subnet(struct engine *engine, int family, struct ip_address *ret, struct err *err) MUST_CHECK;
