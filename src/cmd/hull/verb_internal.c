/* SPDX-License-Identifier: Apache-2.0 */
/* `hull internal ...`: what a monitor asks for when nobody else is there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "containers.h"
#include "fault.h"
#include "recover.h"
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
	if (engine_open(&engine, &err) < 0 || containers_start_again(engine, argv[0], &err) < 0)
		return cli_fail(cli, &err);
	return 0;
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

/* Behind any command that found the database's log long. */
static int run_fold(struct cli *cli, const void *opts, int argc, char **argv)
{
	struct err err = ERR_INIT;
	CLEANUP_STORE struct store *store = NULL;
	if (store_open(NULL, &store, &err) < 0)
		return cli_fail(cli, &err);
	db_fold(store->db);
	return 0;
}

/* Those of the monitor come from itself; nothing in a build without them. */
static int run_faults(struct cli *cli, const void *opts, int argc, char **argv)
{
	const char *libexec = getenv("HULL_LIBEXECDIR");
	CLEANUP_FREE char *monitor = str_printf("%s/hull-monitor", str_is_empty(libexec) ? HULL_LIBEXECDIR : libexec);
	fault_list(STDOUT_FILENO);
	execl(monitor, "hull-monitor", "--faults", (char *)NULL);
	struct err err = ERR_INIT;
	err_set(&err, ERR_SYSTEM, -errno, "run %s", monitor);
	return cli_fail(cli, &err);
}

/* For the unit that runs when the machine has come up. */
static int run_boot(struct cli *cli, const void *opts, int argc, char **argv)
{
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	if (engine_open(&engine, &err) < 0 || engine_boot(engine, &err) < 0)
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
const struct verb verb_internal_fold = {
	.names = { "internal fold" }, .args = "", .brief = "Write the database's log back into it", .options = no_options,
	.opts_size = 1, .min_args = 0, .max_args = 0, .is_hidden = true, .run = run_fold,
};
const struct verb verb_internal_faults = {
	.names = { "internal faults" }, .args = "", .brief = "List the points where a test can make hull die",
	.options = no_options, .opts_size = 1, .max_args = 0, .is_hidden = true, .is_local = true, .run = run_faults,
};
const struct verb verb_internal_boot = {
	.names = { "internal boot" }, .args = "", .brief = "Start what a restart policy wants running after a reboot",
	.options = no_options, .opts_size = 1, .max_args = 0, .is_hidden = true, .run = run_boot,
};
