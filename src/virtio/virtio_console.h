/* SPDX-License-Identifier: Apache-2.0 */
/* The console device (virtio 1.2, section 5.3), one port.
 *
 * What the guest writes goes to a descriptor, through a buffer of fixed size and
 * a limit of bytes a second. What does not fit is dropped, counted, and said in
 * the output once there is room: a guest cannot fill a log or wait for a reader
 * (Linux spins with a lock held until its output is taken). */
#pragma once

#include "rate_limiter.h"
#include "virtio_device.h"

struct virtio_console_setup {
	/* Nonblocking, borrowed; may be one and the same. -1: no input; output is
	 * thrown away. A regular file is fine for output. */
	int in_fd;
	int out_fd;
	/* Of the output; 0: none. */
	struct rate_limits limits;
};

int virtio_console_new(const struct virtio_console_setup *config, const struct guest_memory *mem,
		       struct loop *loop, struct virtio_device **ret) MUST_CHECK;
/* Bytes of output that were dropped so far. */
uint64_t virtio_console_dropped(const struct virtio_device *dev);
/* The size of the terminal behind it has changed. */
void virtio_console_resize(struct virtio_device *dev, uint16_t columns, uint16_t rows);
