/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock_conn.h"

#include <errno.h>
#include <linux/virtio_vsock.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "cleanup.h"

int vsock_table_init(struct vsock_table *t, struct loop *loop)
{
	size_t bytes = (size_t)VSOCK_CONNS * VSOCK_BUFFER_BYTES;
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	t->loop = loop;
	t->buffers = p;
	for (unsigned i = VSOCK_CONNS; i-- > 0;) {
		t->conns[i].source.fd = -1;
		t->conns[i].next = t->free;
		t->free = &t->conns[i];
	}
	return 0;
}

void vsock_table_done(struct vsock_table *t)
{
	if (t->buffers)
		munmap(t->buffers, (size_t)VSOCK_CONNS * VSOCK_BUFFER_BYTES);
	t->buffers = NULL;
}

static uint8_t *buffer_of(struct vsock_table *t, const struct vsock_conn *c)
{
	return t->buffers + (size_t)(c - t->conns) * VSOCK_BUFFER_BYTES;
}

static struct vsock_conn **bucket(struct vsock_table *t, uint32_t host_port, uint32_t guest_port)
{
	return &t->hash[(host_port * 31 + guest_port) % VSOCK_HASH];
}

struct vsock_conn *vsock_conn_new(struct vsock_table *t, enum vsock_state state, int fd, uint32_t host_port,
				  uint32_t guest_port)
{
	struct vsock_conn *c = t->free;
	if (!c) {
		cleanup_fd(&fd);
		return NULL;
	}
	t->free = c->next;
	t->n++;
	*c = (struct vsock_conn){ .state = state, .host_port = host_port, .source.fd = fd };
	vsock_conn_set_guest_port(t, c, guest_port);
	return c;
}

void vsock_conn_set_guest_port(struct vsock_table *t, struct vsock_conn *c, uint32_t guest_port)
{
	vsock_conn_forget(t, c);
	c->guest_port = guest_port;
	if (c->state == VSOCK_HANDSHAKE)
		return;
	struct vsock_conn **at = bucket(t, c->host_port, guest_port);
	c->next = *at;
	*at = c;
}

void vsock_conn_forget(struct vsock_table *t, struct vsock_conn *c)
{
	for (struct vsock_conn **at = bucket(t, c->host_port, c->guest_port); *at; at = &(*at)->next) {
		if (*at == c) {
			*at = c->next;
			c->next = NULL;
			return;
		}
	}
}

void vsock_conn_close(struct vsock_table *t, struct vsock_conn *c)
{
	int fd = loop_remove(t->loop, &c->source);
	cleanup_fd(&fd);
	c->out_len = 0;
}

void vsock_conn_free(struct vsock_table *t, struct vsock_conn *c)
{
	vsock_conn_close(t, c);
	vsock_conn_forget(t, c);
	/* Its memory goes back: a burst of connections leaves nothing behind. */
	madvise(buffer_of(t, c), VSOCK_BUFFER_BYTES, MADV_DONTNEED);
	t->n--;
	t->n_guest -= !c->is_ours;
	c->state = VSOCK_FREE;
	c->next = t->free;
	t->free = c;
}

struct vsock_conn *vsock_conn_find(struct vsock_table *t, uint32_t host_port, uint32_t guest_port)
{
	for (struct vsock_conn *c = *bucket(t, host_port, guest_port); c; c = c->next) {
		if (c->host_port == host_port && c->guest_port == guest_port)
			return c;
	}
	return NULL;
}

uint32_t vsock_conn_credit(const struct vsock_conn *c)
{
	/* Counters wrap; a guest that claims to have taken more than was sent gets
	 * nothing. */
	uint32_t on_the_way = c->tx_cnt - c->peer_fwd_cnt;
	return on_the_way < c->peer_buf_alloc ? c->peer_buf_alloc - on_the_way : 0;
}

/* Bytes taken; 0 if it is full; -EPIPE. */
static ssize_t send_some(struct vsock_conn *c, const struct iovec *iov, size_t n)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = n };
	if (c->source.fd < 0 || c->is_write_shut)
		return -EPIPE;
	for (;;) {
		ssize_t sent = sendmsg(c->source.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent >= 0)
			return sent;
		if (errno == EAGAIN || errno == ENOBUFS)
			return 0;
		if (errno != EINTR)
			return -EPIPE;
	}
}

int vsock_conn_write(struct vsock_table *t, struct vsock_conn *c, const struct iovec *iov, unsigned n)
{
	uint8_t *buffer = buffer_of(t, c);
	uint64_t len = 0;
	ssize_t sent = 0;
	for (unsigned i = 0; i < n; i++)
		len += iov[i].iov_len;
	if (len > VSOCK_BUFFER_BYTES - c->out_len)
		return -ENOBUFS;
	if (c->out_len == 0)
		sent = send_some(c, iov, n);
	if (sent < 0)
		return (int)sent;
	c->fwd_cnt += (uint32_t)sent;
	uint64_t skip = (uint64_t)sent;
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *from = iov[i].iov_base;
		size_t here = iov[i].iov_len;
		if (skip >= here) {
			skip -= here;
			continue;
		}
		from += skip;
		here -= skip;
		skip = 0;
		while (here > 0) {
			uint32_t end = (c->out_start + c->out_len) % VSOCK_BUFFER_BYTES;
			size_t part = VSOCK_BUFFER_BYTES - end < here ? VSOCK_BUFFER_BYTES - end : here;
			memcpy(buffer + end, from, part);
			c->out_len += (uint32_t)part;
			from += part;
			here -= part;
		}
	}
	return 0;
}

bool vsock_conn_flush(struct vsock_table *t, struct vsock_conn *c)
{
	while (c->out_len > 0) {
		uint32_t part = VSOCK_BUFFER_BYTES - c->out_start;
		if (part > c->out_len)
			part = c->out_len;
		struct iovec iov = { .iov_base = buffer_of(t, c) + c->out_start, .iov_len = part };
		ssize_t sent = send_some(c, &iov, 1);
		if (sent < 0)
			return false;
		if (sent == 0)
			return true;
		c->out_start = (c->out_start + (uint32_t)sent) % VSOCK_BUFFER_BYTES;
		c->out_len -= (uint32_t)sent;
		c->fwd_cnt += (uint32_t)sent;
	}
	if ((c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) && !c->is_write_shut && c->source.fd >= 0) {
		c->is_write_shut = true;
		shutdown(c->source.fd, SHUT_WR);
	}
	return true;
}

void vsock_conn_watch(struct vsock_table *t, struct vsock_conn *c)
{
	uint32_t events = 0;
	if (c->source.fd < 0)
		return;
	if (c->out_len > 0)
		events |= EPOLLOUT;
	if (c->state == VSOCK_HANDSHAKE)
		events |= EPOLLIN | (uint32_t)EPOLLET; /* half a line stays in the socket */
	if (c->state == VSOCK_OPEN && !(c->want & VSOCK_WANT_DATA)) {
		bool sends = !(c->host_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) &&
			     !(c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) && !c->is_credit_asked;
		if (sends)
			events |= EPOLLIN;
		else if (!c->is_hung_up)
			/* Only for the hang-up, which no mask hides; edges, because it stays. */
			events |= (uint32_t)EPOLLET;
	}
	/* A socket that cannot be watched is one that is over. */
	if (loop_watch(t->loop, &c->source, events) < 0)
		vsock_conn_close(t, c);
}
