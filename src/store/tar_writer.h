/* SPDX-License-Identifier: Apache-2.0 */
/* Write a tar archive to a descriptor: ustar headers, PAX records for what does
 * not fit them (long names, big or fine numbers, xattrs). */
#pragma once

#include "buf.h"
#include "tar_reader.h"

struct tar_writer {
	int fd;
	struct buf out;
	uint64_t bytes; /* written so far, with what is buffered */
	uint64_t data_left;
	uint32_t padding;
};

void tar_writer_init(struct tar_writer *w, int fd); /* borrows @fd */
void tar_writer_done(struct tar_writer *w);
#define CLEANUP_TAR_WRITER CLEANUP(tar_writer_done)

/* A header. For TAR_REGULAR exactly entry->size bytes must follow. A directory's
 * name gets its final slash here. */
int tar_writer_entry(struct tar_writer *w, const struct tar_entry *entry, struct err *err) MUST_CHECK;
int tar_writer_data(struct tar_writer *w, const void *data, size_t len, struct err *err) MUST_CHECK;
/* The end of the archive; flushes. */
int tar_writer_finish(struct tar_writer *w, struct err *err) MUST_CHECK;
