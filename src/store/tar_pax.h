/* SPDX-License-Identifier: Apache-2.0 */
/* The records of one PAX extended header: "LENGTH KEY=VALUE\n" ... */
#pragma once

#include <stdbool.h>

#include "buf.h"
#include "tar_reader.h"

struct tar_sparse_piece {
	uint64_t offset, length;
};

struct tar_pax {
	/* The text; names and values below point into it. Equals signs and
	 * newlines after them are overwritten by NULs. */
	struct buf text;
	/* NULL: no such record. An empty value cancels a record. */
	const char *path, *link, *sparse_name;
	bool has_size, has_uid, has_gid, has_mtime;
	uint64_t size;
	uint32_t uid, gid;
	int64_t mtime_sec;
	uint32_t mtime_nsec;
	/* GNU.sparse.*; has_sparse: at least one of them. */
	bool has_sparse, has_sparse_size;
	uint64_t sparse_major, sparse_minor, sparse_size, sparse_count;
	bool has_sparse_count;
	struct tar_sparse_piece *pieces;
	size_t n_pieces, cap_pieces;
	bool half_piece; /* 0.0: an offset without its numbytes yet */
	struct tar_xattr *xattrs;
	size_t n_xattrs, cap_xattrs;
};

#define TAR_PAX_INIT ((struct tar_pax){ .text = BUF_INIT(TAR_PAX_MAX) })

/* Read the records in pax->text. With @is_global only records without meaning
 * for hull are accepted: readers disagree on whether the others apply. */
int tar_pax_parse(struct tar_pax *pax, bool is_global, struct err *err) MUST_CHECK;
/* Forget everything, keeping the memory for the next header. */
void tar_pax_clear(struct tar_pax *pax);
void tar_pax_done(struct tar_pax *pax);
int tar_pax_add_piece(struct tar_pax *pax, uint64_t offset, uint64_t length) MUST_CHECK;
