/* SPDX-License-Identifier: Apache-2.0 */
/* hull push */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "image_cli.h"
#include "image_push.h"
#include "interrupt.h"
#include "registry_access.h"
#include "registry_cli.h"

struct push_verb_opts {
	bool all_tags, quiet, content_trust;
	const char *platform;
};

static const struct option options[] = {
	{ "all-tags", 'a', OPT_BOOL, offsetof(struct push_verb_opts, all_tags), .help = "Push all tags of an image to the repository" },
	{ "disable-content-trust", 0, OPT_BOOL, offsetof(struct push_verb_opts, content_trust),
	  .help = "Skip image signing", .flags = OPTION_HIDDEN },
	{ "platform", 0, OPT_STR, offsetof(struct push_verb_opts, platform), .help = "Push the image only if it is of this platform",
	  .words = "linux/amd64 linux/arm64 linux/arm/v7 linux/386 linux/ppc64le linux/s390x linux/riscv64",
	  .complete = COMPLETE_WORDS },
	{ "quiet", 'q', OPT_BOOL, offsetof(struct push_verb_opts, quiet), .help = "Suppress verbose output" },
	OPTIONS_END
};

static int push_tag(struct store *store, const struct reference *ref, bool is_quiet, struct err *err)
{
	CLEANUP_FETCH_OPTIONS struct fetch_options access = { 0 };
	CLEANUP(image_screen_done) struct image_screen screen = { .out = stdout, .is_fancy = cli_is_fancy(stdout),
								   .is_quiet = is_quiet };
	struct image_progress progress = image_screen_progress(&screen);
	struct image_push in = { .reference = ref, .options = &access, .stop = interrupt_catch() };
	struct image_pushed pushed = { 0 };
	int r = registry_access(ref->registry, &access, err);
	if (r < 0 || (r = image_push(store, &in, &progress, &pushed, err)) < 0)
		return r;
	char id[72];
	struct err ignored = ERR_INIT;
	CLEANUP_FREE char *full = reference_full(ref);
	if (image_resolve_id(store, full, id, &ignored) == 0)
		image_cli_event(store, "push", id, reference_familiar(full));
	if (!is_quiet)
		printf("%s: digest: %s size: %lld\n", ref->tag, pushed.digest, (long long)pushed.size);
	return 0;
}

/* The tags that the repository has here. */
static int list_tags(struct store *store, const struct reference *ref, struct strv *ret, struct err *err)
{
	CLEANUP_FREE char *name = reference_name(ref);
	struct image_summary *list = NULL;
	size_t n = 0;
	int r = image_list(store, &list, &n, err);
	for (size_t i = 0; i < n; i++)
		for (size_t t = 0; t < list[i].tags.n; t++) {
			const char *tag = list[i].tags.v[t], *suffix = reference_suffix(tag);
			if (str_starts_with(tag, name) && suffix == tag + strlen(name) && *suffix == ':')
				strv_add(ret, suffix + 1);
		}
	image_list_free(list, n);
	strv_sort(ret);
	if (r >= 0 && !ret->n)
		return err_set(err, ERR_NOT_FOUND, 0, "An image does not exist locally with the tag: %s", reference_familiar(name));
	return r;
}

static int push(struct store *store, const char *arg, const struct push_verb_opts *o, struct err *err)
{
	CLEANUP_REFERENCE struct reference ref = { 0 };
	CLEANUP_STRV struct strv tags = { 0 };
	int r = reference_parse(arg, !o->all_tags, &ref, err);
	if (r < 0)
		return r;
	if (ref.digest)
		return err_set(err, ERR_INVALID, 0, "cannot push a digest reference");
	if (o->all_tags && ref.tag)
		return err_set(err, ERR_INVALID, 0, "tag can't be used with --all-tags/-a");
	CLEANUP_FREE char *name = reference_name(&ref);
	if (!o->quiet)
		printf("The push refers to repository [%s]\n", name);
	if (!o->all_tags) {
		r = image_cli_check_platform(store, arg, o->platform, err);
		return r < 0 ? r : push_tag(store, &ref, o->quiet, err);
	}
	r = list_tags(store, &ref, &tags, err);
	for (size_t i = 0; i < tags.n && r >= 0; i++) {
		free(ref.tag);
		ref.tag = str_dup(tags.v[i]);
		CLEANUP_FREE char *full = reference_full(&ref);
		r = image_cli_check_platform(store, full, o->platform, err);
		if (r >= 0)
			r = push_tag(store, &ref, o->quiet, err);
	}
	return r;
}

static int run(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct push_verb_opts *o = opts;
	CLEANUP_STORE struct store *store = NULL;
	struct err err = ERR_INIT;
	if (store_open(NULL, &store, &err) < 0 || push(store, argv[0], o, &err) < 0)
		return registry_cli_code(&err, cli_fail(cli, &err));
	if (o->quiet) {
		CLEANUP_REFERENCE struct reference ref = { 0 };
		if (reference_parse(argv[0], !o->all_tags, &ref, &err) < 0)
			return cli_fail(cli, &err);
		CLEANUP_FREE char *full = reference_full(&ref);
		printf("%s\n", full);
	}
	return 0;
}

const struct verb verb_push = {
	.names = { "push", "image push" },
	.args = "[OPTIONS] NAME[:TAG]",
	.brief = "Upload an image to a registry",
	.options = options,
	.opts_size = sizeof(struct push_verb_opts),
	.min_args = 1,
	.max_args = 1,
	.complete = COMPLETE_IMAGE,
	.is_docker = true,
	.run = run,
};
