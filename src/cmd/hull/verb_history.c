/* SPDX-License-Identifier: Apache-2.0 */
/* hull history */
#include <string.h>

#include "cli.h"
#include "clock.h"
#include "image_cli.h"
#include "image_inspect.h"

struct history_opts {
	const char *format, *platform;
	bool human, no_trunc, quiet;
};

static void defaults(void *opts)
{
	((struct history_opts *)opts)->human = true;
}

static const struct option options[] = {
	{ "format", 0, OPT_STR, offsetof(struct history_opts, format), .help = "table, json or a template" },
	{ "human", 'H', OPT_BOOL, offsetof(struct history_opts, human), .help = "Print sizes and dates in human readable format",
	  .initial = "true" },
	{ "no-trunc", 0, OPT_BOOL, offsetof(struct history_opts, no_trunc), .help = "Don't truncate output" },
	{ "platform", 0, OPT_STR, offsetof(struct history_opts, platform), .help = "Show history for the given platform",
	  .flags = OPTION_HIDDEN },
	{ "quiet", 'q', OPT_BOOL, offsetof(struct history_opts, quiet), .help = "Only show image IDs" },
	OPTIONS_END
};

static const struct image_column columns[] = {
	{ "ID", "IMAGE" }, { "CreatedSince", "CREATED" }, { "CreatedBy", "CREATED BY" },
	{ "Size", "SIZE" }, { "Comment", "COMMENT" },     { "CreatedAt", NULL },
};

static void add_row(struct image_rows *rows, const struct image_history_line *line, const struct history_opts *o)
{
	char id[72], since[48], words[32], size[32], at[CLOCK_RFC3339_SIZE], by[64];
	bool is_missing = !str_starts_with(line->id, "sha256:");
	snprintf(id, sizeof(id), o->no_trunc || is_missing ? "%s" : "%.12s", o->no_trunc || is_missing ? line->id : line->id + 7);
	clock_format_rfc3339(line->created_ns, at);
	if (!line->created_ns)
		snprintf(since, sizeof(since), "N/A");
	else if (o->human)
		snprintf(since, sizeof(since), "%s ago", clock_human_duration(clock_wall_ns() - line->created_ns, words));
	else
		snprintf(since, sizeof(since), "%s", at);
	if (o->human)
		str_human_size((double)line->size_bytes, size);
	else
		snprintf(size, sizeof(size), "%lld", (long long)line->size_bytes);
	snprintf(by, sizeof(by), strlen(line->created_by) > 45 ? "%.44s…" : "%s", line->created_by);
	image_rows_add(rows, id, since, o->no_trunc ? line->created_by : by, size, line->comment, at);
}

static int history(struct store *store, const struct history_opts *o, const char *name, struct err *err)
{
	CLEANUP(image_rows_done) struct image_rows rows = { .columns = columns, .columns_n = ARRAY_LEN(columns) };
	CLEANUP_IMAGE struct image *image = NULL;
	struct image_history_line *lines = NULL;
	size_t n = 0;
	int r = image_resolve(store, name, &image, err);
	if (r == 0)
		r = image_cli_check_platform(store, name, o->platform, err);
	if (r < 0 || (r = image_history_lines(store, image, &lines, &n, err)) < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		add_row(&rows, &lines[i], o);
	image_history_free(lines, n);
	if (!o->quiet)
		return image_rows_print(&rows, o->format, err);
	image_rows_print_key(&rows, "ID");
	return 0;
}

static int run(struct cli *cli, const void *opts, int argc, char **argv)
{
	CLEANUP_STORE struct store *store = NULL;
	struct err err = ERR_INIT;
	if (store_open(NULL, &store, &err) < 0 || history(store, opts, argv[0], &err) < 0)
		return cli_fail(cli, &err);
	return 0;
}

const struct verb verb_history = {
	.names = { "history", "image history" },
	.args = "[OPTIONS] IMAGE",
	.brief = "Show the history of an image",
	.options = options,
	.opts_size = sizeof(struct history_opts),
	.defaults = defaults,
	.min_args = 1,
	.max_args = 1,
	.complete = COMPLETE_IMAGE,
	.is_docker = true,
	.run = run,
};
