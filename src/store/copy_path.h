/* SPDX-License-Identifier: Apache-2.0 */
/* cp's two paths: what is copied, and where to. The same rules hold on the host
 * and in a container (docker container cp, "Description"); here paths are those
 * of this process, whose root is the container's when it copies there. */
#pragma once

#include <limits.h>
#include <stdbool.h>

#include "cleanup.h"
#include "err.h"

/* Plain data: one side tells the other. */
struct copy_subject {
	bool is_archive; /* a tar of the user's own: unpacked, never renamed */
	bool is_dir;
	bool contents_only; /* "dir/.": what is in it, not itself */
	char name[NAME_MAX + 1];
};

/* Look at @path. A link is itself, unless @follows or a "/" at the end asks for
 * what it leads to. *ret_fd (O_PATH) is the caller's. ERR_NOT_FOUND. */
int copy_source_open(const char *path, bool follows, struct copy_subject *ret, int *ret_fd, struct err *err) MUST_CHECK;

struct copy_target {
	int dir; /* the caller's */
	/* How the archive's first component is called there; see tree_extract.h. */
	bool renames, has_name;
	char name[NAME_MAX + 1];
};
static inline void copy_target_done(struct copy_target *t)
{
	cleanup_fd(&t->dir);
}

/* Where @subject goes when it is copied to @path: into a directory that is
 * there, over a file that is there, or under a new name. */
int copy_target_open(const char *path, const struct copy_subject *subject, struct copy_target *ret, struct err *err) MUST_CHECK;
