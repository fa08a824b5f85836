/* SPDX-License-Identifier: Apache-2.0 */
/* hull tag */
#include "cli.h"
#include "image_cli.h"
#include "reference.h"

static const struct option options[] = { OPTIONS_END };

static int tag(struct store *store, const char *source, const char *target, struct err *err)
{
	CLEANUP_REFERENCE struct reference ref = { 0 };
	char id[72];
	int r = reference_parse(target, true, &ref, err);
	if (r < 0)
		return r;
	if (ref.digest)
		return err_set(err, ERR_INVALID, 0, "refusing to create a tag with a digest reference");
	if ((r = image_resolve_id(store, source, id, err)) < 0)
		return r;
	CLEANUP_FREE char *full = reference_full(&ref);
	r = image_tag(store, id, full, err);
	if (r == 0)
		image_cli_event(store, "tag", id, reference_familiar(full));
	return r;
}

static int run(struct cli *cli, const void *opts, int argc, char **argv)
{
	CLEANUP_STORE struct store *store = NULL;
	struct err err = ERR_INIT;
	if (store_open(NULL, &store, &err) < 0 || tag(store, argv[0], argv[1], &err) < 0)
		return cli_fail(cli, &err);
	return 0;
}

const struct verb verb_tag = {
	.names = { "tag", "image tag" },
	.args = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
	.brief = "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
	.options = options,
	.min_args = 2,
	.max_args = 2,
	.complete = COMPLETE_IMAGE,
	.is_docker = true,
	.run = run,
};
