/* SPDX-License-Identifier: Apache-2.0 */
/* The connections of a vsock device: a table of fixed size, and for each the host's
 * half, a stream socket with a buffer for what it does not take at once. Knows
 * nothing of packets' encoding or of queues. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "event_loop.h"

#define VSOCK_CONNS 256
/* What a guest may have on the way in one connection: the credit we give. */
#define VSOCK_BUFFER_BYTES 65536u
#define VSOCK_HASH 256

enum vsock_state {
	VSOCK_FREE,
	VSOCK_HANDSHAKE,  /* the host's side has not said CONNECT yet; the guest knows nothing */
	VSOCK_CONNECTING, /* the guest has to answer */
	VSOCK_OPEN,
	VSOCK_CLOSED,     /* only a reset is left to be sent */
	VSOCK_DRAINING,   /* the guest is gone; its last words are still being delivered */
};

/* What is to be sent to the guest for a connection. */
enum vsock_want {
	VSOCK_WANT_RST = 1,
	VSOCK_WANT_REQUEST = 2,
	VSOCK_WANT_RESPONSE = 4,
	VSOCK_WANT_DATA = 8, /* the socket may have some */
	VSOCK_WANT_SHUTDOWN = 16,
	VSOCK_WANT_CREDIT_UPDATE = 32,
	VSOCK_WANT_CREDIT_REQUEST = 64,
};

struct vsock_conn {
	void *device;
	enum vsock_state state;
	uint32_t host_port, guest_port;
	struct loop_source source; /* fd: -1 once the host's side is closed */
	bool is_ours;              /* the host has begun it */
	bool is_handshake_answered;
	int64_t deadline_ns;

	unsigned want;
	bool is_pending; /* in the list of those that want something */
	struct vsock_conn *next_pending;
	struct vsock_conn *next; /* in the hash, or the free list */

	/* From the guest: what the socket has not taken. */
	uint32_t out_start, out_len;
	uint32_t fwd_cnt; /* bytes delivered, and the last value the guest knows */
	uint32_t fwd_told;
	/* To the guest. */
	uint32_t tx_cnt;
	uint32_t peer_buf_alloc, peer_fwd_cnt;
	bool is_credit_asked;

	/* VIRTIO_VSOCK_SHUTDOWN_* of each side: "will not receive", "will not send". */
	uint8_t guest_shut, host_shut, host_shut_told;
	bool is_write_shut;
	bool is_hung_up;
};

struct vsock_table {
	struct loop *loop;
	uint8_t *buffers; /* VSOCK_CONNS of VSOCK_BUFFER_BYTES; untouched ones cost nothing */
	unsigned n;       /* in use */
	unsigned n_guest; /* begun by the guest */
	struct vsock_conn *free;
	struct vsock_conn *hash[VSOCK_HASH];
	struct vsock_conn conns[VSOCK_CONNS];
};

int vsock_table_init(struct vsock_table *t, struct loop *loop) MUST_CHECK;
void vsock_table_done(struct vsock_table *t);

/* A connection in @state over @fd (owned from now on); NULL: the table is full, and
 * @fd is closed. */
struct vsock_conn *vsock_conn_new(struct vsock_table *t, enum vsock_state state, int fd, uint32_t host_port,
				  uint32_t guest_port);
/* Closes what is open; it must not be pending. */
void vsock_conn_free(struct vsock_table *t, struct vsock_conn *c);
/* Among those the guest knows. */
struct vsock_conn *vsock_conn_find(struct vsock_table *t, uint32_t host_port, uint32_t guest_port);
/* Let go of the ports; a guest may use them again. */
void vsock_conn_forget(struct vsock_table *t, struct vsock_conn *c);
void vsock_conn_set_guest_port(struct vsock_table *t, struct vsock_conn *c, uint32_t guest_port);

/* How many bytes the guest has room for. */
uint32_t vsock_conn_credit(const struct vsock_conn *c);
/* Take data from the guest: to the socket, and the rest into the buffer. Returns 0,
 * -ENOBUFS (more than it had credit for) or -EPIPE (the host's side does not
 * receive any more: the data is gone). */
int vsock_conn_write(struct vsock_table *t, struct vsock_conn *c, const struct iovec *iov, unsigned n) MUST_CHECK;
/* Deliver what is buffered, and pass on the guest's "will not send" after it. False:
 * the socket does not receive any more. */
bool vsock_conn_flush(struct vsock_table *t, struct vsock_conn *c);
/* Close the host's side. */
void vsock_conn_close(struct vsock_table *t, struct vsock_conn *c);
/* Watch the socket for what there is use for. */
void vsock_conn_watch(struct vsock_table *t, struct vsock_conn *c);
