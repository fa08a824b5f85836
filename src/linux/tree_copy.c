/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "cleanup.h"
#include "str.h"
#include "tree.h"

#define DEPTH_MAX 400 /* two descriptors a level */
#define XATTR_MAX (64 << 10)

struct link_seen {
	dev_t dev;
	ino_t ino;
	char *path; /* below the new root */
};

struct copy {
	int root; /* of the copy */
	struct link_seen *seen;
	size_t seen_n, seen_room;
	/* For one attribute, and for the list of names. */
	char *value, *names;
};

/* Attributes of an object by its directory and name: the calls on descriptors
 * refuse symbolic links and devices. */
static int copy_xattrs(struct copy *c, int from, int to, const char *name)
{
	CLEANUP_FREE char *source = str_printf("/proc/self/fd/%d/%s", from, name);
	CLEANUP_FREE char *target = str_printf("/proc/self/fd/%d/%s", to, name);
	ssize_t len = llistxattr(source, c->names, XATTR_MAX);
	if (len < 0)
		return errno == ENOTSUP ? 0 : -errno;
	for (const char *key = c->names; key < c->names + len; key += strlen(key) + 1) {
		if (str_starts_with(key, "user.overlay.") || str_starts_with(key, "trusted."))
			continue;
		ssize_t size = lgetxattr(source, key, c->value, XATTR_MAX);
		if (size < 0)
			return -errno;
		/* A file system that knows no such attribute does without. */
		if (lsetxattr(target, key, c->value, (size_t)size, 0) < 0 && errno != ENOTSUP)
			return -errno;
	}
	return 0;
}

static int set_owner(int to, const char *name, const struct stat *st)
{
	if (fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	/* After the owner, which clears set-id bits. */
	if (!S_ISLNK(st->st_mode) && fchmodat(to, name, st->st_mode & 07777, 0) < 0)
		return -errno;
	return 0;
}

static int set_times(int to, const char *name, const struct stat *st)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	return utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* Only what is there: the holes stay holes. */
static int copy_data(int in, int out, off_t size)
{
	off_t at = 0;
	while (at < size) {
		off_t data = lseek(in, at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break;
		off_t end = data < 0 ? size : lseek(in, data, SEEK_HOLE);
		if (data < 0)
			data = at;
		if (end < 0)
			end = size;
		off_t to = data;
		while (data < end) {
			char buf[65536];
			ssize_t n = copy_file_range(in, &data, out, &to, (size_t)(end - data), 0);
			if (n > 0)
				continue;
			if (n < 0 && errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
				return -errno;
			n = pread(in, buf, sizeof(buf), data);
			if (n <= 0)
				return n < 0 ? -errno : -EIO;
			n = pwrite(out, buf, (size_t)n, to);
			if (n < 0)
				return -errno;
			data += n;
			to += n;
		}
		at = end;
	}
	return ftruncate(out, size) < 0 ? -errno : 0;
}

static int copy_file(int from, int to, const char *name, const struct stat *st)
{
	CLEANUP_FD int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	CLEANUP_FD int out = in < 0 ? -1 : openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return -errno;
	return copy_data(in, out, st->st_size);
}

static int copy_symlink(int from, int to, const char *name)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	return symlinkat(target, to, name) < 0 ? -errno : 0;
}

/* 1 when an earlier name of the same file has been linked to. */
static int link_earlier(struct copy *c, const struct stat *st, int to, const char *name, const char *path)
{
	if (st->st_nlink < 2)
		return 0;
	for (size_t i = 0; i < c->seen_n; i++)
		if (c->seen[i].ino == st->st_ino && c->seen[i].dev == st->st_dev)
			return linkat(c->root, c->seen[i].path, to, name, 0) < 0 ? -errno : 1;
	if (c->seen_n == c->seen_room) {
		c->seen_room = c->seen_room ? 2 * c->seen_room : 64;
		c->seen = reallocarray(c->seen, c->seen_room, sizeof(*c->seen));
		if (!c->seen)
			abort();
	}
	c->seen[c->seen_n++] = (struct link_seen){ st->st_dev, st->st_ino, str_dup(path) };
	return 0;
}

static int copy_entries(struct copy *c, int from, int to, const char *path, unsigned depth);

static int copy_directory(struct copy *c, int from, int to, const char *name, const char *path, unsigned depth)
{
	if (depth > DEPTH_MAX)
		return -ELOOP;
	if (mkdirat(to, name, 0700) < 0)
		return -errno;
	CLEANUP_FD int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	CLEANUP_FD int out = in < 0 ? -1 : openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return out < 0 ? -errno : copy_entries(c, in, out, path, depth);
}

static int copy_entry(struct copy *c, int from, int to, const char *name, const char *path, unsigned depth)
{
	struct stat st;
	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	int r = S_ISDIR(st.st_mode) ? 0 : link_earlier(c, &st, to, name, path);
	if (r != 0)
		return r < 0 ? r : 0;
	if (S_ISDIR(st.st_mode))
		r = copy_directory(c, from, to, name, path, depth + 1);
	else if (S_ISREG(st.st_mode))
		r = copy_file(from, to, name, &st);
	else if (S_ISLNK(st.st_mode))
		r = copy_symlink(from, to, name);
	else
		r = mknodat(to, name, (st.st_mode & S_IFMT) | 0600, st.st_rdev) < 0 ? -errno : 0;
	if (r == 0)
		r = set_owner(to, name, &st);
	if (r == 0)
		r = copy_xattrs(c, from, to, name);
	return r == 0 ? set_times(to, name, &st) : r;
}

static int copy_entries(struct copy *c, int from, int to, const char *path, unsigned depth)
{
	int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_DIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return -errno;
	int r = 0;
	for (struct dirent *e; r == 0 && (e = readdir(dir));) {
		if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
			continue;
		CLEANUP_FREE char *below = str_printf("%s%s%s", path, *path ? "/" : "", e->d_name);
		r = copy_entry(c, from, to, e->d_name, below, depth);
	}
	return r;
}

static int copy_own_attributes(struct copy *c, int from, int to)
{
	struct stat st;
	int r = fstat(from, &st) < 0 ? -errno : set_owner(to, ".", &st);
	if (r == 0)
		r = copy_xattrs(c, from, to, ".");
	return r == 0 ? set_times(to, ".", &st) : r;
}

static int run(int from, int to, bool with_entries)
{
	struct copy c = { .root = to, .value = mem_calloc(1, XATTR_MAX), .names = mem_calloc(1, XATTR_MAX) };
	int r = with_entries ? copy_entries(&c, from, to, "", 0) : 0;
	if (r == 0)
		r = copy_own_attributes(&c, from, to);
	for (size_t i = 0; i < c.seen_n; i++)
		free(c.seen[i].path);
	free(c.seen);
	free(c.value);
	free(c.names);
	return r;
}

int tree_copy(int from, int to)
{
	return run(from, to, true);
}

int tree_copy_attributes(int from, int to)
{
	return run(from, to, false);
}
