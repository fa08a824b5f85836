/* SPDX-License-Identifier: Apache-2.0 */
/* The partition table is a GPT as in the UEFI specification, chapter 5: a
 * protective MBR, a header and 128 entries at the front, entries and a header
 * again at the end. */
#include "blk_disk.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

#define ENTRY_BYTES   128u
#define ENTRIES       128u
#define ENTRY_SECTORS (ENTRIES * ENTRY_BYTES / BLK_SECTOR)
#define HEAD_SECTORS  (2 + ENTRY_SECTORS)
#define TAIL_SECTORS  (ENTRY_SECTORS + 1)
#define TABLE_BYTES   ((HEAD_SECTORS + TAIL_SECTORS) * BLK_SECTOR)
#define BLOCK         4096u

struct gpt_header {
	char signature[8];
	uint32_t revision, header_bytes, header_crc, reserved;
	uint64_t my_lba, other_lba, first_lba, last_lba;
	uint8_t disk_guid[16];
	uint64_t entries_lba;
	uint32_t entries_n, entry_bytes, entries_crc;
} __attribute__((packed));
static_assert(sizeof(struct gpt_header) == 92, "as on disk");

struct gpt_entry {
	uint8_t type_guid[16], guid[16];
	uint64_t first_lba, last_lba, attributes;
	uint16_t name[36];
} __attribute__((packed));
static_assert(sizeof(struct gpt_entry) == ENTRY_BYTES, "as on disk");

/* Linux filesystem data, 0FC63DAF-8483-4772-8E79-3D69D8477DE4. */
static const uint8_t linux_data[16] = { 0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47,
					0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4 };

/* The CRC of Ethernet; a table of 16 is fast enough for 16 KiB. */
static uint32_t crc32_of(const void *data, size_t len)
{
	uint32_t table[16];
	for (uint32_t i = 0; i < 16; i++) {
		uint32_t c = i;
		for (int k = 0; k < 4; k++)
			c = c & 1 ? UINT32_C(0xedb88320) ^ c >> 1 : c >> 1;
		table[i] = c;
	}
	uint32_t crc = UINT32_MAX;
	for (const uint8_t *p = data; len > 0; p++, len--) {
		crc = table[(crc ^ *p) & 15] ^ crc >> 4;
		crc = table[(crc ^ *p >> 4) & 15] ^ crc >> 4;
	}
	return ~crc;
}

/* An identity that is the same for the same input (FNV-1a, twice). It names; it
 * proves nothing. */
static void make_guid(uint8_t guid[16], const void *data, size_t len, uint64_t salt)
{
	for (unsigned half = 0; half < 2; half++) {
		uint64_t h = UINT64_C(0xcbf29ce484222325) ^ (salt * 2 + half);
		for (size_t i = 0; i < len; i++)
			h = (h ^ ((const uint8_t *)data)[i]) * UINT64_C(0x100000001b3);
		h = htole64(h);
		memcpy(guid + 8 * half, &h, 8);
	}
	/* Marked as "custom" (RFC 9562, version 8). */
	guid[7] = (guid[7] & 0x0f) | 0x80;
	guid[8] = (guid[8] & 0x3f) | 0x80;
}

static int add_extent(struct blk_disk *disk, uint64_t bytes, int fd, uint64_t offset, const uint8_t *memory)
{
	if (bytes == 0)
		return 0;
	disk->extents[disk->n++] = (struct blk_extent){
		.start = disk->bytes, .bytes = bytes, .fd = fd, .offset = offset, .memory = memory
	};
	return __builtin_add_overflow(disk->bytes, bytes, &disk->bytes) ? -EINVAL : 0;
}

int blk_disk_raw(struct blk_disk *disk, int fd, uint64_t bytes, bool is_readonly)
{
	*disk = (struct blk_disk){ .is_readonly = is_readonly };
	bytes &= ~(uint64_t)(BLK_SECTOR - 1);
	if (bytes == 0 || bytes > INT64_MAX)
		return -EINVAL;
	disk->extents = calloc(1, sizeof(*disk->extents));
	if (!disk->extents)
		return -ENOMEM;
	return add_extent(disk, bytes, fd, 0, NULL);
}

static void fill_header(struct gpt_header *h, uint64_t my_lba, uint64_t other_lba, uint64_t entries_lba,
			uint64_t sectors, const uint8_t guid[16], uint32_t entries_crc)
{
	*h = (struct gpt_header){
		.revision = htole32(0x00010000),
		.header_bytes = htole32(sizeof(*h)),
		.my_lba = htole64(my_lba),
		.other_lba = htole64(other_lba),
		.first_lba = htole64(HEAD_SECTORS),
		.last_lba = htole64(sectors - TAIL_SECTORS - 1),
		.entries_lba = htole64(entries_lba),
		.entries_n = htole32(ENTRIES),
		.entry_bytes = htole32(ENTRY_BYTES),
		.entries_crc = htole32(entries_crc),
	};
	memcpy(h->signature, "EFI PART", 8);
	memcpy(h->disk_guid, guid, 16);
	h->header_crc = htole32(crc32_of(h, sizeof(*h)));
}

static void fill_table(struct blk_disk *disk, const struct blk_layer *layers, const uint64_t *starts, size_t n)
{
	uint64_t sectors = disk->bytes / BLK_SECTOR;
	uint8_t *head = disk->table, *tail = disk->table + HEAD_SECTORS * BLK_SECTOR;
	struct gpt_entry *entries = (struct gpt_entry *)(head + 2 * BLK_SECTOR);
	for (size_t i = 0; i < n; i++) {
		struct gpt_entry *e = &entries[i];
		uint64_t blocks = (layers[i].bytes + BLOCK - 1) / BLOCK;
		memcpy(e->type_guid, linux_data, 16);
		make_guid(e->guid, &layers[i].name, strlen(layers[i].name), i + 1);
		e->first_lba = htole64(starts[i] / BLK_SECTOR);
		e->last_lba = htole64(starts[i] / BLK_SECTOR + blocks * (BLOCK / BLK_SECTOR) - 1);
		e->attributes = htole64(UINT64_C(1) << 60); /* read-only */
		for (size_t k = 0; k < 36 && layers[i].name[k]; k++)
			e->name[k] = htole16((uint8_t)layers[i].name[k]);
	}
	memcpy(tail, entries, ENTRIES * ENTRY_BYTES);
	uint32_t crc = crc32_of(entries, ENTRIES * ENTRY_BYTES);
	uint8_t guid[16];
	make_guid(guid, entries, ENTRIES * ENTRY_BYTES, 0);
	fill_header((struct gpt_header *)(head + BLK_SECTOR), 1, sectors - 1, 2, sectors, guid, crc);
	fill_header((struct gpt_header *)(tail + ENTRY_SECTORS * BLK_SECTOR), sectors - 1, 1, sectors - TAIL_SECTORS,
		    sectors, guid, crc);
	/* One MBR partition of type 0xee over everything. */
	uint8_t *mbr = head + 446;
	uint32_t mbr_sectors = htole32(sectors - 1 > UINT32_MAX ? UINT32_MAX : (uint32_t)(sectors - 1));
	uint32_t one = htole32(1);
	memcpy(mbr, "\0\0\2\0\xee\xff\xff\xff", 8);
	memcpy(mbr + 8, &one, 4);
	memcpy(mbr + 12, &mbr_sectors, 4);
	memcpy(head + 510, "\x55\xaa", 2);
}

static int lay_out(struct blk_disk *disk, const struct blk_layer *layers, size_t n, uint64_t align_bytes,
		   uint64_t *starts)
{
	int r = add_extent(disk, HEAD_SECTORS * BLK_SECTOR, -1, 0, disk->table);
	for (size_t i = 0; i < n && r == 0; i++) {
		/* 2^48 bytes a layer: no sum of 128 overflows. */
		if (layers[i].bytes == 0 || layers[i].bytes >> 48)
			return -EINVAL;
		starts[i] = (disk->bytes + align_bytes - 1) & ~(align_bytes - 1);
		r = add_extent(disk, starts[i] - disk->bytes, -1, 0, NULL);
		if (r == 0)
			r = add_extent(disk, layers[i].bytes, layers[i].fd, 0, NULL);
		if (r == 0)
			r = add_extent(disk, -layers[i].bytes & (BLOCK - 1), -1, 0, NULL);
	}
	/* Then the table again, so that the disk ends at a block. */
	if (r == 0)
		r = add_extent(disk, -(disk->bytes + TAIL_SECTORS * BLK_SECTOR) & (BLOCK - 1), -1, 0, NULL);
	if (r == 0)
		r = add_extent(disk, TAIL_SECTORS * BLK_SECTOR, -1, 0, disk->table + HEAD_SECTORS * BLK_SECTOR);
	return r;
}

int blk_disk_layers(struct blk_disk *disk, const struct blk_layer *layers, size_t n, uint64_t align_bytes)
{
	uint64_t starts[BLK_LAYERS_MAX];
	*disk = (struct blk_disk){ .is_readonly = true };
	if (n == 0 || n > BLK_LAYERS_MAX || align_bytes < BLOCK || align_bytes > UINT64_C(1) << 30 ||
	    (align_bytes & (align_bytes - 1)))
		return -EINVAL;
	disk->extents = calloc(n * 3 + 3, sizeof(*disk->extents));
	disk->table = calloc(1, TABLE_BYTES);
	int r = disk->extents && disk->table ? lay_out(disk, layers, n, align_bytes, starts) : -ENOMEM;
	if (r < 0) {
		blk_disk_done(disk);
		return r;
	}
	fill_table(disk, layers, starts, n);
	return 0;
}

void blk_disk_done(struct blk_disk *disk)
{
	free(disk->extents);
	free(disk->table);
	*disk = (struct blk_disk){ 0 };
}

bool blk_disk_has(const struct blk_disk *disk, uint64_t sector, uint64_t sectors)
{
	uint64_t capacity = disk->bytes / BLK_SECTOR;
	return sector <= capacity && sectors <= capacity - sector;
}

const struct blk_extent *blk_disk_find(const struct blk_disk *disk, uint64_t at)
{
	size_t low = 0, high = disk->n;
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		if (disk->extents[middle].start <= at)
			low = middle;
		else
			high = middle;
	}
	return &disk->extents[low];
}
