/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse_serve.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "fd.h"
#include "str.h"

/* Threads without work that are kept; more come when needed. */
#define IDLE_MAX   4
#define STACK_SIZE (2u << 20)
/* Small requests that come together are read together. */
#define READ_AHEAD 65536

struct pool {
	struct fuse_server *s;
	struct fuse_serve_config config;
	pthread_mutex_t lock;
	unsigned threads, idle;
	int result;
	int ended;

	/* The stream: who holds the lock reads. */
	pthread_mutex_t read_lock, write_lock;
	uint8_t *left;
	size_t left_at, left_len;
};

struct thread {
	struct pool *pool;
	struct fuse_worker *worker;
	uint8_t *msg;
	bool is_reader;
};

static void *thread_main(void *arg);

static void end(struct pool *p, int result)
{
	uint64_t one = 1;
	pthread_mutex_lock(&p->lock);
	p->result = result;
	pthread_mutex_unlock(&p->lock);
	(void)!write(p->ended, &one, sizeof(one));
}

static int add_thread(struct pool *p)
{
	pthread_attr_t attr;
	pthread_t id;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	int r = -pthread_create(&id, &attr, thread_main, p);
	pthread_attr_destroy(&attr);
	return r;
}

/* Called by a thread that turns from reading to working. */
static void ensure_reader(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->idle--;
	bool is_short = p->idle == 0 && p->threads < p->config.threads_max;
	if (is_short) {
		p->threads++;
		p->idle++;
	}
	pthread_mutex_unlock(&p->lock);
	/* No memory for a thread: requests wait for those there are. */
	if (is_short && add_thread(p) < 0) {
		pthread_mutex_lock(&p->lock);
		p->threads--;
		p->idle--;
		pthread_mutex_unlock(&p->lock);
	}
}

/* False when there are enough without this one. */
static bool become_idle(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	bool stays = p->idle < IDLE_MAX;
	if (stays)
		p->idle++;
	else
		p->threads--;
	pthread_mutex_unlock(&p->lock);
	return stays;
}

static void stop_reading(void *ctx)
{
	struct thread *t = ctx;
	if (!t->is_reader)
		return;
	t->is_reader = false;
	ensure_reader(t->pool);
	if (!t->pool->config.is_device)
		pthread_mutex_unlock(&t->pool->read_lock);
}

/* ---- a stream */

static ssize_t receive(struct pool *p, uint8_t *at, size_t size)
{
	ssize_t n;
	do
		n = recv(p->config.fd, at, size, 0);
	while (n < 0 && errno == EINTR);
	/* It has gone with replies unread. */
	return n < 0 ? errno == ECONNRESET ? 0 : -errno : n;
}

/* One message into @msg: its length, 0 at the end of the stream, or an error. */
static ssize_t read_stream(struct pool *p, uint8_t *msg)
{
	size_t have = p->left_len, want = sizeof(struct fuse_in_header);
	uint32_t len = 0;
	if (have >= want) {
		memcpy(&len, p->left + p->left_at, sizeof(len));
		/* The message itself, if all of it is there, and not what follows. */
		if (len >= want && len < have)
			have = len;
	}
	memcpy(msg, p->left + p->left_at, have);
	p->left_at += have;
	p->left_len -= have;
	for (;;) {
		if (have >= sizeof(struct fuse_in_header)) {
			memcpy(&len, msg, sizeof(len));
			if (len < sizeof(struct fuse_in_header) || len > FUSE_MESSAGE_MAX)
				return -EPROTO;
			want = len;
		}
		if (have >= want)
			break;
		size_t size = want > READ_AHEAD ? want - have : READ_AHEAD - have;
		ssize_t n = receive(p, msg + have, size);
		if (n <= 0)
			return n == 0 && have ? -EPROTO : n;
		have += (size_t)n;
	}
	if (have > len) {
		memcpy(p->left, msg + len, have - len);
		p->left_at = 0;
		p->left_len = have - len;
	}
	return (ssize_t)len;
}

static int write_stream(struct pool *p, const uint8_t *reply, size_t len)
{
	int r = 0;
	pthread_mutex_lock(&p->write_lock);
	while (len && r == 0) {
		ssize_t n = send(p->config.fd, reply, len, MSG_NOSIGNAL);
		if (n >= 0) {
			reply += n;
			len -= (size_t)n;
		} else if (errno != EINTR) {
			r = -errno;
		}
	}
	pthread_mutex_unlock(&p->write_lock);
	return r;
}

/* ---- /dev/fuse */

static ssize_t read_device(struct pool *p, uint8_t *msg)
{
	for (;;) {
		ssize_t n = read(p->config.fd, msg, FUSE_MESSAGE_MAX);
		if (n >= 0)
			return n;
		/* ENOENT: the request was interrupted before it was read. */
		if (errno == ENODEV)
			return 0;
		if (errno != EINTR && errno != ENOENT && errno != EAGAIN)
			return -errno;
	}
}

static int write_device(struct pool *p, const uint8_t *reply, size_t len)
{
	/* ENOENT: who asked has given up. */
	if (write(p->config.fd, reply, len) < 0 && errno != ENOENT && errno != EINTR)
		return -errno;
	return 0;
}

/* ---- */

/* False when the thread is to end. */
static bool handle_one(struct thread *t)
{
	struct pool *p = t->pool;
	const void *reply;
	if (!t->is_reader && !become_idle(p))
		return false;
	if (!t->is_reader && !p->config.is_device)
		pthread_mutex_lock(&p->read_lock);
	t->is_reader = true;
	ssize_t n = p->config.is_device ? read_device(p, t->msg) : read_stream(p, t->msg);
	int r = n <= 0 ? (int)n : fuse_worker_take(t->worker, t->msg, (size_t)n);
	if (n <= 0 || r < 0) {
		end(p, r);
		/* Nobody is to read any more. */
		for (;;)
			poll(NULL, 0, -1);
	}
	/* Others can have what is there already. */
	if (p->config.is_device || p->left_len)
		stop_reading(t);
	n = fuse_worker_run(t->worker, &reply);
	if (n > 0) {
		r = p->config.is_device ? write_device(p, reply, (size_t)n) : write_stream(p, reply, (size_t)n);
		if (r < 0)
			end(p, r == -EPIPE || r == -ECONNRESET || r == -ENODEV ? 0 : r);
	}
	return true;
}

static void *thread_main(void *arg)
{
	struct pool *p = arg;
	struct thread t = { .pool = p, .worker = fuse_worker_new(p->s), .msg = fuse_buffer_new() };
	if (!t.worker || !t.msg)
		end(p, -ENOMEM);
	/* It is counted as idle from birth. */
	if (t.worker && t.msg) {
		fuse_worker_on_block(t.worker, stop_reading, &t);
		if (!p->config.is_device)
			pthread_mutex_lock(&p->read_lock);
		t.is_reader = true;
		while (handle_one(&t))
			;
	}
	if (t.worker)
		fuse_worker_free(t.worker);
	fuse_buffer_free(t.msg);
	return NULL;
}

static void on_signal(int signo)
{
	(void)signo;
}

int fuse_serve(struct fuse_server *s, const struct fuse_serve_config *config, struct err *err)
{
	/* No SA_RESTART: the signal is there to end a wait. */
	struct sigaction act = { .sa_handler = on_signal };
	struct pool *p = mem_calloc(1, sizeof(*p));
	*p = (struct pool){ .s = s, .config = *config, .threads = 1, .idle = 1, .left = malloc(READ_AHEAD) };
	pthread_mutex_init(&p->lock, NULL);
	pthread_mutex_init(&p->read_lock, NULL);
	pthread_mutex_init(&p->write_lock, NULL);
	p->ended = eventfd(0, EFD_CLOEXEC);
	if (!p->left || p->ended < 0 || sigaction(FUSE_INTERRUPT_SIGNAL, &act, NULL) < 0)
		return err_set(err, ERR_SYSTEM, p->left ? -errno : -ENOMEM, "serve files");
	int r = add_thread(p);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "serve files");
	struct pollfd fds[2] = { { .fd = p->ended, .events = POLLIN }, { .fd = config->watch_fd } };
	while (!(fds[0].revents | fds[1].revents))
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return err_set(err, ERR_SYSTEM, -errno, "wait for the end");
	pthread_mutex_lock(&p->lock);
	r = fds[0].revents ? p->result : 0;
	pthread_mutex_unlock(&p->lock);
	return r == -EPROTO ? err_set(err, ERR_INVALID, r, "the guest sent what is no message") :
	       r < 0	    ? err_set(err, ERR_SYSTEM, r, "serve files") :
			      0;
}
