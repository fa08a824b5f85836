/* SPDX-License-Identifier: Apache-2.0 */
#include "virtqueue.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the rings are little-endian and are read as they lie"
#endif

/* Positions in the avail and used rings, in 16-bit words. */
enum {
	RING_FLAGS = 0,
	RING_IDX = 1,
	RING_ENTRIES = 2,
	USED_ELEM_WORDS = sizeof(struct vring_used_elem) / 2,
};

void virtq_init(struct virtq *q, uint16_t size_max)
{
	*q = (struct virtq){ .size_max = size_max, .size = size_max };
}

void virtq_reset(struct virtq *q)
{
	virtq_init(q, q->size_max);
}

int virtq_start(struct virtq *q, const struct guest_memory *mem, bool has_indirect, bool has_event_idx)
{
	uint64_t n = q->size;
	if (n == 0 || n > q->size_max || (n & (n - 1)) != 0)
		return -EINVAL;
	if ((q->desc_gpa & 15) || (q->avail_gpa & 1) || (q->used_gpa & 3))
		return -EINVAL;
	uint64_t event_bytes = has_event_idx ? 2 : 0;
	const struct vring_desc *desc = guest_memory_at(mem, q->desc_gpa, n * sizeof(struct vring_desc), GUEST_READ);
	const uint16_t *avail = guest_memory_at(mem, q->avail_gpa, 4 + n * 2 + event_bytes, GUEST_READ);
	uint16_t *used =
		guest_memory_at(mem, q->used_gpa, 4 + n * sizeof(struct vring_used_elem) + event_bytes, GUEST_WRITE);
	if (!desc || !avail || !used)
		return -EINVAL;
	q->mem = mem;
	q->desc = desc;
	q->avail = avail;
	q->used = used;
	q->has_indirect = has_indirect;
	q->has_event_idx = has_event_idx;
	q->next_avail = 0;
	q->next_used = 0;
	q->signalled = 0;
	q->is_ready = true;
	return 0;
}

/* One read of each field. Tables of indirect descriptors need not be aligned. */
static struct vring_desc read_desc(const struct vring_desc *at)
{
	struct vring_desc d;
	if (((uintptr_t)at & 7) == 0) {
		d.addr = __atomic_load_n(&at->addr, __ATOMIC_RELAXED);
		d.len = __atomic_load_n(&at->len, __ATOMIC_RELAXED);
		d.flags = __atomic_load_n(&at->flags, __ATOMIC_RELAXED);
		d.next = __atomic_load_n(&at->next, __ATOMIC_RELAXED);
		return d;
	}
	const volatile uint8_t *from = (const volatile uint8_t *)at;
	uint8_t bytes[sizeof(d)] = { 0 };
	for (unsigned i = 0; i < sizeof(d); i++)
		bytes[i] = from[i];
	memcpy(&d, bytes, sizeof(d));
	return d;
}

/* Add what a descriptor names to the chain. */
static int add_buffer(const struct virtq *q, struct virtq_chain *chain, const struct vring_desc *d)
{
	bool is_write = d->flags & VRING_DESC_F_WRITE;
	if (!is_write && chain->n_write > 0)
		return -EPROTO;
	unsigned used = chain->n_read + chain->n_write;
	int n = guest_memory_iov(q->mem, d->addr, d->len, is_write ? GUEST_WRITE : GUEST_READ, chain->iov + used,
				 chain->iov_max - used);
	if (n < 0)
		return -EPROTO;
	/* Both together fit 32 bits (section 2.7.5.2, and our own sums). */
	if (d->len > UINT32_MAX - chain->read_bytes - chain->write_bytes)
		return -EPROTO;
	if (is_write) {
		chain->n_write += (unsigned)n;
		chain->write_bytes += d->len;
	} else {
		chain->n_read += (unsigned)n;
		chain->read_bytes += d->len;
	}
	return 0;
}

static int walk(const struct virtq *q, uint16_t head, struct virtq_chain *chain)
{
	const struct vring_desc *table = q->desc;
	uint32_t table_len = q->size;
	uint32_t at = head;
	bool is_indirect = false;

	*chain = (struct virtq_chain){ .iov = chain->iov, .iov_max = chain->iov_max, .head = head };
	/* A chain is no longer than the queue (2.7.5.3.1), which also ends loops. */
	for (unsigned steps = 0; steps < q->size; steps++) {
		if (at >= table_len)
			return -EPROTO;
		struct vring_desc d = read_desc(&table[at]);
		if (d.flags & VRING_DESC_F_INDIRECT) {
			/* Neither within a table nor in the middle of a chain. */
			if (!q->has_indirect || is_indirect || (d.flags & VRING_DESC_F_NEXT))
				return -EPROTO;
			if (d.len == 0 || d.len % sizeof(d) != 0 || d.len / sizeof(d) > q->size)
				return -EPROTO;
			table = guest_memory_at(q->mem, d.addr, d.len, GUEST_READ);
			if (!table)
				return -EPROTO;
			table_len = d.len / sizeof(d);
			is_indirect = true;
			at = 0;
			/* The descriptor of the table is no part of the chain; this
			 * branch is taken once only. */
			steps--;
			continue;
		}
		if (add_buffer(q, chain, &d) < 0)
			return -EPROTO;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return 0;
		at = d.next;
	}
	return -EPROTO;
}

int virtq_pop(struct virtq *q, struct virtq_chain *chain)
{
	if (!q->is_ready)
		return 0;
	/* Acquire: the entry and its descriptors were written before the index. */
	uint16_t avail_idx = __atomic_load_n(&q->avail[RING_IDX], __ATOMIC_ACQUIRE);
	uint16_t waiting = (uint16_t)(avail_idx - q->next_avail);
	if (waiting == 0)
		return 0;
	if (waiting > q->size)
		return -EPROTO;
	uint16_t slot = q->next_avail & (q->size - 1);
	uint16_t head = __atomic_load_n(&q->avail[RING_ENTRIES + slot], __ATOMIC_RELAXED);
	int r = walk(q, head, chain);
	if (r < 0)
		return r;
	q->next_avail++;
	return 1;
}

void virtq_unpop(struct virtq *q, uint16_t n)
{
	q->next_avail = (uint16_t)(q->next_avail - n);
}

bool virtq_has_more(const struct virtq *q)
{
	return q->is_ready && __atomic_load_n(&q->avail[RING_IDX], __ATOMIC_ACQUIRE) != q->next_avail;
}

void virtq_push(struct virtq *q, uint16_t head, uint32_t written)
{
	if (!q->is_ready)
		return;
	uint16_t slot = q->next_used & (q->size - 1);
	struct vring_used_elem *elem = (struct vring_used_elem *)(q->used + RING_ENTRIES + slot * USED_ELEM_WORDS);
	__atomic_store_n(&elem->id, head, __ATOMIC_RELAXED);
	__atomic_store_n(&elem->len, written, __ATOMIC_RELAXED);
	q->next_used++;
}

void virtq_publish(struct virtq *q)
{
	/* Release: elements and data are there before the index says so. */
	if (q->is_ready)
		__atomic_store_n(&q->used[RING_IDX], q->next_used, __ATOMIC_RELEASE);
}

bool virtq_needs_interrupt(struct virtq *q)
{
	if (!q->is_ready || q->signalled == q->next_used)
		return false;
	uint16_t old = q->signalled;
	q->signalled = q->next_used;
	/* The index must be visible before the driver's wish is read: the driver
	 * writes its wish and then reads the index. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!q->has_event_idx)
		return !(__atomic_load_n(&q->avail[RING_FLAGS], __ATOMIC_RELAXED) & VRING_AVAIL_F_NO_INTERRUPT);
	uint16_t event = __atomic_load_n(&q->avail[RING_ENTRIES + q->size], __ATOMIC_RELAXED);
	return vring_need_event(event, q->next_used, old);
}

void virtq_disable_kicks(struct virtq *q)
{
	/* With event indexes the one last announced is simply not moved. */
	if (q->is_ready && !q->has_event_idx)
		__atomic_store_n(&q->used[RING_FLAGS], VRING_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
}

bool virtq_enable_kicks(struct virtq *q)
{
	if (!q->is_ready)
		return false;
	if (q->has_event_idx)
		__atomic_store_n(&q->used[RING_ENTRIES + q->size * USED_ELEM_WORDS], q->next_avail, __ATOMIC_RELAXED);
	else
		__atomic_store_n(&q->used[RING_FLAGS], 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return virtq_has_more(q);
}
