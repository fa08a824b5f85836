/* SPDX-License-Identifier: Apache-2.0 */
/* How it works. Block 0 holds the superblock; contents follow from block 1 as
 * they arrive. When the tree is complete two passes over its inodes are made in
 * breadth-first order, so that the inodes of one directory lie together:
 * place_inodes() gives each its node number and each directory the blocks its
 * entries need; then directory blocks and the inode area are written. The inode
 * area starts at a block and node numbers count 32-byte slots from there; slot
 * 0 stays empty because inode number 0 has a special meaning to readers of
 * directories. */
#include "erofs_writer.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "crc32c.h"
#include "erofs_format.h"
#include "out_file.h"
#include "str.h"

struct erofs_writer {
	struct layer_sink sink;
	struct out_file out;
	int fd;
	uint64_t next_block; /* first block nobody has */
	uint64_t file_start; /* byte position of the file being written */
	uint64_t file_size;
	uint64_t bytes;
	uint32_t meta_block;
	struct layer_tree *tree;
	/* One inode with its xattrs and inline data, before it is written. */
	uint8_t *scratch;
};

/* The largest inode: header, 256 KiB of xattrs, a block of inline data. */
#define SCRATCH_BYTES (64u + 65536u * 4 + EROFS_BLOCK)

static uint64_t blocks_of(uint64_t bytes)
{
	return bytes / EROFS_BLOCK + (bytes % EROFS_BLOCK != 0);
}

static int write_failed(struct err *err, int r)
{
	return err_set(err, ERR_SYSTEM, r, "write the layer image");
}

/* ---- contents ---- */

static int take_blocks(struct erofs_writer *w, uint64_t n, uint32_t *ret, struct err *err)
{
	/* Block numbers have 32 bits; the last one means "none". */
	if (n > UINT32_MAX - 1 - w->next_block)
		return err_set(err, ERR_INVALID, 0, "a layer of more than 16 TiB");
	*ret = (uint32_t)w->next_block;
	w->next_block += n;
	return 0;
}

static int sink_begin(struct layer_sink *sink, uint64_t size, uint32_t *ret_where, struct err *err)
{
	struct erofs_writer *w = (struct erofs_writer *)sink;
	*ret_where = 0;
	w->file_size = size;
	int r = take_blocks(w, blocks_of(size), ret_where, err);
	w->file_start = (uint64_t)*ret_where * EROFS_BLOCK;
	return r;
}

static int sink_write(struct layer_sink *sink, uint64_t offset, const void *data, size_t len, struct err *err)
{
	struct erofs_writer *w = (struct erofs_writer *)sink;
	int r = out_file_write(&w->out, w->file_start + offset, data, len);
	return r < 0 ? write_failed(err, r) : 0;
}

static int sink_end(struct layer_sink *sink, struct err *err)
{
	return 0;
}

/* ---- sizes ---- */

static bool is_compact(const struct layer_inode *i)
{
	return !i->mtime_sec && !i->mtime_nsec && i->uid <= UINT16_MAX && i->gid <= UINT16_MAX &&
	       i->nlink <= UINT16_MAX && i->size <= UINT32_MAX;
}

static size_t header_bytes(const struct layer_inode *i)
{
	return is_compact(i) ? sizeof(struct erofs_inode_compact) : sizeof(struct erofs_inode_extended);
}

struct xattr_prefix {
	const char *prefix;
	uint8_t index;
};

static const struct xattr_prefix *prefix_of(const char *name)
{
	static const struct xattr_prefix list[] = {
		{ "user.", EROFS_XATTR_USER },
		{ "system.posix_acl_access", EROFS_XATTR_ACL_ACCESS },
		{ "system.posix_acl_default", EROFS_XATTR_ACL_DEFAULT },
		{ "trusted.", EROFS_XATTR_TRUSTED },
		{ "security.", EROFS_XATTR_SECURITY },
	};
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		if (str_starts_with(name, list[i].prefix))
			return &list[i];
	return NULL;
}

static size_t xattr_entry_bytes(const struct tar_xattr *x)
{
	const struct xattr_prefix *p = prefix_of(x->name);
	size_t n = sizeof(struct erofs_xattr_entry) + strlen(x->name) - strlen(p->prefix) + x->len;
	return (n + 3) & ~(size_t)3;
}

static const struct tar_xattr opaque_xattr = { "user.overlay.opaque", (const uint8_t *)"y", 1 };

static size_t xattr_bytes(const struct layer_inode *i)
{
	size_t n = i->is_opaque ? xattr_entry_bytes(&opaque_xattr) : 0;
	for (uint32_t k = 0; i->xattrs && k < i->xattrs->n; k++)
		n += xattr_entry_bytes(&i->xattrs->list[k]);
	return n ? n + sizeof(struct erofs_xattr_header) : 0;
}

/* The entries of a directory in order, "." and ".." among them. */
struct dir_walk {
	const struct layer_tree *tree;
	const struct layer_inode *dir;
	uint32_t next;
	unsigned dots; /* how many of the two were given */
};

struct dir_item {
	const char *name;
	size_t len;
	uint32_t inode;
};

static bool dir_next(struct dir_walk *w, struct dir_item *ret)
{
	static const char dots[] = "..";
	const struct layer_node *n = NULL;
	if (w->next < w->dir->n_children)
		n = &w->tree->nodes[w->tree->sorted[w->dir->first_child + w->next]];
	size_t dot_len = w->dots + 1;
	if (w->dots < 2) {
		size_t min = n && n->name_len < dot_len ? n->name_len : dot_len;
		int c = n ? memcmp(n->name, dots, min) : 1;
		if (c == 0)
			c = n->name_len < dot_len ? -1 : 1;
		if (c > 0) {
			const struct layer_node *self = &w->tree->nodes[w->dir->where];
			uint32_t inode = w->dots ? w->tree->nodes[self->parent].inode : self->inode;
			*ret = (struct dir_item){ dots, dot_len, inode };
			w->dots++;
			return true;
		}
	}
	if (!n)
		return false;
	*ret = (struct dir_item){ n->name, n->name_len, n->inode };
	w->next++;
	return true;
}

static uint64_t dir_bytes(const struct layer_tree *t, const struct layer_inode *dir)
{
	struct dir_walk walk = { .tree = t, .dir = dir };
	struct dir_item item;
	uint64_t full = 0;
	size_t used = 0;
	while (dir_next(&walk, &item)) {
		size_t need = sizeof(struct erofs_dirent) + item.len;
		if (used + need > EROFS_BLOCK) {
			full++;
			used = 0;
		}
		used += need;
	}
	return full * EROFS_BLOCK + used;
}

/* How many bytes at the end of a directory or link lie behind the inode: the
 * last partial block, if inode and tail fit into one block. */
static size_t inline_bytes(const struct layer_inode *i, size_t before)
{
	size_t tail = (size_t)(i->size % EROFS_BLOCK);
	if (!S_ISDIR(i->mode) && !S_ISLNK(i->mode))
		return 0;
	return before + tail <= EROFS_BLOCK ? tail : 0;
}

/* Node numbers for all; blocks for directories and long links. */
static int place_inodes(struct erofs_writer *w, uint64_t *ret_meta_bytes, struct err *err)
{
	struct layer_tree *t = w->tree;
	uint64_t at = EROFS_SLOT;
	for (uint32_t k = 0; k < t->n_order; k++) {
		struct layer_inode *i = &t->inodes[t->order[k]];
		if (S_ISDIR(i->mode))
			i->size = dir_bytes(t, i);
		size_t before = header_bytes(i) + xattr_bytes(i), tail = inline_bytes(i, before);
		/* Nothing may cross a block; what is larger starts at one. */
		size_t used = (size_t)(at % EROFS_BLOCK);
		if (used && used + before + tail > EROFS_BLOCK)
			at += EROFS_BLOCK - used;
		if (at / EROFS_SLOT > UINT32_MAX)
			return err_set(err, ERR_INVALID, 0, "too much metadata in one layer");
		i->nid = (uint32_t)(at / EROFS_SLOT);
		at += (before + tail + EROFS_SLOT - 1) / EROFS_SLOT * EROFS_SLOT;
	}
	*ret_meta_bytes = at;
	return 0;
}

/* ---- directories ---- */

static uint8_t dirent_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return EROFS_REG;
	case S_IFDIR:
		return EROFS_DIR;
	case S_IFCHR:
		return EROFS_CHR;
	case S_IFBLK:
		return EROFS_BLK;
	case S_IFIFO:
		return EROFS_FIFO;
	default:
		return EROFS_LNK;
	}
}

/* The next block of a directory into @block; returns the bytes used, 0 at the
 * end. All entries come first, then all names. */
static size_t dir_block(struct dir_walk *walk, uint8_t block[EROFS_BLOCK])
{
	struct dir_walk probe = *walk;
	struct dir_item item;
	size_t used = 0, n = 0;
	while (dir_next(&probe, &item)) {
		if (used + sizeof(struct erofs_dirent) + item.len > EROFS_BLOCK)
			break;
		used += sizeof(struct erofs_dirent) + item.len;
		n++;
	}
	memset(block, 0, EROFS_BLOCK);
	size_t name_at = n * sizeof(struct erofs_dirent);
	for (size_t k = 0; k < n && dir_next(walk, &item); k++) {
		const struct layer_inode *inode = &walk->tree->inodes[item.inode];
		struct erofs_dirent d = { .nid = htole64(inode->nid),
					  .name_offset = htole16((uint16_t)name_at),
					  .type = dirent_type(inode->mode) };
		memcpy(block + k * sizeof(d), &d, sizeof(d));
		memcpy(block + name_at, item.name, item.len);
		name_at += item.len;
	}
	return used;
}

static int write_block(struct erofs_writer *w, uint32_t number, const void *data, struct err *err)
{
	int r = out_file_write(&w->out, (uint64_t)number * EROFS_BLOCK, data, EROFS_BLOCK);
	return r < 0 ? write_failed(err, r) : 0;
}

/* Blocks of directories and long links that are not inline. layer_inode.where
 * of a directory stays its node, so the first block is found again by counting:
 * this runs in the same order as write_inodes(). */
static int write_dir_blocks(struct erofs_writer *w, struct err *err)
{
	struct layer_tree *t = w->tree;
	uint8_t block[EROFS_BLOCK];
	for (uint32_t k = 0; k < t->n_order; k++) {
		struct layer_inode *i = &t->inodes[t->order[k]];
		if (!S_ISDIR(i->mode) && !S_ISLNK(i->mode))
			continue;
		uint32_t first;
		size_t tail = inline_bytes(i, header_bytes(i) + xattr_bytes(i));
		uint64_t n = blocks_of(i->size - tail);
		int r = take_blocks(w, n, &first, err);
		struct dir_walk walk = { .tree = t, .dir = i };
		for (uint32_t b = 0; r >= 0 && b < n; b++) {
			memset(block, 0, sizeof(block));
			if (S_ISDIR(i->mode))
				dir_block(&walk, block);
			else
				memcpy(block, i->link, i->size);
			r = write_block(w, first + b, block, err);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- inodes ---- */

static uint32_t encode_device(const struct layer_inode *i)
{
	return (i->dev_minor & 0xff) | i->dev_major << 8 | (i->dev_minor & ~0xffu) << 12;
}

static uint8_t *put_xattr(uint8_t *p, const struct tar_xattr *x)
{
	const struct xattr_prefix *prefix = prefix_of(x->name);
	const char *name = x->name + strlen(prefix->prefix);
	size_t name_len = strlen(name), bytes = xattr_entry_bytes(x);
	struct erofs_xattr_entry e = { .name_len = (uint8_t)name_len,
				       .name_index = prefix->index,
				       .value_size = htole16((uint16_t)x->len) };
	memset(p, 0, bytes);
	memcpy(p, &e, sizeof(e));
	memcpy(p + sizeof(e), name, name_len);
	memcpy(p + sizeof(e) + name_len, x->value, x->len);
	return p + bytes;
}

static uint8_t *put_xattrs(uint8_t *p, const struct layer_inode *i)
{
	struct erofs_xattr_header h = { 0 };
	memcpy(p, &h, sizeof(h));
	p += sizeof(h);
	if (i->is_opaque)
		p = put_xattr(p, &opaque_xattr);
	for (uint32_t k = 0; i->xattrs && k < i->xattrs->n; k++)
		p = put_xattr(p, &i->xattrs->list[k]);
	return p;
}

static void put_header(uint8_t *p, const struct layer_inode *i, uint32_t ino, uint32_t where, bool is_inline)
{
	size_t xattrs = xattr_bytes(i);
	uint16_t layout = is_inline ? EROFS_LAYOUT_INLINE : EROFS_LAYOUT_PLAIN;
	uint16_t count = (uint16_t)(xattrs ? 1 + (xattrs - sizeof(struct erofs_xattr_header)) / 4 : 0);
	if (is_compact(i)) {
		struct erofs_inode_compact c = {
			.format = htole16(EROFS_FORMAT(0u, layout)),
			.xattr_count = htole16(count),
			.mode = htole16((uint16_t)i->mode),
			.nlink = htole16((uint16_t)i->nlink),
			.size = htole32((uint32_t)i->size),
			.where = htole32(where),
			.ino = htole32(ino),
			.uid = htole16((uint16_t)i->uid),
			.gid = htole16((uint16_t)i->gid),
		};
		memcpy(p, &c, sizeof(c));
		return;
	}
	struct erofs_inode_extended e = {
		.format = htole16(EROFS_FORMAT(EROFS_FORMAT_EXTENDED, layout)),
		.xattr_count = htole16(count),
		.mode = htole16((uint16_t)i->mode),
		.size = htole64(i->size),
		.where = htole32(where),
		.ino = htole32(ino),
		.uid = htole32(i->uid),
		.gid = htole32(i->gid),
		.mtime = htole64((uint64_t)i->mtime_sec),
		.mtime_nsec = htole32(i->mtime_nsec),
		.nlink = htole32(i->nlink),
	};
	memcpy(p, &e, sizeof(e));
}

/* The last, partial block of a directory. */
static void put_dir_tail(struct erofs_writer *w, const struct layer_inode *i, uint8_t *p, size_t tail)
{
	uint8_t block[EROFS_BLOCK];
	struct dir_walk walk = { .tree = w->tree, .dir = i };
	for (uint64_t n = i->size / EROFS_BLOCK + 1; n; n--)
		dir_block(&walk, block);
	memcpy(p, block, tail);
}

static int write_inodes(struct erofs_writer *w, uint32_t first_dir_block, struct err *err)
{
	struct layer_tree *t = w->tree;
	uint64_t next_dir_block = first_dir_block;
	for (uint32_t k = 0; k < t->n_order; k++) {
		const struct layer_inode *i = &t->inodes[t->order[k]];
		size_t header = header_bytes(i), xattrs = xattr_bytes(i);
		size_t tail = inline_bytes(i, header + xattrs);
		uint32_t where = S_ISREG(i->mode) && i->size ? i->where : 0;
		if (S_ISDIR(i->mode) || S_ISLNK(i->mode)) {
			uint64_t n = blocks_of(i->size - tail);
			where = n ? (uint32_t)next_dir_block : 0;
			next_dir_block += n;
		} else if (S_ISCHR(i->mode) || S_ISBLK(i->mode)) {
			where = encode_device(i);
		}
		put_header(w->scratch, i, k + 1, where, tail != 0);
		uint8_t *p = w->scratch + header;
		if (xattrs)
			p = put_xattrs(p, i);
		if (tail && S_ISDIR(i->mode))
			put_dir_tail(w, i, p, tail);
		else if (tail)
			memcpy(p, i->link, tail);
		uint64_t at = (uint64_t)w->meta_block * EROFS_BLOCK + (uint64_t)i->nid * EROFS_SLOT;
		int r = out_file_write(&w->out, at, w->scratch, header + xattrs + tail);
		if (r < 0)
			return write_failed(err, r);
	}
	return 0;
}

static int write_super(struct erofs_writer *w, struct err *err)
{
	uint8_t block[EROFS_BLOCK] = { 0 };
	struct erofs_super *sb = (struct erofs_super *)(block + EROFS_SUPER_OFFSET);
	const struct layer_tree *t = w->tree;
	*sb = (struct erofs_super){
		.magic = htole32(EROFS_MAGIC),
		.feature_compat = htole32(EROFS_COMPAT_SB_CHECKSUM | EROFS_COMPAT_MTIME),
		.block_bits = EROFS_BLOCK_BITS,
		.root_nid = htole16((uint16_t)t->inodes[t->order[0]].nid),
		.inodes = htole64(t->n_order),
		.blocks = htole32((uint32_t)(w->bytes / EROFS_BLOCK)),
		.meta_blkaddr = htole32(w->meta_block),
	};
	sb->checksum = htole32(
		crc32c_update(UINT32_MAX, block + EROFS_SUPER_OFFSET, EROFS_BLOCK - EROFS_SUPER_OFFSET));
	ssize_t n = pwrite(w->fd, block, sizeof(block), 0);
	if (n != (ssize_t)sizeof(block))
		return write_failed(err, n < 0 ? -errno : -EIO);
	return 0;
}

static int sink_finish(struct layer_sink *sink, struct layer_tree *tree, struct err *err)
{
	struct erofs_writer *w = (struct erofs_writer *)sink;
	uint64_t meta_bytes = 0;
	w->tree = tree;
	uint32_t first_dir_block = (uint32_t)w->next_block;
	int r = place_inodes(w, &meta_bytes, err);
	if (r >= 0)
		r = write_dir_blocks(w, err);
	if (r >= 0)
		r = take_blocks(w, blocks_of(meta_bytes), &w->meta_block, err);
	if (r >= 0)
		r = write_inodes(w, first_dir_block, err);
	if (r < 0)
		return r;
	w->bytes = w->next_block * EROFS_BLOCK;
	r = out_file_flush(&w->out);
	if (r >= 0 && ftruncate(w->fd, (off_t)w->bytes) < 0)
		r = -errno;
	return r < 0 ? write_failed(err, r) : write_super(w, err);
}

static void sink_close(struct layer_sink *sink)
{
	struct erofs_writer *w = (struct erofs_writer *)sink;
	out_file_done(&w->out);
	free(w->scratch);
	free(w);
}

struct erofs_writer *erofs_writer_new(int fd)
{
	struct erofs_writer *w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->sink = (struct layer_sink){ sink_begin, sink_write, sink_end, sink_finish, sink_close };
	w->fd = fd;
	w->next_block = 1;
	w->scratch = malloc(SCRATCH_BYTES);
	if (!w->scratch || out_file_init(&w->out, fd) < 0) {
		sink_close(&w->sink);
		return NULL;
	}
	w->out.start = EROFS_BLOCK;
	return w;
}

struct layer_sink *erofs_writer_sink(struct erofs_writer *w)
{
	return &w->sink;
}

uint64_t erofs_writer_bytes(const struct erofs_writer *w)
{
	return w->bytes;
}
