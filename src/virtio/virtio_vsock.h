/* SPDX-License-Identifier: Apache-2.0 */
/* The socket device (virtio 1.2, section 5.10): streams between processes in the
 * guest and Unix sockets of the host.
 *
 * No path is opened here; what can be reached is handed in as descriptors:
 *
 *   guest to host   For each port that is to be had, one end of a socket pair
 *                   (SOCK_SEQPACKET, virtio_vsock_listen). When the guest connects to
 *                   (2, PORT), a struct vsock_accept comes out of the other end, with a
 *                   connected stream socket attached. Nobody there, or the queue full:
 *                   the guest's connection is refused.
 *   host to guest   A listening stream socket (virtio_vsock_set_entry), spoken to as
 *                   Firecracker's: connect, say "CONNECT PORT\n", and read
 *                   "OK NUMBER\n" once the guest has accepted, or the end of the stream
 *                   if it does not. Or a connected socket, virtio_vsock_connect().
 *
 * Everything is bounded: VSOCK_CONNS connections, of which a guest can take all but
 * VSOCK_HOST_CONNS; 64 KiB in flight for each and direction; a few seconds for a
 * handshake. Who does not read holds up only his own connection. Half-closed streams
 * stay so on both sides. */
#pragma once

#include "virtio_device.h"

#define VSOCK_HOST_CID   2
#define VSOCK_GUEST_CID  3
#define VSOCK_PORTS_MAX  32
#define VSOCK_HOST_CONNS 32

/* What a listener receives with each connection. */
struct vsock_accept {
	uint32_t port;
	uint32_t guest_port;
};

int virtio_vsock_new(uint64_t guest_cid, const struct guest_memory *mem, struct loop *loop,
		     struct virtio_device **ret) MUST_CHECK;
/* Takes @fd over. -EEXIST: the port is taken; -ENOSPC: too many. */
int virtio_vsock_listen(struct virtio_device *dev, uint32_t port, int fd) MUST_CHECK;
/* Takes @fd over, a listening stream socket; once. Connections wait in its backlog
 * until the guest's driver is there. */
int virtio_vsock_set_entry(struct virtio_device *dev, int fd) MUST_CHECK;
/* Takes @fd over, a connected stream socket, which becomes a connection to @port in the
 * guest; it is closed if the guest refuses. -ENOTCONN: no driver there yet; -ENOSPC. */
int virtio_vsock_connect(struct virtio_device *dev, uint32_t port, int fd) MUST_CHECK;
/* Connections at the moment. */
unsigned virtio_vsock_connections(const struct virtio_device *dev);
