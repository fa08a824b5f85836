/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_vsock.h"

#include <errno.h>
#include <linux/virtio_vsock.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "driver.h"
#include "fd.h"
#include "test.h"
#include "vsock_conn.h"

enum { RX, TX, EVENT };
#define HDR     ((uint32_t)sizeof(struct virtio_vsock_hdr))
#define RX_N    16
#define RX_SIZE 2048u
#define RX_GPA  0x40000
#define TX_GPA  0x80000
#define PORT    1024
#define GUEST   5000
#define BUFFER  65536u

static struct vm vm;
static struct dq q[3];
static int listener = -1; /* our end */
static struct virtio_vsock_hdr got; /* the last packet from the device */
static uint8_t got_data[RX_SIZE];
static uint32_t guest_buf_alloc = 262144, guest_fwd_cnt;

static void give_buffer(unsigned i)
{
	struct piece p[] = { { RX_GPA + i * RX_SIZE, 100, true }, { RX_GPA + i * RX_SIZE + 100, RX_SIZE - 100, true } };
	q[RX].next_desc = (uint16_t)(i * 2);
	dq_add(&q[RX], p, 2);
}

static void start_without_buffers(void)
{
	struct virtio_device *dev;
	int pair[2];
	vm_init(&vm);
	CHECK_EQ(virtio_vsock_new(VSOCK_GUEST_CID, &vm.mem, &vm.loop, &dev), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	CHECK_EQ(virtio_vsock_listen(dev, PORT, pair[0]), 0);
	listener = pair[1];
	vm_attach(&vm, dev);
	vm_start(&vm, q, 3, 64, 0);
	guest_buf_alloc = 262144;
	guest_fwd_cnt = 0;
}

static void start(void)
{
	start_without_buffers();
	for (unsigned i = 0; i < RX_N; i++)
		give_buffer(i);
	dq_kick(&q[RX]);
	vm_pump(&vm);
}

static void end(void)
{
	vm_done(&vm);
	close(listener);
}

static void send_header(const struct virtio_vsock_hdr *h, const void *data, uint32_t len)
{
	struct piece p[] = { { TX_GPA, HDR, false }, { TX_GPA + HDR, len, false } };
	memcpy(vm_ptr(&vm, TX_GPA), h, HDR);
	if (len > 0)
		memcpy(vm_ptr(&vm, TX_GPA + HDR), data, len);
	dq_add(&q[TX], p, len > 0 ? 2 : 1);
	dq_kick(&q[TX]);
	vm_pump(&vm);
}

static void guest_says(uint16_t op, uint32_t host_port, uint32_t guest_port, uint32_t flags, const void *data,
		       uint32_t len)
{
	struct virtio_vsock_hdr h = {
		.src_cid = VSOCK_GUEST_CID, .dst_cid = VSOCK_HOST_CID, .src_port = guest_port, .dst_port = host_port,
		.len = len, .type = VIRTIO_VSOCK_TYPE_STREAM, .op = op, .flags = flags, .buf_alloc = guest_buf_alloc,
		.fwd_cnt = guest_fwd_cnt
	};
	send_header(&h, data, len);
	uint32_t used;
	CHECK(dq_used(&q[TX], NULL, &used));
	CHECK_EQ(used, 0);
}

/* The next packet from the device; false if there is none. */
static bool guest_hears(void)
{
	uint32_t id, len;
	vm_pump(&vm);
	if (!dq_used(&q[RX], &id, &len))
		return false;
	CHECK(len >= HDR);
	memcpy(&got, vm_ptr(&vm, RX_GPA + id / 2 * RX_SIZE), HDR);
	CHECK_EQ(got.src_cid, VSOCK_HOST_CID);
	CHECK_EQ(got.dst_cid, VSOCK_GUEST_CID);
	CHECK_EQ(got.len, len - HDR);
	memcpy(got_data, vm_ptr(&vm, RX_GPA + id / 2 * RX_SIZE + HDR), got.len);
	give_buffer(id / 2);
	dq_kick(&q[RX]);
	return true;
}

#define HEARS(what)                    \
	do {                           \
		CHECK(guest_hears());  \
		CHECK_EQ(got.op, what); \
	} while (0)

/* The guest connects; returns the host's end. */
static int guest_connects(uint32_t guest_port)
{
	struct vsock_accept accept;
	int fd;
	size_t n;
	guest_says(VIRTIO_VSOCK_OP_REQUEST, PORT, guest_port, 0, NULL, 0);
	HEARS(VIRTIO_VSOCK_OP_RESPONSE);
	CHECK_EQ(got.src_port, PORT);
	CHECK_EQ(got.dst_port, guest_port);
	CHECK_EQ(got.buf_alloc, BUFFER);
	CHECK_EQ(fd_recv(listener, &accept, sizeof(accept), &fd, 1, &n), sizeof(accept));
	CHECK_EQ(n, 1);
	CHECK_EQ(accept.port, PORT);
	CHECK_EQ(accept.guest_port, guest_port);
	CHECK_EQ(fd_set_nonblock(fd, true), 0);
	return fd;
}

TEST(guest_to_host)
{
	char text[100];
	start();
	int fd = guest_connects(GUEST);
	guest_says(VIRTIO_VSOCK_OP_RW, PORT, GUEST, 0, "hello", 5);
	CHECK_EQ(read(fd, text, sizeof(text)), 5);
	CHECK(memcmp(text, "hello", 5) == 0);
	CHECK_EQ(write(fd, "welcome", 7), 7);
	HEARS(VIRTIO_VSOCK_OP_RW);
	CHECK_EQ(got.len, 7);
	CHECK_EQ(got.fwd_cnt, 5);
	CHECK(memcmp(got_data, "welcome", 7) == 0);
	/* The guest closes: its last words are delivered, then it is told. */
	guest_says(VIRTIO_VSOCK_OP_RW, PORT, GUEST, 0, "bye", 3);
	guest_says(VIRTIO_VSOCK_OP_SHUTDOWN, PORT, GUEST, 3, NULL, 0);
	HEARS(VIRTIO_VSOCK_OP_RST);
	CHECK_EQ(read(fd, text, sizeof(text)), 3);
	CHECK_EQ(read(fd, text, sizeof(text)), 0);
	CHECK_EQ(virtio_vsock_connections(vm.dev), 0);
	CHECK(!guest_hears());
	close(fd);
	/* The same ports again. */
	fd = guest_connects(GUEST);
	guest_says(VIRTIO_VSOCK_OP_RST, PORT, GUEST, 0, NULL, 0);
	CHECK_EQ(read(fd, text, sizeof(text)), 0);
	CHECK_EQ(virtio_vsock_connections(vm.dev), 0);
	close(fd);
	end();
}

/* Each direction can end by itself, from either side. */
TEST(half_closed)
{
	char text[100];
	start();
	int fd = guest_connects(GUEST);
	guest_says(VIRTIO_VSOCK_OP_SHUTDOWN, PORT, GUEST, VIRTIO_VSOCK_SHUTDOWN_SEND, NULL, 0);
	CHECK_EQ(read(fd, text, sizeof(text)), 0);
	CHECK_EQ(write(fd, "still", 5), 5);
	HEARS(VIRTIO_VSOCK_OP_RW);
	CHECK_EQ(got.len, 5);
	close(fd);
	HEARS(VIRTIO_VSOCK_OP_SHUTDOWN);
	CHECK_EQ(got.flags, 3);
	guest_says(VIRTIO_VSOCK_OP_RST, PORT, GUEST, 0, NULL, 0);
	CHECK_EQ(virtio_vsock_connections(vm.dev), 0);

	fd = guest_connects(GUEST + 1);
	CHECK_EQ(write(fd, "last", 4), 4);
	CHECK_EQ(shutdown(fd, SHUT_WR), 0);
	HEARS(VIRTIO_VSOCK_OP_RW);
	HEARS(VIRTIO_VSOCK_OP_SHUTDOWN);
	CHECK_EQ(got.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
	guest_says(VIRTIO_VSOCK_OP_RW, PORT, GUEST + 1, 0, "answer", 6);
	CHECK_EQ(read(fd, text, sizeof(text)), 6);
	/* Now the other half, without a word from the guest. */
	close(fd);
	HEARS(VIRTIO_VSOCK_OP_SHUTDOWN);
	CHECK_EQ(got.flags, 3);
	CHECK(!guest_hears());
	guest_says(VIRTIO_VSOCK_OP_SHUTDOWN, PORT, GUEST + 1, 3, NULL, 0);
	HEARS(VIRTIO_VSOCK_OP_RST);
	CHECK_EQ(virtio_vsock_connections(vm.dev), 0);
	end();
}

TEST(refused)
{
	start();
	guest_says(VIRTIO_VSOCK_OP_REQUEST, PORT + 1, GUEST, 0, NULL, 0);
	HEARS(VIRTIO_VSOCK_OP_RST);
	CHECK_EQ(got.src_port, PORT + 1);
	CHECK_EQ(got.dst_port, GUEST);
	guest_says(VIRTIO_VSOCK_OP_RW, PORT, GUEST, 0, "x", 1);
	HEARS(VIRTIO_VSOCK_OP_RST);
	guest_says(VIRTIO_VSOCK_OP_RST, PORT, GUEST, 0, NULL, 0);
	CHECK(!guest_hears());
	/* Other types, and packets that are not ours. */
	struct virtio_vsock_hdr h = { .src_cid = VSOCK_GUEST_CID, .dst_cid = VSOCK_HOST_CID, .src_port = 1,
				      .dst_port = PORT, .type = VIRTIO_VSOCK_TYPE_SEQPACKET,
				      .op = VIRTIO_VSOCK_OP_REQUEST };
	send_header(&h, NULL, 0);
	HEARS(VIRTIO_VSOCK_OP_RST);
	h.type = VIRTIO_VSOCK_TYPE_STREAM;
	h.dst_cid = 7;
	send_header(&h, NULL, 0);
	CHECK(!guest_hears());
	h.dst_cid = VSOCK_HOST_CID;
	h.src_cid = 9; /* somebody else's name */
	send_header(&h, NULL, 0);
	CHECK(!guest_hears());
	CHECK(!vm_needs_reset(&vm));
	/* Nobody behind the listener any more. */
	close(listener);
	guest_says(VIRTIO_VSOCK_OP_REQUEST, PORT, GUEST, 0, NULL, 0);
	HEARS(VIRTIO_VSOCK_OP_RST);
	CHECK_EQ(virtio_vsock_connections(vm.dev), 0);
	vm_done(&vm);
}

/* A listening socket of the abstract kind, and a connection to it. */
static int entry(struct sockaddr_un *address, socklen_t *len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*len = sizeof(*address);
	CHECK_EQ(bind(fd, (struct sockaddr *)address, sizeof(sa_family_t)), 0);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)address, len), 0);
	CHECK_EQ(listen(fd, 16), 0);
	return fd;
}

static int dial(const struct sockaddr_un *address, socklen_t len, const char *text)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK_EQ(connect(fd, (const struct sockaddr *)address, len), 0);
	CHECK_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

TEST(host_to_guest)
{
	struct sockaddr_un address;
	socklen_t len;
	char text[100], expected[40];
	start();
	CHECK_EQ(virtio_vsock_set_entry(vm.dev, entry(&address, &len)), 0);
	/* What follows the line at once is data. */
	int fd = dial(&address, len, "CONNECT 22\nSSH-2.0");
	HEARS(VIRTIO_VSOCK_OP_REQUEST);
	CHECK_EQ(got.dst_port, 22);
	uint32_t host_port = got.src_port;
	CHECK(read(fd, text, sizeof(text)) < 0);
	guest_says(VIRTIO_VSOCK_OP_RESPONSE, host_port, 22, 0, NULL, 0);
	HEARS(VIRTIO_VSOCK_OP_RW);
	CHECK_EQ(got.len, 7);
	CHECK(memcmp(got_data, "SSH-2.0", 7) == 0);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	CHECK(n > 0);
	text[n] = 0;
	snprintf(expected, sizeof(expected), "OK %u\n", host_port);
	CHECK_STR(text, expected);
	guest_says(VIRTIO_VSOCK_OP_RW, host_port, 22, 0, "hi", 2);
	CHECK_EQ(read(fd, text, sizeof(text)), 2);
	close(fd);
	HEARS(VIRTIO_VSOCK_OP_SHUTDOWN);
	guest_says(VIRTIO_VSOCK_OP_RST, host_port, 22, 0, NULL, 0);
	/* The guest refuses. */
	fd = dial(&address, len, "CONNECT 23\n");
	HEARS(VIRTIO_VSOCK_OP_REQUEST);
	CHECK(got.src_port != host_port);
	guest_says(VIRTIO_VSOCK_OP_RST, got.src_port, 23, 0, NULL, 0);
	CHECK_EQ(read(fd, text, sizeof(text)), 0);
	close(fd);
	/* A line in two pieces; and lines that are none. */
	fd = dial(&address, len, "CONN");
	CHECK(!guest_hears());
	CHECK_EQ(write(fd, "ECT 24\n", 7), 7);
	HEARS(VIRTIO_VSOCK_OP_REQUEST);
	CHECK_EQ(got.dst_port, 24);
	close(fd);
	static const char *const bad[] = { "CONNECT x\n", "CONNECT 4294967296\n", "CONNECT -1\n", "connect 1\n", "\n",
					   "CONNECT 00000000000000000000000000000000000000001\n", "CONNECT \n" };
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		fd = dial(&address, len, bad[i]);
		CHECK(!guest_hears());
		CHECK(read(fd, text, sizeof(text)) <= 0);
		close(fd);
	}
	/* Given as a descriptor. */
	int pair[2];
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	CHECK_EQ(virtio_vsock_connect(vm.dev, 99, pair[0]), 0);
	HEARS(VIRTIO_VSOCK_OP_REQUEST);
	guest_says(VIRTIO_VSOCK_OP_RESPONSE, got.src_port, 99, 0, NULL, 0);
	guest_says(VIRTIO_VSOCK_OP_RW, got.src_port, 99, 0, "direct", 6);
	CHECK_EQ(read(pair[1], text, sizeof(text)), 6);
	/* A reset of the device ends everything that goes through it. */
	vm_set(&vm, VIRTIO_MMIO_STATUS, 0);
	CHECK_EQ(read(pair[1], text, sizeof(text)), 0);
	CHECK_EQ(virtio_vsock_connections(vm.dev), 0);
	close(pair[1]);
	end();
}

/* A guest that does not answer: the host's side is told after some seconds. */
TEST(handshake_times_out)
{
	struct sockaddr_un address;
	socklen_t len;
	char c;
	start();
	CHECK_EQ(virtio_vsock_set_entry(vm.dev, entry(&address, &len)), 0);
	int silent = dial(&address, len, "");
	int waiting = dial(&address, len, "CONNECT 1\n");
	HEARS(VIRTIO_VSOCK_OP_REQUEST);
	VM_UNTIL(&vm, 20000, read(waiting, &c, 1) == 0);
	VM_UNTIL(&vm, 20000, read(silent, &c, 1) == 0);
	HEARS(VIRTIO_VSOCK_OP_RST);
	CHECK_EQ(virtio_vsock_connections(vm.dev), 0);
	close(silent);
	close(waiting);
	end();
}

/* The host does not read: the guest may send as much as it has credit for, and no
 * byte is lost; more than that ends the connection, not the device. */
TEST(credit_of_the_guest)
{
	static uint8_t data[2048], in[4096];
	uint32_t sent = 0, received = 0;
	start();
	int fd = guest_connects(GUEST);
	int small = 4096;
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	uint32_t fwd = 0;
	while (sent - fwd + sizeof(data) <= BUFFER) {
		for (unsigned i = 0; i < sizeof(data); i++)
			data[i] = (uint8_t)((sent + i) * 7 >> 3);
		guest_says(VIRTIO_VSOCK_OP_RW, PORT, GUEST, 0, data, sizeof(data));
		sent += sizeof(data);
		while (guest_hears()) {
			CHECK_EQ(got.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
			fwd = got.fwd_cnt;
		}
		CHECK(sent < (8u << 20));
	}
	/* What the socket has taken is delivered, the rest is buffered: no credit left. */
	ssize_t n;
	for (int turns = 0; received < sent && turns < 100000; turns++) {
		while ((n = read(fd, in, sizeof(in))) > 0) {
			for (ssize_t i = 0; i < n; i++)
				CHECK_EQ(in[i], (uint8_t)((received + (uint32_t)i) * 7 >> 3));
			received += (uint32_t)n;
		}
		vm_pump(&vm);
	}
	CHECK_EQ(received, sent);
	guest_says(VIRTIO_VSOCK_OP_CREDIT_REQUEST, PORT, GUEST, 0, NULL, 0);
	while (guest_hears())
		fwd = got.fwd_cnt;
	CHECK_EQ(fwd, sent);
	/* Now without regard to credit. */
	bool was_reset = false;
	for (unsigned i = 0; i < 4000 && !was_reset; i++) {
		guest_says(VIRTIO_VSOCK_OP_RW, PORT, GUEST, 0, data, sizeof(data));
		while (guest_hears())
			was_reset = was_reset || got.op == VIRTIO_VSOCK_OP_RST;
	}
	CHECK(was_reset);
	CHECK(!vm_needs_reset(&vm));
	CHECK_EQ(virtio_vsock_connections(vm.dev), 0);
	close(fd);
	end();
}

/* The guest does not read: nothing is sent beyond its credit, the loop rests, and it
 * goes on when the guest says so. */
TEST(credit_of_the_host)
{
	static uint8_t data[10000];
	start();
	guest_buf_alloc = 3000;
	int fd = guest_connects(GUEST);
	memset(data, 'd', sizeof(data));
	CHECK_EQ(write(fd, data, sizeof(data)), sizeof(data));
	uint32_t total = 0;
	while (total < sizeof(data)) {
		uint32_t before = total, asked = 0;
		while (guest_hears()) {
			if (got.op == VIRTIO_VSOCK_OP_RW)
				total += got.len;
			else
				CHECK_EQ(got.op, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
			asked += got.op != VIRTIO_VSOCK_OP_RW;
			CHECK(asked <= 1);
		}
		CHECK(total > before && total - guest_fwd_cnt <= guest_buf_alloc);
		guest_fwd_cnt = total;
		guest_says(VIRTIO_VSOCK_OP_CREDIT_UPDATE, PORT, GUEST, 0, NULL, 0);
	}
	CHECK_EQ(total, sizeof(data));
	/* A guest that counts backwards gets nothing. */
	guest_fwd_cnt = total + 1;
	guest_says(VIRTIO_VSOCK_OP_CREDIT_UPDATE, PORT, GUEST, 0, NULL, 0);
	CHECK_EQ(write(fd, data, 10), 10);
	while (guest_hears())
		CHECK_EQ(got.op, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	guest_says(VIRTIO_VSOCK_OP_RST, PORT, GUEST, 0, NULL, 0);
	CHECK_EQ(virtio_vsock_connections(vm.dev), 0);
	close(fd);
	end();
}

/* A slow reader still gets what a guest said that closed, waited, and gave up. */
TEST(last_words)
{
	static uint8_t data[2048], in[8192];
	uint32_t sent = 0, received = 0;
	start();
	int fd = guest_connects(GUEST);
	for (uint32_t fwd = 0; sent - fwd + sizeof(data) <= BUFFER; sent += sizeof(data)) {
		guest_says(VIRTIO_VSOCK_OP_RW, PORT, GUEST, 0, data, sizeof(data));
		while (guest_hears())
			fwd = got.fwd_cnt;
	}
	guest_says(VIRTIO_VSOCK_OP_SHUTDOWN, PORT, GUEST, 3, NULL, 0);
	CHECK(!guest_hears()); /* not yet */
	guest_says(VIRTIO_VSOCK_OP_RST, PORT, GUEST, 0, NULL, 0);
	ssize_t n;
	for (int turns = 0; turns < 100000; turns++) {
		while ((n = read(fd, in, sizeof(in))) > 0)
			received += (uint32_t)n;
		if (n == 0)
			break;
		vm_pump(&vm);
	}
	CHECK_EQ(received, sent);
	CHECK_EQ(virtio_vsock_connections(vm.dev), 0);
	close(fd);
	end();
}

/* The table fills; the host still gets in; everything can be had again afterwards. */
TEST(flood_of_connections)
{
	struct sockaddr_un address;
	socklen_t len;
	int fds[300];
	unsigned n = 0, refused = 0;
	start();
	CHECK_EQ(virtio_vsock_set_entry(vm.dev, entry(&address, &len)), 0);
	for (unsigned i = 0; i < 300; i++) {
		struct vsock_accept accept;
		size_t count;
		guest_says(VIRTIO_VSOCK_OP_REQUEST, PORT, GUEST + i, 0, NULL, 0);
		CHECK(guest_hears());
		refused += got.op == VIRTIO_VSOCK_OP_RST;
		if (got.op == VIRTIO_VSOCK_OP_RESPONSE)
			CHECK_EQ(fd_recv(listener, &accept, sizeof(accept), &fds[n++], 1, &count), sizeof(accept));
	}
	CHECK_EQ(n, VSOCK_CONNS - VSOCK_HOST_CONNS);
	CHECK_EQ(refused, 300 - n);
	int fd = dial(&address, len, "CONNECT 5\n");
	HEARS(VIRTIO_VSOCK_OP_REQUEST);
	close(fd);
	for (unsigned i = 0; i < n; i++) {
		guest_says(VIRTIO_VSOCK_OP_SHUTDOWN, PORT, GUEST + i, 3, NULL, 0);
		HEARS(VIRTIO_VSOCK_OP_RST);
		close(fds[i]);
	}
	CHECK_EQ(virtio_vsock_connections(vm.dev), 1);
	close(guest_connects(GUEST));
	end();
}

/* Refusals without end, and no buffers for them: no more packets are taken until
 * the guest takes some. */
TEST(flood_of_refusals)
{
	struct virtio_vsock_hdr h = { .src_cid = VSOCK_GUEST_CID, .dst_cid = VSOCK_HOST_CID, .src_port = 1,
				      .dst_port = 9, .type = VIRTIO_VSOCK_TYPE_STREAM, .op = VIRTIO_VSOCK_OP_RW };
	start_without_buffers();
	memcpy(vm_ptr(&vm, TX_GPA), &h, HDR);
	struct piece p = { TX_GPA, HDR, false };
	unsigned taken = 0, answers = 0;
	for (unsigned i = 0; i < 200; i++) {
		if (q[TX].avail_idx - q[TX].used_idx < 64)
			dq_add(&q[TX], &p, 1);
		dq_kick(&q[TX]);
		vm_pump(&vm);
		while (dq_used(&q[TX], NULL, NULL))
			taken++;
	}
	CHECK_EQ(taken, 64);
	for (unsigned i = 0; i < RX_N; i++)
		give_buffer(i);
	dq_kick(&q[RX]);
	for (unsigned i = 0; i < 1000; i++) {
		while (guest_hears())
			answers += got.op == VIRTIO_VSOCK_OP_RST;
		while (dq_used(&q[TX], NULL, NULL))
			taken++;
	}
	CHECK_EQ(taken, 128);
	CHECK_EQ(answers, 128);
	end();
}

/* One that sends without end does not keep the other from its turn. */
TEST(fairness)
{
	static uint8_t data[100000];
	start();
	int busy = guest_connects(GUEST), quiet = guest_connects(GUEST + 1);
	CHECK(write(busy, data, sizeof(data)) > 50000);
	CHECK_EQ(write(quiet, "q", 1), 1);
	unsigned before = 0;
	for (;;) {
		HEARS(VIRTIO_VSOCK_OP_RW);
		if (got.dst_port == GUEST + 1)
			break;
		before++;
	}
	/* The buffers that lay there when it began, and one turn. */
	CHECK(before <= RX_N + 1);
	close(busy);
	close(quiet);
	end();
}

/* Ends at moments when something is still to be said. */
TEST(ends_in_between)
{
	char c;
	start_without_buffers();
	/* The guest connects and resets before it hears the answer. */
	guest_says(VIRTIO_VSOCK_OP_REQUEST, PORT, GUEST, 0, NULL, 0);
	guest_says(VIRTIO_VSOCK_OP_RST, PORT, GUEST, 0, NULL, 0);
	/* An error, and a reset before it hears of that. */
	guest_says(VIRTIO_VSOCK_OP_REQUEST, PORT, GUEST + 1, 0, NULL, 0);
	guest_says(VIRTIO_VSOCK_OP_REQUEST, PORT, GUEST + 1, 0, NULL, 0);
	guest_says(VIRTIO_VSOCK_OP_RW, PORT, GUEST + 1, 0, "x", 1);
	guest_says(VIRTIO_VSOCK_OP_RST, PORT, GUEST + 1, 0, NULL, 0);
	for (unsigned i = 0; i < RX_N; i++)
		give_buffer(i);
	dq_kick(&q[RX]);
	CHECK(!guest_hears());
	CHECK_EQ(virtio_vsock_connections(vm.dev), 0);
	/* The host closes with data of the guest unread: it is told not to send. */
	int accepted[2];
	for (unsigned i = 0; i < 2; i++) {
		size_t n;
		struct vsock_accept accept;
		CHECK_EQ(fd_recv(listener, &accept, sizeof(accept), &accepted[i], 1, &n), sizeof(accept));
		close(accepted[i]);
	}
	int fd = guest_connects(GUEST + 2);
	guest_says(VIRTIO_VSOCK_OP_RW, PORT, GUEST + 2, 0, "unread", 6);
	close(fd);
	HEARS(VIRTIO_VSOCK_OP_SHUTDOWN);
	CHECK_EQ(got.flags, 3);
	guest_says(VIRTIO_VSOCK_OP_RW, PORT, GUEST + 2, 0, "more", 4);
	CHECK(!vm_needs_reset(&vm));
	guest_says(VIRTIO_VSOCK_OP_SHUTDOWN, PORT, GUEST + 2, 3, NULL, 0);
	HEARS(VIRTIO_VSOCK_OP_RST);
	/* The host does not receive any more, but still sends. */
	fd = guest_connects(GUEST + 3);
	CHECK_EQ(shutdown(fd, SHUT_RD), 0);
	guest_says(VIRTIO_VSOCK_OP_RW, PORT, GUEST + 3, 0, "x", 1);
	HEARS(VIRTIO_VSOCK_OP_SHUTDOWN);
	CHECK_EQ(got.flags, VIRTIO_VSOCK_SHUTDOWN_RCV);
	CHECK_EQ(write(fd, "y", 1), 1);
	HEARS(VIRTIO_VSOCK_OP_RW);
	/* And the guest does not receive any more. */
	guest_says(VIRTIO_VSOCK_OP_SHUTDOWN, PORT, GUEST + 3, VIRTIO_VSOCK_SHUTDOWN_RCV, NULL, 0);
	CHECK_EQ(write(fd, "z", 1), 1);
	CHECK(!guest_hears());
	/* A connection of the host's, answered by something else than yes or no. */
	int pair[2];
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	CHECK_EQ(virtio_vsock_connect(vm.dev, 99, pair[0]), 0);
	HEARS(VIRTIO_VSOCK_OP_REQUEST);
	guest_says(VIRTIO_VSOCK_OP_RW, got.src_port, 99, 0, "x", 1);
	HEARS(VIRTIO_VSOCK_OP_RST);
	CHECK_EQ(read(pair[1], &c, 1), 0);
	close(pair[1]);
	close(fd);
	end();
}

/* What cannot be had is refused, and the descriptor is not leaked. */
TEST(setup_errors)
{
	int s[2];
	start();
	for (unsigned i = 1; i < VSOCK_PORTS_MAX; i++)
		CHECK_EQ(virtio_vsock_listen(vm.dev, PORT + i, dup(listener)), 0);
	CHECK_EQ(virtio_vsock_listen(vm.dev, PORT, dup(listener)), -EEXIST);
	CHECK_EQ(virtio_vsock_listen(vm.dev, 1, dup(listener)), -ENOSPC);
	CHECK_EQ(virtio_vsock_set_entry(vm.dev, dup(listener)), 0);
	CHECK_EQ(virtio_vsock_set_entry(vm.dev, dup(listener)), -EEXIST);
	unsigned n = 0;
	for (;; n++) {
		CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
		close(s[1]);
		int r = virtio_vsock_connect(vm.dev, 5, s[0]);
		if (r < 0) {
			CHECK_EQ(r, -ENOSPC);
			break;
		}
	}
	CHECK_EQ(n, VSOCK_CONNS);
	vm_set(&vm, VIRTIO_MMIO_STATUS, 0);
	CHECK_EQ(virtio_vsock_connect(vm.dev, 5, dup(listener)), -ENOTCONN);
	end();
}

TEST(lies)
{
	struct virtio_vsock_hdr h = { .src_cid = VSOCK_GUEST_CID, .dst_cid = VSOCK_HOST_CID, .src_port = 1,
				      .dst_port = PORT, .type = VIRTIO_VSOCK_TYPE_STREAM, .op = VIRTIO_VSOCK_OP_RW,
				      .len = 1 };
	start();
	send_header(&h, NULL, 0); /* a byte that is not there */
	CHECK(vm_needs_reset(&vm));
	end();
	start();
	h.len = UINT32_MAX;
	send_header(&h, "x", 1);
	CHECK(vm_needs_reset(&vm));
	end();
	start();
	struct piece p = { TX_GPA, HDR - 1, false };
	dq_add(&q[TX], &p, 1);
	dq_kick(&q[TX]);
	vm_pump(&vm);
	CHECK(vm_needs_reset(&vm));
	end();
	/* A buffer without room. */
	start_without_buffers();
	p = (struct piece){ RX_GPA, HDR, true };
	dq_add(&q[RX], &p, 1);
	guest_says(VIRTIO_VSOCK_OP_REQUEST, PORT, GUEST, 0, NULL, 0);
	CHECK(vm_needs_reset(&vm));
	end();
	/* Twice the same; an answer to nothing; no operation at all. */
	static const uint16_t ops[] = { VIRTIO_VSOCK_OP_REQUEST, VIRTIO_VSOCK_OP_RESPONSE, 0, 8, 0xffff };
	for (unsigned i = 0; i < ARRAY_LEN(ops); i++) {
		char c;
		start();
		int fd = guest_connects(GUEST);
		guest_says(ops[i], PORT, GUEST, 0, NULL, 0);
		HEARS(VIRTIO_VSOCK_OP_RST);
		CHECK_EQ(read(fd, &c, 1), 0);
		CHECK_EQ(virtio_vsock_connections(vm.dev), 0);
		CHECK(!vm_needs_reset(&vm));
		/* Data after "will not send". */
		close(fd);
		fd = guest_connects(GUEST);
		guest_says(VIRTIO_VSOCK_OP_SHUTDOWN, PORT, GUEST, VIRTIO_VSOCK_SHUTDOWN_SEND, NULL, 0);
		guest_says(VIRTIO_VSOCK_OP_RW, PORT, GUEST, 0, "x", 1);
		HEARS(VIRTIO_VSOCK_OP_RST);
		close(fd);
		end();
	}
}

TEST_MAIN()
