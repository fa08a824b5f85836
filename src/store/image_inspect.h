/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's JSON of an image: GET /images/{name}/json and `image inspect`. */
#pragma once

#include "image_store.h"
#include "json.h"

/* Write one image's object. */
int image_inspect_write(struct store *store, const struct image *image, struct json_writer *w,
			struct err *err) MUST_CHECK;

/* `image history`, newest first. */
struct image_history_line {
	const char *id; /* "sha256:..." of the newest, else "<missing>" */
	int64_t created_ns;
	const char *created_by, *comment; /* borrowed from the image; never NULL */
	int64_t size_bytes;
	struct strv tags; /* of the newest: stored references */
};
int image_history_lines(struct store *store, const struct image *image, struct image_history_line **ret, size_t *ret_n,
			struct err *err) MUST_CHECK;
void image_history_free(struct image_history_line *lines, size_t n);
