/* SPDX-License-Identifier: Apache-2.0 */
/* Decompressing an archive as a whole, into a file. */
#pragma once

#include "pipeline.h"

/* The bytes of @prefix_fd (-1: none), then those of @in_fd, to @out_fd. Fills
 * bytes, tar_bytes and media of @ret. */
int expand_run(const struct unpack_args *args, int prefix_fd, int in_fd, int out_fd, struct unpack_result *ret,
	       struct err *err) MUST_CHECK;
