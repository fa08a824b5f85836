/* SPDX-License-Identifier: Apache-2.0 */
/* Changing the limits and the restart policy of a container, running or not. */
#pragma once

#include "state.h"

/* What is set in @changes (limits, restart policy) replaces what the container
 * has; a running one feels it at once. Nothing is changed when a value is
 * refused. */
int containers_update(struct engine *engine, const char *name, const struct container_config *changes, struct err *err) MUST_CHECK;
