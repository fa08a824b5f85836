/* SPDX-License-Identifier: Apache-2.0 */
/* Archives that are compressed as a whole: a hull-unpack writes what is inside
 * to a file of the ingest directory. hull itself decompresses nothing. */
#pragma once

#include <stdbool.h>

#include "store.h"

/* Do the first bytes say gzip, zstd or xz? */
bool archive_is_compressed(const char *data, size_t len);
bool archive_is_xz(const char *data, size_t len);

/* The @prefix that was read already, and the rest of @fd, decompressed: a
 * descriptor at the start of the new file @name, and its length. */
int archive_expand(const struct ingest *ingest, const char *name, const char *prefix, size_t prefix_len, int fd,
		   int64_t *ret_bytes, struct err *err) MUST_CHECK;
