/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting a container to a network and disconnecting it, also while it runs.
 *
 * While that is done to a running container the endpoint's row says who is at
 * it; if that process dies, network_connect_recover() takes the interface away
 * and the membership with it: a half-made connection was never told as made, and
 * a half-taken one was to go. */
#pragma once

#include "containers.h"
#include "network_rows.h"

/* @e->network is as the user named it. ERR_CONFLICT when the container is in the
 * network already or has the host's or no network. */
int network_connect(struct engine *engine, const char *container, const struct config_endpoint *e, struct err *err) MUST_CHECK;
/* With @force also from a network that is gone. */
int network_disconnect(struct engine *engine, const char *container, const char *network, bool force, struct err *err) MUST_CHECK;

/* What dead processes left; for network_recover(). */
int network_connect_recover(struct engine *engine, struct err *err) MUST_CHECK;
/* After a rename: its names in all its networks. */
int network_rename_endpoints(struct engine *engine, struct container *c, struct err *err) MUST_CHECK;
