/* SPDX-License-Identifier: Apache-2.0 */
#include "layer_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#define CHUNK_BYTES (256u * 1024)
#define DEPTH_MAX 4096u

struct layer_chunk {
	struct layer_chunk *next;
	size_t used, size;
	max_align_t data[];
};

static int no_memory(struct err *err)
{
	return err_set(err, ERR_SYSTEM, -ENOMEM, "hold the layer's tree");
}

/* Names come from strangers: with a seed they cannot know, they cannot pile
 * them up in one bucket. It changes nothing that is written. */
static uint64_t seed(void)
{
	uint64_t v = 0x9e3779b97f4a7c15u;
	const void *random = (const void *)getauxval(AT_RANDOM);
	if (random)
		memcpy(&v, random, sizeof(v));
	return v | 1;
}

static uint32_t hash(const struct layer_tree *t, uint32_t dir, const char *name, size_t len)
{
	uint64_t h = t->seed ^ (uint64_t)dir * 0xd6e8feb86659fd93u;
	for (; len >= 8; name += 8, len -= 8) {
		uint64_t w;
		memcpy(&w, name, 8);
		h = (h ^ w) * t->seed;
		h ^= h >> 29;
	}
	uint64_t w = len;
	for (size_t i = 0; i < len; i++)
		w = w << 8 | (uint8_t)name[i];
	h = (h ^ w) * 0xbf58476d1ce4e5b9u;
	h ^= h >> 32;
	h *= t->seed;
	return (uint32_t)(h >> 32);
}

static void *alloc_text(struct layer_tree *t, size_t len)
{
	size_t need = (len + 7) & ~(size_t)7;
	if (t->text_bytes + need > LAYER_TEXT_MAX)
		return NULL;
	if (!t->chunks || t->chunks->size - t->chunks->used < need) {
		size_t size = need > CHUNK_BYTES / 4 ? need : CHUNK_BYTES;
		struct layer_chunk *c = malloc(sizeof(*c) + size);
		if (!c)
			return NULL;
		*c = (struct layer_chunk){ .next = t->chunks, .size = size };
		t->chunks = c;
	}
	void *p = (char *)t->chunks->data + t->chunks->used;
	t->chunks->used += need;
	t->text_bytes += need;
	return p;
}

static int text_failed(const struct layer_tree *t, struct err *err)
{
	if (t->text_bytes > LAYER_TEXT_MAX / 2)
		return err_set(err, ERR_INVALID, 0, "more than %llu MiB of names and extended attributes",
			       LAYER_TEXT_MAX >> 20);
	return no_memory(err);
}

int layer_tree_text(struct layer_tree *t, const void *data, size_t len, const char **ret, struct err *err)
{
	char *p = alloc_text(t, len + 1);
	if (!p)
		return text_failed(t, err);
	memcpy(p, data, len);
	p[len] = '\0';
	*ret = p;
	return 0;
}

int layer_tree_xattrs(struct layer_tree *t, const struct tar_xattr *list, size_t n, const struct layer_xattrs **ret,
		      struct err *err)
{
	struct layer_xattrs *x = alloc_text(t, sizeof(*x) + n * sizeof(x->list[0]));
	if (!x)
		return text_failed(t, err);
	x->n = (uint32_t)n;
	for (size_t i = 0; i < n; i++) {
		const char *value;
		int r = layer_tree_text(t, list[i].name, strlen(list[i].name), &x->list[i].name, err);
		if (r >= 0)
			r = layer_tree_text(t, list[i].value, list[i].len, &value, err);
		if (r < 0)
			return r;
		x->list[i].value = (const uint8_t *)value;
		x->list[i].len = list[i].len;
	}
	*ret = x;
	return 0;
}

int layer_tree_new_inode(struct layer_tree *t, uint32_t mode, uint32_t *ret, struct err *err)
{
	if (t->n_inodes == t->cap_inodes) {
		uint32_t cap = t->cap_inodes ? t->cap_inodes * 2 : 1024;
		void *p = realloc(t->inodes, (size_t)cap * sizeof(*t->inodes));
		if (!p)
			return no_memory(err);
		t->inodes = p;
		t->cap_inodes = cap;
	}
	t->inodes[t->n_inodes] = (struct layer_inode){ .mode = mode };
	*ret = t->n_inodes++;
	return 0;
}

static int grow_nodes(struct layer_tree *t, struct err *err)
{
	if (t->n_nodes >= t->max_nodes)
		return err_set(err, ERR_INVALID, 0, "more than %u entries", t->max_nodes);
	if (t->n_nodes < t->cap_nodes)
		return 0;
	uint32_t cap = t->cap_nodes ? t->cap_nodes * 2 : 1024;
	void *p = realloc(t->nodes, (size_t)cap * sizeof(*t->nodes));
	if (!p)
		return no_memory(err);
	t->nodes = p;
	t->cap_nodes = cap;
	/* As many buckets as nodes. */
	uint32_t *b = malloc((size_t)cap * sizeof(*b));
	if (!b)
		return no_memory(err);
	free(t->buckets);
	t->buckets = b;
	t->n_buckets = cap;
	memset(b, 0xff, (size_t)cap * sizeof(*b));
	for (uint32_t i = 1; i < t->n_nodes; i++) {
		struct layer_node *n = &t->nodes[i];
		if (n->is_dead)
			continue;
		uint32_t h = hash(t, n->parent, n->name, n->name_len) & (cap - 1);
		n->hash_next = b[h];
		b[h] = i;
	}
	return 0;
}

int layer_tree_init(struct layer_tree *t, uint32_t max_nodes, struct err *err)
{
	*t = (struct layer_tree){ .max_nodes = max_nodes, .seed = seed() };
	uint32_t inode;
	int r = grow_nodes(t, err);
	if (r >= 0)
		r = layer_tree_new_inode(t, S_IFDIR | 0755, &inode, err);
	if (r < 0) {
		layer_tree_done(t);
		return r;
	}
	t->nodes[t->n_nodes++] = (struct layer_node){ .name = "",
						      .parent = LAYER_ROOT,
						      .inode = inode,
						      .last_child = LAYER_NONE,
						      .next_sibling = LAYER_NONE,
						      .hash_next = LAYER_NONE };
	return 0;
}

void layer_tree_done(struct layer_tree *t)
{
	while (t->chunks) {
		struct layer_chunk *next = t->chunks->next;
		free(t->chunks);
		t->chunks = next;
	}
	free(t->nodes);
	free(t->inodes);
	free(t->buckets);
	free(t->sorted);
	free(t->order);
	*t = (struct layer_tree){ 0 };
}

uint32_t layer_tree_find(const struct layer_tree *t, uint32_t dir, const char *name, size_t len)
{
	uint32_t i = t->buckets[hash(t, dir, name, len) & (t->n_buckets - 1)];
	while (i != LAYER_NONE) {
		const struct layer_node *n = &t->nodes[i];
		if (n->parent == dir && n->name_len == len && !memcmp(n->name, name, len))
			return i;
		i = n->hash_next;
	}
	return LAYER_NONE;
}

int layer_tree_add(struct layer_tree *t, uint32_t dir, const char *name, size_t len, uint32_t inode, uint32_t *ret,
		   struct err *err)
{
	const char *copy;
	if (!len || len > LAYER_NAME_MAX)
		return err_set(err, ERR_INVALID, 0, "a name longer than %u bytes", LAYER_NAME_MAX);
	if (t->nodes[dir].depth >= DEPTH_MAX)
		return err_set(err, ERR_INVALID, 0, "more than %u directories deep", DEPTH_MAX);
	int r = grow_nodes(t, err);
	if (r >= 0)
		r = layer_tree_text(t, name, len, &copy, err);
	if (r < 0)
		return r;
	uint32_t i = t->n_nodes++, h = hash(t, dir, name, len) & (t->n_buckets - 1);
	t->nodes[i] = (struct layer_node){ .name = copy,
					   .name_len = (uint8_t)len,
					   .depth = (uint16_t)(t->nodes[dir].depth + 1),
					   .parent = dir,
					   .inode = inode,
					   .last_child = LAYER_NONE,
					   .next_sibling = t->nodes[dir].last_child,
					   .hash_next = t->buckets[h] };
	t->buckets[h] = i;
	t->nodes[dir].last_child = i;
	if (S_ISDIR(t->inodes[inode].mode))
		t->inodes[inode].where = i;
	*ret = i;
	return 0;
}

void layer_tree_remove(struct layer_tree *t, uint32_t node)
{
	struct layer_node *n = &t->nodes[node];
	uint32_t *slot = &t->buckets[hash(t, n->parent, n->name, n->name_len) & (t->n_buckets - 1)];
	while (*slot != node)
		slot = &t->nodes[*slot].hash_next;
	*slot = n->hash_next;
	/* What is below can no longer be reached; the sibling list is cleaned by
	 * layer_tree_finish(). */
	n->is_dead = true;
}

static int compare_names(const void *a, const void *b, void *tree)
{
	const struct layer_tree *t = tree;
	const struct layer_node *x = &t->nodes[*(const uint32_t *)a], *y = &t->nodes[*(const uint32_t *)b];
	size_t n = x->name_len < y->name_len ? x->name_len : y->name_len;
	int r = memcmp(x->name, y->name, n);
	return r ? r : (int)x->name_len - (int)y->name_len;
}

int layer_tree_finish(struct layer_tree *t, struct err *err)
{
	uint32_t n_sorted = 0;
	t->sorted = malloc((size_t)t->n_nodes * sizeof(*t->sorted));
	t->order = malloc((size_t)t->n_inodes * sizeof(*t->order));
	if (!t->sorted || !t->order)
		return no_memory(err);
	t->n_order = 0;
	t->order[t->n_order++] = t->nodes[LAYER_ROOT].inode;
	/* Breadth first, without recursion: the depth is the stranger's choice. */
	for (uint32_t at = 0; at < t->n_order; at++) {
		struct layer_inode *dir = &t->inodes[t->order[at]];
		if (!S_ISDIR(dir->mode))
			continue;
		dir->nlink += 2;
		dir->first_child = n_sorted;
		for (uint32_t i = t->nodes[dir->where].last_child; i != LAYER_NONE; i = t->nodes[i].next_sibling)
			if (!t->nodes[i].is_dead)
				t->sorted[n_sorted++] = i;
		dir->n_children = n_sorted - dir->first_child;
		qsort_r(t->sorted + dir->first_child, dir->n_children, sizeof(*t->sorted), compare_names, t);
		for (uint32_t i = dir->first_child; i < n_sorted; i++) {
			struct layer_inode *child = layer_tree_inode_of(t, t->sorted[i]);
			if (!S_ISDIR(child->mode))
				child->nlink++;
			else
				dir->nlink++;
			if (S_ISDIR(child->mode) || child->nlink == 1)
				t->order[t->n_order++] = t->nodes[t->sorted[i]].inode;
		}
	}
	return 0;
}
