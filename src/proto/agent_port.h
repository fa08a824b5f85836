/* SPDX-License-Identifier: Apache-2.0 */
/* One end of a plain stream of bytes between a host and a guest: a descriptor
 * (vsock, a socket), or a ring with a descriptor for its bell. Non-blocking. The
 * guest's FUSE messages go over one of their own: whoever serves a guest's files
 * must wait for nothing else of the guest's (a pipe is locked while a file is
 * spliced into it). */
#pragma once

#include "agent_ring.h"

struct agent_port {
	int fd;
	bool has_ring;
	struct agent_ring ring;
};

/* @memory (agent_ring.h) may be NULL. @fd is made non-blocking and stays the caller's. */
int agent_port_init(struct agent_port *p, int fd, void *memory, bool is_host) MUST_CHECK;
/* Bytes, or -EAGAIN, -EPIPE at the end, -EBADMSG. */
ssize_t agent_port_read(struct agent_port *p, void *data, size_t len) MUST_CHECK;
ssize_t agent_port_write(struct agent_port *p, const void *data, size_t len) MUST_CHECK;
/* After reading and writing, before sleeping: ring for the peer. True: do not
 * sleep, there is something. @for_room: there is something to write. */
bool agent_port_rest(struct agent_port *p, bool for_room);
/* The descriptor was ready. -EPIPE when it was its end. */
int agent_port_woken(struct agent_port *p) MUST_CHECK;
