/* SPDX-License-Identifier: Apache-2.0 */
#include "mount_api.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "str.h"

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

int mount_clone(int dirfd, const char *path, bool recursive)
{
	unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0) | (*path ? 0 : AT_EMPTY_PATH);
	int fd = open_tree(dirfd, path, flags);
	return fd < 0 ? -errno : fd;
}

int mount_attach(int mount, int dirfd, const char *path)
{
	unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | (*path ? 0 : MOVE_MOUNT_T_EMPTY_PATH);
	return move_mount(mount, "", dirfd, path, flags) < 0 ? -errno : 0;
}

static int set_attributes(int mount, struct mount_attr *attr, bool recursive)
{
	unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
	return mount_setattr(mount, "", flags, attr, sizeof(*attr)) < 0 ? -errno : 0;
}

int mount_change(int mount, uint64_t set, uint64_t clear, bool recursive)
{
	return set_attributes(mount, &(struct mount_attr){ .attr_set = set, .attr_clr = clear }, recursive);
}

int mount_idmap(int mount, int userns, bool recursive)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns };
	return set_attributes(mount, &attr, recursive);
}

int mount_propagation(int mount, unsigned long propagation, bool recursive)
{
	return set_attributes(mount, &(struct mount_attr){ .propagation = propagation }, recursive);
}

static int finish(int fs)
{
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	int mount = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	return mount < 0 ? -errno : mount;
}

int mount_new_plain(const char *type, uint64_t attributes)
{
	CLEANUP_FD int fs = fsopen(type, FSOPEN_CLOEXEC);
	/* What /proc/mounts shows in the place of a device. */
	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "source", type, 0) < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	int mount = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)attributes);
	return mount < 0 ? -errno : mount;
}

int mount_new_tmpfs(const char *options)
{
	CLEANUP_FD int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	CLEANUP_STRV struct strv list = { 0 };
	if (fs < 0)
		return -errno;
	strv_split(&list, options, ',');
	for (size_t i = 0; i < list.n; i++) {
		char *eq = strchr(list.v[i], '=');
		if (eq)
			*eq = '\0';
		if (fsconfig(fs, eq ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, list.v[i], eq ? eq + 1 : NULL, 0) < 0)
			return -errno;
	}
	return finish(fs);
}

int mount_enter_root(int root)
{
	/* pivot_root(2), "pivot_root(\".\", \".\")": the old root ends up on top of the new
	 * one. It goes with all that is mounted below it. Each call of umount waits for
	 * the kernel's readers (RCU): there is one. */
	if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	return 0;
}

int mount_enter_empty_root(void)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	CLEANUP_FD int root = mount_new_tmpfs("mode=555,size=4k,nr_inodes=1");
	if (root < 0)
		return root;
	int r = mount_change(root, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, 0, false);
	if (r == 0)
		r = mount_attach(root, AT_FDCWD, "/");
	return r < 0 ? r : mount_enter_root(root);
}

/* A layer as a descriptor (6.13), or by its path below /proc. */
static int set_layer(int fs, const char *key, int fd)
{
	char path[32];
	if (fsconfig(fs, FSCONFIG_SET_FD, key, NULL, fd) == 0)
		return 0;
	if (errno != EINVAL && errno != EBADF && errno != EOPNOTSUPP)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return fsconfig(fs, FSCONFIG_SET_STRING, key, path, 0) < 0 ? -errno : 0;
}

/* One "lowerdir" string, for kernels before "lowerdir+" (6.8). fsconfig(2) takes 255
 * bytes: the names are those in /proc/self/fd, where the caller stands. */
static int set_layers_together(int fs, const int *layers, size_t n)
{
	CLEANUP_FREE char *text = mem_calloc(n, 24);
	size_t len = 0;
	for (size_t i = n; i-- > 0;)
		len += (size_t)snprintf(text + len, n * 24 - len, "%s%d", len ? ":" : "", layers[i]);
	return fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir", text, 0) < 0 ? -errno : 0;
}

static int set_layers_singly(int fs, const int *layers, size_t n)
{
	int r = 0;
	/* The top layer comes first. */
	for (size_t i = n; i-- > 0 && r == 0;)
		r = set_layer(fs, "lowerdir+", layers[i]);
	return r;
}

static int new_overlay(const int *layers, size_t n, int upper, int work, bool userxattr, bool singly)
{
	CLEANUP_FD int fs = fsopen("overlay", FSOPEN_CLOEXEC);
	if (fs < 0)
		return -errno;
	CLEANUP_FD int before = singly ? -1 : open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (!singly && (before < 0 || chdir("/proc/self/fd") < 0))
		return -errno;
	int r = singly ? set_layers_singly(fs, layers, n) : set_layers_together(fs, layers, n);
	if (r == 0 && upper >= 0)
		r = set_layer(fs, "upperdir", upper);
	if (r == 0 && upper >= 0)
		r = set_layer(fs, "workdir", work);
	if (r == 0 && userxattr && fsconfig(fs, FSCONFIG_SET_FLAG, "userxattr", NULL, 0) < 0)
		r = -errno;
	r = r < 0 ? r : finish(fs);
	if (before >= 0 && fchdir(before) < 0) {
		if (r >= 0)
			close(r);
		return -errno;
	}
	return r;
}

int mount_new_overlay(const int *layers, size_t n, int upper, int work, bool userxattr)
{
	int r = new_overlay(layers, n, upper, work, userxattr, true);
	/* Kernels before 6.5 take every option and look at them in the end only. */
	return r == -EINVAL ? new_overlay(layers, n, upper, work, userxattr, false) : r;
}
