/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of one layer while it is being converted: names and inodes in
 * memory, file contents elsewhere (struct layer_sink). Nothing here touches a
 * file system, so no name can lead out of it. Bounded by a number of names and
 * of bytes. Nodes are names, inodes what they stand for; both are indices. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "err.h"
#include "tar_reader.h"

#define LAYER_NAME_MAX 255u
#define LAYER_ROOT 0u           /* node and inode of the root */
#define LAYER_NONE UINT32_MAX
#define LAYER_TEXT_MAX (256ull << 20) /* names, link targets, xattrs of a layer */

struct layer_xattrs {
	uint32_t n;
	struct tar_xattr list[];
};

struct layer_inode {
	uint64_t size;
	int64_t mtime_sec;
	uint32_t mtime_nsec;
	uint32_t mode; /* with the type */
	uint32_t uid, gid;
	/* Regular files: what the sink gave them; directories: their node. */
	uint32_t where;
	uint32_t dev_major, dev_minor;
	const char *link;                   /* symbolic links */
	const struct layer_xattrs *xattrs;  /* NULL: none */
	/* Filled when the tree is complete (layer_tree_finish). */
	uint32_t nlink;
	uint32_t n_children; /* of a directory: sorted[first_child ..] */
	uint32_t first_child;
	/* Writer's use: the EROFS node number. */
	uint32_t nid;
	bool is_whiteout;
	bool is_opaque;
};

struct layer_node {
	const char *name; /* not NUL-terminated */
	uint8_t name_len;
	bool is_dead;
	uint16_t depth;
	uint32_t parent;
	uint32_t inode;
	uint32_t last_child;   /* newest; the others hang on it */
	uint32_t next_sibling; /* older */
	uint32_t hash_next;
};

struct layer_chunk; /* memory for text */

struct layer_tree {
	struct layer_node *nodes;
	struct layer_inode *inodes;
	uint32_t n_nodes, cap_nodes, n_inodes, cap_inodes, max_nodes;
	uint32_t *buckets;
	uint32_t n_buckets; /* a power of two */
	uint64_t seed;
	struct layer_chunk *chunks;
	uint64_t text_bytes;
	/* layer_tree_finish(): live children of each directory in byte order, and
	 * the live inodes, the root first, brothers together. */
	uint32_t *sorted;
	uint32_t *order;
	uint32_t n_order;
};

/* A root directory, 0755 root:root. @max_nodes bounds the names made in all. */
int layer_tree_init(struct layer_tree *t, uint32_t max_nodes, struct err *err) MUST_CHECK;
void layer_tree_done(struct layer_tree *t);
#define CLEANUP_LAYER_TREE CLEANUP(layer_tree_done)

/* LAYER_NONE if there is no such child. */
uint32_t layer_tree_find(const struct layer_tree *t, uint32_t dir, const char *name, size_t len);
/* A new name for @inode in @dir; the caller made sure that there is none. */
int layer_tree_add(struct layer_tree *t, uint32_t dir, const char *name, size_t len, uint32_t inode, uint32_t *ret,
		   struct err *err) MUST_CHECK;
/* Forget the name, with everything below it. */
void layer_tree_remove(struct layer_tree *t, uint32_t node);
int layer_tree_new_inode(struct layer_tree *t, uint32_t mode, uint32_t *ret, struct err *err) MUST_CHECK;
/* A copy that lives as long as the tree. */
int layer_tree_text(struct layer_tree *t, const void *data, size_t len, const char **ret, struct err *err) MUST_CHECK;
int layer_tree_xattrs(struct layer_tree *t, const struct tar_xattr *list, size_t n, const struct layer_xattrs **ret,
		      struct err *err) MUST_CHECK;

static inline struct layer_inode *layer_tree_inode_of(const struct layer_tree *t, uint32_t node)
{
	return &t->inodes[t->nodes[node].inode];
}

/* Sort and number what is reachable from the root; no changes after this. */
int layer_tree_finish(struct layer_tree *t, struct err *err) MUST_CHECK;
