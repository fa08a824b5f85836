/* SPDX-License-Identifier: Apache-2.0 */
/* --user against the image's own /etc/passwd and /etc/group.
 *
 * The files are read from the topmost layer (or upper directory) that has them,
 * whiteouts honoured, so that no root file system needs to be mounted for it.
 * They are hostile: resolved inside the layer (RESOLVE_IN_ROOT), regular files
 * only, at most 4 MiB, malformed lines skipped. */
#pragma once

#include "runtime_spec.h"

/* Resolve "", "name", "uid", "name:group", "uid:gid" and @group_add into @ret
 * (uid, gid, groups; the caller's spec_process frees). *ret_home is allocated
 * ("/" when unknown). ERR_INVALID in Docker's words for an unknown user. */
int user_lookup(const struct strv *layers, const char *upper, const char *user, const struct strv *group_add,
		struct spec_user *ret, char **ret_home, struct err *err) MUST_CHECK;

/* The same on texts alone; either may be NULL. */
int user_resolve(const char *passwd, const char *group, const char *user, const struct strv *group_add,
		 struct spec_user *ret, char **ret_home, struct err *err) MUST_CHECK;

/* The text of @path as a container of these layers sees it; -ENOENT when it has
 * none. */
int layered_file_read(const struct strv *layers, const char *upper, const char *path, struct buf *out) MUST_CHECK;
