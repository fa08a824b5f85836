/* SPDX-License-Identifier: Apache-2.0 */
/* The device's side of one split virtqueue (virtio 1.2, section 2.7), with
 * indirect descriptors and event indexes.
 *
 * The rings lie in the guest's memory and the guest writes them at any time.
 * So: every index and every descriptor is read once, into a copy, and only the
 * copy is checked and used; the device's own positions are kept here and never
 * read back. A chain is walked in at most `size` steps, its bytes fit 32 bits,
 * and every piece of it is inside guest memory and writable where it must be.
 * Whatever does not hold is -EPROTO: the caller then marks its device as
 * needing a reset (virtio_device_fail).
 *
 * What a guest may still do is change the contents of a buffer after the chain
 * was taken: a device copies a header before it checks it.
 *
 * One thread at a time. Nothing here makes a system call or allocates. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "guest_memory.h"

#define VIRTQ_SIZE_MAX 1024

struct vring_desc;
struct vring_used_elem;

struct virtq {
	/* The most the driver may choose; a power of two, constant. */
	uint16_t size_max;
	/* What the driver has chosen. */
	uint16_t size;
	uint64_t desc_gpa;
	uint64_t avail_gpa;
	uint64_t used_gpa;

	/* The rest holds while is_ready. */
	bool is_ready;
	bool has_indirect;
	bool has_event_idx;
	const struct guest_memory *mem;
	const struct vring_desc *desc;
	const uint16_t *avail; /* flags, idx, ring[size], used_event */
	uint16_t *used;        /* flags, idx, then the elements, then avail_event */
	uint16_t next_avail;   /* the next entry to take */
	uint16_t next_used;    /* the next entry to fill */
	uint16_t signalled;    /* next_used when virtq_needs_interrupt() last asked */
};

/* One chain: first what the device may read, then what it may write. */
struct virtq_chain {
	/* Set by the caller before virtq_pop(): room for the pieces. */
	struct iovec *iov;
	unsigned iov_max;
	/* Set by virtq_pop(). */
	uint16_t head;
	unsigned n_read;  /* iov[0 .. n_read) */
	unsigned n_write; /* iov[n_read .. n_read + n_write) */
	uint32_t read_bytes;
	uint32_t write_bytes;
};

void virtq_init(struct virtq *q, uint16_t size_max);
/* Back to the state after virtq_init(). */
void virtq_reset(struct virtq *q);

/* Start using the rings that size and the three addresses describe. -EINVAL: the
 * size is no power of two or too large, an address is not aligned, or a ring is
 * not in guest memory. */
int virtq_start(struct virtq *q, const struct guest_memory *mem, bool has_indirect, bool has_event_idx) MUST_CHECK;

/* Take the next chain. 1: taken; 0: there is none; -EPROTO: the guest lies
 * (nothing is taken, and the queue is not to be used again before a reset). */
int virtq_pop(struct virtq *q, struct virtq_chain *chain) MUST_CHECK;
/* Put the last @n chains taken back, if the guest has not been told anything
 * about them yet. */
void virtq_unpop(struct virtq *q, uint16_t n);
bool virtq_has_more(const struct virtq *q);

/* Hand a chain back with the number of bytes written; the guest sees those handed
 * back so far at virtq_publish(). */
void virtq_push(struct virtq *q, uint16_t head, uint32_t written);
void virtq_publish(struct virtq *q);
/* After virtq_publish(): does the guest want an interrupt for what was published
 * since the last time? */
bool virtq_needs_interrupt(struct virtq *q);

/* Tell the driver that kicks are of no use while the device is at work anyway;
 * a hint. virtq_enable_kicks() returns true if there is more by now: the driver
 * may not kick for that, so serve on. */
void virtq_disable_kicks(struct virtq *q);
bool virtq_enable_kicks(struct virtq *q);
