/* SPDX-License-Identifier: Apache-2.0 */
/* A guest for tests: memory, an event loop, and a driver that speaks to a device
 * through its registers and rings, honestly or not. */
#pragma once

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#include "virtio_mmio.h"

#define VM_LOW_BYTES  (1u << 20)
#define VM_HIGH_BYTES (1u << 20)
#define VM_HIGH_GPA   UINT64_C(0x100000)
#define VM_FAR_GPA    UINT64_C(0x40000000)
#define VM_FAR_BYTES  (1u << 20)
#define VM_ROM_GPA    UINT64_C(0x80000000)
#define VM_ROM_BYTES  (1u << 16)

/* Memory: two regions that touch, one far away, and one that is read-only. Guard
 * pages lie around each. */
struct vm {
	struct guest_memory mem;
	struct loop loop;
	struct virtio_mmio mmio;
	struct virtio_device *dev;
	int irq_fd;
	uint64_t heap; /* the next free guest address */
};

void vm_init(struct vm *vm);
void vm_done(struct vm *vm); /* frees vm->dev */
void *vm_ptr(struct vm *vm, uint64_t gpa);
uint64_t vm_alloc(struct vm *vm, uint64_t len);

uint32_t vm_reg(struct vm *vm, uint32_t offset);
void vm_set(struct vm *vm, uint32_t offset, uint32_t value);

/* The driver's half of a queue. */
struct dq {
	struct vm *vm;
	unsigned index;
	uint16_t size;
	struct vring_desc *desc;
	uint16_t *avail;
	uint16_t *used;
	uint64_t desc_gpa, avail_gpa, used_gpa;
	uint16_t next_desc;
	uint16_t avail_idx;
	uint16_t used_idx;
	bool has_event_idx;
};

struct piece {
	uint64_t gpa;
	uint32_t len;
	bool is_write;
};

/* Attach @dev (owned from now on) and negotiate all of its features except
 * @without. */
void vm_attach(struct vm *vm, struct virtio_device *dev);
uint64_t vm_negotiate(struct vm *vm, uint64_t without);
void dq_setup(struct vm *vm, struct dq *q, unsigned index, uint16_t size);
void vm_driver_ok(struct vm *vm);
/* All of it: negotiate, @n queues of @size, DRIVER_OK. */
void vm_start(struct vm *vm, struct dq *q, unsigned n, uint16_t size, uint64_t without);

/* Queue a chain; returns its head. */
uint16_t dq_add(struct dq *q, const struct piece *pieces, unsigned n);
uint16_t dq_add_indirect(struct dq *q, const struct piece *pieces, unsigned n);
/* Make entry @head available, whatever it is. */
void dq_offer(struct dq *q, uint16_t head);
void dq_kick(struct dq *q);
/* The next used element: true if there is one. */
bool dq_used(struct dq *q, uint32_t *id, uint32_t *len);
/* Let the loop run until @q has a used element, or for @ms. */
bool dq_wait(struct dq *q, uint32_t *id, uint32_t *len, int ms);
/* Kick and wait for one; fails the test if it does not come. Returns its length. */
uint32_t dq_run(struct dq *q);
/* Serve what is ready, without waiting. */
void vm_pump(struct vm *vm);
/* Serve for up to @ms until @what is true. */
#define VM_UNTIL(vm, ms, what)                                              \
	do {                                                                \
		for (int left_ = (ms); !(what) && left_ > 0; left_--)       \
			CHECK(loop_step(&(vm)->loop, 1) >= 0);              \
		CHECK(what);                                                \
	} while (0)
/* Interrupts since the last call. */
uint64_t vm_interrupts(struct vm *vm);
bool vm_needs_reset(struct vm *vm);
