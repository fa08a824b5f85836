/* SPDX-License-Identifier: Apache-2.0 */
/* Networks as objects: made, listed, removed.
 *
 * How crashes are survived: a row is committed, with who is at work on it, before
 * anything is made on the host, and deleted after everything is gone from there.
 * network_recover() takes away what a dead process was making or removing; names
 * of links come from the row. */
#pragma once

#include "network_rows.h"

#define NETWORK_NAME_MAX 255

struct network_new {
	const char *name, *driver; /* driver NULL: bridge */
	struct strv subnets, gateways, ranges, aux; /* borrowed */
	struct strv options, labels; /* "key=value"; borrowed */
	bool is_internal, is_attachable, is_isolated;
	bool no_ipv4, ipv6;
	const char *parent; /* or the option "parent" */
	int vlan;
};
/* ERR_CONFLICT for a name or subnet that is taken, ERR_INVALID for what makes no
 * network, ERR_NOT_FOUND for a driver or parent there is not. @warnings: what the
 * user may not have meant. */
int network_create(struct engine *engine, const struct network_new *wanted, char ret_id[ID_SIZE], struct strv *warnings,
		   struct err *err) MUST_CHECK;

/* ERR_CONFLICT while a running container is in it, ERR_DENIED for bridge, host
 * and none. */
int network_remove(struct engine *engine, const char *name, struct err *err) MUST_CHECK;

struct network_filter {
	struct strv pairs; /* "key=value": dangling, driver, id, label, name, scope, type; for prune until, label, label! */
};
int networks_list(struct engine *engine, const struct network_filter *filter, struct network ***ret, size_t *ret_n,
		  struct err *err) MUST_CHECK;
/* Those of users that no container is in, running or not, and that match; their
 * names are appended. */
int networks_prune(struct engine *engine, const struct network_filter *filter, struct strv *ret_names, struct err *err) MUST_CHECK;

/* Finish what dead processes left of networks and of connecting; cheap when there
 * is nothing. */
int network_recover(struct engine *engine, struct err *err) MUST_CHECK;
