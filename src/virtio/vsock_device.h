/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parts of the vsock device: virtio_vsock.c (the device and the host's
 * side), vsock_send.c (to the guest), vsock_receive.c (from the guest).
 *
 * How it works. What is to be said to the guest is not queued as packets but noted in
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
#pragma once

#include <endian.h>
#include <linux/virtio_vsock.h>

#include "virtio_vsock.h"
#include "vsock_conn.h"

enum { VSOCK_RX, VSOCK_TX, VSOCK_EVENT, VSOCK_QUEUES };

#define VSOCK_QUEUE_SIZE 128
#define VSOCK_IOV_N      (VSOCK_QUEUE_SIZE + GUEST_REGIONS_MAX)
#define VSOCK_REFUSALS   64
#define VSOCK_HEADER     ((uint32_t)sizeof(struct virtio_vsock_hdr))
#define VSOCK_SHUT_BOTH  (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

struct vsock_refusal {
	uint32_t host_port, guest_port;
};

struct vsock_listener {
	uint32_t port;
	int fd;
};

struct virtio_vsock {
	struct virtio_device dev; /* first */
	struct virtio_vsock_config config;
	uint64_t guest_cid;
	struct vsock_table table;
	struct vsock_conn *pending, **pending_end;
	struct vsock_listener listeners[VSOCK_PORTS_MAX];
	unsigned n_listeners;
	struct loop_source entry;
	struct loop_timer timer;
	uint32_t next_host_port;
	struct vsock_refusal refusals[VSOCK_REFUSALS];
	unsigned refusals_start, refusals_n;
	bool is_tx_stalled;
};

/* ---- vsock_send.c ---- */

/* @c wants to say @what (VSOCK_WANT_x; 0: what it wanted before). */
void vsock_want(struct virtio_vsock *v, struct vsock_conn *c, unsigned what);
/* The next in the list, taken out of it. */
struct vsock_conn *vsock_next_pending(struct virtio_vsock *v);
/* Answer a packet that belongs to no connection. */
void vsock_refuse(struct virtio_vsock *v, uint32_t host_port, uint32_t guest_port);
/* The connection is over on the host's side, and the guest is to know. */
void vsock_abort(struct virtio_vsock *v, struct vsock_conn *c);
/* Nobody wants to hear of it any more. */
void vsock_drop(struct virtio_vsock *v, struct vsock_conn *c);
/* The host's side does not receive, or send (VIRTIO_VSOCK_SHUTDOWN_x), any more. */
void vsock_host_shut(struct virtio_vsock *v, struct vsock_conn *c, uint8_t how);
/* Bring a connection to where its buffers and flags say it should be. It may be gone
 * afterwards. */
void vsock_settle(struct virtio_vsock *v, struct vsock_conn *c);
/* True: there is more to say and more room than the budget allowed. */
bool vsock_serve_rx(struct virtio_vsock *v);
/* After anything that may have given us something to say. */
void vsock_speak(struct virtio_vsock *v);

/* ---- vsock_receive.c ---- */

/* True: there is more than the budget allowed. */
bool vsock_serve_tx(struct virtio_vsock *v);

/* ---- virtio_vsock.c ---- */

/* As vsock_conn_new(), watched by this device. */
struct vsock_conn *vsock_new_conn(struct virtio_vsock *v, enum vsock_state state, int fd, uint32_t host_port,
				  uint32_t guest_port, bool is_ours);
