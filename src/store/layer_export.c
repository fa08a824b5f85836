/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: a stack of open directories, each with its sorted names, so
 * that neither depth nor renames under our feet can lead elsewhere. */
#include "layer_export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "buf.h"
#include "dir_names.h"
#include "str.h"
#include "tar_writer.h"

#define DEPTH_MAX 1024u
#define XATTR_NAMES_MAX 65536u
#define XATTR_BYTES_MAX (512u * 1024)
#define XATTRS_MAX 256u

struct level {
	int fd;
	struct strv names;
	size_t next;
	size_t path_len; /* of the export's path at this level */
};

/* A file with several names that was seen before. */
struct seen {
	dev_t dev;
	ino_t ino;
	char *path;
};

struct export {
	enum layer_export_mode mode;
	const struct strv *mount_points;
	struct tar_writer tar;
	struct level *levels;
	size_t depth;
	struct buf path;
	struct seen *seen;
	size_t n_seen, cap_seen; /* cap is a power of two */
	/* Attributes of the current entry. */
	struct tar_xattr xattrs[XATTRS_MAX];
	size_t n_xattrs;
	struct buf xattr_text;
	bool is_opaque;
	/* /proc/self/fd of this process, wherever its root is by now. */
	int fds_dir;
	char *io;
};

#define IO_BYTES (128u * 1024)

static int failed(const struct export *x, struct err *err, const char *what)
{
	return err_set(err, ERR_SYSTEM, -errno, "%s %.200s", what, buf_str(&x->path));
}

/* ---- hard links ---- */

static size_t seen_slot(const struct seen *table, size_t cap, const struct stat *st)
{
	size_t i = ((size_t)st->st_ino * 0x9e3779b97f4a7c15u) >> 20;
	for (i &= cap - 1; table[i].path; i = (i + 1) & (cap - 1))
		if (table[i].ino == st->st_ino && table[i].dev == st->st_dev)
			break;
	return i;
}

static void grow_seen(struct export *x)
{
	size_t cap = x->cap_seen ? x->cap_seen * 2 : 64;
	struct seen *table = mem_calloc(cap, sizeof(*table));
	for (size_t i = 0; i < x->cap_seen; i++)
		if (x->seen[i].path) {
			struct stat st = { .st_dev = x->seen[i].dev, .st_ino = x->seen[i].ino };
			table[seen_slot(table, cap, &st)] = x->seen[i];
		}
	free(x->seen);
	x->seen = table;
	x->cap_seen = cap;
}

/* The name under which this file was written already, or NULL (and then it is
 * remembered under the current one). */
static const char *find_seen(struct export *x, const struct stat *st)
{
	if (st->st_nlink < 2)
		return NULL;
	if (2 * x->n_seen >= x->cap_seen)
		grow_seen(x);
	struct seen *s = &x->seen[seen_slot(x->seen, x->cap_seen, st)];
	if (s->path)
		return s->path;
	*s = (struct seen){ st->st_dev, st->st_ino, str_dup(buf_str(&x->path)) };
	x->n_seen++;
	return NULL;
}

/* ---- attributes ---- */

static bool is_overlay(const char *name)
{
	const char *dot = strchr(name, '.');
	return dot && str_starts_with(dot, ".overlay.");
}

/* Of a file or directory open for reading; the kernel gives no others any that
 * an archive could keep. Not having attributes is no error. */
static int read_xattrs(struct export *x, int fd, struct err *err)
{
	CLEANUP_FREE char *list = NULL;
	size_t used = 0;
	x->n_xattrs = 0;
	x->is_opaque = false;
	ssize_t len = flistxattr(fd, NULL, 0);
	if (len <= 0 || (size_t)len > XATTR_NAMES_MAX)
		return len <= 0 ? 0 : err_set(err, ERR_INVALID, -E2BIG, "%.200s: too many attributes",
					      buf_str(&x->path));
	list = mem_calloc(1, (size_t)len + 1);
	len = flistxattr(fd, list, (size_t)len);
	if (len < 0)
		return failed(x, err, "read the attributes of");
	buf_clear(&x->xattr_text);
	/* Reserved first: values are pointed to. */
	if (buf_reserve(&x->xattr_text, XATTR_BYTES_MAX) < 0)
		return err_set(err, ERR_SYSTEM, -ENOMEM, "read attributes");
	for (const char *name = list; name < list + len; name += strlen(name) + 1) {
		char *at = x->xattr_text.data + used;
		if (str_ends_with(name, ".overlay.opaque") && is_overlay(name)) {
			char value[4];
			x->is_opaque = fgetxattr(fd, name, value, sizeof(value)) == 1 && value[0] == 'y';
		}
		if (is_overlay(name) || strchr(name, '='))
			continue;
		size_t name_len = strlen(name) + 1;
		if (x->n_xattrs == XATTRS_MAX || used + name_len + TAR_XATTR_VALUE_MAX + 1 > XATTR_BYTES_MAX)
			return err_set(err, ERR_INVALID, -E2BIG, "%.200s: too many attributes", buf_str(&x->path));
		ssize_t n = fgetxattr(fd, name, at + name_len, TAR_XATTR_VALUE_MAX);
		if (n < 0)
			continue;
		memcpy(at, name, name_len);
		x->xattrs[x->n_xattrs++] = (struct tar_xattr){ at, (const uint8_t *)at + name_len, (size_t)n };
		used += name_len + (size_t)n;
	}
	return 0;
}

/* ---- entries ---- */

static int write_marker(struct export *x, const char *name, struct err *err)
{
	struct tar_entry e = { .path = name, .link = "", .kind = TAR_REGULAR };
	return tar_writer_entry(&x->tar, &e, err);
}

/* "a/b" -> "a/.wh.b" */
static int write_whiteout(struct export *x, struct err *err)
{
	const char *path = buf_str(&x->path), *slash = strrchr(path, '/');
	const char *leaf = slash ? slash + 1 : path;
	CLEANUP_FREE char *name = str_printf("%.*s.wh.%s", (int)(leaf - path), path, leaf);
	return write_marker(x, name, err);
}

static int write_contents(struct export *x, int fd, uint64_t size, struct err *err)
{
	while (size) {
		size_t want = size < IO_BYTES ? (size_t)size : IO_BYTES;
		ssize_t n = read(fd, x->io, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(x, err, "read");
		if (n == 0) {
			/* Cut while we read it. */
			memset(x->io, 0, want);
			n = (ssize_t)want;
		}
		int r = tar_writer_data(&x->tar, x->io, (size_t)n, err);
		if (r < 0)
			return r;
		size -= (uint64_t)n;
	}
	return 0;
}

static int read_link(struct export *x, int path_fd, char target[static TAR_PATH_MAX + 1], struct err *err)
{
	ssize_t n = readlinkat(path_fd, "", target, TAR_PATH_MAX);
	if (n < 0)
		return failed(x, err, "read the link");
	target[n] = '\0';
	return 0;
}

static enum tar_kind kind_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return TAR_DIRECTORY;
	case S_IFLNK:
		return TAR_SYMLINK;
	case S_IFCHR:
		return TAR_CHAR;
	case S_IFBLK:
		return TAR_BLOCKDEV;
	case S_IFIFO:
		return TAR_FIFO;
	default:
		return TAR_REGULAR;
	}
}

/* The very file that was looked at, whatever its name means by now. */
static int open_data(const struct export *x, int fd, const struct stat *st)
{
	char name[16];
	if (S_ISDIR(st->st_mode))
		return openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(name, sizeof(name), "%d", fd);
	return openat(x->fds_dir, name, O_RDONLY | O_NOCTTY | O_CLOEXEC);
}

/* The entry at x->path, open (O_PATH) as @fd. */
static int write_entry(struct export *x, int fd, const struct stat *st, struct err *err)
{
	char target[TAR_PATH_MAX + 1] = "";
	CLEANUP_FD int data = -1;
	struct tar_entry e = { .path = buf_str(&x->path),
			       .link = target,
			       .kind = kind_of(st->st_mode),
			       .mode = st->st_mode & 07777,
			       .uid = st->st_uid,
			       .gid = st->st_gid,
			       .mtime_sec = st->st_mtim.tv_sec,
			       .mtime_nsec = (uint32_t)st->st_mtim.tv_nsec };
	const char *first = S_ISDIR(st->st_mode) ? NULL : find_seen(x, st);
	int r = 0;
	x->n_xattrs = 0;
	x->is_opaque = false;
	if (first) {
		e.kind = TAR_HARDLINK;
		e.link = first;
	} else if (e.kind == TAR_REGULAR || e.kind == TAR_DIRECTORY) {
		data = open_data(x, fd, st);
		r = data < 0 ? failed(x, err, "open") : read_xattrs(x, data, err);
		e.xattrs = x->xattrs;
		e.n_xattrs = x->n_xattrs;
	}
	if (r >= 0 && e.kind == TAR_SYMLINK)
		r = read_link(x, fd, target, err);
	if (e.kind == TAR_REGULAR)
		e.size = (uint64_t)st->st_size;
	if (e.kind == TAR_CHAR || e.kind == TAR_BLOCKDEV) {
		e.dev_major = major(st->st_rdev);
		e.dev_minor = minor(st->st_rdev);
	}
	if (r >= 0)
		r = tar_writer_entry(&x->tar, &e, err);
	return r < 0 || e.kind != TAR_REGULAR ? r : write_contents(x, data, e.size, err);
}

static int push_level(struct export *x, int fd, struct err *err)
{
	struct level *l = &x->levels[x->depth];
	if (x->depth == DEPTH_MAX)
		return err_set(err, ERR_INVALID, 0, "%.200s: more than %u directories deep", buf_str(&x->path), DEPTH_MAX);
	*l = (struct level){ .fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), .path_len = x->path.len };
	if (l->fd < 0)
		return failed(x, err, "open");
	x->depth++;
	int r = dir_names(l->fd, &l->names);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "read %.200s", buf_str(&x->path)) : 0;
}

static void pop_level(struct export *x)
{
	struct level *l = &x->levels[--x->depth];
	cleanup_fd(&l->fd);
	strv_free(&l->names);
}

static int enter_dir(struct export *x, int fd, struct err *err)
{
	if (x->is_opaque && x->mode == LAYER_EXPORT_UPPER) {
		CLEANUP_FREE char *name =
			str_printf("%s%s.wh..wh..opq", buf_str(&x->path), x->path.len ? "/" : "");
		int r = write_marker(x, name, err);
		if (r < 0)
			return r;
	}
	return push_level(x, fd, err);
}

/* @fd: open with O_PATH. @as: what it is called in the archive. */
static int export_open(struct export *x, int fd, const char *as, struct err *err)
{
	struct stat st;
	int r = x->path.len ? buf_append_char(&x->path, '/') : 0;
	if (r >= 0)
		r = buf_append_str(&x->path, as);
	if (r < 0)
		return err_set(err, ERR_INVALID, r, "a path longer than %u bytes", TAR_PATH_MAX);
	if (fd < 0 || fstat(fd, &st) < 0)
		return failed(x, err, "open");
	if (S_ISSOCK(st.st_mode))
		return 0;
	if (S_ISCHR(st.st_mode) && st.st_rdev == 0)
		return x->mode == LAYER_EXPORT_UPPER ? write_whiteout(x, err) : 0;
	if (dir_is_bare_mount_point(x->mount_points, buf_str(&x->path), fd, &st))
		return 0;
	r = write_entry(x, fd, &st, err);
	return r < 0 || !S_ISDIR(st.st_mode) ? r : enter_dir(x, fd, err);
}

static int export_name(struct export *x, int dir, const char *name, struct err *err)
{
	CLEANUP_FD int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0; /* gone meanwhile */
	return export_open(x, fd, name, err);
}

/* What is below the levels that are open. */
static int export_below(struct export *x, struct err *err)
{
	int r = 0;
	while (r >= 0 && x->depth) {
		struct level *l = &x->levels[x->depth - 1];
		x->path.len = l->path_len;
		if (x->path.data)
			x->path.data[x->path.len] = '\0';
		if (l->next == l->names.n) {
			pop_level(x);
			continue;
		}
		const char *name = l->names.v[l->next++];
		r = export_name(x, l->fd, name, err);
	}
	return r < 0 ? r : tar_writer_finish(&x->tar, err);
}

static int export_tree(struct export *x, int dir_fd, struct err *err)
{
	CLEANUP_FD int self = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = self < 0 ? failed(x, err, "open") : read_xattrs(x, self, err);
	if (r >= 0)
		r = enter_dir(x, self, err);
	return r < 0 ? r : export_below(x, err);
}

static struct export *export_new(enum layer_export_mode mode, const struct strv *mount_points, int fds_dir, int out_fd)
{
	struct export *x = mem_calloc(1, sizeof(*x));
	x->mode = mode;
	x->mount_points = mount_points;
	x->fds_dir = fds_dir;
	x->path = BUF_INIT(TAR_PATH_MAX - 16);
	x->xattr_text = BUF_INIT(XATTR_BYTES_MAX);
	x->levels = mem_calloc(DEPTH_MAX, sizeof(*x->levels));
	x->io = mem_calloc(1, IO_BYTES);
	tar_writer_init(&x->tar, out_fd);
	return x;
}

static void export_free(struct export *x)
{
	while (x->depth)
		pop_level(x);
	for (size_t i = 0; i < x->cap_seen; i++)
		free(x->seen[i].path);
	free(x->seen);
	buf_free(&x->path);
	buf_free(&x->xattr_text);
	tar_writer_done(&x->tar);
	free(x->levels);
	free(x->io);
	free(x);
}

int layer_export_fds_dir(void)
{
	int fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int layer_export(int dir_fd, enum layer_export_mode mode, const struct strv *mount_points, int out_fd, uint64_t *ret_bytes,
		 struct err *err)
{
	CLEANUP_FD int fds_dir = layer_export_fds_dir();
	if (fds_dir < 0)
		return err_set(err, ERR_SYSTEM, fds_dir, "open /proc/self/fd");
	struct export *x = export_new(mode, mount_points, fds_dir, out_fd);
	int r = export_tree(x, dir_fd, err);
	if (r >= 0 && ret_bytes)
		*ret_bytes = x->tar.bytes;
	export_free(x);
	return r;
}

int layer_export_entry(int fd, const char *as, int fds_dir, int out_fd, uint64_t *ret_bytes, struct err *err)
{
	struct export *x = export_new(LAYER_EXPORT_ROOTFS, NULL, fds_dir, out_fd);
	int r = export_open(x, fd, as, err);
	if (r >= 0)
		r = export_below(x, err);
	if (r >= 0 && ret_bytes)
		*ret_bytes = x->tar.bytes;
	export_free(x);
	return r;
}
