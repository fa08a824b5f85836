/* SPDX-License-Identifier: Apache-2.0 */
/* Images from archives: `docker save` (manifest.json) and OCI (index.json). */
#pragma once

#include "image_progress.h"
#include "store.h"
#include "str.h"

/* Read the archive @fd: a seekable file, or a pipe (then it is spooled). Each
 * image's stored reference, or its id when it has no name, is appended to
 * @ret_names. Layers that the store has already are not converted again.
 * ERR_INVALID for whatever is wrong with the archive; then what had been loaded
 * before (whole images) stays. */
int archive_load(struct store *store, int fd, const struct image_progress *progress, struct strv *ret_names,
		 struct err *err) MUST_CHECK;
