/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that does what the input says to one device, through its registers, rings and
 * memory, with a host that sends and takes bytes on the other side. No access leaves
 * guest memory (guard pages, AddressSanitizer), and when the guest is done the device
 * comes to rest.
 *
 *   byte 0: the device. Then commands, each a byte and its arguments (below). */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "virtio_balloon.h"
#include "virtio_blk.h"
#include "virtio_console.h"
#include "virtio_fs.h"
#include "virtio_mmio.h"
#include "virtio_net.h"
#include "virtio_pmem.h"
#include "virtio_rng.h"
#include "virtio_vsock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PAGE = 4096, RAM = 64 * PAGE, SIZE = 16, QUEUE_BYTES = 1024, VSOCK_PORT = 7 };
/* The rings of queue i lie at i * QUEUE_BYTES: descriptors, then avail, then used. */
enum { AVAIL = SIZE * 16, USED = AVAIL + 64 };

static uint8_t *ram;
static struct guest_memory mem;

struct input {
	const uint8_t *data;
	size_t len;
};

static uint64_t take(struct input *in, unsigned bytes)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < bytes && in->len > 0; i++, in->len--)
		v |= (uint64_t)*in->data++ << (8 * i);
	return v;
}

struct guest {
	struct loop loop;
	struct virtio_device *dev;
	struct virtio_mmio mmio;
	int irq_fd;
	/* The host's end, and what it holds besides. */
	int host;
	int extra[4];
	unsigned n_extra, n_own; /* the first are the device's */
	uint16_t avail_idx[VIRTIO_QUEUES_MAX];
};

static void must(int r)
{
	if (r < 0)
		abort();
}

static void make_memory(void)
{
	uint8_t *p = mmap(NULL, RAM + 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		abort();
	ram = p + PAGE;
	must(mprotect(ram, RAM, PROT_READ | PROT_WRITE));
	must(mprotect(ram + RAM, PAGE, PROT_READ));
	/* Two regions that touch, then one that is read-only. */
	must(guest_memory_add(&mem, 0, ram, RAM / 2, 0));
	must(guest_memory_add(&mem, RAM / 2, ram + RAM / 2, RAM / 2, 0));
	must(guest_memory_add(&mem, RAM, ram + RAM, PAGE, GUEST_REGION_READONLY));
}

static int pair(struct guest *g, int type)
{
	int s[2];
	must(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s));
	g->host = s[1];
	return s[0];
}

static int disk_file(uint64_t bytes)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);
	must(fd);
	must(ftruncate(fd, (off_t)bytes));
	return fd;
}

static void make_blk(struct guest *g, bool has_layers)
{
	struct virtio_blk_setup setup = { .id = "fuzz", .io = has_layers ? BLK_IO_THREAD : BLK_IO_BEST };
	struct blk_layer layers[2] = { { .bytes = 5000, .name = "a" }, { .bytes = 8192, .name = "b" } };
	g->extra[g->n_extra++] = layers[0].fd = disk_file(65536);
	layers[1].fd = layers[0].fd;
	must(has_layers ? blk_disk_layers(&setup.disk, layers, 2, 4096) :
			  blk_disk_raw(&setup.disk, layers[0].fd, 65536, false));
	must(virtio_blk_new(&setup, &mem, &g->loop, &g->dev));
}

static void make_device(struct guest *g, unsigned kind)
{
	switch (kind % 9) {
	case 0:
		must(virtio_rng_new(&mem, &g->loop, &g->dev));
		break;
	case 1: {
		int fd = g->extra[g->n_extra++] = pair(g, SOCK_STREAM);
		struct virtio_console_setup setup = { .in_fd = fd, .out_fd = fd };
		must(virtio_console_new(&setup, &mem, &g->loop, &g->dev));
		break;
	}
	case 2:
	case 3:
		make_blk(g, kind % 9 == 3);
		break;
	case 4:
		must(virtio_pmem_new(UINT64_C(1) << 32, UINT64_C(2) << 20, &mem, &g->loop, &g->dev));
		break;
	case 5: {
		must(virtio_vsock_new(VSOCK_GUEST_CID, &mem, &g->loop, &g->dev));
		must(virtio_vsock_listen(g->dev, VSOCK_PORT, pair(g, SOCK_SEQPACKET)));
		break;
	}
	case 6: {
		struct virtio_net_setup setup = { .mac = { 2 }, .offloads = 15 };
		setup.tap_fd = g->extra[g->n_extra++] = pair(g, SOCK_SEQPACKET);
		must(virtio_net_new(&setup, &mem, &g->loop, &g->dev));
		break;
	}
	case 7: {
		struct virtio_balloon_setup setup = { 0 };
		must(virtio_balloon_new(&setup, &mem, &g->loop, &g->dev));
		break;
	}
	default: {
		struct virtio_fs_setup setup = { .tag = "fuzz", .fd = pair(g, SOCK_STREAM) };
		must(virtio_fs_new(&setup, &mem, &g->loop, &g->dev));
		break;
	}
	}
	g->n_own = g->n_extra;
	virtio_mmio_init(&g->mmio, g->dev, g->irq_fd);
}

static void set(struct guest *g, uint32_t offset, uint32_t value)
{
	virtio_mmio_write(&g->mmio, offset, &value, 4);
}

/* What an honest driver does, without some of the features. */
static void start(struct guest *g, uint32_t without)
{
	set(g, VIRTIO_MMIO_STATUS, 0);
	set(g, VIRTIO_MMIO_STATUS, 1);
	set(g, VIRTIO_MMIO_STATUS, 3);
	set(g, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)g->dev->offered & ~without);
	set(g, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	set(g, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(g->dev->offered >> 32));
	set(g, VIRTIO_MMIO_STATUS, 11);
	for (unsigned i = 0; i < g->dev->n_queues; i++) {
		memset(ram + i * QUEUE_BYTES, 0, QUEUE_BYTES);
		g->avail_idx[i] = 0;
		set(g, VIRTIO_MMIO_QUEUE_SEL, i);
		set(g, VIRTIO_MMIO_QUEUE_NUM, SIZE);
		set(g, VIRTIO_MMIO_QUEUE_DESC_LOW, i * QUEUE_BYTES);
		set(g, VIRTIO_MMIO_QUEUE_AVAIL_LOW, i * QUEUE_BYTES + AVAIL);
		set(g, VIRTIO_MMIO_QUEUE_USED_LOW, i * QUEUE_BYTES + USED);
		set(g, VIRTIO_MMIO_QUEUE_READY, 1);
	}
	set(g, VIRTIO_MMIO_STATUS, 15);
}

static void offer(struct guest *g, unsigned queue, uint16_t head)
{
	uint16_t *avail = (uint16_t *)(ram + queue * QUEUE_BYTES + AVAIL);
	avail[2 + g->avail_idx[queue]++ % SIZE] = head;
	avail[1] = g->avail_idx[queue];
	set(g, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

/* A chain: for each piece a byte (1: writable, 2: the last) and place and length. */
static void chain(struct guest *g, struct input *in)
{
	unsigned queue = (unsigned)take(in, 1) % VIRTIO_QUEUES_MAX, n = 0;
	struct vring_desc *desc = (struct vring_desc *)(ram + queue * QUEUE_BYTES);
	uint16_t head = (uint16_t)(take(in, 1) % SIZE);
	for (bool is_last = false; !is_last && n < SIZE; n++) {
		unsigned flags = (unsigned)take(in, 1);
		unsigned at = (head + n) % SIZE;
		is_last = (flags & 2) || in->len == 0 || n + 1 == SIZE;
		desc[at] = (struct vring_desc){
			.addr = take(in, 2) << (flags >> 4 & 3),
			.len = (uint32_t)take(in, 2),
			.flags = (uint16_t)((flags & 1 ? VRING_DESC_F_WRITE : 0) | (is_last ? 0 : VRING_DESC_F_NEXT) |
					    (flags & 4 ? VRING_DESC_F_INDIRECT : 0)),
			.next = (uint16_t)((at + 1) % SIZE),
		};
	}
	offer(g, queue, head);
}

static void host_writes(struct guest *g, struct input *in)
{
	size_t len = take(in, 1);
	int fd = g->n_extra > g->n_own ? g->extra[g->n_extra - 1] : g->host;
	if (len > in->len)
		len = in->len;
	if (fd >= 0 && len > 0) {
		ssize_t n = send(fd, in->data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		(void)n;
	}
	in->data += len;
	in->len -= len;
}

static void host_reads(struct guest *g)
{
	uint8_t bytes[4096];
	int fds[1];
	size_t n = 0;
	if (g->host < 0)
		return;
	ssize_t r = fd_recv(g->host, bytes, sizeof(bytes), fds, 1, &n);
	(void)r;
	for (size_t i = 0; i < n; i++) {
		if (g->n_extra < 4 && fcntl(fds[i], F_SETFL, O_NONBLOCK) == 0)
			g->extra[g->n_extra++] = fds[i];
		else
			close(fds[i]);
	}
}

static void command(struct guest *g, struct input *in)
{
	uint64_t bytes;
	int fd[2];
	switch (take(in, 1) % 12) {
	case 0: { /* any register or configuration byte */
		uint32_t offset = (uint32_t)take(in, 2) % VIRTIO_MMIO_BYTES, len = 1 + (uint32_t)take(in, 1) % 8;
		bytes = take(in, 8);
		virtio_mmio_write(&g->mmio, offset, &bytes, len);
		break;
	}
	case 1: {
		uint32_t offset = (uint32_t)take(in, 2) % VIRTIO_MMIO_BYTES;
		virtio_mmio_read(&g->mmio, offset, &bytes, 1 + (uint32_t)take(in, 1) % 8);
		break;
	}
	case 2:
		start(g, (uint32_t)take(in, 4));
		break;
	case 3: { /* memory */
		size_t at = take(in, 2) % RAM, len = take(in, 1);
		if (len > in->len)
			len = in->len;
		memcpy(ram + at, in->data, at + len > RAM ? RAM - at : len);
		in->data += len;
		in->len -= len;
		break;
	}
	case 4:
		chain(g, in);
		break;
	case 5:
		set(g, VIRTIO_MMIO_QUEUE_NOTIFY, (uint32_t)take(in, 1));
		break;
	case 6:
		host_writes(g, in);
		break;
	case 7:
		host_reads(g);
		break;
	case 8: { /* the same head again, or any */
		unsigned queue = (unsigned)take(in, 1) % VIRTIO_QUEUES_MAX;
		offer(g, queue, (uint16_t)take(in, 1));
		break;
	}
	case 9:
		set(g, VIRTIO_MMIO_STATUS, (uint32_t)take(in, 1));
		break;
	case 10: /* the host's side ends */
		if (take(in, 1) & 1 && g->n_extra > g->n_own)
			close(g->extra[--g->n_extra]);
		else if (g->host >= 0)
			shutdown(g->host, SHUT_WR);
		break;
	default: /* what only this device can do */
		if (g->dev->id == 19 && g->n_extra < 4 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == 0) {
			g->extra[g->n_extra++] = fd[1];
			if (virtio_vsock_connect(g->dev, (uint32_t)take(in, 1), fd[0]) < 0)
				break;
		}
		if (g->dev->id == 5) {
			virtio_balloon_set_target(g->dev, take(in, 4));
			virtio_balloon_ask(g->dev);
		}
		break;
	}
	for (unsigned i = 0; i < 4 && loop_step(&g->loop, 0) > 0; i++)
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest g = { .host = -1 };
	struct input in = { data, size };
	if (size < 2 || size > 4096)
		return 0;
	if (!ram)
		make_memory();
	memset(ram, 0, RAM);
	must(loop_init(&g.loop));
	g.irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	make_device(&g, (unsigned)take(&in, 1));
	while (in.len > 0)
		command(&g, &in);
	/* A device that never rests would take its VM's thread for itself. The slowest
	 * has work for some hundred turns: 16 chains a queue, a few pieces each. */
	for (unsigned turns = 0; loop_step(&g.loop, 0) > 0; turns++) {
		if (turns > 5000)
			abort();
	}
	virtio_device_free(g.dev);
	while (g.n_extra > 0)
		close(g.extra[--g.n_extra]);
	if (g.host >= 0)
		close(g.host);
	close(g.irq_fd);
	loop_done(&g.loop);
	return 0;
}
