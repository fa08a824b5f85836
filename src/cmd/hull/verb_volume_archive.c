/* SPDX-License-Identifier: Apache-2.0 */
/* hull volume export, import: backup and restoring. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cli.h"
#include "engine.h"
#include "object_cli.h"
#include "volume_archive.h"

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
	return object_export(cli, argv[0], ((const struct export_opts *)opts)->output, volume_export);
}

const struct verb verb_volume_export = {
	.names = { "volume export" },
	.args = "[OPTIONS] VOLUME",
	.brief = "Export a volume's files as a tar archive",
	.options = export_options,
	.opts_size = sizeof(struct export_opts),
	.min_args = 1,
	.max_args = 1,
	.complete = COMPLETE_VOLUME,
	.run = run_export,
};

struct import_opts {
	bool merge;
};

static const struct option import_options[] = {
	{ "merge", 0, OPT_BOOL, offsetof(struct import_opts, merge),
	  .help = "Unpack into what the volume has, also while containers use it" },
	OPTIONS_END
};

static int run_import(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct import_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	bool is_stream = argc < 2 || str_eq(argv[1], "-");
	CLEANUP_FD int fd = is_stream ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(argv[1], O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int r = fd < 0 ? err_set(&err, ERR_SYSTEM, -errno, "open %s", is_stream ? "the standard input" : argv[1]) : 0;
	if (r == 0 && isatty(fd))
		r = err_set(&err, ERR_INVALID, 0, "requested import from a terminal: give a file, or redirect");
	if (r == 0)
		r = engine_open(&engine, &err);
	if (r == 0)
		r = volume_import(engine, argv[0], fd, o->merge, &err);
	if (r < 0)
		return cli_fail(cli, &err);
	printf("%s\n", argv[0]);
	return 0;
}

const struct verb verb_volume_import = {
	.names = { "volume import" },
	.args = "[OPTIONS] VOLUME [FILE|-]",
	.brief = "Make a volume of a tar archive's files",
	.options = import_options,
	.opts_size = sizeof(struct import_opts),
	.min_args = 1,
	.max_args = 2,
	.complete = COMPLETE_VOLUME,
	.run = run_import,
};
