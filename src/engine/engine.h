/* SPDX-License-Identifier: Apache-2.0 */
/* The engine: workloads as users know them, over the store, the monitors and
 * the isolation back ends. It works in the calling process; nothing has to run.
 *
 * How crashes are survived: everything outside the database that belongs to a
 * container is named after its id, and its row is committed before any of it
 * exists. So containers_undo() can remove whatever a dead process left, at any
 * time, any number of times; engine_open() does it for rows whose process died
 * half-way. */
#pragma once

#include "names.h"
#include "store.h"

struct engine {
	struct store *store;
	struct db *db;          /* the store's */
	const char *root, *run; /* the store's */
	char *libexec;          /* where hull-monitor and the like are */
	char *hull_path;        /* the program for `hull internal ...`; NULL: found by the monitor */
	int run_fd;             /* $HULL_RUN */
	int lock_fd;            /* container_lock.h; -1: nothing is locked */
	int ahead_sock;         /* monitor_spawn.h; -1: none */
	pid_t ahead_pid;
	bool ahead_makes_namespaces;
	char ahead_id[ID_SIZE]; /* of the container it is for; "": none */
};

/* Open the state of $HULL_ROOT and $HULL_RUN, recover what dead processes left. */
int engine_open(struct engine **ret, struct err *err) MUST_CHECK;
/* The same for who is about to create and start a container: its monitor is
 * spawned first of all. @has_own_namespaces: it will be of the container level, with
 * no namespace of the host's or of another container's; a wrong guess costs time. */
int engine_open_to_run(struct engine **ret, bool has_own_namespaces, struct err *err) MUST_CHECK;
void engine_close(struct engine *engine);
/* The same for a process that is about to end: what only it has is left to the kernel,
 * which is quicker. */
void engine_leave(struct engine *engine);
static inline void cleanup_engine(struct engine **engine)
{
	engine_close(*engine);
}
#define CLEANUP_ENGINE CLEANUP(cleanup_engine)

/* Finish what dead processes left; cheap when there is nothing. */
int engine_recover(struct engine *engine, struct err *err) MUST_CHECK;

/* Allocated: root/workloads/<id>[/name]. */
char *engine_workload_path(const struct engine *engine, const char *id, const char *name);
/* Open $HULL_RUN/workloads/<id>; -ENOENT when there is none. */
int engine_open_run_dir(const struct engine *engine, const char *id) MUST_CHECK;
