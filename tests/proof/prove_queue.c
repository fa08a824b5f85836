/* SPDX-License-Identifier: Apache-2.0 */
/* Queues and the status machine, for whatever lies in the rings and registers. */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "proof.h"
#include "virtio_mmio.h"

enum { SIZE = 4, RAM = 4096, ROM = 4096, USED_OFFSET = 1024, AVAIL_OFFSET = 512 };

static uint8_t ram[RAM] __attribute__((aligned(4096))), rom[ROM] __attribute__((aligned(4096)));
static struct guest_memory mem;
static struct virtq q;
static struct iovec iov[16];

static void start(bool has_indirect, bool has_event_idx)
{
	if (mem.n == 0) {
		demand(guest_memory_add(&mem, 0, ram, RAM, 0) == 0);
		demand(guest_memory_add(&mem, RAM, rom, ROM, GUEST_REGION_READONLY) == 0);
	}
	memset(ram, 0, AVAIL_OFFSET + 64);
	memset(ram + USED_OFFSET, 0, 64);
	virtq_init(&q, 8);
	q.size = SIZE;
	q.avail_gpa = AVAIL_OFFSET;
	q.used_gpa = USED_OFFSET;
	demand(virtq_start(&q, &mem, has_indirect, has_event_idx) == 0);
}

static struct vring_desc any_desc(void)
{
	static const uint64_t addrs[] = { 2048, RAM - 8, RAM, RAM + ROM - 4, RAM + ROM, UINT64_MAX - 3 };
	static const uint32_t lens[] = { 0, 4, 16, 32, UINT32_MAX };
	static const uint16_t nexts[] = { 1, 2, SIZE };
	return (struct vring_desc){ .addr = addrs[pick(6)], .len = lens[pick(5)], .flags = (uint16_t)pick(8),
				    .next = nexts[pick(3)] };
}


/* What virtq_pop() returns keeps its promises. */
static void pop_and_check(void)
{
	struct virtq_chain chain = { .iov = iov, .iov_max = 16 };
	uint64_t sums[2] = { 0, 0 };
	uint16_t before = q.next_avail;
	int r = virtq_pop(&q, &chain);
	demand(r == 0 || r == 1 || r == -EPROTO);
	demand(q.next_avail == (r == 1 ? (uint16_t)(before + 1) : before));
	if (r != 1)
		return;
	demand(chain.head < SIZE && chain.n_read + chain.n_write > 0);
	for (unsigned i = 0; i < chain.n_read + chain.n_write; i++) {
		const uint8_t *p = iov[i].iov_base;
		bool in_ram = p >= ram && p < ram + RAM && iov[i].iov_len <= (size_t)(ram + RAM - p);
		bool in_rom = p >= rom && p < rom + ROM && iov[i].iov_len <= (size_t)(rom + ROM - p);
		demand(iov[i].iov_len > 0 && (in_ram || (in_rom && i < chain.n_read)));
		sums[i >= chain.n_read] += iov[i].iov_len;
	}
	demand(sums[0] == chain.read_bytes && sums[1] == chain.write_bytes && sums[0] + sums[1] <= UINT32_MAX);
}

PROOF(two_descriptors)
{
	start(false, false);
	struct vring_desc *desc = (struct vring_desc *)ram;
	desc[0] = any_desc();
	desc[1] = any_desc();
	desc[2] = (struct vring_desc){ .addr = 2048, .len = 4, .flags = VRING_DESC_F_WRITE };
	((uint16_t *)(ram + AVAIL_OFFSET))[1] = 1;
	pop_and_check();
}

PROOF(a_table)
{
	start(true, false);
	struct vring_desc *desc = (struct vring_desc *)ram;
	/* Aligned or not; one or two entries, or what makes no sense. */
	static const uint32_t lens[] = { 0, 15, 16, 32, 48, 16 * SIZE, 16 * SIZE + 16, UINT32_MAX };
	uint64_t at = 3000 + pick(2);
	desc[0] = (struct vring_desc){ .addr = at, .len = lens[pick(8)], .flags = VRING_DESC_F_INDIRECT };
	struct vring_desc table[2] = { any_desc(), { .addr = 2048, .len = 8, .flags = (uint16_t)pick(8) } };
	memset(ram + at, 0, 96);
	memcpy(ram + at, table, sizeof(table));
	((uint16_t *)(ram + AVAIL_OFFSET))[1] = 1;
	pop_and_check();
}

PROOF(any_avail)
{
	start(true, false);
	struct vring_desc *desc = (struct vring_desc *)ram;
	for (unsigned i = 0; i < SIZE; i++)
		desc[i] = (struct vring_desc){ .addr = 2048, .len = 4 };
	uint16_t *avail = (uint16_t *)(ram + AVAIL_OFFSET), head = pick_u16();
	q.next_avail = pick_u16();
	avail[1] = pick_u16();
	for (unsigned i = 0; i < SIZE; i++)
		avail[2 + i] = head;
	uint16_t waiting = (uint16_t)(avail[1] - q.next_avail);
	struct virtq_chain chain = { .iov = iov, .iov_max = 16 };
	int should = waiting == 0 ? 0 : waiting <= SIZE && head < SIZE ? 1 : -EPROTO;
	demand(virtq_pop(&q, &chain) == should);
}

PROOF(rings_are_in_memory)
{
	struct virtq any;
	virtq_init(&any, 256);
	start(false, false);
	any.size = (uint16_t)(pick(2) ? 1u << pick(10) : pick(20));
	any.desc_gpa = pick_u64();
	any.avail_gpa = pick(2) ? pick_u64() : AVAIL_OFFSET;
	any.used_gpa = pick(2) ? pick_u64() : USED_OFFSET;
	bool has_event_idx = pick(2);
	if (virtq_start(&any, &mem, false, has_event_idx) < 0) {
		demand(!any.is_ready);
		return;
	}
	uint64_t n = any.size, more = has_event_idx ? 2 : 0;
	demand(n >= 1 && n <= 256 && (n & (n - 1)) == 0);
	demand(any.desc_gpa + 16 * n <= RAM + ROM && any.avail_gpa + 4 + 2 * n + more <= RAM + ROM);
	demand(any.used_gpa + 4 + 8 * n + more <= RAM);
}

/* Interrupts exactly when the driver's index lies among those just published. */
PROOF(interrupts)
{
	start(false, true);
	uint16_t old = pick_u16(), n = (uint16_t)pick(6), event = (uint16_t)(old + pick(8) - 1);
	q.signalled = old;
	q.next_used = (uint16_t)(old + n);
	((uint16_t *)(ram + AVAIL_OFFSET))[2 + SIZE] = event;
	uint16_t ahead = (uint16_t)(event - old);
	demand(virtq_needs_interrupt(&q) == (ahead < n));
	demand(!virtq_needs_interrupt(&q));
}

PROOF(used_ring)
{
	start(false, pick(2));
	q.next_used = pick_u16();
	uint16_t at = q.next_used & (SIZE - 1), head = pick_u16();
	uint32_t len = pick_u32();
	memset(ram + USED_OFFSET, 0x5a, 64);
	uint16_t next = (uint16_t)(q.next_used + 1);
	virtq_push(&q, head, len);
	virtq_publish(&q);
	const uint16_t *used = (const uint16_t *)(ram + USED_OFFSET);
	const struct vring_used_elem *elem = (const struct vring_used_elem *)(ram + USED_OFFSET + 4);
	demand(used[1] == next && elem[at].id == head && elem[at].len == len);
	for (unsigned i = 0; i < 64; i++) {
		bool is_ours = i == 2 || i == 3 || (i >= 4 + 8u * at && i < 12 + 8u * at);
		demand(is_ours || ram[USED_OFFSET + i] == 0x5a);
	}
}

/* ---- a device that does nothing ---- */

static struct virtio_device dev;
static struct virtio_mmio mmio;
static unsigned activated;
static uint8_t config[6];

static int activate(struct virtio_device *d)
{
	activated++;
	return 0;
}

static bool kicked(struct virtio_device *d, unsigned index)
{
	return false;
}

static void written(struct virtio_device *d, uint32_t offset, const uint8_t *data, uint32_t len)
{
	demand(len > 0 && offset < sizeof(config) && len <= sizeof(config) - offset);
	memcpy(config + offset, data, len);
}

static const struct virtio_ops ops = { .activate = activate, .kicked = kicked, .config_written = written };

static void start_device(void)
{
	static struct loop loop = { .epoll_fd = -1 };
	start(false, false);
	dev = (struct virtio_device){ 0 };
	/* No queue: then there are no descriptors either, which cbmc has no notion of. */
	demand(virtio_device_init(&dev, &ops, 42, 5, NULL, 0, &mem, &loop) == 0);
	dev.config = config;
	dev.config_len = sizeof(config);
	virtio_mmio_init(&mmio, &dev, -1);
	activated = 0;
}

/* Whatever is written in whatever order: a device that is live has agreed on features it
 * offers, version 1 among them, and was started once. */
PROOF(status_and_features)
{
	static const uint8_t statuses[] = { 0, 1, 3, 8, 11, 15, 64, 128, 255 };
	static const uint32_t low[] = { 0, 5, 2, UINT32_MAX }, high[] = { 0, 1, 2 };
	start_device();
	uint8_t before = 0;
	unsigned live = 0;
	for (unsigned i = 0; i < 5; i++) {
		if (i == 2) {
			virtio_device_accept(&dev, 0, low[pick(4)]);
			virtio_device_accept(&dev, 1, high[pick(3)]);
			virtio_device_accept(&dev, 2, UINT32_MAX);
		}
		uint8_t status = statuses[pick(9)];
		bool was_live = virtio_device_is_live(&dev);
		virtio_device_set_status(&dev, status);
		/* Bits go only by a reset, and all at once. */
		demand(status == 0 ? dev.status == 0 : (before & ~dev.status) == 0);
		demand((dev.status & ~(before | status)) == 0);
		demand(!(dev.status & VIRTIO_CONFIG_S_NEEDS_RESET));
		demand(!(dev.status & VIRTIO_CONFIG_S_DRIVER_OK) || (dev.status & VIRTIO_CONFIG_S_FEATURES_OK));
		if (dev.status & VIRTIO_CONFIG_S_FEATURES_OK)
			demand(!(dev.accepted & ~dev.offered) && virtio_device_has(&dev, VIRTIO_F_VERSION_1));
		live += !was_live && virtio_device_is_live(&dev);
		before = dev.status;
	}
	demand(activated == live);
}

PROOF(config_space)
{
	uint8_t bytes[8];
	start_device();
	memcpy(config, "123456", 6);
	uint64_t offset = pick(2) ? pick_u64() : VIRTIO_MMIO_BYTES - 8 + pick(8);
	uint32_t len = 1 + (uint32_t)pick(8);
	assume(offset < VIRTIO_MMIO_BYTES);
	memset(bytes, 0x5a, sizeof(bytes));
	virtio_mmio_read(&mmio, offset, bytes, len);
	for (unsigned i = len; i < 8; i++)
		demand(bytes[i] == 0x5a);
	/* As far as configuration goes: what is there, then zeros. */
	virtio_config_read(&dev, (uint32_t)pick(10), bytes, len);
	virtio_config_write(&dev, pick_u32(), bytes, pick(2) ? len : pick_u32());
	virtio_mmio_write(&mmio, offset, bytes, len);
}
