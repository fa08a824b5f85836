/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock_device.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "chain_io.h"
#include "cleanup.h"

/* ---- what is to be said ---- */

void vsock_want(struct virtio_vsock *v, struct vsock_conn *c, unsigned what)
{
	c->want |= what;
	if (c->is_pending || c->want == 0)
		return;
	c->is_pending = true;
	c->next_pending = NULL;
	*v->pending_end = c;
	v->pending_end = &c->next_pending;
}

struct vsock_conn *vsock_next_pending(struct virtio_vsock *v)
{
	struct vsock_conn *c = v->pending;
	v->pending = c->next_pending;
	if (!v->pending)
		v->pending_end = &v->pending;
	c->is_pending = false;
	return c;
}

void vsock_refuse(struct virtio_vsock *v, uint32_t host_port, uint32_t guest_port)
{
	if (v->refusals_n == VSOCK_REFUSALS)
		return; /* packets are not taken when it is full: never the case */
	v->refusals[(v->refusals_start + v->refusals_n) % VSOCK_REFUSALS] = (struct vsock_refusal){ host_port, guest_port };
	v->refusals_n++;
}

void vsock_abort(struct virtio_vsock *v, struct vsock_conn *c)
{
	vsock_conn_close(&v->table, c);
	c->state = VSOCK_CLOSED;
	c->want = 0;
	vsock_want(v, c, VSOCK_WANT_RST);
}

void vsock_drop(struct virtio_vsock *v, struct vsock_conn *c)
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

void vsock_host_shut(struct virtio_vsock *v, struct vsock_conn *c, uint8_t how)
{
	c->host_shut |= how;
	if (c->host_shut & VIRTIO_VSOCK_SHUTDOWN_RCV)
		c->out_len = 0;
	if (c->host_shut != c->host_shut_told)
		vsock_want(v, c, VSOCK_WANT_SHUTDOWN);
}

void vsock_settle(struct virtio_vsock *v, struct vsock_conn *c)
{
	if (c->state == VSOCK_DRAINING) {
		if (!vsock_conn_flush(&v->table, c) || c->out_len == 0)
			vsock_drop(v, c);
		else
			vsock_conn_watch(&v->table, c);
		return;
	}
	if (c->state != VSOCK_OPEN)
		return;
	if (!vsock_conn_flush(&v->table, c))
		vsock_host_shut(v, c, VIRTIO_VSOCK_SHUTDOWN_RCV);
	if (c->guest_shut == VSOCK_SHUT_BOTH && c->out_len == 0) {
		/* Everything is delivered; the RST says so (5.10.6.5). */
		vsock_abort(v, c);
		return;
	}
	/* Half of the credit is free again and the guest does not know. */
	if (c->fwd_cnt - c->fwd_told >= VSOCK_BUFFER_BYTES / 2)
		vsock_want(v, c, VSOCK_WANT_CREDIT_UPDATE);
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
	struct iovec iov[VSOCK_IOV_N];
	uint32_t credit = vsock_conn_credit(c);
	uint32_t room = chain->write_bytes - VSOCK_HEADER;
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
	msg.msg_iovlen = iov_slice(iov, chain->n_write, VSOCK_HEADER, room < credit ? room : credit);
	ssize_t n = recvmsg(c->source.fd, &msg, MSG_DONTWAIT);
	if (n > 0) {
		c->tx_cnt += (uint32_t)n;
		return (uint32_t)n;
	}
	if (n < 0 && errno == EINTR)
		return 0; /* wanted still */
	c->want &= ~(unsigned)VSOCK_WANT_DATA;
	if (n == 0)
		vsock_host_shut(v, c, c->is_hung_up ? VSOCK_SHUT_BOTH : VIRTIO_VSOCK_SHUTDOWN_SEND);
	else if (errno != EAGAIN)
		vsock_host_shut(v, c, VSOCK_SHUT_BOTH);
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
			return chain_write(chain, 0, &h, VSOCK_HEADER);
		}
	}
	if (c->want & VSOCK_WANT_DATA) {
		uint32_t n = read_data(v, c, chain);
		if (n > 0) {
			c->want &= ~(unsigned)VSOCK_WANT_CREDIT_UPDATE;
			header_for(v, c, VIRTIO_VSOCK_OP_RW, 0, n, &h);
			chain_write(chain, 0, &h, VSOCK_HEADER);
			return VSOCK_HEADER + n;
		}
	}
	if (c->want & VSOCK_WANT_SHUTDOWN) {
		c->want &= ~(unsigned)VSOCK_WANT_SHUTDOWN;
		c->host_shut_told = c->host_shut;
		header_for(v, c, VIRTIO_VSOCK_OP_SHUTDOWN, c->host_shut, 0, &h);
		return chain_write(chain, 0, &h, VSOCK_HEADER);
	}
	if (c->want & (VSOCK_WANT_CREDIT_REQUEST | VSOCK_WANT_CREDIT_UPDATE)) {
		bool asks = c->want & VSOCK_WANT_CREDIT_REQUEST;
		c->want &= ~(unsigned)(VSOCK_WANT_CREDIT_UPDATE | (asks ? VSOCK_WANT_CREDIT_REQUEST : 0));
		header_for(v, c, asks ? VIRTIO_VSOCK_OP_CREDIT_REQUEST : VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, 0, &h);
		return chain_write(chain, 0, &h, VSOCK_HEADER);
	}
	return 0;
}

static uint32_t make_refusal(struct virtio_vsock *v, const struct virtq_chain *chain)
{
	const struct vsock_refusal *r = &v->refusals[v->refusals_start];
	struct vsock_conn nobody = { .host_port = r->host_port, .guest_port = r->guest_port };
	struct virtio_vsock_hdr h;
	header_for(v, &nobody, VIRTIO_VSOCK_OP_RST, 0, 0, &h);
	v->refusals_start = (v->refusals_start + 1) % VSOCK_REFUSALS;
	v->refusals_n--;
	return chain_write(chain, 0, &h, VSOCK_HEADER);
}

/* Fill one chain; 0: nobody has anything to say. */
static uint32_t fill_chain(struct virtio_vsock *v, const struct virtq_chain *chain)
{
	if (v->refusals_n > 0)
		return make_refusal(v, chain);
	/* Each has one turn: one whose read was interrupted waits for the next. */
	for (unsigned turns = 0; v->pending && turns < VSOCK_CONNS; turns++) {
		struct vsock_conn *c = vsock_next_pending(v);
		uint32_t n = make_packet(v, c, chain);
		if (c->want != 0)
			vsock_want(v, c, 0);
		else if (c->state == VSOCK_CLOSED || (c->state == VSOCK_DRAINING && c->source.fd < 0))
			vsock_conn_free(&v->table, c);
		else
			vsock_settle(v, c);
		if (n > 0)
			return n;
	}
	return 0;
}

bool vsock_serve_rx(struct virtio_vsock *v)
{
	struct iovec iov[VSOCK_IOV_N];
	struct virtq_chain chain = { .iov = iov, .iov_max = VSOCK_IOV_N };
	struct virtq *q = &v->dev.queues[VSOCK_RX];
	unsigned n = 0;
	virtq_disable_kicks(q);
	for (; n < VIRTIO_BUDGET && (v->refusals_n > 0 || v->pending); n++) {
		if (virtio_queue_pop(&v->dev, VSOCK_RX, &chain) != 1)
			break;
		/* Room for a header and no data would never be of use. */
		if (chain.write_bytes <= VSOCK_HEADER) {
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
	virtio_queue_flush(&v->dev, VSOCK_RX);
	if (!virtio_device_is_live(&v->dev))
		return false;
	if (v->is_tx_stalled && v->refusals_n < VSOCK_REFUSALS / 2) {
		v->is_tx_stalled = false;
		virtio_queue_kick(&v->dev, VSOCK_TX);
	}
	/* New buffers are of interest only to those who wait for them. */
	return (v->refusals_n > 0 || v->pending) && virtq_enable_kicks(q);
}

void vsock_speak(struct virtio_vsock *v)
{
	if (virtio_device_is_live(&v->dev) && vsock_serve_rx(v))
		virtio_queue_kick(&v->dev, VSOCK_RX);
}
