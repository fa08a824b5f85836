/* SPDX-License-Identifier: Apache-2.0 */
/* Small looks at the directories of a container's writable layer, by descriptor:
 * the tree may be a hostile container's, and change meanwhile. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "str.h"

/* Append the names in the directory @fd (may be O_PATH), sorted by their bytes. */
int dir_names(int fd, struct strv *names) MUST_CHECK;
/* Whether @path (without a leading slash), open as @fd, is one of @mount_points
 * (absolute; may be NULL) and holds nothing: an empty file or directory, made to
 * be mounted on. */
bool dir_is_bare_mount_point(const struct strv *mount_points, const char *path, int fd, const struct stat *st);
