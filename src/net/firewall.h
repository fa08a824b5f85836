/* SPDX-License-Identifier: Apache-2.0 */
/* hull's nftables table. It only ever drops what would reach a workload
 * unasked; accepting stays with the host's own firewall, whose drop wins over
 * whatever is published here. */
#pragma once

#include "err.h"
#include "net_bridge.h"
#include "runtime_spec.h"

/* The table, and @bridge's elements in it. With @bridge_is_new the elements are
 * written in any case, otherwise only if the table had been lost. */
int firewall_ensure(const struct net_bridge *bridge, bool bridge_is_new, struct err *err) MUST_CHECK;
int firewall_forget(const struct net_bridge *bridge, struct err *err) MUST_CHECK;

/* Make the host's ports lead to the containers': one map element each, all or
 * none. ERR_CONFLICT, with the address and port, when another process or
 * workload has one. */
int net_publish(const struct spec_port *ports, size_t n, struct err *err) MUST_CHECK;
/* Take back what is there of them; missing ones are success. */
int net_unpublish(const struct spec_port *ports, size_t n, struct err *err) MUST_CHECK;
/* False when a process of the host holds the port. */
bool net_port_is_free(const struct spec_port *port);
