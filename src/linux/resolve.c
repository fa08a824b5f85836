/* SPDX-License-Identifier: Apache-2.0 */
#include "resolve.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "cleanup.h"
#include "str.h"

static int open_in_root(int root, const char *path, uint64_t flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .mode = mode, .resolve = RESOLVE_IN_ROOT | resolve };
	while (*path == '/')
		path++;
	/* EAGAIN: a rename raced with "..": try again, a few times. */
	for (int attempt = 0; attempt < 32; attempt++) {
		long fd = syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return -EAGAIN;
}

int resolve_open(int root, const char *path, uint64_t flags, mode_t mode)
{
	return open_in_root(root, path, flags, mode, RESOLVE_NO_MAGICLINKS);
}

int resolve_open_nolinks(int root, const char *path, uint64_t flags)
{
	return open_in_root(root, path, flags, 0, RESOLVE_NO_SYMLINKS);
}

int resolve_mkdir_parents(int root, const char *path)
{
	int fd = resolve_open(root, path, O_PATH | O_DIRECTORY, 0);
	if (fd != -ENOENT)
		return fd;

	CLEANUP_FREE char *copy = str_dup(path);
	CLEANUP_FD int dir = resolve_open(root, "/", O_PATH | O_DIRECTORY, 0);
	if (dir < 0)
		return dir;
	/* Each prefix is resolved from the root again, so that links in the
	 * middle lead where they would inside. */
	for (char *p = copy; *p;) {
		while (*p == '/')
			p++;
		char *name = p, saved;
		while (*p && *p != '/')
			p++;
		saved = *p;
		*p = '\0';
		if (*name && mkdirat(dir, name, 0755) < 0 && errno != EEXIST)
			return -errno;
		fd = resolve_open(root, copy, O_PATH | O_DIRECTORY, 0);
		*p = saved;
		if (fd < 0)
			return fd;
		close(dir);
		dir = fd;
	}
	return TAKE_FD(dir);
}

int resolve_make(int root, const char *path, bool directory)
{
	if (directory)
		return resolve_mkdir_parents(root, path);
	int fd = resolve_open(root, path, O_PATH, 0);
	if (fd != -ENOENT)
		return fd;
	CLEANUP_FREE char *parent = str_dup(path);
	char *slash = strrchr(parent, '/');
	if (!slash || !slash[1])
		return -EISDIR;
	*slash = '\0';
	CLEANUP_FD int dir = resolve_mkdir_parents(root, parent);
	if (dir < 0)
		return dir;
	CLEANUP_FD int file = openat(dir, slash + 1, O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_WRONLY, 0644);
	if (file < 0)
		return -errno;
	return resolve_open(root, path, O_PATH, 0);
}
