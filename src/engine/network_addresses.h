/* SPDX-License-Identifier: Apache-2.0 */
/* Which address of a network an endpoint gets. Inside a transaction: two starts
 * never choose the same. */
#pragma once

#include "network_rows.h"

struct address_wish {
	const char *container; /* its own rows are no obstacle */
	int family;
	const char *asked; /* by the user: that or an error; "" or NULL: any */
	const char *kept;  /* of the run before: that if it is still free; likewise */
};
/* With the subnet's prefix. ERR_CONFLICT when it is taken or none is left,
 * ERR_INVALID when the network has no such address. */
int network_choose_address(struct engine *engine, const struct network *n, const struct address_wish *wish,
			   struct ip_address *ret, struct err *err) MUST_CHECK;
/* The same check of what a user asks for, without looking whether it is free. */
int network_check_address(const struct network *n, int family, const char *asked, struct ip_address *ret, struct err *err) MUST_CHECK;
