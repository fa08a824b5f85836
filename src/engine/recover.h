/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of rows whose process died: seen by whatever hull runs next. */
#pragma once

#include "state.h"

/* The end of a run, or of what never became one, by a process that has locked
 * @c and knows that nothing of it lives: undo a `run` that was cut short, start
 * anew what its restart policy wants running when its monitor was killed, else
 * release and record. */
int recover_ended(struct engine *engine, struct container *c, struct err *err) MUST_CHECK;

/* `internal restart`: the container @id, whose monitor waited out the back-off and
 * is this process now. Nothing when it was stopped meanwhile. */
int containers_start_again(struct engine *engine, const char *id, struct err *err) MUST_CHECK;

/* The machine has come up: start what a restart policy wants running. What
 * cannot be started is passed over, its error recorded. */
int engine_boot(struct engine *engine, struct err *err) MUST_CHECK;
