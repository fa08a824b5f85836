/* SPDX-License-Identifier: Apache-2.0 */
#include "driver.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"

#define GUARD 4096u

static void add_region(struct vm *vm, uint64_t gpa, uint64_t len, unsigned flags)
{
	uint8_t *p = mmap(NULL, len + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(p != MAP_FAILED);
	CHECK_EQ(mprotect(p + GUARD, len, flags & GUEST_REGION_READONLY ? PROT_READ : PROT_READ | PROT_WRITE), 0);
	CHECK_EQ(guest_memory_add(&vm->mem, gpa, p + GUARD, len, flags), 0);
}

void vm_init(struct vm *vm)
{
	*vm = (struct vm){ .heap = 0x1000 };
	add_region(vm, 0, VM_LOW_BYTES, 0);
	add_region(vm, VM_HIGH_GPA, VM_HIGH_BYTES, 0);
	add_region(vm, VM_FAR_GPA, VM_FAR_BYTES, 0);
	add_region(vm, VM_ROM_GPA, VM_ROM_BYTES, GUEST_REGION_READONLY);
	CHECK_EQ(loop_init(&vm->loop), 0);
	vm->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(vm->irq_fd >= 0);
}

void vm_done(struct vm *vm)
{
	virtio_device_free(vm->dev);
	vm->dev = NULL;
	loop_done(&vm->loop);
	close(vm->irq_fd);
	for (unsigned i = 0; i < vm->mem.n; i++)
		munmap(vm->mem.regions[i].host - GUARD, vm->mem.regions[i].len + 2 * GUARD);
}

void *vm_ptr(struct vm *vm, uint64_t gpa)
{
	void *p = guest_memory_at(&vm->mem, gpa, 1, GUEST_READ);
	CHECK(p != NULL);
	return p;
}

uint64_t vm_alloc(struct vm *vm, uint64_t len)
{
	uint64_t gpa = (vm->heap + 15) & ~UINT64_C(15);
	/* Within one of the two regions that touch. */
	if (gpa < VM_HIGH_GPA && gpa + len > VM_HIGH_GPA)
		gpa = VM_HIGH_GPA;
	vm->heap = gpa + len;
	CHECK(vm->heap <= VM_HIGH_GPA + VM_HIGH_BYTES);
	return gpa;
}

uint32_t vm_reg(struct vm *vm, uint32_t offset)
{
	uint32_t value = 0;
	virtio_mmio_read(&vm->mmio, offset, &value, 4);
	return value;
}

void vm_set(struct vm *vm, uint32_t offset, uint32_t value)
{
	virtio_mmio_write(&vm->mmio, offset, &value, 4);
}

void vm_attach(struct vm *vm, struct virtio_device *dev)
{
	vm->dev = dev;
	virtio_mmio_init(&vm->mmio, dev, vm->irq_fd);
}

uint64_t vm_negotiate(struct vm *vm, uint64_t without)
{
	uint64_t features = 0;
	CHECK_EQ(vm_reg(vm, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	CHECK_EQ(vm_reg(vm, VIRTIO_MMIO_VERSION), 2);
	vm_set(vm, VIRTIO_MMIO_STATUS, 0);
	vm_set(vm, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	vm_set(vm, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	for (unsigned half = 0; half < 2; half++) {
		vm_set(vm, VIRTIO_MMIO_DEVICE_FEATURES_SEL, half);
		features |= (uint64_t)vm_reg(vm, VIRTIO_MMIO_DEVICE_FEATURES) << (half * 32);
	}
	features &= ~without;
	for (unsigned half = 0; half < 2; half++) {
		vm_set(vm, VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
		vm_set(vm, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> (half * 32)));
	}
	vm_set(vm, VIRTIO_MMIO_STATUS, 11);
	CHECK_EQ(vm_reg(vm, VIRTIO_MMIO_STATUS), 11);
	return features;
}

void dq_setup(struct vm *vm, struct dq *q, unsigned index, uint16_t size)
{
	*q = (struct dq){ .vm = vm, .index = index, .size = size };
	q->has_event_idx = virtio_device_has(vm->dev, VIRTIO_RING_F_EVENT_IDX);
	q->desc_gpa = vm_alloc(vm, 16u * size);
	q->avail_gpa = vm_alloc(vm, 6 + 2u * size);
	q->used_gpa = vm_alloc(vm, 6 + 8u * size);
	q->desc = vm_ptr(vm, q->desc_gpa);
	q->avail = vm_ptr(vm, q->avail_gpa);
	q->used = vm_ptr(vm, q->used_gpa);
	memset(q->desc, 0, 16u * size);
	memset(q->avail, 0, 6 + 2u * size);
	memset(q->used, 0, 6 + 8u * size);
	vm_set(vm, VIRTIO_MMIO_QUEUE_SEL, index);
	CHECK(vm_reg(vm, VIRTIO_MMIO_QUEUE_NUM_MAX) >= size);
	vm_set(vm, VIRTIO_MMIO_QUEUE_NUM, size);
	vm_set(vm, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)q->desc_gpa);
	vm_set(vm, VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(q->desc_gpa >> 32));
	vm_set(vm, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)q->avail_gpa);
	vm_set(vm, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, (uint32_t)(q->avail_gpa >> 32));
	vm_set(vm, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)q->used_gpa);
	vm_set(vm, VIRTIO_MMIO_QUEUE_USED_HIGH, (uint32_t)(q->used_gpa >> 32));
	vm_set(vm, VIRTIO_MMIO_QUEUE_READY, 1);
	CHECK_EQ(vm_reg(vm, VIRTIO_MMIO_QUEUE_READY), 1);
}

void vm_driver_ok(struct vm *vm)
{
	vm_set(vm, VIRTIO_MMIO_STATUS, 15);
	CHECK_EQ(vm_reg(vm, VIRTIO_MMIO_STATUS), 15);
}

void vm_start(struct vm *vm, struct dq *q, unsigned n, uint16_t size, uint64_t without)
{
	vm_negotiate(vm, without);
	for (unsigned i = 0; i < n; i++)
		dq_setup(vm, &q[i], i, size);
	vm_driver_ok(vm);
}

void dq_offer(struct dq *q, uint16_t head)
{
	q->avail[2 + q->avail_idx % q->size] = head;
	q->avail_idx++;
	__atomic_store_n(&q->avail[1], q->avail_idx, __ATOMIC_RELEASE);
}

static void fill(struct vring_desc *d, const struct piece *p, bool has_next, uint16_t next)
{
	*d = (struct vring_desc){
		.addr = p->gpa,
		.len = p->len,
		.flags = (uint16_t)((has_next ? VRING_DESC_F_NEXT : 0) | (p->is_write ? VRING_DESC_F_WRITE : 0)),
		.next = has_next ? next : 0,
	};
}

uint16_t dq_add(struct dq *q, const struct piece *pieces, unsigned n)
{
	uint16_t head = q->next_desc % q->size;
	for (unsigned i = 0; i < n; i++) {
		uint16_t at = q->next_desc++ % q->size;
		fill(&q->desc[at], &pieces[i], i + 1 < n, (uint16_t)((at + 1) % q->size));
	}
	dq_offer(q, head);
	return head;
}

uint16_t dq_add_indirect(struct dq *q, const struct piece *pieces, unsigned n)
{
	uint64_t table_gpa = vm_alloc(q->vm, 16 * n);
	struct vring_desc *table = vm_ptr(q->vm, table_gpa);
	for (unsigned i = 0; i < n; i++)
		fill(&table[i], &pieces[i], i + 1 < n, (uint16_t)(i + 1));
	uint16_t head = q->next_desc++ % q->size;
	q->desc[head] = (struct vring_desc){ .addr = table_gpa, .len = 16 * n, .flags = VRING_DESC_F_INDIRECT };
	dq_offer(q, head);
	return head;
}

void dq_kick(struct dq *q)
{
	vm_set(q->vm, VIRTIO_MMIO_QUEUE_NOTIFY, q->index);
}

bool dq_used(struct dq *q, uint32_t *id, uint32_t *len)
{
	if (__atomic_load_n(&q->used[1], __ATOMIC_ACQUIRE) == q->used_idx)
		return false;
	const struct vring_used_elem *e = (struct vring_used_elem *)(q->used + 2) + q->used_idx % q->size;
	if (id)
		*id = e->id;
	if (len)
		*len = e->len;
	q->used_idx++;
	/* Ask for an interrupt at the next. */
	if (q->has_event_idx)
		q->avail[2 + q->size] = q->used_idx;
	return true;
}

bool dq_wait(struct dq *q, uint32_t *id, uint32_t *len, int ms)
{
	while (!dq_used(q, id, len)) {
		if (ms-- <= 0)
			return false;
		CHECK(loop_step(&q->vm->loop, 1) >= 0);
	}
	return true;
}

uint32_t dq_run(struct dq *q)
{
	uint32_t len = 0;
	dq_kick(q);
	CHECK(dq_wait(q, NULL, &len, 10000));
	return len;
}

void vm_pump(struct vm *vm)
{
	int n;
	/* Bounded: a device that never comes to rest is a failure of its own. */
	for (int turns = 0; (n = loop_step(&vm->loop, 0)) > 0; turns++)
		CHECK(turns < 100000);
	CHECK_EQ(n, 0);
}

uint64_t vm_interrupts(struct vm *vm)
{
	uint64_t n;
	return read(vm->irq_fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

bool vm_needs_reset(struct vm *vm)
{
	return vm_reg(vm, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}
