/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "internal.h"
#include "mount_api.h"
#include "resolve.h"

bool spec_mount_is_bind(const struct spec_mount *mount)
{
	return str_eq(mount->type, "bind") || strv_contains(&mount->options, "bind") ||
	       strv_contains(&mount->options, "rbind");
}

bool spec_has_userns(const struct runtime_spec *spec)
{
	return spec->ns[SPEC_NS_USER].wanted;
}

bool spec_joins_userns(const struct runtime_spec *spec)
{
	return spec->ns[SPEC_NS_USER].wanted && spec->ns[SPEC_NS_USER].path;
}

void handover_init(struct handover *h, const struct runtime_spec *spec)
{
	*h = (struct handover){ .writable = spec->layers.n };
	h->binds = h->writable + (spec->upper ? 1 : 0);
	for (size_t i = 0; i < spec->mounts_n; i++)
		h->binds_n += spec_mount_is_bind(&spec->mounts[i]);
	h->devices = h->binds + h->binds_n;
	/* A user namespace may not make device nodes. */
	h->devices_n = spec_has_userns(spec) ? 1 : 0;
	h->n = h->devices + h->devices_n;
	h->fds = mem_calloc(h->n + 1, sizeof(int));
	for (size_t i = 0; i < h->n; i++)
		h->fds[i] = -1;
}

void handover_done(struct handover *h)
{
	for (size_t i = 0; i < h->n; i++)
		cleanup_fd(&h->fds[i]);
	free(h->fds);
	*h = (struct handover){ 0 };
}

static int open_layer(const char *path, int userns, int *ret, struct err *err)
{
	CLEANUP_FD int mount = mount_clone(AT_FDCWD, path, false);
	if (mount < 0)
		return err_set(err, ERR_SYSTEM, mount, "open the layer %s", path);
	if (userns >= 0) {
		int r = mount_idmap(mount, userns, false);
		if (r < 0)
			return err_set(err, ERR_UNSUPPORTED, r, "map the owners of the layer %s", path);
	}
	*ret = TAKE_FD(mount);
	return 0;
}

/* upper and work lie in one directory, so that they are on one mount. */
static int open_writable(const struct runtime_spec *spec, int userns, int *ret, struct err *err)
{
	CLEANUP_FREE char *dir = str_dup(spec->upper);
	char *slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return err_set(err, ERR_INVALID, 0, "bad upper directory %s", spec->upper);
	*slash = '\0';
	if (!spec->work || strncmp(spec->work, dir, strlen(dir)) != 0)
		return err_set(err, ERR_INVALID, 0, "upper and work must be in one directory");
	int r = open_layer(dir, userns, ret, err);
	if (r == -EINVAL && userns >= 0)
		err_hint(err, "keep HULL_ROOT on ext4, xfs, btrfs or tmpfs, or use --userns=host");
	return r;
}

/* In a process of its own, in the mount namespace of @pid. */
static int clone_in_namespace(pid_t pid, const char *path, bool recursive)
{
	char ns[32];
	snprintf(ns, sizeof(ns), "/proc/%d/ns/mnt", pid);
	CLEANUP_FD int fd = open(ns, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNS) < 0)
		return -errno;
	/* What is there belongs to the other container: no link of its making. */
	CLEANUP_FD int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_FD int place = root < 0 ? -errno : resolve_open_nolinks(root, path, O_PATH);
	return place < 0 ? place : mount_clone(place, "", recursive);
}

/* A mount of another container ("/proc/PID/root/dev/shm"): the kernel copies only
 * what is in the mount namespace of the caller. */
static int clone_of_process(pid_t pid, const char *path, bool recursive)
{
	int pair[2], status = 0, tree = -1;
	size_t n = 0;
	struct err err = ERR_INIT;
	int r = channel_pair(pair, &err);
	if (r < 0)
		return r;
	CLEANUP_FD int own = pair[0], far = pair[1];
	pid_t helper = fork();
	if (helper < 0)
		return -errno;
	if (helper == 0) {
		tree = clone_in_namespace(pid, path, recursive);
		err.errnum = tree < 0 ? tree : 0;
		_exit(channel_send(far, CHANNEL_FDS, &err, sizeof(err), &tree, tree >= 0) < 0);
	}
	cleanup_fd(&far);
	r = channel_recv(own, &err, sizeof(err), &tree, 1, &n);
	while (waitpid(helper, &status, 0) < 0 && errno == EINTR)
		;
	return r != CHANNEL_FDS ? -EPIPE : n == 1 ? tree : err.errnum < 0 ? err.errnum : -EPIPE;
}

/* The option "subpath=x": a place in a volume, which its other users may be
 * changing at this moment: no link leads out of the volume. */
static int clone_subpath(const char *source, const char *subpath, bool recursive)
{
	CLEANUP_FD int volume = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_FD int place = volume < 0 ? -errno : resolve_open(volume, subpath, O_PATH, 0);
	return place < 0 ? place : mount_clone(place, "", recursive);
}

static int clone_source(const struct spec_mount *m, bool recursive)
{
	const char *source = m->source;
	int pid = 0, end = 0;
	for (size_t i = 0; i < m->options.n; i++)
		if (str_starts_with(m->options.v[i], "subpath="))
			return clone_subpath(source, m->options.v[i] + strlen("subpath="), recursive);
	if (sscanf(source, "/proc/%d/root/%n", &pid, &end) == 1 && end > 0 && pid > 0)
		return clone_of_process(pid, source + end, recursive);
	return mount_clone(AT_FDCWD, source, recursive);
}

static int open_bind(const struct spec_mount *m, int userns, int *ret, struct err *err)
{
	bool recursive = !strv_contains(&m->options, "bind");
	CLEANUP_FD int mount = clone_source(m, recursive);
	if (mount == -ENOENT || mount == -ENOTDIR)
		return err_set(err, ERR_INVALID, 0, "invalid mount config for type \"bind\": bind source path does not exist: %s",
			       m->source);
	if (mount < 0)
		return err_set(err, ERR_SYSTEM, mount, "open %s", m->source);
	/* Files keep their owners for root inside. File systems that cannot show
	 * them so (and mounts below with a mapping of their own) are bound as
	 * they are: less access, never more. */
	if (userns >= 0 && !strv_contains(&m->options, "noidmap") && mount_idmap(mount, userns, recursive) < 0 &&
	    (!recursive || mount_idmap(mount, userns, false) < 0) && strv_contains(&m->options, "idmap"))
		return err_set(err, ERR_UNSUPPORTED, 0, "the file system of %s cannot map owners", m->source);
	*ret = TAKE_FD(mount);
	return 0;
}

int handover_open(struct handover *h, const struct runtime_spec *spec, pid_t pid, int userns, struct err *err)
{
	int r = 0;
	for (size_t i = 0; i < spec->layers.n && r == 0; i++)
		r = open_layer(spec->layers.v[i], userns, &h->fds[i], err);
	if (r == 0 && spec->upper)
		r = open_writable(spec, userns, &h->fds[h->writable], err);
	size_t bind = h->binds;
	for (size_t i = 0; i < spec->mounts_n && r == 0; i++)
		if (spec_mount_is_bind(&spec->mounts[i]))
			r = open_bind(&spec->mounts[i], userns, &h->fds[bind++], err);
	if (r == 0 && h->devices_n)
		r = device_nodes_open(spec, pid, &h->fds[h->devices], err);
	return r;
}
