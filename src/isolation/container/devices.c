/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "internal.h"
#include "mount_api.h"
#include "resolve.h"

static const struct {
	const char *path, *target;
} links[] = {
	{ "dev/fd", "/proc/self/fd" },         { "dev/stdin", "/proc/self/fd/0" }, { "dev/stdout", "/proc/self/fd/1" },
	{ "dev/stderr", "/proc/self/fd/2" },   { "dev/ptmx", "pts/ptmx" },         { "dev/core", "/proc/kcore" },
};

/* The directory a device goes into, and its name there. */
static int open_parent(int root, const char *path, int *ret_dir, const char **ret_name, struct err *err)
{
	CLEANUP_FREE char *parent = str_dup(path);
	char *slash = strrchr(parent, '/');
	if (!slash || !slash[1])
		return err_set(err, ERR_INVALID, 0, "bad device path %s", path);
	*slash = '\0';
	int dir = resolve_mkdir_parents(root, parent);
	if (dir < 0)
		return err_set(err, ERR_SYSTEM, dir, "make the directory of %s", path);
	*ret_dir = dir;
	*ret_name = strrchr(path, '/') + 1;
	return 0;
}

static int bind_node(int root, const struct spec_device *d, int nodes, const char *node_name, struct err *err)
{
	CLEANUP_FD int dir = -1, file = -1, node = -1;
	const char *name = NULL;
	int r = open_parent(root, d->path, &dir, &name, err);
	if (r < 0)
		return r;
	/* A plain file to mount on; whatever the image put there (a link, a
	 * node) is not followed. */
	file = openat(dir, name, O_CREAT | O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0666);
	if (file < 0)
		return err_set(err, ERR_SYSTEM, errno, "make %s", d->path);
	node = mount_clone(nodes, node_name, false);
	r = node < 0 ? node : mount_attach(node, file, "");
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "bind the device %s", d->path);
	/* Its name is not for the container to see. */
	(void)unlinkat(nodes, node_name, 0);
	return 0;
}

static int make_node(int root, const struct spec_device *d, struct err *err)
{
	CLEANUP_FD int dir = -1;
	const char *name;
	int r = open_parent(root, d->path, &dir, &name, err);
	if (r < 0)
		return r;
	mode_t type = d->type == 'b' ? S_IFBLK : d->type == 'p' ? S_IFIFO : S_IFCHR;
	dev_t dev = makedev((unsigned)d->major, (unsigned)d->minor);
	if (mknodat(dir, name, type | (d->mode & 07777), dev) < 0) {
		struct stat st;
		if (errno != EEXIST)
			return err_set(err, ERR_SYSTEM, errno, "make the device %s", d->path);
		if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || (st.st_mode & S_IFMT) != type || st.st_rdev != dev)
			return err_set(err, ERR_CONFLICT, 0, "%s exists in the image and is another thing", d->path);
	}
	/* The umask had its say. */
	if (fchmodat(dir, name, d->mode & 07777, 0) < 0 || fchownat(dir, name, d->uid, d->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, ERR_SYSTEM, errno, "set the owner of the device %s", d->path);
	return 0;
}

int devices_make(const struct runtime_spec *spec, const struct handover *h, int root, struct err *err)
{
	int r = 0;
	for (size_t i = 0; i < devices_count(spec) && r == 0; i++) {
		char name[DEVICE_NODE_NAME_MAX];
		if (!h->devices_n)
			r = make_node(root, device_at(spec, i), err);
		else if (!device_node_name(spec, i, name))
			r = bind_node(root, device_at(spec, i), h->fds[h->devices], name, err);
	}
	if (r < 0)
		return r;
	CLEANUP_FD int dev = resolve_open(root, "/dev", O_PATH | O_DIRECTORY, 0);
	if (dev < 0)
		return err_set(err, ERR_SYSTEM, dev, "open /dev");
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		if (symlinkat(links[i].target, dev, links[i].path + strlen("dev/")) < 0 && errno != EEXIST)
			return err_set(err, ERR_SYSTEM, errno, "make /%s", links[i].path);
	return 0;
}
