/* SPDX-License-Identifier: Apache-2.0 */
/* hull volume create, ls, inspect, rm, prune */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "clock.h"
#include "engine.h"
#include "image_cli.h"
#include "object_cli.h"
#include "prune_cli.h"
#include "volume_cli.h"
#include "volumes.h"

/* ---- create ---- */

struct create_opts {
	const char *driver, *name;
	struct strv labels, options;
};

static void create_defaults(void *opts)
{
	((struct create_opts *)opts)->driver = "local";
}

#define NO_CLUSTER "hull has no swarm, so volumes are of one machine"
static const struct option create_options[] = {
	{ "driver", 'd', OPT_STR, offsetof(struct create_opts, driver), .help = "Specify volume driver name", .initial = "local",
	  .complete = COMPLETE_WORDS, .words = "local" },
	{ "label", 0, OPT_LIST, offsetof(struct create_opts, labels), .help = "Set metadata for a volume" },
	{ "name", 0, OPT_STR, offsetof(struct create_opts, name), .help = "Specify volume name", .flags = OPTION_HIDDEN },
	{ "opt", 'o', OPT_LIST, offsetof(struct create_opts, options), .value = "map", .help = "Set driver specific options",
	  .complete = COMPLETE_WORDS, .words = "type= device= o=" },
	OPTION_REFUSE("availability", OPT_STR, NO_CLUSTER),
	OPTION_REFUSE("group", OPT_STR, NO_CLUSTER),
	OPTION_REFUSE("limit-bytes", OPT_STR, NO_CLUSTER),
	OPTION_REFUSE("required-bytes", OPT_STR, NO_CLUSTER),
	OPTION_REFUSE("scope", OPT_STR, NO_CLUSTER),
	OPTION_REFUSE("secret", OPT_STR, NO_CLUSTER),
	OPTION_REFUSE("sharing", OPT_STR, NO_CLUSTER),
	OPTION_REFUSE("topology-preferred", OPT_STR, NO_CLUSTER),
	OPTION_REFUSE("topology-required", OPT_STR, NO_CLUSTER),
	OPTION_REFUSE("type", OPT_STR, NO_CLUSTER),
	OPTIONS_END
};

static int run_create(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct create_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_STRV struct strv labels = { 0 };
	char name[VOLUME_NAME_SIZE];
	object_labels(&labels, &o->labels);
	struct volume_new wanted = { argc ? argv[0] : o->name, o->driver, &labels, &o->options };
	if (engine_open(&engine, &err) < 0 || volume_ensure(engine, &wanted, name, &err) < 0 ||
	    volume_make_folders(engine, name, &err) < 0)
		return cli_fail(cli, &err);
	printf("%s\n", name);
	return 0;
}

const struct verb verb_volume_create = {
	.names = { "volume create" },
	.args = "[OPTIONS] [VOLUME]",
	.brief = "Create a volume",
	.options = create_options,
	.opts_size = sizeof(struct create_opts),
	.defaults = create_defaults,
	.max_args = 1,
	.is_docker = true,
	.run = run_create,
};

/* ---- ls ---- */

struct ls_opts {
	struct strv filter;
	const char *format;
	bool quiet;
};

#define FILTER(type, words_) \
	{ "filter", 'f', OPT_LIST, offsetof(type, filter), .value = "filter", .help = "Filter output based on conditions provided", \
	  .complete = COMPLETE_WORDS, .words = words_ }

static const struct option ls_options[] = {
	FILTER(struct ls_opts, "dangling= driver= label= name="),
	{ "format", 0, OPT_STR, offsetof(struct ls_opts, format), .help = "table, json or a Go template" },
	{ "quiet", 'q', OPT_BOOL, offsetof(struct ls_opts, quiet), .help = "Only display volume names" },
	OPTIONS_END
};

static const struct image_column columns[] = {
	{ "Driver", "DRIVER" }, { "Name", "VOLUME NAME" }, { "Availability", NULL }, { "Group", NULL }, { "Labels", NULL },
	{ "Links", NULL },	{ "Mountpoint", NULL },	   { "Scope", NULL },	     { "Size", NULL },	{ "Status", NULL },
};

static int run_ls(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct ls_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP(image_rows_done) struct image_rows rows = { .columns = columns, .columns_n = ARRAY_LEN(columns) };
	struct volume_filter filter = { o->filter }; /* borrowed */
	struct volume **list = NULL;
	size_t n = 0;
	if (engine_open(&engine, &err) < 0 || volumes_list(engine, &filter, &list, &n, &err) < 0)
		return cli_fail(cli, &err);
	for (size_t i = 0; i < n; i++) {
		CLEANUP_FREE char *labels = strv_join(&list[i]->labels, ",");
		image_rows_add(&rows, list[i]->driver, list[i]->name, "N/A", "N/A", labels, "N/A", list[i]->mountpoint, "local", "N/A",
			       "N/A");
	}
	volumes_list_free(list, n);
	if (o->quiet && !o->format)
		image_rows_print_key(&rows, "Name");
	else if (image_rows_print(&rows, o->format, &err) < 0)
		return cli_fail(cli, &err);
	return 0;
}

const struct verb verb_volume_ls = {
	.names = { "volume ls", "volume list" },
	.args = "[OPTIONS]",
	.brief = "List volumes",
	.options = ls_options,
	.opts_size = sizeof(struct ls_opts),
	.is_docker = true,
	.run = run_ls,
};

/* ---- inspect ---- */

struct inspect_opts {
	const char *format;
};

static const struct option inspect_options[] = {
	{ "format", 'f', OPT_STR, offsetof(struct inspect_opts, format), .help = "json or a Go template" }, OPTIONS_END
};

static void write_pairs(struct json_writer *w, const char *key, const struct strv *pairs)
{
	if (pairs->n)
		jw_kv_pairs(w, key, pairs);
	else
		jw_kv_str(w, key, NULL);
}

void volume_write(const struct volume *v, struct json_writer *w)
{
	char created[CLOCK_RFC3339_SIZE];
	jw_object(w);
	/* Docker tells seconds here. */
	jw_kv_str(w, "CreatedAt", clock_format_rfc3339(v->created_ns / 1000000000 * 1000000000, created));
	jw_kv_str(w, "Driver", v->driver);
	write_pairs(w, "Labels", &v->labels);
	jw_kv_str(w, "Mountpoint", v->mountpoint);
	jw_kv_str(w, "Name", v->name);
	write_pairs(w, "Options", &v->options);
	jw_kv_str(w, "Scope", "local");
	jw_object_end(w);
}

static int find_and_write(struct engine *engine, const char *name, struct json_writer *w, struct err *err)
{
	CLEANUP_VOLUME struct volume *v = NULL;
	int r = volume_find(engine, name, &v, err);
	if (r >= 0)
		volume_write(v, w);
	return r;
}

static int run_inspect(struct cli *cli, const void *opts, int argc, char **argv)
{
	return object_inspect(cli, argv, argc, ((const struct inspect_opts *)opts)->format, find_and_write);
}

const struct verb verb_volume_inspect = {
	.names = { "volume inspect" },
	.args = "[OPTIONS] VOLUME [VOLUME...]",
	.brief = "Display detailed information on one or more volumes",
	.options = inspect_options,
	.opts_size = sizeof(struct inspect_opts),
	.min_args = 1,
	.max_args = -1,
	.complete = COMPLETE_VOLUME,
	.is_docker = true,
	.run = run_inspect,
};

/* ---- rm ---- */

struct rm_opts {
	bool force;
};

static const struct option rm_options[] = {
	{ "force", 'f', OPT_BOOL, offsetof(struct rm_opts, force), .help = "Force the removal of one or more volumes" }, OPTIONS_END
};

static int run_rm(struct cli *cli, const void *opts, int argc, char **argv)
{
	return object_remove(cli, argv, argc, ((const struct rm_opts *)opts)->force, volume_remove);
}

const struct verb verb_volume_rm = {
	.names = { "volume rm", "volume remove" },
	.args = "[OPTIONS] VOLUME [VOLUME...]",
	.brief = "Remove one or more volumes",
	.options = rm_options,
	.opts_size = sizeof(struct rm_opts),
	.min_args = 1,
	.max_args = -1,
	.complete = COMPLETE_VOLUME,
	.is_docker = true,
	.run = run_rm,
};

/* ---- prune ---- */

struct prune_opts {
	struct strv filter;
	bool all, force;
};

static const struct option prune_options[] = {
	{ "all", 'a', OPT_BOOL, offsetof(struct prune_opts, all), .help = "Remove all unused volumes, not just anonymous ones" },
	{ "filter", 0, OPT_LIST, offsetof(struct prune_opts, filter), .value = "filter", .help = "Provide filter values (e.g. \"label=<label>\")",
	  .complete = COMPLETE_WORDS, .words = "label= label!= all=" },
	{ "force", 'f', OPT_BOOL, offsetof(struct prune_opts, force), .help = "Do not prompt for confirmation" },
	OPTIONS_END
};

static int run_prune(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct prune_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_STRV struct strv names = { 0 }, pairs = { 0 };
	bool all = o->all;
	int64_t freed = 0;
	for (size_t i = 0; i < o->filter.n; i++) {
		bool said;
		if (str_starts_with(o->filter.v[i], "all=") && str_parse_bool(o->filter.v[i] + 4, &said) == 0)
			all |= said;
		else
			strv_add(&pairs, o->filter.v[i]);
	}
	struct volume_filter filter = { pairs };
	if (!o->force && !prune_is_confirmed(all ? "This will remove all local volumes not used by at least one container.\n" :
						   "This will remove anonymous local volumes not used by at least one container.\n"))
		return 0;
	if (engine_open(&engine, &err) < 0 || volumes_prune(engine, &filter, all, &names, &freed, &err) < 0)
		return cli_fail(cli, &err);
	prune_print("Deleted Volumes", &names, freed);
	return 0;
}

const struct verb verb_volume_prune = {
	.names = { "volume prune" },
	.args = "[OPTIONS]",
	.brief = "Remove unused local volumes",
	.options = prune_options,
	.opts_size = sizeof(struct prune_opts),
	.is_docker = true,
	.run = run_prune,
};
