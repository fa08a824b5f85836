/* SPDX-License-Identifier: Apache-2.0 */
/* What a container has changed in its image's files: shown (diff), made an image
 * (commit), or written out with the rest (export). */
#pragma once

#include "image_config.h"
#include "state.h"

/* Append "A /new", "C /changed", "D /gone". */
int containers_diff(struct engine *engine, const char *name, struct strv *ret, struct err *err) MUST_CHECK;

struct commit_request {
	const char *author, *message;
	const struct strv *changes; /* Dockerfile instructions */
	const char *reference;      /* stored form, or NULL */
	bool pause;                 /* while the files are read, if it runs */
};
/* A new image: the container's layers, its writable directory as one more, and
 * what it was configured with. */
int containers_commit(struct engine *engine, const char *name, const struct commit_request *request, char ret_id[72],
		      struct err *err) MUST_CHECK;

/* The whole root file system as a tar to @out_fd, without what is mounted in it.
 * Blocks. */
int containers_export(struct engine *engine, const char *name, int out_fd, struct err *err) MUST_CHECK;
