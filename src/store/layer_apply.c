/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: a name is first cleaned as text ("a/./b/../c" is "a/c"), then
 * walked from the root of the tree in memory, with symbolic links replaced by
 * their targets as the kernel would do in a chroot. */
#include "layer_apply.h"

#include <errno.h>
#include <string.h>

#include "str.h"

#define WHITEOUT ".wh."
#define WHITEOUT_LEN 4u
#define WHITEOUT_META ".wh..wh." /* of aufs; only .opq means something here */
#define WHITEOUT_OPAQUE ".wh..wh..opq"
#define LINKS_MAX 40u /* symbolic links in one name, as the kernel's limit */
#define XATTRS_BYTES_MAX (128u * 1024)

struct apply {
	struct layer_tree tree;
	struct layer_sink *sink;
	struct tar_reader *reader;
	const struct layer_limits *limits;
	struct layer_stats stats;
	uint64_t bytes; /* with holes */
	/* The current name, cleaned; the last component is at leaf. */
	char path[TAR_PATH_MAX + 2];
	/* What remains to be walked. */
	char rest[2 * TAR_PATH_MAX + 4], next_rest[2 * TAR_PATH_MAX + 4];
};

struct place {
	uint32_t parent;
	const char *leaf; /* "" for the root itself */
	size_t leaf_len;
};

/* "/a/./b//../c" -> "a/c". -EINVAL if it leads out. */
static int clean_path(const char *in, char out[static TAR_PATH_MAX + 2], struct err *err)
{
	size_t len = 0;
	while (*in) {
		size_t n = strcspn(in, "/");
		if (n == 2 && !memcmp(in, "..", 2)) {
			if (!len)
				return err_set(err, ERR_INVALID, 0, "leads out of the layer");
			while (len && out[--len] != '/')
				;
		} else if (n && !(n == 1 && *in == '.')) {
			if (n > LAYER_NAME_MAX)
				return err_set(err, ERR_INVALID, -ENAMETOOLONG, "a name longer than %u bytes",
					       LAYER_NAME_MAX);
			if (len)
				out[len++] = '/';
			memcpy(out + len, in, n);
			len += n;
		}
		in += n;
		in += *in == '/';
	}
	out[len] = '\0';
	return 0;
}

static bool is_whiteout_name(const char *name, size_t len)
{
	return len >= WHITEOUT_LEN && !memcmp(name, WHITEOUT, WHITEOUT_LEN);
}

static int make_dir(struct apply *a, uint32_t parent, const char *name, size_t len, uint32_t *ret, struct err *err)
{
	uint32_t inode;
	if (is_whiteout_name(name, len))
		return err_set(err, ERR_INVALID, 0, "a directory named like a whiteout");
	int r = layer_tree_new_inode(&a->tree, S_IFDIR | 0755, &inode, err);
	return r < 0 ? r : layer_tree_add(&a->tree, parent, name, len, inode, ret, err);
}

/* Put the link's target before what remains. */
static int follow(struct apply *a, const char *target, const char *rest, unsigned *links, struct err *err)
{
	if (++*links > LINKS_MAX)
		return err_set(err, ERR_INVALID, -ELOOP, "too many symbolic links");
	size_t n = strlen(target), m = strlen(rest);
	if (n + m + 2 > sizeof(a->rest))
		return err_set(err, ERR_INVALID, -ENAMETOOLONG, "follow symbolic links");
	memcpy(a->next_rest, target, n);
	a->next_rest[n] = '/';
	memcpy(a->next_rest + n + 1, rest, m + 1);
	memcpy(a->rest, a->next_rest, n + m + 2);
	return 0;
}

/* Walk the directory @path; missing directories are made if @create. */
static int walk(struct apply *a, const char *path, size_t path_len, bool create, uint32_t *ret, struct err *err)
{
	struct layer_tree *t = &a->tree;
	uint32_t at = LAYER_ROOT;
	unsigned links = 0;
	char *p = a->rest;
	memcpy(p, path, path_len);
	p[path_len] = '\0';
	while (*p) {
		size_t n = strcspn(p, "/");
		char *name = p;
		p += n;
		p += *p == '/';
		if (!n || (n == 1 && *name == '.'))
			continue;
		if (n == 2 && !memcmp(name, "..", 2)) {
			/* The parent of the root is the root. */
			at = t->nodes[at].parent;
			continue;
		}
		if (n > LAYER_NAME_MAX)
			return err_set(err, ERR_INVALID, -ENAMETOOLONG, "follow symbolic links");
		uint32_t child = layer_tree_find(t, at, name, n);
		if (child != LAYER_NONE && layer_tree_inode_of(t, child)->is_whiteout && create) {
			/* Removed below, made again here: nothing shines through. */
			layer_tree_remove(t, child);
			int r = make_dir(a, at, name, n, &child, err);
			if (r < 0)
				return r;
			layer_tree_inode_of(t, child)->is_opaque = true;
		} else if (child == LAYER_NONE) {
			if (!create)
				return err_set(err, ERR_INVALID, 0, "no such directory in this layer");
			int r = make_dir(a, at, name, n, &child, err);
			if (r < 0)
				return r;
		}
		const struct layer_inode *inode = layer_tree_inode_of(t, child);
		if (S_ISLNK(inode->mode)) {
			if (inode->link[0] == '/')
				at = LAYER_ROOT;
			int r = follow(a, inode->link, p, &links, err);
			if (r < 0)
				return r;
			p = a->rest;
			continue;
		}
		if (!S_ISDIR(inode->mode))
			return err_set(err, ERR_INVALID, -ENOTDIR, "a parent is no directory");
		at = child;
	}
	*ret = at;
	return 0;
}

/* Find where the name in a->path belongs. */
static int locate(struct apply *a, bool create, struct place *ret, struct err *err)
{
	const char *slash = strrchr(a->path, '/');
	*ret = (struct place){ .parent = LAYER_ROOT, .leaf = slash ? slash + 1 : a->path };
	ret->leaf_len = strlen(ret->leaf);
	return slash ? walk(a, a->path, (size_t)(slash - a->path), create, &ret->parent, err) : 0;
}

static bool is_overlay_xattr(const char *name)
{
	const char *dot = strchr(name, '.');
	return dot && str_starts_with(dot, ".overlay.");
}

/* Namespaces the kernel has for them; others would fail to be set anywhere. */
static bool is_known_xattr(const char *name)
{
	return (str_starts_with(name, "user.") && name[5]) || (str_starts_with(name, "security.") && name[9]) ||
	       (str_starts_with(name, "trusted.") && name[8]) || str_eq(name, "system.posix_acl_access") ||
	       str_eq(name, "system.posix_acl_default");
}

static int set_xattrs(struct apply *a, uint32_t inode, const struct tar_entry *e, struct err *err)
{
	const struct layer_xattrs *kept = NULL;
	size_t n = 0, bytes = 0;
	if (!e->n_xattrs)
		return 0;
	CLEANUP_FREE struct tar_xattr *list = calloc(e->n_xattrs, sizeof(*list));
	if (!list)
		return err_set(err, ERR_SYSTEM, -ENOMEM, "read extended attributes");
	for (size_t i = 0; i < e->n_xattrs; i++) {
		const struct tar_xattr *x = &e->xattrs[i];
		if (is_overlay_xattr(x->name) || !is_known_xattr(x->name)) {
			a->stats.dropped++;
			continue;
		}
		bytes += strlen(x->name) + x->len + 8;
		list[n++] = *x;
	}
	if (bytes > XATTRS_BYTES_MAX)
		return err_set(err, ERR_INVALID, 0, "more than %u KiB of extended attributes",
			       XATTRS_BYTES_MAX / 1024);
	int r = n ? layer_tree_xattrs(&a->tree, list, n, &kept, err) : 0;
	a->tree.inodes[inode].xattrs = kept;
	return r;
}

static int set_attributes(struct apply *a, uint32_t index, const struct tar_entry *e, struct err *err)
{
	struct layer_inode *inode = &a->tree.inodes[index];
	inode->mode = (inode->mode & S_IFMT) | e->mode;
	inode->uid = e->uid;
	inode->gid = e->gid;
	inode->mtime_sec = e->mtime_sec;
	inode->mtime_nsec = e->mtime_nsec;
	inode->xattrs = NULL;
	return set_xattrs(a, index, e, err);
}

static int copy_data(struct apply *a, uint32_t inode, const struct tar_entry *e, struct err *err)
{
	uint32_t where;
	uint64_t offset;
	const uint8_t *data;
	size_t len;
	/* Holes cost nothing to send: count them before believing them. */
	if (e->size > a->limits->max_bytes || a->bytes > a->limits->max_bytes - e->size)
		return err_set(err, ERR_INVALID, 0, "more than %llu bytes of file contents",
			       (unsigned long long)a->limits->max_bytes);
	a->bytes += e->size;
	a->stats.content_bytes += e->size;
	int r = a->sink->begin(a->sink, e->size, &where, err);
	if (r < 0)
		return r;
	a->tree.inodes[inode].size = e->size;
	a->tree.inodes[inode].where = where;
	while ((r = tar_reader_data(a->reader, &offset, &data, &len, err)) > 0) {
		r = a->sink->write(a->sink, offset, data, len, err);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : a->sink->end(a->sink, err);
}

/* Let the name stand for @inode, whatever it stood for. */
static int place_inode(struct apply *a, const struct place *pl, uint32_t inode, struct err *err)
{
	struct layer_tree *t = &a->tree;
	uint32_t node = layer_tree_find(t, pl->parent, pl->leaf, pl->leaf_len);
	if (node != LAYER_NONE) {
		bool was_whiteout = layer_tree_inode_of(t, node)->is_whiteout;
		/* The whiteout hid what was below; as a directory this must go on. */
		if (was_whiteout && S_ISDIR(t->inodes[inode].mode))
			t->inodes[inode].is_opaque = true;
		if (!S_ISDIR(layer_tree_inode_of(t, node)->mode) && !S_ISDIR(t->inodes[inode].mode)) {
			t->nodes[node].inode = inode;
			return 0;
		}
		layer_tree_remove(t, node);
	}
	return layer_tree_add(t, pl->parent, pl->leaf, pl->leaf_len, inode, &node, err);
}

static int apply_hardlink(struct apply *a, const struct tar_entry *e, struct err *err)
{
	struct place from, to;
	char target[TAR_PATH_MAX + 2], name[TAR_PATH_MAX + 2];
	int r = clean_path(e->link, target, err);
	if (r < 0)
		return err_context(err, r, "hard link to %.200s", e->link);
	memcpy(name, a->path, sizeof(name));
	memcpy(a->path, target, sizeof(target));
	r = locate(a, false, &from, err);
	uint32_t node = r < 0 || !from.leaf_len ? LAYER_NONE :
						  layer_tree_find(&a->tree, from.parent, from.leaf, from.leaf_len);
	memcpy(a->path, name, sizeof(name));
	if (r < 0)
		return err_context(err, r, "hard link to %.200s", e->link);
	if (node == LAYER_NONE || layer_tree_inode_of(&a->tree, node)->is_whiteout)
		return err_set(err, ERR_INVALID, 0, "hard link to %.200s, which is not in this layer", e->link);
	uint32_t inode = a->tree.nodes[node].inode;
	if (S_ISDIR(a->tree.inodes[inode].mode))
		return err_set(err, ERR_INVALID, 0, "hard link to the directory %.200s", e->link);
	r = locate(a, true, &to, err);
	if (r < 0)
		return r;
	uint32_t old = layer_tree_find(&a->tree, to.parent, to.leaf, to.leaf_len);
	if (old == node)
		return err_set(err, ERR_INVALID, 0, "hard link to itself");
	return place_inode(a, &to, inode, err);
}

static int apply_whiteout(struct apply *a, const struct place *pl, struct err *err)
{
	struct layer_tree *t = &a->tree;
	const char *name = pl->leaf + WHITEOUT_LEN;
	size_t len = pl->leaf_len - WHITEOUT_LEN;
	uint32_t inode;
	if (!len || str_eq(name, ".") || str_eq(name, ".."))
		return err_set(err, ERR_INVALID, 0, "a whiteout of nothing that could be removed");
	uint32_t node = layer_tree_find(t, pl->parent, name, len);
	if (node != LAYER_NONE) {
		/* It means what is below this layer, not what this layer brings. */
		if (S_ISDIR(layer_tree_inode_of(t, node)->mode))
			layer_tree_inode_of(t, node)->is_opaque = true;
		return 0;
	}
	int r = layer_tree_new_inode(t, S_IFCHR, &inode, err);
	if (r < 0)
		return r;
	t->inodes[inode].is_whiteout = true;
	return layer_tree_add(t, pl->parent, name, len, inode, &node, err);
}

static uint32_t type_bits(enum tar_kind kind)
{
	static const uint32_t bits[] = {
		[TAR_REGULAR] = S_IFREG, [TAR_HARDLINK] = 0,          [TAR_SYMLINK] = S_IFLNK, [TAR_CHAR] = S_IFCHR,
		[TAR_BLOCKDEV] = S_IFBLK, [TAR_DIRECTORY] = S_IFDIR, [TAR_FIFO] = S_IFIFO,
	};
	return bits[kind];
}

static int apply_new(struct apply *a, const struct tar_entry *e, const struct place *pl, struct err *err)
{
	struct layer_tree *t = &a->tree;
	uint32_t index;
	if (e->kind == TAR_DIRECTORY) {
		uint32_t node = layer_tree_find(t, pl->parent, pl->leaf, pl->leaf_len);
		if (node != LAYER_NONE && S_ISDIR(layer_tree_inode_of(t, node)->mode))
			return set_attributes(a, t->nodes[node].inode, e, err);
	}
	int r = layer_tree_new_inode(t, type_bits(e->kind), &index, err);
	if (r >= 0)
		r = set_attributes(a, index, e, err);
	if (r < 0)
		return r;
	struct layer_inode *inode = &t->inodes[index];
	inode->dev_major = e->dev_major;
	inode->dev_minor = e->dev_minor;
	if (e->kind == TAR_SYMLINK) {
		inode->size = strlen(e->link);
		/* The kernel cannot even read longer ones. */
		r = layer_tree_text(t, e->link, inode->size, &inode->link, err);
	} else if (e->kind == TAR_REGULAR) {
		r = copy_data(a, index, e, err);
	}
	return r < 0 ? r : place_inode(a, pl, index, err);
}

/* 1: below or at a name of aufs' own housekeeping, which means nothing here. */
static int check_markers(const char *path, struct err *err)
{
	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");
		if (is_whiteout_name(p, n)) {
			bool is_leaf = !p[n];
			if (str_starts_with(p, WHITEOUT_META) && !(is_leaf && str_eq(p, WHITEOUT_OPAQUE)))
				return 1;
			if (!is_leaf)
				return err_set(err, ERR_INVALID, 0, "a directory named like a whiteout");
		}
		p += n;
		p += *p == '/';
	}
	return 0;
}

static int apply_entry(struct apply *a, const struct tar_entry *e, struct err *err)
{
	struct place pl;
	int r = clean_path(e->path, a->path, err);
	if (r >= 0)
		r = check_markers(a->path, err);
	if (r != 0)
		return r < 0 ? r : 0;
	if (!*a->path) {
		if (e->kind != TAR_DIRECTORY)
			return err_set(err, ERR_INVALID, 0, "the root of the layer is no directory");
		return set_attributes(a, a->tree.nodes[LAYER_ROOT].inode, e, err);
	}
	/* It would act as a whiteout. */
	if (e->kind == TAR_CHAR && !e->dev_major && !e->dev_minor) {
		a->stats.dropped++;
		return 0;
	}
	const char *leaf = strrchr(a->path, '/');
	bool is_whiteout = str_starts_with(leaf ? leaf + 1 : a->path, WHITEOUT);
	if (e->kind == TAR_HARDLINK && !is_whiteout)
		return apply_hardlink(a, e, err);
	r = locate(a, true, &pl, err);
	if (r < 0)
		return r;
	if (str_eq(pl.leaf, WHITEOUT_OPAQUE)) {
		layer_tree_inode_of(&a->tree, pl.parent)->is_opaque = true;
		return 0;
	}
	return is_whiteout ? apply_whiteout(a, &pl, err) : apply_new(a, e, &pl, err);
}

static int apply_all(struct apply *a, struct err *err)
{
	const struct tar_entry *e;
	int r;
	while ((r = tar_reader_next(a->reader, &e, err)) > 0) {
		if (++a->stats.entries > a->limits->max_entries)
			return err_set(err, ERR_INVALID, 0, "more than %u entries", a->limits->max_entries);
		r = apply_entry(a, e, err);
		if (r < 0)
			return err_context(err, r, "%.200s", e->path);
	}
	if (r >= 0)
		r = layer_tree_finish(&a->tree, err);
	if (r >= 0)
		r = a->sink->finish(a->sink, &a->tree, err);
	return r;
}

int layer_apply(struct tar_source source, struct layer_sink *sink, const struct layer_limits *limits,
		struct layer_stats *ret_stats, struct err *err)
{
	CLEANUP_FREE struct apply *a = calloc(1, sizeof(*a));
	CLEANUP_TAR_READER struct tar_reader *reader = tar_reader_new(source);
	if (!a || !reader)
		return err_set(err, ERR_SYSTEM, -ENOMEM, "read the layer");
	a->sink = sink;
	a->reader = reader;
	a->limits = limits;
	/* Directories made on the way count too, so leave them some room. */
	int r = layer_tree_init(&a->tree, limits->max_entries < UINT32_MAX / 4 ? limits->max_entries * 2 + 1024 :
										 UINT32_MAX / 2,
				err);
	if (r >= 0)
		r = apply_all(a, err);
	layer_tree_done(&a->tree);
	if (r >= 0)
		*ret_stats = a->stats;
	return r;
}
