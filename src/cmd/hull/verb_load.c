/* SPDX-License-Identifier: Apache-2.0 */
/* hull load */
#include <fcntl.h>
#include <unistd.h>

#include "archive_load.h"
#include "cli.h"
#include "image_cli.h"
#include "reference.h"
#include "platform.h"

struct load_opts {
	const char *input, *platform;
	bool quiet;
};

static const struct option options[] = {
	{ "input", 'i', OPT_STR, offsetof(struct load_opts, input), .value = "file",
	  .help = "Read from tar archive file, instead of STDIN", .complete = COMPLETE_FILE },
	{ "platform", 0, OPT_STR, offsetof(struct load_opts, platform), .help = "Load only the given platform",
	  .flags = OPTION_HIDDEN },
	{ "quiet", 'q', OPT_BOOL, offsetof(struct load_opts, quiet), .help = "Suppress the load output" },
	OPTIONS_END
};

static int load(struct store *store, int fd, const struct load_opts *o, struct err *err)
{
	CLEANUP(image_screen_done) struct image_screen screen = { .out = stderr, .is_fancy = cli_is_fancy(stderr),
								   .is_quiet = o->quiet };
	CLEANUP_STRV struct strv names = { 0 };
	struct image_progress progress = image_screen_progress(&screen);
	if (!platform_fits(o->platform, "linux", platform_architecture(), NULL))
		return err_set(err, ERR_UNSUPPORTED, 0, "--platform %s: of an archive with several, the image of linux/%s is loaded",
			       o->platform, platform_architecture());
	int r = archive_load(store, fd, &progress, &names, err);
	for (size_t i = 0; i < names.n; i++) {
		char id[72];
		struct err ignored = ERR_INIT;
		if (image_resolve_id(store, names.v[i], id, &ignored) == 0)
			image_cli_event(store, "load", id, reference_familiar(names.v[i]));
		if (str_starts_with(names.v[i], "sha256:"))
			printf("Loaded image ID: %s\n", names.v[i]);
		else
			printf("Loaded image: %s\n", reference_familiar(names.v[i]));
	}
	return r;
}

static int run(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct load_opts *o = opts;
	CLEANUP_STORE struct store *store = NULL;
	CLEANUP_FD int file = -1;
	struct err err = ERR_INIT;
	if (o->input) {
		file = open(o->input, O_RDONLY | O_CLOEXEC);
		if (file < 0) {
			err_set(&err, ERR_SYSTEM, -errno, "open %s", o->input);
			return cli_fail(cli, &err);
		}
	} else if (isatty(STDIN_FILENO)) {
		err_set(&err, ERR_INVALID, 0, "requested load from stdin, but stdin is empty");
		err_hint(&err, "hull load -i FILE");
		return cli_fail(cli, &err);
	}
	if (store_open(NULL, &store, &err) < 0 || load(store, file >= 0 ? file : STDIN_FILENO, o, &err) < 0)
		return cli_fail(cli, &err);
	return 0;
}

const struct verb verb_load = {
	.names = { "load", "image load" },
	.args = "[OPTIONS]",
	.brief = "Load an image from a tar archive or STDIN",
	.options = options,
	.opts_size = sizeof(struct load_opts),
	.min_args = 0,
	.max_args = 0,
	.is_docker = true,
	.run = run,
};
