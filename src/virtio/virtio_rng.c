/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_rng.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>

#include "chain_io.h"
#include "cleanup.h"
#include "random.h"

#define QUEUE_SIZE 64
/* Filling a request costs host time: Linux asks for less than this. */
#define REQUEST_MAX 4096

static int64_t fill(struct virtio_device *dev, struct virtq_chain *chain)
{
	uint8_t bytes[REQUEST_MAX];
	uint32_t n = chain->write_bytes < REQUEST_MAX ? chain->write_bytes : REQUEST_MAX;
	/* 5.4.6.1: the driver does not put in what the device is to read. */
	if (n == 0)
		return -EPROTO;
	random_bytes(bytes, n);
	return chain_write(chain, 0, bytes, n);
}

static bool kicked(struct virtio_device *dev, unsigned index)
{
	struct iovec iov[QUEUE_SIZE + GUEST_REGIONS_MAX];
	return virtio_queue_serve(dev, index, iov, QUEUE_SIZE + GUEST_REGIONS_MAX, fill);
}

static void rng_free(struct virtio_device *dev)
{
	virtio_device_done(dev);
	free(dev);
}

static const struct virtio_ops ops = { .kicked = kicked, .free = rng_free };

int virtio_rng_new(const struct guest_memory *mem, struct loop *loop, struct virtio_device **ret)
{
	static const uint16_t sizes[] = { QUEUE_SIZE };
	CLEANUP_FREE struct virtio_device *dev = calloc(1, sizeof(*dev));
	if (!dev)
		return -ENOMEM;
	int r = virtio_device_init(dev, &ops, VIRTIO_ID_RNG, 0, sizes, 1, mem, loop);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(dev);
	return 0;
}
