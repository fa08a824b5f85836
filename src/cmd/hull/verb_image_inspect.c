/* SPDX-License-Identifier: Apache-2.0 */
/* hull image inspect */
#include "cli.h"
#include "format.h"
#include "image_cli.h"
#include "image_inspect.h"

#define OBJECT_MAX (16u << 20)

struct inspect_opts {
	const char *format, *platform;
};

static const struct option options[] = {
	{ "format", 'f', OPT_STR, offsetof(struct inspect_opts, format), .help = "json or a template" },
	{ "platform", 0, OPT_STR, offsetof(struct inspect_opts, platform), .help = "Inspect a specific platform",
	  .flags = OPTION_HIDDEN },
	OPTIONS_END
};

/* One image into @w; with a format it is printed at once. */
static int inspect(struct store *store, const char *name, const struct inspect_opts *o, struct json_writer *w, struct err *err)
{
	CLEANUP_IMAGE struct image *image = NULL;
	CLEANUP_BUF struct buf object = BUF_INIT(OBJECT_MAX);
	struct json_writer one;
	int r = image_resolve(store, name, &image, err);
	if (r == 0)
		r = image_cli_check_platform(store, name, o->platform, err);
	if (r < 0)
		return r;
	if (!o->format)
		return image_inspect_write(store, image, w, err);
	json_writer_init(&one, &object, 0);
	if ((r = image_inspect_write(store, image, &one, err)) < 0 || (r = json_writer_finish(&one)) < 0)
		return r;
	return format_print_object(stdout, o->format, &object, err);
}

static int run(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct inspect_opts *o = opts;
	CLEANUP_STORE struct store *store = NULL;
	CLEANUP_BUF struct buf out = BUF_INIT(OBJECT_MAX);
	struct err err = ERR_INIT, first = ERR_INIT;
	struct json_writer w;
	if (store_open(NULL, &store, &err) < 0)
		return cli_fail(cli, &err);
	json_writer_init(&w, &out, 4);
	jw_array(&w);
	for (int i = 0; i < argc; i++) {
		err = ERR_INIT;
		if (inspect(store, argv[i], o, &w, &err) < 0 && !err_is_set(&first))
			first = err;
	}
	jw_array_end(&w);
	if (!o->format && json_writer_finish(&w) == 0)
		printf("%s\n", buf_str(&out));
	fflush(stdout);
	return err_is_set(&first) ? cli_fail(cli, &first) : 0;
}

const struct verb verb_image_inspect = {
	.names = { "image inspect" },
	.args = "[OPTIONS] IMAGE [IMAGE...]",
	.brief = "Display detailed information on one or more images",
	.options = options,
	.opts_size = sizeof(struct inspect_opts),
	.min_args = 1,
	.max_args = -1,
	.complete = COMPLETE_IMAGE,
	.is_docker = true,
	.run = run,
};
