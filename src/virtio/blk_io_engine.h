/* SPDX-License-Identifier: Apache-2.0 */
/* Between blk_io.c and its two engines. An engine gives each request its result and
 * hands it to blk_io_completed() on the loop's thread. */
#pragma once

#include "blk_io.h"

struct blk_io {
	const struct blk_io_engine *engine;
	struct loop *loop;
	void (*done)(void *ctx, struct blk_io_request *request);
	void *ctx;
	unsigned in_flight;
	/* An eventfd that the engine makes readable when something is complete. */
	struct loop_source source;
};

struct blk_io_engine {
	enum blk_io_kind kind;
	void (*submit)(struct blk_io *io, struct blk_io_request *request);
	void (*start)(struct blk_io *io);
	/* Hand over what is complete; with @wait at least one, if any is in flight. */
	void (*reap)(struct blk_io *io, bool wait);
	void (*free)(struct blk_io *io);
};

void blk_io_completed(struct blk_io *io, struct blk_io_request *request);
int blk_io_uring_new(unsigned depth, int event_fd, struct blk_io **ret) MUST_CHECK;
int blk_io_thread_new(unsigned depth, int event_fd, struct blk_io **ret) MUST_CHECK;
