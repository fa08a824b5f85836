/* SPDX-License-Identifier: Apache-2.0 */
/* What a disk consists of: extents of files and of memory, one after the other.
 *
 * A raw disk is one file. A layer disk is all layers of an image as partitions of
 * one read-only disk: a partition table made up in memory around the layer files
 * as they lie in the store. So an image costs its guest one device and one
 * interrupt, however many layers it has; the same layout can be mapped for DAX
 * (pmem_window.h). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define BLK_SECTOR 512u
/* The entries of a partition table, and Docker's most layers. */
#define BLK_LAYERS_MAX 128

struct blk_extent {
	uint64_t start; /* on the disk */
	uint64_t bytes;
	/* Exactly one: a file from @offset on, memory, or (neither) zeros. */
	int fd;
	uint64_t offset;
	const uint8_t *memory;
};

struct blk_disk {
	struct blk_extent *extents; /* without gaps, from 0 to bytes */
	size_t n;
	uint64_t bytes;
	bool is_readonly;
	uint8_t *table; /* what `memory` points into */
};

struct blk_layer {
	int fd;
	uint64_t bytes;
	char name[37]; /* of the partition; ASCII */
};

/* Both borrow the descriptors; blk_disk_done() releases the rest. */

/* The file's size, rounded down to sectors. -EINVAL: less than one sector. */
int blk_disk_raw(struct blk_disk *disk, int fd, uint64_t bytes, bool is_readonly) MUST_CHECK;
/* @align_bytes: where partitions start, a power of two of at least 4 KiB (1 MiB for
 * blk; 2 MiB for DAX). The disk's identity follows from the layers' names and sizes.
 * -EINVAL: no layer, too many, an empty one. */
int blk_disk_layers(struct blk_disk *disk, const struct blk_layer *layers, size_t n, uint64_t align_bytes) MUST_CHECK;
void blk_disk_done(struct blk_disk *disk);

/* All of these sectors exist. */
bool blk_disk_has(const struct blk_disk *disk, uint64_t sector, uint64_t sectors);
/* The extent that holds @at, which is less than disk->bytes. */
const struct blk_extent *blk_disk_find(const struct blk_disk *disk, uint64_t at);
