/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of what all files below a directory take together: project quotas of ext4
 * and XFS (quotactl(2), ioctl_xfs_fsgetxattr(2)). A directory is given a project
 * number that all made in it inherits; the file system counts for each number. */
#pragma once

#include <stdint.h>

#include "err.h"

/* Whether the file system of @fd keeps limits of projects. On failure the error says
 * what is missing; ERR_UNSUPPORTED. */
int project_quota_check(int fd, struct err *err) MUST_CHECK;
/* What is made in the directory @fd belongs to @project from now on, as it does
 * itself. A negative errno. */
int project_mark(int fd, uint32_t project) MUST_CHECK;
/* The project that is passed on in the directory @fd; 0: none. */
int project_of(int fd, uint32_t *ret) MUST_CHECK;
/* Of the file system of @fd: the most that @project may take; 0 is no limit. */
int project_limit_set(int fd, uint32_t project, uint64_t bytes) MUST_CHECK;
struct project_usage {
	uint64_t used_bytes, limit_bytes, files;
};
/* -ENOENT: nothing is known of the project. */
int project_usage_get(int fd, uint32_t project, struct project_usage *ret) MUST_CHECK;
