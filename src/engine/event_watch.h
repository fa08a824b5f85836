/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for events: the kernel tells when the database or the monitors' file
 * changes, so that nothing polls. */
#pragma once

#include "engine.h"

/* An inotify descriptor, the caller's to close. */
int event_watch_open(struct engine *engine, int *ret, struct err *err) MUST_CHECK;
/* Wait until something may have happened or @timeout_ms have passed (-1: for
 * ever). 1 when something may have, 0 at the time-out; -EINTR after a signal. */
int event_watch_wait(int watch, int timeout_ms) MUST_CHECK;
