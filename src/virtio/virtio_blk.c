/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: a request takes a slot, in which it stays until it is answered.
 * advance() moves a transfer along the disk's extents, at once where they are
 * memory or zeros and with one blk_io request at a time where they are files; a
 * short read or write simply goes on where it stopped. While all slots are taken
 * or the rate is used up nothing is taken from the queue. */
#include "virtio_blk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#include "chain_io.h"
#include "cleanup.h"
#include "clock.h"

#define QUEUE_SIZE 128
#define SEGMENTS   (QUEUE_SIZE - 2)
#define IOV_N      (QUEUE_SIZE + 8)
#define SLOTS      QUEUE_SIZE
/* Longer transfers than any driver makes are refused. */
#define TRANSFER_MAX  (64u << 20)
#define SEGMENTS_MAX  16u /* ranges in one discard */
#define RANGE_SECTORS ((1u << 30) / BLK_SECTOR)

struct slot {
	struct virtio_blk *blk;
	struct slot *next_free;
	struct blk_io_request io;
	uint16_t head;
	uint32_t type;
	bool is_busy;
	/* The transfer: the pieces that are left, the place on the disk. */
	struct iovec *data;
	unsigned data_n;
	uint64_t at;
	uint32_t left;
	uint32_t total;
	/* The next range of a discard or write zeroes, and how many there are. */
	unsigned range, ranges_n;
	uint8_t *status;
	struct lists *lists;
};

/* What is large of a slot, apart from it: memory that is first used when as many
 * requests are in flight. */
struct lists {
	struct iovec iov[IOV_N];
	union {
		/* What one blk_io request gets: data up to the end of an extent. */
		struct iovec part[IOV_N];
		struct virtio_blk_discard_write_zeroes ranges[SEGMENTS_MAX];
	};
};

struct virtio_blk {
	struct virtio_device dev; /* first */
	struct virtio_blk_config config;
	struct blk_disk disk;
	struct blk_io *io;
	char id[VIRTIO_BLK_ID_BYTES];
	struct rate_limiter limiter;
	struct loop_timer timer;
	/* An answer came while nothing could be taken from the queue. */
	bool is_stalled;
	struct slot *free;
	struct slot slots[SLOTS];
	struct lists lists[SLOTS];
};

static void answer(struct slot *slot, uint8_t status)
{
	struct virtio_blk *blk = slot->blk;
	uint32_t written = 1;
	if (slot->type == VIRTIO_BLK_T_IN && status == VIRTIO_BLK_S_OK)
		written += slot->total;
	if (slot->type == VIRTIO_BLK_T_GET_ID && status == VIRTIO_BLK_S_OK)
		written += VIRTIO_BLK_ID_BYTES;
	*slot->status = status;
	virtq_push(&blk->dev.queues[0], slot->head, written);
	slot->is_busy = false;
	slot->next_free = blk->free;
	blk->free = slot;
	if (blk->is_stalled) {
		blk->is_stalled = false;
		virtio_queue_kick(&blk->dev, 0);
	}
}

static void submit(struct slot *slot, enum blk_io_op op, const struct blk_extent *extent)
{
	slot->io.op = op;
	slot->io.fd = extent->fd;
	slot->io.offset = extent->offset + (slot->at - extent->start);
	blk_io_submit(slot->blk->io, &slot->io);
}

static void consume(struct slot *slot, uint32_t n)
{
	slot->data_n = iov_slice(slot->data, slot->data_n, n, UINT64_MAX);
	slot->at += n;
	slot->left -= n;
}

static void copy_out(struct slot *slot, const uint8_t *from, uint32_t n)
{
	for (unsigned i = 0; i < slot->data_n && n > 0; i++) {
		uint32_t here = slot->data[i].iov_len < n ? (uint32_t)slot->data[i].iov_len : n;
		if (from) {
			memcpy(slot->data[i].iov_base, from, here);
			from += here;
		} else {
			memset(slot->data[i].iov_base, 0, here);
		}
		n -= here;
	}
}

static void advance(struct slot *slot)
{
	struct virtio_blk *blk = slot->blk;
	while (slot->left > 0) {
		const struct blk_extent *extent = blk_disk_find(&blk->disk, slot->at);
		uint64_t offset = slot->at - extent->start;
		uint64_t room = extent->bytes - offset;
		uint32_t here = slot->left < room ? slot->left : (uint32_t)room;
		if (extent->fd >= 0) {
			slot->io.iov = slot->lists->part;
			memcpy(slot->io.iov, slot->data, slot->data_n * sizeof(slot->data[0]));
			slot->io.n = iov_slice(slot->io.iov, slot->data_n, 0, here);
			submit(slot, slot->type == VIRTIO_BLK_T_IN ? BLK_IO_READ : BLK_IO_WRITE, extent);
			return;
		}
		/* Memory and zeros are only in disks that cannot be written. */
		copy_out(slot, extent->memory ? extent->memory + offset : NULL, here);
		consume(slot, here);
	}
	answer(slot, VIRTIO_BLK_S_OK);
}

/* The next range of a discard or write zeroes. Only raw disks have these: one
 * extent, one file. */
static void next_range(struct slot *slot)
{
	const struct blk_extent *extent = &slot->blk->disk.extents[0];
	if (slot->range == slot->ranges_n) {
		answer(slot, VIRTIO_BLK_S_OK);
		return;
	}
	const struct virtio_blk_discard_write_zeroes *range = &slot->lists->ranges[slot->range++];
	bool keeps_blocks = slot->type == VIRTIO_BLK_T_WRITE_ZEROES &&
			    !(range->flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
	slot->at = range->sector * BLK_SECTOR;
	slot->io.mode = FALLOC_FL_KEEP_SIZE | (keeps_blocks ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE);
	slot->io.bytes = (uint64_t)range->num_sectors * BLK_SECTOR;
	submit(slot, BLK_IO_ALLOCATE, extent);
}

static void io_done(void *ctx, struct blk_io_request *io)
{
	struct virtio_blk *blk = ctx;
	struct slot *slot = (struct slot *)((uint8_t *)io - offsetof(struct slot, io));
	bool moves = io->op == BLK_IO_READ || io->op == BLK_IO_WRITE;
	/* Some file systems (tmpfs) cannot zero a range but can punch a hole, which
	 * reads the same. */
	bool cannot = io->op == BLK_IO_ALLOCATE && io->result == -EOPNOTSUPP;
	if (cannot && (io->mode & FALLOC_FL_ZERO_RANGE)) {
		io->mode = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;
		blk_io_submit(blk->io, io);
	} else if (io->result == -EINTR || io->result == -EAGAIN) {
		blk_io_submit(blk->io, io);
	} else if (cannot) {
		/* A discard is a hint; zeros must be zeros. */
		if (slot->type == VIRTIO_BLK_T_DISCARD)
			next_range(slot);
		else
			answer(slot, VIRTIO_BLK_S_UNSUPP);
	} else if (io->result < 0 || (moves && (io->result == 0 || io->result > slot->left))) {
		/* Nothing moved: the file is shorter than it was. */
		answer(slot, VIRTIO_BLK_S_IOERR);
	} else if (moves) {
		consume(slot, (uint32_t)io->result);
		advance(slot);
	} else if (io->op == BLK_IO_ALLOCATE) {
		next_range(slot);
	} else {
		answer(slot, VIRTIO_BLK_S_OK); /* a flush */
	}
	blk_io_start(blk->io);
	virtio_queue_flush(&blk->dev, 0);
}

static void begin_transfer(struct slot *slot, uint64_t sector)
{
	struct virtio_blk *blk = slot->blk;
	if (slot->total % BLK_SECTOR != 0 || slot->total > TRANSFER_MAX ||
	    !blk_disk_has(&blk->disk, sector, slot->total / BLK_SECTOR) ||
	    (slot->type == VIRTIO_BLK_T_OUT && blk->disk.is_readonly)) {
		answer(slot, VIRTIO_BLK_S_IOERR);
		return;
	}
	slot->at = sector * BLK_SECTOR;
	slot->left = slot->total;
	advance(slot);
}

static void begin_ranges(struct slot *slot, const struct virtq_chain *chain)
{
	struct virtio_blk *blk = slot->blk;
	uint32_t bytes = chain->read_bytes - (uint32_t)sizeof(struct virtio_blk_outhdr);
	struct virtio_blk_discard_write_zeroes *ranges = slot->lists->ranges;
	uint32_t allowed = slot->type == VIRTIO_BLK_T_WRITE_ZEROES ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;
	slot->range = 0;
	slot->ranges_n = bytes / sizeof(ranges[0]);
	if (blk->disk.is_readonly || bytes % sizeof(ranges[0]) != 0 || slot->ranges_n == 0 ||
	    slot->ranges_n > SEGMENTS_MAX) {
		answer(slot, VIRTIO_BLK_S_IOERR);
		return;
	}
	chain_read(chain, sizeof(struct virtio_blk_outhdr), ranges, bytes);
	for (unsigned i = 0; i < slot->ranges_n; i++) {
		const struct virtio_blk_discard_write_zeroes *r = &ranges[i];
		if (r->flags & ~allowed) {
			answer(slot, VIRTIO_BLK_S_UNSUPP); /* 5.2.6.2 */
			return;
		}
		if (r->num_sectors == 0 || r->num_sectors > RANGE_SECTORS ||
		    !blk_disk_has(&blk->disk, r->sector, r->num_sectors)) {
			answer(slot, VIRTIO_BLK_S_IOERR);
			return;
		}
	}
	next_range(slot);
}

/* The last writable byte; takes it off the pieces. */
static uint8_t *take_status(struct virtq_chain *chain)
{
	struct iovec *last = &chain->iov[chain->n_read + chain->n_write - 1];
	uint8_t *status = (uint8_t *)last->iov_base + --last->iov_len;
	if (last->iov_len == 0)
		chain->n_write--;
	chain->write_bytes--;
	return status;
}

/* False: the guest lied. */
static bool begin(struct slot *slot, struct virtq_chain *chain)
{
	struct virtio_blk *blk = slot->blk;
	struct virtio_blk_outhdr header;
	if (chain->write_bytes == 0 || chain_read(chain, 0, &header, sizeof(header)) != sizeof(header))
		return false;
	slot->status = take_status(chain);
	slot->head = chain->head;
	slot->type = header.type;
	slot->is_busy = true;
	rate_limiter_charge(&blk->limiter, (uint64_t)chain->read_bytes + chain->write_bytes);
	switch (header.type) {
	case VIRTIO_BLK_T_IN:
		slot->total = chain->write_bytes;
		slot->data = chain->iov + chain->n_read;
		slot->data_n = chain->n_write;
		begin_transfer(slot, header.sector);
		break;
	case VIRTIO_BLK_T_OUT:
		slot->total = chain->read_bytes - (uint32_t)sizeof(header);
		slot->data = chain->iov;
		slot->data_n = iov_slice(chain->iov, chain->n_read, sizeof(header), UINT64_MAX);
		begin_transfer(slot, header.sector);
		break;
	case VIRTIO_BLK_T_FLUSH:
		slot->at = 0;
		if (blk->disk.is_readonly)
			answer(slot, VIRTIO_BLK_S_OK);
		else
			submit(slot, BLK_IO_FLUSH, &blk->disk.extents[0]);
		break;
	case VIRTIO_BLK_T_GET_ID:
		answer(slot, chain_write(chain, 0, blk->id, VIRTIO_BLK_ID_BYTES) == VIRTIO_BLK_ID_BYTES ?
				     VIRTIO_BLK_S_OK :
				     VIRTIO_BLK_S_IOERR);
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		begin_ranges(slot, chain);
		break;
	default:
		answer(slot, VIRTIO_BLK_S_UNSUPP);
		break;
	}
	return true;
}

/* Take one request. False: nothing can be taken now. */
static bool take_one(struct virtio_blk *blk)
{
	int64_t wait_ns = rate_limiter_wait_ns(&blk->limiter, clock_mono_ns());
	struct slot *slot = blk->free;
	if (wait_ns > 0) {
		loop_timer_set(blk->dev.loop, &blk->timer, wait_ns);
		return false;
	}
	if (!slot) {
		blk->is_stalled = true;
		return false;
	}
	struct virtq_chain chain = { .iov = slot->lists->iov, .iov_max = IOV_N };
	if (virtio_queue_pop(&blk->dev, 0, &chain) != 1)
		return false;
	blk->free = slot->next_free;
	if (!begin(slot, &chain)) {
		slot->next_free = blk->free;
		blk->free = slot;
		virtio_device_fail(&blk->dev);
		return false;
	}
	return true;
}

static bool kicked(struct virtio_device *dev, unsigned index)
{
	struct virtio_blk *blk = (struct virtio_blk *)dev;
	unsigned n = 0;
	virtq_disable_kicks(&dev->queues[0]);
	while (n < VIRTIO_BUDGET && take_one(blk))
		n++;
	if (!virtio_device_is_live(dev))
		return false;
	blk_io_start(blk->io);
	virtio_queue_flush(dev, 0);
	if (blk->is_stalled || blk->timer.is_set)
		return false; /* an answer or the timer kicks */
	return virtq_enable_kicks(&dev->queues[0]);
}

static void timer_fired(void *ctx)
{
	struct virtio_blk *blk = ctx;
	virtio_queue_kick(&blk->dev, 0);
}

static void reset(struct virtio_device *dev)
{
	struct virtio_blk *blk = (struct virtio_blk *)dev;
	loop_timer_stop(dev->loop, &blk->timer);
	blk->is_stalled = false;
	blk_io_drain(blk->io);
}

static void blk_free(struct virtio_device *dev)
{
	struct virtio_blk *blk = (struct virtio_blk *)dev;
	blk_io_free(blk->io);
	blk_disk_done(&blk->disk);
	virtio_device_done(dev);
	free(blk);
}

static const struct virtio_ops ops = { .kicked = kicked, .reset = reset, .free = blk_free };

static uint64_t describe(struct virtio_blk *blk)
{
	uint64_t features = UINT64_C(1) << VIRTIO_BLK_F_SEG_MAX | UINT64_C(1) << VIRTIO_BLK_F_FLUSH;
	blk->config.capacity = htole64(blk->disk.bytes / BLK_SECTOR);
	blk->config.seg_max = htole32(SEGMENTS);
	if (blk->disk.is_readonly)
		return features | UINT64_C(1) << VIRTIO_BLK_F_RO;
	blk->config.max_discard_sectors = htole32(RANGE_SECTORS);
	blk->config.max_discard_seg = htole32(SEGMENTS_MAX);
	blk->config.discard_sector_alignment = htole32(4096 / BLK_SECTOR);
	blk->config.max_write_zeroes_sectors = htole32(RANGE_SECTORS);
	blk->config.max_write_zeroes_seg = htole32(SEGMENTS_MAX);
	blk->config.write_zeroes_may_unmap = 1;
	return features | UINT64_C(1) << VIRTIO_BLK_F_DISCARD | UINT64_C(1) << VIRTIO_BLK_F_WRITE_ZEROES;
}

int virtio_blk_new(struct virtio_blk_setup *setup, const struct guest_memory *mem, struct loop *loop,
		   struct virtio_device **ret)
{
	static const uint16_t sizes[] = { QUEUE_SIZE };
	CLEANUP_FREE struct virtio_blk *blk = calloc(1, sizeof(*blk));
	int r = blk ? blk_io_new(loop, setup->io, SLOTS, io_done, blk, &blk->io) : -ENOMEM;
	if (r < 0) {
		blk_disk_done(&setup->disk);
		return r;
	}
	blk->disk = setup->disk;
	setup->disk = (struct blk_disk){ 0 };
	uint64_t features = describe(blk);
	r = virtio_device_init(&blk->dev, &ops, VIRTIO_ID_BLOCK, features, sizes, 1, mem, loop);
	if (r < 0) {
		blk_io_free(blk->io);
		blk_disk_done(&blk->disk);
		return r;
	}
	blk->dev.config = (uint8_t *)&blk->config;
	blk->dev.config_len = sizeof(blk->config);
	memcpy(blk->id, setup->id, sizeof(blk->id));
	rate_limiter_init(&blk->limiter, &setup->limits, clock_mono_ns());
	blk->timer = (struct loop_timer){ .fire = timer_fired, .ctx = blk };
	for (unsigned i = SLOTS; i-- > 0;) {
		blk->slots[i].blk = blk;
		blk->slots[i].lists = &blk->lists[i];
		blk->slots[i].next_free = blk->free;
		blk->free = &blk->slots[i];
	}
	*ret = &TAKE_PTR(blk)->dev;
	return 0;
}
