/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_console.h"

#include <fcntl.h>
#include <linux/virtio_console.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "driver.h"
#include "test.h"

static struct dq q[2];
enum { RX, TX };

static void start(struct vm *vm, int in_fd, int out_fd, uint64_t bytes_per_s)
{
	struct virtio_device *dev;
	struct virtio_console_setup setup = { .in_fd = in_fd, .out_fd = out_fd };
	setup.limits = (struct rate_limits){ .bytes_per_s = bytes_per_s, .burst_bytes = bytes_per_s };
	vm_init(vm);
	CHECK_EQ(virtio_console_new(&setup, &vm->mem, &vm->loop, &dev), 0);
	vm_attach(vm, dev);
	vm_start(vm, q, 2, 64, 0);
}

static void say(struct vm *vm, const void *text, uint32_t len)
{
	struct piece p = { 0x20000, len, false };
	memcpy(vm_ptr(vm, 0x20000), text, len);
	dq_add(&q[TX], &p, 1);
	CHECK_EQ(dq_run(&q[TX]), 0);
}

TEST(both_ways)
{
	struct vm vm;
	int s[2];
	char text[100] = "";
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s), 0);
	start(&vm, s[0], s[0], 0);
	say(&vm, "hello", 5);
	CHECK_EQ(read(s[1], text, sizeof(text)), 5);
	CHECK(memcmp(text, "hello", 5) == 0);
	/* Input waits for a buffer. */
	CHECK_EQ(write(s[1], "input", 5), 5);
	vm_pump(&vm);
	struct piece p[] = { { 0x30000, 2, true }, { 0x31000, 100, true } };
	dq_add(&q[RX], p, 2);
	CHECK_EQ(dq_run(&q[RX]), 5);
	CHECK(memcmp(vm_ptr(&vm, 0x30000), "in", 2) == 0);
	CHECK(memcmp(vm_ptr(&vm, 0x31000), "put", 3) == 0);
	/* And a buffer for input. */
	dq_add(&q[RX], p, 2);
	dq_kick(&q[RX]);
	vm_pump(&vm);
	CHECK(!dq_used(&q[RX], NULL, NULL));
	CHECK_EQ(write(s[1], "more", 4), 4);
	uint32_t len;
	CHECK(dq_wait(&q[RX], NULL, &len, 1000));
	CHECK_EQ(len, 4);
	/* The other side goes: the guest does not notice, and the loop rests. */
	close(s[1]);
	dq_add(&q[RX], p, 2);
	dq_kick(&q[RX]);
	vm_pump(&vm);
	signal(SIGPIPE, SIG_IGN);
	say(&vm, "into nothing", 12);
	vm_pump(&vm);
	CHECK(!vm_needs_reset(&vm));
	vm_done(&vm);
	close(s[0]);
}

/* Nobody reads: the guest goes on at full speed, what is kept is bounded, and the
 * reader is told how much is missing. */
TEST(flood)
{
	struct vm vm;
	int p[2];
	static char text[40000], seen[1 << 20];
	size_t total = 0, sent = 0;
	ssize_t n;
	CHECK_EQ(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
	start(&vm, -1, p[1], 0);
	memset(text, 'x', sizeof(text));
	for (int i = 0; i < 100; i++) {
		say(&vm, text, sizeof(text));
		sent += sizeof(text);
	}
	CHECK(virtio_console_dropped(vm.dev) > sent / 2);
	for (int i = 0; i < 20; i++) {
		while ((n = read(p[0], seen + total, sizeof(seen) - total)) > 0)
			total += (size_t)n;
		vm_pump(&vm);
	}
	CHECK_EQ(total, sent - virtio_console_dropped(vm.dev));
	say(&vm, "after", 5);
	n = read(p[0], seen, sizeof(seen) - 1);
	CHECK(n > 0);
	seen[n] = 0;
	char note[100];
	snprintf(note, sizeof(note), "\r\n[console: %llu bytes dropped]\r\nafter",
		 (unsigned long long)virtio_console_dropped(vm.dev));
	CHECK_STR(seen, note);
	vm_done(&vm);
	close(p[0]);
	close(p[1]);
}

TEST(rate)
{
	struct vm vm;
	int p[2];
	static char text[5000];
	CHECK_EQ(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
	start(&vm, -1, p[1], 1000);
	memset(text, 'y', sizeof(text));
	say(&vm, text, sizeof(text));
	ssize_t n = read(p[0], text, sizeof(text));
	CHECK(n >= 1000 && n < 1500);
	CHECK_EQ(virtio_console_dropped(vm.dev), 5000 - n);
	vm_done(&vm);
	close(p[0]);
	close(p[1]);
}

TEST(emergency_and_size)
{
	struct vm vm;
	int p[2];
	char c = 0;
	struct virtio_console_config config;
	CHECK_EQ(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
	start(&vm, -1, p[1], 0);
	virtio_mmio_write(&vm.mmio, VIRTIO_MMIO_CONFIG + offsetof(struct virtio_console_config, emerg_wr), "!\0\0\0", 4);
	CHECK_EQ(read(p[0], &c, 1), 1);
	CHECK_EQ(c, '!');
	virtio_mmio_write(&vm.mmio, VIRTIO_MMIO_CONFIG, "!\0", 2);
	CHECK(read(p[0], &c, 1) < 0);
	virtio_console_resize(vm.dev, 132, 43);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG, VIRTIO_MMIO_INT_CONFIG);
	virtio_mmio_read(&vm.mmio, VIRTIO_MMIO_CONFIG, &config, 4);
	CHECK_EQ(config.cols, 132);
	CHECK_EQ(config.rows, 43);
	vm_done(&vm);
	close(p[0]);
	close(p[1]);
}

TEST(output_to_a_file)
{
	struct vm vm;
	char path[100], text[10] = "";
	snprintf(path, sizeof(path), "%s/log", test_tmpdir());
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	start(&vm, -1, fd, 0);
	say(&vm, "logged", 6);
	CHECK_EQ(pread(fd, text, 10, 0), 6);
	vm_done(&vm);
	close(fd);
}

TEST(lies)
{
	static const struct piece lies[] = { { UINT64_MAX, 16, false }, { 0x10000, 16, false } };
	for (unsigned i = 0; i < 2; i++) {
		struct vm vm;
		int s[2];
		CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s), 0);
		start(&vm, s[0], s[0], 0);
		CHECK_EQ(write(s[1], "x", 1), 1);
		dq_add(&q[i ? RX : TX], &lies[i], 1); /* on RX: nothing to write into */
		dq_kick(&q[i ? RX : TX]);
		vm_pump(&vm);
		CHECK(vm_needs_reset(&vm));
		CHECK_EQ(write(s[1], "x", 1), 1);
		vm_pump(&vm); /* comes to rest */
		vm_done(&vm);
		close(s[0]);
		close(s[1]);
	}
}

TEST_MAIN()
