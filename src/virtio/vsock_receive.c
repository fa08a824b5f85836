/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock_device.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "chain_io.h"
#include "vsock_host.h"

/* A new connection to whoever listens on @port; -1: nobody does. */
static int connect_listener(struct virtio_vsock *v, uint32_t port, uint32_t guest_port)
{
	for (unsigned i = 0; i < v->n_listeners; i++) {
		if (v->listeners[i].port == port)
			return vsock_hand_over(v->listeners[i].fd, &(struct vsock_accept){ port, guest_port });
	}
	return -1;
}

static void guest_connects(struct virtio_vsock *v, const struct virtio_vsock_hdr *h)
{
	uint32_t port = le32toh(h->dst_port), guest_port = le32toh(h->src_port);
	int fd = v->table.n_guest < VSOCK_CONNS - VSOCK_HOST_CONNS ? connect_listener(v, port, guest_port) : -1;
	struct vsock_conn *c = fd < 0 ? NULL : vsock_new_conn(v, VSOCK_OPEN, fd, port, guest_port, false);
	if (!c) {
		vsock_refuse(v, port, guest_port);
		return;
	}
	c->peer_buf_alloc = le32toh(h->buf_alloc);
	c->peer_fwd_cnt = le32toh(h->fwd_cnt);
	vsock_want(v, c, VSOCK_WANT_RESPONSE);
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
			vsock_abort(v, c);
			return;
		}
	}
	vsock_want(v, c, VSOCK_WANT_DATA); /* it may have spoken already */
}

/* The guest has said RST: it knows the connection no more. */
static void guest_resets(struct virtio_vsock *v, struct vsock_conn *c)
{
	if (c->state == VSOCK_OPEN && c->out_len > 0 && c->source.fd >= 0) {
		/* It has closed properly, but could not wait for a slow reader. */
		vsock_conn_forget(&v->table, c);
		c->state = VSOCK_DRAINING;
		c->want = 0;
		c->guest_shut = VSOCK_SHUT_BOTH;
		vsock_settle(v, c);
		return;
	}
	vsock_drop(v, c);
}

static void guest_sends(struct virtio_vsock *v, struct vsock_conn *c, const struct virtq_chain *chain, uint32_t len)
{
	struct iovec iov[VSOCK_IOV_N];
	memcpy(iov, chain->iov, chain->n_read * sizeof(iov[0]));
	unsigned n = iov_slice(iov, chain->n_read, VSOCK_HEADER, len);
	if (c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) {
		vsock_abort(v, c);
		return;
	}
	if (c->host_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) {
		c->fwd_cnt += len; /* nobody is there for it */
		return;
	}
	int r = vsock_conn_write(&v->table, c, iov, n);
	if (r == -ENOBUFS)
		vsock_abort(v, c); /* more than its credit */
	else if (r < 0)
		vsock_host_shut(v, c, VIRTIO_VSOCK_SHUTDOWN_RCV);
}

/* A packet for a connection there is. */
static void packet_for(struct virtio_vsock *v, struct vsock_conn *c, const struct virtio_vsock_hdr *h,
		       const struct virtq_chain *chain)
{
	uint16_t op = le16toh(h->op);
	if (c->state == VSOCK_CLOSED) {
		if (op == VIRTIO_VSOCK_OP_RST)
			vsock_drop(v, c);
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
			vsock_abort(v, c);
		if (c->state == VSOCK_OPEN)
			vsock_settle(v, c);
		return;
	}
	switch (op) {
	case VIRTIO_VSOCK_OP_RW:
		guest_sends(v, c, chain, le32toh(h->len));
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		c->guest_shut |= le32toh(h->flags) & VSOCK_SHUT_BOTH;
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		vsock_want(v, c, VSOCK_WANT_CREDIT_UPDATE);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		break;
	default:
		vsock_abort(v, c); /* REQUEST or RESPONSE again, or none at all */
		return;
	}
	if (c->state != VSOCK_OPEN)
		return;
	if (c->is_credit_asked && vsock_conn_credit(c) > 0) {
		c->is_credit_asked = false;
		vsock_want(v, c, VSOCK_WANT_DATA);
	}
	vsock_settle(v, c);
}

/* Negative: the guest lied about what is in the chain. */
static int64_t packet(struct virtio_device *dev, struct virtq_chain *chain)
{
	struct virtio_vsock *v = (struct virtio_vsock *)dev;
	struct virtio_vsock_hdr h;
	if (chain_read(chain, 0, &h, VSOCK_HEADER) != VSOCK_HEADER)
		return -EPROTO;
	if (le32toh(h.len) > chain->read_bytes - VSOCK_HEADER)
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
		vsock_refuse(v, host_port, guest_port);
	return 0;
}

bool vsock_serve_tx(struct virtio_vsock *v)
{
	struct iovec iov[VSOCK_IOV_N];
	struct virtq_chain chain = { .iov = iov, .iov_max = VSOCK_IOV_N };
	struct virtq *q = &v->dev.queues[VSOCK_TX];
	virtq_disable_kicks(q);
	for (unsigned n = 0; n < VIRTIO_BUDGET; n++) {
		/* Each packet makes at most one refusal. */
		v->is_tx_stalled = v->refusals_n == VSOCK_REFUSALS;
		if (v->is_tx_stalled || virtio_queue_pop(&v->dev, VSOCK_TX, &chain) != 1)
			break;
		if (packet(&v->dev, &chain) < 0) {
			virtio_device_fail(&v->dev);
			return false;
		}
		virtq_push(q, chain.head, 0);
	}
	virtio_queue_flush(&v->dev, VSOCK_TX);
	vsock_speak(v);
	if (!virtio_device_is_live(&v->dev) || v->is_tx_stalled)
		return false;
	return virtq_enable_kicks(q);
}
