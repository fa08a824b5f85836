/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_mmio.h"

#include <linux/virtio_mmio.h>
#include <string.h>
#include <unistd.h>

#define MMIO_MAGIC UINT32_C(0x74726976) /* "virt" */

static void interrupt(struct virtio_transport *transport, int queue)
{
	struct virtio_mmio *m = (struct virtio_mmio *)transport;
	uint64_t one = 1;
	__atomic_fetch_or(&m->interrupt_status, queue < 0 ? VIRTIO_MMIO_INT_CONFIG : VIRTIO_MMIO_INT_VRING,
			  __ATOMIC_SEQ_CST);
	/* An irqfd takes everything; a plain eventfd that is full is one that nobody
	 * reads. Neither can be helped here. */
	ssize_t n = write(m->irq_fd, &one, sizeof(one));
	(void)n;
}

void virtio_mmio_init(struct virtio_mmio *m, struct virtio_device *dev, int irq_fd)
{
	*m = (struct virtio_mmio){ .transport = { .interrupt = interrupt }, .dev = dev, .irq_fd = irq_fd };
	dev->transport = &m->transport;
}

static bool is_parked(const struct virtio_mmio *m)
{
	return __atomic_load_n(&m->is_parked, __ATOMIC_ACQUIRE);
}

/* Registers are read and written as whole aligned words (4.2.2.2). */
static bool is_register(uint64_t offset, uint32_t len)
{
	return offset < VIRTIO_MMIO_CONFIG && (offset & 3) == 0 && len == 4;
}

bool virtio_mmio_try_read(struct virtio_mmio *m, uint64_t offset, void *data, uint32_t len)
{
	uint32_t value;
	if (!is_register(offset, len))
		return false;
	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		value = MMIO_MAGIC;
		break;
	case VIRTIO_MMIO_VERSION:
		value = 2;
		break;
	case VIRTIO_MMIO_DEVICE_ID:
		value = is_parked(m) ? 0 : m->dev->id;
		break;
	case VIRTIO_MMIO_VENDOR_ID:
		value = VIRTIO_MMIO_HULL;
		break;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		value = __atomic_load_n(&m->interrupt_status, __ATOMIC_SEQ_CST);
		break;
	default:
		return false;
	}
	memcpy(data, &value, sizeof(value));
	return true;
}

bool virtio_mmio_try_write(struct virtio_mmio *m, uint64_t offset, const void *data, uint32_t len)
{
	uint32_t value;
	uint64_t one = 1;
	if (!is_register(offset, len))
		return false;
	memcpy(&value, data, sizeof(value));
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		if (value < m->dev->n_queues) {
			/* Full: 2^64 - 2 kicks are waiting. */
			ssize_t n = write(m->dev->kicks[value].fd, &one, sizeof(one));
			(void)n;
		}
		return true;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		__atomic_fetch_and(&m->interrupt_status, ~value, __ATOMIC_SEQ_CST);
		return true;
	default:
		return false;
	}
}

/* The selected region; the length of one that is not there reads as -1 (4.2.2). */
static struct virtio_shm selected_shm(const struct virtio_mmio *m)
{
	for (unsigned i = 0; i < m->dev->n_shm; i++) {
		if (m->dev->shm[i].id == m->shm)
			return m->dev->shm[i];
	}
	return (struct virtio_shm){ .gpa = UINT64_MAX, .len = UINT64_MAX };
}

static uint32_t read_register(const struct virtio_mmio *m, uint64_t offset)
{
	const struct virtio_device *dev = m->dev;
	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return m->features_half > 1 ? 0 : (uint32_t)(dev->offered >> (m->features_half * 32));
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return m->queue < dev->n_queues ? dev->queues[m->queue].size_max : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return m->queue < dev->n_queues ? dev->queues[m->queue].is_ready : 0;
	case VIRTIO_MMIO_STATUS:
		return dev->status;
	case VIRTIO_MMIO_SHM_LEN_LOW:
		return (uint32_t)selected_shm(m).len;
	case VIRTIO_MMIO_SHM_LEN_HIGH:
		return (uint32_t)(selected_shm(m).len >> 32);
	case VIRTIO_MMIO_SHM_BASE_LOW:
		return (uint32_t)selected_shm(m).gpa;
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return (uint32_t)(selected_shm(m).gpa >> 32);
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return dev->config_generation;
	default:
		return 0;
	}
}

void virtio_mmio_read(struct virtio_mmio *m, uint64_t offset, void *data, uint32_t len)
{
	if (virtio_mmio_try_read(m, offset, data, len))
		return;
	memset(data, 0, len);
	if (is_parked(m))
		return;
	if (is_register(offset, len)) {
		uint32_t value = read_register(m, offset);
		memcpy(data, &value, sizeof(value));
	} else if (offset >= VIRTIO_MMIO_CONFIG && offset < VIRTIO_MMIO_BYTES) {
		virtio_config_read(m->dev, (uint32_t)offset - VIRTIO_MMIO_CONFIG, data, len);
	}
}

static void forget_driver(struct virtio_mmio *m)
{
	m->features_half = m->accept_half = m->queue = m->shm = 0;
	__atomic_store_n(&m->interrupt_status, 0, __ATOMIC_SEQ_CST);
}

void virtio_mmio_park(struct virtio_mmio *m, bool is_parked)
{
	virtio_device_set_status(m->dev, 0);
	forget_driver(m);
	__atomic_store_n(&m->is_parked, is_parked, __ATOMIC_RELEASE);
}

static uint64_t set_half(uint64_t old, uint32_t value, bool is_high)
{
	return is_high ? (old & UINT32_MAX) | (uint64_t)value << 32 : (old & ~(uint64_t)UINT32_MAX) | value;
}

/* A register of the selected queue. */
static void write_queue_register(struct virtio_mmio *m, uint64_t offset, uint32_t value)
{
	if (!virtio_queue_is_settable(m->dev, m->queue))
		return;
	struct virtq *q = &m->dev->queues[m->queue];
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NUM:
		/* What does not fit 16 bits becomes a size that cannot be started. */
		q->size = value > UINT16_MAX ? 0 : (uint16_t)value;
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		q->desc_gpa = set_half(q->desc_gpa, value, offset == VIRTIO_MMIO_QUEUE_DESC_HIGH);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		q->avail_gpa = set_half(q->avail_gpa, value, offset == VIRTIO_MMIO_QUEUE_AVAIL_HIGH);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		q->used_gpa = set_half(q->used_gpa, value, offset == VIRTIO_MMIO_QUEUE_USED_HIGH);
		break;
	default:
		break;
	}
}

static void write_register(struct virtio_mmio *m, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		m->features_half = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		m->accept_half = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		virtio_device_accept(m->dev, m->accept_half, value);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		m->queue = value;
		break;
	case VIRTIO_MMIO_SHM_SEL:
		m->shm = value;
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		virtio_queue_set_ready(m->dev, m->queue, value & 1);
		break;
	case VIRTIO_MMIO_STATUS:
		virtio_device_set_status(m->dev, (uint8_t)value);
		if (value == 0)
			forget_driver(m);
		break;
	default:
		write_queue_register(m, offset, value);
		break;
	}
}

void virtio_mmio_write(struct virtio_mmio *m, uint64_t offset, const void *data, uint32_t len)
{
	if (virtio_mmio_try_write(m, offset, data, len) || is_parked(m))
		return;
	if (is_register(offset, len)) {
		uint32_t value;
		memcpy(&value, data, sizeof(value));
		write_register(m, offset, value);
	} else if (offset >= VIRTIO_MMIO_CONFIG && offset < VIRTIO_MMIO_BYTES) {
		virtio_config_write(m->dev, (uint32_t)offset - VIRTIO_MMIO_CONFIG, data, len);
	}
}
