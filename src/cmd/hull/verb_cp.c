/* SPDX-License-Identifier: Apache-2.0 */
/* cp: CONTAINER:PATH on one side, a path of the host or "-" on the other. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "container_copy.h"

struct cp_opts {
	bool archive, follow_link, quiet;
};

static const struct option cp_options[] = {
	{ "archive", 'a', OPT_BOOL, offsetof(struct cp_opts, archive), .help = "Archive mode (copy all uid/gid information)" },
	{ "follow-link", 'L', OPT_BOOL, offsetof(struct cp_opts, follow_link), .help = "Always follow symbol link in SRC_PATH" },
	{ "quiet", 'q', OPT_BOOL, offsetof(struct cp_opts, quiet),
	  .help = "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached" },
	OPTIONS_END
};

/* "name:path"; "./a:b", "/a:b" and what has no colon are the host's. The path,
 * and the name in @ret_name; or NULL. */
static const char *split(const char *arg, char **ret_name)
{
	const char *colon = strchr(arg, ':');
	if (!colon || *arg == '/' || *arg == '.')
		return NULL;
	*ret_name = str_ndup(arg, (size_t)(colon - arg));
	return colon + 1;
}

static int check_arguments(const char *source, const char *in_source, const char *target, const char *in_target, struct err *err)
{
	if (!*source || (in_source && !*in_source))
		return err_set(err, ERR_INVALID, 0, "source can not be empty");
	if (!*target || (in_target && !*in_target))
		return err_set(err, ERR_INVALID, 0, "destination can not be empty");
	if (in_source && in_target) {
		int r = err_set(err, ERR_INVALID, 0, "copying between containers is not supported");
		err_hint(err, "hull cp %s - | hull cp - %s", source, target);
		return r;
	}
	if (!in_source && !in_target) {
		int r = err_set(err, ERR_INVALID, 0, "must specify at least one container source");
		err_hint(err, "hull cp CONTAINER:%s %s", source, target);
		return r;
	}
	return 0;
}

static int run_cp(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct cp_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_FREE char *name = NULL, *other = NULL;
	char size[32];
	uint64_t bytes = 0;
	const char *in_source = split(argv[0], &name), *in_target = split(argv[1], in_source ? &other : &name);
	const char *here = in_source ? argv[1] : argv[0];
	bool is_stream = str_eq(here, "-");
	struct copy_request request = { .container = name, .path = in_source ? in_source : in_target,
					.host_path = is_stream ? NULL : here,
					.archive_fd = in_source ? STDOUT_FILENO : STDIN_FILENO,
					.follows_link = o->follow_link, .keeps_owners = o->archive };
	int r = check_arguments(argv[0], in_source, argv[1], in_target, &err);
	if (r == 0 && is_stream && in_source && isatty(STDOUT_FILENO))
		r = err_set(&err, ERR_INVALID, 0, "cowardly refusing to write an archive to a terminal");
	if (r < 0)
		return cli_fail_client(cli, &err);
	r = engine_open(&engine, &err);
	if (r == 0)
		r = in_source ? containers_copy_from(engine, &request, &bytes, &err) : containers_copy_to(engine, &request, &bytes, &err);
	if (r < 0)
		return cli_fail(cli, &err);
	if (!is_stream && !o->quiet && isatty(STDOUT_FILENO))
		fprintf(stderr, "Successfully copied %s to %s\n", str_human_size((double)bytes, size), argv[1]);
	return 0;
}

const struct verb verb_cp = {
	.names = { "cp", "container cp" },
	.args = "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|- | SRC_PATH|- CONTAINER:DEST_PATH",
	.brief = "Copy files/folders between a container and the local filesystem",
	.options = cp_options,
	.opts_size = sizeof(struct cp_opts),
	.min_args = 2,
	.max_args = 2,
	.is_docker = true,
	.complete = COMPLETE_CONTAINER,
	.run = run_cp,
};
