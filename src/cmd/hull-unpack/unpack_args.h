/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments of hull-unpack; their meaning is told in proto/unpack_proto.h. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

enum unpack_media { UNPACK_ANY, UNPACK_NONE, UNPACK_GZIP, UNPACK_ZSTD, UNPACK_XZ, UNPACK_MEDIA_COUNT };

struct unpack_args {
	bool is_dir, has_tee, is_expand, has_prefix;
	enum unpack_media media;
	/* The 64 hex digits, or "" when not given. */
	char digest[65], diffid[65];
	/* -1: not known. */
	int64_t size;
	uint64_t max_bytes, max_entries, max_ratio;
};

/* "gzip" and so on. */
const char *unpack_media_name(enum unpack_media media);

int unpack_args_parse(int argc, char **argv, struct unpack_args *ret, struct err *err) MUST_CHECK;
