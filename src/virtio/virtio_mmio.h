/* SPDX-License-Identifier: Apache-2.0 */
/* The memory-mapped transport (virtio 1.2, section 4.2; version 2 registers).
 *
 * Whoever runs the vCPUs gives each device a window of VIRTIO_MMIO_BYTES and calls
 * here for each access that traps in it, and connects
 *   - the window's QUEUE_NOTIFY register, by queue number, to the kick descriptors
 *     virtio_mmio_kick_fd() (an ioeventfd, KVM_IOEVENTFD_FLAG_DATAMATCH), so that
 *     kicks do not trap; a kick that traps all the same works too;
 *   - irq_fd to an edge-triggered interrupt (an irqfd).
 *
 * A window may be there before its device: while it is parked it is the placeholder of
 * section 4.2.2 (device 0, with which a driver does nothing), and nothing that is
 * written to it counts. A guest that is told binds its driver anew and finds the device.
 *
 * Threads: virtio_mmio_try_read() and _try_write() may be called from any thread
 * at any time: they serve what drivers do often (interrupt status and
 * acknowledgement, kicks) and constants, with at most one write() to an eventfd.
 * Everything else must be called on the loop's thread; a vCPU hands such an access
 * over and waits. Those are few: a driver does them while it starts a device. */
#pragma once

#include "virtio_device.h"

#define VIRTIO_MMIO_BYTES 0x1000
/* "hull", little-endian: the vendor. */
#define VIRTIO_MMIO_HULL UINT32_C(0x6c6c7568)

struct virtio_mmio {
	struct virtio_transport transport;
	struct virtio_device *dev;
	int irq_fd;
	bool is_parked; /* set by the loop's thread, read by vCPUs */
	/* Set by the loop's thread, acknowledged by vCPUs. */
	uint32_t interrupt_status;
	/* The selectors the driver has written. */
	uint32_t features_half;
	uint32_t accept_half;
	uint32_t queue;
	uint32_t shm;
};

/* Borrows @dev and @irq_fd (an eventfd). */
void virtio_mmio_init(struct virtio_mmio *m, struct virtio_device *dev, int irq_fd);
/* On the loop's thread: hide the device, which is reset, or show it. A hidden one has no
 * driver: whatever the old one still knew of it is forgotten. */
void virtio_mmio_park(struct virtio_mmio *m, bool is_parked);
static inline int virtio_mmio_kick_fd(const struct virtio_mmio *m, unsigned queue)
{
	return m->dev->kicks[queue].fd;
}

/* Any thread. False: not one of those, call the other. */
bool virtio_mmio_try_read(struct virtio_mmio *m, uint64_t offset, void *data, uint32_t len);
bool virtio_mmio_try_write(struct virtio_mmio *m, uint64_t offset, const void *data, uint32_t len);

/* The loop's thread. @offset is within the window, @len 1 to 8; what the guest
 * must not do reads as zeros and writes nothing. */
void virtio_mmio_read(struct virtio_mmio *m, uint64_t offset, void *data, uint32_t len);
void virtio_mmio_write(struct virtio_mmio *m, uint64_t offset, const void *data, uint32_t len);
