/* SPDX-License-Identifier: Apache-2.0 */
/* hull rmi */
#include <string.h>

#include "cli.h"
#include "image_cli.h"

struct rmi_opts {
	bool force, no_prune;
	const char *platform;
};

static const struct option options[] = {
	{ "force", 'f', OPT_BOOL, offsetof(struct rmi_opts, force), .help = "Force removal of the image" },
	{ "no-prune", 0, OPT_BOOL, offsetof(struct rmi_opts, no_prune), .help = "Do not delete untagged parents" },
	{ "platform", 0, OPT_STR, offsetof(struct rmi_opts, platform), .help = "Remove only the given platform", .flags = OPTION_HIDDEN },
	OPTIONS_END
};

static int run(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct rmi_opts *o = opts;
	CLEANUP_STORE struct store *store = NULL;
	struct err err = ERR_INIT;
	int code = 0;
	if (store_open(NULL, &store, &err) < 0)
		return cli_fail(cli, &err);
	struct image_users users = image_cli_users(store);
	for (int i = 0; i < argc; i++) {
		CLEANUP_STRV struct strv report = { 0 };
		char id[72] = "";
		struct err ignored = ERR_INIT;
		err = ERR_INIT;
		bool is_known = image_resolve_id(store, argv[i], id, &ignored) == 0;
		int r = image_cli_check_platform(store, argv[i], o->platform, &err);
		if (r == 0)
			r = image_remove(store, argv[i], o->force, &users, &report, &err);
		for (size_t l = 0; l < report.n; l++)
			printf("%s\n", report.v[l]);
		for (size_t l = 0; l < report.n && is_known; l++)
			if (str_starts_with(report.v[l], "Untagged: "))
				image_cli_event(store, "untag", id, report.v[l] + strlen("Untagged: "));
			else if (str_eq(report.v[l] + strlen("Deleted: "), id))
				image_cli_event(store, "delete", id, NULL);
		if (r < 0) {
			cli_print_error(cli, &err);
			/* Docker: a missing image is no failure of rmi -f. */
			if (!(o->force && err.kind == ERR_NOT_FOUND))
				code = 1;
		}
	}
	return code;
}

const struct verb verb_rmi = {
	.names = { "rmi", "image rm", "image remove" },
	.args = "[OPTIONS] IMAGE [IMAGE...]",
	.brief = "Remove one or more images",
	.options = options,
	.opts_size = sizeof(struct rmi_opts),
	.min_args = 1,
	.max_args = -1,
	.complete = COMPLETE_IMAGE,
	.is_docker = true,
	.run = run,
};
