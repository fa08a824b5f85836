/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_rng.h"

#include "cleanup.h"
#include "driver.h"
#include "test.h"

static struct dq q;

static void start(struct vm *vm)
{
	struct virtio_device *dev;
	vm_init(vm);
	CHECK_EQ(virtio_rng_new(&vm->mem, &vm->loop, &dev), 0);
	vm_attach(vm, dev);
	vm_start(vm, &q, 1, 64, 0);
}

TEST(fills)
{
	struct vm vm;
	start(&vm);
	uint8_t *p = vm_ptr(&vm, 0x10000);
	struct piece two[] = { { 0x10000, 40, true }, { 0x10100, 24, true } };
	dq_add(&q, two, 2);
	CHECK_EQ(dq_run(&q), 64);
	uint8_t zeros[64] = { 0 };
	CHECK(memcmp(p, zeros, 40) != 0);
	CHECK(memcmp(p + 0x100, zeros, 24) != 0);
	CHECK(memcmp(p + 40, zeros, 64) == 0);
	struct piece large = { 0x20000, 1 << 19, true };
	dq_add(&q, &large, 1);
	CHECK_EQ(dq_run(&q), 4096);
	vm_done(&vm);
}

TEST(lies)
{
	static const struct piece lies[] = { { 0x10000, 16, false }, { VM_ROM_GPA, 16, true }, { UINT64_MAX, 16, true } };
	for (unsigned i = 0; i < ARRAY_LEN(lies); i++) {
		struct vm vm;
		start(&vm);
		dq_add(&q, &lies[i], 1);
		dq_kick(&q);
		vm_pump(&vm);
		CHECK(vm_needs_reset(&vm));
		vm_done(&vm);
	}
}

TEST_MAIN()
