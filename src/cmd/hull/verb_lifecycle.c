/* SPDX-License-Identifier: Apache-2.0 */
/* start stop restart kill pause unpause rm wait rename: one engine call for
 * each container named. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "attach_session.h"
#include "cli.h"
#include "containers.h"
#include "detach_keys.h"
#include "monitor_proto.h"
#include "signal_names.h"

struct lifecycle_opts {
	int64_t timeout_s;
	bool force, volumes, link, attach, interactive;
	const char *signal, *detach_keys;
};

struct each_ctx {
	struct engine *engine;
	const struct lifecycle_opts *opts;
	uint32_t timeout_s;
	int signo; /* 0: the container's own */
	bool has_failed; /* rm -f: for another reason than that there is none */
};

static void defaults(void *opts)
{
	((struct lifecycle_opts *)opts)->timeout_s = INT64_MIN;
}

typedef int each_fn(void *ctx, const char *arg, struct err *err);
static each_fn rm_one;

static int for_each(struct cli *cli, const void *opts, int argc, char **argv, bool quiet, each_fn *each)
{
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	struct each_ctx ctx = { .opts = opts, .timeout_s = MON_DEFAULT };
	if (ctx.opts->signal && signal_parse(ctx.opts->signal, &ctx.signo, &err) < 0)
		return cli_fail(cli, &err);
	if (ctx.opts->timeout_s != INT64_MIN)
		ctx.timeout_s = ctx.opts->timeout_s < 0 ? MON_NEVER : (uint32_t)ctx.opts->timeout_s;
	if (engine_open(&engine, &err) < 0)
		return cli_fail(cli, &err);
	ctx.engine = engine;
	int r = cli_each(cli, argc, argv, quiet, each, &ctx);
	/* Docker's rm -f does not fail for one that is not there. */
	return each == rm_one && ctx.opts->force && !ctx.has_failed ? 0 : r;
}

static uint32_t signo_or_default(const struct each_ctx *x)
{
	return x->signo ? (uint32_t)x->signo : MON_DEFAULT;
}

static int stop_one(void *ctx, const char *name, struct err *err)
{
	struct each_ctx *x = ctx;
	return containers_stop(x->engine, name, x->timeout_s, signo_or_default(x), err);
}

static int restart_one(void *ctx, const char *name, struct err *err)
{
	struct each_ctx *x = ctx;
	return containers_restart(x->engine, name, x->timeout_s, signo_or_default(x), err);
}

static int kill_one(void *ctx, const char *name, struct err *err)
{
	struct each_ctx *x = ctx;
	return containers_kill(x->engine, name, x->signo ? x->signo : SIGKILL, err);
}

static int pause_one(void *ctx, const char *name, struct err *err)
{
	return containers_pause(((struct each_ctx *)ctx)->engine, name, err);
}

static int unpause_one(void *ctx, const char *name, struct err *err)
{
	return containers_unpause(((struct each_ctx *)ctx)->engine, name, err);
}

static int rm_one(void *ctx, const char *name, struct err *err)
{
	struct each_ctx *x = ctx;
	int r = containers_remove(x->engine, name, x->opts->force, x->opts->volumes, err);
	x->has_failed |= r < 0 && err->kind != ERR_NOT_FOUND;
	return r;
}

static int start_one(void *ctx, const char *name, struct err *err)
{
	return containers_start(((struct each_ctx *)ctx)->engine, name, err);
}

static int wait_one(void *ctx, const char *name, struct err *err)
{
	int code = 0;
	int r = containers_wait(((struct each_ctx *)ctx)->engine, name, WAIT_NOT_RUNNING, &code, err);
	if (r == 0)
		printf("%d\n", code);
	return r;
}

/* What runs already is attached to, as with Docker: its monitor keeps the record. */
static bool is_joined(struct engine *engine, const struct container *c, int *ret_sock)
{
	struct err ended = ERR_INIT; /* meanwhile: then it is started */
	return c->status == CONTAINER_RUNNING && containers_connect(engine, c, ret_sock, &ended) == 0;
}

/* Run to its end and tell it, as the owner of the record. */
static int start_attached(struct cli *cli, const struct lifecycle_opts *opts, const char *name)
{
	struct err err = ERR_INIT, after = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_CONTAINER struct container *c = NULL;
	CLEANUP_FD int sock = -1;
	struct attach_result end = { 0 };
	int r = engine_open(&engine, &err);
	if (r == 0)
		r = container_find(engine, name, &c, &err);
	if (r == 0)
		r = container_load_config(c, &err);
	if (r == 0 && attach_check_terminal(c->config->tty, opts->interactive, &err) < 0)
		return cli_fail_client(cli, &err);
	if (r == 0)
		r = detach_keys_check(opts->detach_keys, &err);
	bool joined = r == 0 && is_joined(engine, c, &sock);
	if (r == 0 && !joined)
		r = containers_launch(engine, c, &sock, &err);
	if (r)
		return cli_fail(cli, &err);
	uint32_t flags = MON_ATTACH_STDOUT | MON_ATTACH_STDERR | (joined ? 0 : MON_ATTACH_OWNER) |
			 (opts->interactive ? MON_ATTACH_STDIN : 0);
	r = mon_send(sock, MON_ATTACH, flags, 0, NULL, 0, NULL, 0);
	if (r == 0 && !joined)
		r = mon_send(sock, MON_START, 0, 0, NULL, 0, NULL, 0);
	struct attach_opts attach = { .stdin_fd = 0, .stdout_fd = 1, .stderr_fd = 2, .tty = c->config->tty, .sig_proxy = true,
				      .detach_keys = opts->detach_keys, .no_stdin = !opts->interactive };
	if (r == 0)
		r = attach_session_run(sock, &attach, &end, &err);
	if (joined)
		return r < 0 ? cli_fail(cli, &err) : end.exit_code;
	if (r < 0 && !end.was_started) {
		containers_start_failed(engine, c, &err);
		cli_fail(cli, &err);
		return containers_start_exit_code(&err);
	}
	if (end.end != ATTACH_DETACHED && containers_finish(engine, c->id, &after) < 0)
		cli_print_error(cli, &after);
	return r < 0 ? cli_fail(cli, &err) : end.exit_code;
}

static int run_start(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct lifecycle_opts *o = opts;
	if ((o->attach || o->interactive) && argc > 1) {
		struct err err = ERR_INIT;
		err_set(&err, ERR_INVALID, 0, "you cannot start and attach multiple containers at once");
		return cli_fail(cli, &err);
	}
	if (o->attach || o->interactive)
		return start_attached(cli, o, argv[0]);
	return for_each(cli, opts, argc, argv, false, start_one);
}

static int run_rm(struct cli *cli, const void *opts, int argc, char **argv)
{
	return for_each(cli, opts, argc, argv, false, rm_one);
}

static int run_wait(struct cli *cli, const void *opts, int argc, char **argv)
{
	return for_each(cli, opts, argc, argv, true, wait_one);
}

static int run_rename(struct cli *cli, const void *opts, int argc, char **argv)
{
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	if (engine_open(&engine, &err) < 0 || containers_rename(engine, argv[0], argv[1], &err) < 0)
		return cli_fail(cli, &err);
	return 0;
}

#define RUN(name)                                                                          \
	static int run_##name(struct cli *cli, const void *opts, int argc, char **argv)    \
	{                                                                                  \
		return for_each(cli, opts, argc, argv, false, name##_one);                 \
	}
RUN(stop)
RUN(restart)
RUN(kill)
RUN(pause)
RUN(unpause)

#define OPT(n, l, t, f, h) { n, l, t, offsetof(struct lifecycle_opts, f), .help = h }
static const struct option stop_options[] = {
	{ "signal", 's', OPT_STR, offsetof(struct lifecycle_opts, signal), .help = "Signal to send to the container",
	  .complete = COMPLETE_SIGNAL },
	OPT("timeout", 't', OPT_INT, timeout_s, "Seconds to wait before killing the container"),
	{ "time", 0, OPT_INT, offsetof(struct lifecycle_opts, timeout_s), .help = "As --timeout", .flags = OPTION_HIDDEN },
	OPTIONS_END
};
static const struct option kill_options[] = {
	{ "signal", 's', OPT_STR, offsetof(struct lifecycle_opts, signal), .help = "Signal to send to the container",
	  .complete = COMPLETE_SIGNAL }, OPTIONS_END
};
static const struct option rm_options[] = {
	OPT("force", 'f', OPT_BOOL, force, "Force the removal of a running container (uses SIGKILL)"),
	OPT("link", 'l', OPT_BOOL, link, "Remove the specified link"),
	OPT("volumes", 'v', OPT_BOOL, volumes, "Remove anonymous volumes associated with the container"),
	OPTIONS_END
};
static const struct option start_options[] = {
	OPT("attach", 'a', OPT_BOOL, attach, "Attach STDOUT/STDERR and forward signals"),
	OPT("detach-keys", 0, OPT_STR, detach_keys, "Override the key sequence for detaching a container"),
	OPT("interactive", 'i', OPT_BOOL, interactive, "Attach container's STDIN"),
	OPTION_REFUSE("checkpoint", OPT_STR, "this version of hull makes no checkpoints"),
	OPTION_REFUSE("checkpoint-dir", OPT_STR, "this version of hull makes no checkpoints"),
	OPTIONS_END
};
static const struct option no_options[] = { OPTIONS_END };

#define SEVERAL "[OPTIONS] CONTAINER [CONTAINER...]"
#define PLAIN "CONTAINER [CONTAINER...]"
#define VERB(name, alias, synopsis, about, table, least, most, which)                                        \
	const struct verb verb_##name = {                                                                \
		.names = { #name, "container " #name, alias }, .args = synopsis, .brief = about,         \
		.options = table, .opts_size = sizeof(struct lifecycle_opts), .defaults = defaults,      \
		.min_args = least, .max_args = most, .complete = which, .is_docker = true,  \
		.run = run_##name,                                                                       \
	}
VERB(start, NULL, SEVERAL, "Start one or more stopped containers", start_options, 1, -1, COMPLETE_CONTAINER_STOPPED);
VERB(stop, NULL, SEVERAL, "Stop one or more running containers", stop_options, 1, -1, COMPLETE_CONTAINER_RUNNING);
VERB(restart, NULL, SEVERAL, "Restart one or more containers", stop_options, 1, -1, COMPLETE_CONTAINER);
VERB(kill, NULL, SEVERAL, "Kill one or more running containers", kill_options, 1, -1, COMPLETE_CONTAINER_RUNNING);
VERB(pause, NULL, PLAIN, "Pause all processes within one or more containers", no_options, 1, -1, COMPLETE_CONTAINER_RUNNING);
VERB(unpause, NULL, PLAIN, "Unpause all processes within one or more containers", no_options, 1, -1, COMPLETE_CONTAINER_PAUSED);
VERB(rm, "container remove", SEVERAL, "Remove one or more containers", rm_options, 1, -1, COMPLETE_CONTAINER);
VERB(wait, NULL, PLAIN, "Block until one or more containers stop, then print their exit codes", no_options, 1, -1, COMPLETE_CONTAINER_RUNNING);
VERB(rename, NULL, "CONTAINER NEW_NAME", "Rename a container", no_options, 2, 2, COMPLETE_CONTAINER);
