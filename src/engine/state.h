/* SPDX-License-Identifier: Apache-2.0 */
/* A container as recorded, merged with what its monitor says.
 *
 * The row says what hull was asked for and what it did last; while a monitor
 * lives, its run state (run_state.h) is the truth about the process. The merge
 * is made here and nowhere else. */
#pragma once

#include "container_config.h"
#include "engine.h"
#include "isolation.h"
#include "run_state.h"

/* containers.status. */
enum row_status {
	ROW_CREATING = 0, /* its owner is at work; undone when that dies */
	ROW_CREATED = 1,
	ROW_STARTED = 2, /* a monitor has it, or its owner is about to start one */
	ROW_EXITED = 3,
	ROW_REMOVING = 4,
};

/* Docker's State.Status. */
enum container_status {
	CONTAINER_CREATED,
	CONTAINER_RUNNING,
	CONTAINER_PAUSED,
	CONTAINER_RESTARTING,
	CONTAINER_REMOVING,
	CONTAINER_EXITED,
	CONTAINER_DEAD,
	CONTAINER_STATUS_COUNT
};
const char *container_status_name(enum container_status status);

struct container {
	char id[ID_SIZE];
	char *name;                 /* without the slash */
	char image_id[72];
	char *image_name;           /* as the user named it */
	char *config_text;          /* container_config as JSON */
	struct container_config *config; /* NULL until container_load_config() */
	/* Of one that this process has created: its image, until it is started (else
	 * NULL), and whether that and the configuration name no volume. */
	struct image *image;
	bool has_no_volumes;
	char *command;              /* as ps shows it */
	struct strv labels;         /* "key=value" */
	enum isolation_level level;
	enum row_status row_status;
	int64_t created_ns;
	int64_t userns_slot;        /* -1: none */
	bool auto_remove;
	int32_t owner_pid;
	uint64_t owner_ticks;
	int32_t monitor_pid; /* of the last start; 0: not recorded yet */
	bool is_new;         /* `run` made it and has not started it yet */
	bool is_stopped_by_user;

	/* ---- merged ---- */
	enum container_status status;
	bool monitor_is_alive;
	/* Recorded as started, but neither monitor nor owner is alive. */
	bool is_orphaned;
	struct run_state run; /* zeroes when there is none */
	const char *run_root; /* $HULL_RUN, the engine's */
	int64_t started_ns, finished_ns;
	int exit_code;
	bool oom_killed, has_been_started;
	int restart_count;
	char *error;
};

void container_free(struct container *c);
static inline void cleanup_container(struct container **c)
{
	container_free(*c);
}
#define CLEANUP_CONTAINER CLEANUP(cleanup_container)

extern const struct db_schema engine_schema;

/* By full id, name (with or without slash) or unique prefix of an id.
 * ERR_NOT_FOUND "No such container: x". */
int container_find(struct engine *engine, const char *name, struct container **ret, struct err *err) MUST_CHECK;
/* All, newest first; the caller frees each and the array. */
int container_list_all(struct engine *engine, struct container ***ret, size_t *ret_n, struct err *err) MUST_CHECK;
void container_list_free(struct container **list, size_t n);
/* Read status again. */
int container_refresh(struct engine *engine, struct container *c, struct err *err) MUST_CHECK;
int container_load_config(struct container *c, struct err *err) MUST_CHECK;
/* Whether recovery starts it once more, should its monitor be dead. */
bool container_wants_restart(struct container *c);
static inline bool container_is_running(const struct container *c)
{
	return c->status == CONTAINER_RUNNING || c->status == CONTAINER_PAUSED || c->status == CONTAINER_RESTARTING;
}
struct isolation_handle container_handle(const struct container *c);

/* Field 22 of /proc/PID/stat; 0 when there is no such process. */
uint64_t state_process_ticks(int32_t pid);
