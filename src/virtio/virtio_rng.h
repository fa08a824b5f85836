/* SPDX-License-Identifier: Apache-2.0 */
/* The entropy device (virtio 1.2, section 5.4): random bytes from the host's
 * kernel, at most a page for each request. */
#pragma once

#include "virtio_device.h"

/* Owned by the caller until virtio_device_free(). */
int virtio_rng_new(const struct guest_memory *mem, struct loop *loop, struct virtio_device **ret) MUST_CHECK;
