/* SPDX-License-Identifier: Apache-2.0 */
/* What all virtio devices have in common, whatever bus they sit on: features,
 * the status state machine (virtio 1.2, section 3.1), queues and their kicks,
 * configuration space, and the end of a device whose guest lies.
 *
 * A device is one file that fills struct virtio_ops. A transport (virtio_mmio.h;
 * PCI can be added beside it) turns register accesses into the calls of the
 * second half of this header.
 *
 * Threads: everything here, and all of every device, belongs to the thread that
 * runs the device's event loop. Other threads (vCPUs) may do only two things:
 * write to a kick descriptor, and use what virtio_mmio.h says they may.
 * After virtio_device_init() and the device's own constructor nothing allocates.
 *
 * System calls once a device is made, for whoever filters them. All: read and write
 * (eventfds), epoll_ctl, epoll_wait, clock_gettime (where it is one). console: readv.
 * blk: io_uring_enter, or for the worker thread preadv, pwritev, fdatasync, fallocate and
 * futex. vsock: sendmsg, sendto, recvmsg, recvfrom, socketpair, accept4, shutdown, close,
 * madvise. net: readv, writev, ioctl(TUNSETOFFLOAD). fs: sendmsg, recvmsg, recvfrom, close.
 * rng: getrandom. balloon: madvise.
 *
 * Work is bounded: a device handles at most a budget of chains for one kick and
 * then kicks itself, so that everybody else on the loop has a turn. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "event_loop.h"
#include "virtqueue.h"

#define VIRTIO_QUEUES_MAX 8
#define VIRTIO_SHM_MAX 2
/* Chains handled for one kick. */
#define VIRTIO_BUDGET 64

struct virtio_device;

struct virtio_ops {
	/* The driver is ready (DRIVER_OK): start watching host descriptors. Negative:
	 * the device will not work, and says that it needs a reset. May be NULL. */
	int (*activate)(struct virtio_device *dev);
	/* Forget the guest: stop watching, drop what is in flight (or wait for what
	 * cannot be dropped). Called on a reset by the driver, on a failure, and before
	 * free. The queues are still there while it runs. May be NULL. */
	void (*reset)(struct virtio_device *dev);
	/* The driver has kicked queue @index. True: there is more to do than the budget
	 * allowed; it is called again after others had their turn. */
	bool (*kicked)(struct virtio_device *dev, unsigned index);
	/* The driver has written config[offset .. offset + len), which lies within it and
	 * has not been changed. NULL: nothing can be written. */
	void (*config_written)(struct virtio_device *dev, uint32_t offset, const uint8_t *data, uint32_t len);
	/* Release what the constructor took, the struct included. */
	void (*free)(struct virtio_device *dev);
};

/* How a transport tells the guest. */
struct virtio_transport {
	/* Used buffers in a queue, or (@queue < 0) a change of configuration or status. */
	void (*interrupt)(struct virtio_transport *transport, int queue);
};

struct virtio_shm {
	uint8_t id;
	uint64_t gpa;
	uint64_t len;
};

struct virtio_kick {
	struct loop_source source; /* fd: an eventfd, the device's */
	struct virtio_device *dev;
	unsigned index;
	int fd;
};

struct virtio_device {
	/* Constant after the constructor. */
	const struct virtio_ops *ops;
	uint32_t id;
	uint64_t offered; /* VERSION_1, INDIRECT_DESC and EVENT_IDX are added by itself */
	unsigned n_queues;
	uint8_t *config; /* the device's own, as the guest sees it */
	uint32_t config_len;
	const struct guest_memory *mem;
	struct loop *loop;
	struct virtio_transport *transport; /* set by the transport */
	struct virtio_shm shm[VIRTIO_SHM_MAX];
	unsigned n_shm;

	/* The state a snapshot would hold, with the queues. */
	uint64_t accepted;
	uint8_t status;
	uint32_t config_generation;
	struct virtq queues[VIRTIO_QUEUES_MAX];

	struct virtio_kick kicks[VIRTIO_QUEUES_MAX];
	/* How often this device has failed its guest, for statistics. */
	uint64_t failures;
};

/* Fill the common part. @queue_sizes has @n_queues powers of two; makes one eventfd
 * for each. Returns 0 or a negative errno, with nothing left behind. */
int virtio_device_init(struct virtio_device *dev, const struct virtio_ops *ops, uint32_t id, uint64_t features,
		       const uint16_t *queue_sizes, unsigned n_queues, const struct guest_memory *mem,
		       struct loop *loop) MUST_CHECK;
/* Undo it; for a device's free. */
void virtio_device_done(struct virtio_device *dev);
/* Reset the device and release it. NULL is fine. */
void virtio_device_free(struct virtio_device *dev);

/* ---- for devices ---- */

/* DRIVER_OK and not failed: the only state in which queues may be touched. */
bool virtio_device_is_live(const struct virtio_device *dev);
static inline bool virtio_device_has(const struct virtio_device *dev, unsigned feature_bit)
{
	return dev->accepted >> feature_bit & 1;
}
/* The guest does not keep to the rules (or the host side is gone for good): say
 * DEVICE_NEEDS_RESET and do nothing more until the driver resets the device. */
void virtio_device_fail(struct virtio_device *dev);
/* Watch @source no more for now, whether or not it is. */
void virtio_unwatch(struct virtio_device *dev, struct loop_source *source);
/* The device has changed dev->config. */
void virtio_device_config_changed(struct virtio_device *dev);
/* As virtq_pop(), but a lie fails the device and gives 0; also 0 if not live. */
int virtio_queue_pop(struct virtio_device *dev, unsigned index, struct virtq_chain *chain) MUST_CHECK;
/* Publish what was pushed, and interrupt if the driver wants that. */
void virtio_queue_flush(struct virtio_device *dev, unsigned index);
/* Have `kicked` called for @index again, after the others. */
void virtio_queue_kick(struct virtio_device *dev, unsigned index);

/* For devices that answer each chain at once: pops up to VIRTIO_BUDGET chains into
 * @iov, calls @handle for each, and hands them back with what it returns (bytes
 * written; negative: the guest lied). Flushes. Returns what `kicked` should. */
bool virtio_queue_serve(struct virtio_device *dev, unsigned index, struct iovec *iov, unsigned iov_max,
			int64_t (*handle)(struct virtio_device *dev, struct virtq_chain *chain));

/* ---- for transports ---- */

/* Write 0: reset. Otherwise bits may be added in the order of 3.1.1; anything else
 * is ignored. */
void virtio_device_set_status(struct virtio_device *dev, uint8_t status);
/* Which of the features @half (0: bits 0-31, 1: 32-63) the driver accepts; ignored
 * outside feature negotiation. */
void virtio_device_accept(struct virtio_device *dev, unsigned half, uint32_t bits);
/* The queue's size or addresses may be changed now. */
bool virtio_queue_is_settable(const struct virtio_device *dev, unsigned index);
/* An invalid description fails the device. */
void virtio_queue_set_ready(struct virtio_device *dev, unsigned index, bool is_ready);
/* Zeros past the end. */
void virtio_config_read(const struct virtio_device *dev, uint32_t offset, void *data, uint32_t len);
void virtio_config_write(struct virtio_device *dev, uint32_t offset, const void *data, uint32_t len);
