/* SPDX-License-Identifier: Apache-2.0 */
#include "tree_extract.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "fd.h"
#include "resolve.h"
#include "str.h"
#include "tar_reader.h"

#define IO_BYTES (256u * 1024)

/* A directory's times and mode are set when nothing more is put into it. */
struct late {
	char *path;
	mode_t mode;
	struct timespec mtime;
};

struct extract {
	const struct tree_extract *what;
	int tar_fd;
	uint8_t *io;
	struct late *late;
	size_t late_n;
	bool has_prefix; /* still to be given */
};

static int next_piece(void *ctx, const uint8_t **ret, size_t *ret_len, struct err *err)
{
	struct extract *x = ctx;
	ssize_t n;
	if (x->has_prefix) {
		x->has_prefix = false;
		*ret = x->what->prefix;
		*ret_len = x->what->prefix_len;
		return 0;
	}
	do
		n = read(x->tar_fd, x->io, IO_BYTES);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set(err, ERR_SYSTEM, -errno, "read the archive");
	*ret = x->io;
	*ret_len = (size_t)n;
	return 0;
}

/* Where an entry goes: relative to the directory; NULL is the directory itself. */
static int map_name(const struct extract *x, const char *path, char **ret, struct err *err)
{
	CLEANUP_STRV struct strv parts = { 0 };
	CLEANUP_STRV struct strv kept = { 0 };
	strv_split(&parts, path, '/');
	size_t skip = x->what->renames ? 1 : 0;
	for (size_t i = 0; i < parts.n; i++) {
		const char *p = parts.v[i];
		if (str_eq(p, ".."))
			return err_set(err, ERR_DENIED, 0, "invalid tar: '%s' leads out of the archive", path);
		if (!*p || str_eq(p, "."))
			continue;
		if (skip) {
			skip = 0;
			if (x->what->name)
				strv_add(&kept, x->what->name);
			continue;
		}
		strv_add(&kept, p);
	}
	*ret = kept.n ? strv_join(&kept, "/") : NULL;
	return 0;
}

static int open_dir(const struct extract *x, const char *path)
{
	if (!x->what->follows_links)
		return resolve_open_nolinks(x->what->dir, path, O_RDONLY | O_DIRECTORY);
	int fd = openat(x->what->dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The directory of @path (opened below the target), and the last component. */
static int open_parent(const struct extract *x, const char *path, int *ret, const char **ret_leaf, struct err *err)
{
	const char *slash = strrchr(path, '/');
	CLEANUP_FREE char *parent = slash ? str_ndup(path, (size_t)(slash - path)) : str_dup(".");
	int fd = open_dir(x, parent);
	/* Archives may leave directories out. */
	if (fd == -ENOENT)
		fd = resolve_mkdir_parents(x->what->dir, parent);
	if (fd == -ELOOP)
		return err_set(err, ERR_DENIED, 0, "%s: a link is in the way", path);
	if (fd < 0)
		return err_set(err, ERR_SYSTEM, fd, "open the folder of %s", path);
	*ret = fd;
	*ret_leaf = slash ? slash + 1 : path;
	return 0;
}

static uid_t owner(const struct extract *x, const struct tar_entry *e)
{
	return x->what->keeps_owners ? e->uid : x->what->uid;
}

static gid_t group(const struct extract *x, const struct tar_entry *e)
{
	return x->what->keeps_owners ? e->gid : x->what->gid;
}

/* File systems that cannot have them (and namespaces that may not) go without. */
static void set_xattrs(int fd, const struct tar_entry *e)
{
	for (size_t i = 0; i < e->n_xattrs; i++)
		(void)!fsetxattr(fd, e->xattrs[i].name, e->xattrs[i].value, e->xattrs[i].len, 0);
}

static int write_file(const struct extract *x, struct tar_reader *reader, const struct tar_entry *e, int dir, const char *leaf,
		      struct err *err)
{
	CLEANUP_FD int fd = openat(dir, leaf, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	const uint8_t *data;
	uint64_t offset;
	size_t len;
	int r;
	if (fd < 0)
		return err_set(err, ERR_SYSTEM, -errno, "create %s", e->path);
	while ((r = tar_reader_data(reader, &offset, &data, &len, err)) > 0) {
		for (size_t done = 0; done < len;) {
			ssize_t n = pwrite(fd, data + done, len - done, (off_t)(offset + done));
			if (n < 0 && errno != EINTR)
				return err_set(err, ERR_SYSTEM, -errno, "write %s", e->path);
			done += n > 0 ? (size_t)n : 0;
		}
	}
	if (r < 0)
		return r;
	/* A hole at the end. */
	if (ftruncate(fd, (off_t)e->size) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "write %s", e->path);
	/* The owner first: it takes setuid bits and capabilities away. */
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { e->mtime_sec, e->mtime_nsec } };
	if (fchown(fd, owner(x, e), group(x, e)) < 0 || fchmod(fd, e->mode) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "set the owner and mode of %s", e->path);
	set_xattrs(fd, e);
	(void)!futimens(fd, times);
	return 0;
}

static int make_link(const struct extract *x, const struct tar_entry *e, int dir, const char *leaf, struct err *err)
{
	CLEANUP_FREE char *to = NULL;
	CLEANUP_FD int to_dir = -1;
	const char *to_leaf;
	int r = map_name(x, e->link, &to, err);
	if (r == 0 && !to)
		r = err_set(err, ERR_INVALID, 0, "invalid tar: %s is a hard link to nothing", e->path);
	if (r == 0)
		r = open_parent(x, to, &to_dir, &to_leaf, err);
	if (r == 0 && linkat(to_dir, to_leaf, dir, leaf, 0) < 0)
		r = err_set(err, ERR_SYSTEM, -errno, "link %s to %s", e->path, e->link);
	return r;
}

static int make_node(const struct tar_entry *e, int dir, const char *leaf, struct err *err)
{
	mode_t type = e->kind == TAR_FIFO ? S_IFIFO : e->kind == TAR_CHAR ? S_IFCHR : S_IFBLK;
	if (mknodat(dir, leaf, type | 0600, e->kind == TAR_FIFO ? 0 : makedev(e->dev_major, e->dev_minor)) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "create %s", e->path);
	return 0;
}

static int set_attributes(const struct extract *x, const struct tar_entry *e, int dir, const char *leaf, struct err *err)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { e->mtime_sec, e->mtime_nsec } };
	if (fchownat(dir, leaf, owner(x, e), group(x, e), AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "set the owner of %s", e->path);
	if (e->kind != TAR_SYMLINK && fchmodat(dir, leaf, e->mode, 0) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "set the mode of %s", e->path);
	(void)!utimensat(dir, leaf, times, AT_SYMLINK_NOFOLLOW);
	return 0;
}

static void finish_later(struct extract *x, const struct tar_entry *e, const char *path)
{
	x->late = reallocarray(x->late, x->late_n + 1, sizeof(*x->late));
	if (!x->late)
		abort();
	x->late[x->late_n++] = (struct late){ str_dup(path), e->mode, { e->mtime_sec, e->mtime_nsec } };
}

static int make_dir(struct extract *x, const struct tar_entry *e, int dir, const char *leaf, const char *path, struct err *err)
{
	if (mkdirat(dir, leaf, 0700) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "create %s", e->path);
	CLEANUP_FD int fd = openat(dir, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchown(fd, owner(x, e), group(x, e)) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "set the owner of %s", e->path);
	set_xattrs(fd, e);
	finish_later(x, e, path);
	return 0;
}

static int set_top(struct extract *x, const struct tar_entry *e, struct err *err)
{
	if (!x->what->sets_top || e->kind != TAR_DIRECTORY)
		return 0;
	if (fchown(x->what->dir, owner(x, e), group(x, e)) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "set the owner of %s", e->path);
	set_xattrs(x->what->dir, e);
	finish_later(x, e, ".");
	return 0;
}

/* What is there already: kept (1), out of the way (0), or an error. */
static int make_room(const struct extract *x, const struct tar_entry *e, int dir, const char *leaf, struct err *err)
{
	struct stat st;
	bool is_dir = e->kind == TAR_DIRECTORY;
	if (fstatat(dir, leaf, &st, is_dir && x->what->follows_links ? 0 : AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_set(err, ERR_SYSTEM, -errno, "look at %s", e->path);
	if (is_dir && S_ISDIR(st.st_mode))
		return 1;
	if (is_dir)
		return err_set(err, ERR_CONFLICT, 0, "cannot overwrite non-directory \"%s\" with directory \"%s\"", leaf, e->path);
	if (S_ISDIR(st.st_mode))
		return err_set(err, ERR_CONFLICT, 0, "cannot overwrite directory \"%s\" with non-directory \"%s\"", leaf, e->path);
	return unlinkat(dir, leaf, 0) < 0 ? err_set(err, ERR_SYSTEM, -errno, "replace %s", e->path) : 0;
}

static int make_entry(struct extract *x, struct tar_reader *reader, const struct tar_entry *e, const char *path, struct err *err)
{
	CLEANUP_FD int dir = -1;
	const char *leaf;
	int r = open_parent(x, path, &dir, &leaf, err);
	if (r == 0)
		r = make_room(x, e, dir, leaf, err);
	if (r < 0 || r == 1)
		return r < 0 ? r : 0;
	switch (e->kind) {
	case TAR_REGULAR:
		return write_file(x, reader, e, dir, leaf, err);
	case TAR_HARDLINK:
		return make_link(x, e, dir, leaf, err);
	case TAR_SYMLINK:
		r = symlinkat(e->link, dir, leaf) < 0 ? err_set(err, ERR_SYSTEM, -errno, "create %s", e->path) : 0;
		break;
	case TAR_DIRECTORY:
		return make_dir(x, e, dir, leaf, path, err);
	default:
		r = make_node(e, dir, leaf, err);
		break;
	}
	return r < 0 ? r : set_attributes(x, e, dir, leaf, err);
}

/* The deepest first, so that a time set is not touched again. */
static void finish_directories(struct extract *x)
{
	for (size_t i = x->late_n; i-- > 0;) {
		struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, x->late[i].mtime };
		CLEANUP_FD int fd = open_dir(x, x->late[i].path);
		if (fd >= 0) {
			(void)!fchmod(fd, x->late[i].mode);
			(void)!futimens(fd, times);
		}
		free(x->late[i].path);
	}
	free(x->late);
}

int tree_extract(const struct tree_extract *what, int tar_fd, struct err *err)
{
	struct extract x = { .what = what, .tar_fd = tar_fd, .io = mem_calloc(1, IO_BYTES), .has_prefix = what->prefix_len > 0 };
	CLEANUP_TAR_READER struct tar_reader *reader = tar_reader_new((struct tar_source){ next_piece, &x });
	const struct tar_entry *e;
	int r = reader ? 0 : err_set(err, ERR_SYSTEM, -ENOMEM, "read the archive");
	while (r >= 0 && (r = tar_reader_next(reader, &e, err)) > 0) {
		CLEANUP_FREE char *path = NULL;
		r = map_name(&x, e->path, &path, err);
		if (r == 0)
			r = path ? make_entry(&x, reader, e, path, err) : set_top(&x, e, err);
	}
	finish_directories(&x);
	free(x.io);
	return r < 0 ? r : 0;
}
