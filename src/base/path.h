/* SPDX-License-Identifier: Apache-2.0 */
/* Paths as text. What they mean on disk is decided elsewhere (resolve.h). */
#pragma once

#include <stdbool.h>

/* Allocated: @path without "//", "." and "x/..", and without a slash at the end,
 * as Go's path.Clean; "/.." is "/", and the empty path ".". */
char *path_clean(const char *path);
/* @path is @dir or below it; both clean. */
bool path_is_below(const char *path, const char *dir);
