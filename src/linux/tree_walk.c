/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "cleanup.h"
#include "str.h"
#include "tree.h"

#define DEPTH_MAX 900

/* @dirfd and @name ("" for @dirfd itself); 0 goes on. */
typedef int visit_fn(int dirfd, const char *name, const struct stat *st, void *ctx);

static int walk(int dirfd, const char *name, dev_t dev, visit_fn *visit, void *ctx, unsigned depth)
{
	struct stat st;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH)) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (st.st_dev != dev)
		return 0;
	int r = visit(dirfd, name, &st, ctx);
	if (r < 0 || !S_ISDIR(st.st_mode))
		return r;
	if (depth > DEPTH_MAX)
		return -ELOOP;
	int fd = openat(dirfd, *name ? name : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	CLEANUP_DIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	for (struct dirent *e; r >= 0 && (e = readdir(dir));)
		if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
			r = walk(fd, e->d_name, dev, visit, ctx, depth + 1);
	return r;
}

static int walk_all(int dirfd, const char *name, visit_fn *visit, void *ctx)
{
	struct stat st;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH)) < 0)
		return -errno;
	return walk(dirfd, name, st.st_dev, visit, ctx, 0);
}

static int set_owner(int dirfd, const char *name, const struct stat *st, void *ctx)
{
	const struct stat *want = ctx;
	if (st->st_uid == want->st_uid && st->st_gid == want->st_gid)
		return 0;
	int flags = AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH);
	return fchownat(dirfd, name, want->st_uid, want->st_gid, flags) < 0 && errno != ENOENT ? -errno : 0;
}

int tree_chown(int root, uid_t uid, gid_t gid)
{
	struct stat want = { .st_uid = uid, .st_gid = gid };
	return walk_all(root, "", set_owner, &want);
}

struct attribute {
	const char *name, *value;
};

static int set_attribute(int dirfd, const char *name, const struct stat *st, void *ctx)
{
	const struct attribute *a = ctx;
	CLEANUP_FREE char *path = str_printf("/proc/self/fd/%d%s%s", dirfd, *name ? "/" : "", name);
	/* The magic link itself must be followed, a link in the tree must not. */
	int r = *name ? lsetxattr(path, a->name, a->value, strlen(a->value), 0) :
			setxattr(path, a->name, a->value, strlen(a->value), 0);
	return r < 0 && errno != ENOTSUP && errno != ENOENT ? -errno : 0;
}

int tree_set_xattr(int root, const char *name, const char *value)
{
	struct attribute a = { name, value };
	return walk_all(root, "", set_attribute, &a);
}

int tree_is_empty(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_DIR DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return -errno;
	for (struct dirent *e; (e = readdir(d));)
		if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
			return 0;
	return 1;
}

struct usage {
	int64_t blocks;
	void *links; /* tree of inode numbers */
};

static int compare_inodes(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)a, y = (uintptr_t)b;
	return x < y ? -1 : x > y;
}

static int add_usage(int dirfd, const char *name, const struct stat *st, void *ctx)
{
	struct usage *u = ctx;
	if (st->st_nlink > 1 && !S_ISDIR(st->st_mode)) {
		void *key = (void *)(uintptr_t)st->st_ino;
		if (tfind(key, &u->links, compare_inodes))
			return 0;
		if (!tsearch(key, &u->links, compare_inodes))
			return -ENOMEM;
	}
	u->blocks += st->st_blocks;
	return 0;
}

static void keep(void *key)
{
}

int64_t tree_disk_usage(int dirfd, const char *name)
{
	struct usage u = { 0 };
	/* An error ends the count: what has been counted is told. */
	int r = walk_all(dirfd, name, add_usage, &u);
	tdestroy(u.links, keep);
	return r < 0 && !u.blocks ? 0 : u.blocks * 512;
}
