/* SPDX-License-Identifier: Apache-2.0 */
/* A local port that stands for another, in the network namespace of the calling
 * thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct port_rewrite {
	uint8_t protocol;       /* IPPROTO_UDP, IPPROTO_TCP */
	uint16_t shown, actual; /* what clients connect to, where the server is */
};

/* Make nftables table @table (family ip): what local processes send to @address4
 * and a port shown goes to the actual one, and what comes back seems to come from
 * the port shown. Packet by packet, without connection tracking, and so without
 * its cost for all other traffic of the namespace. What the table held before is
 * replaced, in one transaction. */
int port_rewrite_set(const char *table, const uint8_t address4[4], const struct port_rewrite *rewrites, size_t n) MUST_CHECK;
