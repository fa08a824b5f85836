/* SPDX-License-Identifier: Apache-2.0 */
/* Changing the limits, the restart policy and the published ports of a
 * container, running or not. */
#pragma once

#include "ports.h"

/* What is set in @changes (limits, restart policy) replaces what the container
 * has, @ports (may be NULL) are added and removed; a running one feels it at
 * once. Nothing is changed when a value is
 * refused. */
int containers_update(struct engine *engine, const char *name, const struct container_config *changes,
		      const struct port_changes *ports, struct err *err) MUST_CHECK;
