/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_pmem.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pmem.h>
#include <stdlib.h>

#include "chain_io.h"
#include "cleanup.h"
#include "pmem_window.h"

#define QUEUE_SIZE 64
#define IOV_N      (QUEUE_SIZE + GUEST_REGIONS_MAX)

struct virtio_pmem {
	struct virtio_device dev; /* first */
	struct virtio_pmem_config config;
};

static int64_t answer(struct virtio_device *dev, struct virtq_chain *chain)
{
	struct virtio_pmem_req request;
	struct virtio_pmem_resp response = { .ret = 0 };
	if (chain_read(chain, 0, &request, sizeof(request)) != sizeof(request) ||
	    chain->write_bytes < sizeof(response))
		return -EPROTO;
	if (le32toh(request.type) != VIRTIO_PMEM_REQ_TYPE_FLUSH)
		response.ret = htole32(UINT32_MAX);
	return chain_write(chain, 0, &response, sizeof(response));
}

static bool kicked(struct virtio_device *dev, unsigned index)
{
	struct iovec iov[IOV_N];
	return virtio_queue_serve(dev, index, iov, IOV_N, answer);
}

static void pmem_free(struct virtio_device *dev)
{
	virtio_device_done(dev);
	free(dev);
}

static const struct virtio_ops ops = { .kicked = kicked, .free = pmem_free };

int virtio_pmem_new(uint64_t gpa, uint64_t bytes, const struct guest_memory *mem, struct loop *loop,
		    struct virtio_device **ret)
{
	static const uint16_t sizes[] = { QUEUE_SIZE };
	uint64_t end;
	if (bytes == 0 || ((gpa | bytes) & (PMEM_ALIGN - 1)) || __builtin_add_overflow(gpa, bytes, &end))
		return -EINVAL;
	CLEANUP_FREE struct virtio_pmem *pmem = calloc(1, sizeof(*pmem));
	if (!pmem)
		return -ENOMEM;
	int r = virtio_device_init(&pmem->dev, &ops, VIRTIO_ID_PMEM, 0, sizes, 1, mem, loop);
	if (r < 0)
		return r;
	pmem->config = (struct virtio_pmem_config){ .start = htole64(gpa), .size = htole64(bytes) };
	pmem->dev.config = (uint8_t *)&pmem->config;
	pmem->dev.config_len = sizeof(pmem->config);
	*ret = &TAKE_PTR(pmem)->dev;
	return 0;
}
