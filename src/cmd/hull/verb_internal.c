/* SPDX-License-Identifier: Apache-2.0 */
/* `hull internal ...`: what a monitor asks for when nobody else is there. */
#include <string.h>

#include "cli.h"
#include "containers.h"
#include "settle.h"

static int run_exited(struct cli *cli, const void *opts, int argc, char **argv)
{
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	if (engine_open(&engine, &err) < 0 || containers_finish(engine, argv[0], &err) < 0)
		return cli_fail(cli, &err);
	return 0;
}

static int run_restart(struct cli *cli, const void *opts, int argc, char **argv)
{
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_CONTAINER struct container *c = NULL;
	CLEANUP_FD int sock = -1;
	int r = engine_open(&engine, &err);
	if (r == 0)
		r = container_find(engine, argv[0], &c, &err);
	/* Stopped or removed while the back-off ran. */
	if (r == 0 && c->row_status != ROW_STARTED)
		return 0;
	if (r == 0)
		r = containers_launch(engine, c, &sock, &err);
	if (r == 0)
		r = containers_await_start(engine, c, sock, &err);
	return r < 0 ? cli_fail(cli, &err) : 0;
}

/* Behind a pull: nobody waits for it, and nobody reads what it says. */
static int run_settle(struct cli *cli, const void *opts, int argc, char **argv)
{
	struct err err = ERR_INIT;
	CLEANUP_STORE struct store *store = NULL;
	if (store_open(NULL, &store, &err) < 0 || store_settle(store, &err) < 0)
		return cli_fail(cli, &err);
	return 0;
}

static const struct option no_options[] = { OPTIONS_END };
const struct verb verb_internal_exited = {
	.names = { "internal exited" }, .args = "ID", .brief = "Record that a container has ended", .options = no_options,
	.opts_size = 1, .min_args = 1, .max_args = 1, .is_hidden = true, .run = run_exited,
};
const struct verb verb_internal_restart = {
	.names = { "internal restart" }, .args = "ID", .brief = "Start a container again after its back-off", .options = no_options,
	.opts_size = 1, .min_args = 1, .max_args = 1, .is_hidden = true, .run = run_restart,
};
const struct verb verb_internal_settle = {
	.names = { "internal settle" }, .args = "", .brief = "Write what was pulled to the disk", .options = no_options,
	.opts_size = 1, .min_args = 0, .max_args = 0, .is_hidden = true, .run = run_settle,
};
