/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: what is to be said to the guest is not queued as packets but noted in
 * its connection (want), which then waits in the list of pending ones; one packet at a
 * time is made of that when the guest has given a buffer, and the connection goes to
 * the end of the list. So the memory is that of the table, and connections take turns.
 * Only refusals (RST) of packets that belong to no connection need a queue; when that is
 * full, no more packets are taken from the guest until it takes some of ours.
 *
 *   HANDSHAKE -> CONNECTING   the host said CONNECT
 *   CONNECTING -> OPEN        RESPONSE
 *   (none) -> OPEN            REQUEST to a port that somebody listens on
 *   any -> CLOSED             something went wrong, or both sides are done: an RST is due
 *   OPEN -> DRAINING          the guest is gone but its last bytes are not delivered
 */
#include "virtio_vsock.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_vsock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "chain_io.h"
#include "cleanup.h"
#include "clock.h"
#include "fd.h"
#include "str.h"
#include "vsock_conn.h"

enum { QUEUE_RX, QUEUE_TX, QUEUE_EVENT, QUEUES };

#define QUEUE_SIZE   128
#define IOV_N        (QUEUE_SIZE + GUEST_REGIONS_MAX)
#define REFUSALS_MAX 64
#define HEADER_BYTES ((uint32_t)sizeof(struct virtio_vsock_hdr))
/* The ports of connections that the host begins. */
#define FIRST_HOST_PORT   (UINT32_C(1) << 30)
#define HANDSHAKE_NS      INT64_C(5000000000)
#define SHUT_BOTH         (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)
#define CONNECT_LINE_MAX  32

struct refusal {
	uint32_t host_port, guest_port;
};

struct listener {
	uint32_t port;
	int fd;
};

struct virtio_vsock {
	struct virtio_device dev; /* first */
	struct virtio_vsock_config config;
	uint64_t guest_cid;
	struct vsock_table table;
	struct vsock_conn *pending, **pending_end;
	struct listener listeners[VSOCK_PORTS_MAX];
	unsigned n_listeners;
	struct loop_source entry;
	struct loop_timer timer;
	uint32_t next_host_port;
	struct refusal refusals[REFUSALS_MAX];
	unsigned refusals_start, refusals_n;
	bool is_tx_stalled;
};

/* ---- what is to be said ---- */

static void want(struct virtio_vsock *v, struct vsock_conn *c, unsigned what)
{
	c->want |= what;
	if (c->is_pending || c->want == 0)
		return;
	c->is_pending = true;
	c->next_pending = NULL;
	*v->pending_end = c;
	v->pending_end = &c->next_pending;
}

static struct vsock_conn *next_pending(struct virtio_vsock *v)
{
	struct vsock_conn *c = v->pending;
	v->pending = c->next_pending;
	if (!v->pending)
		v->pending_end = &v->pending;
	c->is_pending = false;
	return c;
}

static void refuse(struct virtio_vsock *v, uint32_t host_port, uint32_t guest_port)
{
	if (v->refusals_n == REFUSALS_MAX)
		return; /* packets are not taken when it is full: never the case */
	v->refusals[(v->refusals_start + v->refusals_n) % REFUSALS_MAX] = (struct refusal){ host_port, guest_port };
	v->refusals_n++;
}

/* The connection is over on the host's side, and the guest is to know. */
static void abort_conn(struct virtio_vsock *v, struct vsock_conn *c)
{
	vsock_conn_close(&v->table, c);
	c->state = VSOCK_CLOSED;
	c->want = 0;
	want(v, c, VSOCK_WANT_RST);
}

/* Nobody wants to hear of it any more. */
static void drop_conn(struct virtio_vsock *v, struct vsock_conn *c)
{
	if (c->is_pending) {
		/* It goes when its turn comes. */
		vsock_conn_close(&v->table, c);
		vsock_conn_forget(&v->table, c);
		c->state = VSOCK_DRAINING;
		c->want = 0;
		return;
	}
	vsock_conn_free(&v->table, c);
}

/* The host's side does not receive any more. */
static void host_shut(struct virtio_vsock *v, struct vsock_conn *c, uint8_t how)
{
	c->host_shut |= how;
	if (c->host_shut & VIRTIO_VSOCK_SHUTDOWN_RCV)
		c->out_len = 0;
	if (c->host_shut != c->host_shut_told)
		want(v, c, VSOCK_WANT_SHUTDOWN);
}

/* Bring a connection to where its buffers and flags say it should be. */
static void settle(struct virtio_vsock *v, struct vsock_conn *c)
{
	if (c->state == VSOCK_DRAINING) {
		if (!vsock_conn_flush(&v->table, c) || c->out_len == 0)
			drop_conn(v, c);
		else
			vsock_conn_watch(&v->table, c);
		return;
	}
	if (c->state != VSOCK_OPEN)
		return;
	if (!vsock_conn_flush(&v->table, c))
		host_shut(v, c, VIRTIO_VSOCK_SHUTDOWN_RCV);
	if (c->guest_shut == SHUT_BOTH && c->out_len == 0) {
		/* Everything is delivered; the RST says so (5.10.6.5). */
		abort_conn(v, c);
		return;
	}
	/* Half of the credit is free again and the guest does not know. */
	if (c->fwd_cnt - c->fwd_told >= VSOCK_BUFFER_BYTES / 2)
		want(v, c, VSOCK_WANT_CREDIT_UPDATE);
	vsock_conn_watch(&v->table, c);
}

/* ---- to the guest ---- */

static void header_for(struct virtio_vsock *v, struct vsock_conn *c, uint16_t op, uint32_t flags, uint32_t len,
		       struct virtio_vsock_hdr *h)
{
	*h = (struct virtio_vsock_hdr){
		.src_cid = htole64(VSOCK_HOST_CID),
		.dst_cid = htole64(v->guest_cid),
		.src_port = htole32(c->host_port),
		.dst_port = htole32(c->guest_port),
		.len = htole32(len),
		.type = htole16(VIRTIO_VSOCK_TYPE_STREAM),
		.op = htole16(op),
		.flags = htole32(flags),
		.buf_alloc = htole32(VSOCK_BUFFER_BYTES),
		.fwd_cnt = htole32(c->fwd_cnt),
	};
	c->fwd_told = c->fwd_cnt;
}

/* Bytes from the socket to the chain, behind the header: their number, 0 if there is
 * nothing to be sent for now. */
static uint32_t read_data(struct virtio_vsock *v, struct vsock_conn *c, const struct virtq_chain *chain)
{
	struct iovec iov[IOV_N];
	uint32_t credit = vsock_conn_credit(c);
	uint32_t room = chain->write_bytes - HEADER_BYTES;
	if (c->source.fd < 0 || (c->host_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) ||
	    (c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV)) {
		c->want &= ~(unsigned)VSOCK_WANT_DATA;
		return 0;
	}
	if (credit == 0) {
		/* The guest's next word about its credit brings us back. */
		c->want &= ~(unsigned)VSOCK_WANT_DATA;
		c->is_credit_asked = true;
		c->want |= VSOCK_WANT_CREDIT_REQUEST;
		return 0;
	}
	memcpy(iov, chain->iov + chain->n_read, chain->n_write * sizeof(iov[0]));
	struct msghdr msg = { .msg_iov = iov };
	msg.msg_iovlen = iov_slice(iov, chain->n_write, HEADER_BYTES, room < credit ? room : credit);
	ssize_t n = recvmsg(c->source.fd, &msg, MSG_DONTWAIT);
	if (n > 0) {
		c->tx_cnt += (uint32_t)n;
		return (uint32_t)n;
	}
	if (n < 0 && errno == EINTR)
		return 0; /* wanted still */
	c->want &= ~(unsigned)VSOCK_WANT_DATA;
	if (n == 0)
		host_shut(v, c, c->is_hung_up ? SHUT_BOTH : VIRTIO_VSOCK_SHUTDOWN_SEND);
	else if (errno != EAGAIN)
		host_shut(v, c, SHUT_BOTH);
	return 0;
}

/* Make one packet of what @c wants. Returns its bytes in the chain; 0: nothing. */
static uint32_t make_packet(struct virtio_vsock *v, struct vsock_conn *c, const struct virtq_chain *chain)
{
	static const struct {
		unsigned want;
		uint16_t op;
	} simple[] = {
		{ VSOCK_WANT_RST, VIRTIO_VSOCK_OP_RST },
		{ VSOCK_WANT_REQUEST, VIRTIO_VSOCK_OP_REQUEST },
		{ VSOCK_WANT_RESPONSE, VIRTIO_VSOCK_OP_RESPONSE },
	};
	struct virtio_vsock_hdr h;
	for (unsigned i = 0; i < ARRAY_LEN(simple); i++) {
		if (c->want & simple[i].want) {
			c->want &= ~simple[i].want;
			header_for(v, c, simple[i].op, 0, 0, &h);
			return chain_write(chain, 0, &h, HEADER_BYTES);
		}
	}
	if (c->want & VSOCK_WANT_DATA) {
		uint32_t n = read_data(v, c, chain);
		if (n > 0) {
			c->want &= ~(unsigned)VSOCK_WANT_CREDIT_UPDATE;
			header_for(v, c, VIRTIO_VSOCK_OP_RW, 0, n, &h);
			chain_write(chain, 0, &h, HEADER_BYTES);
			return HEADER_BYTES + n;
		}
	}
	if (c->want & VSOCK_WANT_SHUTDOWN) {
		c->want &= ~(unsigned)VSOCK_WANT_SHUTDOWN;
		c->host_shut_told = c->host_shut;
		header_for(v, c, VIRTIO_VSOCK_OP_SHUTDOWN, c->host_shut, 0, &h);
		return chain_write(chain, 0, &h, HEADER_BYTES);
	}
	if (c->want & (VSOCK_WANT_CREDIT_REQUEST | VSOCK_WANT_CREDIT_UPDATE)) {
		bool asks = c->want & VSOCK_WANT_CREDIT_REQUEST;
		c->want &= ~(unsigned)(VSOCK_WANT_CREDIT_UPDATE | (asks ? VSOCK_WANT_CREDIT_REQUEST : 0));
		header_for(v, c, asks ? VIRTIO_VSOCK_OP_CREDIT_REQUEST : VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, 0, &h);
		return chain_write(chain, 0, &h, HEADER_BYTES);
	}
	return 0;
}

static uint32_t make_refusal(struct virtio_vsock *v, const struct virtq_chain *chain)
{
	const struct refusal *r = &v->refusals[v->refusals_start];
	struct vsock_conn nobody = { .host_port = r->host_port, .guest_port = r->guest_port };
	struct virtio_vsock_hdr h;
	header_for(v, &nobody, VIRTIO_VSOCK_OP_RST, 0, 0, &h);
	v->refusals_start = (v->refusals_start + 1) % REFUSALS_MAX;
	v->refusals_n--;
	return chain_write(chain, 0, &h, HEADER_BYTES);
}

/* Fill one chain; 0: nobody has anything to say. */
static uint32_t fill_chain(struct virtio_vsock *v, const struct virtq_chain *chain)
{
	if (v->refusals_n > 0)
		return make_refusal(v, chain);
	/* Each has one turn: one whose read was interrupted waits for the next. */
	for (unsigned turns = 0; v->pending && turns < VSOCK_CONNS; turns++) {
		struct vsock_conn *c = next_pending(v);
		uint32_t n = make_packet(v, c, chain);
		if (c->want != 0)
			want(v, c, 0);
		else if (c->state == VSOCK_CLOSED || (c->state == VSOCK_DRAINING && c->source.fd < 0))
			vsock_conn_free(&v->table, c);
		else
			settle(v, c);
		if (n > 0)
			return n;
	}
	return 0;
}

/* True: there is more to say and more room than the budget allowed. */
static bool serve_rx(struct virtio_vsock *v)
{
	struct iovec iov[IOV_N];
	struct virtq_chain chain = { .iov = iov, .iov_max = IOV_N };
	struct virtq *q = &v->dev.queues[QUEUE_RX];
	unsigned n = 0;
	virtq_disable_kicks(q);
	for (; n < VIRTIO_BUDGET && (v->refusals_n > 0 || v->pending); n++) {
		if (virtio_queue_pop(&v->dev, QUEUE_RX, &chain) != 1)
			break;
		/* Room for a header and no data would never be of use. */
		if (chain.write_bytes <= HEADER_BYTES) {
			virtio_device_fail(&v->dev);
			return false;
		}
		uint32_t written = fill_chain(v, &chain);
		if (written == 0) {
			virtq_unpop(q, 1);
			break;
		}
		virtq_push(q, chain.head, written);
	}
	virtio_queue_flush(&v->dev, QUEUE_RX);
	if (!virtio_device_is_live(&v->dev))
		return false;
	if (v->is_tx_stalled && v->refusals_n < REFUSALS_MAX / 2) {
		v->is_tx_stalled = false;
		virtio_queue_kick(&v->dev, QUEUE_TX);
	}
	/* New buffers are of interest only to those who wait for them. */
	return (v->refusals_n > 0 || v->pending) && virtq_enable_kicks(q);
}

/* After anything that may have given us something to say. */
static void speak(struct virtio_vsock *v)
{
	if (virtio_device_is_live(&v->dev) && serve_rx(v))
		virtio_queue_kick(&v->dev, QUEUE_RX);
}

/* ---- from the guest ---- */

/* A new end of a socket pair for whoever listens on @port; -1: nobody does. */
static int connect_listener(struct virtio_vsock *v, uint32_t port, uint32_t guest_port)
{
	for (unsigned i = 0; i < v->n_listeners; i++) {
		if (v->listeners[i].port != port)
			continue;
		int pair[2];
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
			return -1;
		CLEANUP_FD int ours = pair[0], theirs = pair[1];
		struct vsock_accept accept = { .port = port, .guest_port = guest_port };
		struct iovec iov = { .iov_base = &accept, .iov_len = sizeof(accept) };
		union {
			char bytes[CMSG_SPACE(sizeof(int))];
			struct cmsghdr align;
		} control = { 0 };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
				      .msg_controllen = sizeof(control.bytes) };
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &theirs, sizeof(int));
		/* Not fd_send(): it must not wait. */
		if (sendmsg(v->listeners[i].fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(accept))
			return -1;
		return TAKE_FD(ours);
	}
	return -1;
}

static void conn_ready(void *ctx, uint32_t events);

static struct vsock_conn *new_conn(struct virtio_vsock *v, enum vsock_state state, int fd, uint32_t host_port,
				   uint32_t guest_port, bool is_ours)
{
	struct vsock_conn *c = vsock_conn_new(&v->table, state, fd, host_port, guest_port);
	if (!c)
		return NULL;
	c->device = v;
	c->is_ours = is_ours;
	v->table.n_guest += !is_ours;
	c->source.ready = conn_ready;
	c->source.ctx = c;
	return c;
}

static void guest_connects(struct virtio_vsock *v, const struct virtio_vsock_hdr *h)
{
	uint32_t port = le32toh(h->dst_port), guest_port = le32toh(h->src_port);
	int fd = v->table.n_guest < VSOCK_CONNS - VSOCK_HOST_CONNS ? connect_listener(v, port, guest_port) : -1;
	struct vsock_conn *c = fd < 0 ? NULL : new_conn(v, VSOCK_OPEN, fd, port, guest_port, false);
	if (!c) {
		refuse(v, port, guest_port);
		return;
	}
	c->peer_buf_alloc = le32toh(h->buf_alloc);
	c->peer_fwd_cnt = le32toh(h->fwd_cnt);
	want(v, c, VSOCK_WANT_RESPONSE);
	vsock_conn_watch(&v->table, c);
}

static void guest_accepts(struct virtio_vsock *v, struct vsock_conn *c)
{
	c->state = VSOCK_OPEN;
	if (c->is_handshake_answered) {
		char line[32];
		int n = snprintf(line, sizeof(line), "OK %u\n", c->host_port);
		/* The first thing in an empty socket: it fits. */
		if (send(c->source.fd, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) != n) {
			abort_conn(v, c);
			return;
		}
	}
	want(v, c, VSOCK_WANT_DATA); /* it may have spoken already */
}

/* The guest has said RST: it knows the connection no more. */
static void guest_resets(struct virtio_vsock *v, struct vsock_conn *c)
{
	if (c->state == VSOCK_OPEN && c->out_len > 0 && c->source.fd >= 0) {
		/* It has closed properly, but could not wait for a slow reader. */
		vsock_conn_forget(&v->table, c);
		c->state = VSOCK_DRAINING;
		c->want = 0;
		c->guest_shut = SHUT_BOTH;
		settle(v, c);
		return;
	}
	drop_conn(v, c);
}

static void guest_sends(struct virtio_vsock *v, struct vsock_conn *c, const struct virtq_chain *chain, uint32_t len)
{
	struct iovec iov[IOV_N];
	memcpy(iov, chain->iov, chain->n_read * sizeof(iov[0]));
	unsigned n = iov_slice(iov, chain->n_read, HEADER_BYTES, len);
	if (c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) {
		abort_conn(v, c);
		return;
	}
	if (c->host_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) {
		c->fwd_cnt += len; /* nobody is there for it */
		return;
	}
	int r = vsock_conn_write(&v->table, c, iov, n);
	if (r == -ENOBUFS)
		abort_conn(v, c); /* more than its credit */
	else if (r < 0)
		host_shut(v, c, VIRTIO_VSOCK_SHUTDOWN_RCV);
}

/* A packet for a connection there is. */
static void packet_for(struct virtio_vsock *v, struct vsock_conn *c, const struct virtio_vsock_hdr *h,
		       const struct virtq_chain *chain)
{
	uint16_t op = le16toh(h->op);
	if (c->state == VSOCK_CLOSED) {
		if (op == VIRTIO_VSOCK_OP_RST)
			drop_conn(v, c);
		return; /* the RST is on its way */
	}
	c->peer_buf_alloc = le32toh(h->buf_alloc);
	c->peer_fwd_cnt = le32toh(h->fwd_cnt);
	if (op == VIRTIO_VSOCK_OP_RST) {
		guest_resets(v, c);
		return;
	}
	if (c->state == VSOCK_CONNECTING) {
		if (op == VIRTIO_VSOCK_OP_RESPONSE)
			guest_accepts(v, c);
		else
			abort_conn(v, c);
		if (c->state == VSOCK_OPEN)
			settle(v, c);
		return;
	}
	switch (op) {
	case VIRTIO_VSOCK_OP_RW:
		guest_sends(v, c, chain, le32toh(h->len));
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		c->guest_shut |= le32toh(h->flags) & SHUT_BOTH;
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		want(v, c, VSOCK_WANT_CREDIT_UPDATE);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		break;
	default:
		abort_conn(v, c); /* REQUEST or RESPONSE again, or none at all */
		return;
	}
	if (c->state != VSOCK_OPEN)
		return;
	if (c->is_credit_asked && vsock_conn_credit(c) > 0) {
		c->is_credit_asked = false;
		want(v, c, VSOCK_WANT_DATA);
	}
	settle(v, c);
}

/* Negative: the guest lied about what is in the chain. */
static int64_t packet(struct virtio_device *dev, struct virtq_chain *chain)
{
	struct virtio_vsock *v = (struct virtio_vsock *)dev;
	struct virtio_vsock_hdr h;
	if (chain_read(chain, 0, &h, HEADER_BYTES) != HEADER_BYTES)
		return -EPROTO;
	if (le32toh(h.len) > chain->read_bytes - HEADER_BYTES)
		return -EPROTO;
	/* For others, or by others: not delivered (5.10.6.3). */
	if (le64toh(h.dst_cid) != VSOCK_HOST_CID || le64toh(h.src_cid) != v->guest_cid)
		return 0;
	uint32_t host_port = le32toh(h.dst_port), guest_port = le32toh(h.src_port);
	bool is_stream = le16toh(h.type) == VIRTIO_VSOCK_TYPE_STREAM;
	struct vsock_conn *c = is_stream ? vsock_conn_find(&v->table, host_port, guest_port) : NULL;
	if (c)
		packet_for(v, c, &h, chain);
	else if (is_stream && le16toh(h.op) == VIRTIO_VSOCK_OP_REQUEST)
		guest_connects(v, &h);
	else if (le16toh(h.op) != VIRTIO_VSOCK_OP_RST)
		refuse(v, host_port, guest_port);
	return 0;
}

static bool serve_tx(struct virtio_vsock *v)
{
	struct iovec iov[IOV_N];
	struct virtq_chain chain = { .iov = iov, .iov_max = IOV_N };
	struct virtq *q = &v->dev.queues[QUEUE_TX];
	virtq_disable_kicks(q);
	for (unsigned n = 0; n < VIRTIO_BUDGET; n++) {
		/* Each packet makes at most one refusal. */
		v->is_tx_stalled = v->refusals_n == REFUSALS_MAX;
		if (v->is_tx_stalled || virtio_queue_pop(&v->dev, QUEUE_TX, &chain) != 1)
			break;
		if (packet(&v->dev, &chain) < 0) {
			virtio_device_fail(&v->dev);
			return false;
		}
		virtq_push(q, chain.head, 0);
	}
	virtio_queue_flush(&v->dev, QUEUE_TX);
	speak(v);
	if (!virtio_device_is_live(&v->dev) || v->is_tx_stalled)
		return false;
	return virtq_enable_kicks(q);
}

/* ---- the host's side ---- */

static uint32_t new_host_port(struct virtio_vsock *v, uint32_t guest_port)
{
	do {
		v->next_host_port = v->next_host_port < FIRST_HOST_PORT * 2 ? v->next_host_port + 1 : FIRST_HOST_PORT;
	} while (vsock_conn_find(&v->table, v->next_host_port, guest_port));
	return v->next_host_port;
}

static void start_timer(struct virtio_vsock *v)
{
	if (!v->timer.is_set)
		loop_timer_set(v->dev.loop, &v->timer, INT64_C(1000000000));
}

static void begin_connect(struct virtio_vsock *v, struct vsock_conn *c, uint32_t port)
{
	c->state = VSOCK_CONNECTING;
	c->host_port = new_host_port(v, port);
	vsock_conn_set_guest_port(&v->table, c, port);
	c->deadline_ns = clock_mono_ns() + HANDSHAKE_NS;
	start_timer(v);
	want(v, c, VSOCK_WANT_REQUEST);
	vsock_conn_watch(&v->table, c);
}

/* "CONNECT 1234\n": 1 and the port, 0 if it is not complete yet, -EPROTO. Nothing
 * behind the line is taken from the socket. */
static int read_handshake(int fd, uint32_t *ret_port)
{
	char line[CONNECT_LINE_MAX + 1];
	uint64_t port;
	ssize_t n = recv(fd, line, CONNECT_LINE_MAX, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -EPROTO;
	char *end = memchr(line, '\n', (size_t)n);
	if (!end)
		return n < CONNECT_LINE_MAX ? 0 : -EPROTO;
	n = end + 1 - line;
	if (recv(fd, line, (size_t)n, MSG_DONTWAIT) != n)
		return -EPROTO;
	line[n - 1] = 0;
	if (!str_starts_with(line, "CONNECT ") || str_parse_u64_max(line + 8, UINT32_MAX, &port) < 0)
		return -EPROTO;
	*ret_port = (uint32_t)port;
	return 1;
}

static void handshake_ready(struct virtio_vsock *v, struct vsock_conn *c, uint32_t events)
{
	uint32_t port;
	int r = read_handshake(c->source.fd, &port);
	if (r < 0 || (r == 0 && (events & (EPOLLHUP | EPOLLERR)))) {
		drop_conn(v, c);
	} else if (r > 0) {
		c->is_handshake_answered = true;
		begin_connect(v, c, port);
	}
}

static void conn_ready(void *ctx, uint32_t events)
{
	struct vsock_conn *c = ctx;
	struct virtio_vsock *v = c->device;
	if (c->state == VSOCK_HANDSHAKE) {
		handshake_ready(v, c, events);
		speak(v);
		return;
	}
	if (events & (EPOLLHUP | EPOLLERR))
		c->is_hung_up = true;
	if (c->state == VSOCK_OPEN) {
		if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
			if (c->host_shut & VIRTIO_VSOCK_SHUTDOWN_SEND)
				host_shut(v, c, c->is_hung_up ? SHUT_BOTH : 0);
			else
				want(v, c, VSOCK_WANT_DATA);
		}
	}
	settle(v, c);
	speak(v);
}

static void entry_ready(void *ctx, uint32_t events)
{
	struct virtio_vsock *v = ctx;
	/* A few at a time; more wait in the backlog. */
	for (unsigned n = 0; n < 8; n++) {
		int fd = accept4(v->entry.fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			return;
		struct vsock_conn *c = new_conn(v, VSOCK_HANDSHAKE, fd, 0, 0, true);
		if (!c)
			continue;
		c->deadline_ns = clock_mono_ns() + HANDSHAKE_NS;
		start_timer(v);
		vsock_conn_watch(&v->table, c);
	}
}

/* Once a second while somebody is expected to answer. */
static void timer_fired(void *ctx)
{
	struct virtio_vsock *v = ctx;
	int64_t now_ns = clock_mono_ns();
	bool goes_on = false;
	for (unsigned i = 0; i < VSOCK_CONNS; i++) {
		struct vsock_conn *c = &v->table.conns[i];
		if (c->state != VSOCK_HANDSHAKE && c->state != VSOCK_CONNECTING)
			continue;
		if (c->deadline_ns > now_ns)
			goes_on = true;
		else if (c->state == VSOCK_CONNECTING)
			abort_conn(v, c);
		else
			drop_conn(v, c);
	}
	if (goes_on)
		start_timer(v);
	speak(v);
}

/* ---- the device ---- */

static bool kicked(struct virtio_device *dev, unsigned index)
{
	struct virtio_vsock *v = (struct virtio_vsock *)dev;
	if (index == QUEUE_RX)
		return serve_rx(v);
	if (index == QUEUE_TX)
		return serve_tx(v);
	return false; /* buffers for events, of which there are none without migration */
}

static int activate(struct virtio_device *dev)
{
	struct virtio_vsock *v = (struct virtio_vsock *)dev;
	return v->entry.fd >= 0 ? loop_watch(dev->loop, &v->entry, EPOLLIN) : 0;
}

static void reset(struct virtio_device *dev)
{
	struct virtio_vsock *v = (struct virtio_vsock *)dev;
	virtio_unwatch(dev, &v->entry);
	loop_timer_stop(dev->loop, &v->timer);
	while (v->pending)
		next_pending(v);
	for (unsigned i = 0; i < VSOCK_CONNS; i++) {
		if (v->table.conns[i].state != VSOCK_FREE)
			vsock_conn_free(&v->table, &v->table.conns[i]);
	}
	v->refusals_n = 0;
	v->is_tx_stalled = false;
}

static void vsock_free(struct virtio_device *dev)
{
	struct virtio_vsock *v = (struct virtio_vsock *)dev;
	int fd = loop_remove(dev->loop, &v->entry);
	cleanup_fd(&fd);
	for (unsigned i = 0; i < v->n_listeners; i++)
		cleanup_fd(&v->listeners[i].fd);
	vsock_table_done(&v->table);
	virtio_device_done(dev);
	free(v);
}

static const struct virtio_ops ops = { .activate = activate, .reset = reset, .kicked = kicked, .free = vsock_free };

int virtio_vsock_new(uint64_t guest_cid, const struct guest_memory *mem, struct loop *loop, struct virtio_device **ret)
{
	static const uint16_t sizes[QUEUES] = { QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE };
	CLEANUP_FREE struct virtio_vsock *v = calloc(1, sizeof(*v));
	int r = v ? vsock_table_init(&v->table, loop) : -ENOMEM;
	if (r < 0)
		return r;
	r = virtio_device_init(&v->dev, &ops, VIRTIO_ID_VSOCK, 0, sizes, QUEUES, mem, loop);
	if (r < 0) {
		vsock_table_done(&v->table);
		return r;
	}
	v->guest_cid = guest_cid;
	v->config.guest_cid = htole64(guest_cid);
	v->dev.config = (uint8_t *)&v->config;
	v->dev.config_len = sizeof(v->config);
	v->pending_end = &v->pending;
	v->next_host_port = FIRST_HOST_PORT;
	v->entry = (struct loop_source){ .fd = -1, .ready = entry_ready, .ctx = v };
	v->timer = (struct loop_timer){ .fire = timer_fired, .ctx = v };
	*ret = &TAKE_PTR(v)->dev;
	return 0;
}

int virtio_vsock_listen(struct virtio_device *dev, uint32_t port, int fd)
{
	struct virtio_vsock *v = (struct virtio_vsock *)dev;
	CLEANUP_FD int owned = fd;
	for (unsigned i = 0; i < v->n_listeners; i++) {
		if (v->listeners[i].port == port)
			return -EEXIST;
	}
	if (v->n_listeners == VSOCK_PORTS_MAX)
		return -ENOSPC;
	v->listeners[v->n_listeners++] = (struct listener){ .port = port, .fd = TAKE_FD(owned) };
	return 0;
}

int virtio_vsock_set_entry(struct virtio_device *dev, int fd)
{
	struct virtio_vsock *v = (struct virtio_vsock *)dev;
	CLEANUP_FD int owned = fd;
	if (v->entry.fd >= 0)
		return -EEXIST;
	int r = fd_set_nonblock(owned, true);
	if (r < 0)
		return r;
	v->entry.fd = TAKE_FD(owned);
	return virtio_device_is_live(dev) ? loop_watch(dev->loop, &v->entry, EPOLLIN) : 0;
}

int virtio_vsock_connect(struct virtio_device *dev, uint32_t port, int fd)
{
	struct virtio_vsock *v = (struct virtio_vsock *)dev;
	if (!virtio_device_is_live(dev)) {
		cleanup_fd(&fd);
		return -ENOTCONN;
	}
	struct vsock_conn *c = new_conn(v, VSOCK_HANDSHAKE, fd, 0, 0, true);
	if (!c)
		return -ENOSPC;
	begin_connect(v, c, port);
	speak(v);
	return 0;
}

unsigned virtio_vsock_connections(const struct virtio_device *dev)
{
	return ((const struct virtio_vsock *)dev)->table.n;
}
