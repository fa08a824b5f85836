/* SPDX-License-Identifier: Apache-2.0 */
/* The persistent memory device (virtio 1.2, section 5.19): tells the guest where a
 * window (pmem_window.h) lies in its address space, and answers its flushes. The
 * windows are read-only, so there is never anything to flush. */
#pragma once

#include "virtio_device.h"

/* -EINVAL: the range is empty or not a multiple of PMEM_ALIGN. */
int virtio_pmem_new(uint64_t gpa, uint64_t bytes, const struct guest_memory *mem, struct loop *loop,
		    struct virtio_device **ret) MUST_CHECK;
