/* SPDX-License-Identifier: Apache-2.0 */
/* hull import */
#include <fcntl.h>
#include <unistd.h>

#include "cli.h"
#include "image_change.h"
#include "image_cli.h"
#include "image_import.h"
#include "reference.h"

struct import_opts {
	struct strv changes;
	const char *message, *platform;
};

static const struct option options[] = {
	{ "change", 'c', OPT_LIST, offsetof(struct import_opts, changes), .help = "Apply Dockerfile instruction to the created image" },
	{ "message", 'm', OPT_STR, offsetof(struct import_opts, message), .help = "Set commit message for imported image" },
	{ "platform", 0, OPT_STR, offsetof(struct import_opts, platform), .help = "Set platform if server is multi-platform capable" },
	OPTIONS_END
};

static int set_platform(struct image_config *config, const char *platform, struct err *err)
{
	CLEANUP_STRV struct strv parts = { 0 };
	if (!platform)
		return 0;
	strv_split(&parts, platform, '/');
	if (parts.n < 1 || parts.n > 3)
		return err_set(err, ERR_INVALID, 0, "\"%s\": unknown operating system or architecture", platform);
	config->os = str_dup(parts.n > 1 ? parts.v[0] : "linux");
	config->architecture = str_dup(parts.v[parts.n > 1 ? 1 : 0]);
	config->variant = parts.n > 2 ? str_dup(parts.v[2]) : NULL;
	return 0;
}

static int import(struct store *store, const struct import_opts *o, const char *source, const char *name,
		  char id[72], struct err *err)
{
	CLEANUP_IMAGE_CONFIG struct image_config *config = image_config_new();
	CLEANUP_REFERENCE struct reference ref = { 0 };
	CLEANUP_FREE char *full = NULL;
	CLEANUP_FD int file = -1;
	int r = 0;
	if (name && (r = reference_parse(name, true, &ref, err)) < 0)
		return r;
	if (name)
		full = reference_full(&ref);
	if (ref.digest)
		return err_set(err, ERR_INVALID, 0, "cannot import digest reference");
	if ((r = set_platform(config, o->platform, err)) < 0)
		return r;
	for (size_t i = 0; i < o->changes.n; i++)
		if ((r = image_change_apply(config, o->changes.v[i], err)) < 0)
			return r;
	if (!str_eq(source, "-") && (file = open(source, O_RDONLY | O_CLOEXEC)) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open %s", source);
	CLEANUP_FREE char *comment = str_printf("Imported from %s", source);
	return image_import_tar(store, file >= 0 ? file : STDIN_FILENO, config, o->message ? o->message : comment, full,
				NULL, id, err);
}

static int run(struct cli *cli, const void *opts, int argc, char **argv)
{
	CLEANUP_STORE struct store *store = NULL;
	struct err err = ERR_INIT;
	char id[72];
	if (store_open(NULL, &store, &err) < 0 ||
	    import(store, opts, argv[0], argc > 1 ? argv[1] : NULL, id, &err) < 0)
		return cli_fail(cli, &err);
	image_cli_event(store, "import", id, argc > 1 ? argv[1] : NULL);
	printf("%s\n", id);
	return 0;
}

const struct verb verb_import = {
	.names = { "import", "image import" },
	.args = "[OPTIONS] file|- [REPOSITORY[:TAG]]",
	.brief = "Import the contents from a tarball to create a filesystem image",
	.options = options,
	.opts_size = sizeof(struct import_opts),
	.min_args = 1,
	.max_args = 2,
	.complete = COMPLETE_FILE,
	.is_docker = true,
	.run = run,
};
