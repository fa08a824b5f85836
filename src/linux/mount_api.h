/* SPDX-License-Identifier: Apache-2.0 */
/* The mount system calls that work on descriptors (Linux 5.2 and later):
 * open_tree(2), move_mount(2), mount_setattr(2), fsopen(2). glibc 2.36 has
 * wrappers; these add negative errnos and close-on-exec. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* A detached copy of the mount at @path below @dirfd (AT_FDCWD, or a descriptor
 * with an empty path), with what is mounted below it when @recursive. */
int mount_clone(int dirfd, const char *path, bool recursive) MUST_CHECK;
/* Attach the detached @mount at @path below @dirfd (empty: at @dirfd itself). */
int mount_attach(int mount, int dirfd, const char *path) MUST_CHECK;
/* Add and remove MOUNT_ATTR_x of a mount, or of all below it. */
int mount_change(int mount, uint64_t set, uint64_t clear, bool recursive) MUST_CHECK;
/* Show owners of a detached mount through the user namespace @userns. -EINVAL
 * where the file system cannot. */
int mount_idmap(int mount, int userns, bool recursive) MUST_CHECK;
/* MS_PRIVATE, MS_SLAVE, ... of a mount. */
int mount_propagation(int mount, unsigned long propagation, bool recursive) MUST_CHECK;

/* A detached mount of a file system that takes no source and no options ("sysfs"), with
 * MOUNT_ATTR_x. */
int mount_new_plain(const char *type, uint64_t attributes) MUST_CHECK;
/* A detached tmpfs. @options: "mode=755,size=64k", or NULL. */
int mount_new_tmpfs(const char *options) MUST_CHECK;
/* Make @root, a descriptor on the root of a mount, the root and the working
 * directory of this mount namespace, and let go of all that was there before. */
int mount_enter_root(int root) MUST_CHECK;
/* The same with a tmpfs that is empty and stays so; mounts of the host that come
 * later are not seen. The caller has a mount namespace of its own. */
int mount_enter_empty_root(void) MUST_CHECK;
/* A detached overlay. @upper and @work are -1 for a read-only one. Layers are
 * given lowest first, as descriptors on mounts that are attached in this mount
 * namespace. @userxattr for a user namespace of its own. */
int mount_new_overlay(const int *layers, size_t n, int upper, int work, bool userxattr) MUST_CHECK;
