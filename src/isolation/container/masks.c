/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "fd.h"
#include "internal.h"
#include "mount_api.h"
#include "resolve.h"

/* /dev/null of the container, proven to be the null device: an image that made
 * it a link would otherwise choose what the masked files show. */
static int open_null(int root, struct err *err)
{
	struct stat st;
	CLEANUP_FD int fd = resolve_open_nolinks(root, "/dev/null", O_PATH);
	if (fd < 0)
		return err_set(err, ERR_SYSTEM, fd, "open /dev/null");
	if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
		return err_set(err, ERR_DENIED, 0, "/dev/null of the container is not the null device");
	return TAKE_FD(fd);
}

static int mask(int root, const char *path, int null, struct err *err)
{
	struct stat st;
	CLEANUP_FD int target = resolve_open_nolinks(root, path, O_PATH);
	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	if (target < 0 || fstat(target, &st) < 0)
		return err_set(err, ERR_SYSTEM, target < 0 ? target : errno, "open %s to mask it", path);
	CLEANUP_FD int cover = S_ISDIR(st.st_mode) ? mount_new_tmpfs("mode=555,size=0,nr_inodes=1") : mount_clone(null, "", false);
	if (cover < 0)
		return err_set(err, ERR_SYSTEM, cover, "mask %s", path);
	int r = S_ISDIR(st.st_mode) ? mount_change(cover, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, 0, false) : 0;
	if (r == 0)
		r = mount_attach(cover, target, "");
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "mask %s", path);
	return 0;
}

static int make_readonly(int root, const char *path, struct err *err)
{
	CLEANUP_FD int target = resolve_open_nolinks(root, path, O_PATH);
	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	if (target < 0)
		return err_set(err, ERR_SYSTEM, target, "open %s", path);
	CLEANUP_FD int copy = mount_clone(target, "", true);
	if (copy < 0)
		return err_set(err, ERR_SYSTEM, copy, "copy the mount of %s", path);
	int r = mount_attach(copy, target, "");
	if (r == 0)
		r = mount_change(copy, MOUNT_ATTR_RDONLY, 0, true);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "make %s read-only", path);
	return 0;
}

int masks_apply(const struct runtime_spec *spec, int root, struct err *err)
{
	int r = 0;
	for (size_t i = 0; i < spec->readonly_paths.n && r == 0; i++)
		r = make_readonly(root, spec->readonly_paths.v[i], err);
	if (r < 0 || spec->masked_paths.n == 0)
		return r;
	CLEANUP_FD int null = open_null(root, err);
	if (null < 0)
		return null;
	for (size_t i = 0; i < spec->masked_paths.n && r == 0; i++)
		r = mask(root, spec->masked_paths.v[i], null, err);
	return r;
}

int sysctls_apply(const struct runtime_spec *spec, int root, struct err *err)
{
	if (spec->sysctls.n == 0)
		return 0;
	CLEANUP_FD int dir = resolve_open_nolinks(root, "/proc/sys", O_PATH | O_DIRECTORY);
	if (dir < 0)
		return err_set(err, ERR_SYSTEM, dir, "open /proc/sys");
	for (size_t i = 0; i < spec->sysctls.n; i++) {
		CLEANUP_FREE char *key = str_dup(spec->sysctls.v[i]);
		char *value = strchr(key, '=');
		if (!value)
			return err_set(err, ERR_INVALID, 0, "sysctl '%s' has no value", key);
		*value++ = '\0';
		for (char *p = key; *p; p++)
			if (*p == '.')
				*p = '/';
		CLEANUP_FD int file = resolve_open_nolinks(dir, key, O_WRONLY);
		int r = file < 0 ? file : fd_write_all(file, value, strlen(value));
		if (r < 0)
			return err_set(err, ERR_INVALID, r, "set the sysctl %s", spec->sysctls.v[i]);
	}
	return 0;
}
