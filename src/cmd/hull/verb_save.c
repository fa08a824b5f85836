/* SPDX-License-Identifier: Apache-2.0 */
/* hull save */
#include <fcntl.h>
#include <unistd.h>

#include "archive_save.h"
#include "cli.h"
#include "image_cli.h"

struct save_opts {
	const char *output, *platform;
};

static const struct option options[] = {
	{ "output", 'o', OPT_STR, offsetof(struct save_opts, output), .value = "file",
	  .help = "Write to a file, instead of STDOUT", .complete = COMPLETE_FILE },
	{ "platform", 0, OPT_STR, offsetof(struct save_opts, platform), .help = "Save only the given platform",
	  .flags = OPTION_HIDDEN },
	OPTIONS_END
};

/* To a file beside the target first: a failed save leaves no half archive. */
static int save_to_file(struct store *store, const char *const *names, size_t n, const char *path, struct err *err)
{
	CLEANUP_FREE char *temporary = str_printf("%s.hull-%d", path, (int)getpid());
	CLEANUP_FD int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make %s", temporary);
	int r = archive_save(store, names, n, fd, err);
	if (r >= 0 && rename(temporary, path) < 0)
		r = err_set(err, ERR_SYSTEM, -errno, "make %s", path);
	if (r < 0)
		unlink(temporary);
	return r;
}

static int run(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct save_opts *o = opts;
	CLEANUP_STORE struct store *store = NULL;
	struct err err = ERR_INIT;
	const char *const *names = (const char *const *)argv;
	int r = store_open(NULL, &store, &err);
	/* Before anything is written. */
	for (int i = 0; i < argc && r == 0; i++) {
		char id[72];
		r = image_resolve_id(store, argv[i], id, &err);
		if (r == 0)
			r = image_cli_check_platform(store, argv[i], o->platform, &err);
	}
	if (r >= 0 && !o->output && isatty(STDOUT_FILENO)) {
		r = err_set(&err, ERR_INVALID, 0,
			    "cowardly refusing to save to a terminal. Use the -o flag or redirect");
		err_hint(&err, "hull save -o image.tar %s", argv[0]);
	} else if (r >= 0) {
		r = o->output ? save_to_file(store, names, (size_t)argc, o->output, &err)
			      : archive_save(store, names, (size_t)argc, STDOUT_FILENO, &err);
	}
	for (int i = 0; i < argc && r >= 0; i++) {
		char id[72];
		struct err ignored = ERR_INIT;
		if (image_resolve_id(store, argv[i], id, &ignored) == 0)
			image_cli_event(store, "save", id, argv[i]);
	}
	return r < 0 ? cli_fail(cli, &err) : 0;
}

const struct verb verb_save = {
	.names = { "save", "image save" },
	.args = "[OPTIONS] IMAGE [IMAGE...]",
	.brief = "Save one or more images to a tar archive",
	.options = options,
	.opts_size = sizeof(struct save_opts),
	.min_args = 1,
	.max_args = -1,
	.complete = COMPLETE_IMAGE,
	.is_docker = true,
	.run = run,
};
