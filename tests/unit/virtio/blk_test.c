/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_blk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "driver.h"
#include "test.h"

static struct dq q;
#define HEADER 0x20000
#define STATUS 0x21000
#define DATA   0x30000

static void start_with(struct vm *vm, struct virtio_blk_setup *setup)
{
	struct virtio_device *dev = NULL;
	vm_init(vm);
	CHECK_EQ(virtio_blk_new(setup, &vm->mem, &vm->loop, &dev), 0);
	vm_attach(vm, dev);
	vm_start(vm, &q, 1, 64, 0);
}

static void start(struct vm *vm, int fd, bool is_readonly, enum blk_io_kind kind)
{
	struct virtio_blk_setup setup = { .id = "serial-number-of-20b", .io = kind };
	CHECK_EQ(blk_disk_raw(&setup.disk, fd, (uint64_t)lseek(fd, 0, SEEK_END), is_readonly), 0);
	start_with(vm, &setup);
}

static int file_of(uint64_t bytes)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

/* One request with its data in @pieces; returns the status, and the length used. */
static int ask(struct vm *vm, uint32_t type, uint64_t sector, const struct piece *pieces, unsigned n, uint32_t *ret_len)
{
	struct virtio_blk_outhdr header = { .type = type, .sector = sector };
	struct piece all[64] = { { HEADER, sizeof(header), false } };
	uint8_t *status = vm_ptr(vm, STATUS);
	memcpy(vm_ptr(vm, HEADER), &header, sizeof(header));
	for (unsigned i = 0; i < n; i++)
		all[i + 1] = pieces[i];
	all[n + 1] = (struct piece){ STATUS, 1, true };
	*status = 99;
	vm->heap = 0x8000;
	if (sector & 1)
		dq_add_indirect(&q, all, n + 2);
	else
		dq_add(&q, all, n + 2);
	uint32_t len = dq_run(&q);
	if (ret_len)
		*ret_len = len;
	return *status;
}

static const enum blk_io_kind kinds[] = { BLK_IO_BEST, BLK_IO_THREAD };

/* Which engine the host allows; the other is tested in any case. */
TEST(engines)
{
	struct loop loop;
	struct blk_io *io = NULL;
	CHECK_EQ(loop_init(&loop), 0);
	int r = blk_io_new(&loop, BLK_IO_URING, 8, NULL, NULL, &io);
	printf("# io_uring: %s\n", r == 0 ? "yes" : strerror(-r));
	if (r == 0)
		CHECK_EQ(blk_io_kind(io), BLK_IO_URING);
	blk_io_free(io);
	CHECK_EQ(blk_io_new(&loop, BLK_IO_THREAD, 8, NULL, NULL, &io), 0);
	CHECK_EQ(blk_io_kind(io), BLK_IO_THREAD);
	blk_io_free(io);
	loop_done(&loop);
}

TEST(reads_and_writes)
{
	for (unsigned k = 0; k < 2; k++) {
		struct vm vm;
		int fd = file_of(1 << 20);
		start(&vm, fd, false, kinds[k]);
		uint64_t capacity;
		virtio_mmio_read(&vm.mmio, VIRTIO_MMIO_CONFIG, &capacity, 8);
		CHECK_EQ(capacity, 2048);
		uint8_t *data = vm_ptr(&vm, DATA);
		for (unsigned i = 0; i < 4096; i++)
			data[i] = (uint8_t)(i * 7);
		/* Cut anywhere, across two regions too. */
		struct piece out[] = { { DATA, 1000, false }, { DATA + 1000, 24, false }, { DATA + 1024, 3072, false } };
		uint32_t len;
		CHECK_EQ(ask(&vm, VIRTIO_BLK_T_OUT, 9, out, 3, &len), VIRTIO_BLK_S_OK);
		CHECK_EQ(len, 1);
		uint8_t check[4096];
		CHECK_EQ(pread(fd, check, 4096, 9 * 512), 4096);
		CHECK(memcmp(check, data, 4096) == 0);
		struct piece in[] = { { VM_HIGH_GPA - 700, 1400, true }, { VM_FAR_GPA + 5, 2696, true } };
		CHECK_EQ(ask(&vm, VIRTIO_BLK_T_IN, 9, in, 2, &len), VIRTIO_BLK_S_OK);
		CHECK_EQ(len, 4097);
		CHECK_EQ(guest_memory_read(&vm.mem, VM_HIGH_GPA - 700, check, 1400), 0);
		CHECK(memcmp(check, data, 1400) == 0);
		CHECK(memcmp(vm_ptr(&vm, VM_FAR_GPA + 5), data + 1400, 2696) == 0);
		CHECK_EQ(ask(&vm, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, &len), VIRTIO_BLK_S_OK);
		struct piece id = { DATA, 20, true };
		CHECK_EQ(ask(&vm, VIRTIO_BLK_T_GET_ID, 0, &id, 1, &len), VIRTIO_BLK_S_OK);
		CHECK_EQ(len, 21);
		CHECK(memcmp(data, "serial-number-of-20b", 20) == 0);
		CHECK_EQ(ask(&vm, 77, 0, NULL, 0, &len), VIRTIO_BLK_S_UNSUPP);
		vm_done(&vm);
		close(fd);
	}
}

TEST(out_of_bounds)
{
	for (unsigned k = 0; k < 2; k++) {
		struct vm vm;
		int fd = file_of(64 * 512 + 100); /* the last 100 bytes are no sector */
		start(&vm, fd, false, kinds[k]);
		struct piece in = { DATA, 1024, true };
		CHECK_EQ(ask(&vm, VIRTIO_BLK_T_IN, 62, &in, 1, NULL), VIRTIO_BLK_S_OK);
		static const uint64_t sectors[] = { 63, 64, 65, UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 55 };
		for (unsigned i = 0; i < ARRAY_LEN(sectors); i++) {
			in.is_write = true;
			CHECK_EQ(ask(&vm, VIRTIO_BLK_T_IN, sectors[i], &in, 1, NULL), VIRTIO_BLK_S_IOERR);
			in.is_write = false;
			CHECK_EQ(ask(&vm, VIRTIO_BLK_T_OUT, sectors[i], &in, 1, NULL), VIRTIO_BLK_S_IOERR);
		}
		in = (struct piece){ DATA, 1000, true };
		CHECK_EQ(ask(&vm, VIRTIO_BLK_T_IN, 0, &in, 1, NULL), VIRTIO_BLK_S_IOERR);
		CHECK_EQ(lseek(fd, 0, SEEK_END), 64 * 512 + 100); /* it has not grown */
		/* The file gets shorter under us. */
		CHECK_EQ(ftruncate(fd, 512), 0);
		in = (struct piece){ DATA, 1024, true };
		CHECK_EQ(ask(&vm, VIRTIO_BLK_T_IN, 0, &in, 1, NULL), VIRTIO_BLK_S_IOERR);
		CHECK(!vm_needs_reset(&vm));
		vm_done(&vm);
		close(fd);
	}
}

TEST(read_only)
{
	struct vm vm;
	int fd = file_of(1 << 16);
	start(&vm, fd, true, BLK_IO_BEST);
	CHECK(virtio_device_has(vm.dev, VIRTIO_BLK_F_RO));
	CHECK(!virtio_device_has(vm.dev, VIRTIO_BLK_F_DISCARD));
	struct piece out = { DATA, 512, false };
	memset(vm_ptr(&vm, DATA), 7, 512);
	CHECK_EQ(ask(&vm, VIRTIO_BLK_T_OUT, 0, &out, 1, NULL), VIRTIO_BLK_S_IOERR);
	struct virtio_blk_discard_write_zeroes range = { .num_sectors = 8 };
	memcpy(vm_ptr(&vm, DATA), &range, sizeof(range));
	out.len = sizeof(range);
	CHECK_EQ(ask(&vm, VIRTIO_BLK_T_DISCARD, 0, &out, 1, NULL), VIRTIO_BLK_S_IOERR);
	CHECK_EQ(ask(&vm, VIRTIO_BLK_T_WRITE_ZEROES, 0, &out, 1, NULL), VIRTIO_BLK_S_IOERR);
	CHECK_EQ(ask(&vm, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, NULL), VIRTIO_BLK_S_OK);
	uint8_t byte = 1;
	CHECK_EQ(pread(fd, &byte, 1, 0), 1);
	CHECK_EQ(byte, 0);
	vm_done(&vm);
	close(fd);
}

TEST(discard_and_zeroes)
{
	for (unsigned k = 0; k < 2; k++) {
		struct vm vm;
		uint8_t bytes[4096 * 4];
		int fd = file_of(1 << 16);
		start(&vm, fd, false, kinds[k]);
		for (unsigned type = VIRTIO_BLK_T_DISCARD; type <= VIRTIO_BLK_T_WRITE_ZEROES; type += 2) {
			memset(bytes, 5, sizeof(bytes));
			CHECK_EQ(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
			struct virtio_blk_discard_write_zeroes r[] = { { .sector = 8, .num_sectors = 8 },
								       { .sector = 24, .num_sectors = 8 } };
			struct piece p = { DATA, sizeof(r), false };
			memcpy(vm_ptr(&vm, DATA), r, sizeof(r));
			CHECK_EQ(ask(&vm, type, 0, &p, 1, NULL), VIRTIO_BLK_S_OK);
			CHECK_EQ(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
			for (unsigned i = 0; i < sizeof(bytes); i++)
				CHECK_EQ(bytes[i], i / 4096 % 2 ? 0 : 5);
			/* Past the end, by overflow too; nothing; flags; a half entry; too many. */
			r[0].sector = 127;
			memcpy(vm_ptr(&vm, DATA), r, sizeof(r));
			CHECK_EQ(ask(&vm, type, 0, &p, 1, NULL), VIRTIO_BLK_S_IOERR);
			r[0].sector = UINT64_MAX - 3;
			memcpy(vm_ptr(&vm, DATA), r, sizeof(r));
			CHECK_EQ(ask(&vm, type, 0, &p, 1, NULL), VIRTIO_BLK_S_IOERR);
			r[0] = (struct virtio_blk_discard_write_zeroes){ .sector = 1 };
			memcpy(vm_ptr(&vm, DATA), r, sizeof(r));
			CHECK_EQ(ask(&vm, type, 0, &p, 1, NULL), VIRTIO_BLK_S_IOERR);
			r[0] = (struct virtio_blk_discard_write_zeroes){ .num_sectors = 1, .flags = 6 };
			memcpy(vm_ptr(&vm, DATA), r, sizeof(r));
			CHECK_EQ(ask(&vm, type, 0, &p, 1, NULL), VIRTIO_BLK_S_UNSUPP);
			p.len = 17;
			CHECK_EQ(ask(&vm, type, 0, &p, 1, NULL), VIRTIO_BLK_S_IOERR);
			p.len = 16 * 17;
			CHECK_EQ(ask(&vm, type, 0, &p, 1, NULL), VIRTIO_BLK_S_IOERR);
			CHECK_EQ(ask(&vm, type, 0, NULL, 0, NULL), VIRTIO_BLK_S_IOERR);
		}
		vm_done(&vm);
		close(fd);
	}
}

/* Many at a time, each to its own place; then a reset with all of them in flight. */
TEST(many)
{
	for (unsigned k = 0; k < 2; k++) {
		struct vm vm;
		int fd = file_of(1 << 22);
		uint8_t sector[512];
		for (unsigned i = 0; i < 8192; i++) {
			memset(sector, (int)(i % 251), 512);
			CHECK_EQ(pwrite(fd, sector, 512, i * 512), 512);
		}
		start(&vm, fd, false, kinds[k]);
		for (unsigned turn = 0; turn < 100; turn++) {
			for (unsigned i = 0; i < 21; i++) {
				struct virtio_blk_outhdr header = { .type = VIRTIO_BLK_T_IN, .sector = turn * 64 + i };
				struct piece p[] = { { HEADER + i * 16, 16, false },
						     { DATA + i * 512, 512, true },
						     { STATUS + i, 1, true } };
				memcpy(vm_ptr(&vm, HEADER + i * 16), &header, 16);
				dq_add(&q, p, 3);
			}
			dq_kick(&q);
			if (turn == 50) {
				CHECK(loop_step(&vm.loop, 100) >= 0);
				vm_set(&vm, VIRTIO_MMIO_STATUS, 0);
				/* From here on the memory is the guest's alone. */
				memset(vm_ptr(&vm, DATA), 0xee, 21 * 512);
				vm_pump(&vm);
				for (unsigned i = 0; i < 21 * 512; i++)
					CHECK_EQ(((uint8_t *)vm_ptr(&vm, DATA))[i], 0xee);
				vm.heap = 0x1000;
				vm_start(&vm, &q, 1, 64, 0);
				continue;
			}
			for (unsigned i = 0; i < 21; i++) {
				uint32_t len;
				CHECK(dq_wait(&q, NULL, &len, 10000));
				CHECK_EQ(len, 513);
			}
			for (unsigned i = 0; i < 21; i++)
				CHECK_EQ(*(uint8_t *)vm_ptr(&vm, DATA + i * 512), (turn * 64 + i) % 251);
		}
		vm_done(&vm);
		close(fd);
	}
}

/* The same chain again and again, more often than there are slots: each gets its
 * answer. */
TEST(more_than_slots)
{
	for (unsigned k = 0; k < 2; k++) {
		struct vm vm;
		struct virtio_device *dev = NULL;
		int fd = file_of(1 << 16);
		struct virtio_blk_setup setup = { .io = kinds[k] };
		CHECK_EQ(blk_disk_raw(&setup.disk, fd, 1 << 16, false), 0);
		vm_init(&vm);
		CHECK_EQ(virtio_blk_new(&setup, &vm.mem, &vm.loop, &dev), 0);
		vm_attach(&vm, dev);
		vm_start(&vm, &q, 1, 128, 0);
		struct virtio_blk_outhdr header = { .type = VIRTIO_BLK_T_IN };
		memcpy(vm_ptr(&vm, HEADER), &header, sizeof(header));
		struct piece p[] = { { HEADER, 16, false }, { DATA, 512, true }, { STATUS, 1, true } };
		uint16_t head = dq_add(&q, p, 3);
		unsigned offered = 1, answered = 0;
		/* Taken in two batches before any answer is looked at. */
		for (; offered < 128; offered++)
			dq_offer(&q, head);
		for (unsigned turn = 0; turn < 4 && answered == 0; turn++) {
			uint64_t one = 1;
			CHECK_EQ(write(virtio_mmio_kick_fd(&vm.mmio, 0), &one, 8), 8);
			vm.dev->ops->kicked(vm.dev, 0);
			for (; (uint16_t)(offered - vm.dev->queues[0].next_avail) < 128 && offered < 300; offered++)
				dq_offer(&q, head);
		}
		for (; offered < 300; answered++) {
			CHECK(dq_wait(&q, NULL, NULL, 10000));
			for (; (uint16_t)(offered - vm.dev->queues[0].next_avail) < 128 && offered < 300; offered++)
				dq_offer(&q, head);
			dq_kick(&q);
		}
		for (; answered < 300; answered++)
			CHECK(dq_wait(&q, NULL, NULL, 10000));
		vm_pump(&vm);
		CHECK(!dq_used(&q, NULL, NULL));
		CHECK(!vm_needs_reset(&vm));
		vm_done(&vm);
		close(fd);
	}
}

TEST(rate_limit)
{
	struct vm vm;
	int fd = file_of(1 << 20);
	struct virtio_blk_setup setup = { .limits = { .ops_per_s = 100, .burst_ops = 1 } };
	CHECK_EQ(blk_disk_raw(&setup.disk, fd, 1 << 20, false), 0);
	start_with(&vm, &setup);
	int64_t from = clock_mono_ms();
	struct piece in = { DATA, 512, true };
	for (unsigned i = 0; i < 21; i++)
		CHECK_EQ(ask(&vm, VIRTIO_BLK_T_IN, 0, &in, 1, NULL), VIRTIO_BLK_S_OK);
	int64_t took = clock_mono_ms() - from;
	CHECK(took >= 190);
	vm_done(&vm);
	close(fd);
}

TEST(lies)
{
	static const struct piece lies[][3] = {
		{ { HEADER, 16, false } },					       /* nowhere to put the status */
		{ { HEADER, 15, false }, { STATUS, 1, true } },			       /* no whole header */
		{ { STATUS, 1, true } },					       /* no header */
		{ { HEADER, 16, false }, { UINT64_C(1) << 40, 512, true }, { STATUS, 1, true } },
		{ { HEADER, 16, false }, { VM_ROM_GPA, 512, true }, { STATUS, 1, true } },
	};
	for (unsigned i = 0; i < ARRAY_LEN(lies); i++) {
		struct vm vm;
		int fd = file_of(1 << 16);
		start(&vm, fd, false, BLK_IO_BEST);
		unsigned n = 3;
		while (lies[i][n - 1].len == 0)
			n--;
		dq_add(&q, lies[i], n);
		dq_kick(&q);
		vm_pump(&vm);
		CHECK(vm_needs_reset(&vm));
		/* And is as new after a reset. */
		vm_start(&vm, &q, 1, 64, 0);
		struct piece in = { DATA, 512, true };
		CHECK_EQ(ask(&vm, VIRTIO_BLK_T_IN, 0, &in, 1, NULL), VIRTIO_BLK_S_OK);
		vm_done(&vm);
		close(fd);
	}
}

/* Three layers of awkward lengths behind a partition table. */
static void layers_of(struct blk_layer *layers, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t bytes = i == 1 ? 4096 * 300 : 5000 + i * 777;
		uint8_t *content = malloc(bytes);
		layers[i] = (struct blk_layer){ .fd = file_of(bytes), .bytes = bytes };
		snprintf(layers[i].name, sizeof(layers[i].name), "layer%u", i);
		memset(content, (int)('A' + i), bytes);
		CHECK_EQ(pwrite(layers[i].fd, content, bytes, 0), (ssize_t)bytes);
		free(content);
	}
}

/* What a partition tool makes of the whole disk. */
static void check_with_sfdisk(const char *path, unsigned n)
{
	char command[300], line[300];
	unsigned partitions = 0;
	bool is_fine = false;
	snprintf(command, sizeof(command), "PATH=$PATH:/usr/sbin:/sbin; sfdisk --verify '%s' 2>&1; sfdisk --dump '%s' 2>&1", path, path);
	FILE *f = popen(command, "re");
	CHECK(f != NULL);
	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, "not found"))
			test_skip("no sfdisk here");
		is_fine = is_fine || strstr(line, "No errors detected");
		partitions += strstr(line, "type=0FC63DAF-8483-4772-8E79-3D69D8477DE4") != NULL;
	}
	pclose(f);
	CHECK(is_fine);
	CHECK_EQ(partitions, n);
}

TEST(layers_as_partitions)
{
	struct vm vm;
	struct blk_layer layers[3];
	struct virtio_blk_setup setup = { .id = "layers" };
	layers_of(layers, 3);
	CHECK_EQ(blk_disk_layers(&setup.disk, layers, 3, 1 << 20), 0);
	uint64_t bytes = setup.disk.bytes, starts[3];
	CHECK_EQ(bytes % 4096, 0);
	unsigned found = 0;
	for (size_t i = 0; i < setup.disk.n; i++) {
		if (setup.disk.extents[i].fd >= 0) {
			starts[found++] = setup.disk.extents[i].start;
			CHECK_EQ(setup.disk.extents[i].start % (1 << 20), 0);
		}
	}
	CHECK_EQ(found, 3);
	/* In one piece, without gaps. */
	uint64_t at = 0;
	for (size_t i = 0; i < setup.disk.n; i++) {
		CHECK_EQ(setup.disk.extents[i].start, at);
		at += setup.disk.extents[i].bytes;
	}
	CHECK_EQ(at, bytes);
	start_with(&vm, &setup);
	char path[100];
	snprintf(path, sizeof(path), "%s/disk", test_tmpdir());
	int copy = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(copy >= 0);
	/* Requests of any length, so that they cross extents: table, gap, layer, pad. */
	uint64_t sector = 0, sectors = bytes / 512;
	for (unsigned turn = 0; sector < sectors; turn++) {
		uint32_t here = (turn * 37 + 1) % 500 + 1;
		if (here > sectors - sector)
			here = (uint32_t)(sectors - sector);
		struct piece in[] = { { DATA, here * 512 - 100, true }, { VM_FAR_GPA, 100, true } };
		memset(vm_ptr(&vm, DATA), 0xee, here * 512);
		CHECK_EQ(ask(&vm, VIRTIO_BLK_T_IN, sector, in, 2, NULL), VIRTIO_BLK_S_OK);
		CHECK_EQ(pwrite(copy, vm_ptr(&vm, DATA), here * 512 - 100, (off_t)(sector * 512)), here * 512 - 100);
		CHECK_EQ(pwrite(copy, vm_ptr(&vm, VM_FAR_GPA), 100, (off_t)(sector * 512 + here * 512 - 100)), 100);
		sector += here;
	}
	for (unsigned i = 0; i < 3; i++) {
		uint64_t padded = (layers[i].bytes + 4095) & ~UINT64_C(4095);
		uint8_t *got = malloc(padded);
		CHECK_EQ(pread(copy, got, padded, (off_t)starts[i]), (ssize_t)padded);
		for (uint64_t k = 0; k < padded; k++)
			CHECK_EQ(got[k], k < layers[i].bytes ? 'A' + i : 0);
		free(got);
		close(layers[i].fd);
	}
	struct piece out = { DATA, 512, false };
	CHECK_EQ(ask(&vm, VIRTIO_BLK_T_OUT, 4, &out, 1, NULL), VIRTIO_BLK_S_IOERR);
	close(copy);
	vm_done(&vm);
	check_with_sfdisk(path, 3);
}

TEST(layer_limits)
{
	struct blk_disk disk;
	struct blk_layer layers[BLK_LAYERS_MAX + 1];
	int fd = file_of(4096);
	for (unsigned i = 0; i <= BLK_LAYERS_MAX; i++)
		layers[i] = (struct blk_layer){ .fd = fd, .bytes = 4096, .name = "012345678901234567890123456789012345" };
	CHECK_EQ(blk_disk_layers(&disk, layers, BLK_LAYERS_MAX, 1 << 20), 0);
	CHECK_EQ(disk.bytes, (BLK_LAYERS_MAX << 20) + 4096 + 5 * 4096);
	blk_disk_done(&disk);
	CHECK_EQ(blk_disk_layers(&disk, layers, BLK_LAYERS_MAX + 1, 1 << 20), -EINVAL);
	CHECK_EQ(blk_disk_layers(&disk, layers, 0, 1 << 20), -EINVAL);
	CHECK_EQ(blk_disk_layers(&disk, layers, 1, 3000), -EINVAL);
	CHECK_EQ(blk_disk_layers(&disk, layers, 1, 512), -EINVAL);
	layers[0].bytes = 0;
	CHECK_EQ(blk_disk_layers(&disk, layers, 1, 1 << 20), -EINVAL);
	layers[0].bytes = UINT64_MAX - 5;
	CHECK_EQ(blk_disk_layers(&disk, layers, 1, 1 << 20), -EINVAL);
	CHECK_EQ(blk_disk_raw(&disk, fd, 511, true), -EINVAL);
	CHECK_EQ(blk_disk_raw(&disk, fd, UINT64_MAX, true), -EINVAL);
	close(fd);
}

TEST_MAIN()
