/* SPDX-License-Identifier: Apache-2.0 */
#include "erofs_mount.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>

#include "cleanup.h"
#include "loop.h"

/* linux/mount.h and sys/mount.h cannot both be included with Debian 12's
 * headers; one symbol and these calls are all that is needed. */
int umount2(const char *target, int flags);
#define DETACH 2 /* MNT_DETACH */

#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000
#endif

/* For hull's own tests on kernels that can do it all; see the header. */
static bool test_wants(const char *what)
{
	const char *s = getenv("HULL_TEST_EROFS");
	return s && strcmp(s, what) == 0;
}

/* A mounted but not attached file system in a descriptor, or a negative errno. */
static int erofs_fsmount(const char *source, bool has_dax)
{
	CLEANUP_FD int fs = (int)syscall(SYS_fsopen, "erofs", FSOPEN_CLOEXEC);
	if (fs < 0)
		return -errno;
	if (syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "source", source, 0) < 0)
		return -errno;
	if (syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0)
		return -errno;
	if (has_dax && syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "dax", "always", 0) < 0)
		return -errno;
	if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	int mnt = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY);
	return mnt < 0 ? -errno : mnt;
}

static int attach(int mnt, const char *target)
{
	return syscall(SYS_move_mount, mnt, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

int erofs_mount_memory(const char *device, const char *target)
{
	CLEANUP_FD int mnt = erofs_fsmount(device, true);
	return mnt < 0 ? mnt : attach(mnt, target);
}

int erofs_mount_file(const char *path, const char *target)
{
	CLEANUP_FD int loop = -1;
	CLEANUP_FD int mnt = test_wants("loop") ? -ENOTBLK : erofs_fsmount(path, false);
	/* "Block device required": a kernel before 6.12, or one built without
	 * CONFIG_EROFS_FS_BACKED_BY_FILE. */
	if (mnt == -ENOTBLK) {
		char device[32];
		CLEANUP_FD int file = open(path, O_RDONLY | O_CLOEXEC);
		if (file < 0)
			return -errno;
		loop = loop_attach_readonly(file, device);
		if (loop < 0)
			return loop;
		mnt = erofs_fsmount(device, false);
	}
	return mnt < 0 ? mnt : attach(mnt, target);
}

int mount_is_root(const char *path)
{
	struct statx stx;
	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, 0, &stx) < 0)
		return errno == ENOENT ? 0 : -errno;
	return (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

int mount_detach_dir(const char *target)
{
	/* Racing hulls may have stacked two mounts. */
	for (;;) {
		int r = mount_is_root(target);
		if (r < 0)
			return r;
		if (r == 0)
			break;
		if (umount2(target, DETACH) < 0 && errno != EINVAL)
			return -errno;
	}
	if (rmdir(target) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

bool erofs_is_supported(void)
{
	CLEANUP_FD int fs = (int)syscall(SYS_fsopen, "erofs", FSOPEN_CLOEXEC);
	return fs >= 0 && !test_wants("absent");
}
