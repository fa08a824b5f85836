/* SPDX-License-Identifier: Apache-2.0 */
/* Where the members of a tar file lie, by name: for image archives (docker
 * save, OCI), which are never unpacked, only read in place. Names are keys and
 * nothing else: none of them ever reaches the file system. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

struct tar_member {
	char *name; /* normalised: no "./", no trailing slash */
	char *link; /* target of a link (as a member's name), NULL for a file */
	int64_t offset, size;
};

struct tar_index {
	struct tar_member *members;
	size_t n;
};

/* Read the headers of the seekable file @fd. At most 100,000 members. */
int tar_index_read(int fd, struct tar_index *ret, struct err *err) MUST_CHECK;
void tar_index_done(struct tar_index *index);
#define CLEANUP_TAR_INDEX CLEANUP(tar_index_done)
/* The last member of that name (as when unpacking), links followed; NULL if
 * there is none. */
const struct tar_member *tar_index_find(const struct tar_index *index, const char *name);
/* Append a member's bytes; ERR_NOT_FOUND, or ERR_INVALID past the buffer's
 * maximum. */
int tar_index_load(int fd, const struct tar_index *index, const char *name, struct buf *out,
		   struct err *err) MUST_CHECK;
