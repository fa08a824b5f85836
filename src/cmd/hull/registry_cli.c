/* SPDX-License-Identifier: Apache-2.0 */
#include "registry_cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "behind.h"
#include "image_cli.h"
#include "image_tags.h"
#include "interrupt.h"
#include "registry_access.h"
#include "settle.h"

static int pull(struct store *store, const struct reference *ref, const struct pull_opts *o, struct image_pulled *ret,
		struct err *err)
{
	CLEANUP_FETCH_OPTIONS struct fetch_options access = { 0 };
	CLEANUP(image_screen_done) struct image_screen screen = { .out = o->out, .is_fancy = cli_is_fancy(o->out),
								   .is_quiet = o->is_quiet };
	struct image_progress progress = image_screen_progress(&screen);
	const char *env = getenv("DOCKER_DEFAULT_PLATFORM");
	struct image_pull in = { .reference = ref, .options = &access, .stop = interrupt_catch(),
				 .platform = !str_is_empty(o->platform) ? o->platform : !str_is_empty(env) ? env : NULL };
	int r = registry_access(ref->registry, &access, err);
	if (r < 0 || (r = image_pull(store, &in, &progress, ret, err)) < 0)
		return r;
	return 0;
}

/* Let the disk catch up behind us. */
static void settle_behind(struct store *store)
{
	struct err ignored = ERR_INIT;
	if (store_is_unsettled(store, &ignored) > 0)
		behind_run("settle");
}

static void print_status(const struct pull_opts *o, const char *full, bool is_new)
{
	fprintf(o->out, "Status: %s for %s\n", is_new ? "Downloaded newer image" : "Image is up to date", reference_familiar(full));
	fflush(o->out);
}

int registry_cli_pull(struct store *store, const char *name, const struct pull_opts *o, char **ret_reference,
		      struct err *err)
{
	CLEANUP_REFERENCE struct reference ref = { 0 };
	struct image_pulled pulled = { 0 };
	int r = reference_parse(name, true, &ref, err);
	if (r < 0)
		return r;
	CLEANUP_FREE char *full = ref.digest ? str_printf("%s/%s@%s", ref.registry, ref.repository, ref.digest) : reference_full(&ref);
	if ((r = pull(store, &ref, o, &pulled, err)) < 0) {
		if (r == -EINTR)
			err_hint(err, "hull pull %s   continues where it ended", name);
		return r;
	}
	settle_behind(store);
	char id[72];
	struct err ignored = ERR_INIT;
	if (image_resolve_id(store, full, id, &ignored) == 0)
		image_cli_event(store, "pull", id, reference_familiar(full));
	if (!o->is_quiet)
		fprintf(o->out, "Digest: %s\n", pulled.digest);
	if (!o->is_quiet && !o->has_no_status)
		print_status(o, full, pulled.is_new);
	fflush(o->out);
	if (ret_reference)
		*ret_reference = TAKE_PTR(full);
	return pulled.is_new;
}

int registry_cli_pull_all(struct store *store, const struct reference *ref, const struct pull_opts *o, struct err *err)
{
	CLEANUP_FETCH_OPTIONS struct fetch_options access = { 0 };
	CLEANUP_STRV struct strv tags = { 0 };
	CLEANUP_FREE char *name = reference_name(ref);
	struct pull_opts one = *o;
	bool is_new = false;
	one.has_no_status = true;
	int r = registry_access(ref->registry, &access, err);
	if (r == 0)
		r = image_tags(ref, &access, interrupt_catch(), &tags, err);
	for (size_t i = 0; i < tags.n && r >= 0; i++) {
		CLEANUP_FREE char *full = str_printf("%s:%s", name, tags.v[i]);
		r = registry_cli_pull(store, full, &one, NULL, err);
		is_new |= r > 0;
	}
	if (r >= 0 && !o->is_quiet)
		print_status(o, name, is_new);
	return r < 0 ? r : is_new;
}

static int pull_needed(struct store *store, const struct image_need *need, struct err *err)
{
	struct pull_opts how = { .platform = need->platform, .is_quiet = need->is_quiet, .out = stderr };
	int r = registry_cli_pull(store, need->image, &how, NULL, err);
	/* Signals are the container's from now on. */
	if (r >= 0)
		interrupt_release();
	return r < 0 ? r : 1;
}

/* Is the image that is there of another platform than the one asked for? */
static bool is_other_platform(struct store *store, const struct image_need *need)
{
	CLEANUP_IMAGE struct image *image = NULL;
	CLEANUP_STRV struct strv parts = { 0 };
	struct err ignored = ERR_INIT;
	strv_split(&parts, need->platform, '/');
	const char *arch = parts.n > 1 ? parts.v[1] : parts.n ? parts.v[0] : "";
	if (image_resolve(store, need->image, &image, &ignored) < 0 || str_is_empty(image->config->architecture))
		return false;
	return !str_eq(arch, "linux") && !str_eq(arch, image->config->architecture);
}

int registry_cli_before_create(struct store *store, const struct image_need *need, struct err *err)
{
	if (str_eq(need->policy, "always"))
		return pull_needed(store, need, err);
	if (str_is_empty(need->platform) || str_eq(need->policy, "never") || !is_other_platform(store, need))
		return 0;
	return pull_needed(store, need, err);
}

int registry_cli_after_create(struct store *store, const struct image_need *need, const struct err *create_err,
			      struct err *err)
{
	CLEANUP_REFERENCE struct reference ref = { 0 };
	if (create_err->kind != ERR_NOT_FOUND || !str_starts_with(create_err->msg, "No such image: ") ||
	    str_eq(need->policy, "never") || reference_parse(need->image, true, &ref, NULL) < 0)
		return 0;
	CLEANUP_FREE char *full = ref.digest ? str_printf("%s/%s@%s", ref.registry, ref.repository, ref.digest) : reference_full(&ref);
	fprintf(stderr, "Unable to find image '%s' locally\n", reference_familiar(full));
	return pull_needed(store, need, err);
}

int registry_cli_code(const struct err *err, int code)
{
	int signal = *interrupt_catch();
	return signal ? 128 + signal : code;
}
