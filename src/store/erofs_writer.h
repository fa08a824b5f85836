/* SPDX-License-Identifier: Apache-2.0 */
/* Write an EROFS image in one pass: file contents go out as they come, each
 * starting at a 4 KiB block (so that page cache and DAX map them directly);
 * inodes, directories and xattrs follow behind, the superblock is written last.
 * The same tree and contents give the same bytes: no times or random ids. */
#pragma once

#include "layer_sink.h"

struct erofs_writer;
/* @fd: empty regular file open for writing; borrowed. NULL out of memory. */
struct erofs_writer *erofs_writer_new(int fd);
/* Closing it is freeing it. */
struct layer_sink *erofs_writer_sink(struct erofs_writer *w);
/* Length of the image, once finished. */
uint64_t erofs_writer_bytes(const struct erofs_writer *w);
