/* SPDX-License-Identifier: Apache-2.0 */
/* Mount an EROFS image file, and tell cheaply whether something is mounted. */
#pragma once

#include <stdbool.h>

#include "err.h"

/* Mount the file at @path read-only on the directory @target. Kernels from 6.12
 * on read the file itself; older ones get a loop device.
 * -ENODEV when the kernel has no EROFS, -EINVAL or -EUCLEAN when the file is no
 * valid image. */
int erofs_mount_file(const char *path, const char *target) MUST_CHECK;
/* The same of a device that is memory: files are mapped where they are (DAX), without a
 * copy in the page cache. */
int erofs_mount_memory(const char *device, const char *target) MUST_CHECK;
/* 1 when @path is the root of a mount, 0 when it is not or does not exist, or a
 * negative errno. One system call. */
int mount_is_root(const char *path) MUST_CHECK;
/* Detach what is mounted at @target (lazily: users keep it until they are gone)
 * and remove the empty directory. Nothing there is success. */
int mount_detach_dir(const char *target) MUST_CHECK;
/* Does the running kernel know EROFS?
 * HULL_TEST_EROFS is internal, for tests: "absent" makes a kernel without EROFS of
 * this one, "loop" one that mounts it from block devices only. */
bool erofs_is_supported(void);
