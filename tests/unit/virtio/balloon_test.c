/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_balloon.h"

#include <linux/virtio_balloon.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "driver.h"
#include "test.h"

enum { INFLATE, DEFLATE, STATS, REPORT };

static struct vm vm;
static struct dq q[4];
static struct virtio_balloon_stats seen;
static unsigned n_seen;

static void stats_came(void *ctx, const struct virtio_balloon_stats *stats)
{
	seen = *stats;
	n_seen++;
}

static void start(unsigned n, uint64_t without)
{
	struct virtio_device *dev;
	struct virtio_balloon_setup setup = { .stats = stats_came };
	n_seen = 0;
	vm_init(&vm);
	CHECK_EQ(virtio_balloon_new(&setup, &vm.mem, &vm.loop, &dev), 0);
	vm_attach(&vm, dev);
	vm_start(&vm, q, n, 64, without);
}

/* Pages of the guest that the host has memory for. */
static unsigned resident(uint64_t gpa, unsigned pages)
{
	unsigned char vec[256];
	unsigned n = 0;
	CHECK(pages <= sizeof(vec));
	CHECK_EQ(mincore(vm_ptr(&vm, gpa), pages * 4096, vec), 0);
	for (unsigned i = 0; i < pages; i++)
		n += vec[i] & 1;
	return n;
}

static void send(unsigned index, const void *data, uint32_t len)
{
	struct piece p[] = { { 0x20000, len / 2, false }, { 0x20000 + len / 2, len - len / 2, false } };
	memcpy(vm_ptr(&vm, 0x20000), data, len);
	dq_add(&q[index], p, 2);
	dq_kick(&q[index]);
	vm_pump(&vm);
}

TEST(inflate)
{
	uint32_t pages[600], actual = 0;
	start(4, 0);
	virtio_balloon_set_target(vm.dev, 600 * 4096);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_CONFIG), 600);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	memset(vm_ptr(&vm, 0x80000), 7, 0x80000);
	memset(vm_ptr(&vm, VM_HIGH_GPA), 7, VM_HIGH_BYTES);
	CHECK_EQ(resident(0x80000, 128), 128);
	/* Runs over the edge of two regions, and pages here and there. */
	for (unsigned i = 0; i < 150; i++)
		pages[i] = 0x80 + i; /* up to 0x80 + 149 > 0x100 */
	for (unsigned i = 150; i < 200; i++)
		pages[i] = 0x120 + (i - 150) * 2;
	send(INFLATE, pages, 200 * 4);
	CHECK(dq_used(&q[INFLATE], NULL, NULL));
	CHECK_EQ(resident(0x80000, 128), 0);
	CHECK_EQ(resident(VM_HIGH_GPA, 22), 0);
	CHECK_EQ(resident(0x120000, 100), 50);
	CHECK_EQ(*(uint8_t *)vm_ptr(&vm, 0x80000), 0);
	CHECK_EQ(*(uint8_t *)vm_ptr(&vm, 0x121000), 7);
	CHECK_EQ(virtio_balloon_discarded(vm.dev), 200 * 4096);
	actual = 200;
	virtio_mmio_write(&vm.mmio, VIRTIO_MMIO_CONFIG + 4, &actual, 4);
	CHECK_EQ(virtio_balloon_actual(vm.dev), 200 * 4096);
	virtio_mmio_write(&vm.mmio, VIRTIO_MMIO_CONFIG, &actual, 4); /* not the guest's */
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_CONFIG), 600);
	send(DEFLATE, pages, 200 * 4);
	CHECK(dq_used(&q[DEFLATE], NULL, NULL));
	vm_set(&vm, VIRTIO_MMIO_STATUS, 0);
	CHECK_EQ(virtio_balloon_actual(vm.dev), 0);
	vm_done(&vm);
}

TEST(reporting)
{
	/* With and without the statistics queue, which moves the other. */
	for (unsigned with_stats = 0; with_stats < 2; with_stats++) {
		start(with_stats ? 4 : 3, with_stats ? 0 : UINT64_C(1) << VIRTIO_BALLOON_F_STATS_VQ);
		unsigned index = with_stats ? REPORT : STATS;
		memset(vm_ptr(&vm, 0x80000), 7, 0x80000);
		memset(vm_ptr(&vm, VM_HIGH_GPA), 7, 0x80000);
		struct piece p[] = { { 0x80000, 0x40000, true }, { 0xf0000, 0x20000, true } };
		dq_add(&q[index], p, 2);
		CHECK_EQ(dq_run(&q[index]), 0);
		CHECK_EQ(resident(0x80000, 128), 128 - 64 - 16);
		CHECK_EQ(resident(VM_HIGH_GPA, 128), 128 - 16);
		vm_done(&vm);
	}
}

TEST(statistics)
{
	struct virtio_balloon_stat stats[] = { { VIRTIO_BALLOON_S_MEMFREE, 1 << 20 },
					       { VIRTIO_BALLOON_S_MEMTOT, UINT64_MAX },
					       { 999, 5 },
					       { VIRTIO_BALLOON_S_CACHES, 77 } };
	start(4, 0);
	CHECK(!virtio_balloon_ask(vm.dev));
	send(STATS, stats, sizeof(stats));
	CHECK_EQ(n_seen, 1);
	CHECK_EQ(seen.free, 1 << 20);
	CHECK_EQ(seen.total, INT64_MAX);
	CHECK_EQ(seen.caches, 77);
	CHECK_EQ(seen.swap_in, -1);
	CHECK(!dq_used(&q[STATS], NULL, NULL)); /* it is kept */
	CHECK(virtio_balloon_ask(vm.dev));
	CHECK(dq_used(&q[STATS], NULL, NULL));
	CHECK(!virtio_balloon_ask(vm.dev));
	stats[0].val = 5;
	send(STATS, stats, sizeof(stats[0]) - 1); /* cut off */
	CHECK_EQ(n_seen, 2);
	CHECK_EQ(seen.free, -1);
	/* A second one unasked. */
	send(STATS, stats, sizeof(stats));
	CHECK(vm_needs_reset(&vm));
	CHECK(!virtio_balloon_ask(vm.dev));
	vm_done(&vm);
}

TEST(lies)
{
	static const uint32_t pages[] = { UINT32_MAX, 0x90000, 0x80000 /* read-only */, 0x200 };
	for (unsigned i = 0; i < ARRAY_LEN(pages); i++) {
		start(4, 0);
		send(INFLATE, &pages[i], 4);
		CHECK(vm_needs_reset(&vm));
		vm_done(&vm);
	}
	start(4, 0);
	send(INFLATE, pages, 3);
	CHECK(vm_needs_reset(&vm));
	vm_done(&vm);
	/* Memory that is a file of the host is not the guest's to give away. */
	start(4, 0);
	vm.mem.regions[2].flags = GUEST_REGION_FILE;
	memset(vm_ptr(&vm, VM_FAR_GPA), 7, 4096);
	struct piece p = { VM_FAR_GPA, 4096, true };
	dq_add(&q[REPORT], &p, 1);
	dq_kick(&q[REPORT]);
	vm_pump(&vm);
	CHECK(vm_needs_reset(&vm));
	CHECK_EQ(*(uint8_t *)vm_ptr(&vm, VM_FAR_GPA), 7);
	vm_done(&vm);
}

TEST_MAIN()
