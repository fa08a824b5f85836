/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_balloon.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#include "chain_io.h"
#include "cleanup.h"

enum { QUEUE_INFLATE, QUEUE_DEFLATE, QUEUE_OTHERS, QUEUES = QUEUE_OTHERS + 2 };

#define QUEUE_SIZE 128
#define IOV_N      (QUEUE_SIZE + GUEST_REGIONS_MAX)
/* Page numbers in one request, each a system call at worst; Linux sends 256. */
#define PAGES_MAX 1024u
#define PAGE_BYTES (UINT64_C(1) << VIRTIO_BALLOON_PFN_SHIFT)

struct virtio_balloon {
	struct virtio_device dev; /* first */
	struct virtio_balloon_config config;
	struct virtio_balloon_setup setup;
	uint64_t discarded;
	/* The guest's buffer for statistics, kept until it is asked. */
	bool has_stats_buffer;
	uint16_t stats_head;
};

/* The driver numbers the queues without those whose feature it did not take. */
static unsigned stats_queue(const struct virtio_device *dev)
{
	return virtio_device_has(dev, VIRTIO_BALLOON_F_STATS_VQ) ? QUEUE_OTHERS : QUEUES;
}

static unsigned reporting_queue(const struct virtio_device *dev)
{
	if (!virtio_device_has(dev, VIRTIO_BALLOON_F_REPORTING))
		return QUEUES;
	return virtio_device_has(dev, VIRTIO_BALLOON_F_STATS_VQ) ? QUEUE_OTHERS + 1 : QUEUE_OTHERS;
}

/* False: that is not memory which the guest could give away. */
static bool discard(struct virtio_balloon *b, void *host, uint64_t bytes)
{
	int r = guest_memory_discard(b->dev.mem, host, bytes);
	if (r == 0)
		b->discarded += bytes;
	/* Memory that cannot be given back (locked, huge pages) stays: no harm. */
	return r != -EFAULT && r != -EPERM;
}

static bool discard_pages(struct virtio_balloon *b, uint64_t first, uint64_t n)
{
	struct iovec iov[GUEST_REGIONS_MAX];
	int pieces = guest_memory_iov(b->dev.mem, first * PAGE_BYTES, n * PAGE_BYTES, GUEST_WRITE, iov,
				      GUEST_REGIONS_MAX);
	for (int i = 0; i < pieces; i++) {
		if (!discard(b, iov[i].iov_base, iov[i].iov_len))
			return false;
	}
	return pieces > 0;
}

/* A list of page numbers: give back runs of them at once. */
static int64_t inflate(struct virtio_device *dev, struct virtq_chain *chain)
{
	struct virtio_balloon *b = (struct virtio_balloon *)dev;
	uint32_t pages[256], n;
	uint64_t first = 0, run = 0;
	if (chain->read_bytes % sizeof(pages[0]) != 0 || chain->read_bytes > PAGES_MAX * sizeof(pages[0]))
		return -EPROTO;
	for (uint32_t at = 0; (n = chain_read(chain, at, pages, sizeof(pages))) > 0; at += n) {
		for (unsigned i = 0; i < n / sizeof(pages[0]); i++) {
			uint64_t page = le32toh(pages[i]);
			if (run > 0 && page == first + run) {
				run++;
				continue;
			}
			if (run > 0 && !discard_pages(b, first, run))
				return -EPROTO;
			first = page;
			run = 1;
		}
	}
	if (run > 0 && !discard_pages(b, first, run))
		return -EPROTO;
	return 0;
}

/* The guest takes pages back: they come when it touches them. */
static int64_t deflate(struct virtio_device *dev, struct virtq_chain *chain)
{
	return 0;
}

/* The buffers are the free memory itself. */
static int64_t report(struct virtio_device *dev, struct virtq_chain *chain)
{
	struct virtio_balloon *b = (struct virtio_balloon *)dev;
	for (unsigned i = 0; i < chain->n_write; i++) {
		const struct iovec *piece = &chain->iov[chain->n_read + i];
		if (!discard(b, piece->iov_base, piece->iov_len))
			return -EPROTO;
	}
	return 0;
}

static void read_stats(struct virtio_balloon *b, const struct virtq_chain *chain)
{
	struct virtio_balloon_stats stats;
	struct virtio_balloon_stat stat;
	int64_t *const fields[] = {
		[VIRTIO_BALLOON_S_SWAP_IN] = &stats.swap_in,	   [VIRTIO_BALLOON_S_SWAP_OUT] = &stats.swap_out,
		[VIRTIO_BALLOON_S_MAJFLT] = &stats.major_faults,   [VIRTIO_BALLOON_S_MINFLT] = &stats.minor_faults,
		[VIRTIO_BALLOON_S_MEMFREE] = &stats.free,	   [VIRTIO_BALLOON_S_MEMTOT] = &stats.total,
		[VIRTIO_BALLOON_S_AVAIL] = &stats.available,	   [VIRTIO_BALLOON_S_CACHES] = &stats.caches,
	};
	memset(&stats, 0xff, sizeof(stats));
	/* As many as there are kinds, and some that we do not know. */
	for (uint32_t i = 0; i < 32; i++) {
		if (chain_read(chain, i * (uint32_t)sizeof(stat), &stat, sizeof(stat)) != sizeof(stat))
			break;
		uint16_t tag = le16toh(stat.tag);
		uint64_t value = le64toh(stat.val);
		if (tag < ARRAY_LEN(fields) && fields[tag])
			*fields[tag] = value > INT64_MAX ? INT64_MAX : (int64_t)value;
	}
	if (b->setup.stats)
		b->setup.stats(b->setup.ctx, &stats);
}

/* The first buffer comes unasked; each later one is an answer (5.5.6.3). */
static void take_stats(struct virtio_balloon *b, unsigned index)
{
	struct iovec iov[IOV_N];
	struct virtq_chain chain = { .iov = iov, .iov_max = IOV_N };
	if (virtio_queue_pop(&b->dev, index, &chain) != 1)
		return;
	if (b->has_stats_buffer) {
		virtio_device_fail(&b->dev); /* one at a time */
		return;
	}
	b->has_stats_buffer = true;
	b->stats_head = chain.head;
	read_stats(b, &chain);
	(void)virtq_enable_kicks(&b->dev.queues[index]);
}

static bool kicked(struct virtio_device *dev, unsigned index)
{
	struct virtio_balloon *b = (struct virtio_balloon *)dev;
	struct iovec iov[IOV_N];
	if (index == QUEUE_INFLATE)
		return virtio_queue_serve(dev, index, iov, IOV_N, inflate);
	if (index == QUEUE_DEFLATE)
		return virtio_queue_serve(dev, index, iov, IOV_N, deflate);
	if (index == stats_queue(dev))
		take_stats(b, index);
	else if (index == reporting_queue(dev))
		return virtio_queue_serve(dev, index, iov, IOV_N, report);
	return false;
}

static void reset(struct virtio_device *dev)
{
	struct virtio_balloon *b = (struct virtio_balloon *)dev;
	b->has_stats_buffer = false;
	b->config.actual = 0; /* the next kernel has all of its memory */
}

static void config_written(struct virtio_device *dev, uint32_t offset, const uint8_t *data, uint32_t len)
{
	struct virtio_balloon *b = (struct virtio_balloon *)dev;
	/* A number for statistics: what the guest says is never relied upon. */
	if (offset == offsetof(struct virtio_balloon_config, actual) && len == sizeof(b->config.actual))
		memcpy(&b->config.actual, data, len);
}

static void balloon_free(struct virtio_device *dev)
{
	virtio_device_done(dev);
	free(dev);
}

static const struct virtio_ops ops = {
	.kicked = kicked, .reset = reset, .config_written = config_written, .free = balloon_free
};

int virtio_balloon_new(const struct virtio_balloon_setup *setup, const struct guest_memory *mem, struct loop *loop,
		       struct virtio_device **ret)
{
	static const uint16_t sizes[QUEUES] = { QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE };
	CLEANUP_FREE struct virtio_balloon *b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	uint64_t features = UINT64_C(1) << VIRTIO_BALLOON_F_STATS_VQ | UINT64_C(1) << VIRTIO_BALLOON_F_REPORTING |
			    UINT64_C(1) << VIRTIO_BALLOON_F_DEFLATE_ON_OOM;
	int r = virtio_device_init(&b->dev, &ops, VIRTIO_ID_BALLOON, features, sizes, QUEUES, mem, loop);
	if (r < 0)
		return r;
	b->setup = *setup;
	b->dev.config = (uint8_t *)&b->config;
	/* Without the fields of features that are not offered. */
	b->dev.config_len = offsetof(struct virtio_balloon_config, actual) + sizeof(b->config.actual);
	*ret = &TAKE_PTR(b)->dev;
	return 0;
}

void virtio_balloon_set_target(struct virtio_device *dev, uint64_t bytes)
{
	struct virtio_balloon *b = (struct virtio_balloon *)dev;
	uint64_t pages = bytes / PAGE_BYTES;
	b->config.num_pages = htole32(pages > UINT32_MAX ? UINT32_MAX : (uint32_t)pages);
	virtio_device_config_changed(dev);
}

uint64_t virtio_balloon_actual(const struct virtio_device *dev)
{
	return le32toh(((const struct virtio_balloon *)dev)->config.actual) * PAGE_BYTES;
}

bool virtio_balloon_ask(struct virtio_device *dev)
{
	struct virtio_balloon *b = (struct virtio_balloon *)dev;
	if (!b->has_stats_buffer || !virtio_device_is_live(dev))
		return false;
	b->has_stats_buffer = false;
	virtq_push(&dev->queues[stats_queue(dev)], b->stats_head, 0);
	virtio_queue_flush(dev, stats_queue(dev));
	return true;
}

uint64_t virtio_balloon_discarded(const struct virtio_device *dev)
{
	return ((const struct virtio_balloon *)dev)->discarded;
}
