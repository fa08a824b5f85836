/* SPDX-License-Identifier: Apache-2.0 */
/* A streaming reader of tar archives from strangers.
 *
 * Understands ustar, GNU (long names, base-256 numbers, sparse) and PAX
 * (including SCHILY.xattr and GNU.sparse 0.0, 0.1 and 1.0). Where well-known
 * readers disagree about what an archive means it is refused. It does not judge
 * names: that is layer_apply's work. Memory is bounded by the limits below. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* Where the bytes come from: borrowed pieces, valid until the next call.
 * next() returns 0 with *ret_len 0 at the end. */
struct tar_source {
	int (*next)(void *ctx, const uint8_t **ret_data, size_t *ret_len, struct err *err);
	void *ctx;
};

#define TAR_PATH_MAX 4095u           /* also the kernel's, for names and link targets */
#define TAR_PAX_MAX (1024u * 1024)   /* all records of one entry */
#define TAR_XATTR_VALUE_MAX 65535u   /* the kernel's XATTR_SIZE_MAX */
#define TAR_SPARSE_MAX (256u * 1024) /* data pieces of one sparse file */

enum tar_kind {
	TAR_REGULAR,
	TAR_HARDLINK,
	TAR_SYMLINK,
	TAR_CHAR,
	TAR_BLOCKDEV,
	TAR_DIRECTORY,
	TAR_FIFO,
};

struct tar_xattr {
	const char *name; /* NUL-terminated */
	const uint8_t *value;
	size_t len;
};

/* Borrowed until the next tar_reader_next(). */
struct tar_entry {
	const char *path; /* NUL-terminated, not empty, otherwise as in the archive */
	const char *link; /* target of a hard or symbolic link, else "" */
	enum tar_kind kind;
	uint32_t mode; /* permission bits only */
	uint32_t uid, gid;
	uint32_t dev_major, dev_minor;
	int64_t mtime_sec;
	uint32_t mtime_nsec;
	/* Length of the file with its holes; 0 unless TAR_REGULAR. */
	uint64_t size;
	const struct tar_xattr *xattrs;
	size_t n_xattrs;
};

struct tar_reader;
/* NULL only out of memory. */
struct tar_reader *tar_reader_new(struct tar_source source);
void tar_reader_free(struct tar_reader *r);
static inline void cleanup_tar_reader(struct tar_reader **r)
{
	tar_reader_free(*r);
}
#define CLEANUP_TAR_READER CLEANUP(cleanup_tar_reader)

/* 1: an entry; 0: the end of the archive (and the source is drained); or an
 * error. File data not read is skipped. */
int tar_reader_next(struct tar_reader *r, const struct tar_entry **ret, struct err *err) MUST_CHECK;
/* The next piece of the entry's data and where in the file it belongs (pieces
 * ascend; what is not covered is a hole). 1: a piece, 0: no more. */
int tar_reader_data(struct tar_reader *r, uint64_t *ret_offset, const uint8_t **ret_data, size_t *ret_len,
		    struct err *err) MUST_CHECK;
/* Entries returned so far. */
uint64_t tar_reader_entries(const struct tar_reader *r);
