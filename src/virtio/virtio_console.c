/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_console.h"

#include <errno.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "chain_io.h"
#include "cleanup.h"
#include "clock.h"

enum { QUEUE_RX, QUEUE_TX, QUEUES };

#define QUEUE_SIZE 64
#define IOV_MAX_  (QUEUE_SIZE + GUEST_REGIONS_MAX)
#define OUT_BYTES 65536u

struct virtio_console {
	struct virtio_device dev; /* first */
	struct virtio_console_config config;
	int out_fd;
	/* Both directions, if it is one descriptor: then only `in` is used. */
	struct loop_source in, out;
	bool is_one_fd, is_in_over, is_out_over, is_out_full, has_rx_room;
	struct rate_limiter limiter;
	uint64_t dropped, dropped_untold;
	/* out[out_start .. out_start + out_len), around the end. */
	uint32_t out_start, out_len;
	uint8_t out_bytes[OUT_BYTES];
};

/* Watch for what there is use for at the moment. */
static void watch(struct virtio_console *c)
{
	bool is_live = virtio_device_is_live(&c->dev);
	uint32_t in = is_live && c->has_rx_room && !c->is_in_over ? EPOLLIN : 0;
	uint32_t out = c->is_out_full && !c->is_out_over ? EPOLLOUT : 0;
	if (c->is_one_fd)
		in |= out;
	if (c->in.fd >= 0 && loop_watch(c->dev.loop, &c->in, in) < 0)
		c->is_in_over = true; /* a file: nothing comes from there */
	if (!c->is_one_fd && c->out.fd >= 0 && loop_watch(c->dev.loop, &c->out, out) < 0)
		c->is_out_over = true;
}

static void flush(struct virtio_console *c)
{
	while (c->out_len > 0 && !c->is_out_over) {
		uint32_t here = OUT_BYTES - c->out_start < c->out_len ? OUT_BYTES - c->out_start : c->out_len;
		ssize_t n = write(c->out_fd, c->out_bytes + c->out_start, here);
		if (n < 0 && errno == EAGAIN) {
			c->is_out_full = true;
			return;
		}
		if (n <= 0) {
			/* The reader is gone: from now on output goes nowhere. */
			c->is_out_over = n < 0 && errno != EINTR;
			continue;
		}
		c->out_start = (c->out_start + (uint32_t)n) % OUT_BYTES;
		c->out_len -= (uint32_t)n;
	}
	if (c->is_out_over)
		c->out_len = 0;
	c->is_out_full = false;
}

static void append(struct virtio_console *c, const uint8_t *data, uint32_t len)
{
	while (len > 0) {
		uint32_t end = (c->out_start + c->out_len) % OUT_BYTES;
		uint32_t here = OUT_BYTES - end < len ? OUT_BYTES - end : len;
		memcpy(c->out_bytes + end, data, here);
		c->out_len += here;
		data += here;
		len -= here;
	}
}

static void put(struct virtio_console *c, const uint8_t *data, uint32_t len)
{
	char note[80];
	uint64_t allowed = rate_limiter_bytes(&c->limiter, clock_mono_ns());
	uint32_t room = OUT_BYTES - c->out_len;
	if (c->dropped_untold > 0 && allowed > 0 && room > sizeof(note)) {
		int n = snprintf(note, sizeof(note), "\r\n[console: %llu bytes dropped]\r\n",
				 (unsigned long long)c->dropped_untold);
		append(c, (const uint8_t *)note, (uint32_t)n);
		room -= (uint32_t)n;
		c->dropped_untold = 0;
	}
	uint32_t fits = len < room ? len : room;
	if (fits > allowed)
		fits = (uint32_t)allowed;
	append(c, data, fits);
	rate_limiter_charge(&c->limiter, fits);
	if (!c->is_out_over) {
		c->dropped += len - fits;
		c->dropped_untold += len - fits;
	}
}

static int64_t transmit(struct virtio_device *dev, struct virtq_chain *chain)
{
	struct virtio_console *c = (struct virtio_console *)dev;
	uint8_t bytes[4096];
	uint32_t done = 0, n;
	/* What is too much for the buffer even when empty is dropped unread. */
	while (done < OUT_BYTES && (n = chain_read(chain, done, bytes, sizeof(bytes))) > 0) {
		put(c, bytes, n);
		done += n;
		if (c->out_len > OUT_BYTES / 2 && !c->is_out_full)
			flush(c);
	}
	if (chain->read_bytes > done && !c->is_out_over) {
		c->dropped += chain->read_bytes - done;
		c->dropped_untold += chain->read_bytes - done;
	}
	return 0;
}

static void receive(struct virtio_console *c)
{
	struct iovec iov[IOV_MAX_];
	struct virtq_chain chain = { .iov = iov, .iov_max = IOV_MAX_ };
	struct virtq *q = &c->dev.queues[QUEUE_RX];
	for (unsigned turn = 0; turn < VIRTIO_BUDGET && !c->is_in_over; turn++) {
		if (virtio_queue_pop(&c->dev, QUEUE_RX, &chain) != 1) {
			/* The driver's next buffer brings a kick. */
			c->has_rx_room = virtio_device_is_live(&c->dev) && virtq_enable_kicks(q);
			break;
		}
		if (chain.write_bytes == 0) {
			virtio_device_fail(&c->dev);
			return;
		}
		ssize_t n = readv(c->in.fd, iov + chain.n_read, (int)chain.n_write);
		if (n <= 0) {
			c->is_in_over = n == 0 || (errno != EAGAIN && errno != EINTR);
			virtq_unpop(q, 1);
			break;
		}
		virtq_push(q, chain.head, (uint32_t)n);
	}
	virtio_queue_flush(&c->dev, QUEUE_RX);
}

static void fd_ready(void *ctx, uint32_t events)
{
	struct virtio_console *c = ctx;
	if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		flush(c);
	if (c->in.events & EPOLLIN && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		receive(c);
	watch(c);
}

static void out_ready(void *ctx, uint32_t events)
{
	struct virtio_console *c = ctx;
	flush(c);
	watch(c);
}

static bool kicked(struct virtio_device *dev, unsigned index)
{
	struct virtio_console *c = (struct virtio_console *)dev;
	struct iovec iov[IOV_MAX_];
	bool has_more = false;
	if (index == QUEUE_TX) {
		has_more = virtio_queue_serve(dev, QUEUE_TX, iov, IOV_MAX_, transmit);
		if (!c->is_out_full)
			flush(c);
	} else {
		c->has_rx_room = true;
	}
	watch(c);
	return has_more;
}

static int activate(struct virtio_device *dev)
{
	struct virtio_console *c = (struct virtio_console *)dev;
	c->has_rx_room = virtq_has_more(&dev->queues[QUEUE_RX]);
	watch(c);
	return 0;
}

static void reset(struct virtio_device *dev)
{
	struct virtio_console *c = (struct virtio_console *)dev;
	/* No more input; what the guest has said before it died is still written. */
	c->has_rx_room = false;
	watch(c);
}

static void config_written(struct virtio_device *dev, uint32_t offset, const uint8_t *data, uint32_t len)
{
	struct virtio_console *c = (struct virtio_console *)dev;
	/* A guest in trouble writes here one character at a time. */
	if (offset != offsetof(struct virtio_console_config, emerg_wr) || c->is_out_over)
		return;
	put(c, data, 1);
	if (!c->is_out_full)
		flush(c);
	watch(c);
}

static void console_free(struct virtio_device *dev)
{
	struct virtio_console *c = (struct virtio_console *)dev;
	flush(c);
	loop_remove(dev->loop, &c->in);
	loop_remove(dev->loop, &c->out);
	virtio_device_done(dev);
	free(c);
}

static const struct virtio_ops ops = {
	.activate = activate,
	.reset = reset,
	.kicked = kicked,
	.config_written = config_written,
	.free = console_free,
};

int virtio_console_new(const struct virtio_console_setup *setup, const struct guest_memory *mem, struct loop *loop,
		       struct virtio_device **ret)
{
	static const uint16_t sizes[QUEUES] = { QUEUE_SIZE, QUEUE_SIZE };
	CLEANUP_FREE struct virtio_console *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	uint64_t features = UINT64_C(1) << VIRTIO_CONSOLE_F_SIZE | UINT64_C(1) << VIRTIO_CONSOLE_F_EMERG_WRITE;
	int r = virtio_device_init(&c->dev, &ops, VIRTIO_ID_CONSOLE, features, sizes, QUEUES, mem, loop);
	if (r < 0)
		return r;
	c->dev.config = (uint8_t *)&c->config;
	c->dev.config_len = sizeof(c->config);
	c->config.max_nr_ports = 1;
	c->out_fd = setup->out_fd;
	c->is_one_fd = setup->in_fd >= 0 && setup->in_fd == setup->out_fd;
	c->in = (struct loop_source){ .fd = setup->in_fd, .ready = fd_ready, .ctx = c };
	c->out = (struct loop_source){ .fd = c->is_one_fd ? -1 : setup->out_fd, .ready = out_ready, .ctx = c };
	c->is_in_over = setup->in_fd < 0;
	c->is_out_over = setup->out_fd < 0;
	rate_limiter_init(&c->limiter, &setup->limits, clock_mono_ns());
	*ret = &TAKE_PTR(c)->dev;
	return 0;
}

uint64_t virtio_console_dropped(const struct virtio_device *dev)
{
	return ((const struct virtio_console *)dev)->dropped;
}

void virtio_console_resize(struct virtio_device *dev, uint16_t columns, uint16_t rows)
{
	struct virtio_console *c = (struct virtio_console *)dev;
	c->config.cols = columns;
	c->config.rows = rows;
	virtio_device_config_changed(dev);
}
