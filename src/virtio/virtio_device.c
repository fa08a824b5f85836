/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_device.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "cleanup.h"

#define FEATURE(bit) (UINT64_C(1) << (bit))
#define STATUS_ALL                                                                                            \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK |                   \
	 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED)

static void kick_ready(void *ctx, uint32_t events)
{
	struct virtio_kick *kick = ctx;
	struct virtio_device *dev = kick->dev;
	uint64_t count;

	/* Nonblocking: another reader there is none, but a spurious wake-up is fine. */
	if (read(kick->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	if (virtio_device_is_live(dev) && dev->ops->kicked(dev, kick->index))
		virtio_queue_kick(dev, kick->index);
}

int virtio_device_init(struct virtio_device *dev, const struct virtio_ops *ops, uint32_t id, uint64_t features,
		       const uint16_t *queue_sizes, unsigned n_queues, const struct guest_memory *mem, struct loop *loop)
{
	dev->ops = ops;
	dev->id = id;
	dev->offered = features | FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_RING_F_INDIRECT_DESC) |
		       FEATURE(VIRTIO_RING_F_EVENT_IDX);
	dev->mem = mem;
	dev->loop = loop;
	for (dev->n_queues = 0; dev->n_queues < n_queues; dev->n_queues++) {
		unsigned i = dev->n_queues;
		struct virtio_kick *kick = &dev->kicks[i];
		virtq_init(&dev->queues[i], queue_sizes[i]);
		*kick = (struct virtio_kick){ .dev = dev, .index = i, .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
		kick->source = (struct loop_source){ .fd = kick->fd, .ready = kick_ready, .ctx = kick };
		if (kick->fd < 0) {
			int r = -errno;
			virtio_device_done(dev);
			return r;
		}
	}
	return 0;
}

void virtio_device_done(struct virtio_device *dev)
{
	for (unsigned i = 0; i < dev->n_queues; i++) {
		loop_remove(dev->loop, &dev->kicks[i].source);
		cleanup_fd(&dev->kicks[i].fd);
	}
	dev->n_queues = 0;
}

void virtio_unwatch(struct virtio_device *dev, struct loop_source *source)
{
	/* Taking out a descriptor that is in cannot fail; one that is not is left. */
	int r = loop_watch(dev->loop, source, 0);
	(void)r;
}

/* Stop taking part in anything; the queues stay as they are. */
static void quiesce(struct virtio_device *dev)
{
	for (unsigned i = 0; i < dev->n_queues; i++)
		virtio_unwatch(dev, &dev->kicks[i].source);
	if (dev->ops->reset)
		dev->ops->reset(dev);
}

void virtio_device_free(struct virtio_device *dev)
{
	if (!dev)
		return;
	quiesce(dev);
	dev->ops->free(dev);
}

bool virtio_device_is_live(const struct virtio_device *dev)
{
	return (dev->status & (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET)) == VIRTIO_CONFIG_S_DRIVER_OK;
}

void virtio_device_fail(struct virtio_device *dev)
{
	if (dev->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	bool was_live = dev->status & VIRTIO_CONFIG_S_DRIVER_OK;
	dev->failures++;
	__atomic_store_n(&dev->status, dev->status | VIRTIO_CONFIG_S_NEEDS_RESET, __ATOMIC_RELAXED);
	if (was_live) {
		quiesce(dev);
		/* 2.1.2: only a driver that is at work is told. */
		dev->transport->interrupt(dev->transport, -1);
	}
}

void virtio_device_config_changed(struct virtio_device *dev)
{
	dev->config_generation++;
	if (virtio_device_is_live(dev))
		dev->transport->interrupt(dev->transport, -1);
}

int virtio_queue_pop(struct virtio_device *dev, unsigned index, struct virtq_chain *chain)
{
	if (!virtio_device_is_live(dev))
		return 0;
	int r = virtq_pop(&dev->queues[index], chain);
	if (r < 0) {
		virtio_device_fail(dev);
		return 0;
	}
	return r;
}

void virtio_queue_flush(struct virtio_device *dev, unsigned index)
{
	if (!virtio_device_is_live(dev))
		return;
	virtq_publish(&dev->queues[index]);
	if (virtq_needs_interrupt(&dev->queues[index]))
		dev->transport->interrupt(dev->transport, (int)index);
}

void virtio_queue_kick(struct virtio_device *dev, unsigned index)
{
	uint64_t one = 1;
	/* EAGAIN: 2^64 - 2 kicks are waiting, which is enough. */
	if (write(dev->kicks[index].fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		virtio_device_fail(dev);
}

bool virtio_queue_serve(struct virtio_device *dev, unsigned index, struct iovec *iov, unsigned iov_max,
			int64_t (*handle)(struct virtio_device *dev, struct virtq_chain *chain))
{
	struct virtq *q = &dev->queues[index];
	struct virtq_chain chain = { .iov = iov, .iov_max = iov_max };

	virtq_disable_kicks(q);
	for (unsigned done = 0; done < VIRTIO_BUDGET; done++) {
		if (virtio_queue_pop(dev, index, &chain) != 1)
			break;
		int64_t written = handle(dev, &chain);
		if (written < 0) {
			virtio_device_fail(dev);
			return false;
		}
		virtq_push(q, chain.head, (uint32_t)written);
	}
	virtio_queue_flush(dev, index);
	return virtio_device_is_live(dev) && virtq_enable_kicks(q);
}

static void reset(struct virtio_device *dev)
{
	if ((dev->status & (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET)) == VIRTIO_CONFIG_S_DRIVER_OK)
		quiesce(dev);
	for (unsigned i = 0; i < dev->n_queues; i++)
		virtq_reset(&dev->queues[i]);
	dev->accepted = 0;
	__atomic_store_n(&dev->status, 0, __ATOMIC_RELAXED);
}

static bool features_are_fine(const struct virtio_device *dev)
{
	return !(dev->accepted & ~dev->offered) && virtio_device_has(dev, VIRTIO_F_VERSION_1);
}

static void go_live(struct virtio_device *dev)
{
	for (unsigned i = 0; i < dev->n_queues; i++) {
		if (!dev->queues[i].is_ready)
			continue;
		/* What the driver has put there before it was ready. */
		if (virtq_enable_kicks(&dev->queues[i]))
			virtio_queue_kick(dev, i);
		if (loop_watch(dev->loop, &dev->kicks[i].source, EPOLLIN) < 0) {
			virtio_device_fail(dev);
			return;
		}
	}
	if (dev->ops->activate && dev->ops->activate(dev) < 0)
		virtio_device_fail(dev);
}

void virtio_device_set_status(struct virtio_device *dev, uint8_t status)
{
	uint8_t old = dev->status & (uint8_t)~VIRTIO_CONFIG_S_NEEDS_RESET;
	if (status == 0) {
		reset(dev);
		return;
	}
	status &= STATUS_ALL & ~VIRTIO_CONFIG_S_NEEDS_RESET;
	/* Bits are only ever added, and each stands on those before it. */
	if ((old & ~status) != 0)
		return;
	if ((status & VIRTIO_CONFIG_S_DRIVER) && !(status & VIRTIO_CONFIG_S_ACKNOWLEDGE))
		return;
	if ((status & VIRTIO_CONFIG_S_FEATURES_OK) && !(status & VIRTIO_CONFIG_S_DRIVER))
		return;
	if ((status & VIRTIO_CONFIG_S_DRIVER_OK) && !(old & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	uint8_t added = status & (uint8_t)~old;
	/* 3.1.1 step 5: the driver reads back whether the bit has stayed. */
	if ((added & VIRTIO_CONFIG_S_FEATURES_OK) && !features_are_fine(dev))
		added &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
	__atomic_store_n(&dev->status, dev->status | added, __ATOMIC_RELAXED);
	if ((added & VIRTIO_CONFIG_S_DRIVER_OK) && virtio_device_is_live(dev))
		go_live(dev);
}

void virtio_device_accept(struct virtio_device *dev, unsigned half, uint32_t bits)
{
	if (!(dev->status & VIRTIO_CONFIG_S_DRIVER) || (dev->status & VIRTIO_CONFIG_S_FEATURES_OK) || half > 1)
		return;
	unsigned shift = half * 32;
	dev->accepted = (dev->accepted & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)bits << shift;
}

bool virtio_queue_is_settable(const struct virtio_device *dev, unsigned index)
{
	uint8_t bits = VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET;
	return index < dev->n_queues && !dev->queues[index].is_ready &&
	       (dev->status & bits) == VIRTIO_CONFIG_S_FEATURES_OK;
}

void virtio_queue_set_ready(struct virtio_device *dev, unsigned index, bool is_ready)
{
	if (index >= dev->n_queues)
		return;
	struct virtq *q = &dev->queues[index];
	if (!is_ready) {
		/* A device at work stops as a whole: which of its queues it can do
		 * without is nothing a driver knows. Linux resets before it does this. */
		if (q->is_ready && (dev->status & VIRTIO_CONFIG_S_DRIVER_OK))
			virtio_device_fail(dev);
		q->is_ready = false;
		return;
	}
	if (!virtio_queue_is_settable(dev, index))
		return;
	if (virtq_start(q, dev->mem, virtio_device_has(dev, VIRTIO_RING_F_INDIRECT_DESC),
			virtio_device_has(dev, VIRTIO_RING_F_EVENT_IDX)) < 0)
		virtio_device_fail(dev);
}

void virtio_config_read(const struct virtio_device *dev, uint32_t offset, void *data, uint32_t len)
{
	memset(data, 0, len);
	if (offset >= dev->config_len)
		return;
	memcpy(data, dev->config + offset, len < dev->config_len - offset ? len : dev->config_len - offset);
}

void virtio_config_write(struct virtio_device *dev, uint32_t offset, const void *data, uint32_t len)
{
	if (len == 0 || offset >= dev->config_len || len > dev->config_len - offset || !dev->ops->config_written)
		return;
	if (dev->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	dev->ops->config_written(dev, offset, data, len);
}
