/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs that talk to registries share. */
#pragma once

#include <stdio.h>

#include "cli.h"
#include "image_pull.h"

struct pull_opts {
	const char *platform; /* NULL: $DOCKER_DEFAULT_PLATFORM, or this machine */
	bool is_quiet;
	/* Where the progress goes: stdout for pull, stderr for run. */
	FILE *out;
	/* One of several of a repository: no line for its status. */
	bool has_no_status;
};

/* Pull @name with Docker's lines on opts->out. *ret_reference (caller frees, may be
 * NULL) is the full name. 1 when it is newer than what was there. */
int registry_cli_pull(struct store *store, const char *name, const struct pull_opts *opts, char **ret_reference,
		      struct err *err) MUST_CHECK;
/* All tags of the repository @ref. */
int registry_cli_pull_all(struct store *store, const struct reference *ref, const struct pull_opts *opts, struct err *err) MUST_CHECK;
/* run and create pull what they need: before, for --pull=always and a --platform
 * that the image at hand is not of; after a creation that failed with @create_err,
 * when that says that there is no such image. 1 when something was pulled, 0 when
 * there is nothing to do, or an error. */
struct image_need {
	const char *image, *policy, *platform;
	bool is_quiet;
};
int registry_cli_before_create(struct store *store, const struct image_need *need, struct err *err) MUST_CHECK;
int registry_cli_after_create(struct store *store, const struct image_need *need, const struct err *create_err,
			      struct err *err) MUST_CHECK;
/* The exit code of a failed pull or push: 130 and so on after a signal, else @code. */
int registry_cli_code(const struct err *err, int code);
