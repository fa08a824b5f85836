/* SPDX-License-Identifier: Apache-2.0 */
/* A new image from a root file system's tar, or from an image and the changes
 * of a container. */
#pragma once

#include "image_config.h"
#include "image_progress.h"
#include "image_store.h"
#include "store.h"

/* One layer from the tar (plain, gzip or zstd) that @fd gives from where it
 * stands, be it a file or a pipe, under @config, of which os, architecture,
 * created_ns and the layers are filled in here. @comment is the history's
 * ("Imported from -"). @tag is a stored reference or NULL. */
int image_import_tar(struct store *store, int fd, struct image_config *config, const char *comment, const char *tag,
		     const struct image_progress *progress, char ret_id[72], struct err *err) MUST_CHECK;

/* @parent's layers and one more from the tar @fd; @config is the new one
 * without layers and history, which come from the parent. @created_by, @author
 * and @comment go into the history (NULL: not said). */
int image_commit_tar(struct store *store, const struct image *parent, int fd, struct image_config *config,
		     const char *created_by, const char *author, const char *comment, const char *tag,
		     char ret_id[72], struct err *err) MUST_CHECK;
