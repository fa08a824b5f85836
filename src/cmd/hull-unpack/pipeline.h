/* SPDX-License-Identifier: Apache-2.0 */
/* One layer from stdin to its image: three threads with a ring of buffers
 * between them. */
#pragma once

#include "layer_apply.h"
#include "unpack_args.h"

struct unpack_result {
	char digest[72], diffid[72]; /* "sha256:..." */
	uint64_t bytes, tar_bytes;
	enum unpack_media media;
	struct layer_stats stats;
};

/* Read @in_fd to its end, copy the bytes to @tee_fd (-1: do not) and the layer
 * to @sink. Blocks. */
int unpack_run(const struct unpack_args *args, int in_fd, int tee_fd, struct layer_sink *sink,
	       struct unpack_result *ret, struct err *err) MUST_CHECK;
