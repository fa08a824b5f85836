/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers between one producer thread and two consumer threads, each of which
 * sees every buffer in order. A failing side stops the ring for all. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RING_SLOT_BYTES (256u * 1024)
#define RING_SLOTS 8u
#define RING_CONSUMERS 2u

struct ring {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint8_t *memory;
	size_t len[RING_SLOTS];
	uint64_t produced;
	/* Taken counts the slot a consumer still reads. */
	uint64_t taken[RING_CONSUMERS], released[RING_CONSUMERS];
	bool is_ended, is_stopped;
};

int ring_init(struct ring *r);
void ring_done(struct ring *r);
/* The producer's next buffer; waits; NULL once stopped. */
uint8_t *ring_slot(struct ring *r);
void ring_publish(struct ring *r, size_t len);
void ring_end(struct ring *r);
/* A consumer's next buffer, giving back the one before. 1, 0 at the end, or
 * -ECANCELED once stopped. */
int ring_next(struct ring *r, unsigned consumer, const uint8_t **ret, size_t *ret_len);
void ring_stop(struct ring *r);
