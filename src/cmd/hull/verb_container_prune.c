/* SPDX-License-Identifier: Apache-2.0 */
/* hull container prune, hull system prune */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "disk_usage.h"
#include "image_store.h"
#include "image_users.h"
#include "network_objects.h"
#include "prune_cli.h"
#include "volumes.h"

struct prune_opts {
	struct strv filter;
	bool all, force, volumes;
};

#define FILTER_OPTION \
	{ "filter", 0, OPT_LIST, offsetof(struct prune_opts, filter), .value = "filter", \
	  .help = "Provide filter values (e.g. \"until=<timestamp>\")", .complete = COMPLETE_WORDS, .words = "label= label!= until=" }
#define FORCE_OPTION { "force", 'f', OPT_BOOL, offsetof(struct prune_opts, force), .help = "Do not prompt for confirmation" }

static const struct option container_options[] = { FILTER_OPTION, FORCE_OPTION, OPTIONS_END };

static int run_container_prune(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct prune_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_STRV struct strv ids = { 0 };
	CLEANUP_PRUNE_FILTER struct prune_filter filter = { 0 };
	int64_t freed = 0;
	if (prune_filter_read(&o->filter, &filter, &err) < 0)
		return cli_fail(cli, &err);
	if (!o->force && !prune_is_confirmed("This will remove all stopped containers.\n"))
		return 0;
	struct containers_prune what = { filter.until_ns, &filter.labels, &filter.not_labels };
	if (engine_open(&engine, &err) < 0 || containers_prune(engine, &what, &ids, &freed, &err) < 0)
		return cli_fail(cli, &err);
	prune_print("Deleted Containers", &ids, freed);
	return 0;
}

const struct verb verb_container_prune = {
	.names = { "container prune" },
	.args = "[OPTIONS]",
	.brief = "Remove all stopped containers",
	.options = container_options,
	.opts_size = sizeof(struct prune_opts),
	.is_docker = true,
	.run = run_container_prune,
};

static const struct option system_options[] = {
	{ "all", 'a', OPT_BOOL, offsetof(struct prune_opts, all), .help = "Remove all unused images not just dangling ones" },
	FILTER_OPTION,
	FORCE_OPTION,
	{ "volumes", 0, OPT_BOOL, offsetof(struct prune_opts, volumes), .help = "Prune anonymous volumes" },
	OPTIONS_END
};

static bool is_system_confirmed(const struct prune_opts *o)
{
	CLEANUP_FREE char *with = strv_join(&o->filter, "\n  - ");
	CLEANUP_FREE char *warning = str_printf(
		"This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n%s  - %s\n"
		"  - unused build cache\n%s%s%s\n",
		o->volumes ? "  - all anonymous volumes not used by at least one container\n" : "",
		o->all ? "all images without at least one container associated to them" : "all dangling images",
		o->filter.n ? "\n  Items to be pruned will be filtered with:\n  - " : "", with, o->filter.n ? "\n" : "");
	return o->force || prune_is_confirmed(warning);
}

static void print_part(const char *title, const struct strv *names)
{
	if (names->n == 0)
		return;
	printf("%s:\n", title);
	for (size_t i = 0; i < names->n; i++)
		printf("%s\n", names->v[i]);
	printf("\n");
}

static void print_images(struct strv *report)
{
	/* "untagged: x", as Docker spells it here. */
	for (size_t i = 0; i < report->n; i++)
		report->v[i][0] |= 0x20;
	print_part("Deleted Images", report);
}

static int prune_volumes(struct engine *engine, const struct prune_filter *filter, int64_t *freed, struct err *err)
{
	CLEANUP_STRV struct strv names = { 0 }, pairs = { 0 };
	for (size_t i = 0; i < filter->labels.n; i++)
		strv_printf(&pairs, "label=%s", filter->labels.v[i]);
	for (size_t i = 0; i < filter->not_labels.n; i++)
		strv_printf(&pairs, "label!=%s", filter->not_labels.v[i]);
	struct volume_filter which = { pairs };
	int r = volumes_prune(engine, &which, false, &names, freed, err);
	print_part("Deleted Volumes", &names);
	return r;
}

static int prune_networks(struct engine *engine, const struct prune_opts *o, struct err *err)
{
	CLEANUP_STRV struct strv names = { 0 };
	struct network_filter which = { o->filter }; /* borrowed */
	int r = networks_prune(engine, &which, &names, err);
	print_part("Deleted Networks", &names);
	return r;
}

static int prune_images(struct engine *engine, const struct prune_opts *o, const struct prune_filter *filter, int64_t *freed, struct err *err)
{
	CLEANUP_STRV struct strv report = { 0 };
	struct image_users users = engine_image_users(engine);
	/* The lists are borrowed. */
	struct image_prune what = { .all = o->all, .until_ns = filter->until_ns, .labels = filter->labels, .not_labels = filter->not_labels };
	int64_t bytes = 0;
	int r = image_prune(engine->store, &what, &users, &report, &bytes, err);
	print_images(&report);
	*freed += bytes;
	return r;
}

static int run_system_prune(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct prune_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_STRV struct strv ids = { 0 };
	CLEANUP_PRUNE_FILTER struct prune_filter filter = { 0 };
	int64_t freed = 0;
	char size[32];
	if (prune_filter_read(&o->filter, &filter, &err) < 0)
		return cli_fail(cli, &err);
	if (o->volumes && filter.until_ns) {
		err_set(&err, ERR_INVALID, 0, "the \"until\" filter is not supported with \"--volumes\"");
		return cli_fail_early(cli, &err);
	}
	if (!is_system_confirmed(o))
		return 0;
	struct containers_prune what = { filter.until_ns, &filter.labels, &filter.not_labels };
	int r = engine_open(&engine, &err);
	if (r == 0)
		r = containers_prune(engine, &what, &ids, &freed, &err);
	print_part("Deleted Containers", &ids);
	if (r == 0)
		r = prune_networks(engine, o, &err);
	if (r == 0 && o->volumes)
		r = prune_volumes(engine, &filter, &freed, &err);
	if (r == 0)
		r = prune_images(engine, o, &filter, &freed, &err);
	if (r < 0)
		return cli_fail(cli, &err);
	printf("Total reclaimed space: %s\n", str_human_size((double)freed, size));
	return 0;
}

const struct verb verb_system_prune = {
	.names = { "system prune" },
	.args = "[OPTIONS]",
	.brief = "Remove unused data",
	.options = system_options,
	.opts_size = sizeof(struct prune_opts),
	.is_docker = true,
	.run = run_system_prune,
};
