/* SPDX-License-Identifier: Apache-2.0 */
#include "guest_memory.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "driver.h"
#include "test.h"

TEST(regions_are_checked)
{
	static uint8_t pages[3 * 4096] __attribute__((aligned(4096)));
	struct guest_memory mem = { 0 };
	CHECK_EQ(guest_memory_add(&mem, 0x10000, pages, 8192, 0), 0);
	CHECK_EQ(guest_memory_add(&mem, 0x10000, pages, 4096, 0), -EEXIST);
	CHECK_EQ(guest_memory_add(&mem, 0x11000, pages, 4096, 0), -EEXIST);
	CHECK_EQ(guest_memory_add(&mem, 0xf000, pages, 8192, 0), -EEXIST);
	CHECK_EQ(guest_memory_add(&mem, 0x20000, pages, 0, 0), -EINVAL);
	CHECK_EQ(guest_memory_add(&mem, 0x20000, pages, 100, 0), -EINVAL);
	CHECK_EQ(guest_memory_add(&mem, 0x20000, NULL, 4096, 0), -EINVAL);
	CHECK_EQ(guest_memory_add(&mem, UINT64_C(0xfffffffffffff000), pages, 4096, 0), -EINVAL);
	CHECK_EQ(guest_memory_add(&mem, UINT64_C(0xffffffffffffe000), pages, 8192, 0), -EINVAL);
	CHECK_EQ(guest_memory_add(&mem, UINT64_C(0xffffffffffffe000), pages, 4096, 0), 0);
	CHECK_EQ(guest_memory_add(&mem, 0xf000, pages, 4096, 0), 0);
	CHECK_EQ(mem.regions[0].gpa, 0xf000);
	while (mem.n < GUEST_REGIONS_MAX)
		CHECK_EQ(guest_memory_add(&mem, 0x100000 + mem.n * 4096, pages, 4096, 0), 0);
	CHECK_EQ(guest_memory_add(&mem, 0x1000000, pages, 4096, 0), -ENOSPC);
}

/* Every range over a small address space, against a map of bytes. */
TEST(every_small_range)
{
	static uint8_t pages[8 * 4096] __attribute__((aligned(4096)));
	struct guest_memory mem = { 0 };
	/* In pages: 0 hole, 1-2 A, 3 B read-only, 4 C, 5 hole, 6 D. */
	static const int8_t region_of[8] = { -1, 0, 0, 1, 2, -1, 3, -1 };
	CHECK_EQ(guest_memory_add(&mem, 0x6000, pages + 4 * 4096, 4096, 0), 0);
	CHECK_EQ(guest_memory_add(&mem, 0x1000, pages, 8192, 0), 0);
	CHECK_EQ(guest_memory_add(&mem, 0x4000, pages + 3 * 4096, 4096, 0), 0);
	CHECK_EQ(guest_memory_add(&mem, 0x3000, pages + 2 * 4096, 4096, GUEST_REGION_READONLY), 0);
	static const int offsets[] = { 0, 1, 2048, 4095 };
	for (unsigned from = 0; from < 32; from++) {
		uint64_t gpa = from / 4 * 4096 + (uint64_t)offsets[from % 4];
		for (unsigned to = 0; to < 32; to++) {
			uint64_t last = to / 4 * 4096 + (uint64_t)offsets[to % 4];
			if (last < gpa)
				continue;
			bool one = true, all = true, writable = true;
			unsigned pieces = 1;
			for (uint64_t page = gpa / 4096; page <= last / 4096; page++) {
				int r = region_of[page];
				all = all && r >= 0;
				writable = writable && r != 1;
				if (page > gpa / 4096 && r != region_of[page - 1]) {
					one = false;
					pieces++;
				}
			}
			uint64_t len = last - gpa + 1;
			struct iovec iov[4];
			CHECK((guest_memory_at(&mem, gpa, len, GUEST_READ) != NULL) == (all && one));
			CHECK((guest_memory_at(&mem, gpa, len, GUEST_WRITE) != NULL) == (all && one && writable));
			int n = guest_memory_iov(&mem, gpa, len, GUEST_READ, iov, 4);
			CHECK_EQ(n, all ? (int)pieces : -EFAULT);
			uint64_t sum = 0;
			for (int i = 0; i < n; i++)
				sum += iov[i].iov_len;
			CHECK(n < 0 || sum == len);
			n = guest_memory_iov(&mem, gpa, len, GUEST_WRITE, iov, 4);
			CHECK_EQ(n, all && writable ? (int)pieces : -EFAULT);
			if (all && pieces > 1)
				CHECK_EQ(guest_memory_iov(&mem, gpa, len, GUEST_READ, iov, pieces - 1), -E2BIG);
		}
	}
	struct iovec iov[4];
	static const uint64_t far[] = { UINT64_MAX, UINT64_MAX - 4095, UINT64_MAX - 0x1000, INT64_MAX };
	for (unsigned i = 0; i < 4; i++) {
		CHECK(!guest_memory_at(&mem, 0x1000, far[i], GUEST_READ));
		CHECK(!guest_memory_at(&mem, far[i], far[i], GUEST_READ));
		CHECK_EQ(guest_memory_iov(&mem, 0x1000, far[i], GUEST_READ, iov, 4), -EFAULT);
		CHECK_EQ(guest_memory_iov(&mem, far[i], 1, GUEST_READ, iov, 4), -EFAULT);
	}
	CHECK(!guest_memory_at(&mem, 0x1000, 0, GUEST_READ));
	CHECK_EQ(guest_memory_iov(&mem, 0x1000, 0, GUEST_READ, iov, 4), -EFAULT);
}

TEST(copies_cross_regions)
{
	struct vm vm;
	char out[9] = "";
	vm_init(&vm);
	CHECK_EQ(guest_memory_write(&vm.mem, VM_HIGH_GPA - 4, "ABCDEFGH", 8), 0);
	CHECK(memcmp(vm_ptr(&vm, VM_HIGH_GPA), "EFGH", 4) == 0);
	CHECK_EQ(guest_memory_read(&vm.mem, VM_HIGH_GPA - 4, out, 8), 0);
	CHECK_STR(out, "ABCDEFGH");
	CHECK_EQ(guest_memory_write(&vm.mem, VM_HIGH_GPA + VM_HIGH_BYTES - 4, "ABCDEFGH", 8), -EFAULT);
	CHECK_EQ(guest_memory_write(&vm.mem, VM_ROM_GPA, "A", 1), -EFAULT);
	CHECK_EQ(guest_memory_read(&vm.mem, VM_ROM_GPA, out, 1), 0);
	CHECK_EQ(guest_memory_read(&vm.mem, 0x90000000, out, 1), -EFAULT);
	vm_done(&vm);
}

TEST(discard)
{
	struct vm vm;
	vm_init(&vm);
	uint8_t *p = vm_ptr(&vm, 0x10000);
	memset(p, 7, 3 * 4096);
	/* Only whole pages. */
	CHECK_EQ(guest_memory_discard(&vm.mem, p + 1, 3 * 4096 - 2), 0);
	CHECK_EQ(p[0], 7);
	CHECK_EQ(p[4095], 7);
	CHECK_EQ(p[4096], 0);
	CHECK_EQ(p[2 * 4096], 7);
	CHECK_EQ(guest_memory_discard(&vm.mem, p + 1, 100), 0);
	CHECK_EQ(p[1], 7);
	CHECK_EQ(guest_memory_discard(&vm.mem, vm_ptr(&vm, VM_ROM_GPA), 4096), -EPERM);
	CHECK_EQ(guest_memory_discard(&vm.mem, vm_ptr(&vm, VM_HIGH_GPA - 4096), 8192), -EFAULT);
	CHECK_EQ(guest_memory_discard(&vm.mem, &vm, 4096), -EFAULT);
	/* A shared mapping needs another way. */
	int fd = memfd_create("guest", MFD_CLOEXEC);
	CHECK_EQ(ftruncate(fd, 8192), 0);
	uint8_t *shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(shared != MAP_FAILED);
	CHECK_EQ(guest_memory_add(&vm.mem, 0x50000000, shared, 8192, GUEST_REGION_SHARED), 0);
	memset(shared, 7, 8192);
	CHECK_EQ(guest_memory_discard(&vm.mem, shared, 4096), 0);
	char byte = 1;
	CHECK_EQ(pread(fd, &byte, 1, 0), 1);
	CHECK_EQ(byte, 0);
	CHECK_EQ(shared[4096], 7);
	vm.mem.n--;
	memmove(&vm.mem.regions[3], &vm.mem.regions[4], sizeof(vm.mem.regions[0]));
	munmap(shared, 8192);
	close(fd);
	vm_done(&vm);
}

TEST_MAIN()
