/* SPDX-License-Identifier: Apache-2.0 */
/* A hull-monitor process, which does nothing until it is spoken to. */
#pragma once

#include "engine.h"

/* Spawn one for a container that is about to be created and started, and choose
 * its id: it gets ready while the database is opened and written.
 * @has_own_namespaces: as engine_open_to_run(). */
void monitor_spawn_ahead(struct engine *engine, bool has_own_namespaces);
/* Container @id's config.json is there, which a monitor that was spawned ahead for it
 * can make use of before it is taken. */
void monitor_tell_described(struct engine *engine, const char *id);
/* The start of @id has failed before anything was asked of its monitor: leave it, and
 * wait until it has ended with its launcher, which may be making control groups. */
void monitor_leave(struct engine *engine, const char *id);
/* The conversation with a monitor for container @id: the one that was spawned
 * ahead if it is the container's, else a new one. */
int monitor_take(struct engine *engine, const char *id, int *ret_sock, pid_t *ret_pid, struct err *err) MUST_CHECK;
