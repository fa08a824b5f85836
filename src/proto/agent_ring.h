/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of bytes each way through memory that two sides share, for machines
 * whose serial line is too slow or too small for more than a bell: user-mode
 * Linux reads its lines a byte at a time, and stops reading for ever once 4 KiB
 * wait there.
 *
 * Whoever goes to sleep says so in the memory, and whoever then has something for
 * it rings once. Each side keeps its own positions to itself and reads the
 * other's once, so that a peer that lies gets -EBADMSG or hears nothing: it can
 * make nobody read or write outside. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"

#define AGENT_RING_BYTES (128u << 10) /* each way */
#define AGENT_RING_MEMORY (4096u + 2 * AGENT_RING_BYTES)

struct agent_ring {
	struct agent_ring_way *in, *out; /* in the shared memory */
	uint8_t *in_data, *out_data;
	uint32_t in_tail, out_head;
	bool must_ring; /* the peer sleeps, and there is something for it */
};

/* @memory is AGENT_RING_MEMORY bytes of zeroes when both begin. */
void agent_ring_init(struct agent_ring *r, void *memory, bool is_host);
/* Up to @len bytes; 0: nothing there. -EBADMSG. */
ssize_t agent_ring_read(struct agent_ring *r, void *data, size_t len) MUST_CHECK;
/* What there is room for. -EBADMSG. */
ssize_t agent_ring_write(struct agent_ring *r, const void *data, size_t len) MUST_CHECK;
/* Before sleeping: ask to be rung for, when something comes in and, with @for_room,
 * when something has been taken out. True: do not sleep, there is something. */
bool agent_ring_sleep(struct agent_ring *r, bool for_room);
