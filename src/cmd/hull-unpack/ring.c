/* SPDX-License-Identifier: Apache-2.0 */
#include "ring.h"

#include <errno.h>
#include <stdlib.h>

int ring_init(struct ring *r)
{
	*r = (struct ring){ .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
	r->memory = malloc((size_t)RING_SLOTS * RING_SLOT_BYTES);
	return r->memory ? 0 : -ENOMEM;
}

void ring_done(struct ring *r)
{
	free(r->memory);
	r->memory = NULL;
}

static bool is_full(const struct ring *r)
{
	for (unsigned c = 0; c < RING_CONSUMERS; c++)
		if (r->produced - r->released[c] >= RING_SLOTS)
			return true;
	return false;
}

static uint8_t *slot_at(const struct ring *r, uint64_t n)
{
	return r->memory + n % RING_SLOTS * RING_SLOT_BYTES;
}

uint8_t *ring_slot(struct ring *r)
{
	pthread_mutex_lock(&r->lock);
	while (!r->is_stopped && is_full(r))
		pthread_cond_wait(&r->changed, &r->lock);
	uint8_t *slot = r->is_stopped ? NULL : slot_at(r, r->produced);
	pthread_mutex_unlock(&r->lock);
	return slot;
}

void ring_publish(struct ring *r, size_t len)
{
	pthread_mutex_lock(&r->lock);
	r->len[r->produced % RING_SLOTS] = len;
	r->produced++;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

void ring_end(struct ring *r)
{
	pthread_mutex_lock(&r->lock);
	r->is_ended = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

void ring_stop(struct ring *r)
{
	pthread_mutex_lock(&r->lock);
	r->is_stopped = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

int ring_next(struct ring *r, unsigned consumer, const uint8_t **ret, size_t *ret_len)
{
	int x = 1;
	pthread_mutex_lock(&r->lock);
	if (r->released[consumer] != r->taken[consumer]) {
		r->released[consumer] = r->taken[consumer];
		pthread_cond_broadcast(&r->changed);
	}
	while (!r->is_stopped && !r->is_ended && r->taken[consumer] == r->produced)
		pthread_cond_wait(&r->changed, &r->lock);
	if (r->is_stopped) {
		x = -ECANCELED;
	} else if (r->taken[consumer] == r->produced) {
		x = 0;
	} else {
		uint64_t n = r->taken[consumer]++;
		*ret = slot_at(r, n);
		*ret_len = r->len[n % RING_SLOTS];
	}
	pthread_mutex_unlock(&r->lock);
	return x;
}
