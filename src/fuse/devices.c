/* SPDX-License-Identifier: Apache-2.0 */
/* The file systems that shares consist of. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "fuse_internal.h"

static int device_index(struct fuse_server *s, uint64_t dev)
{
	size_t n = __atomic_load_n(&s->devices_n, __ATOMIC_ACQUIRE);
	for (size_t i = 0; i < n; i++)
		if (s->devices[i].dev == dev)
			return (int)i;
	return -1;
}

/* In procfs a file is about who opens it: the guest would reach the server's own
 * memory as /proc/self/mem. */
static int is_procfs(int fd)
{
	struct statfs fs;
	return fstatfs(fd, &fs) < 0 ? -errno : fs.f_type == PROC_SUPER_MAGIC;
}

int fuse_device_check(int fd, uint64_t dev)
{
	int r = major(dev) ? 0 : is_procfs(fd);
	return r > 0 ? -EACCES : r;
}

int fuse_device_admit(struct fuse_server *s, uint64_t dev, int dir, const char *name)
{
	CLEANUP_FD int fd = -1;
	int at = device_index(s, dev);
	if (at >= 0)
		return s->devices[at].is_refused ? -EACCES : 0;
	if (name) {
		fd = fuse_open_beneath(dir, name, O_PATH | O_NOFOLLOW, 0);
		if (fd < 0)
			return fd;
	}
	int is_refused = is_procfs(name ? fd : dir);
	if (is_refused < 0)
		return is_refused;
	pthread_mutex_lock(&s->lock);
	/* Past the last place the question is asked each time. */
	if (device_index(s, dev) < 0 && s->devices_n < FUSE_DEVICES_MAX) {
		s->devices[s->devices_n] = (struct fuse_device){ dev, is_refused };
		__atomic_store_n(&s->devices_n, s->devices_n + 1, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&s->lock);
	return is_refused ? -EACCES : 0;
}

/* Unlike numbers for unlike files, in one file system for the guest. */
uint64_t fuse_inode_number(struct fuse_server *s, uint16_t share, uint64_t dev, uint64_t ino)
{
	const uint64_t low = (1ull << 48) - 1;
	int at = device_index(s, dev);
	if (ino & ~low)
		ino = ((ino * 0x9e3779b97f4a7c15u) >> 17 & (low >> 1)) | 1ull << 47;
	return (uint64_t)(share + 1) << 56 | (uint64_t)(at < 0 ? FUSE_DEVICES_MAX : at) << 48 | ino;
}
