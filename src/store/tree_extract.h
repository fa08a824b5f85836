/* SPDX-License-Identifier: Apache-2.0 */
/* Unpack a tar archive into a directory that has things in it already, as cp
 * does: directories are merged, files replaced, a directory never becomes a file
 * or the other way round. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "err.h"

struct tree_extract {
	int dir; /* borrowed */
	/* What the first component of every name becomes; NULL: it is dropped, and
	 * what is below it goes into @dir. Without @renames names are taken as they
	 * are. */
	bool renames;
	const char *name;
	/* Links to directories that are there already are followed, by the root of
	 * this process: only in a process that can reach nothing else. Otherwise no
	 * link on the way to an entry is followed. */
	bool follows_links;
	/* Owners as in the archive; else @uid and @gid. */
	bool keeps_owners;
	uid_t uid;
	gid_t gid;
	/* The entry "." gives @dir itself its owner, mode, time and attributes. */
	bool sets_top;
	/* Read from the archive already. */
	const void *prefix;
	size_t prefix_len;
};

/* Read the archive from @tar_fd to its end. Names that lead out (.., links as
 * parents) are refused. What was unpacked before an error stays. Needs no /proc.
 * Blocks. */
int tree_extract(const struct tree_extract *what, int tar_fd, struct err *err) MUST_CHECK;
