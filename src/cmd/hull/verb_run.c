/* SPDX-License-Identifier: Apache-2.0 */
/* run and create. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "attach_session.h"
#include "cli.h"
#include "containers.h"
#include "detach_keys.h"
#include "monitor_proto.h"
#include "registry_cli.h"
#include "run_flags.h"
#include "spec_builder.h"

static int write_cidfile(const char *path, const char *id, struct err *err)
{
	CLEANUP_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 && errno == EEXIST)
		return err_set(err, ERR_CONFLICT, 0, "container ID file found, make sure the other container isn't running or delete %s", path);
	if (fd < 0 || write(fd, id, strlen(id)) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "failed to create the container ID file %s", path);
	return 0;
}

/* Who leaves the choice to hull is told what it was. */
static void tell_choice(struct cli *cli, const struct run_opts *o, const struct container_config *config)
{
	if (str_eq(o->isolation, "auto"))
		cli_note(cli, "isolation auto: %s, the only level of this version; nothing asks for a stronger one", config->isolation);
}

static int create(struct cli *cli, struct engine *engine, const struct run_opts *o, struct container_config *config,
		  bool start, struct container **ret, struct err *err)
{
	CLEANUP_STRV struct strv warnings = { 0 };
	tell_choice(cli, o, config);
	struct image_need need = { config->image, o->pull, o->platform, o->quiet };
	int r = registry_cli_before_create(engine->store, &need, err);
	if (r >= 0)
		r = containers_create(engine, config, o->name, start, ret, &warnings, err);
	if (r < 0) {
		struct err failed = *err, pull_err = ERR_INIT;
		int pulled = registry_cli_after_create(engine->store, &need, &failed, &pull_err);
		if (pulled < 0) {
			*err = pull_err;
			return pulled;
		}
		*err = pulled ? ERR_INIT : failed;
		if (pulled)
			r = containers_create(engine, config, o->name, start, ret, &warnings, err);
	}
	for (size_t i = 0; i < warnings.n; i++)
		cli_warn(cli, "%s", warnings.v[i]);
	if (r == 0 && !str_is_empty(o->cidfile)) {
		r = write_cidfile(o->cidfile, (*ret)->id, err);
		struct err ignored = ERR_INIT;
		if (r < 0 && containers_undo(engine, (*ret)->id, &ignored) < 0)
			return r; /* recovery does it */
	}
	return r;
}

/* Whoever would have found it: the client's parser, the client, or the engine. */
static int bad_flags(struct cli *cli, const struct err *err)
{
	if (str_starts_with(err->msg, "invalid argument "))
		return cli_usage_error(cli, err);
	return run_flags_is_engines(err) ? cli_fail(cli, err) : cli_fail_early(cli, err);
}

static int run_create(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct run_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_CONTAINER_CONFIG struct container_config *config = NULL;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_CONTAINER struct container *c = NULL;
	if (run_flags_build(o, false, argc, argv, &config, &err) < 0)
		return bad_flags(cli, &err);
	if (engine_open(&engine, &err) < 0 ||
	    create(cli, engine, o, config, false, &c, &err) < 0)
		return cli_fail(cli, &err);
	printf("%s\n", c->id);
	return 0;
}

/* What ends sooner is recorded at its end, start and all. */
#define SETTLE_MS 20

struct running {
	struct engine *engine;
	struct container *c;
	bool is_recorded;
};

/* While the workload runs already: nobody waits for this record. */
static void note_start(void *ctx, int pid)
{
	struct running *x = ctx;
	struct err ignored = ERR_INIT;
	x->is_recorded = containers_started(x->engine, x->c, &ignored) == 0;
}

static int run_attached(struct cli *cli, const struct run_opts *o, struct engine *engine, struct container *c)
{
	struct err err = ERR_INIT, after = ERR_INIT;
	CLEANUP_FD int sock = -1;
	const struct container_config *config = c->config;
	if (containers_launch(engine, c, &sock, &err) < 0)
		return cli_fail(cli, &err);
	struct running running = { .engine = engine, .c = c };
	uint32_t flags = MON_ATTACH_OWNER | (config->attach_stdin ? MON_ATTACH_STDIN : 0) |
			 (config->attach_stdout ? MON_ATTACH_STDOUT : 0) | (config->attach_stderr ? MON_ATTACH_STDERR : 0);
	struct attach_opts attach = {
		.stdin_fd = config->attach_stdin ? 0 : -1, .stdout_fd = config->attach_stdout ? 1 : -1,
		.stderr_fd = config->attach_stderr ? 2 : -1, .tty = config->tty, .sig_proxy = o->sig_proxy,
		.detach_keys = o->detach_keys, .no_stdin = !config->attach_stdin, .on_started = note_start,
		.settle_ms = SETTLE_MS, .ctx = &running,
	};
	struct attach_result end = { 0 };
	int r = mon_send(sock, MON_ATTACH, flags, 0, NULL, 0, NULL, 0);
	if (r == 0)
		r = mon_send(sock, MON_START, 0, 0, NULL, 0, NULL, 0);
	if (r < 0) {
		err_set(&err, ERR_SYSTEM, r, "reach the monitor");
	} else {
		containers_expect_end(engine, c);
		r = attach_session_run(sock, &attach, &end, &err);
	}
	if (r < 0 && !end.was_started) {
		int code = containers_start_exit_code(&err);
		containers_start_failed(engine, c, &err);
		cli_fail(cli, &err);
		return code;
	}
	if (end.end == ATTACH_DETACHED)
		return 0;
	struct run_end told = { .sock = sock, .started_ns = end.started_ns, .finished_ns = end.ended_ns,
				.is_start_recorded = running.is_recorded, .exit_code = end.exit_code, .oom_killed = end.oom_killed };
	bool is_over = r == 0 && end.end == ATTACH_EXITED && !end.will_restart;
	if ((is_over ? containers_ended(engine, c, &told, &after) : containers_finish(engine, c->id, &after)) < 0)
		cli_print_error(cli, &after);
	return r < 0 ? cli_fail(cli, &err) : end.end == ATTACH_LOST ? 137 : end.exit_code;
}

static bool is_on_its_own(const struct container_config *config)
{
	return str_eq(config->isolation, isolation_level_name(ISOLATION_CONTAINER)) && spec_has_own_namespaces(config);
}

static int run_run(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct run_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_CONTAINER_CONFIG struct container_config *config = NULL;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_CONTAINER struct container *c = NULL;
	if (run_flags_build(o, true, argc, argv, &config, &err) < 0)
		return bad_flags(cli, &err);
	if (!o->detach && attach_check_terminal(config->tty, config->attach_stdin, &err) < 0)
		return cli_fail_client(cli, &err);
	if (detach_keys_check(o->detach_keys, &err) < 0)
		return cli_fail(cli, &err);
	if (engine_open_to_run(&engine, is_on_its_own(config), &err) < 0 ||
	    create(cli, engine, o, config, true, &c, &err) < 0)
		return cli_fail(cli, &err);
	if (!o->detach) {
		int code = run_attached(cli, o, engine, c);
		/* Somebody waits for the end of this process. */
		engine_leave(TAKE_PTR(engine));
		return code;
	}
	CLEANUP_FD int sock = -1;
	int r = containers_launch(engine, c, &sock, &err);
	if (r == 0)
		r = containers_await_start(engine, c, sock, &err);
	if (r < 0) {
		cli_fail(cli, &err);
		return containers_start_exit_code(&err);
	}
	printf("%s\n", c->id);
	return 0;
}

const struct verb verb_create = {
	.names = { "create", "container create" }, .args = "[OPTIONS] IMAGE [COMMAND] [ARG...]",
	.brief = "Create a new container", .options = run_flags_common, .opts_size = sizeof(struct run_opts),
	.defaults = run_flags_defaults, .min_args = 1, .max_args = -1, .stop_at_first = true, .is_docker = true,
	.fails_125 = true, .complete = COMPLETE_IMAGE, .run = run_create,
};
const struct verb verb_run = {
	.names = { "run", "container run" }, .args = "[OPTIONS] IMAGE [COMMAND] [ARG...]",
	.brief = "Create and run a new container from an image", .options = run_flags_common, .more_options = run_flags_run,
	.opts_size = sizeof(struct run_opts), .defaults = run_flags_defaults, .min_args = 1, .max_args = -1,
	.stop_at_first = true, .is_docker = true, .fails_125 = true, .complete = COMPLETE_IMAGE, .run = run_run,
};
