/* SPDX-License-Identifier: Apache-2.0 */
#include "blk_io.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "blk_io_engine.h"
#include "cleanup.h"

static void ready(void *ctx, uint32_t events)
{
	struct blk_io *io = ctx;
	uint64_t count;
	if (read(io->source.fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	io->engine->reap(io, false);
	/* What `done` has submitted. */
	io->engine->start(io);
}

int blk_io_new(struct loop *loop, enum blk_io_kind kind, unsigned depth,
	       void (*done)(void *ctx, struct blk_io_request *request), void *ctx, struct blk_io **ret)
{
	CLEANUP_FD int event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct blk_io *io = NULL;
	if (event_fd < 0)
		return -errno;
	int r = kind == BLK_IO_THREAD ? -EOPNOTSUPP : blk_io_uring_new(depth, event_fd, &io);
	if (r < 0 && kind != BLK_IO_URING)
		r = blk_io_thread_new(depth, event_fd, &io);
	if (r < 0)
		return r;
	io->loop = loop;
	io->done = done;
	io->ctx = ctx;
	io->source = (struct loop_source){ .fd = TAKE_FD(event_fd), .ready = ready, .ctx = io };
	r = loop_watch(loop, &io->source, EPOLLIN);
	if (r < 0) {
		blk_io_free(io);
		return r;
	}
	*ret = io;
	return 0;
}

void blk_io_free(struct blk_io *io)
{
	if (!io)
		return;
	int fd = loop_remove(io->loop, &io->source);
	io->engine->free(io); /* a thread may write to the eventfd until then */
	cleanup_fd(&fd);
}

enum blk_io_kind blk_io_kind(const struct blk_io *io)
{
	return io->engine->kind;
}

void blk_io_submit(struct blk_io *io, struct blk_io_request *request)
{
	io->in_flight++;
	io->engine->submit(io, request);
}

void blk_io_start(struct blk_io *io)
{
	io->engine->start(io);
}

void blk_io_completed(struct blk_io *io, struct blk_io_request *request)
{
	io->in_flight--;
	io->done(io->ctx, request);
}

void blk_io_drain(struct blk_io *io)
{
	while (io->in_flight > 0) {
		io->engine->start(io);
		io->engine->reap(io, true);
	}
}
