/* SPDX-License-Identifier: Apache-2.0 */
/* A driver of virtio-mmio that can also lie. */
#pragma once

enum { QUEUE_SEL = 0x30, QUEUE_MAX = 0x34, QUEUE_NUM = 0x38, QUEUE_READY = 0x44, QUEUE_NOTIFY = 0x50, STATUS = 0x70,
       QUEUE_DESC = 0x80, QUEUE_AVAIL = 0x90, QUEUE_USED = 0xa0 };
#define SIZE 8

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};
struct ring {
	struct desc desc[SIZE];
	uint16_t avail_flags, avail_idx, avail[SIZE], used_event, pad;
	struct {
		uint16_t flags, idx;
		struct {
			uint32_t id, len;
		} ring[SIZE];
		uint16_t avail_event;
	} used;
};
static volatile struct ring ring __attribute__((aligned(4096)));
static uint8_t buffer[4096] __attribute__((aligned(4096)));

static uint32_t reg(unsigned window, unsigned at)
{
	return *(volatile uint32_t *)(WINDOWS + window * 0x1000 + at);
}

static void set_reg(unsigned window, unsigned at, uint32_t value)
{
	*(volatile uint32_t *)(WINDOWS + window * 0x1000 + at) = value;
}

static void set_address(unsigned window, unsigned at, uint64_t address)
{
	set_reg(window, at, (uint32_t)address);
	set_reg(window, at + 4, (uint32_t)(address >> 32));
}

/* Reset and get as far as DRIVER_OK with one queue, at @base if not 0. */
static void begin(unsigned window, unsigned queue, uint64_t base)
{
	for (unsigned i = 0; i < sizeof(ring); i++)
		((volatile uint8_t *)&ring)[i] = 0;
	set_reg(window, STATUS, 0);
	set_reg(window, STATUS, 1);
	set_reg(window, STATUS, 3);
	set_reg(window, 0x24, 1); /* VERSION_1 */
	set_reg(window, 0x20, 1);
	set_reg(window, STATUS, 11);
	set_reg(window, QUEUE_SEL, queue);
	set_reg(window, QUEUE_NUM, SIZE);
	set_address(window, QUEUE_DESC, base ? base : (uint64_t)&ring.desc);
	set_address(window, QUEUE_AVAIL, base ? base : (uint64_t)&ring.avail_flags);
	set_address(window, QUEUE_USED, base ? base : (uint64_t)&ring.used);
	set_reg(window, QUEUE_READY, 1);
	set_reg(window, STATUS, 15);
}

static void offer(unsigned window, unsigned queue, uint16_t head, uint16_t idx)
{
	ring.avail[(uint16_t)(ring.avail_idx) % SIZE] = head;
	__asm__ volatile("" ::: "memory");
	ring.avail_idx = idx;
	set_reg(window, QUEUE_NOTIFY, queue);
}

/* Used, or failed: whichever comes. */
static uint32_t await(unsigned window, uint16_t idx)
{
	for (unsigned i = 0; i < 20000; i++) {
		uint32_t status = i % 64 ? 0 : reg(window, STATUS);
		if (ring.used.idx == idx || status & 64)
			break;
	}
	return reg(window, STATUS);
}

static unsigned find(uint32_t id)
{
	for (unsigned i = 0; i < 19; i++) {
		if (reg(i, 0) == 0x74726976 && reg(i, 8) == id)
			return i;
	}
	print("no such device\n");
	power_off();
	return 0;
}

static int rng_works(unsigned window)
{
	unsigned changed = 0;
	for (unsigned i = 0; i < 64; i++)
		buffer[i] = 0;
	begin(window, 0, 0);
	ring.desc[0] = (struct desc){ (uint64_t)buffer, 64, 2, 0 };
	offer(window, 0, 0, 1);
	await(window, 1);
	for (unsigned i = 0; i < 64; i++)
		changed += buffer[i] != 0;
	return ring.used.idx == 1 && ring.used.ring[0].len > 0 && changed > 8;
}

static void drive_rng(void)
{
	print(rng_works(find(4)) ? "random ok\n" : "random wrong\n");
}

/* Each lie, to each queue of each device: the device must say that it needs a reset
 * (or do nothing), and the machine must go on. */
static void attack_queue(unsigned window, unsigned queue)
{
	for (unsigned lie = 0; lie < 10; lie++) {
		begin(window, queue, lie == 9 ? UINT64_C(0xfffffffffffff000) : 0);
		struct desc d = { (uint64_t)buffer, 64, 2, 0 };
		uint16_t head = 0, idx = 1;
		if (lie == 0)
			d.addr = UINT64_C(0xfffffffffffffff0);
		else if (lie == 1)
			d.addr = UINT64_C(0xd0000000); /* a device's registers */
		else if (lie == 2)
			d.len = 0xffffffff;
		else if (lie == 3)
			d = (struct desc){ (uint64_t)buffer, 64, 1, 0 }; /* a chain without an end */
		else if (lie == 4)
			d.next = 1000, d.flags = 1;
		else if (lie == 5)
			head = 0xffff;
		else if (lie == 6)
			idx = 0x8000;
		else if (lie == 7)
			d = (struct desc){ (uint64_t)buffer, 17, 4, 0 }; /* an indirect table not asked for */
		else if (lie == 8)
			d = (struct desc){ (uint64_t)buffer, 64, 2 | 1, 1 }, ring.desc[1] = (struct desc){ (uint64_t)buffer, 64, 0, 0 };
		ring.desc[0] = d;
		offer(window, queue, head, idx);
		await(window, 1);
		/* Registers that are not there, in sizes that are not allowed. */
		*(volatile uint8_t *)(WINDOWS + window * 0x1000 + QUEUE_SEL) = 0xff;
		*(volatile uint64_t *)(WINDOWS + window * 0x1000 + 0xff8) = ~UINT64_C(0);
		set_reg(window, QUEUE_SEL, 0xffffffff);
		set_reg(window, QUEUE_NUM, 3);
		set_reg(window, QUEUE_NOTIFY, 77);
	}
	set_reg(window, STATUS, 0);
}

static void attack(void)
{
	unsigned attacked = 0;
	for (unsigned i = 0; i < 19; i++) {
		if (reg(i, 0) != 0x74726976)
			continue;
		for (unsigned queue = 0; queue < 8; queue++) {
			set_reg(i, QUEUE_SEL, queue);
			if (!reg(i, QUEUE_MAX))
				continue;
			attack_queue(i, queue);
			attacked++;
		}
	}
	print("attacked ");
	print_number(attacked);
	print(rng_works(find(4)) ? " and it works\n" : " and it does not work\n");
}
