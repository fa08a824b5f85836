/* SPDX-License-Identifier: Apache-2.0 */
/* Ends: of a run, of a container, and of what dead processes left. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "clock.h"
#include "container_end.h"
#include "container_lock.h"
#include "containers.h"
#include "events.h"
#include "fault.h"
#include "fd.h"
#include "image_store.h"
#include "image_users.h"
#include "monitor_proto.h"
#include "networks.h"
#include "recover.h"
#include "volume_mounts.h"

/* The monitor kills what does not end by itself, which takes at most so long. */
#define REMOVED_TIMEOUT_MS 15000
/* For so long the database may be locked meanwhile. */
#define LOCKED_MS 20

/* Everything of a run that lives outside the folders: processes, cgroups,
 * addresses, ports. */
static int release_run(struct engine *engine, const struct container *c, struct err *err)
{
	const struct isolation *back_end;
	struct isolation_handle handle = container_handle(c);
	int r = isolation_get(c->level, &back_end, err);
	if (r == 0)
		r = back_end->destroy(&handle, err);
	if (r == 0)
		r = networks_release(engine, c->id, err);
	if (r == 0)
		r = db_run(engine->db, err, "DELETE FROM ports WHERE container = ?", "s", c->id);
	if (r >= 0 && c->row_status == ROW_STARTED)
		r = volumes_unused(engine, c->id, err);
	return r < 0 ? r : 0;
}

/* A monitor that is still there would write into what is being removed; one that
 * is on its way (its hull died right after it had said START) would start what
 * nobody knows of. Holding its lock keeps both out until the folder is gone. */
static void hold_monitor(struct engine *engine, const struct container *c, int *ret_lock)
{
	CLEANUP_FD int dir = engine_open_run_dir(engine, c->id);
	for (int i = 0; dir >= 0 && i < 500 && run_state_lock(dir, ret_lock) == -EWOULDBLOCK; i++) {
		struct run_state now = { 0 };
		struct timespec ms = { 0, 2000000 };
		if (run_state_read(dir, &now) == 0 && now.monitor_pid > 1 && now.monitor_pid != getpid())
			kill(now.monitor_pid, SIGKILL);
		nanosleep(&ms, NULL);
	}
}

static int image_users_find(void *ctx, const char *image_id, struct image_user *ret, struct err *err)
{
	struct engine *engine = ctx;
	CLEANUP_FREE char *id = NULL;
	int64_t status = 0;
	int r = db_query_text(engine->db, &id, err, "SELECT id FROM containers WHERE image = ? ORDER BY status = 2 DESC LIMIT 1", "s", image_id);
	if (r <= 0)
		return r;
	r = db_query_i64(engine->db, &status, err, "SELECT status FROM containers WHERE id = ?", "s", id);
	if (r < 0)
		return r;
	if (str_copy(ret->container, sizeof(ret->container), id) < 0)
		return -EINVAL;
	ret->is_running = status == ROW_STARTED;
	return 1;
}

struct image_users engine_image_users(struct engine *engine)
{
	return (struct image_users){ image_users_find, engine };
}

static int remove_run_folder(struct engine *engine, const char *id, struct err *err)
{
	char path[96];
	snprintf(path, sizeof(path), "workloads/%s", id);
	int r = fd_remove_tree_at(engine->run_fd, path);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "remove %s/%s", engine->run, path);
	return FAULT("rm.run_dir");
}

static int remove_workload_folder(struct engine *engine, const char *id, struct err *err)
{
	char path[96];
	snprintf(path, sizeof(path), "workloads/%s", id);
	int r = fd_remove_tree_at(engine->store->root_fd, path);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "remove %s/%s", engine->root, path);
	return FAULT("rm.workload");
}

static int record_run(struct engine *engine, const struct container *c, const struct run_end *end, struct err *err)
{
	char code[32];
	int r = 0;
	snprintf(code, sizeof(code), "exitCode=%d", end->exit_code);
	if (!end->is_start_recorded)
		r = event_record_container_at(engine, c, end->started_ns, "start", NULL, err);
	return r < 0 ? r : event_record_container_at(engine, c, end->finished_ns, "die", code, err);
}

#define DELETE_ROW "DELETE FROM containers WHERE id = ?"

/* The last step: only the row is left. With @end the run is told before, and *tx is
 * left to be committed when nothing else is. */
static int delete_row(struct engine *engine, struct container *c, bool volumes, const struct run_end *end, struct db_tx *tx,
		      struct err *err)
{
	int r = db_tx_begin(engine->db, tx, err);
	if (r == 0 && !c->has_no_volumes)
		r = volumes_release(engine, c->id, volumes, err);
	if (r == 0)
		r = db_run(engine->db, err, DELETE_ROW, "s", c->id);
	bool was_there = r > 0;
	if (was_there && end)
		r = record_run(engine, c, end, err);
	if (was_there && r >= 0)
		r = event_record_container(engine, c, "destroy", NULL, err);
	return r < 0 ? r : 0;
}

static int commit_removal(struct engine *engine, struct db_tx *tx, struct err *err)
{
	int r = db_tx_commit(tx, err);
	FAULT_HERE("rm.row");
	if (r >= 0)
		r = volumes_sweep(engine, err);
	if (r < 0)
		return r;
	struct image_users users = engine_image_users(engine);
	return image_collect(engine->store, &users, err);
}

static int remove_row(struct engine *engine, struct container *c, bool volumes, const struct run_end *end, struct err *err)
{
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int r = delete_row(engine, c, volumes, end, &tx, err);
	return r < 0 ? r : commit_removal(engine, &tx, err);
}

int container_remove_everything(struct engine *engine, struct container *c, bool volumes, struct err *err)
{
	CLEANUP_FD int lock = -1;
	hold_monitor(engine, c, &lock);
	int r = FAULT("rm.killed");
	if (r == 0)
		r = release_run(engine, c, err);
	if (r == 0)
		r = FAULT("rm.released");
	if (r == 0)
		r = remove_run_folder(engine, c->id, err);
	if (r == 0)
		r = remove_workload_folder(engine, c->id, err);
	return r < 0 ? r : remove_row(engine, c, volumes, NULL, err);
}

/* The container @id, locked: 0 when there is none. */
static int find_locked(struct engine *engine, const char *id, struct container **ret, struct err *err)
{
	struct err none = ERR_INIT;
	int r = container_lock(engine, id, err);
	if (r < 0)
		return r;
	r = container_find(engine, id, ret, &none);
	if (r < 0)
		return none.kind == ERR_NOT_FOUND ? 0 : (*err = none, r);
	return 1;
}

int containers_undo(struct engine *engine, const char *id, struct err *err)
{
	CLEANUP_CONTAINER_LOCK struct engine *locked = engine;
	CLEANUP_CONTAINER struct container *c = NULL;
	int r = find_locked(engine, id, &c, err);
	if (r <= 0)
		return r;
	return container_remove_everything(engine, c, c->auto_remove, err);
}

/* The monitor's word that memory ran out belongs between start and end.
 * @untold_start_ns: a start that has no event yet; 0: none. */
static int tell_oom(struct engine *engine, struct container *c, int64_t untold_start_ns, struct err *err)
{
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int r = db_tx_begin(engine->db, &tx, err);
	if (r == 0 && untold_start_ns)
		r = event_record_container_at(engine, c, untold_start_ns, "start", NULL, err);
	if (r >= 0)
		r = db_run(engine->db, err, "UPDATE containers SET is_new = 0 WHERE id = ?", "s", c->id);
	if (r >= 0)
		r = db_tx_commit(&tx, err);
	if (r < 0)
		return r;
	c->is_new = false;
	return events_drain(engine, err);
}

static int record_end(struct engine *engine, struct container *c, struct err *err)
{
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int r = db_tx_begin(engine->db, &tx, err);
	if (r < 0)
		return r;
	bool has_run = c->started_ns != 0;
	int64_t now = clock_wall_ns();
	enum row_status status = c->auto_remove ? ROW_REMOVING : has_run ? ROW_EXITED : ROW_CREATED;
	r = db_run(engine->db, err,
		   "UPDATE containers SET status = ?, started_ns = ?, finished_ns = ?, exit_code = ?, oom_killed = ?,"
		   " restart_count = ?, error = CASE WHEN ? = '' THEN error ELSE ? END, owner_pid = ?, owner_ticks = ?,"
		   " is_new = 0, is_stopped_by_user = ? WHERE id = ? AND status = 2",
		   "iiiiiissiiis", (int64_t)status, c->started_ns, has_run ? c->finished_ns ? c->finished_ns : now : 0,
		   (int64_t)c->exit_code, (int64_t)c->oom_killed, (int64_t)c->restart_count, c->run.error, c->run.error,
		   (int64_t)getpid(), (int64_t)state_process_ticks(getpid()), (int64_t)c->run.stopped_by_user, c->id);
	if (r <= 0)
		return r;
	char code[32];
	snprintf(code, sizeof(code), "exitCode=%d", c->exit_code);
	/* Of a short run, and of one whose hull died, the start is told here. */
	if (c->is_new && c->run.started_ns)
		r = event_record_container_at(engine, c, c->run.started_ns, "start", NULL, err);
	if (r >= 0 && has_run)
		r = event_record_container_at(engine, c, c->finished_ns ? c->finished_ns : now, "die", code, err);
	if (r >= 0)
		r = db_tx_commit(&tx, err);
	return r < 0 ? r : 1;
}

/* Whether what runs now is another run than the one that ended: it was started
 * again before its end was looked at. */
static bool runs_again(const struct container *c)
{
	return c->monitor_is_alive && c->run.status != RUN_EXITED;
}

int container_end_run(struct engine *engine, struct container *c, struct err *err)
{
	int r = FAULT("finish.begun");
	/* The address and ports go before the record of the end: whoever dies in
	 * between leaves a row that recovery finds, and does both again. */
	if (r == 0 && !c->auto_remove)
		r = release_run(engine, c, err);
	if (r == 0)
		r = FAULT("finish.released");
	if (r == 0 && c->oom_killed)
		r = tell_oom(engine, c, c->is_new ? c->run.started_ns : 0, err);
	if (r == 0)
		r = record_end(engine, c, err);
	if (r <= 0)
		return r;
	r = FAULT("finish.recorded");
	return r == 0 && c->auto_remove ? container_remove_everything(engine, c, true, err) : r;
}

int containers_finish(struct engine *engine, const char *id, struct err *err)
{
	CLEANUP_CONTAINER_LOCK struct engine *locked = engine;
	CLEANUP_CONTAINER struct container *c = NULL;
	int r = find_locked(engine, id, &c, err);
	if (r <= 0)
		return r;
	if (c->row_status != ROW_STARTED || runs_again(c))
		return 0;
	return recover_ended(engine, c, err);
}

/* What the monitor still says, within @timeout_ms: 1 if it is that nothing of the run
 * is left, 0 if it says nothing yet, negative if it never will. */
static int monitor_removed_run(int sock, int timeout_ms)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	CLEANUP_FREE char *payload = mem_calloc(1, MON_PAYLOAD_MAX);
	struct mon_msg msg;
	while (poll(&p, 1, timeout_ms) > 0) {
		int r = mon_recv(sock, &msg, payload, NULL, 0, NULL);
		if (r == 1 && msg.type == MON_REMOVED)
			return 1;
		if (r <= 0 && r != -EAGAIN && r != -EINTR)
			return r < 0 ? r : -EPIPE;
	}
	return 0;
}

/* There is nothing to be taken back once the monitor has removed the run. */
static bool holds_nothing(struct engine *engine, const struct container *c, const struct run_end *end)
{
	int64_t one;
	struct err ignored = ERR_INIT;
	return c->has_no_volumes && !end->oom_killed && c->config && networks_has_none(c->config) &&
	       db_query_i64(engine->db, &one, &ignored, NETWORKS_HAS_ANY, "ss", c->id, c->id) == 0;
}

/* 1 when it is over; 0 when the row must wait longer for the monitor than others may
 * have to wait for the database. */
static int remove_row_meanwhile(struct engine *engine, struct container *c, const struct run_end *end, struct err *err)
{
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int r = delete_row(engine, c, true, end, &tx, err);
	if (r < 0 || monitor_removed_run(end->sock, LOCKED_MS) <= 0)
		return r;
	r = commit_removal(engine, &tx, err);
	return r < 0 ? r : 1;
}

void containers_expect_end(struct engine *engine, const struct container *c)
{
	if (!c->auto_remove)
		return;
	db_prepare_ahead(engine->db, NETWORKS_HAS_ANY);
	db_prepare_ahead(engine->db, DELETE_ROW);
	db_prepare_ahead(engine->db, IMAGES_ARE_HIDDEN);
}

int containers_ended(struct engine *engine, struct container *c, const struct run_end *end, struct err *err)
{
	CLEANUP_CONTAINER_LOCK struct engine *locked = engine;
	int r = container_lock(engine, c->id, err);
	if (r < 0)
		return r;
	if (!c->auto_remove)
		return containers_finish(engine, c->id, err);
	r = remove_workload_folder(engine, c->id, err);
	if (r == 0 && holds_nothing(engine, c, end))
		r = remove_row_meanwhile(engine, c, end, err);
	if (r != 0)
		return r < 0 ? r : 0;
	if (monitor_removed_run(end->sock, REMOVED_TIMEOUT_MS) <= 0)
		return containers_finish(engine, c->id, err);
	r = networks_release_removed(engine, c->id, err);
	if (r >= 0 && !c->has_no_volumes)
		r = volumes_unused(engine, c->id, err);
	struct run_end told = *end;
	if (r >= 0 && end->oom_killed) {
		r = tell_oom(engine, c, end->is_start_recorded ? 0 : end->started_ns, err);
		told.is_start_recorded = true;
	}
	return r < 0 ? r : remove_row(engine, c, true, &told, err);
}

void containers_start_failed(struct engine *engine, struct container *c, const struct err *why)
{
	CLEANUP_CONTAINER_LOCK struct engine *locked = engine;
	struct err ignored = ERR_INIT;
	int code = containers_start_exit_code(why);
	if (c->auto_remove) {
		if (containers_undo(engine, c->id, &ignored) < 0)
			return; /* recovery does it */
		return;
	}
	/* Nobody is left who would make anything of it behind this. */
	CLEANUP_FD int lock = -1;
	hold_monitor(engine, c, &lock);
	if (release_run(engine, c, &ignored) < 0)
		ignored = ERR_INIT;
	/* Docker: it stays "created", with the reason and the code. */
	if (db_run(engine->db, &ignored,
		   "UPDATE containers SET status = CASE WHEN started_ns = 0 THEN 1 ELSE 3 END, exit_code = ?, error = ?, is_new = 0 WHERE id = ?",
		   "iss", (int64_t)code, why->msg, c->id) < 0)
		return;
	CLEANUP_FD int dir = engine_open_run_dir(engine, c->id);
	if (dir >= 0)
		unlinkat(dir, "state", 0);
}

/* Of one that is removed while it runs: as if it had been killed before. */
static int record_kill(struct engine *engine, const struct container *c, struct err *err)
{
	int64_t now = clock_wall_ns();
	int r = c->is_new && c->run.started_ns ? event_record_container_at(engine, c, c->run.started_ns, "start", NULL, err) : 0;
	if (r >= 0)
		r = event_record_container_at(engine, c, now, "kill", "signal=9", err);
	return r < 0 ? r : event_record_container_at(engine, c, now, "die", "exitCode=137", err);
}

/* From here on it is nobody's but ours; should we die, recovery goes on. */
static int mark_removal(struct engine *engine, struct container *c, bool volumes, struct err *err)
{
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int r = db_tx_begin(engine->db, &tx, err);
	if (r == 0)
		r = db_run(engine->db, err, "UPDATE containers SET status = 4, owner_pid = ?, owner_ticks = ?, auto_remove = ?, is_new = 0 WHERE id = ?",
			   "iiis", (int64_t)getpid(), (int64_t)state_process_ticks(getpid()), (int64_t)volumes, c->id);
	if (r == 0)
		return err_set(err, ERR_NOT_FOUND, 0, "No such container: %s", c->name);
	if (r > 0 && (c->status == CONTAINER_RUNNING || c->status == CONTAINER_PAUSED))
		r = record_kill(engine, c, err);
	return r < 0 ? r : db_tx_commit(&tx, err);
}

int containers_remove(struct engine *engine, const char *name, bool force, bool volumes, struct err *err)
{
	CLEANUP_CONTAINER_LOCK struct engine *locked = engine;
	CLEANUP_CONTAINER struct container *c = NULL;
	int r = container_find(engine, name, &c, err);
	if (r == 0)
		r = container_lock(engine, c->id, err);
	if (r == 0)
		r = container_refresh(engine, c, err);
	if (r < 0)
		return r;
	if (container_is_running(c) && !force) {
		err_set(err, ERR_CONFLICT, 0,
			"cannot remove container \"%s\": container is %s: stop the container before removing or force remove", c->name,
			container_status_name(c->status));
		err_hint(err, "hull rm -f %s", c->name);
		return err->errnum ? err->errnum : -EBUSY;
	}
	r = mark_removal(engine, c, volumes, err);
	if (r >= 0)
		r = FAULT("rm.marked");
	return r < 0 ? r : container_remove_everything(engine, c, volumes, err);
}
