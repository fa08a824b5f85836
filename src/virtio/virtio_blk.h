/* SPDX-License-Identifier: Apache-2.0 */
/* The block device (virtio 1.2, section 5.2) over a disk of blk_disk.h: read,
 * write, flush, discard, write zeroes, identity; rate limits.
 *
 * A request is as long as it takes the host's file system: it never holds up the
 * loop. Only a reset waits for what is in flight, because that would otherwise go
 * on reading and writing the memory of the guest's next kernel. */
#pragma once

#include "blk_disk.h"
#include "blk_io.h"
#include "rate_limiter.h"
#include "virtio_device.h"

struct virtio_blk_setup {
	/* Taken over, also when it fails: blk_disk_done() is no longer the caller's. */
	struct blk_disk disk;
	/* What the guest sees as the serial number; up to 20 bytes count. */
	char id[20];
	struct rate_limits limits;
	enum blk_io_kind io;
};

int virtio_blk_new(struct virtio_blk_setup *setup, const struct guest_memory *mem, struct loop *loop,
		   struct virtio_device **ret) MUST_CHECK;
