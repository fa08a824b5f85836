/* SPDX-License-Identifier: Apache-2.0 */
/* The on-disk format of EROFS, as far as hull writes it: 4 KiB blocks, plain
 * and inline data, inline xattrs. Little-endian throughout. */
#pragma once

#include <assert.h>
#include <endian.h>
#include <stdint.h>

#define EROFS_BLOCK 4096u
#define EROFS_BLOCK_BITS 12
#define EROFS_SUPER_OFFSET 1024u
#define EROFS_MAGIC 0xe0f5e1e2u
#define EROFS_COMPAT_SB_CHECKSUM 1u
#define EROFS_COMPAT_MTIME 2u /* times are those of modification */
#define EROFS_SLOT 32u        /* a node number counts these from meta_blkaddr */

struct erofs_super {
	uint32_t magic;
	uint32_t checksum; /* crc32c of the rest of the block, this being 0 */
	uint32_t feature_compat;
	uint8_t block_bits;
	uint8_t ext_slots;
	uint16_t root_nid;
	uint64_t inodes;
	uint64_t build_time;
	uint32_t build_time_nsec;
	uint32_t blocks;
	uint32_t meta_blkaddr;
	uint32_t xattr_blkaddr;
	uint8_t uuid[16];
	uint8_t volume_name[16];
	uint32_t feature_incompat;
	uint16_t compression;
	uint16_t extra_devices;
	uint16_t devt_slotoff;
	uint8_t dir_block_bits;
	uint8_t xattr_prefix_count;
	uint32_t xattr_prefix_start;
	uint64_t packed_nid;
	uint8_t xattr_filter_reserved;
	uint8_t reserved[23];
};
static_assert(sizeof(struct erofs_super) == 128, "on disk");

#define EROFS_FORMAT_EXTENDED 1u
#define EROFS_LAYOUT_PLAIN 0u
#define EROFS_LAYOUT_INLINE 2u
#define EROFS_FORMAT(extended, layout) ((uint16_t)((extended) | (layout) << 1))

struct erofs_inode_compact {
	uint16_t format;
	uint16_t xattr_count;
	uint16_t mode;
	uint16_t nlink;
	uint32_t size;
	uint32_t mtime; /* counted from build_time; older kernels take that itself */
	uint32_t where; /* first block or device */
	uint32_t ino;
	uint16_t uid;
	uint16_t gid;
	uint32_t reserved;
};
static_assert(sizeof(struct erofs_inode_compact) == 32, "on disk");

struct erofs_inode_extended {
	uint16_t format;
	uint16_t xattr_count;
	uint16_t mode;
	uint16_t reserved;
	uint64_t size;
	uint32_t where;
	uint32_t ino;
	uint32_t uid;
	uint32_t gid;
	uint64_t mtime;
	uint32_t mtime_nsec;
	uint32_t nlink;
	uint8_t reserved2[16];
};
static_assert(sizeof(struct erofs_inode_extended) == 64, "on disk");

/* Before the entries; xattr_count is 1 + their size / 4. */
struct erofs_xattr_header {
	uint32_t name_filter;
	uint8_t shared_count;
	uint8_t reserved[7];
};
static_assert(sizeof(struct erofs_xattr_header) == 12, "on disk");

struct erofs_xattr_entry {
	uint8_t name_len;
	uint8_t name_index;
	uint16_t value_size;
	/* name (without the prefix that the index stands for), value, to 4 bytes */
};
static_assert(sizeof(struct erofs_xattr_entry) == 4, "on disk");

#define EROFS_XATTR_USER 1
#define EROFS_XATTR_ACL_ACCESS 2
#define EROFS_XATTR_ACL_DEFAULT 3
#define EROFS_XATTR_TRUSTED 4
#define EROFS_XATTR_SECURITY 6

struct erofs_dirent {
	uint64_t nid;
	uint16_t name_offset;
	uint8_t type;
	uint8_t reserved;
} __attribute__((packed));
static_assert(sizeof(struct erofs_dirent) == 12, "on disk");

enum erofs_dirent_type {
	EROFS_REG = 1,
	EROFS_DIR = 2,
	EROFS_CHR = 3,
	EROFS_BLK = 4,
	EROFS_FIFO = 5,
	EROFS_SOCK = 6,
	EROFS_LNK = 7,
};
