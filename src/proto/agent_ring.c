/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_ring.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "cleanup.h"

/* Positions count bytes and wrap at 2^32; each word on a cache line of its own. */
struct agent_ring_way {
	_Alignas(64) _Atomic uint32_t head;       /* the writer's */
	_Alignas(64) _Atomic uint32_t tail;       /* the reader's */
	_Alignas(64) _Atomic uint32_t reader_sleeps;
	_Alignas(64) _Atomic uint32_t writer_sleeps;
};
static_assert(2 * sizeof(struct agent_ring_way) <= 4096, "both fit in front of the data");
static_assert((AGENT_RING_BYTES & (AGENT_RING_BYTES - 1)) == 0, "positions wrap");

void agent_ring_init(struct agent_ring *r, void *memory, bool is_host)
{
	struct agent_ring_way *ways = memory;
	uint8_t *data = (uint8_t *)memory + 4096;
	*r = (struct agent_ring){ .in = &ways[is_host], .out = &ways[!is_host] };
	r->in_data = data + (is_host ? AGENT_RING_BYTES : 0);
	r->out_data = data + (is_host ? 0 : AGENT_RING_BYTES);
}

static void wake(struct agent_ring *r, _Atomic uint32_t *sleeps)
{
	/* After the position is visible, or both could wait for the other. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(sleeps, memory_order_relaxed) && atomic_exchange(sleeps, 0))
		r->must_ring = true;
}

ssize_t agent_ring_read(struct agent_ring *r, void *data, size_t len)
{
	uint32_t there = atomic_load_explicit(&r->in->head, memory_order_acquire) - r->in_tail;
	if (there > AGENT_RING_BYTES)
		return -EBADMSG;
	size_t n = there < len ? there : len, at = r->in_tail % AGENT_RING_BYTES;
	size_t first = n < AGENT_RING_BYTES - at ? n : AGENT_RING_BYTES - at;
	if (n == 0)
		return 0;
	memcpy(data, r->in_data + at, first);
	memcpy((char *)data + first, r->in_data, n - first);
	r->in_tail += (uint32_t)n;
	atomic_store_explicit(&r->in->tail, r->in_tail, memory_order_release);
	wake(r, &r->in->writer_sleeps);
	return (ssize_t)n;
}

ssize_t agent_ring_write(struct agent_ring *r, const void *data, size_t len)
{
	uint32_t used = r->out_head - atomic_load_explicit(&r->out->tail, memory_order_acquire);
	if (used > AGENT_RING_BYTES)
		return -EBADMSG;
	size_t room = AGENT_RING_BYTES - used, n = room < len ? room : len, at = r->out_head % AGENT_RING_BYTES;
	size_t first = n < AGENT_RING_BYTES - at ? n : AGENT_RING_BYTES - at;
	if (n == 0)
		return 0;
	memcpy(r->out_data + at, data, first);
	memcpy(r->out_data, (const char *)data + first, n - first);
	r->out_head += (uint32_t)n;
	atomic_store_explicit(&r->out->head, r->out_head, memory_order_release);
	wake(r, &r->out->reader_sleeps);
	return (ssize_t)n;
}

bool agent_ring_sleep(struct agent_ring *r, bool for_room)
{
	atomic_store(&r->in->reader_sleeps, 1);
	if (for_room)
		atomic_store(&r->out->writer_sleeps, 1);
	bool has_some = atomic_load(&r->in->head) != r->in_tail;
	bool has_room = for_room && r->out_head - atomic_load(&r->out->tail) < AGENT_RING_BYTES;
	if (has_some)
		atomic_store(&r->in->reader_sleeps, 0);
	return has_some || has_room;
}
