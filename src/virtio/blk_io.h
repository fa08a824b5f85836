/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and writes of files that do not hold up the event loop: by io_uring where
 * the kernel has it and lets us, else by one worker thread.
 *
 * Everything is called, and `done` is called, on the loop's thread. What it takes
 * is taken by blk_io_new(), the thread too: later nothing is allocated. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "event_loop.h"

enum blk_io_op {
	BLK_IO_READ,
	BLK_IO_WRITE,
	BLK_IO_FLUSH,    /* fdatasync */
	BLK_IO_ALLOCATE, /* fallocate with `mode` */
};

struct blk_io_request {
	enum blk_io_op op;
	int fd;
	int mode;
	uint64_t offset;
	uint64_t bytes; /* BLK_IO_ALLOCATE */
	struct iovec *iov;
	unsigned n;
	/* Bytes moved, or a negative errno. */
	int64_t result;
	struct blk_io_request *next;
};

enum blk_io_kind {
	BLK_IO_BEST,
	BLK_IO_URING,
	BLK_IO_THREAD,
};

struct blk_io;
/* At most @depth requests at a time. -EOPNOTSUPP: no io_uring here, and nothing
 * else was allowed. */
int blk_io_new(struct loop *loop, enum blk_io_kind kind, unsigned depth,
	       void (*done)(void *ctx, struct blk_io_request *request), void *ctx, struct blk_io **ret) MUST_CHECK;
/* Nothing may be in flight. */
void blk_io_free(struct blk_io *io);
enum blk_io_kind blk_io_kind(const struct blk_io *io);

/* Borrows @request and what it points to until `done`, which is never called from
 * within. Starts at the next blk_io_start(). */
void blk_io_submit(struct blk_io *io, struct blk_io_request *request);
void blk_io_start(struct blk_io *io);
/* Wait until nothing is in flight, calling `done` for each. Blocks as long as the
 * file system takes. */
void blk_io_drain(struct blk_io *io);
