/* SPDX-License-Identifier: Apache-2.0 */
/* hull's nftables tables. They only ever drop what would reach a workload
 * unasked; accepting stays with the host's own firewall, whose refusal wins over
 * whatever is published here (firewall_gate.c).
 *
 * Everything is in tables of hull's own, with one exception, without which no
 * workload could leave a host whose forward policy is drop: firewall_foreign.c. */
#pragma once

#include "err.h"
#include "net_bridge.h"
#include "nft.h"
#include "runtime_spec.h"

/* inet hull and bridge hull; for elements. */
extern const struct nft_table firewall_table, firewall_bridge_table;

/* The tables, and @bridge's elements in them. With @bridge_is_new the elements
 * are written in any case, otherwise only if the table had been lost. 1 when the
 * table was made: what else was in one that was lost is for the caller to restore. */
int firewall_ensure(const struct net_bridge *bridge, bool bridge_is_new, struct err *err) MUST_CHECK;
/* The last bridge takes the tables along. */
int firewall_forget(const struct net_bridge *bridge, struct err *err) MUST_CHECK;
/* 1 when hull's table is there, 0 when it is not (never was, or the host's rules
 * were flushed: then everything in it has to be made again). */
int firewall_is_there(struct err *err) MUST_CHECK;

/* The table bridge hull, which is there from the first workload on that has a policy. */
int firewall_guard_ensure(struct err *err) MUST_CHECK;

/* ---- published ports ---- */

/* Make the host's ports lead to the containers': one map element each, and one
 * by which firewall_gate.c knows them; all or none. Those of hull-proxy are only
 * noted: whoever opens them is hull-monitor. ERR_CONFLICT, with the
 * address and port, when another process or workload has one. */
int net_publish(const struct spec_port *ports, size_t n, struct err *err) MUST_CHECK;
/* The same of ports whose monitor listens already where the kernel cannot redirect. */
int net_publish_again(const struct spec_port *ports, size_t n, struct err *err) MUST_CHECK;
/* Take back what is there of them; missing ones are success. */
int net_unpublish(const struct spec_port *ports, size_t n, struct err *err) MUST_CHECK;
/* False when a process of the host holds the port. */
bool net_port_is_free(const struct spec_port *port);
