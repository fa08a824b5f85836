/* SPDX-License-Identifier: Apache-2.0 */
/* One worker takes requests from one list and puts them into another. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "blk_io_engine.h"
#include "cleanup.h"

struct list {
	struct blk_io_request *first, **end;
};

struct worker {
	struct blk_io io; /* first */
	int event_fd;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t has_work, has_done;
	/* Under the lock. */
	struct list todo, done;
	bool is_over;
};

static void list_add(struct list *list, struct blk_io_request *request)
{
	request->next = NULL;
	*list->end = request;
	list->end = &request->next;
}

static struct blk_io_request *list_take(struct list *list)
{
	struct blk_io_request *request = list->first;
	if (request) {
		list->first = request->next;
		if (!list->first)
			list->end = &list->first;
	}
	return request;
}

static int64_t perform(const struct blk_io_request *q)
{
	ssize_t n = -1;
	switch (q->op) {
	case BLK_IO_READ:
		n = preadv(q->fd, q->iov, (int)q->n, (off_t)q->offset);
		break;
	case BLK_IO_WRITE:
		n = pwritev(q->fd, q->iov, (int)q->n, (off_t)q->offset);
		break;
	case BLK_IO_FLUSH:
		n = fdatasync(q->fd);
		break;
	case BLK_IO_ALLOCATE:
		n = fallocate(q->fd, q->mode, (off_t)q->offset, (off_t)q->bytes);
		break;
	}
	return n < 0 ? -errno : n;
}

static void *work(void *ctx)
{
	struct worker *w = ctx;
	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct blk_io_request *request = list_take(&w->todo);
		if (!request) {
			if (w->is_over)
				break;
			pthread_cond_wait(&w->has_work, &w->lock);
			continue;
		}
		pthread_mutex_unlock(&w->lock);
		request->result = perform(request);
		pthread_mutex_lock(&w->lock);
		list_add(&w->done, request);
		pthread_cond_signal(&w->has_done);
		uint64_t one = 1;
		/* Full: the loop has been told 2^64 - 2 times. */
		ssize_t n = write(w->event_fd, &one, sizeof(one));
		(void)n;
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void submit(struct blk_io *io, struct blk_io_request *request)
{
	struct worker *w = (struct worker *)io;
	pthread_mutex_lock(&w->lock);
	list_add(&w->todo, request);
	pthread_mutex_unlock(&w->lock);
}

static void start(struct blk_io *io)
{
	struct worker *w = (struct worker *)io;
	pthread_mutex_lock(&w->lock);
	if (w->todo.first)
		pthread_cond_signal(&w->has_work);
	pthread_mutex_unlock(&w->lock);
}

static void reap(struct blk_io *io, bool wait)
{
	struct worker *w = (struct worker *)io;
	for (;;) {
		pthread_mutex_lock(&w->lock);
		while (wait && !w->done.first)
			pthread_cond_wait(&w->has_done, &w->lock);
		struct blk_io_request *request = list_take(&w->done);
		pthread_mutex_unlock(&w->lock);
		if (!request)
			return;
		wait = false;
		blk_io_completed(io, request);
	}
}

static void worker_free(struct blk_io *io)
{
	struct worker *w = (struct worker *)io;
	pthread_mutex_lock(&w->lock);
	w->is_over = true;
	pthread_cond_signal(&w->has_work);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->has_work);
	pthread_cond_destroy(&w->has_done);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static const struct blk_io_engine engine = {
	.kind = BLK_IO_THREAD, .submit = submit, .start = start, .reap = reap, .free = worker_free
};

int blk_io_thread_new(unsigned depth, int event_fd, struct blk_io **ret)
{
	struct worker *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->io.engine = &engine;
	w->event_fd = event_fd;
	w->todo.end = &w->todo.first;
	w->done.end = &w->done.first;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->has_work, NULL);
	pthread_cond_init(&w->has_done, NULL);
	/* Signals are the other threads' affair. */
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int r = pthread_create(&w->thread, NULL, work, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0) {
		free(w);
		return -r;
	}
	*ret = &w->io;
	return 0;
}
