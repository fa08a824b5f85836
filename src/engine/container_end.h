/* SPDX-License-Identifier: Apache-2.0 */
/* Ends, for the engine's own files; the container is locked by the caller. */
#pragma once

#include "state.h"

/* Undo: processes, cgroups, addresses, ports, folders, and the row last. Any
 * number of times. */
int container_remove_everything(struct engine *engine, struct container *c, bool volumes, struct err *err) MUST_CHECK;
/* Release what the run held and record its end. */
int container_end_run(struct engine *engine, struct container *c, struct err *err) MUST_CHECK;
