/* SPDX-License-Identifier: Apache-2.0 */
/* Copying out of and into a descriptor chain, and parts of one. How a driver cuts
 * a request into descriptors is its own choice (virtio 1.2, section 2.7.4): only
 * byte positions count. */
#pragma once

#include "virtqueue.h"

/* Copy chain bytes [offset, offset + len) of the readable part to @data. Returns the
 * number copied, which is less where the part ends. */
uint32_t chain_read(const struct virtq_chain *chain, uint32_t offset, void *data, uint32_t len);
/* The same into the writable part. */
uint32_t chain_write(const struct virtq_chain *chain, uint32_t offset, const void *data, uint32_t len);
uint32_t chain_zero(const struct virtq_chain *chain, uint32_t offset, uint32_t len);

/* Shorten @iov to its bytes [offset, offset + len), in place; returns the number of
 * pieces that are left, moved to the front. */
unsigned iov_slice(struct iovec *iov, unsigned n, uint64_t offset, uint64_t len);
uint64_t iov_bytes(const struct iovec *iov, unsigned n);
