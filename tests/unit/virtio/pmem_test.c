/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_pmem.h"

#include <errno.h>
#include <linux/virtio_pmem.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "driver.h"
#include "pmem_window.h"
#include "test.h"

static int file_of(const char *text, uint64_t bytes)
{
	int fd = memfd_create("layer", MFD_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, (off_t)bytes), 0);
	CHECK_EQ(pwrite(fd, text, strlen(text), 0), (ssize_t)strlen(text));
	return fd;
}

TEST(window)
{
	struct blk_layer layers[2] = { { .bytes = 5000, .name = "one" }, { .bytes = 3 << 20, .name = "two" } };
	struct blk_disk disk;
	struct pmem_window window;
	layers[0].fd = file_of("first layer", 5000);
	layers[1].fd = file_of("second layer", 3 << 20);
	CHECK_EQ(blk_disk_layers(&disk, layers, 2, PMEM_ALIGN), 0);
	CHECK_EQ(pmem_window_map(&disk, &window), 0);
	blk_disk_done(&disk);
	const uint8_t *p = window.host;
	CHECK_EQ((uintptr_t)p % PMEM_ALIGN, 0);
	CHECK_EQ(window.bytes, 8 << 20);
	CHECK(memcmp(p + 512, "EFI PART", 8) == 0);
	CHECK(memcmp(p + PMEM_ALIGN, "first layer", 11) == 0);
	CHECK(memcmp(p + 2 * PMEM_ALIGN, "second layer", 12) == 0);
	/* Past the layer's last page too. */
	for (uint64_t i = 5000; i < PMEM_ALIGN; i += 777)
		CHECK_EQ(p[PMEM_ALIGN + i], 0);
	CHECK_EQ(p[window.bytes - 1], 0);
	/* The file's own pages, and not for writing. */
	CHECK_EQ(pwrite(layers[1].fd, "changed", 7, 0), 7);
	CHECK(memcmp(p + 2 * PMEM_ALIGN, "changedlayer", 7) == 0);
	for (int i = 0; i < 3; i++) {
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0) {
			signal(SIGSEGV, SIG_DFL);
			((volatile uint8_t *)window.host)[(uint64_t)i * PMEM_ALIGN] = 1;
			_exit(0);
		}
		int status;
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	}
	pmem_window_unmap(&window);
	close(layers[0].fd);
	close(layers[1].fd);
}

TEST(flush)
{
	struct vm vm;
	struct dq q;
	struct virtio_device *dev;
	vm_init(&vm);
	CHECK_EQ(virtio_pmem_new(0, 0, &vm.mem, &vm.loop, &dev), -EINVAL);
	CHECK_EQ(virtio_pmem_new(4096, PMEM_ALIGN, &vm.mem, &vm.loop, &dev), -EINVAL);
	CHECK_EQ(virtio_pmem_new(UINT64_MAX - PMEM_ALIGN + 1, PMEM_ALIGN, &vm.mem, &vm.loop, &dev), -EINVAL);
	CHECK_EQ(virtio_pmem_new(UINT64_C(4) << 30, 4 * PMEM_ALIGN, &vm.mem, &vm.loop, &dev), 0);
	vm_attach(&vm, dev);
	vm_start(&vm, &q, 1, 64, 0);
	struct virtio_pmem_config config;
	virtio_mmio_read(&vm.mmio, VIRTIO_MMIO_CONFIG, &config.start, 8);
	virtio_mmio_read(&vm.mmio, VIRTIO_MMIO_CONFIG + 8, &config.size, 8);
	CHECK_EQ(config.start, UINT64_C(4) << 30);
	CHECK_EQ(config.size, 4 * PMEM_ALIGN);
	struct piece p[] = { { 0x20000, 4, false }, { 0x21000, 4, true } };
	uint32_t *type = vm_ptr(&vm, 0x20000), *ret = vm_ptr(&vm, 0x21000);
	*type = VIRTIO_PMEM_REQ_TYPE_FLUSH;
	*ret = 9;
	dq_add(&q, p, 2);
	CHECK_EQ(dq_run(&q), 4);
	CHECK_EQ(*ret, 0);
	*type = 5;
	dq_add(&q, p, 2);
	CHECK_EQ(dq_run(&q), 4);
	CHECK(*ret != 0);
	p[1].len = 3;
	dq_add(&q, p, 2);
	dq_kick(&q);
	vm_pump(&vm);
	CHECK(vm_needs_reset(&vm));
	vm_done(&vm);
}

TEST_MAIN()
