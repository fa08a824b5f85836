/* SPDX-License-Identifier: Apache-2.0 */
/* Places for the files that hull mounts into /etc, made in the writable layer before
 * the guest starts. The guest would make those that the image lacks itself, with
 * forty questions to hull-files, a good part of its whole start; here it is a few
 * calls.
 *
 * Only where nothing is doubtful: the writable layer has no /etc yet, the uppermost
 * layer that has one has a directory, no layer has the file. Whatever else there is
 * (links, whiteouts, leftovers), and whatever fails, is left to the guest, which sees
 * the layers put together. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "guest.h"
#include "internal.h"
#include "resolve.h"
#include "tree.h"

#define DIRECTORY "etc"

static const char *const files[] = { "resolv.conf", "hostname", "hosts" };

static bool is_wanted(const struct runtime_spec *spec, const char *name)
{
	CLEANUP_FREE char *path = str_printf("/" DIRECTORY "/%s", name);
	for (size_t i = 0; i < spec->mounts_n; i++)
		if (spec_mount_is_bind(&spec->mounts[i]) && str_eq(spec->mounts[i].destination, path))
			return true;
	return false;
}

/* The directory in the uppermost layer that has anything of that name; a negative
 * errno when there is none, or it is something else. */
static int open_lower(const struct runtime_spec *spec)
{
	for (size_t i = spec->layers.n; i-- > 0;) {
		struct stat st;
		CLEANUP_FD int layer = open(spec->layers.v[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (layer < 0 || (fstatat(layer, DIRECTORY, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT))
			return -errno;
		int fd = resolve_open_nolinks(layer, DIRECTORY, O_RDONLY | O_DIRECTORY);
		if (fd != -ENOENT)
			return fd;
	}
	return -ENOENT;
}

static bool has_file(const struct runtime_spec *spec, const char *name)
{
	for (size_t i = 0; i < spec->layers.n; i++) {
		struct stat st;
		CLEANUP_FD int layer = open(spec->layers.v[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
		CLEANUP_FD int dir = layer < 0 ? -1 : resolve_open_nolinks(layer, DIRECTORY, O_PATH | O_DIRECTORY);
		if (dir != -ENOENT && (dir < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT))
			return true;
	}
	return false;
}

static int copy_directory(int upper, int lower)
{
	if (mkdirat(upper, DIRECTORY, 0700) < 0)
		return -errno;
	CLEANUP_FD int dir = resolve_open_nolinks(upper, DIRECTORY, O_RDONLY | O_DIRECTORY);
	int r = dir < 0 ? dir : tree_copy_attributes(lower, dir);
	if (r == 0)
		return TAKE_FD(dir);
	(void)unlinkat(upper, DIRECTORY, AT_REMOVEDIR);
	return r;
}

void guest_make_mount_points(const struct runtime_spec *spec)
{
	bool is_missing[ARRAY_LEN(files)], any = false;
	CLEANUP_FD int upper = spec->upper ? open(spec->upper, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
	if (upper < 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		any |= is_missing[i] = is_wanted(spec, files[i]) && !has_file(spec, files[i]);
	CLEANUP_FD int lower = any ? open_lower(spec) : -1;
	CLEANUP_FD int dir = lower < 0 ? -1 : copy_directory(upper, lower);
	for (size_t i = 0; i < ARRAY_LEN(files) && dir >= 0; i++) {
		CLEANUP_FD int file = is_missing[i] ? openat(dir, files[i], O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644) : -1;
		/* The umask is not the workload's. */
		if (file >= 0)
			(void)fchmod(file, 0644);
	}
}
