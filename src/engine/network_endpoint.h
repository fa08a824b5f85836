/* SPDX-License-Identifier: Apache-2.0 */
/* What starting a container and connecting one that runs have in common: an
 * endpoint gets its addresses and its interface. */
#pragma once

#include "network_rows.h"
#include "runtime_spec.h"

/* Inside a transaction: give @e addresses, a MAC and names, record them, and fill
 * @ret for net_attach(). @number is of its interface: eth0, eth1. What @e has as
 * addresses already is kept if it can be. */
struct endpoint_activation {
	const struct container *c; /* with its configuration */
	const struct network *n;
	struct endpoint *e;
	unsigned number;
};
int endpoint_activate(struct engine *engine, const struct endpoint_activation *a, struct spec_interface *ret, struct err *err) MUST_CHECK;
/* The columns of one run are empty again. @network NULL: of all. */
int endpoints_deactivate(struct engine *engine, const char *container, const char *network, struct err *err) MUST_CHECK;
/* The lowest number whose interface no active endpoint of @container has. */
int endpoint_free_number(struct engine *engine, const char *container, unsigned *ret, struct err *err) MUST_CHECK;

/* By which of a container's active endpoints its default routes go: the one of
 * highest priority, then of the first name, among networks that lead out.
 * Interface NULL: none. */
struct endpoint_gateway {
	char *interface, *network;
	char gateway[46]; /* "": the link itself leads out */
	char address[46]; /* of the container there */
};
struct endpoint_gateways {
	struct endpoint_gateway v4, v6;
};
int endpoint_gateways_find(struct engine *engine, const char *container, struct endpoint_gateways *ret, struct err *err) MUST_CHECK;
void endpoint_gateways_done(struct endpoint_gateways *g);
#define CLEANUP_GATEWAYS CLEANUP(endpoint_gateways_done)

/* All names of @c in a network where it has @aliases. */
void endpoint_dns_names(const struct container *c, const struct strv *aliases, struct strv *ret);

/* The network events "connect" and "disconnect". */
int endpoint_event(struct engine *engine, const char *action, const char *network, const char *container, struct err *err) MUST_CHECK;
