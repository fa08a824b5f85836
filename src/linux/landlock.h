/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock (Documentation/userspace-api/landlock.rst): a second wall around file
 * access, where the kernel has it, for programs that hold descriptors or few paths.
 *
 *	CLEANUP_FD int rules = landlock_open(1);
 *	if (rules >= 0) { allow ...; r = landlock_enforce(rules); }
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

/* Rules that forbid all access to files that this kernel can forbid. -EOPNOTSUPP
 * where it knows no Landlock, or less than @min_abi: version 1 forbids links between
 * directories altogether. */
int landlock_open(int min_abi) MUST_CHECK;

#define LANDLOCK_READING 1u /* files, and lists of directories */
#define LANDLOCK_CHANGING 2u /* the rest, but for execution */
#define LANDLOCK_EXECUTING 4u

/* Allow it for the file, or for all below the directory, @fd (may be O_PATH). */
int landlock_allow(int rules, int fd, unsigned what) MUST_CHECK;
/* The same by a path. What is not there is nothing to allow: 0. */
int landlock_allow_path(int rules, const char *path, unsigned what) MUST_CHECK;
/* Put the calling thread and its children under the rules, for good. Needs
 * no_new_privs or CAP_SYS_ADMIN. */
int landlock_enforce(int rules) MUST_CHECK;
/* No path at all from here on; 0 where the kernel knows no Landlock. */
int landlock_forbid_paths(void) MUST_CHECK;
