/* SPDX-License-Identifier: Apache-2.0 */
/* The device nodes of a container with a user namespace, where it may not make
 * any: made here, on the host's side, in a tmpfs that becomes its /dev. They
 * belong to the container's users. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "internal.h"
#include "mount_api.h"
#include "resolve.h"

const struct spec_device default_devices[] = {
	{ .path = (char *)"/dev/null", .type = 'c', .major = 1, .minor = 3, .mode = 0666 },
	{ .path = (char *)"/dev/zero", .type = 'c', .major = 1, .minor = 5, .mode = 0666 },
	{ .path = (char *)"/dev/full", .type = 'c', .major = 1, .minor = 7, .mode = 0666 },
	{ .path = (char *)"/dev/random", .type = 'c', .major = 1, .minor = 8, .mode = 0666 },
	{ .path = (char *)"/dev/urandom", .type = 'c', .major = 1, .minor = 9, .mode = 0666 },
	{ .path = (char *)"/dev/tty", .type = 'c', .major = 5, .minor = 0, .mode = 0666 },
};
const size_t default_devices_n = ARRAY_LEN(default_devices);

const struct spec_device *device_at(const struct runtime_spec *spec, size_t i)
{
	return i < default_devices_n ? &default_devices[i] : &spec->devices[i - default_devices_n];
}

size_t devices_count(const struct runtime_spec *spec)
{
	return default_devices_n + spec->devices_n;
}

bool mount_is_dev(const struct spec_mount *m)
{
	return str_eq(m->destination, "/dev") && str_eq(m->type, "tmpfs") && !spec_mount_is_bind(m);
}

/* Below /dev, if that is where the nodes are mounted. */
static bool is_in_dev(const struct runtime_spec *spec, const char *path)
{
	bool has_dev = false;
	for (size_t i = 0; i < spec->mounts_n; i++)
		has_dev |= mount_is_dev(&spec->mounts[i]);
	return has_dev && str_starts_with(path, "/dev/");
}

bool device_node_name(const struct runtime_spec *spec, size_t i, char ret[DEVICE_NODE_NAME_MAX])
{
	const char *path = device_at(spec, i)->path;
	if (is_in_dev(spec, path) && strlen(path) < DEVICE_NODE_NAME_MAX) {
		snprintf(ret, DEVICE_NODE_NAME_MAX, "%s", path + strlen("/dev/"));
		return true;
	}
	snprintf(ret, DEVICE_NODE_NAME_MAX, ".hull-%zu", i);
	return false;
}

struct owners {
	const struct runtime_spec *spec;
	pid_t pid;
};

static int give(const struct owners *o, int dir, const char *name, uint32_t uid, uint32_t gid)
{
	uint32_t host_uid = 0, host_gid = 0;
	int r = idmap_to_host(o->spec, o->pid, IDMAP_UID, uid, &host_uid);
	if (r == 0)
		r = idmap_to_host(o->spec, o->pid, IDMAP_GID, gid, &host_gid);
	if (r == 0 && fchownat(dir, name, host_uid, host_gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
		r = -errno;
	return r;
}

/* "bus/usb/001/002": with the directories on the way, root's. */
static int open_parent(const struct owners *o, int dev, const char *name, const char **ret_leaf)
{
	CLEANUP_FD int dir = fcntl(dev, F_DUPFD_CLOEXEC, 0);
	for (const char *slash; dir >= 0 && (slash = strchr(name, '/')); name = slash + 1) {
		CLEANUP_FREE char *part = str_ndup(name, (size_t)(slash - name));
		if (!*part || str_eq(part, ".") || str_eq(part, ".."))
			return -EINVAL;
		bool is_new = mkdirat(dir, part, 0755) == 0;
		int next = openat(dir, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		int r = next < 0 ? -errno : is_new ? give(o, next, "", 0, 0) : 0;
		close(dir);
		dir = next;
		if (r < 0)
			return r;
	}
	*ret_leaf = name;
	return dir < 0 ? -errno : TAKE_FD(dir);
}

static int make_node(const struct owners *o, int dev, const char *name, const struct spec_device *d)
{
	mode_t type = d->type == 'b' ? S_IFBLK : d->type == 'p' ? S_IFIFO : S_IFCHR;
	const char *leaf = name;
	CLEANUP_FD int dir = open_parent(o, dev, name, &leaf);
	if (dir < 0)
		return dir;
	if (!*leaf || str_eq(leaf, ".") || str_eq(leaf, ".."))
		return -EINVAL;
	/* The same name twice: the last wins, as with Docker. */
	if (unlinkat(dir, leaf, 0) < 0 && errno != ENOENT)
		return -errno;
	if (mknodat(dir, leaf, type | (d->mode & 07777), makedev((unsigned)d->major, (unsigned)d->minor)) < 0)
		return -errno;
	return give(o, dir, leaf, d->uid, d->gid);
}

int device_nodes_open(const struct runtime_spec *spec, pid_t pid, int *ret, struct err *err)
{
	const struct owners o = { spec, spec_joins_userns(spec) ? pid : 0 };
	const struct spec_mount *m = NULL;
	CLEANUP_FD int dev = -1;
	int r = 0;
	for (size_t i = 0; i < spec->mounts_n; i++)
		if (mount_is_dev(&spec->mounts[i]))
			m = &spec->mounts[i];
	if (m)
		r = mounts_open_tmpfs(m, &dev, err);
	else
		dev = mount_new_tmpfs("mode=755,size=64k");
	if (r == 0 && dev < 0)
		r = err_set(err, ERR_SYSTEM, dev, "make a file system for the devices");
	if (r == 0 && (r = give(&o, dev, "", 0, 0)) < 0)
		return err_set(err, ERR_SYSTEM, r, "set the owner of /dev");
	/* The modes are meant as they are. */
	mode_t mask = umask(0);
	for (size_t i = 0; i < devices_count(spec) && r == 0; i++) {
		char name[DEVICE_NODE_NAME_MAX];
		(void)device_node_name(spec, i, name);
		r = make_node(&o, dev, name, device_at(spec, i));
		if (r < 0)
			err_set(err, ERR_SYSTEM, r, "make the device %s", device_at(spec, i)->path);
	}
	umask(mask);
	if (r == 0)
		*ret = TAKE_FD(dev);
	return r;
}
