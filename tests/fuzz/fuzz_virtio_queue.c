/* SPDX-License-Identifier: Apache-2.0 */
/* A queue whose rings are whatever the input says: each chain that is taken lies in
 * guest memory, adds up, and is no longer than the queue.
 *
 *   byte 0: 1 indirect, 2 event index, 4 odd place for tables; 1: size (log2)
 *   then the first bytes of guest memory: descriptors, avail, used, anything else */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "chain_io.h"
#include "virtqueue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RAM = 16384, ROM = 4096, PAGE = 4096 };
#define ROM_GPA 0x10000u

static uint8_t *ram, *rom;

/* Guard pages around both. */
static uint8_t *map(size_t bytes, int protection)
{
	uint8_t *p = mmap(NULL, bytes + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || mprotect(p + PAGE, bytes, protection) < 0)
		abort();
	return p + PAGE;
}

static void check(const struct virtq *q, const struct virtq_chain *chain)
{
	uint64_t sums[2] = { 0, 0 };
	if (chain->head >= q->size || chain->n_read + chain->n_write == 0 ||
	    chain->n_read + chain->n_write > 2u * q->size)
		abort();
	for (unsigned i = 0; i < chain->n_read + chain->n_write; i++) {
		const uint8_t *p = chain->iov[i].iov_base;
		size_t len = chain->iov[i].iov_len;
		bool writes = i >= chain->n_read;
		bool in_ram = p >= ram && p < ram + RAM && len <= (size_t)(ram + RAM - p);
		bool in_rom = p >= rom && p < rom + ROM && len <= (size_t)(rom + ROM - p);
		if (len == 0 || (!in_ram && !(in_rom && !writes)))
			abort();
		sums[writes] += len;
	}
	if (sums[0] != chain->read_bytes || sums[1] != chain->write_bytes)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest_memory mem = { 0 };
	struct virtq q;
	struct iovec iov[64];
	uint8_t copy[64];
	if (size < 2 || size - 2 > RAM)
		return 0;
	if (!ram) {
		ram = map(RAM, PROT_READ | PROT_WRITE);
		rom = map(ROM, PROT_READ);
	}
	memset(ram, 0, RAM);
	memcpy(ram, data + 2, size - 2);
	/* Two regions that touch, and one that is read-only. */
	if (guest_memory_add(&mem, 0, ram, PAGE, 0) < 0 || guest_memory_add(&mem, PAGE, ram + PAGE, RAM - PAGE, 0) < 0 ||
	    guest_memory_add(&mem, ROM_GPA, rom, ROM, GUEST_REGION_READONLY) < 0)
		abort();
	virtq_init(&q, 16);
	q.size = (uint16_t)(1u << data[1] % 8);
	q.desc_gpa = data[0] & 4 ? 2048 : 0;
	q.avail_gpa = 512;
	q.used_gpa = 1024;
	if (virtq_start(&q, &mem, data[0] & 1, data[0] & 2) < 0) {
		if (q.size <= 16)
			abort();
		return 0;
	}
	for (unsigned n = 0; n < 64; n++) {
		struct virtq_chain chain = { .iov = iov, .iov_max = 64 };
		uint16_t before = q.next_avail;
		virtq_disable_kicks(&q);
		int r = virtq_pop(&q, &chain);
		if (r != 1) {
			if (q.next_avail != before)
				abort();
			break;
		}
		check(&q, &chain);
		chain_read(&chain, n, copy, sizeof(copy));
		/* This may well be where the rings are. */
		chain_write(&chain, n, copy, sizeof(copy));
		virtq_push(&q, chain.head, chain.write_bytes);
		virtq_publish(&q);
		virtq_needs_interrupt(&q);
		virtq_enable_kicks(&q);
	}
	return 0;
}
