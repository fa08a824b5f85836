/* SPDX-License-Identifier: Apache-2.0 */
/* One end of a connection that carries agent frames: a non-blocking descriptor in
 * an event loop, a frame that is being received, and what could not be sent yet.
 *
 * What waits to be sent is bounded: data by the credit that each stream has, the
 * rest by AGENT_QUEUE_MAX, past which the connection is given up: its peer asks
 * and does not listen. */
#pragma once

#include <stdbool.h>

#include "agent_proto.h"
#include "agent_ring.h"
#include "buf.h"
#include "event_loop.h"

#define AGENT_QUEUE_MAX (24u << 20)

struct agent_link {
	struct loop *loop;
	struct loop_source source; /* fd -1: closed */
	char in[sizeof(struct agent_frame) + AGENT_PAYLOAD_MAX];
	size_t in_len;
	struct buf out;
	bool is_broken;
	struct agent_ring ring; /* with one, the descriptor is only its bell */
	bool has_ring;
	struct loop_timer again; /* there is more in the ring */
	/* Set before it is opened (a Unix socket): a descriptor that came with the frame
	 * is here while frame() runs, which may take it; -1: none. */
	bool takes_fds;
	int passed_fd;
	/* A whole frame, checked by agent_frame_check(). The payload is only
	 * valid during the call. May send, and may close the link. */
	void (*frame)(struct agent_link *link, const struct agent_frame *f, const char *payload);
	/* The peer has gone, broke the rules (@error -EBADMSG), or does not listen.
	 * Called once, from the loop; the link is closed already. */
	void (*gone)(struct agent_link *link, int error);
	void *ctx;
};

/* @fd (made non-blocking) belongs to the link from here on. */
int agent_link_open(struct agent_link *link, struct loop *loop, int fd) MUST_CHECK;
/* The same over @memory (agent_ring.h), with @fd as the bell. */
int agent_link_open_ring(struct agent_link *link, struct loop *loop, int fd, void *memory, bool is_host) MUST_CHECK;
void agent_link_close(struct agent_link *link);
/* Queue a frame and send what goes. A closed or broken link swallows it: the end
 * is told by gone(). */
void agent_link_send(struct agent_link *link, uint16_t type, uint32_t session, uint16_t stream, uint32_t arg,
		     const void *payload, size_t len);
/* A document of any length, in pieces. */
void agent_link_send_document(struct agent_link *link, uint32_t session, enum agent_document which, const void *data, size_t len);
void agent_link_send_error(struct agent_link *link, uint32_t session, const struct err *err);

/* For programs without a loop: one frame, blocking, on a blocking descriptor. */
int agent_write_frame(int fd, uint16_t type, uint32_t session, uint16_t stream, uint32_t arg, const void *payload,
		      size_t len) MUST_CHECK;
/* @payload has room for AGENT_PAYLOAD_MAX. -EPIPE at the end. */
int agent_read_frame(int fd, struct agent_frame *ret, void *payload) MUST_CHECK;
