/* SPDX-License-Identifier: Apache-2.0 */
/* One command at a time changes what a container holds outside the database: its
 * cgroups, folders, addresses. The end of one run and the start of the next
 * happen in different processes (`restart` and the old monitor's `internal
 * exited`), and the one must not undo what the other makes.
 *
 * The lock is a byte of $HULL_RUN/lock, chosen by the id (open file description
 * locks, fcntl(2)): it leaves nothing behind, dies with its process, and two
 * containers meet only by chance. Not recursive: a process holds one at a time. */
#pragma once

#include "engine.h"

/* Blocks until the container @id is this process's. */
int container_lock(struct engine *engine, const char *id, struct err *err) MUST_CHECK;
/* 1 when taken, 0 when another process has it. */
int container_trylock(struct engine *engine, const char *id, struct err *err) MUST_CHECK;
/* Also when it is not held. */
void container_unlock(struct engine *engine);

static inline void cleanup_container_lock(struct engine **engine)
{
	if (*engine)
		container_unlock(*engine);
}
/* Unlock at the end of the scope. */
#define CLEANUP_CONTAINER_LOCK CLEANUP(cleanup_container_lock)
