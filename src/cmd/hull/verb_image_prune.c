/* SPDX-License-Identifier: Apache-2.0 */
/* hull image prune */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "clock.h"
#include "image_cli.h"

struct prune_opts {
	bool all, force;
	struct strv filters;
};

static const struct option options[] = {
	{ "all", 'a', OPT_BOOL, offsetof(struct prune_opts, all), .help = "Remove all unused images, not just dangling ones" },
	{ "filter", 0, OPT_LIST, offsetof(struct prune_opts, filters), .value = "filter",
	  .help = "Provide filter values (e.g. \"until=<timestamp>\")" },
	{ "force", 'f', OPT_BOOL, offsetof(struct prune_opts, force), .help = "Do not prompt for confirmation" },
	OPTIONS_END
};

static void prune_done(struct image_prune *p)
{
	strv_free(&p->labels);
	strv_free(&p->not_labels);
}

static int read_filter(const char *f, struct image_prune *what, struct err *err)
{
	bool value;
	if (str_starts_with(f, "until="))
		return clock_parse_since(f + 6, clock_wall_ns(), &what->until_ns) < 0
			       ? err_set(err, ERR_INVALID, 0, "invalid value for \"until\": %s", f + 6)
			       : 0;
	if (str_starts_with(f, "label!="))
		strv_add(&what->not_labels, f + 7);
	else if (str_starts_with(f, "label="))
		strv_add(&what->labels, f + 6);
	else if (str_starts_with(f, "dangling=") && str_parse_bool(f + 9, &value) == 0)
		what->all = !value;
	else
		return err_set(err, ERR_INVALID, 0, "invalid filter '%s'", f);
	return 0;
}

static bool is_confirmed(const struct prune_opts *o)
{
	char answer[8] = "";
	if (o->force)
		return true;
	printf("WARNING! This will remove %s.\nAre you sure you want to continue? [y/N] ",
	       o->all ? "all images without at least one container associated to them" : "all dangling images");
	fflush(stdout);
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static int run(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct prune_opts *o = opts;
	CLEANUP_STORE struct store *store = NULL;
	CLEANUP(prune_done) struct image_prune what = { .all = o->all };
	CLEANUP_STRV struct strv report = { 0 };
	struct err err = ERR_INIT;
	int64_t freed = 0;
	char size[32];
	for (size_t i = 0; i < o->filters.n; i++)
		if (read_filter(o->filters.v[i], &what, &err) < 0)
			return cli_fail(cli, &err);
	if (!is_confirmed(o))
		return 0;
	if (store_open(NULL, &store, &err) < 0)
		return cli_fail(cli, &err);
	struct image_users users = image_cli_users(store);
	if (image_prune(store, &what, &users, &report, &freed, &err) < 0)
		return cli_fail(cli, &err);
	if (report.n)
		printf("Deleted Images:\n");
	for (size_t i = 0; i < report.n; i++) {
		/* "untagged: x", as Docker spells it here. */
		report.v[i][0] |= 0x20;
		printf("%s\n", report.v[i]);
	}
	printf("%sTotal reclaimed space: %s\n", report.n ? "\n" : "", str_human_size((double)freed, size));
	return 0;
}

const struct verb verb_image_prune = {
	.names = { "image prune" },
	.args = "[OPTIONS]",
	.brief = "Remove unused images",
	.options = options,
	.opts_size = sizeof(struct prune_opts),
	.min_args = 0,
	.max_args = 0,
	.is_docker = true,
	.run = run,
};
