/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_mmio.h"

#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "driver.h"
#include "test.h"

/* A device that gives each chain back, counting. */
struct echo {
	struct virtio_device dev;
	unsigned activated, reset, served;
	bool refuses, lies;
	uint8_t bytes[8];
};

static struct iovec pieces[64];

static int64_t echo_handle(struct virtio_device *dev, struct virtq_chain *chain)
{
	struct echo *e = (struct echo *)dev;
	e->served++;
	return e->lies ? -EPROTO : 7;
}

static bool echo_kicked(struct virtio_device *dev, unsigned index)
{
	return virtio_queue_serve(dev, index, pieces, 64, echo_handle);
}

static int echo_activate(struct virtio_device *dev)
{
	struct echo *e = (struct echo *)dev;
	e->activated++;
	return e->refuses ? -EIO : 0;
}

static void echo_reset(struct virtio_device *dev)
{
	((struct echo *)dev)->reset++;
}

static void echo_written(struct virtio_device *dev, uint32_t offset, const uint8_t *data, uint32_t len)
{
	memcpy(dev->config + offset, data, len);
}

static void echo_free(struct virtio_device *dev)
{
	virtio_device_done(dev);
	free(dev);
}

static const struct virtio_ops echo_ops = { .activate = echo_activate,
					    .reset = echo_reset,
					    .kicked = echo_kicked,
					    .config_written = echo_written,
					    .free = echo_free };

static struct echo *echo_new(struct vm *vm)
{
	static const uint16_t sizes[] = { 128, 16 };
	struct echo *e = calloc(1, sizeof(*e));
	vm_init(vm);
	CHECK_EQ(virtio_device_init(&e->dev, &echo_ops, 42, 0x5, sizes, 2, &vm->mem, &vm->loop), 0);
	memcpy(e->bytes, "abcdefgh", 8);
	e->dev.config = e->bytes;
	e->dev.config_len = sizeof(e->bytes);
	vm_attach(vm, &e->dev);
	return e;
}

TEST(identity)
{
	struct vm vm;
	echo_new(&vm);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_DEVICE_ID), 42);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_VENDOR_ID), VIRTIO_MMIO_HULL);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_QUEUE_NUM_MAX), 128);
	vm_set(&vm, VIRTIO_MMIO_QUEUE_SEL, 1);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_QUEUE_NUM_MAX), 16);
	vm_set(&vm, VIRTIO_MMIO_QUEUE_SEL, 2);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
	vm_set(&vm, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_DEVICE_FEATURES), 1); /* VERSION_1 */
	vm_set(&vm, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_DEVICE_FEATURES), 0);
	/* No shared memory: a length of -1. */
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_SHM_LEN_LOW), UINT32_MAX);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_SHM_LEN_HIGH), UINT32_MAX);
	vm.dev->shm[0] = (struct virtio_shm){ .id = 3, .gpa = 0x123456789, .len = 0x987654321 };
	vm.dev->n_shm = 1;
	vm_set(&vm, VIRTIO_MMIO_SHM_SEL, 3);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_SHM_LEN_HIGH), 9);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_SHM_BASE_LOW), 0x23456789);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_SHM_BASE_HIGH), 1);
	vm_done(&vm);
}

TEST(serves)
{
	struct vm vm;
	struct dq q[2];
	struct echo *e = echo_new(&vm);
	vm_start(&vm, q, 2, 16, 0);
	CHECK_EQ(e->activated, 1);
	struct piece p = { 0x10000, 100, true };
	for (int i = 0; i < 100; i++) {
		dq_add(&q[i & 1], &p, 1);
		CHECK_EQ(dq_run(&q[i & 1]), 7);
		CHECK_EQ(vm_interrupts(&vm), 1);
		CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
		vm_set(&vm, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
		CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	}
	/* A reset, and all of it again. */
	vm_set(&vm, VIRTIO_MMIO_STATUS, 0);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_STATUS), 0);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_QUEUE_READY), 0);
	CHECK_EQ(e->reset, 1);
	vm_start(&vm, q, 2, 8, UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX);
	dq_add(&q[0], &p, 1);
	CHECK_EQ(dq_run(&q[0]), 7);
	vm_done(&vm);
}

/* Buffers from before DRIVER_OK count, whether or not there was a kick for them. */
TEST(buffers_before_the_start)
{
	for (int kicked = 0; kicked < 2; kicked++) {
		struct vm vm;
		struct dq q;
		struct echo *e = echo_new(&vm);
		vm_negotiate(&vm, 0);
		dq_setup(&vm, &q, 0, 128);
		struct piece p = { 0x10000, 100, true };
		dq_add(&q, &p, 1);
		if (kicked)
			dq_kick(&q);
		vm_pump(&vm);
		CHECK_EQ(e->served, 0);
		vm_driver_ok(&vm);
		vm_pump(&vm);
		CHECK_EQ(e->served, 1);
		vm_done(&vm);
	}
}

/* Kicks without end leave the others their turn: one kick is a bounded batch. */
TEST(budget)
{
	struct vm vm;
	struct dq q;
	struct echo *e = echo_new(&vm);
	vm_negotiate(&vm, 0);
	dq_setup(&vm, &q, 0, 128);
	vm_driver_ok(&vm);
	struct piece p = { 0x10000, 100, true };
	for (int i = 0; i < 128; i++)
		dq_add(&q, &p, 1);
	dq_kick(&q);
	CHECK_EQ(loop_step(&vm.loop, 1000), 1);
	CHECK_EQ(e->served, VIRTIO_BUDGET);
	CHECK_EQ(loop_step(&vm.loop, 1000), 1);
	CHECK_EQ(e->served, 128);
	vm_pump(&vm);
	CHECK_EQ(e->served, 128);
	vm_done(&vm);
}

TEST(lies_fail_the_device)
{
	struct vm vm;
	struct dq q;
	struct echo *e = echo_new(&vm);
	for (int what = 0; what < 2; what++) {
		vm_negotiate(&vm, 0);
		dq_setup(&vm, &q, 0, 16);
		vm_driver_ok(&vm);
		struct piece p = { what ? 0x10000 : 0x90000000, 100, true };
		e->lies = what;
		e->reset = 0;
		dq_add(&q, &p, 1);
		dq_kick(&q);
		vm_pump(&vm);
		CHECK(vm_needs_reset(&vm));
		CHECK_EQ(e->reset, 1);
		CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
		CHECK(!dq_used(&q, NULL, NULL));
		/* Nothing helps but a reset. */
		p.gpa = 0x10000;
		e->lies = false;
		e->served = 0;
		dq_add(&q, &p, 1);
		dq_kick(&q);
		vm_set(&vm, VIRTIO_MMIO_STATUS, 15);
		vm_pump(&vm);
		CHECK_EQ(e->served, 0);
		CHECK(vm_needs_reset(&vm));
		vm_set(&vm, VIRTIO_MMIO_STATUS, 0);
		CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_STATUS), 0);
		CHECK_EQ(e->reset, 1);
		CHECK_EQ(vm.dev->failures, what + 1);
	}
	vm_done(&vm);
}

TEST(status_machine)
{
	struct vm vm;
	struct echo *e = echo_new(&vm);
	/* Not before what it stands on. */
	static const uint8_t early[] = { 2, 4, 8, 15, 9, 5, 7, 12, 14, 6 };
	for (unsigned i = 0; i < sizeof(early); i++) {
		vm_set(&vm, VIRTIO_MMIO_STATUS, early[i]);
		CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_STATUS), 0);
	}
	vm_set(&vm, VIRTIO_MMIO_STATUS, 3);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_STATUS), 3);
	vm_set(&vm, VIRTIO_MMIO_STATUS, 1); /* a bit cannot be taken away */
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_STATUS), 3);
	vm_set(&vm, VIRTIO_MMIO_STATUS, 11); /* without VERSION_1 */
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_STATUS), 3);
	vm_set(&vm, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	vm_set(&vm, VIRTIO_MMIO_DRIVER_FEATURES, 3); /* with one that was not offered */
	vm_set(&vm, VIRTIO_MMIO_STATUS, 11);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_STATUS), 3);
	vm_set(&vm, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	vm_set(&vm, VIRTIO_MMIO_STATUS, 64 | 11); /* the device's own bit */
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_STATUS), 11);
	vm_set(&vm, VIRTIO_MMIO_DRIVER_FEATURES, 0); /* too late */
	CHECK_EQ(vm.dev->accepted, UINT64_C(1) << 32);
	/* A queue that is not set up is no harm; a bad one is. */
	vm_set(&vm, VIRTIO_MMIO_STATUS, 15);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_STATUS), 15);
	CHECK_EQ(e->activated, 1);
	vm_set(&vm, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	vm_set(&vm, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	vm_set(&vm, VIRTIO_MMIO_QUEUE_NOTIFY, 2);
	vm_set(&vm, VIRTIO_MMIO_QUEUE_NOTIFY, UINT32_MAX);
	vm_pump(&vm);
	CHECK_EQ(e->served, 0);
	CHECK(!vm_needs_reset(&vm));
	vm_set(&vm, VIRTIO_MMIO_QUEUE_READY, 1); /* too late */
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_QUEUE_READY), 0);
	vm_set(&vm, VIRTIO_MMIO_STATUS, 128 | 15);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_STATUS), 128 | 15);
	vm_done(&vm);
}

TEST(bad_queues)
{
	struct vm vm;
	static const uint32_t sizes[] = { 0, 3, 256, 65536, UINT32_MAX };
	echo_new(&vm);
	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
		vm_negotiate(&vm, 0);
		vm_set(&vm, VIRTIO_MMIO_QUEUE_NUM, sizes[i]);
		vm_set(&vm, VIRTIO_MMIO_QUEUE_DESC_LOW, 0x1000);
		vm_set(&vm, VIRTIO_MMIO_QUEUE_AVAIL_LOW, 0x3000);
		vm_set(&vm, VIRTIO_MMIO_QUEUE_USED_LOW, 0x5000);
		vm_set(&vm, VIRTIO_MMIO_QUEUE_READY, 1);
		CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_QUEUE_READY), 0);
		CHECK(vm_needs_reset(&vm));
		vm_set(&vm, VIRTIO_MMIO_STATUS, 15);
		CHECK(!virtio_device_is_live(vm.dev));
	}
	/* Once ready its addresses stay. */
	struct dq q;
	vm_negotiate(&vm, 0);
	dq_setup(&vm, &q, 0, 8);
	vm_set(&vm, VIRTIO_MMIO_QUEUE_DESC_HIGH, 5);
	vm_set(&vm, VIRTIO_MMIO_QUEUE_NUM, 16);
	CHECK_EQ(vm.dev->queues[0].desc_gpa, q.desc_gpa);
	CHECK_EQ(vm.dev->queues[0].size, 8);
	/* Taking a queue away from under a device at work stops it. */
	vm_driver_ok(&vm);
	vm_set(&vm, VIRTIO_MMIO_QUEUE_READY, 0);
	CHECK(vm_needs_reset(&vm));
	vm_done(&vm);
}

TEST(device_that_cannot_start)
{
	struct vm vm;
	struct echo *e = echo_new(&vm);
	e->refuses = true;
	vm_negotiate(&vm, 0);
	vm_set(&vm, VIRTIO_MMIO_STATUS, 15);
	CHECK(vm_needs_reset(&vm));
	CHECK_EQ(vm_interrupts(&vm), 1);
	vm_done(&vm);
}

TEST(config_space)
{
	struct vm vm;
	uint64_t eight = 0;
	uint8_t one = 0;
	echo_new(&vm);
	virtio_mmio_read(&vm.mmio, VIRTIO_MMIO_CONFIG, &eight, 8);
	CHECK(memcmp(&eight, "abcdefgh", 8) == 0);
	virtio_mmio_read(&vm.mmio, VIRTIO_MMIO_CONFIG + 7, &one, 1);
	CHECK_EQ(one, 'h');
	virtio_mmio_read(&vm.mmio, VIRTIO_MMIO_CONFIG + 6, &eight, 8); /* past its end: zeros */
	CHECK(memcmp(&eight, "gh\0\0\0\0\0\0", 8) == 0);
	virtio_mmio_read(&vm.mmio, VIRTIO_MMIO_CONFIG + 0xeff, &one, 1);
	CHECK_EQ(one, 0);
	virtio_mmio_write(&vm.mmio, VIRTIO_MMIO_CONFIG + 2, "XY", 2);
	virtio_mmio_write(&vm.mmio, VIRTIO_MMIO_CONFIG + 7, "PQ", 2); /* crosses the end */
	virtio_mmio_write(&vm.mmio, VIRTIO_MMIO_CONFIG + 8, "P", 1);
	virtio_mmio_read(&vm.mmio, VIRTIO_MMIO_CONFIG, &eight, 8);
	CHECK(memcmp(&eight, "abXYefgh", 8) == 0);
	/* Registers are whole words. */
	virtio_mmio_read(&vm.mmio, 0, &eight, 8);
	CHECK_EQ(eight, 0);
	virtio_mmio_read(&vm.mmio, 2, &eight, 4);
	CHECK_EQ((uint32_t)eight, 0);
	virtio_mmio_write(&vm.mmio, VIRTIO_MMIO_STATUS, "\1", 1);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_STATUS), 0);
	/* A change is told, and counted. */
	uint32_t before = vm_reg(&vm, VIRTIO_MMIO_CONFIG_GENERATION);
	vm_negotiate(&vm, 0);
	virtio_device_config_changed(vm.dev);
	CHECK_EQ(vm_interrupts(&vm), 0); /* nobody is there yet */
	vm_driver_ok(&vm);
	virtio_device_config_changed(vm.dev);
	CHECK_EQ(vm_interrupts(&vm), 1);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_CONFIG_GENERATION), before + 2);
	vm_done(&vm);
}

TEST_MAIN()
