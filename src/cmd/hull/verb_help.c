/* SPDX-License-Identifier: Apache-2.0 */
#include "help.h"

#include <string.h>

static int run(struct cli *cli, const void *opts, int argc, char **argv)
{
	struct err err = ERR_INIT;
	int words;
	const char *group;

	if (argc == 0) {
		help_all(stdout, cli);
		return EXIT_OK;
	}
	const struct verb *verb = verbs_find(argc, argv, &words, &group);
	if (verb) {
		help_verb(stdout, cli, verb);
		return EXIT_OK;
	}
	if (group) {
		help_group(stdout, cli, group);
		return EXIT_OK;
	}
	err_set(&err, ERR_INVALID, 0, "unknown help topic: %s", argv[0]);
	const char *nearest = verbs_nearest(NULL, argv[0]);
	if (nearest)
		err_hint(&err, "%s help %s", cli->prog, nearest);
	return cli_fail_client(cli, &err);
}

const struct verb verb_help = {
	.names = { "help" },
	.args = "[COMMAND]",
	.brief = "Help about a command",
	.max_args = -1,
	.complete = COMPLETE_VERB,
	.is_docker = true,
	.is_local = true,
	.run = run,
};

/* `hull internal man [--markdown] [VERB]` prints a page, `--dir DIR` writes them
 * all, as the build does, `--list` names them. */
struct man_opts {
	bool markdown, list;
	const char *dir;
};
static const struct option man_options[] = {
	{ "dir", 0, OPT_STR, offsetof(struct man_opts, dir), .help = "Write every page into this directory", .complete = COMPLETE_DIR },
	{ "list", 0, OPT_BOOL, offsetof(struct man_opts, list), .help = "List the verbs that have a page" },
	{ "markdown", 0, OPT_BOOL, offsetof(struct man_opts, markdown), .help = "Print markdown instead of roff" },
	OPTIONS_END
};

static int run_man(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct man_opts *o = opts;
	struct err err = ERR_INIT;
	const struct verb *verb = NULL;
	int words = 0;
	const char *group;

	if (o->dir)
		return manual_write_all(o->dir, &err) < 0 ? cli_fail(cli, &err) : EXIT_OK;
	if (o->list) {
		for (const struct verb *const *v = verbs_all(); *v; v++)
			if (!(*v)->is_hidden)
				puts((*v)->names[0]);
		return EXIT_OK;
	}
	if (argc) {
		verb = verbs_find(argc, argv, &words, &group);
		if (!verb || words != argc) {
			err_set(&err, ERR_NOT_FOUND, 0, "no page for %s", argv[0]);
			return cli_fail(cli, &err);
		}
	}
	if (o->markdown)
		manual_markdown(stdout, verb);
	else
		manual_roff(stdout, verb);
	return EXIT_OK;
}

const struct verb verb_internal_man = {
	.names = { "internal man" },
	.args = "[OPTIONS] [VERB]",
	.brief = "Print the manual page of a verb",
	.options = man_options,
	.opts_size = sizeof(struct man_opts),
	.max_args = 2,
	.is_hidden = true,
	.run = run_man,
};
