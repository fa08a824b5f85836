/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: a request takes a slot until its reply is there. One request at a time is
 * being written to the socket, and one reply read; either may stop in the middle and go
 * on when the socket is ready. While the socket takes no more, or all slots are taken,
 * nothing is taken from the queues. The number that the server sees is the slot's and a
 * count that makes it unique, so a reply that comes late (after a reset) finds nobody and
 * is skipped. */
#include "virtio_fs.h"

#include <endian.h>
#include <errno.h>
#include <linux/fuse.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "chain_io.h"
#include "cleanup.h"

enum { QUEUE_HIPRIO, QUEUE_REQUEST, QUEUES };

/* Linux sends up to this many pieces less four: 256 pages in one request. */
#define QUEUE_SIZE 512
#define IOV_N      (QUEUE_SIZE + GUEST_REGIONS_MAX)
#define SLOTS      64u
/* The last one is kept for the queue of FORGETs. */
#define SLOTS_RESERVED 1u
#define UNIQUE_SHIFT   8 /* number = count << 8 | slot << 1; the lowest bit means INTERRUPT */

static_assert(SLOTS << 1 <= 1u << UNIQUE_SHIFT, "a slot's number fits");

struct slot {
	struct slot *next_free;
	bool is_busy;
	/* The guest was reset: only the rest of its request is still to be sent. */
	bool is_orphan;
	uint64_t unique, guest_unique;
	unsigned queue;
	uint32_t opcode;
	struct virtq_chain chain;
};

struct virtio_fs {
	struct virtio_device dev; /* first */
	struct virtio_fs_config config;
	struct loop_source server;
	uint64_t count;
	/* The request on its way out. */
	struct slot *sending;
	struct fuse_in_header send_header;
	uint32_t sent;
	/* The reply on its way in: `received` bytes of it, to `receiving` or (NULL) nowhere. */
	struct fuse_out_header receive_header;
	uint32_t received;
	struct slot *receiving;
	/* These queues may hold more than could be taken. */
	bool is_stalled[QUEUES];
	unsigned n_free;
	struct slot *free;
	struct slot slots[SLOTS];
	/* Apart from the slots: memory that is first used when as many requests are in
	 * flight. */
	struct iovec iov[SLOTS][IOV_N];
};

static void watch(struct virtio_fs *fs)
{
	uint32_t events = EPOLLIN | (fs->sending ? EPOLLOUT : 0);
	if (fs->server.fd >= 0 && loop_watch(fs->dev.loop, &fs->server, events) < 0)
		virtio_device_fail(&fs->dev);
}

static void release(struct virtio_fs *fs, struct slot *slot)
{
	slot->is_busy = false;
	slot->next_free = fs->free;
	fs->free = slot;
	fs->n_free++;
	for (unsigned i = 0; i < QUEUES; i++) {
		if (fs->is_stalled[i])
			virtio_queue_kick(&fs->dev, i);
		fs->is_stalled[i] = false;
	}
}

/* Hand the chain back with @written bytes in it. */
static void complete(struct virtio_fs *fs, struct slot *slot, uint32_t written)
{
	virtq_push(&fs->dev.queues[slot->queue], slot->chain.head, written);
	release(fs, slot);
}

static void complete_with_error(struct virtio_fs *fs, struct slot *slot, int error)
{
	struct fuse_out_header h = { .len = sizeof(h), .error = error, .unique = slot->guest_unique };
	bool has_room = slot->chain.write_bytes >= sizeof(h);
	complete(fs, slot, has_room ? chain_write(&slot->chain, 0, &h, sizeof(h)) : 0);
}

static bool expects_reply(const struct slot *slot)
{
	return slot->opcode != FUSE_FORGET && slot->opcode != FUSE_BATCH_FORGET;
}

/* The server is gone. */
static void lose_server(struct virtio_fs *fs)
{
	int fd = loop_remove(fs->dev.loop, &fs->server);
	cleanup_fd(&fd);
	fs->sending = fs->receiving = NULL;
	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *slot = &fs->slots[i];
		if (slot->is_busy && slot->is_orphan)
			release(fs, slot);
		else if (slot->is_busy)
			complete_with_error(fs, slot, -EIO);
	}
	for (unsigned i = 0; i < QUEUES; i++)
		virtio_queue_flush(&fs->dev, i);
}

/* ---- requests ---- */

/* Go on with the request on its way. */
static void send_some(struct virtio_fs *fs)
{
	struct slot *slot = fs->sending;
	uint32_t total = slot->chain.read_bytes;
	while (fs->sent < total) {
		struct iovec iov[IOV_N + 1];
		unsigned n = 0;
		if (fs->sent < sizeof(fs->send_header))
			iov[n++] = (struct iovec){ .iov_base = (uint8_t *)&fs->send_header + fs->sent,
						   .iov_len = sizeof(fs->send_header) - fs->sent };
		memcpy(iov + n, slot->chain.iov, slot->chain.n_read * sizeof(iov[0]));
		uint32_t from = fs->sent > sizeof(fs->send_header) ? fs->sent : (uint32_t)sizeof(fs->send_header);
		n += iov_slice(iov + n, slot->chain.n_read, from, total - from);
		struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n };
		ssize_t sent = sendmsg(fs->server.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN)
			return;
		if (sent < 0) {
			lose_server(fs);
			return;
		}
		fs->sent += (uint32_t)sent;
	}
	fs->sending = NULL;
	if (slot->is_orphan)
		release(fs, slot);
	else if (!expects_reply(slot))
		complete(fs, slot, 0);
}

static struct slot *take_slot(struct virtio_fs *fs, unsigned queue)
{
	struct slot *slot = fs->free;
	if (fs->n_free <= (queue == QUEUE_HIPRIO ? 0 : SLOTS_RESERVED))
		return NULL;
	fs->free = slot->next_free;
	fs->n_free--;
	slot->is_busy = true;
	slot->is_orphan = false;
	slot->queue = queue;
	slot->chain = (struct virtq_chain){ .iov = fs->iov[slot - fs->slots], .iov_max = IOV_N };
	return slot;
}

/* False: the guest lied. */
static bool begin(struct virtio_fs *fs, struct slot *slot)
{
	struct fuse_in_header h;
	const struct virtq_chain *chain = &slot->chain;
	if (chain_read(chain, 0, &h, sizeof(h)) != sizeof(h) || h.len != chain->read_bytes)
		return false;
	slot->opcode = h.opcode;
	slot->guest_unique = h.unique;
	if (h.opcode == FUSE_INTERRUPT) {
		complete(fs, slot, 0);
		return true;
	}
	if (fs->server.fd < 0 || h.len > VIRTIO_FS_MESSAGE_MAX ||
	    (expects_reply(slot) && chain->write_bytes < sizeof(struct fuse_out_header))) {
		complete_with_error(fs, slot, -EIO);
		return true;
	}
	slot->unique = ++fs->count << UNIQUE_SHIFT | (uint64_t)(slot - fs->slots) << 1;
	h.unique = slot->unique;
	fs->send_header = h;
	fs->sending = slot;
	fs->sent = 0;
	send_some(fs);
	return true;
}

static bool serve(struct virtio_fs *fs, unsigned index)
{
	struct virtq *q = &fs->dev.queues[index];
	virtq_disable_kicks(q);
	fs->is_stalled[index] = false;
	for (unsigned n = 0; n < VIRTIO_BUDGET && !fs->is_stalled[index]; n++) {
		struct slot *slot = fs->sending ? NULL : take_slot(fs, index);
		if (!slot) {
			fs->is_stalled[index] = true;
			break;
		}
		if (virtio_queue_pop(&fs->dev, index, &slot->chain) != 1) {
			release(fs, slot);
			break;
		}
		if (!begin(fs, slot)) {
			release(fs, slot);
			virtio_device_fail(&fs->dev);
			return false;
		}
	}
	virtio_queue_flush(&fs->dev, index);
	watch(fs);
	if (!virtio_device_is_live(&fs->dev) || fs->is_stalled[index])
		return false;
	return virtq_enable_kicks(q);
}

/* ---- replies ---- */

/* Whose reply it is; NULL: nobody's any more. */
static struct slot *find_slot(struct virtio_fs *fs, uint64_t unique)
{
	struct slot *slot = &fs->slots[(unique >> 1) % SLOTS];
	/* One that is not even sent whole cannot have been answered. */
	return slot->is_busy && !slot->is_orphan && slot->unique == unique && slot != fs->sending &&
			       expects_reply(slot) ?
		       slot :
		       NULL;
}

/* Up to @len bytes of the reply's body: to the guest, or nowhere. */
static ssize_t receive_body(struct virtio_fs *fs, uint32_t len)
{
	struct iovec iov[IOV_N];
	uint8_t nowhere[4096];
	struct msghdr msg = { .msg_iov = iov };
	if (fs->receiving) {
		const struct virtq_chain *chain = &fs->receiving->chain;
		memcpy(iov, chain->iov + chain->n_read, chain->n_write * sizeof(iov[0]));
		msg.msg_iovlen = iov_slice(iov, chain->n_write, fs->received, len);
	} else {
		iov[0] = (struct iovec){ .iov_base = nowhere, .iov_len = len < sizeof(nowhere) ? len : sizeof(nowhere) };
		msg.msg_iovlen = 1;
	}
	return recvmsg(fs->server.fd, &msg, MSG_DONTWAIT);
}

/* The header is there. False: it is none. */
static bool begin_reply(struct virtio_fs *fs)
{
	const struct fuse_out_header *h = &fs->receive_header;
	if (h->len < sizeof(*h) || h->len > VIRTIO_FS_MESSAGE_MAX)
		return false;
	fs->receiving = find_slot(fs, h->unique);
	if (fs->receiving && h->len > fs->receiving->chain.write_bytes) {
		/* More than the guest has room for. */
		complete_with_error(fs, fs->receiving, -EIO);
		fs->receiving = NULL;
	}
	return true;
}

static void end_reply(struct virtio_fs *fs)
{
	struct slot *slot = fs->receiving;
	fs->received = 0;
	fs->receiving = NULL;
	if (!slot)
		return;
	/* The header comes last: the body is whole by then. */
	fs->receive_header.unique = slot->guest_unique;
	chain_write(&slot->chain, 0, &fs->receive_header, sizeof(fs->receive_header));
	complete(fs, slot, fs->receive_header.len);
}

static void receive_some(struct virtio_fs *fs)
{
	/* A large reply comes in pieces of what the socket holds. */
	for (unsigned n = 0; n < VIRTIO_BUDGET; n++) {
		struct fuse_out_header *h = &fs->receive_header;
		ssize_t got;
		if (fs->received < sizeof(*h))
			got = recv(fs->server.fd, (uint8_t *)h + fs->received, sizeof(*h) - fs->received, MSG_DONTWAIT);
		else
			got = receive_body(fs, h->len - fs->received);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			break;
		if (got <= 0) {
			lose_server(fs);
			break;
		}
		bool had_header = fs->received >= sizeof(*h);
		fs->received += (uint32_t)got;
		if (!had_header && fs->received == sizeof(*h) && !begin_reply(fs)) {
			lose_server(fs); /* the framing is lost */
			break;
		}
		if (fs->received >= sizeof(*h) && fs->received == h->len)
			end_reply(fs);
	}
	for (unsigned i = 0; i < QUEUES; i++)
		virtio_queue_flush(&fs->dev, i);
}

static void server_ready(void *ctx, uint32_t events)
{
	struct virtio_fs *fs = ctx;
	if (fs->sending && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
		send_some(fs);
		if (!fs->sending) {
			for (unsigned i = 0; i < QUEUES; i++) {
				virtio_queue_flush(&fs->dev, i);
				if (fs->is_stalled[i] && virtio_device_is_live(&fs->dev))
					virtio_queue_kick(&fs->dev, i);
			}
		}
	}
	if (fs->server.fd >= 0 && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
		receive_some(fs);
	watch(fs);
}

/* ---- the device ---- */

static bool kicked(struct virtio_device *dev, unsigned index)
{
	return serve((struct virtio_fs *)dev, index);
}

static void reset(struct virtio_device *dev)
{
	struct virtio_fs *fs = (struct virtio_fs *)dev;
	for (unsigned i = 0; i < QUEUES; i++)
		fs->is_stalled[i] = false;
	/* What the server says to requests of before goes nowhere. */
	fs->receiving = NULL;
	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *slot = &fs->slots[i];
		if (slot == fs->sending)
			slot->is_orphan = true;
		else if (slot->is_busy)
			release(fs, slot);
	}
}

static void fs_free(struct virtio_device *dev)
{
	struct virtio_fs *fs = (struct virtio_fs *)dev;
	int fd = loop_remove(dev->loop, &fs->server);
	cleanup_fd(&fd);
	virtio_device_done(dev);
	free(fs);
}

static const struct virtio_ops ops = { .kicked = kicked, .reset = reset, .free = fs_free };

int virtio_fs_new(const struct virtio_fs_setup *setup, const struct guest_memory *mem, struct loop *loop,
		  struct virtio_device **ret)
{
	static const uint16_t sizes[QUEUES] = { QUEUE_SIZE, QUEUE_SIZE };
	CLEANUP_FD int fd = setup->fd;
	CLEANUP_FREE struct virtio_fs *fs = calloc(1, sizeof(*fs));
	if (!fs)
		return -ENOMEM;
	int r = virtio_device_init(&fs->dev, &ops, VIRTIO_ID_FS, 0, sizes, QUEUES, mem, loop);
	if (r < 0)
		return r;
	memcpy(fs->config.tag, setup->tag, sizeof(fs->config.tag));
	fs->config.num_request_queues = htole32(1);
	fs->dev.config = (uint8_t *)&fs->config;
	fs->dev.config_len = sizeof(fs->config);
	for (unsigned i = SLOTS; i-- > 0;) {
		fs->slots[i].next_free = fs->free;
		fs->free = &fs->slots[i];
	}
	fs->n_free = SLOTS;
	fs->server = (struct loop_source){ .fd = fd, .ready = server_ready, .ctx = fs };
	r = loop_watch(loop, &fs->server, EPOLLIN);
	if (r < 0) {
		virtio_device_done(&fs->dev);
		return r;
	}
	(void)TAKE_FD(fd);
	*ret = &TAKE_PTR(fs)->dev;
	return 0;
}

bool virtio_fs_is_served(const struct virtio_device *dev)
{
	return ((const struct virtio_fs *)dev)->server.fd >= 0;
}
