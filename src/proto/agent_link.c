/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_link.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "fd.h"

/* So much from a ring at once, then the others have their turn. */
#define RING_BATCH 16

static void ring_bell(struct agent_link *l)
{
	/* A bell that is full of rings has been heard. */
	if (l->ring.must_ring && write(l->source.fd, "!", 1) < 0 && errno != EAGAIN)
		l->is_broken = true;
	l->ring.must_ring = false;
}

static void update(struct agent_link *l)
{
	uint32_t events = EPOLLIN | (l->out.len && !l->has_ring ? EPOLLOUT : 0);
	if (l->source.fd >= 0 && loop_watch(l->loop, &l->source, events) < 0)
		l->is_broken = true;
}

static void give_up(struct agent_link *l, int error)
{
	if (l->source.fd < 0)
		return;
	agent_link_close(l);
	l->gone(l, error);
}

static int flush(struct agent_link *l)
{
	size_t done = 0;
	int r = 0;
	while (done < l->out.len) {
		ssize_t n = l->has_ring ? agent_ring_write(&l->ring, l->out.data + done, l->out.len - done) :
					  write(l->source.fd, l->out.data + done, l->out.len - done);
		if (n < 0 && !l->has_ring && errno == EINTR)
			continue;
		if (n <= 0) {
			r = l->has_ring ? (int)n : errno == EAGAIN ? 0 : -errno;
			break;
		}
		done += (size_t)n;
	}
	if (l->has_ring)
		ring_bell(l);
	buf_consume(&l->out, done);
	/* What a burst needed is given back. */
	if (l->out.len == 0 && l->out.cap > 4 * AGENT_PAYLOAD_MAX)
		buf_free(&l->out);
	return r;
}

static int take_frames(struct agent_link *l)
{
	size_t at = 0;
	while (l->source.fd >= 0 && l->in_len - at >= sizeof(struct agent_frame)) {
		struct agent_frame f;
		memcpy(&f, l->in + at, sizeof(f));
		int r = agent_frame_check(&f);
		if (r < 0)
			return r;
		if (l->in_len - at < sizeof(f) + f.len)
			break;
		l->frame(l, &f, l->in + at + sizeof(f));
		at += sizeof(f) + f.len;
	}
	if (at && l->source.fd >= 0) {
		l->in_len -= at;
		memmove(l->in, l->in + at, l->in_len);
	}
	return 0;
}

static int ring_step(struct agent_link *l)
{
	ssize_t n = agent_ring_read(&l->ring, l->in + l->in_len, sizeof(l->in) - l->in_len);
	if (n <= 0)
		return (int)n;
	l->in_len += (size_t)n;
	int r = take_frames(l);
	return r < 0 ? r : 1;
}

/* Until nothing is left, or it was enough for now. */
static void ring_ready(void *ctx)
{
	struct agent_link *l = ctx;
	int r = 1;
	for (int i = 0; i < RING_BATCH && r > 0 && l->source.fd >= 0; i++)
		r = ring_step(l);
	if (l->source.fd < 0)
		return;
	int status = r < 0 ? r : flush(l);
	if (status == 0 && l->is_broken)
		status = -EPIPE;
	if (status < 0)
		give_up(l, status);
	else if (r > 0 || agent_ring_sleep(&l->ring, l->out.len > 0))
		loop_timer_set(l->loop, &l->again, 0);
}

static void bell_rang(void *ctx, uint32_t events)
{
	struct agent_link *l = ctx;
	char rings[64];
	ssize_t n = read(l->source.fd, rings, sizeof(rings));
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		/* What was sent before the end counts. */
		while (l->source.fd >= 0 && ring_step(l) > 0)
			continue;
		give_up(l, -EPIPE);
		return;
	}
	ring_ready(l);
}

/* As read(2). */
static ssize_t receive(struct agent_link *l)
{
	size_t n = 0;
	if (!l->takes_fds)
		return read(l->source.fd, l->in + l->in_len, sizeof(l->in) - l->in_len);
	/* One that nobody took. */
	cleanup_fd(&l->passed_fd);
	ssize_t got = fd_recv(l->source.fd, l->in + l->in_len, sizeof(l->in) - l->in_len, &l->passed_fd, 1, &n);
	if (got >= 0)
		return got;
	errno = (int)-got;
	return -1;
}

static void ready(void *ctx, uint32_t events)
{
	struct agent_link *l = ctx;
	int r = 0;
	if (events & EPOLLOUT || l->out.len)
		r = flush(l);
	if (r == 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		ssize_t n = receive(l);
		if (n > 0) {
			l->in_len += (size_t)n;
			r = take_frames(l);
		} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			r = -EPIPE;
		}
	}
	if (r == 0 && l->is_broken)
		r = -EPIPE;
	if (r < 0)
		give_up(l, r);
	else
		update(l);
}

int agent_link_open(struct agent_link *l, struct loop *loop, int fd)
{
	l->loop = loop;
	l->source = (struct loop_source){ .fd = fd, .ready = ready, .ctx = l };
	l->out = BUF_INIT(AGENT_QUEUE_MAX);
	l->passed_fd = -1;
	int r = fd_set_nonblock(fd, true);
	return r < 0 ? r : loop_watch(loop, &l->source, EPOLLIN);
}

int agent_link_open_ring(struct agent_link *l, struct loop *loop, int fd, void *memory, bool is_host)
{
	int r = agent_link_open(l, loop, fd);
	if (r < 0)
		return r;
	l->source.ready = bell_rang;
	l->has_ring = true;
	l->again = (struct loop_timer){ .fire = ring_ready, .ctx = l };
	agent_ring_init(&l->ring, memory, is_host);
	/* What is there already was not rung for. */
	loop_timer_set(loop, &l->again, 0);
	return 0;
}

void agent_link_close(struct agent_link *l)
{
	if (l->has_ring)
		loop_timer_stop(l->loop, &l->again);
	int fd = loop_remove(l->loop, &l->source);
	cleanup_fd(&fd);
	buf_free(&l->out);
	if (l->takes_fds)
		cleanup_fd(&l->passed_fd);
	l->in_len = 0;
}

void agent_link_send(struct agent_link *l, uint16_t type, uint32_t session, uint16_t stream, uint32_t arg, const void *payload,
		     size_t len)
{
	struct agent_frame f = { .len = (uint32_t)len, .type = type, .stream = stream, .session = session, .arg = arg };
	if (l->source.fd < 0 || l->is_broken)
		return;
	/* gone() is called from the loop alone: whoever sends is in the middle of
	 * something. */
	if (buf_append(&l->out, &f, sizeof(f)) < 0 || (len && buf_append(&l->out, payload, len) < 0) || flush(l) < 0)
		l->is_broken = true;
	if (l->has_ring && (l->out.len || l->is_broken))
		loop_timer_set(l->loop, &l->again, 0);
	update(l);
	if (l->is_broken && !l->has_ring)
		(void)!loop_watch(l->loop, &l->source, EPOLLIN | EPOLLOUT);
}

void agent_link_send_document(struct agent_link *l, uint32_t session, enum agent_document which, const void *data, size_t len)
{
	for (size_t done = 0; done < len;) {
		size_t n = len - done < AGENT_PAYLOAD_MAX ? len - done : AGENT_PAYLOAD_MAX;
		agent_link_send(l, AGENT_DOCUMENT, session, (uint16_t)which, 0, (const char *)data + done, n);
		done += n;
	}
}

void agent_link_send_error(struct agent_link *l, uint32_t session, const struct err *err)
{
	struct agent_error e;
	agent_error_pack(err, &e);
	agent_link_send(l, AGENT_ERROR, session, 0, 0, &e, sizeof(e));
}

int agent_write_frame(int fd, uint16_t type, uint32_t session, uint16_t stream, uint32_t arg, const void *payload, size_t len)
{
	char whole[sizeof(struct agent_frame) + AGENT_PAYLOAD_MAX];
	struct agent_frame f = { .len = (uint32_t)len, .type = type, .stream = stream, .session = session, .arg = arg };
	if (len > AGENT_PAYLOAD_MAX)
		return -EMSGSIZE;
	memcpy(whole, &f, sizeof(f));
	if (len)
		memcpy(whole + sizeof(f), payload, len);
	return fd_write_all(fd, whole, sizeof(f) + len);
}

int agent_read_frame(int fd, struct agent_frame *ret, void *payload)
{
	int r = fd_read_exact(fd, ret, sizeof(*ret));
	if (r == 0)
		r = agent_frame_check(ret);
	if (r == 0 && ret->len)
		r = fd_read_exact(fd, payload, ret->len);
	return r == -ENODATA ? -EPIPE : r;
}
