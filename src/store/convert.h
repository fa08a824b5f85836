/* SPDX-License-Identifier: Apache-2.0 */
/* Turning layers as they come (tar, maybe compressed) into the store's form, a
 * few at a time, each by a hull-unpack of its own.
 *
 * hull itself never parses a layer. The worker reads a pipe: that of hull-fetch
 * directly, or one that hull fills from a file. The layer's original bytes are
 * kept as a blob; a layer that comes uncompressed is kept as zstd
 * (blob_writer.h). */
#pragma once

#include "image_progress.h"
#include "layers.h"

#define MEDIA_LAYER_GZIP "application/vnd.oci.image.layer.v1.tar+gzip"
#define MEDIA_LAYER_ZSTD "application/vnd.oci.image.layer.v1.tar+zstd"

struct convert_job {
	/* Where the bytes come from (borrowed): a file from @offset, @len bytes of
	 * it; or, with @offset -1, a pipe to its end. */
	int fd;
	int64_t offset, len;
	/* Hand @fd itself to the worker: whoever fills it reports the progress. */
	bool is_direct;
	/* Name the kept blob so that it can be resumed when this hull dies
	 * (partial.h). Needs @digest. */
	bool is_resumable;
	/* What the bytes, and the tar inside, must turn out to be; NULL: whatever
	 * they are. */
	const char *digest, *diffid;
	/* Of the kept blob; NULL: as found. Needed when is_direct. */
	const char *media_type;
	/* For the progress: "a1b2c3d4e5f6". */
	const char *title;
	/* Filled, ready for image_add(). */
	struct layer_new out;
};

/* Run all @jobs, at most @parallel at once (0: as many as there are
 * processors). The first failure ends the others. */
int convert_run(const struct ingest *ingest, struct convert_job *jobs, size_t n, unsigned parallel,
		const struct image_progress *progress, struct err *err) MUST_CHECK;

/* One direct job by hand, for callers with a poll loop of their own: after
 * convert_start() wait until the descriptor it returns is readable, then call
 * convert_finish(), or convert_cancel(). @index names the files. */
struct convert;
int convert_start(const struct ingest *ingest, struct convert_job *job, size_t index, struct convert **ret,
		  struct err *err) MUST_CHECK;
int convert_result_fd(const struct convert *c);
int convert_finish(struct convert *c, struct err *err) MUST_CHECK; /* frees @c in any case */
void convert_cancel(struct convert *c);                            /* NULL is fine */
