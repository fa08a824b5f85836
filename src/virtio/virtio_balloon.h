/* SPDX-License-Identifier: Apache-2.0 */
/* The balloon (virtio 1.2, section 5.5): memory that the guest does not need goes back
 * to the host, by itself (free page reporting) or when it is asked for (a target), and
 * the guest's own statistics of its memory.
 *
 * Pages given back are gone from the host at once and read as zeros; the guest gets new
 * ones by touching them. */
#pragma once

#include "virtio_device.h"

/* In bytes where it is an amount; -1: the guest did not say. */
struct virtio_balloon_stats {
	int64_t swap_in, swap_out, major_faults, minor_faults, free, total, available, caches;
};

struct virtio_balloon_setup {
	/* Called when the guest has answered virtio_balloon_ask(). May be NULL. */
	void (*stats)(void *ctx, const struct virtio_balloon_stats *stats);
	void *ctx;
};

int virtio_balloon_new(const struct virtio_balloon_setup *setup, const struct guest_memory *mem, struct loop *loop,
		       struct virtio_device **ret) MUST_CHECK;
/* Ask the guest to give up @bytes in all, or to take back what is more. It does so as
 * far as it can, and takes pages back before it would kill something. */
void virtio_balloon_set_target(struct virtio_device *dev, uint64_t bytes);
/* What it has given up so far, by its own word. */
uint64_t virtio_balloon_actual(const struct virtio_device *dev);
/* Ask for statistics. False: the guest has not yet answered the last time, or cannot. */
bool virtio_balloon_ask(struct virtio_device *dev);
/* Bytes handed back to the host so far, by either way. */
uint64_t virtio_balloon_discarded(const struct virtio_device *dev);
