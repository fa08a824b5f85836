/* SPDX-License-Identifier: Apache-2.0 */
/* diff, commit, export: a container's files against its image's. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "object_cli.h"
#include "container_changes.h"
#include "image_store.h"
#include "reference.h"

static const struct option no_options[] = { OPTIONS_END };

static int run_diff(struct cli *cli, const void *opts, int argc, char **argv)
{
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_STRV struct strv lines = { 0 };
	if (engine_open(&engine, &err) < 0 || containers_diff(engine, argv[0], &lines, &err) < 0)
		return cli_fail(cli, &err);
	for (size_t i = 0; i < lines.n; i++)
		printf("%s\n", lines.v[i]);
	return 0;
}

const struct verb verb_diff = {
	.names = { "diff", "container diff" },
	.args = "CONTAINER",
	.brief = "Inspect changes to files or directories on a container's filesystem",
	.options = no_options,
	.opts_size = 1,
	.min_args = 1,
	.max_args = 1,
	.is_docker = true,
	.complete = COMPLETE_CONTAINER,
	.run = run_diff,
};

struct commit_opts {
	const char *author, *message;
	struct strv changes;
	enum tri pause;
};

static const struct option commit_options[] = {
	{ "author", 'a', OPT_STR, offsetof(struct commit_opts, author),
	  .help = "Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")" },
	{ "change", 'c', OPT_LIST, offsetof(struct commit_opts, changes), .value = "list",
	  .help = "Apply Dockerfile instruction to the created image" },
	{ "message", 'm', OPT_STR, offsetof(struct commit_opts, message), .help = "Commit message" },
	{ "pause", 'p', OPT_TRI, offsetof(struct commit_opts, pause), .help = "Pause container during commit (default true)" },
	OPTIONS_END
};

static int run_commit(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct commit_opts *o = opts;
	struct err err = ERR_INIT;
	char id[72];
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_REFERENCE struct reference ref = { 0 };
	CLEANUP_FREE char *full = NULL;
	if (argc > 1 && reference_parse(argv[1], true, &ref, &err) < 0)
		return cli_fail(cli, &err);
	if (ref.digest) {
		err_set(&err, ERR_INVALID, 0, "refusing to create a tag with a digest reference");
		return cli_fail(cli, &err);
	}
	if (argc > 1)
		full = reference_full(&ref);
	struct commit_request request = { .author = o->author, .message = o->message, .changes = &o->changes, .reference = full,
					  .pause = o->pause != TRI_FALSE };
	if (engine_open(&engine, &err) < 0 || containers_commit(engine, argv[0], &request, id, &err) < 0)
		return cli_fail(cli, &err);
	printf("%s\n", id);
	return 0;
}

const struct verb verb_commit = {
	.names = { "commit", "container commit" },
	.args = "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
	.brief = "Create a new image from a container's changes",
	.options = commit_options,
	.opts_size = sizeof(struct commit_opts),
	.min_args = 1,
	.max_args = 2,
	.is_docker = true,
	.complete = COMPLETE_CONTAINER,
	.run = run_commit,
};

struct export_opts {
	const char *output;
};

static const struct option export_options[] = {
	{ "output", 'o', OPT_STR, offsetof(struct export_opts, output), .help = "Write to a file, instead of STDOUT",
	  .complete = COMPLETE_FILE },
	OPTIONS_END
};

static int run_export(struct cli *cli, const void *opts, int argc, char **argv)
{
	return object_export(cli, argv[0], ((const struct export_opts *)opts)->output, containers_export);
}

const struct verb verb_export = {
	.names = { "export", "container export" },
	.args = "[OPTIONS] CONTAINER",
	.brief = "Export a container's filesystem as a tar archive",
	.options = export_options,
	.opts_size = sizeof(struct export_opts),
	.min_args = 1,
	.max_args = 1,
	.is_docker = true,
	.complete = COMPLETE_CONTAINER,
	.run = run_export,
};
