/* SPDX-License-Identifier: Apache-2.0 */
#include "recover.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "container_end.h"
#include "container_lock.h"
#include "container_rename.h"
#include "containers.h"
#include "events.h"
#include "fault.h"
#include "fd.h"
#include "image_store.h"
#include "image_users.h"
#include "monitor_conf.h"
#include "network_objects.h"
#include "network_policy.h"
#include "network_rate.h"
#include "ports.h"
#include "restart_wish.h"
#include "volume_mounts.h"

/* ---- the end of one ---- */

/* As a monitor leaves it for `internal restart`, so that counting goes on. */
static int leave_restarting(struct engine *engine, struct container *c, struct err *err)
{
	CLEANUP_FD int dir = engine_open_run_dir(engine, c->id);
	if (dir < 0)
		return err_set(err, ERR_SYSTEM, dir, "open the run state of %s", c->name);
	bool was_running = c->run.status != RUN_RESTARTING;
	c->run.status = RUN_RESTARTING;
	c->run.dead_by_monitor = 1;
	c->run.monitor_pid = getpid();
	c->run.pid = 0;
	if (was_running) {
		c->run.exit_code = 137;
		c->run.finished_ns = clock_wall_ns();
	}
	int r = run_state_write(dir, &c->run);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "write the run state of %s", c->name);
	return 0;
}

/* The end of the run before: its monitor records none, having another to start. */
static int record_die(struct engine *engine, struct container *c, struct err *err)
{
	char code[32];
	snprintf(code, sizeof(code), "exitCode=%d", c->run.exit_code);
	if (c->is_new) {
		int r = event_record_container_at(engine, c, c->run.started_ns, "start", NULL, err);
		if (r < 0)
			return r;
	}
	return event_record_container_at(engine, c, c->run.finished_ns, "die", code, err);
}

static int start_again(struct engine *engine, struct container *c, struct err *err)
{
	CLEANUP_FD int sock = -1;
	const struct isolation *back_end;
	struct isolation_handle handle = container_handle(c);
	struct err why = ERR_INIT; /* recorded by the launch itself */
	bool is_told = run_dies_again(&c->run);
	int r = isolation_get(c->level, &back_end, err);
	if (r == 0)
		r = back_end->destroy(&handle, err);
	if (r == 0)
		r = leave_restarting(engine, c, err);
	if (r >= 0)
		r = db_run(engine->db, err, "UPDATE containers SET owner_pid = ?, owner_ticks = ? WHERE id = ?", "iis",
			   (int64_t)getpid(), (int64_t)state_process_ticks(getpid()), c->id);
	if (r >= 0)
		r = FAULT("recover.restart");
	if (r >= 0 && !is_told)
		r = record_die(engine, c, err);
	if (r >= 0)
		r = container_refresh(engine, c, err);
	if (r < 0)
		return r;
	if (containers_launch(engine, c, &sock, &why) == 0)
		(void)!containers_await_start(engine, c, sock, &why);
	return 0;
}

int containers_start_again(struct engine *engine, const char *id, struct err *err)
{
	CLEANUP_CONTAINER struct container *c = NULL;
	CLEANUP_FD int sock = -1;
	int r = container_find(engine, id, &c, err);
	/* Stopped or removed while the back-off ran. */
	if (r < 0 || c->row_status != ROW_STARTED || c->run.status != RUN_RESTARTING)
		return r;
	r = record_die(engine, c, err);
	if (r >= 0)
		r = containers_launch(engine, c, &sock, err);
	return r < 0 ? r : containers_await_start(engine, c, sock, err);
}

int recover_ended(struct engine *engine, struct container *c, struct err *err)
{
	if (c->is_new && !c->run.started_ns)
		return container_remove_everything(engine, c, true, err);
	if (!c->monitor_is_alive && container_wants_restart(c))
		return start_again(engine, c, err);
	return container_end_run(engine, c, err);
}

/* ---- all of them ---- */

/* It runs, and its hull died before it could note so. */
static int adopt(struct engine *engine, struct container *c, struct err *err)
{
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	if (!c->run.started_ns)
		return 0;
	int r = db_tx_begin(engine->db, &tx, err);
	if (r == 0)
		r = db_run(engine->db, err, "UPDATE containers SET monitor_pid = ?, is_new = 0, started_ns = ? WHERE id = ?", "iis",
			   (int64_t)c->run.monitor_pid, c->run.started_ns, c->id);
	if (r >= 0 && c->is_new)
		r = event_record_container_at(engine, c, c->run.started_ns, "start", NULL, err);
	return r < 0 ? r : db_tx_commit(&tx, err);
}

static int recover_one(struct engine *engine, const char *id, struct err *err)
{
	CLEANUP_CONTAINER_LOCK struct engine *locked = engine;
	CLEANUP_CONTAINER struct container *c = NULL;
	struct err none = ERR_INIT;
	/* Whoever has it looks after it. */
	int r = container_trylock(engine, id, err);
	if (r <= 0)
		return r;
	if (container_find(engine, id, &c, &none) < 0)
		return none.kind == ERR_NOT_FOUND ? 0 : (*err = none, none.errnum ? none.errnum : -EIO);
	bool owner_lives = c->owner_pid > 0 && state_process_ticks(c->owner_pid) == c->owner_ticks;
	if (c->row_status == ROW_STARTED && c->is_orphaned)
		return recover_ended(engine, c, err);
	if ((c->row_status == ROW_CREATING || c->row_status == ROW_REMOVING) && !owner_lives)
		return container_remove_everything(engine, c, c->auto_remove || c->row_status == ROW_CREATING, err);
	if (c->row_status == ROW_STARTED && c->monitor_is_alive && c->run.monitor_pid != c->monitor_pid)
		return adopt(engine, c, err);
	return 0;
}

/* Process numbers mean nothing after a reboot: then each is looked at. */
static bool is_same_boot(struct engine *engine, char now[40])
{
	char noted[40] = "";
	CLEANUP_FD int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, now, 39);
	now[n > 0 ? n : 0] = '\0';
	CLEANUP_FD int mark = openat(engine->run_fd, "boot", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	n = mark < 0 ? -1 : read(mark, noted, sizeof(noted) - 1);
	return n > 0 && memcmp(noted, now, (size_t)n) == 0;
}

static bool is_alive(int64_t pid)
{
	return pid > 0 && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

/* The rows that may need something: all that are being made or removed, and
 * those whose monitor is not there. */
static int find_suspects(struct engine *engine, struct strv *ret, char boot[40], bool *ret_is_new_boot, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	bool is_boot_known = false;
	int r = db_query(engine->db, &row, err, "SELECT id, status, monitor_pid FROM containers WHERE status IN (0, 2, 4)", "");
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		if (!is_boot_known)
			*ret_is_new_boot = !is_same_boot(engine, boot);
		is_boot_known = true;
		if (db_i64(row, 1) != ROW_STARTED || *ret_is_new_boot || !is_alive(db_i64(row, 2)))
			strv_add(ret, db_text(row, 0));
	}
	return r;
}

/* Hidden images whose last container went without them. */
static int collect_images(struct engine *engine, struct err *err)
{
	int64_t one;
	int r = db_query_i64(engine->db, &one, err,
			     "SELECT 1 FROM images WHERE is_hidden AND id NOT IN (SELECT image FROM containers) LIMIT 1", "");
	if (r <= 0)
		return r;
	struct image_users users = engine_image_users(engine);
	return image_collect(engine->store, &users, err);
}

int engine_recover(struct engine *engine, struct err *err)
{
	CLEANUP_STRV struct strv ids = { 0 };
	char boot[40] = "";
	bool is_new_boot = false;
	int r = find_suspects(engine, &ids, boot, &is_new_boot, err);
	for (size_t i = 0; r >= 0 && i < ids.n; i++)
		r = recover_one(engine, ids.v[i], err);
	if (r >= 0)
		r = network_recover(engine, err);
	if (r >= 0)
		r = ports_recover(engine, err);
	if (r >= 0)
		r = network_policy_recover(engine, err);
	if (r >= 0)
		r = network_rate_recover(engine, err);
	if (r >= 0)
		r = rename_recover(engine, err);
	if (r >= 0)
		r = volumes_sweep(engine, err);
	if (r >= 0)
		r = collect_images(engine, err);
	if (r >= 0 && is_new_boot && boot[0])
		r = fd_replace_file_at(engine->run_fd, "boot", boot, strlen(boot), 0600, false);
	return r < 0 ? r : events_drain(engine, err);
}

/* ---- the machine has come up ---- */

static bool wants_boot(struct container *c)
{
	enum restart_policy policy;
	uint32_t retries = 0;
	struct err ignored = ERR_INIT;
	if (c->row_status != ROW_EXITED || container_load_config(c, &ignored) < 0 ||
	    restart_policy_parse(c->config->restart_policy ? c->config->restart_policy : "", &policy, &retries, &ignored) < 0)
		return false;
	return policy == RESTART_ALWAYS || (policy == RESTART_UNLESS_STOPPED && !c->is_stopped_by_user);
}

int engine_boot(struct engine *engine, struct err *err)
{
	struct container **list;
	size_t n = 0;
	int r = container_list_all(engine, &list, &n, err);
	if (r < 0)
		return r;
	/* Oldest first: younger ones may want to join them. */
	for (size_t i = n; i-- > 0;) {
		struct err why = ERR_INIT;
		if (wants_boot(list[i]))
			(void)!containers_start(engine, list[i]->id, &why);
	}
	container_list_free(list, n);
	return 0;
}
