/* SPDX-License-Identifier: Apache-2.0 */
/* Images to one archive that is both an OCI layout (index.json) and what
 * `docker load` reads (manifest.json). Layers go out as the compressed blobs
 * that the store keeps: nothing is recompressed, and diff ids and ids stay. */
#pragma once

#include "image_store.h"
#include "store.h"

/* Write an archive of the images named (a name also becomes the image's tag in
 * the archive; an id gives all its tags) to @fd, sequentially. */
int archive_save(struct store *store, const char *const *names, size_t n, int fd, struct err *err) MUST_CHECK;

/* The OCI manifest of an image: the one a registry sent when its blobs are all
 * there, else a new one over the kept blobs. Appended to @out; the media type
 * and digest are returned. ERR_UNSUPPORTED when a layer has no blob. */
int image_manifest(struct store *store, const struct image *image, struct buf *out, char ret_type[80],
		   char ret_digest[72], struct err *err) MUST_CHECK;
