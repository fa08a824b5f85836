/* SPDX-License-Identifier: Apache-2.0 */
/* Whole directory trees, walked by descriptor: no name is looked up twice by
 * path, no symbolic link is followed, no other file system is entered. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "err.h"

/* Make the directory @to like the directory @from: its own owner, mode, times
 * and extended attributes, and everything below, with hard links among the files
 * kept, holes kept, devices and sockets made anew. @to is empty. Attributes of
 * overlayfs itself are left behind. Both are borrowed. */
int tree_copy(int from, int to) MUST_CHECK;
/* Only the directory's own owner, mode, times and attributes. */
int tree_copy_attributes(int from, int to) MUST_CHECK;
/* Owner of @root and everything below it. Set-id bits and capabilities fall, as
 * with chown(1). @root may be a file; an O_PATH descriptor will do. */
int tree_chown(int root, uid_t uid, gid_t gid) MUST_CHECK;
/* Set the extended attribute @name of @root and everything below it. */
int tree_set_xattr(int root, const char *name, const char *value) MUST_CHECK;
/* 1 when the directory has no entry. */
int tree_is_empty(int dir) MUST_CHECK;
/* Bytes that @name in @dirfd and everything below takes on disk, each hard link
 * once; 0 when there is nothing, or what can be counted of it. */
int64_t tree_disk_usage(int dirfd, const char *name);
