/* SPDX-License-Identifier: Apache-2.0 */
#include "registry_cli.h"

#include <errno.h>
#include <stdlib.h>

#include "image_cli.h"
#include "interrupt.h"
#include "registry_access.h"

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
	if (!o->is_quiet) {
		fprintf(o->out, "Digest: %s\nStatus: %s for %s\n", pulled.digest,
			pulled.is_new ? "Downloaded newer image" : "Image is up to date", reference_familiar(full));
		fflush(o->out);
	}
	if (ret_reference)
		*ret_reference = TAKE_PTR(full);
	return 0;
}

int registry_cli_code(const struct err *err, int code)
{
	int signal = *interrupt_catch();
	return signal ? 128 + signal : code;
}
