/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#include "blk_io_engine.h"
#include "cleanup.h"

struct uring {
	struct blk_io io; /* first */
	struct io_uring ring;
	/* What the ring had no room for. */
	struct blk_io_request *waiting, **waiting_end;
};

static void fill(struct io_uring_sqe *sqe, struct blk_io_request *q)
{
	switch (q->op) {
	case BLK_IO_READ:
		io_uring_prep_readv(sqe, q->fd, q->iov, q->n, q->offset);
		break;
	case BLK_IO_WRITE:
		io_uring_prep_writev(sqe, q->fd, q->iov, q->n, q->offset);
		break;
	case BLK_IO_FLUSH:
		io_uring_prep_fsync(sqe, q->fd, IORING_FSYNC_DATASYNC);
		break;
	case BLK_IO_ALLOCATE:
		io_uring_prep_fallocate(sqe, q->fd, q->mode, (off_t)q->offset, (off_t)q->bytes);
		break;
	}
	io_uring_sqe_set_data(sqe, q);
}

static void submit(struct blk_io *io, struct blk_io_request *request)
{
	struct uring *u = (struct uring *)io;
	request->next = NULL;
	*u->waiting_end = request;
	u->waiting_end = &request->next;
}

static void start(struct blk_io *io)
{
	struct uring *u = (struct uring *)io;
	for (;;) {
		struct io_uring_sqe *sqe;
		unsigned n = 0;
		while (u->waiting && (sqe = io_uring_get_sqe(&u->ring)) != NULL) {
			struct blk_io_request *request = u->waiting;
			u->waiting = request->next;
			if (!u->waiting)
				u->waiting_end = &u->waiting;
			fill(sqe, request);
			n++;
		}
		if (n == 0 && io_uring_sq_ready(&u->ring) == 0)
			return;
		/* EAGAIN, EBUSY: no memory for requests, or too many completions unseen.
		 * What is in the ring goes with the next call: have the loop make one. */
		if (io_uring_submit(&u->ring) < 0) {
			uint64_t one = 1;
			ssize_t written = write(io->source.fd, &one, sizeof(one));
			(void)written;
			return;
		}
	}
}

static void reap(struct blk_io *io, bool wait)
{
	struct uring *u = (struct uring *)io;
	struct io_uring_cqe *cqe;
	/* What start() could not hand over is not what we wait for. */
	if (wait && (io_uring_sq_ready(&u->ring) > 0 ? io_uring_submit_and_wait(&u->ring, 1) :
						       io_uring_wait_cqe(&u->ring, &cqe)) < 0)
		return;
	while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
		struct blk_io_request *request = io_uring_cqe_get_data(cqe);
		request->result = cqe->res;
		io_uring_cqe_seen(&u->ring, cqe);
		blk_io_completed(io, request);
	}
}

static void uring_free(struct blk_io *io)
{
	struct uring *u = (struct uring *)io;
	io_uring_queue_exit(&u->ring);
	free(u);
}

static const struct blk_io_engine engine = {
	.kind = BLK_IO_URING, .submit = submit, .start = start, .reap = reap, .free = uring_free
};

/* Older kernels have a ring but not all of its operations (fallocate: 5.6). */
static bool has_operations(struct io_uring *ring)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	if (!probe)
		return false;
	bool has = io_uring_opcode_supported(probe, IORING_OP_READV) &&
		   io_uring_opcode_supported(probe, IORING_OP_WRITEV) &&
		   io_uring_opcode_supported(probe, IORING_OP_FSYNC) &&
		   io_uring_opcode_supported(probe, IORING_OP_FALLOCATE);
	io_uring_free_probe(probe);
	return has;
}

int blk_io_uring_new(unsigned depth, int event_fd, struct blk_io **ret)
{
	CLEANUP_FREE struct uring *u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	int r = io_uring_queue_init(depth, &u->ring, 0);
	if (r < 0)
		return r;
	r = has_operations(&u->ring) ? io_uring_register_eventfd(&u->ring, event_fd) : -EOPNOTSUPP;
	if (r < 0) {
		io_uring_queue_exit(&u->ring);
		return r;
	}
	u->io.engine = &engine;
	u->waiting_end = &u->waiting;
	*ret = &TAKE_PTR(u)->io;
	return 0;
}
