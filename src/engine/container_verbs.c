/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs on containers that exist: mostly one question to the monitor. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "container_lock.h"
#include "clock.h"
#include "containers.h"
#include "events.h"
#include "fault.h"
#include "image_store.h"
#include "monitor_proto.h"
#include "signal_names.h"
#include "spec_builder.h"
#include "user_lookup.h"

#define STARTER_NAPS   500
#define STARTER_NAP_NS 10000000

static int not_running(const struct container *c, struct err *err)
{
	return err_set(err, ERR_CONFLICT, 0, "container %s is not running", c->id);
}

int containers_connect(struct engine *engine, const struct container *c, int *ret_sock, struct err *err)
{
	CLEANUP_FD int dir = engine_open_run_dir(engine, c->id);
	int r = dir < 0 ? dir : mon_connect(dir, ret_sock);
	if (r == -ENOENT || r == -ECONNREFUSED)
		return not_running(c, err);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "reach the monitor of %s", c->name) : 0;
}

/* Receive until a message of @type (or ERROR, or the end). */
static int await_reply(int sock, uint32_t type, struct mon_msg *msg, struct err *err)
{
	CLEANUP_FREE char *payload = mem_calloc(1, MON_PAYLOAD_MAX);
	for (;;) {
		size_t n = 0;
		int r = mon_recv(sock, msg, payload, NULL, 0, &n);
		if (r <= 0)
			return err_set(err, ERR_SYSTEM, r ? r : -EPIPE, "the monitor went away");
		if (msg->type == type)
			return 0;
		if (msg->type == MON_ERROR && msg->len == sizeof(*err)) {
			memcpy(err, payload, sizeof(*err));
			return err->errnum < 0 ? err->errnum : -EIO;
		}
	}
}

static int request(struct engine *engine, const struct container *c, uint32_t type, uint32_t arg, uint32_t arg2,
		   int *ret_sock, struct err *err)
{
	struct mon_msg msg;
	CLEANUP_FD int sock = -1;
	int r = containers_connect(engine, c, &sock, err);
	if (r == 0 && (r = mon_send(sock, type, arg, arg2, NULL, 0, NULL, 0)) < 0)
		err_set(err, ERR_SYSTEM, r, "ask the monitor of %s", c->name);
	if (r == 0)
		r = await_reply(sock, MON_OK, &msg, err);
	if (r == 0 && ret_sock)
		*ret_sock = TAKE_FD(sock);
	return r;
}

static int simple_event(struct engine *engine, const struct container *c, const char *action, const char *extra, struct err *err)
{
	return event_record_container(engine, c, action, extra, err);
}

/* Wait until the monitor has gone, so that the record of the end is final. */
static void await_hangup(int sock)
{
	struct pollfd p = { .fd = sock };
	while (poll(&p, 1, 2000) > 0 && !(p.revents & (POLLHUP | POLLERR)))
		;
}

/* What the monitor sends first when it is asked to stop. */
static int stop_signal(struct engine *engine, struct container *c, uint32_t signo)
{
	CLEANUP_IMAGE struct image *image = NULL;
	struct err ignored = ERR_INIT;
	int number;
	if (signo != MON_DEFAULT)
		return (int)signo;
	if (container_load_config(c, &ignored) < 0 || image_load(engine->store, c->image_id, &image, &ignored) < 0)
		return SIGTERM;
	const char *name = !str_is_empty(c->config->stop_signal) ? c->config->stop_signal : image->config->stop_signal;
	return str_is_empty(name) || signal_parse(name, &number, &ignored) < 0 ? SIGTERM : number;
}

/* Between two monitors of a restart nobody takes the question: whoever starts the
 * next one has the container's lock, or is about to take it; where that one died,
 * this goes on for it. */
static int request_stop(struct engine *engine, struct container *c, uint32_t timeout_s, uint32_t signo, int *ret_sock,
			struct err *err)
{
	const struct timespec nap = { 0, STARTER_NAP_NS };
	for (int tries = 0;; tries++) {
		struct err why = ERR_INIT;
		int r = request(engine, c, MON_STOP, timeout_s, signo, ret_sock, &why);
		if (r == 0 || c->status != CONTAINER_RESTARTING || tries == STARTER_NAPS) {
			*err = why;
			return r;
		}
		nanosleep(&nap, NULL);
		r = containers_finish(engine, c->id, err);
		if (r >= 0)
			r = container_refresh(engine, c, err);
		if (r < 0)
			return r;
	}
}

int containers_stop(struct engine *engine, const char *name, uint32_t timeout_s, uint32_t signo, struct err *err)
{
	CLEANUP_CONTAINER struct container *c = NULL;
	CLEANUP_FD int sock = -1;
	struct mon_msg msg;
	char extra[32];
	int r = container_find(engine, name, &c, err);
	/* Somebody is starting it at this moment: what is stopped is what that makes. */
	if (r == 0 && c->row_status == ROW_STARTED && c->run.status == RUN_CREATED) {
		r = container_lock(engine, c->id, err);
		container_unlock(engine);
		if (r == 0)
			r = container_refresh(engine, c, err);
	}
	if (r < 0 || !container_is_running(c))
		return r;
	int64_t asked_ns = clock_wall_ns();
	r = request_stop(engine, c, timeout_s, signo, &sock, err);
	FAULT_HERE("stop.asked");
	if (r == 0) {
		/* The die it causes may be told before. */
		snprintf(extra, sizeof(extra), "signal=%d", stop_signal(engine, c, signo));
		r = event_record_container_at(engine, c, asked_ns, "kill", extra, err);
	}
	if (r == 0)
		r = await_reply(sock, MON_EXIT, &msg, err);
	if (r < 0) {
		/* It ended while we asked: that is what was wanted. */
		struct err again = ERR_INIT;
		if (container_refresh(engine, c, &again) < 0 || container_is_running(c))
			return r;
		*err = ERR_INIT;
	}
	if (sock >= 0)
		await_hangup(sock);
	/* The monitor's `internal exited` may do this at the same moment. */
	bool auto_remove = c->auto_remove;
	r = containers_finish(engine, c->id, err);
	if (r >= 0)
		r = simple_event(engine, c, "stop", NULL, err);
	return auto_remove && r < 0 && err->kind == ERR_NOT_FOUND ? 0 : r;
}

int containers_restart(struct engine *engine, const char *name, uint32_t timeout_s, uint32_t signo, struct err *err)
{
	CLEANUP_CONTAINER struct container *c = NULL;
	int r = container_find(engine, name, &c, err);
	if (r == 0)
		r = containers_stop(engine, c->id, timeout_s, signo, err);
	if (r >= 0)
		r = containers_start(engine, c->id, err);
	return r < 0 ? r : simple_event(engine, c, "restart", NULL, err);
}

/* As Docker does after SIGKILL: what comes next finds it stopped. */
static void await_killed(struct engine *engine, const struct container *c, int sock)
{
	struct err ignored = ERR_INIT;
	struct mon_msg msg;
	if (mon_send(sock, MON_WAIT, 0, 0, NULL, 0, NULL, 0) == 0 && await_reply(sock, MON_EXIT, &msg, &ignored) == 0)
		await_hangup(sock);
	if (containers_finish(engine, c->id, &ignored) < 0)
		return; /* recovery does it, or it is gone */
}

int containers_kill(struct engine *engine, const char *name, int signo, struct err *err)
{
	CLEANUP_CONTAINER struct container *c = NULL;
	char extra[32];
	int r = container_find(engine, name, &c, err);
	if (r < 0)
		return r;
	if (!container_is_running(c))
		return err_set(err, ERR_CONFLICT, 0, "cannot kill container: %s: container %s is not running", name, c->id);
	CLEANUP_FD int sock = -1;
	int64_t asked_ns = clock_wall_ns();
	r = request(engine, c, MON_SIGNAL, (uint32_t)signo, MON_SIGNAL_BY_USER, &sock, err);
	snprintf(extra, sizeof(extra), "signal=%d", signo);
	if (r == 0)
		r = event_record_container_at(engine, c, asked_ns, "kill", extra, err);
	if (r >= 0 && signo == SIGKILL)
		await_killed(engine, c, sock);
	return r;
}

int containers_pause(struct engine *engine, const char *name, struct err *err)
{
	CLEANUP_CONTAINER struct container *c = NULL;
	int r = container_find(engine, name, &c, err);
	if (r < 0)
		return r;
	if (c->status == CONTAINER_PAUSED)
		return err_set(err, ERR_CONFLICT, 0, "container %s is already paused", c->id);
	if (c->status != CONTAINER_RUNNING)
		return not_running(c, err);
	r = request(engine, c, MON_PAUSE, 0, 0, NULL, err);
	return r < 0 ? r : simple_event(engine, c, "pause", NULL, err);
}

int containers_unpause(struct engine *engine, const char *name, struct err *err)
{
	CLEANUP_CONTAINER struct container *c = NULL;
	int r = container_find(engine, name, &c, err);
	if (r < 0)
		return r;
	if (c->status != CONTAINER_PAUSED)
		return err_set(err, ERR_CONFLICT, 0, "container %s is not paused", c->id);
	r = request(engine, c, MON_RESUME, 0, 0, NULL, err);
	return r < 0 ? r : simple_event(engine, c, "unpause", NULL, err);
}

int containers_wait(struct engine *engine, const char *name, enum wait_condition condition, int *ret_code, struct err *err)
{
	CLEANUP_CONTAINER struct container *c = NULL;
	int r = container_find(engine, name, &c, err);
	if (r < 0)
		return r;
	if (container_is_running(c) || (condition == WAIT_NEXT_EXIT && c->row_status == ROW_STARTED)) {
		CLEANUP_FD int sock = -1;
		struct mon_msg msg;
		struct err why = ERR_INIT;
		r = containers_connect(engine, c, &sock, &why);
		if (r == 0)
			r = mon_send(sock, MON_WAIT, 0, 0, NULL, 0, NULL, 0);
		if (r == 0)
			r = await_reply(sock, MON_EXIT, &msg, &why);
		if (r == 0) {
			*ret_code = (int)msg.arg;
			return 0;
		}
		r = container_refresh(engine, c, err);
		if (r < 0)
			return r;
	}
	*ret_code = c->exit_code;
	return 0;
}

int containers_exec_json(struct engine *engine, struct container *c, const struct exec_request *request, struct buf *out,
			struct err *err)
{
	CLEANUP_IMAGE struct image *image = NULL;
	CLEANUP_FREE char *home = NULL, *upper = engine_workload_path(engine, c->id, "upper");
	CLEANUP_STRV struct strv layers = { 0 };
	struct spec_process p = { 0 };
	if (c->status == CONTAINER_PAUSED)
		return err_set(err, ERR_CONFLICT, 0, "container %s is paused, unpause the container before exec", c->id);
	if (c->status != CONTAINER_RUNNING)
		return not_running(c, err);
	int r = container_load_config(c, err);
	if (r == 0)
		r = image_load(engine->store, c->image_id, &image, err);
	if (r == 0)
		r = layers_ensure_mounted(engine->store, &image->config->diffids, &layers, err);
	if (r)
		return r;
	const char *user = !str_is_empty(request->user) ? request->user :
			   !str_is_empty(c->config->user) ? c->config->user : image->config->user;
	r = user_lookup(&layers, upper, user, &c->config->group_add, &p.user, &home, err);
	if (r == 0)
		r = spec_capabilities(&c->config->cap_add, &c->config->cap_drop, request->privileged || c->config->privileged,
				      p.user.uid == 0, &p.caps, err);
	if (r == 0)
		r = spec_rlimits(c->config, &p, err);
	if (r == 0) {
		spec_env(c->config, image->config, NULL, &p.env);
		if (request->tty && !c->config->tty)
			strv_add(&p.env, "TERM=xterm");
		spec_env_add(&p.env, &request->env, home);
		strv_extend(&p.args, &request->args);
		const char *cwd = !str_is_empty(request->workdir)	 ? request->workdir :
				  !str_is_empty(c->config->working_dir) ? c->config->working_dir : image->config->workdir;
		p.cwd = str_dup(str_is_empty(cwd) ? "/" : cwd);
		p.terminal = request->tty;
		p.console_rows = request->rows;
		p.console_cols = request->cols;
		p.no_new_privileges = spec_no_new_privileges(c->config);
		r = runtime_spec_write_process(&p, out);
		if (r < 0)
			err_set(err, ERR_SYSTEM, r, "describe the process");
	}
	spec_process_done(&p);
	return r;
}
