/* SPDX-License-Identifier: Apache-2.0 */
#include "layer_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fd.h"
#include "str.h"

/* No name of a layer can begin like a whiteout. */
#define STAGING ".wh..hull"

struct layer_dir {
	struct layer_sink sink;
	int dir_fd, staging_fd, file_fd;
	uint64_t size;
	uint32_t n_files;
	struct layer_tree *tree;
};

struct short_name {
	char s[LAYER_NAME_MAX + 1];
};

static int failed(struct err *err, const char *what)
{
	return err_set(err, ERR_SYSTEM, -errno, "%s", what);
}

static struct short_name number_name(uint32_t n)
{
	struct short_name name;
	snprintf(name.s, sizeof(name.s), "%u", n);
	return name;
}

static struct short_name node_name(const struct layer_node *node)
{
	struct short_name name;
	memcpy(name.s, node->name, node->name_len);
	name.s[node->name_len] = '\0';
	return name;
}

static int sink_begin(struct layer_sink *sink, uint64_t size, uint32_t *ret_where, struct err *err)
{
	struct layer_dir *d = (struct layer_dir *)sink;
	if (d->staging_fd < 0) {
		if (mkdirat(d->dir_fd, STAGING, 0700) < 0)
			return failed(err, "make a staging directory");
		d->staging_fd = openat(d->dir_fd, STAGING, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (d->staging_fd < 0)
			return failed(err, "open the staging directory");
	}
	cleanup_fd(&d->file_fd);
	d->file_fd = openat(d->staging_fd, number_name(d->n_files).s, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (d->file_fd < 0)
		return failed(err, "make a file");
	d->size = size;
	*ret_where = d->n_files++;
	return 0;
}

static int sink_write(struct layer_sink *sink, uint64_t offset, const void *data, size_t len, struct err *err)
{
	struct layer_dir *d = (struct layer_dir *)sink;
	while (len) {
		ssize_t n = pwrite(d->file_fd, data, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(err, "write a file");
		data = (const char *)data + n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int sink_end(struct layer_sink *sink, struct err *err)
{
	struct layer_dir *d = (struct layer_dir *)sink;
	int r = ftruncate(d->file_fd, (off_t)d->size) < 0 ? failed(err, "write a file") : 0;
	cleanup_fd(&d->file_fd);
	return r;
}

/* The descriptor of the directory @node, opened name by name from the root. */
static int open_dir(struct layer_dir *d, uint32_t node)
{
	uint32_t depth = d->tree->nodes[node].depth;
	CLEANUP_FREE uint32_t *way = malloc(sizeof(*way) * (depth + 1));
	CLEANUP_FD int fd = openat(d->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!way || fd < 0)
		return way ? -errno : -ENOMEM;
	for (uint32_t n = node, i = depth; i > 0; i--, n = d->tree->nodes[n].parent)
		way[i - 1] = n;
	for (uint32_t i = 0; i < depth; i++) {
		int next = openat(fd, node_name(&d->tree->nodes[way[i]]).s,
				  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return -errno;
		cleanup_fd(&fd);
		fd = next;
	}
	return TAKE_FD(fd);
}

/* File systems without (some) attributes are what this fallback may land on. */
static bool is_harmless(int e)
{
	return e == EOPNOTSUPP || e == EPERM;
}

static int set_xattrs(int fd, const struct layer_inode *i, struct err *err)
{
	if (i->is_opaque && fsetxattr(fd, "user.overlay.opaque", "y", 1, 0) < 0)
		return failed(err, "mark an opaque directory");
	for (uint32_t k = 0; i->xattrs && k < i->xattrs->n; k++) {
		const struct tar_xattr *x = &i->xattrs->list[k];
		if (fsetxattr(fd, x->name, x->value, x->len, 0) < 0 && !is_harmless(errno))
			return err_set(err, ERR_SYSTEM, -errno, "set the attribute %.100s", x->name);
	}
	return 0;
}

/* Owner first: changing it drops setuid bits and capabilities. */
static int set_attributes(int parent, const char *name, const struct layer_inode *i, struct err *err)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
				     { .tv_sec = i->mtime_sec, .tv_nsec = (long)i->mtime_nsec } };
	if (fchownat(parent, name, i->uid, i->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(err, "set an owner");
	if (!S_ISLNK(i->mode)) {
		if (fchmodat(parent, name, i->mode & 07777, 0) < 0)
			return failed(err, "set a mode");
		/* Attributes of devices and pipes would mean opening them. */
		if ((S_ISREG(i->mode) || S_ISDIR(i->mode)) && (i->xattrs || i->is_opaque)) {
			CLEANUP_FD int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
			if (fd < 0)
				return failed(err, "open a file");
			int r = set_xattrs(fd, i, err);
			if (r < 0)
				return r;
		}
	}
	if (utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(err, "set a time");
	return 0;
}

static int make_inode(struct layer_dir *d, const struct layer_inode *i, int parent, const char *name, struct err *err)
{
	int r;
	if (S_ISDIR(i->mode))
		r = mkdirat(parent, name, 0700);
	else if (S_ISREG(i->mode))
		r = linkat(d->staging_fd, number_name(i->where).s, parent, name, 0);
	else if (S_ISLNK(i->mode))
		r = symlinkat(i->link, parent, name);
	else
		r = mknodat(parent, name, (i->mode & S_IFMT) | 0600, makedev(i->dev_major, i->dev_minor));
	return r < 0 ? failed(err, "make a file") : 0;
}

/* Everything in the directory @dir but the contents of its directories. The
 * first name of other inodes than files is remembered in nid for hard links. */
static int fill_dir(struct layer_dir *d, const struct layer_inode *dir, struct err *err)
{
	struct layer_tree *t = d->tree;
	CLEANUP_FD int fd = open_dir(d, dir->where);
	if (fd < 0)
		return err_set(err, ERR_SYSTEM, fd, "open a directory");
	for (uint32_t k = 0; k < dir->n_children; k++) {
		uint32_t n = t->sorted[dir->first_child + k];
		struct layer_inode *i = layer_tree_inode_of(t, n);
		struct short_name name = node_name(&t->nodes[n]);
		int r = 0;
		if (S_ISREG(i->mode) || !i->nid) {
			r = make_inode(d, i, fd, name.s, err);
		} else {
			const struct layer_node *first = &t->nodes[i->nid];
			CLEANUP_FD int from = open_dir(d, first->parent);
			if (from < 0 || linkat(from, node_name(first).s, fd, name.s, 0) < 0)
				r = failed(err, "make a hard link");
		}
		if (r >= 0 && !S_ISDIR(i->mode) && !i->nid)
			r = set_attributes(fd, name.s, i, err);
		i->nid = n;
		if (r < 0)
			return err_context(err, r, "%.100s", name.s);
	}
	return 0;
}

static int remove_staging(struct layer_dir *d, struct err *err)
{
	if (d->staging_fd < 0)
		return 0;
	for (uint32_t n = 0; n < d->n_files; n++)
		if (unlinkat(d->staging_fd, number_name(n).s, 0) < 0)
			return failed(err, "empty the staging directory");
	cleanup_fd(&d->staging_fd);
	return unlinkat(d->dir_fd, STAGING, AT_REMOVEDIR) < 0 ? failed(err, "remove the staging directory") : 0;
}

static int finish_dir_attributes(struct layer_dir *d, const struct layer_inode *i, struct err *err)
{
	CLEANUP_FD int fd = open_dir(d, i->where);
	if (fd < 0)
		return err_set(err, ERR_SYSTEM, fd, "open a directory");
	return set_attributes(fd, ".", i, err);
}

static int sink_finish(struct layer_sink *sink, struct layer_tree *tree, struct err *err)
{
	struct layer_dir *d = (struct layer_dir *)sink;
	int r = 0;
	d->tree = tree;
	for (uint32_t k = 0; r >= 0 && k < tree->n_order; k++) {
		const struct layer_inode *i = &tree->inodes[tree->order[k]];
		if (S_ISDIR(i->mode))
			r = fill_dir(d, i, err);
	}
	if (r >= 0)
		r = remove_staging(d, err);
	/* Filling a directory changes its time, so they come last, deepest first. */
	for (uint32_t k = tree->n_order; r >= 0 && k-- > 0;) {
		const struct layer_inode *i = &tree->inodes[tree->order[k]];
		if (S_ISDIR(i->mode))
			r = finish_dir_attributes(d, i, err);
	}
	return r;
}

static void sink_close(struct layer_sink *sink)
{
	struct layer_dir *d = (struct layer_dir *)sink;
	cleanup_fd(&d->file_fd);
	cleanup_fd(&d->staging_fd);
	free(d);
}

struct layer_sink *layer_dir_new(int dir_fd)
{
	struct layer_dir *d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	*d = (struct layer_dir){ .sink = { sink_begin, sink_write, sink_end, sink_finish, sink_close },
				 .dir_fd = dir_fd,
				 .staging_fd = -1,
				 .file_fd = -1 };
	return &d->sink;
}
