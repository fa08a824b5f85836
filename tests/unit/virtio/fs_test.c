/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_fs.h"

#include <errno.h>
#include <linux/fuse.h>
#include <linux/virtio_fs.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "driver.h"
#include "fd.h"
#include "test.h"

enum { HIPRIO, REQUEST };
#define IN_HDR  ((uint32_t)sizeof(struct fuse_in_header))
#define OUT_HDR ((uint32_t)sizeof(struct fuse_out_header))

static struct vm vm;
static struct dq q[2];
static int server = -1;

static void start(void)
{
	struct virtio_device *dev;
	int s[2];
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	struct virtio_fs_setup setup = { .tag = "hull", .fd = s[0] };
	server = s[1];
	CHECK_EQ(fd_set_nonblock(server, true), 0);
	vm_init(&vm);
	CHECK_EQ(virtio_fs_new(&setup, &vm.mem, &vm.loop, &dev), 0);
	vm_attach(&vm, dev);
	vm_start(&vm, q, 2, 256, 0);
}

static void end(void)
{
	vm_done(&vm);
	close(server);
}

/* Request @i has its own corner of memory. */
static uint64_t in_gpa(unsigned i)
{
	return 0x40000 + i * 0x1000;
}

static uint64_t out_gpa(unsigned i)
{
	return 0x40800 + i * 0x1000;
}

static void ask(unsigned queue, unsigned i, uint32_t opcode, uint64_t unique, uint32_t body, uint32_t out)
{
	struct fuse_in_header h = { .len = IN_HDR + body, .opcode = opcode, .unique = unique, .nodeid = i };
	struct piece p[] = { { in_gpa(i), IN_HDR, false },
			     { in_gpa(i) + 64, body, false },
			     { out_gpa(i), OUT_HDR, true },
			     { out_gpa(i) + 64, out - OUT_HDR, true } };
	memcpy(vm_ptr(&vm, in_gpa(i)), &h, IN_HDR);
	memset(vm_ptr(&vm, in_gpa(i) + 64), (int)('a' + i), body);
	unsigned n = 0;
	struct piece used[4];
	for (unsigned k = 0; k < 4; k++)
		if (p[k].len > 0 && !(k >= 2 && out == 0) && !(k == 3 && out == OUT_HDR))
			used[n++] = p[k];
	dq_add(&q[queue], used, n);
	dq_kick(&q[queue]);
	vm_pump(&vm);
}

/* The next request, as the server gets it; its body length. */
static uint32_t take(struct fuse_in_header *h, void *body)
{
	vm_pump(&vm);
	CHECK_EQ(read(server, h, IN_HDR), IN_HDR);
	CHECK(h->len >= IN_HDR);
	uint32_t len = h->len - IN_HDR, got = 0;
	while (got < len) {
		ssize_t n = read(server, (char *)body + got, len - got);
		if (n < 0)
			CHECK_EQ(errno, EAGAIN);
		else
			got += (uint32_t)n;
		vm_pump(&vm);
	}
	return len;
}

static void reply(uint64_t unique, int error, const void *body, uint32_t len)
{
	struct fuse_out_header h = { .len = OUT_HDR + len, .error = error, .unique = unique };
	CHECK_EQ(write(server, &h, OUT_HDR), OUT_HDR);
	if (len > 0)
		CHECK_EQ(write(server, body, len), len);
	vm_pump(&vm);
}

static const struct fuse_out_header *answer(unsigned i)
{
	return vm_ptr(&vm, out_gpa(i));
}

TEST(config)
{
	struct virtio_fs_config config;
	start();
	for (unsigned i = 0; i < sizeof(config); i += 4)
		virtio_mmio_read(&vm.mmio, VIRTIO_MMIO_CONFIG + i, (char *)&config + i, 4);
	CHECK_STR((char *)config.tag, "hull");
	CHECK_EQ(config.num_request_queues, 1);
	end();
}

TEST(out_of_order)
{
	struct fuse_in_header h[3];
	char body[4096];
	uint32_t id, len;
	start();
	/* The same number three times: the guest's affair, and nobody else's. */
	for (unsigned i = 0; i < 3; i++)
		ask(REQUEST, i, FUSE_GETATTR, 42, 16 + i, OUT_HDR + 100);
	for (unsigned i = 0; i < 3; i++) {
		CHECK_EQ(take(&h[i], body), 16 + i);
		CHECK_EQ(h[i].opcode, FUSE_GETATTR);
		CHECK_EQ(h[i].nodeid, i);
		CHECK_EQ(body[0], 'a' + (char)i);
	}
	CHECK(h[0].unique != h[1].unique && h[1].unique != h[2].unique);
	CHECK(!(h[0].unique & 1));
	static const unsigned order[] = { 2, 0, 1 };
	for (unsigned k = 0; k < 3; k++) {
		unsigned i = order[k];
		reply(h[i].unique, 0, "01234567", 8);
		CHECK(dq_used(&q[REQUEST], &id, &len));
		CHECK_EQ(id, i * 4);
		CHECK_EQ(len, OUT_HDR + 8);
		CHECK_EQ(answer(i)->unique, 42);
		CHECK_EQ(answer(i)->len, OUT_HDR + 8);
		CHECK(memcmp(vm_ptr(&vm, out_gpa(i) + 64), "01234567", 8) == 0);
		/* The same number again finds nobody. */
		reply(h[i].unique, 0, "x", 1);
		CHECK(!dq_used(&q[REQUEST], NULL, NULL));
	}
	end();
}

TEST(replies_in_pieces)
{
	struct fuse_in_header h;
	char body[4096];
	uint32_t len;
	start();
	ask(REQUEST, 0, FUSE_READ, 7, 40, OUT_HDR + 1000);
	take(&h, body);
	struct {
		struct fuse_out_header h;
		char data[1000];
	} r = { .h = { .len = sizeof(r), .unique = h.unique } };
	memset(r.data, 'z', sizeof(r.data));
	for (unsigned i = 0; i < sizeof(r); i++) {
		CHECK(!dq_used(&q[REQUEST], NULL, NULL));
		CHECK_EQ(write(server, (char *)&r + i, 1), 1);
		vm_pump(&vm);
	}
	CHECK(dq_used(&q[REQUEST], NULL, &len));
	CHECK_EQ(len, sizeof(r));
	CHECK(memcmp(vm_ptr(&vm, out_gpa(0) + 64), r.data, 1000) == 0);
	/* A notice (unique 0), skipped; then an error. */
	ask(REQUEST, 1, FUSE_LOOKUP, 8, 5, OUT_HDR + 100);
	take(&h, body);
	reply(0, 3, body, 1000);
	reply(h.unique, -ENOENT, NULL, 0);
	CHECK(dq_used(&q[REQUEST], NULL, &len));
	CHECK_EQ(len, OUT_HDR);
	CHECK_EQ(answer(1)->error, -ENOENT);
	/* More than there is room for. */
	ask(REQUEST, 2, FUSE_READ, 9, 40, OUT_HDR + 10);
	take(&h, body);
	reply(h.unique, 0, r.data, 11);
	CHECK(dq_used(&q[REQUEST], NULL, &len));
	CHECK_EQ(answer(2)->error, -EIO);
	CHECK_EQ(answer(2)->unique, 9);
	CHECK(virtio_fs_is_served(vm.dev));
	end();
}

TEST(no_reply)
{
	struct fuse_in_header h;
	char body[100];
	uint32_t len;
	start();
	ask(HIPRIO, 0, FUSE_FORGET, 1, 8, 0);
	CHECK(dq_used(&q[HIPRIO], NULL, &len));
	CHECK_EQ(len, 0);
	take(&h, body);
	CHECK_EQ(h.opcode, FUSE_FORGET);
	ask(HIPRIO, 1, FUSE_INTERRUPT, 1, 8, OUT_HDR);
	CHECK(dq_used(&q[HIPRIO], NULL, &len));
	CHECK(read(server, body, sizeof(body)) < 0);
	/* A server that answers a FORGET all the same. */
	reply(h.unique, 0, NULL, 0);
	CHECK(!dq_used(&q[HIPRIO], NULL, NULL));
	end();
}

/* A megabyte each way, much more than the socket holds. */
TEST(large)
{
	struct fuse_in_header h = { .len = IN_HDR + (1 << 20), .opcode = FUSE_WRITE, .unique = 3 };
	static uint8_t data[1 << 20];
	uint32_t len, got = 0;
	start();
	uint8_t *far = vm_ptr(&vm, VM_FAR_GPA);
	for (unsigned i = 0; i < sizeof(data); i++)
		far[i] = (uint8_t)(i * 31 >> 4);
	struct piece p[258] = { { 0x40000, IN_HDR, false } };
	for (unsigned i = 0; i < 250; i++)
		p[i + 1] = (struct piece){ VM_FAR_GPA + i * 4096, 4096, false };
	p[251] = (struct piece){ VM_FAR_GPA + 250 * 4096, 6 * 4096, false };
	p[252] = (struct piece){ 0x41000, OUT_HDR, true };
	memcpy(vm_ptr(&vm, 0x40000), &h, IN_HDR);
	dq_add_indirect(&q[REQUEST], p, 253);
	dq_kick(&q[REQUEST]);
	struct fuse_in_header seen;
	CHECK_EQ(take(&seen, data), 1 << 20);
	CHECK(memcmp(data, far, sizeof(data)) == 0);
	reply(seen.unique, 0, "\0\0\20\0\0\0\0", 0);
	CHECK(dq_used(&q[REQUEST], NULL, &len));
	/* Back again. */
	h = (struct fuse_in_header){ .len = IN_HDR, .opcode = FUSE_READ, .unique = 4 };
	memcpy(vm_ptr(&vm, 0x40000), &h, IN_HDR);
	p[1] = (struct piece){ 0x41000, OUT_HDR, true };
	p[2] = (struct piece){ VM_FAR_GPA, 1 << 20, true };
	memset(far, 0, sizeof(data));
	dq_add(&q[REQUEST], p, 3);
	dq_kick(&q[REQUEST]);
	CHECK_EQ(take(&seen, NULL), 0);
	struct fuse_out_header out = { .len = OUT_HDR + (1 << 20), .unique = seen.unique };
	CHECK_EQ(write(server, &out, OUT_HDR), OUT_HDR);
	while (got < sizeof(data)) {
		ssize_t n = write(server, data + got, sizeof(data) - got);
		if (n > 0)
			got += (uint32_t)n;
		vm_pump(&vm);
	}
	CHECK(dq_used(&q[REQUEST], NULL, &len));
	CHECK_EQ(len, OUT_HDR + (1 << 20));
	CHECK(memcmp(data, far, sizeof(data)) == 0);
	end();
}

/* A server that does not read, and then one that does: nothing is lost, FORGETs find
 * a slot, and nothing spins meanwhile. */
TEST(slow_server)
{
	struct fuse_in_header h;
	char body[4096];
	unsigned asked = 0, forgotten = 0, answered = 0;
	start();
	for (unsigned i = 0; i < 63; i++, asked++)
		ask(REQUEST, i, FUSE_GETATTR, i, 16, OUT_HDR + 16);
	ask(HIPRIO, 70, FUSE_FORGET, 0, 8, 0);
	CHECK(dq_used(&q[HIPRIO], NULL, NULL));
	for (unsigned i = 0; i < 64; i++) {
		take(&h, body);
		forgotten += h.opcode == FUSE_FORGET;
		if (h.opcode == FUSE_GETATTR && h.nodeid % 2)
			reply(h.unique, 0, body, 16);
	}
	CHECK_EQ(forgotten, 1);
	while (dq_used(&q[REQUEST], NULL, NULL))
		answered++;
	CHECK_EQ(answered, 31);
	/* The server dies: the others fail, and so do later ones. */
	close(server);
	vm_pump(&vm);
	while (dq_used(&q[REQUEST], NULL, NULL))
		answered++;
	CHECK_EQ(answered, 63);
	CHECK_EQ(answer(0)->error, -EIO);
	CHECK_EQ(answer(1)->error, 0);
	CHECK(!virtio_fs_is_served(vm.dev));
	ask(REQUEST, 0, FUSE_GETATTR, 99, 16, OUT_HDR + 16);
	CHECK(dq_used(&q[REQUEST], NULL, NULL));
	CHECK_EQ(answer(0)->error, -EIO);
	CHECK_EQ(answer(0)->unique, 99);
	vm_done(&vm);
}

/* More requests than slots. */
TEST(many)
{
	struct fuse_in_header h;
	char body[4096];
	unsigned answered = 0;
	start();
	/* Through 60 slots, in rounds, with the queue always fuller than that. */
	struct piece p[] = { { in_gpa(0), IN_HDR, false }, { out_gpa(0), OUT_HDR, true } };
	h = (struct fuse_in_header){ .len = IN_HDR, .opcode = FUSE_STATFS, .unique = 5 };
	memcpy(vm_ptr(&vm, in_gpa(0)), &h, IN_HDR);
	for (unsigned i = 0; i < 128; i++)
		dq_add(&q[REQUEST], p, 2);
	dq_kick(&q[REQUEST]);
	for (unsigned i = 0; i < 128; i++) {
		take(&h, body);
		reply(h.unique, 0, NULL, 0);
		while (dq_used(&q[REQUEST], NULL, NULL))
			answered++;
	}
	CHECK_EQ(answered, 128);
	end();
}

TEST(reset_in_the_middle)
{
	struct fuse_in_header h, late;
	char body[4096];
	start();
	ask(REQUEST, 0, FUSE_GETATTR, 1, 16, OUT_HDR + 16);
	take(&late, body);
	/* Another of which only a part fits into the socket. */
	struct piece p[] = { { 0x40000, IN_HDR, false }, { VM_FAR_GPA, VM_FAR_BYTES, false }, { 0x41000, OUT_HDR, true } };
	h = (struct fuse_in_header){ .len = IN_HDR + VM_FAR_BYTES, .opcode = FUSE_WRITE, .unique = 2 };
	memcpy(vm_ptr(&vm, 0x40000), &h, IN_HDR);
	dq_add(&q[REQUEST], p, 3);
	dq_kick(&q[REQUEST]);
	vm_pump(&vm);
	vm_set(&vm, VIRTIO_MMIO_STATUS, 0);
	uint8_t before[OUT_HDR + 16];
	memset(vm_ptr(&vm, out_gpa(0)), 0x55, sizeof(before));
	memcpy(before, vm_ptr(&vm, out_gpa(0)), sizeof(before));
	/* A late answer changes nothing in the guest. */
	reply(late.unique, 0, body, 16);
	CHECK(memcmp(before, vm_ptr(&vm, out_gpa(0)), sizeof(before)) == 0);
	vm.heap = 0x1000;
	vm_start(&vm, q, 2, 256, 0);
	ask(REQUEST, 5, FUSE_INIT, 1, 16, OUT_HDR + 16);
	/* The rest of the old request comes first: the stream stays whole. */
	static uint8_t large[VM_FAR_BYTES];
	CHECK_EQ(take(&h, large), VM_FAR_BYTES);
	CHECK_EQ(h.opcode, FUSE_WRITE);
	reply(h.unique, 0, NULL, 0);
	CHECK(!dq_used(&q[REQUEST], NULL, NULL));
	take(&h, body);
	CHECK_EQ(h.opcode, FUSE_INIT);
	reply(h.unique, 0, body, 16);
	CHECK(dq_used(&q[REQUEST], NULL, NULL));
	CHECK_EQ(answer(5)->unique, 1);
	end();
}

TEST(lies)
{
	for (unsigned what = 0; what < 4; what++) {
		struct fuse_in_header h = { .len = IN_HDR + 8, .opcode = FUSE_GETATTR };
		struct piece p[] = { { 0x40000, IN_HDR, false }, { 0x41000, 8, false }, { 0x42000, OUT_HDR, true } };
		start();
		if (what == 0)
			h.len = IN_HDR + 9;
		else if (what == 1)
			h.len = 0;
		else if (what == 2)
			p[0].len = IN_HDR - 20;
		else
			p[2].gpa = VM_ROM_GPA;
		memcpy(vm_ptr(&vm, 0x40000), &h, IN_HDR);
		dq_add(&q[REQUEST], p, 3);
		dq_kick(&q[REQUEST]);
		vm_pump(&vm);
		CHECK(vm_needs_reset(&vm));
		char c;
		CHECK(read(server, &c, 1) < 0);
		end();
	}
	/* No room for an answer: not sent. */
	start();
	ask(REQUEST, 0, FUSE_GETATTR, 1, 16, 0);
	CHECK(dq_used(&q[REQUEST], NULL, NULL));
	char c;
	CHECK(read(server, &c, 1) < 0);
	end();
	/* A server that loses the framing is a server that is gone. */
	static const uint32_t lens[] = { 0, OUT_HDR - 1, VIRTIO_FS_MESSAGE_MAX + 1, UINT32_MAX };
	for (unsigned i = 0; i < ARRAY_LEN(lens); i++) {
		struct fuse_out_header out = { .len = lens[i] };
		start();
		ask(REQUEST, 0, FUSE_GETATTR, 1, 16, OUT_HDR);
		CHECK_EQ(write(server, &out, OUT_HDR), OUT_HDR);
		vm_pump(&vm);
		CHECK(dq_used(&q[REQUEST], NULL, NULL));
		CHECK_EQ(answer(0)->error, -EIO);
		CHECK(!virtio_fs_is_served(vm.dev));
		end();
	}
}

TEST_MAIN()
