/* SPDX-License-Identifier: Apache-2.0 */
#include "virtqueue.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "driver.h"
#include "test.h"

#define N 8

/* A queue without a device around it. */
struct bare {
	struct vm vm;
	struct dq d;
	struct virtq q;
	struct iovec iov[64];
	struct virtq_chain chain;
};

static void bare_init(struct bare *b, bool has_indirect, bool has_event_idx)
{
	memset(b, 0, sizeof(*b));
	vm_init(&b->vm);
	virtq_init(&b->q, 16);
	b->q.size = N;
	b->q.desc_gpa = vm_alloc(&b->vm, 16 * N);
	b->q.avail_gpa = vm_alloc(&b->vm, 6 + 2 * N);
	b->q.used_gpa = vm_alloc(&b->vm, 6 + 8 * N);
	b->d = (struct dq){ .vm = &b->vm, .size = N, .has_event_idx = has_event_idx };
	b->d.desc = vm_ptr(&b->vm, b->q.desc_gpa);
	b->d.avail = vm_ptr(&b->vm, b->q.avail_gpa);
	b->d.used = vm_ptr(&b->vm, b->q.used_gpa);
	CHECK_EQ(virtq_start(&b->q, &b->vm.mem, has_indirect, has_event_idx), 0);
	b->chain.iov = b->iov;
	b->chain.iov_max = ARRAY_LEN(b->iov);
}

static struct vring_desc desc(uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	return (struct vring_desc){ .addr = addr, .len = len, .flags = flags, .next = next };
}

/* What one pop gives for descriptors 0.. and head 0. */
static int pop_of(const struct vring_desc *d, unsigned n, bool has_indirect)
{
	struct bare b;
	bare_init(&b, has_indirect, false);
	memcpy(b.d.desc, d, n * sizeof(*d));
	dq_offer(&b.d, 0);
	int r = virtq_pop(&b.q, &b.chain);
	/* After a lie nothing was taken. */
	CHECK_EQ(b.q.next_avail, r == 1 ? 1 : 0);
	vm_done(&b.vm);
	return r;
}

TEST(chains)
{
	struct bare b;
	bare_init(&b, true, false);
	CHECK_EQ(virtq_pop(&b.q, &b.chain), 0);
	struct piece pieces[] = { { 0x10000, 16, false }, { 0x20000, 100, false }, { VM_HIGH_GPA - 50, 100, true } };
	for (int turn = 0; turn < 1000; turn++) {
		bool indirect = turn & 1;
		b.vm.heap = 0x8000;
		uint16_t head = indirect ? dq_add_indirect(&b.d, pieces, 3) : dq_add(&b.d, pieces, 3);
		CHECK_EQ(virtq_pop(&b.q, &b.chain), 1);
		CHECK_EQ(b.chain.head, head);
		CHECK_EQ(b.chain.n_read, 2);
		CHECK_EQ(b.chain.n_write, 2); /* it crosses two regions */
		CHECK_EQ(b.chain.read_bytes, 116);
		CHECK_EQ(b.chain.write_bytes, 100);
		CHECK(b.iov[3].iov_base == vm_ptr(&b.vm, VM_HIGH_GPA));
		CHECK_EQ(virtq_pop(&b.q, &b.chain), 0);
		virtq_push(&b.q, head, 5);
		uint32_t id, len;
		CHECK(!dq_used(&b.d, &id, &len));
		virtq_publish(&b.q);
		CHECK(dq_used(&b.d, &id, &len));
		CHECK_EQ(id, head);
		CHECK_EQ(len, 5);
		CHECK(!dq_used(&b.d, &id, &len));
	}
	vm_done(&b.vm);
}

/* Ordinary descriptors may come before one of a table; the table need not be
 * aligned. */
TEST(indirect_after_direct)
{
	struct bare b;
	bare_init(&b, true, false);
	struct vring_desc table[2] = { desc(0x20000, 8, VRING_DESC_F_NEXT, 1), desc(0x21000, 9, VRING_DESC_F_WRITE, 0) };
	memcpy(vm_ptr(&b.vm, 0x30003), table, sizeof(table));
	b.d.desc[0] = desc(0x10000, 4, VRING_DESC_F_NEXT, 3);
	/* The device is to ignore the write flag of a table (2.7.5.3.2). */
	b.d.desc[3] = desc(0x30003, 32, VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE, 0);
	dq_offer(&b.d, 0);
	CHECK_EQ(virtq_pop(&b.q, &b.chain), 1);
	CHECK_EQ(b.chain.n_read, 2);
	CHECK_EQ(b.chain.read_bytes, 12);
	CHECK_EQ(b.chain.write_bytes, 9);
	vm_done(&b.vm);
}

TEST(lies_in_descriptors)
{
	const uint16_t NX = VRING_DESC_F_NEXT, WR = VRING_DESC_F_WRITE, IN = VRING_DESC_F_INDIRECT;
	struct vring_desc d[N] = { desc(0x10000, 16, 0, 0) };
	CHECK_EQ(pop_of(d, 1, true), 1);
	/* next out of range; by one, and by much */
	d[0] = desc(0x10000, 16, NX, N);
	CHECK_EQ(pop_of(d, 1, true), -EPROTO);
	d[0] = desc(0x10000, 16, NX, 0xffff);
	CHECK_EQ(pop_of(d, 1, true), -EPROTO);
	/* a loop onto itself; a loop of two */
	d[0] = desc(0x10000, 16, NX, 0);
	CHECK_EQ(pop_of(d, 1, true), -EPROTO);
	d[0] = desc(0x10000, 16, NX, 1);
	d[1] = desc(0x10000, 16, NX, 0);
	CHECK_EQ(pop_of(d, 2, true), -EPROTO);
	/* as long as the queue is fine */
	for (uint16_t i = 0; i < N; i++)
		d[i] = desc(0x10000, 16, i + 1 < N ? NX : 0, (uint16_t)(i + 1));
	CHECK_EQ(pop_of(d, N, true), 1);
	/* outside memory, at its edge, read-only, wrapping */
	d[0] = desc(0x90000000, 16, 0, 0);
	CHECK_EQ(pop_of(d, 1, true), -EPROTO);
	d[0] = desc(VM_FAR_GPA + VM_FAR_BYTES - 8, 8, 0, 0);
	CHECK_EQ(pop_of(d, 1, true), 1);
	d[0].len = 9;
	CHECK_EQ(pop_of(d, 1, true), -EPROTO);
	d[0] = desc(VM_ROM_GPA, 16, 0, 0);
	CHECK_EQ(pop_of(d, 1, true), 1);
	d[0] = desc(VM_ROM_GPA, 16, WR, 0);
	CHECK_EQ(pop_of(d, 1, true), -EPROTO);
	d[0] = desc(UINT64_MAX - 8, 16, 0, 0);
	CHECK_EQ(pop_of(d, 1, true), -EPROTO);
	d[0] = desc(0x10000, UINT32_MAX, 0, 0);
	CHECK_EQ(pop_of(d, 1, true), -EPROTO);
	/* nothing */
	d[0] = desc(0x10000, 0, 0, 0);
	CHECK_EQ(pop_of(d, 1, true), -EPROTO);
	/* readable after writable */
	d[0] = desc(0x10000, 16, NX | WR, 1);
	d[1] = desc(0x10000, 16, 0, 0);
	CHECK_EQ(pop_of(d, 2, true), -EPROTO);
	/* tables: not negotiated, with a next, empty, odd, long, outside memory */
	d[0] = desc(0x30000, 16, IN, 0);
	CHECK_EQ(pop_of(d, 1, false), -EPROTO);
	CHECK_EQ(pop_of(d, 1, true), -EPROTO); /* an empty descriptor in it */
	d[0] = desc(0x30000, 16, IN | NX, 1);
	CHECK_EQ(pop_of(d, 1, true), -EPROTO);
	d[0] = desc(0x30000, 0, IN, 0);
	CHECK_EQ(pop_of(d, 1, true), -EPROTO);
	d[0] = desc(0x30000, 17, IN, 0);
	CHECK_EQ(pop_of(d, 1, true), -EPROTO);
	d[0] = desc(0x30000, 16 * (N + 1), IN, 0);
	CHECK_EQ(pop_of(d, 1, true), -EPROTO);
	d[0] = desc(0x90000000, 16, IN, 0);
	CHECK_EQ(pop_of(d, 1, true), -EPROTO);
	d[0] = desc(0x30000, UINT32_MAX - 15, IN, 0);
	CHECK_EQ(pop_of(d, 1, true), -EPROTO);
}

TEST(lies_in_tables)
{
	struct bare b;
	bare_init(&b, true, false);
	struct vring_desc *table = vm_ptr(&b.vm, 0x30000);
	const uint16_t NX = VRING_DESC_F_NEXT, IN = VRING_DESC_F_INDIRECT;
	b.d.desc[0] = desc(0x30000, 32, IN, 0);
	dq_offer(&b.d, 0);
	table[0] = desc(0x10000, 4, NX, 2); /* past its end, but not past the queue's */
	table[2] = desc(0x10000, 4, 0, 0);
	CHECK_EQ(virtq_pop(&b.q, &b.chain), -EPROTO);
	table[0] = desc(0x10000, 4, NX, 0);
	CHECK_EQ(virtq_pop(&b.q, &b.chain), -EPROTO);
	table[0] = desc(0x30000, 32, IN, 0); /* a table in a table */
	CHECK_EQ(virtq_pop(&b.q, &b.chain), -EPROTO);
	table[0] = desc(0x10000, 4, NX, 1);
	table[1] = desc(0x10000, 4, 0, 0);
	CHECK_EQ(virtq_pop(&b.q, &b.chain), 1);
	/* A table and what comes before it are one chain: no longer than the queue. */
	for (uint16_t i = 0; i < N; i++)
		table[i] = desc(0x10000, 4, i + 1 < N ? NX : 0, (uint16_t)(i + 1));
	b.d.desc[0] = desc(0x30000, 16 * N, IN, 0);
	dq_offer(&b.d, 0);
	CHECK_EQ(virtq_pop(&b.q, &b.chain), 1);
	b.d.desc[1] = desc(0x10000, 4, NX, 0);
	dq_offer(&b.d, 1);
	CHECK_EQ(virtq_pop(&b.q, &b.chain), -EPROTO);
	vm_done(&b.vm);
}

TEST(lies_in_avail)
{
	struct bare b;
	bare_init(&b, true, false);
	b.d.desc[0] = desc(0x10000, 16, 0, 0);
	dq_offer(&b.d, N); /* no such descriptor */
	CHECK_EQ(virtq_pop(&b.q, &b.chain), -EPROTO);
	b.d.avail[2] = 0;
	b.d.avail[1] = N; /* as many as there can be */
	CHECK_EQ(virtq_pop(&b.q, &b.chain), 1);
	b.d.avail[1] = N + 2; /* one too many */
	CHECK_EQ(virtq_pop(&b.q, &b.chain), -EPROTO);
	b.d.avail[1] = 0; /* backwards */
	CHECK_EQ(virtq_pop(&b.q, &b.chain), -EPROTO);
	b.d.avail[1] = 1;
	CHECK_EQ(virtq_pop(&b.q, &b.chain), 0);
	vm_done(&b.vm);
}

/* The bytes of a chain must fit 32 bits, through many descriptors of one buffer. */
TEST(lies_in_sums)
{
	struct bare b;
	bare_init(&b, true, false);
	/* A region of 1 GiB, all of it the same page table entries: never touched. */
	uint8_t *huge = mmap(NULL, 1u << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(huge != MAP_FAILED);
	CHECK_EQ(guest_memory_add(&b.vm.mem, 0x100000000, huge, 1u << 30, 0), 0);
	for (uint16_t i = 0; i < 4; i++)
		b.d.desc[i] = desc(0x100000000, 1u << 30, i < 3 ? VRING_DESC_F_NEXT : 0, (uint16_t)(i + 1));
	dq_offer(&b.d, 0);
	CHECK_EQ(virtq_pop(&b.q, &b.chain), -EPROTO); /* 4 GiB */
	b.d.desc[3].len--;
	CHECK_EQ(virtq_pop(&b.q, &b.chain), 1);
	CHECK_EQ(b.chain.read_bytes, UINT32_MAX);
	b.d.desc[0].flags = b.d.desc[1].flags = VRING_DESC_F_NEXT;
	b.d.desc[2].flags = VRING_DESC_F_NEXT | VRING_DESC_F_WRITE;
	b.d.desc[3] = desc(0x100000000, 1u << 30, VRING_DESC_F_WRITE, 0);
	dq_offer(&b.d, 0);
	CHECK_EQ(virtq_pop(&b.q, &b.chain), -EPROTO);
	b.vm.mem.n--; /* it is the last */
	munmap(huge, 1u << 30);
	vm_done(&b.vm);
}

TEST(more_pieces_than_room)
{
	struct bare b;
	bare_init(&b, true, false);
	struct piece p[] = { { 0x10000, 4, false }, { 0x10000, 4, false }, { 0x10000, 4, true } };
	dq_add(&b.d, p, 3);
	b.chain.iov_max = 2;
	CHECK_EQ(virtq_pop(&b.q, &b.chain), -EPROTO);
	b.chain.iov_max = 3;
	CHECK_EQ(virtq_pop(&b.q, &b.chain), 1);
	vm_done(&b.vm);
}

static int start_of(uint16_t size, uint64_t desc_gpa, uint64_t avail_gpa, uint64_t used_gpa)
{
	struct vm vm;
	struct virtq q;
	vm_init(&vm);
	virtq_init(&q, 256);
	q.size = size;
	q.desc_gpa = desc_gpa;
	q.avail_gpa = avail_gpa;
	q.used_gpa = used_gpa;
	int r = virtq_start(&q, &vm.mem, true, true);
	CHECK(q.is_ready == (r == 0));
	vm_done(&vm);
	return r;
}

TEST(lies_in_setup)
{
	CHECK_EQ(start_of(256, 0x1000, 0x3000, 0x4000), 0);
	CHECK_EQ(start_of(0, 0x1000, 0x3000, 0x4000), -EINVAL);
	CHECK_EQ(start_of(255, 0x1000, 0x3000, 0x4000), -EINVAL);
	CHECK_EQ(start_of(512, 0x1000, 0x3000, 0x4000), -EINVAL);
	CHECK_EQ(start_of(256, 0x1008, 0x3000, 0x4000), -EINVAL);
	CHECK_EQ(start_of(256, 0x1000, 0x3001, 0x4000), -EINVAL);
	CHECK_EQ(start_of(256, 0x1000, 0x3000, 0x4002), -EINVAL);
	CHECK_EQ(start_of(256, VM_ROM_GPA, VM_ROM_GPA + 0x2000, 0x4000), 0);
	CHECK_EQ(start_of(256, 0x1000, 0x3000, VM_ROM_GPA), -EINVAL); /* the device could not write it */
	/* One byte too near to the end of memory: 256 * 16, 4 + 512 + 2, 4 + 2048 + 2. */
	uint64_t end = VM_FAR_GPA + VM_FAR_BYTES;
	CHECK_EQ(start_of(256, end - 4096, end - 518, end - 2056), 0);
	CHECK_EQ(start_of(256, end - 4080, 0x3000, 0x4000), -EINVAL);
	CHECK_EQ(start_of(256, 0x1000, end - 516, 0x4000), -EINVAL);
	CHECK_EQ(start_of(256, 0x1000, 0x3000, end - 2052), -EINVAL);
	CHECK_EQ(start_of(256, UINT64_MAX - 15, 0x3000, 0x4000), -EINVAL);
}

TEST(interrupts_with_event_index)
{
	struct bare b;
	bare_init(&b, true, true);
	uint16_t *used_event = &b.d.avail[2 + N];
	/* Through the wrap of 16 bits, always three at a time. */
	for (unsigned at = 0; at < 70000; at += 3) {
		for (unsigned ahead = 0; ahead < 5; ahead++) {
			struct virtq copy = b.q;
			*used_event = (uint16_t)(at + ahead);
			for (int i = 0; i < 3; i++)
				virtq_push(&copy, 0, 0);
			virtq_publish(&copy);
			CHECK(virtq_needs_interrupt(&copy) == (ahead < 3));
			CHECK(!virtq_needs_interrupt(&copy));
			if (ahead == 4)
				b.q = copy;
		}
	}
	vm_done(&b.vm);
}

TEST(interrupts_without_event_index)
{
	struct bare b;
	bare_init(&b, true, false);
	CHECK(!virtq_needs_interrupt(&b.q));
	virtq_push(&b.q, 0, 0);
	virtq_publish(&b.q);
	CHECK(virtq_needs_interrupt(&b.q));
	CHECK(!virtq_needs_interrupt(&b.q));
	b.d.avail[0] = VRING_AVAIL_F_NO_INTERRUPT;
	virtq_push(&b.q, 0, 0);
	virtq_publish(&b.q);
	CHECK(!virtq_needs_interrupt(&b.q));
	vm_done(&b.vm);
}

TEST(kicks)
{
	struct bare b;
	for (int event_idx = 0; event_idx < 2; event_idx++) {
		bare_init(&b, true, event_idx);
		uint16_t *avail_event = &b.d.used[2 + 4 * N];
		struct piece p = { 0x10000, 4, false };
		virtq_disable_kicks(&b.q);
		CHECK_EQ(b.d.used[0], event_idx ? 0 : VRING_USED_F_NO_NOTIFY);
		CHECK(!virtq_enable_kicks(&b.q));
		CHECK_EQ(b.d.used[0], 0);
		dq_add(&b.d, &p, 1);
		CHECK(virtq_enable_kicks(&b.q)); /* the driver may not have seen it */
		CHECK_EQ(virtq_pop(&b.q, &b.chain), 1);
		CHECK(!virtq_enable_kicks(&b.q));
		if (event_idx)
			CHECK_EQ(*avail_event, 1);
		vm_done(&b.vm);
	}
}

/* Every table of three descriptors whose fields take one of a few values: the walk
 * ends, stays in memory, and agrees with a plain model of the rules. */
static int model(const struct vring_desc *d, unsigned size)
{
	unsigned at = 0;
	bool writing = false;
	for (unsigned steps = 0; steps < size; steps++) {
		if (d[at].flags & VRING_DESC_F_INDIRECT)
			return -EPROTO; /* not negotiated here */
		if (d[at].len == 0 || d[at].addr == 0x90000000)
			return -EPROTO;
		if (d[at].addr == VM_ROM_GPA && (d[at].flags & VRING_DESC_F_WRITE))
			return -EPROTO;
		if (d[at].addr == VM_FAR_GPA + VM_FAR_BYTES - 16 && d[at].len > 16)
			return -EPROTO;
		if (writing && !(d[at].flags & VRING_DESC_F_WRITE))
			return -EPROTO;
		writing = writing || (d[at].flags & VRING_DESC_F_WRITE);
		if (!(d[at].flags & VRING_DESC_F_NEXT))
			return 1;
		at = d[at].next;
		if (at >= size)
			return -EPROTO;
	}
	return -EPROTO;
}

TEST(every_small_table)
{
	static const uint64_t addrs[] = { 0x10000, VM_FAR_GPA + VM_FAR_BYTES - 16, VM_ROM_GPA, 0x90000000 };
	static const uint32_t lens[] = { 0, 16, 17 };
	static const uint16_t flags[] = { 0, 1, 2, 3, 4 };
	static const uint16_t nexts[] = { 0, 1, 4 };
	enum { KINDS = 4 * 3 * 5 * 3 };
	struct vring_desc kind[KINDS];
	unsigned n = 0, took = 0, refused = 0;
	for (unsigned a = 0; a < 4; a++)
		for (unsigned l = 0; l < 3; l++)
			for (unsigned f = 0; f < 5; f++)
				for (unsigned x = 0; x < 3; x++)
					kind[n++] = desc(addrs[a], lens[l], flags[f], nexts[x]);
	CHECK_EQ(n, KINDS);
	struct bare b;
	bare_init(&b, false, false);
	b.q.size = 4;
	for (unsigned i = 0; i < KINDS; i++) {
		for (unsigned j = 0; j < KINDS; j++) {
			b.d.desc[0] = kind[i];
			b.d.desc[1] = kind[j];
			b.d.desc[2] = b.d.desc[3] = kind[0];
			b.d.avail[2] = 0;
			b.d.avail[1] = 1;
			b.q.next_avail = 0;
			int r = virtq_pop(&b.q, &b.chain);
			CHECK_EQ(r, model(b.d.desc, 4));
			took += r == 1;
			refused += r != 1;
			uint64_t sum = 0;
			for (unsigned k = 0; r == 1 && k < b.chain.n_read + b.chain.n_write; k++)
				sum += b.iov[k].iov_len;
			CHECK(r != 1 || sum == b.chain.read_bytes + b.chain.write_bytes);
		}
	}
	CHECK(took > 1000 && refused > 1000);
	vm_done(&b.vm);
}

/* A second thread rewrites the descriptors, the ring and the index during the walk.
 * Whatever is taken must be inside memory, by what the walk itself has returned:
 * each piece is touched, and outside lie guard pages (and AddressSanitizer). */
struct flipper {
	struct bare *b;
	bool stop;
	uint64_t flips;
};

static void *flip(void *ctx)
{
	struct flipper *f = ctx;
	static const uint64_t addrs[] = { 0x10000, VM_FAR_GPA + VM_FAR_BYTES - 8, VM_ROM_GPA, 0x90000000, UINT64_MAX };
	static const uint32_t lens[] = { 8, 0, 9, 4096, UINT32_MAX, 32 };
	static const uint16_t flags[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
	static const uint16_t nexts[] = { 0, 1, 2, N, 0xffff };
	uint64_t state = 12345;
	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
		/* splitmix64 */
		uint64_t x = state += UINT64_C(0x9e3779b97f4a7c15);
		x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
		x ^= x >> 31;
		struct vring_desc *d = &f->b->d.desc[x & 3];
		struct vring_desc *t = (struct vring_desc *)vm_ptr(&f->b->vm, 0x10000) + (x >> 2 & 1);
		__atomic_store_n(&d->addr, addrs[(x >> 3 & 255) % 5], __ATOMIC_RELAXED);
		__atomic_store_n(&d->len, lens[(x >> 11 & 255) % 6], __ATOMIC_RELAXED);
		__atomic_store_n(&d->flags, flags[x >> 19 & 7], __ATOMIC_RELAXED);
		__atomic_store_n(&d->next, nexts[(x >> 22 & 255) % 5], __ATOMIC_RELAXED);
		__atomic_store_n(&t->len, lens[(x >> 30 & 255) % 6], __ATOMIC_RELAXED);
		__atomic_store_n(&t->flags, flags[x >> 38 & 7], __ATOMIC_RELAXED);
		f->flips++;
	}
	return NULL;
}

TEST(double_fetch)
{
	struct bare b;
	bare_init(&b, true, false);
	for (int i = 0; i < 4; i++)
		b.d.desc[i] = desc(0x10000, 8, 0, 0);
	for (unsigned i = 0; i < 2; i++)
		((struct vring_desc *)vm_ptr(&b.vm, 0x10000))[i] = desc(0x20000, 8, 0, 0);
	struct flipper f = { .b = &b };
	pthread_t thread;
	CHECK_EQ(pthread_create(&thread, NULL, flip, &f), 0);
	uint64_t took = 0, refused = 0;
	volatile uint8_t sink = 0;
	while (__atomic_load_n(&f.flips, __ATOMIC_RELAXED) < 1000000 || took < 300000 || refused < 100000) {
		b.d.avail[2 + b.q.next_avail % N] = b.q.next_avail & 3;
		b.d.avail[1] = (uint16_t)(b.q.next_avail + 1);
		if (virtq_pop(&b.q, &b.chain) != 1) {
			refused++;
			b.q.next_avail++; /* the next may be better */
			continue;
		}
		took++;
		uint64_t sum = 0;
		for (unsigned i = 0; i < b.chain.n_read + b.chain.n_write; i++) {
			uint8_t *p = b.iov[i].iov_base;
			size_t len = b.iov[i].iov_len;
			sum += len;
			CHECK(len > 0 && len <= 4096);
			sink ^= p[0] ^ p[len - 1];
			(void)sink;
			if (i >= b.chain.n_read && p >= (uint8_t *)vm_ptr(&b.vm, VM_FAR_GPA))
				p[len - 1] = 1; /* faults if a read-only region came through */
		}
		CHECK(sum == (uint64_t)b.chain.read_bytes + b.chain.write_bytes);
	}
	__atomic_store_n(&f.stop, true, __ATOMIC_RELAXED);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	printf("# %llu flips, %llu chains taken, %llu refused\n", (unsigned long long)f.flips, (unsigned long long)took,
	       (unsigned long long)refused);
	vm_done(&b.vm);
}

TEST_MAIN()
