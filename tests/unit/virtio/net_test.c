/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "driver.h"
#include "test.h"

enum { RX, TX, CONTROL };
#define HDR 12u
#define ALL_OFFLOADS (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)
#define BIT(n) (UINT64_C(1) << (n))

static struct vm vm;
static struct dq q[3];
static int wire = -1; /* the other end of the "tap" */

static void start_on(int tap, unsigned offloads, uint64_t without, const struct rate_limits *to_guest,
		     const struct rate_limits *from_guest)
{
	struct virtio_device *dev;
	struct virtio_net_setup setup = { .tap_fd = tap, .mac = { 2, 0, 0, 0, 0, 1 }, .mtu = 1500, .offloads = offloads };
	if (to_guest)
		setup.to_guest = *to_guest;
	if (from_guest)
		setup.from_guest = *from_guest;
	vm_init(&vm);
	CHECK_EQ(virtio_net_new(&setup, &vm.mem, &vm.loop, &dev), 0);
	vm_attach(&vm, dev);
	vm_negotiate(&vm, without);
	dq_setup(&vm, &q[RX], RX, 128);
	dq_setup(&vm, &q[TX], TX, 64);
	dq_setup(&vm, &q[CONTROL], CONTROL, 16);
	vm_driver_ok(&vm);
}

static int tap_fd;

static void start(unsigned offloads, uint64_t without)
{
	int s[2];
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s), 0);
	int large = 1 << 20;
	setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
	setsockopt(s[1], SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
	tap_fd = s[0];
	wire = s[1];
	start_on(tap_fd, offloads, without, NULL, NULL);
}

static void end(void)
{
	vm_done(&vm);
	close(tap_fd);
	close(wire);
}

static void give(uint64_t gpa, uint32_t len)
{
	struct piece p = { gpa, len, true };
	dq_add(&q[RX], &p, 1);
}

/* A frame of @len bytes, header included, from the outside. */
static void arrive(uint32_t len, uint8_t seed)
{
	static uint8_t frame[70000];
	memset(frame, 0, HDR);
	for (uint32_t i = HDR; i < len; i++)
		frame[i] = (uint8_t)(i * 13 + seed);
	CHECK_EQ(write(wire, frame, len), len);
}

static void transmit(const void *header, const void *frame, uint32_t len)
{
	struct piece p[] = { { 0x80000, HDR, false }, { 0x81000, len, false } };
	memcpy(vm_ptr(&vm, 0x80000), header, HDR);
	memcpy(vm_ptr(&vm, 0x81000), frame, len);
	dq_add(&q[TX], p, 2);
	CHECK_EQ(dq_run(&q[TX]), 0);
}

TEST(config)
{
	uint8_t mac[6];
	uint16_t status, mtu;
	start(ALL_OFFLOADS, 0);
	virtio_mmio_read(&vm.mmio, VIRTIO_MMIO_CONFIG, mac, 6);
	CHECK(memcmp(mac, "\2\0\0\0\0\1", 6) == 0);
	virtio_mmio_read(&vm.mmio, VIRTIO_MMIO_CONFIG + 6, &status, 2);
	CHECK_EQ(status, VIRTIO_NET_S_LINK_UP);
	virtio_mmio_read(&vm.mmio, VIRTIO_MMIO_CONFIG + 10, &mtu, 2);
	CHECK_EQ(mtu, 1500);
	virtio_net_set_link(vm.dev, false);
	virtio_mmio_read(&vm.mmio, VIRTIO_MMIO_CONFIG + 6, &status, 2);
	CHECK_EQ(status, 0);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG, VIRTIO_MMIO_INT_CONFIG);
	CHECK(virtio_device_has(vm.dev, VIRTIO_NET_F_HOST_TSO6));
	end();
	start(0, 0);
	CHECK(!virtio_device_has(vm.dev, VIRTIO_NET_F_CSUM));
	CHECK(!virtio_device_has(vm.dev, VIRTIO_NET_F_GUEST_TSO4));
	end();
}

/* Frames of all lengths into buffers of one page, each in as few as hold it. */
TEST(merged_receive)
{
	static const uint32_t lengths[] = { 60, 2048, 2049, 4096, 65562, 100, 40000, 1526, 65550, 77 };
	static uint8_t whole[70000];
	start(ALL_OFFLOADS, 0);
	for (unsigned i = 0; i < 64; i++)
		give(0x40000 + i * 2048, 2048);
	dq_kick(&q[RX]);
	for (unsigned k = 0; k < 200; k++) {
		uint32_t len = lengths[k % ARRAY_LEN(lengths)], id, used, got = 0;
		unsigned n = 0;
		arrive(len, (uint8_t)k);
		vm_pump(&vm);
		struct virtio_net_hdr_v1 *h = NULL;
		while (dq_used(&q[RX], &id, &used)) {
			uint64_t gpa = q[RX].desc[id].addr;
			if (n++ == 0)
				h = vm_ptr(&vm, gpa);
			memcpy(whole + got, vm_ptr(&vm, gpa), used);
			got += used;
			/* Given back only when the whole frame is read. */
		}
		CHECK(h != NULL);
		CHECK_EQ(got, len);
		CHECK_EQ(h->num_buffers, n);
		CHECK_EQ(n, (len + 2047) / 2048);
		for (uint32_t i = HDR; i < len; i++)
			CHECK_EQ(whole[i], (uint8_t)(i * 13 + k));
		for (unsigned i = 0; i < n; i++) {
			/* The next descriptors in turn are the ones that came back. */
			give(q[RX].desc[q[RX].next_desc % 128].addr ? q[RX].desc[q[RX].next_desc % 128].addr :
								      0x40000 + (q[RX].next_desc % 64) * 2048,
			     2048);
		}
		dq_kick(&q[RX]);
	}
	CHECK_EQ(virtio_net_counters(vm.dev)->rx_frames, 200);
	end();
}

/* A batch through buffers of many pieces, more than one readv() takes at a time. */
TEST(many_pieces)
{
	uint32_t id, len;
	start(ALL_OFFLOADS, 0);
	/* The last 33 are kept ready for a frame of any length. */
	for (unsigned i = 0; i < 120; i++) {
		struct piece p[8];
		for (unsigned k = 0; k < 8; k++)
			p[k] = (struct piece){ 0x40000 + i * 4096 + k * 300, 256, true };
		dq_add_indirect(&q[RX], p, 8);
	}
	for (unsigned i = 0; i < 60; i++)
		arrive(2000 + i, (uint8_t)i);
	dq_kick(&q[RX]);
	vm_pump(&vm);
	for (unsigned i = 0; i < 60; i++) {
		CHECK(dq_used(&q[RX], &id, &len));
		/* The first two words of the third piece. */
		const uint8_t *p = vm_ptr(&vm, 0x40000 + id * 4096 + 2 * 300);
		CHECK_EQ(len, 2000 + i <= 2048 ? 2000 + i : 2048);
		CHECK_EQ(p[0], (uint8_t)(512 * 13 + i));
		if (2000 + i > 2048)
			CHECK(dq_used(&q[RX], NULL, NULL));
	}
	CHECK(!dq_used(&q[RX], NULL, NULL));
	end();
}

/* Several at once, and too few buffers: nothing is lost, nothing spins, and the rest
 * comes when there is room. */
TEST(waits_for_buffers)
{
	uint32_t len;
	start(0, 0);
	for (unsigned i = 0; i < 5; i++)
		arrive(100 + i, (uint8_t)i);
	vm_pump(&vm);
	CHECK(!dq_used(&q[RX], NULL, NULL));
	give(0x40000, 2048);
	give(0x41000, 2048);
	dq_kick(&q[RX]);
	vm_pump(&vm);
	CHECK(dq_used(&q[RX], NULL, &len));
	CHECK_EQ(len, 100);
	CHECK(dq_used(&q[RX], NULL, &len));
	CHECK_EQ(len, 101);
	CHECK(!dq_used(&q[RX], NULL, NULL));
	for (unsigned i = 0; i < 10; i++)
		give(0x42000 + i * 2048, 2048);
	dq_kick(&q[RX]);
	vm_pump(&vm);
	for (unsigned i = 2; i < 5; i++) {
		CHECK(dq_used(&q[RX], NULL, &len));
		CHECK_EQ(len, 100 + i);
	}
	CHECK(!dq_used(&q[RX], NULL, NULL));
	end();
}

/* Without merging: one chain a frame, of several pieces. */
TEST(plain_receive)
{
	start(ALL_OFFLOADS, BIT(VIRTIO_NET_F_MRG_RXBUF));
	struct piece p[] = { { 0x40000, HDR, true }, { 0x41000, 0x8000, true }, { 0x50000, 0x9000, true } };
	uint32_t lens[] = { 65000, 64 }, len;
	for (unsigned i = 0; i < 2; i++) {
		dq_add(&q[RX], p, 3);
		arrive(lens[i], 3);
		dq_kick(&q[RX]);
		vm_pump(&vm);
		CHECK(dq_used(&q[RX], NULL, &len));
		CHECK_EQ(len, lens[i]);
		CHECK_EQ(((struct virtio_net_hdr_v1 *)vm_ptr(&vm, 0x40000))->num_buffers, 1);
		CHECK_EQ(*(uint8_t *)vm_ptr(&vm, 0x41000), (uint8_t)(12 * 13 + 3));
	}
	end();
}

TEST(transmit)
{
	static uint8_t frame[66000], got[70000];
	struct virtio_net_hdr_v1 h = { .num_buffers = 7 };
	start(ALL_OFFLOADS, 0);
	for (unsigned i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 3);
	static const uint32_t lengths[] = { 14, 60, 1514, 65550 };
	for (unsigned i = 0; i < 4; i++) {
		transmit(&h, frame, lengths[i]);
		CHECK_EQ(read(wire, got, sizeof(got)), HDR + lengths[i]);
		CHECK(memcmp(got + HDR, frame, lengths[i]) == 0);
		CHECK_EQ(got[10], 0);
	}
	/* Offloads that were agreed on go through, others do not. */
	h = (struct virtio_net_hdr_v1){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV6 };
	transmit(&h, frame, 5000);
	CHECK_EQ(read(wire, got, sizeof(got)), HDR + 5000);
	h = (struct virtio_net_hdr_v1){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					.gso_size = 1448 };
	transmit(&h, frame, 5000);
	CHECK_EQ(read(wire, got, sizeof(got)), HDR + 5000);
	CHECK_EQ(got[1], VIRTIO_NET_HDR_GSO_TCPV4);
	static const struct virtio_net_hdr_v1 bad[] = {
		{ .flags = 0x80 },
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_UDP },
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_ECN },
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = 0x7f },
	};
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		transmit(&bad[i], frame, 100);
	h = (struct virtio_net_hdr_v1){ 0 };
	transmit(&h, frame, 13);
	transmit(&h, frame, 65558);
	CHECK(read(wire, got, sizeof(got)) < 0);
	CHECK_EQ(virtio_net_counters(vm.dev)->tx_dropped, 7);
	CHECK_EQ(virtio_net_counters(vm.dev)->tx_frames, 6);
	end();
	start(ALL_OFFLOADS, BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4));
	h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	transmit(&h, frame, 100);
	CHECK(read(wire, got, sizeof(got)) < 0);
	/* Nobody there any more. */
	h.flags = 0;
	close(wire);
	signal(SIGPIPE, SIG_IGN);
	transmit(&h, frame, 100);
	vm_pump(&vm);
	CHECK(!vm_needs_reset(&vm));
	wire = -1;
	vm_done(&vm);
	close(tap_fd);
}

static uint8_t command(const void *bytes, uint32_t len)
{
	struct piece p[] = { { 0x80000, len, false }, { 0x81000, 1, true } };
	memcpy(vm_ptr(&vm, 0x80000), bytes, len);
	*(uint8_t *)vm_ptr(&vm, 0x81000) = 99;
	dq_add(&q[CONTROL], p, 2);
	CHECK_EQ(dq_run(&q[CONTROL]), 1);
	return *(uint8_t *)vm_ptr(&vm, 0x81000);
}

TEST(control)
{
	uint8_t mac[6];
	start(0, 0);
	CHECK_EQ(command("\0\0\1", 3), VIRTIO_NET_OK); /* promiscuous */
	CHECK_EQ(command("\0\1\0", 3), VIRTIO_NET_OK);
	CHECK_EQ(command("\0\0", 2), VIRTIO_NET_ERR);
	CHECK_EQ(command("\1\1\2\3\4\5\6\7", 8), VIRTIO_NET_OK); /* an address */
	virtio_mmio_read(&vm.mmio, VIRTIO_MMIO_CONFIG, mac, 6);
	CHECK(memcmp(mac, "\2\3\4\5\6\7", 6) == 0);
	CHECK_EQ(command("\1\1\2\3", 4), VIRTIO_NET_ERR);
	CHECK_EQ(command("\1\0\0\0\0\0\0\0\0\0", 10), VIRTIO_NET_OK);
	CHECK_EQ(command("\4\0\1\0", 4), VIRTIO_NET_ERR); /* several queues */
	CHECK_EQ(command("\xff\xff", 2), VIRTIO_NET_ERR);
	end();
}

TEST(rates)
{
	static uint8_t frame[1000], got[2000];
	struct virtio_net_hdr_v1 h = { 0 };
	struct rate_limits tx = { .ops_per_s = 100, .burst_ops = 1 }, rx = tx;
	int s[2];
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s), 0);
	tap_fd = s[0];
	wire = s[1];
	start_on(tap_fd, 0, 0, &rx, &tx);
	int64_t from = clock_mono_ms();
	for (unsigned i = 0; i < 21; i++)
		transmit(&h, frame, sizeof(frame));
	CHECK(clock_mono_ms() - from >= 190);
	for (unsigned i = 0; i < 21; i++) {
		CHECK_EQ(read(wire, got, sizeof(got)), HDR + sizeof(frame));
		give(0x40000 + i * 2048, 2048);
		arrive(100, 1);
	}
	from = clock_mono_ms();
	dq_kick(&q[RX]);
	for (unsigned i = 0; i < 21; i++)
		CHECK(dq_wait(&q[RX], NULL, NULL, 5000));
	CHECK(clock_mono_ms() - from >= 190);
	end();
}

TEST(lies)
{
	static const struct piece lies[] = {
		{ 0x40000, HDR - 1, true }, { 0x40000, 2048, false }, { VM_ROM_GPA, 2048, true }, { UINT64_MAX, 64, true }
	};
	for (unsigned i = 0; i < ARRAY_LEN(lies); i++) {
		start(0, 0);
		arrive(100, 0);
		dq_add(&q[RX], &lies[i], 1);
		dq_kick(&q[RX]);
		vm_pump(&vm);
		CHECK(vm_needs_reset(&vm));
		arrive(100, 0);
		vm_pump(&vm); /* rests */
		end();
	}
	static const struct piece short_header = { 0x80000, HDR - 1, false }, no_answer = { 0x80000, 3, false };
	start(0, 0);
	dq_add(&q[TX], &short_header, 1);
	dq_kick(&q[TX]);
	vm_pump(&vm);
	CHECK(vm_needs_reset(&vm));
	end();
	start(0, 0);
	dq_add(&q[CONTROL], &no_answer, 1);
	dq_kick(&q[CONTROL]);
	vm_pump(&vm);
	CHECK(vm_needs_reset(&vm));
	end();
}

/* A device that is shown later, with another tap, and taken away under its driver. */
TEST(plug)
{
	static const uint8_t mac[6] = { 2, 9, 9, 9, 9, 9 };
	struct virtio_device *dev;
	struct virtio_net_setup setup = { .tap_fd = -1, .offloads = ALL_OFFLOADS };
	struct virtio_net_hdr_v1 h = { 0 };
	uint8_t frame[100] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 9, 9, 9, 9, 9, 0x88, 0xb5 }, got[2000];
	vm_init(&vm);
	CHECK_EQ(virtio_net_new(&setup, &vm.mem, &vm.loop, &dev), 0);
	vm_attach(&vm, dev);
	virtio_mmio_park(&vm.mmio, true);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_DEVICE_ID), 0);
	/* A driver that goes on all the same gets nowhere. */
	vm_set(&vm, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_STATUS), 0);
	CHECK_EQ(dev->status, 0);
	vm_set(&vm, VIRTIO_MMIO_QUEUE_NOTIFY, TX);
	vm_pump(&vm);
	for (int round = 0; round < 2; round++) {
		int s[2];
		CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s), 0);
		CHECK(!virtio_net_is_plugged(dev));
		virtio_net_plug(dev, s[0], mac, 1400);
		virtio_mmio_park(&vm.mmio, false);
		CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_DEVICE_ID), 1);
		vm_negotiate(&vm, 0);
		dq_setup(&vm, &q[RX], RX, 128);
		dq_setup(&vm, &q[TX], TX, 64);
		dq_setup(&vm, &q[CONTROL], CONTROL, 16);
		vm_driver_ok(&vm);
		virtio_mmio_read(&vm.mmio, VIRTIO_MMIO_CONFIG, got, 6);
		CHECK(memcmp(got, mac, 6) == 0 && memcmp(virtio_net_mac(dev), mac, 6) == 0);
		transmit(&h, frame, sizeof(frame));
		CHECK_EQ(recv(s[1], got, sizeof(got), 0), HDR + sizeof(frame));
		/* The driver is still at work, with buffers for what comes. */
		give(0x40000, 2048);
		dq_kick(&q[RX]);
		vm_pump(&vm);
		virtio_mmio_park(&vm.mmio, true);
		CHECK_EQ(virtio_net_unplug(dev), s[0]);
		CHECK_EQ(vm_reg(&vm, VIRTIO_MMIO_DEVICE_ID), 0);
		CHECK_EQ(write(s[1], frame, sizeof(frame)), sizeof(frame));
		dq_kick(&q[TX]);
		vm_pump(&vm);
		CHECK_EQ(dev->failures, 0);
		close(s[0]);
		close(s[1]);
	}
	vm_done(&vm);
}

/* A real tap, in a network namespace of our own. */
TEST(tap)
{
	if (unshare(CLONE_NEWNET) < 0)
		TEST_SKIP("no network namespace: %s", strerror(errno));
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
		TEST_SKIP("no tap: %s", strerror(errno));
	int header = HDR;
	CHECK_EQ(ioctl(fd, TUNSETVNETHDRSZ, &header), 0);
	CHECK_EQ(ioctl(fd, TUNSETOFFLOAD, (unsigned long)ALL_OFFLOADS), 0);
	int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(0x88b5));
	CHECK(s >= 0);
	ifr.ifr_flags = IFF_UP;
	CHECK_EQ(ioctl(s, SIOCSIFFLAGS, &ifr), 0);
	CHECK_EQ(ioctl(s, SIOCGIFINDEX, &ifr), 0);
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(0x88b5), .sll_ifindex = ifr.ifr_ifindex };
	CHECK_EQ(bind(s, (struct sockaddr *)&at, sizeof(at)), 0);

	/* The driver wants nothing: the tap is told, and told again by the next one. */
	start_on(fd, ALL_OFFLOADS, BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4), NULL, NULL);
	uint8_t frame[100] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5, 'h', 'i' }, got[2000];
	struct virtio_net_hdr_v1 h = { 0 };
	transmit(&h, frame, sizeof(frame));
	CHECK_EQ(virtio_net_counters(vm.dev)->tx_frames, 1);
	CHECK_EQ(recv(s, got, sizeof(got), 0), sizeof(frame));
	CHECK(memcmp(got, frame, sizeof(frame)) == 0);
	/* And a frame to the guest, among what the kernel itself sends there. */
	for (unsigned i = 0; i < 64; i++)
		give(0x40000 + i * 2048, 2048);
	dq_kick(&q[RX]);
	frame[14] = 'y';
	CHECK_EQ(send(s, frame, sizeof(frame), 0), sizeof(frame));
	bool found = false;
	uint32_t id, len;
	while (!found && dq_wait(&q[RX], &id, &len, 2000)) {
		const uint8_t *p = vm_ptr(&vm, q[RX].desc[id].addr);
		CHECK_EQ(((const struct virtio_net_hdr_v1 *)p)->num_buffers, 1);
		found = len == HDR + sizeof(frame) && memcmp(p + HDR, frame, sizeof(frame)) == 0;
	}
	CHECK(found);
	vm_done(&vm);
	close(s);
	close(fd);
}

TEST_MAIN()
