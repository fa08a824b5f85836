/* SPDX-License-Identifier: Apache-2.0 */
/* cp between the host and a container, safe against the container: a process
 * that sees nothing but the container's files looks up every path there, and a
 * tar stream is all that comes out. Works on running, paused and stopped
 * containers, through their volumes too. Blocks. */
#pragma once

#include "state.h"

struct copy_request {
	const char *container;
	const char *path;      /* in it; relative to its root */
	const char *host_path; /* NULL: a tar archive from or to @archive_fd */
	int archive_fd;
	bool follows_link;     /* of the source */
	bool keeps_owners;     /* else root's in the container, the caller's here */
};

/* *ret_bytes: of the archive between the two. ERR_NOT_FOUND "Could not find the
 * file x in container y". */
int containers_copy_from(struct engine *engine, const struct copy_request *request, uint64_t *ret_bytes, struct err *err) MUST_CHECK;
int containers_copy_to(struct engine *engine, const struct copy_request *request, uint64_t *ret_bytes, struct err *err) MUST_CHECK;
