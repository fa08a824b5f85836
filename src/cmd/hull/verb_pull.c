/* SPDX-License-Identifier: Apache-2.0 */
/* hull pull */
#include <stdio.h>

#include "cli.h"
#include "registry_cli.h"

struct pull_verb_opts {
	bool all_tags, quiet, content_trust;
	const char *platform;
};

static const struct option options[] = {
	{ "all-tags", 'a', OPT_BOOL, offsetof(struct pull_verb_opts, all_tags), .help = "Download all tagged images in the repository" },
	{ "disable-content-trust", 0, OPT_BOOL, offsetof(struct pull_verb_opts, content_trust),
	  .help = "Skip image verification", .flags = OPTION_HIDDEN },
	{ "platform", 0, OPT_STR, offsetof(struct pull_verb_opts, platform), .help = "Set platform if server is multi-platform capable",
	  .words = "linux/amd64 linux/arm64 linux/arm/v7 linux/386 linux/ppc64le linux/s390x linux/riscv64",
	  .complete = COMPLETE_WORDS },
	{ "quiet", 'q', OPT_BOOL, offsetof(struct pull_verb_opts, quiet), .help = "Suppress verbose output" },
	OPTIONS_END
};

static int run(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct pull_verb_opts *o = opts;
	CLEANUP_STORE struct store *store = NULL;
	CLEANUP_REFERENCE struct reference ref = { 0 };
	CLEANUP_FREE char *full = NULL;
	struct err err = ERR_INIT;
	struct pull_opts how = { .platform = o->platform, .is_quiet = o->quiet, .out = stdout };
	if (reference_parse(argv[0], false, &ref, &err) < 0)
		return cli_fail(cli, &err);
	if (o->all_tags && (ref.tag || ref.digest)) {
		err_set(&err, ERR_INVALID, 0, "tag can't be used with --all-tags/-a");
		return cli_fail(cli, &err);
	}
	if (!o->all_tags && !ref.tag && !ref.digest && !o->quiet)
		printf("Using default tag: latest\n");
	int r = store_open(NULL, &store, &err);
	if (r == 0)
		r = o->all_tags ? registry_cli_pull_all(store, &ref, &how, &err) : registry_cli_pull(store, argv[0], &how, &full, &err);
	if (r < 0)
		return registry_cli_code(&err, cli_fail(cli, &err));
	if (o->all_tags)
		full = reference_name(&ref);
	printf("%s\n", full);
	return 0;
}

const struct verb verb_pull = {
	.names = { "pull", "image pull" },
	.args = "[OPTIONS] NAME[:TAG|@DIGEST]",
	.brief = "Download an image from a registry",
	.options = options,
	.opts_size = sizeof(struct pull_verb_opts),
	.min_args = 1,
	.max_args = 1,
	.complete = COMPLETE_IMAGE,
	.is_docker = true,
	.run = run,
};
