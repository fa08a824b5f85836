/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the firewall tell each other. */
#pragma once

#include "buf.h"
#include "err.h"
#include "net_bridge.h"

/* The link pair of the gate; a packet that came in by the second was let in. */
#define GATE_IN "hullgate0"
#define GATE_OUT "hullgate1"
/* Of the packets that the gate is to take: "hull". */
#define GATE_MARK "0x68756c6c"

/* What the sets of the table say of @bridge; both repeatable. */
int bridge_elements_put(const struct net_bridge *bridge, struct err *err) MUST_CHECK;
int bridge_elements_drop(const struct net_bridge *bridge, struct err *err) MUST_CHECK;

/* Make the pair and the tables that lead to it, unless they are there. */
int gate_ensure(struct err *err) MUST_CHECK;
int gate_remove(struct err *err) MUST_CHECK;

/* Let the host's other tables forward what belongs to @bridge where they refuse
 * everything that they do not know. */
int foreign_ensure(const char *bridge, struct err *err) MUST_CHECK;
/* Take such rules back: @bridge's, or with NULL all. */
int foreign_forget(const char *bridge, struct err *err) MUST_CHECK;
