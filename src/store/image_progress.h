/* SPDX-License-Identifier: Apache-2.0 */
/* How long operations on images tell how far they are: the words and numbers
 * of Docker's progress stream. */
#pragma once

#include <stdint.h>

struct image_event {
	/* What it is about: 12 digits of a layer, a tag, or NULL for the whole. */
	const char *id;
	/* "Downloading", "Pull complete", "Digest: sha256:..." */
	const char *status;
	/* Bytes; 0 when there is nothing to count. */
	int64_t current, total;
};

struct image_progress {
	void (*report)(void *ctx, const struct image_event *event);
	void *ctx;
};

static inline void image_report(const struct image_progress *progress, const char *id, const char *status,
				int64_t current, int64_t total)
{
	if (progress && progress->report)
		progress->report(progress->ctx,
				 &(struct image_event){ .id = id, .status = status, .current = current, .total = total });
}
