/* SPDX-License-Identifier: Apache-2.0 */
/* hull kernel build, ls, rm, use */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "clock.h"
#include "engine.h"
#include "guest_kernel.h"
#include "image_cli.h"
#include "interrupt.h"
#include "kernel_build.h"

/* ---- build ---- */

struct build_opts {
	const char *use, *source, *config;
	uint64_t jobs;
	bool quiet;
};

static void build_defaults(void *opts)
{
	((struct build_opts *)opts)->use = "sandbox";
}

static const struct option build_options[] = {
	{ "config", 0, OPT_STR, offsetof(struct build_opts, config), .value = "file",
	  .help = "Kernel options that are merged over hull's own", .complete = COMPLETE_FILE },
	{ "for", 0, OPT_STR, offsetof(struct build_opts, use), .value = "level", .initial = "sandbox",
	  .help = "The level that is to boot it: sandbox or microvm", .complete = COMPLETE_WORDS, .words = "sandbox microvm" },
	{ "jobs", 'j', OPT_UINT, offsetof(struct build_opts, jobs), .help = "Compilers at once (one a processor)" },
	{ "quiet", 'q', OPT_BOOL, offsetof(struct build_opts, quiet), .help = "Only print the name of the kernel" },
	{ "source", 0, OPT_STR, offsetof(struct build_opts, source), .value = "file",
	  .help = "The kernel's source as a tar (the newest of Debian's linux-source packages)", .complete = COMPLETE_FILE },
	OPTIONS_END
};

static void tell(void *ctx, const char *line)
{
	const struct build_opts *o = ctx;
	if (!o->quiet)
		fprintf(stderr, "%s\n", line);
}

static int run_build(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct build_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_GUEST_KERNEL struct guest_kernel *kernel = NULL;
	struct kernel_build build = { .source = o->source, .fragment = o->config, .progress = tell, .ctx = (void *)(uintptr_t)o };
	bool is_new = false;
	if (o->jobs > 1024) {
		err_set(&err, ERR_INVALID, 0, "--jobs %llu is too many", (unsigned long long)o->jobs);
		return cli_fail(cli, &err);
	}
	build.jobs = (unsigned)o->jobs;
	if (guest_kernel_use_parse(o->use, &build.use, &err) < 0 || engine_open(&engine, &err) < 0)
		return cli_fail(cli, &err);
	build.interrupted = interrupt_catch();
	if (kernel_build(engine->root, &build, &kernel, &is_new, &err) < 0)
		return cli_fail(cli, &err);
	if (!is_new && !o->quiet)
		fprintf(stderr, "the same kernel had been built before\n");
	printf("%s\n", kernel->name);
	return 0;
}

const struct verb verb_kernel_build = {
	.names = { "kernel build" },
	.args = "[OPTIONS]",
	.brief = "Build a small kernel for guests",
	.details = "Builds Debian's linux-source package with hull's own configuration, once: what was built from the same source and"
		   " configuration is not built again. It takes about ten minutes of processor time, 1.5 GB of disk meanwhile, and the packages"
		   " linux-source-6.1 make gcc flex bison bc xz-utils patch libelf-dev libssl-dev. The newest kernel that was built for a level is"
		   " its default from then on; without one Debian's packaged kernel is.",
	.options = build_options,
	.opts_size = sizeof(struct build_opts),
	.defaults = build_defaults,
	.run = run_build,
};

/* ---- ls ---- */

struct ls_opts {
	const char *format;
	bool quiet;
};

static const struct option ls_options[] = {
	{ "format", 0, OPT_STR, offsetof(struct ls_opts, format), .help = "table, json or a Go template" },
	{ "quiet", 'q', OPT_BOOL, offsetof(struct ls_opts, quiet), .help = "Only display names" },
	OPTIONS_END
};

static const struct image_column columns[] = {
	{ "Name", "NAME" }, { "For", "FOR" },	  { "Version", "VERSION" }, { "Origin", "ORIGIN" }, { "Config", "CONFIG" },
	{ "Size", "SIZE" }, { "Created", "CREATED" }, { "Default", "DEFAULT" }, { "Path", NULL },
};

static void add_row(struct image_rows *rows, const struct guest_kernel *k)
{
	char size[32], age[32];
	CLEANUP_FREE char *created = str_printf("%s ago", clock_human_duration(clock_wall_ns() - k->made_ns, age));
	image_rows_add(rows, k->name, guest_kernel_use_name(k->use), k->version, k->origin == GUEST_KERNEL_BUILT ? "built" : "package",
		       k->config_hash, str_human_size((double)k->bytes, size), created, k->is_default ? "*" : "", k->path);
}

static int run_ls(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct ls_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP(image_rows_done) struct image_rows rows = { .columns = columns, .columns_n = ARRAY_LEN(columns) };
	struct guest_kernel **list = NULL;
	size_t n = 0;
	if (engine_open(&engine, &err) < 0 || guest_kernels_list(engine->root, &list, &n, &err) < 0)
		return cli_fail(cli, &err);
	for (size_t i = 0; i < n; i++)
		add_row(&rows, list[i]);
	guest_kernels_free(list, n);
	if (o->quiet && !o->format)
		image_rows_print_key(&rows, "Name");
	else if (image_rows_print(&rows, o->format, &err) < 0)
		return cli_fail(cli, &err);
	return 0;
}

const struct verb verb_kernel_ls = {
	.names = { "kernel ls", "kernel list" },
	.args = "[OPTIONS]",
	.brief = "List the kernels that guests can boot",
	.examples = "hull kernel ls\n",
	.options = ls_options,
	.opts_size = sizeof(struct ls_opts),
	.run = run_ls,
};

/* ---- use, rm ---- */

static const struct option no_options[] = { OPTIONS_END };

static int run_use(struct cli *cli, const void *opts, int argc, char **argv)
{
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	if (engine_open(&engine, &err) < 0 || guest_kernel_choose(engine->root, argv[0], &err) < 0)
		return cli_fail(cli, &err);
	printf("%s\n", argv[0]);
	return 0;
}

const struct verb verb_kernel_use = {
	.names = { "kernel use" },
	.args = "KERNEL",
	.brief = "Make a kernel the default of its level",
	.options = no_options,
	.opts_size = 1,
	.min_args = 1,
	.max_args = 1,
	.run = run_use,
};

static int rm_one(void *ctx, const char *name, struct err *err)
{
	return guest_kernel_remove(((struct engine *)ctx)->root, name, err);
}

static int run_rm(struct cli *cli, const void *opts, int argc, char **argv)
{
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	if (engine_open(&engine, &err) < 0)
		return cli_fail(cli, &err);
	return cli_each(cli, argc, argv, false, rm_one, engine);
}

const struct verb verb_kernel_rm = {
	.names = { "kernel rm", "kernel remove" },
	.args = "KERNEL [KERNEL...]",
	.brief = "Remove kernels that were built",
	.options = no_options,
	.opts_size = 1,
	.min_args = 1,
	.max_args = -1,
	.run = run_rm,
};
