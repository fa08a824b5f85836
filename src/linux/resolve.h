/* SPDX-License-Identifier: Apache-2.0 */
/* Paths that come from an image, a container or a guest, resolved below a root
 * that is held as a descriptor. "..", absolute symbolic links and mounts swapped
 * meanwhile never lead out (openat2(2) RESOLVE_IN_ROOT), magic links are not
 * followed. This file and nothing else turns such a path into a descriptor. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "err.h"

/* openat() of @path below @root; @flags gets O_CLOEXEC. -ENOSYS on kernels
 * before 5.6. */
int resolve_open(int root, const char *path, uint64_t flags, mode_t mode) MUST_CHECK;
/* The same, but -ELOOP for a path with a symbolic link anywhere in it. */
int resolve_open_nolinks(int root, const char *path, uint64_t flags) MUST_CHECK;
/* Make the directories of @path that are missing (mode 0755, owned by the
 * caller) and return an O_PATH descriptor on the last. -ENOTDIR where a file or
 * a dangling link stands in the way. */
int resolve_mkdir_parents(int root, const char *path) MUST_CHECK;
/* An O_PATH descriptor on @path, made if missing as a directory or as an empty
 * file, parents included. */
int resolve_make(int root, const char *path, bool directory) MUST_CHECK;
