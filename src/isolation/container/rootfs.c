/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "internal.h"
#include "mount_api.h"
#include "resolve.h"

/* A private tmpfs to attach the layers below: an overlay takes only layers that
 * are attached in the mount namespace it is made in. It lies below the host's
 * root, not over it, so that it goes with that in one step: on a directory that
 * everybody may walk to and that nobody needs by name from here on (unlike /sys,
 * /proc and /dev), the first that the host has. */
static int make_scratch(int *ret, struct err *err)
{
	static const char *const places[] = { "/usr", "/etc", "/bin" };
	CLEANUP_FD int scratch = mount_new_tmpfs("mode=700,size=64k");
	if (scratch < 0)
		return err_set(err, ERR_SYSTEM, scratch, "make a scratch file system");
	int r = -ENOENT;
	for (size_t i = 0; r == -ENOENT && i < ARRAY_LEN(places); i++)
		r = mount_attach(scratch, AT_FDCWD, places[i]);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "attach the scratch file system");
	*ret = TAKE_FD(scratch);
	return 0;
}

static int attach_in(int scratch, const char *name, int mount, struct err *err)
{
	if (mkdirat(scratch, name, 0700) < 0)
		return err_set(err, ERR_SYSTEM, errno, "make a mount point");
	int r = mount_attach(mount, scratch, name);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "attach a layer");
	return 0;
}

static int build_overlay(const struct runtime_spec *spec, const struct handover *h, int scratch, int *ret,
			 struct err *err)
{
	CLEANUP_FD int upper = -1, work = -1;
	char name[16];
	int r = 0;
	for (size_t i = 0; i < spec->layers.n && r == 0; i++) {
		snprintf(name, sizeof(name), "%zu", i);
		r = attach_in(scratch, name, h->fds[i], err);
	}
	if (r == 0 && spec->upper) {
		int dir = h->fds[h->writable];
		r = attach_in(scratch, "rw", dir, err);
		if (r < 0)
			return r;
		upper = openat(dir, strrchr(spec->upper, '/') + 1, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		work = openat(dir, strrchr(spec->work, '/') + 1, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (upper < 0 || work < 0)
			return err_set(err, ERR_SYSTEM, errno, "open the writable layer");
	}
	if (r < 0)
		return r;
	/* One layer and nothing to write: no overlay is needed. */
	if (spec->layers.n == 1 && !spec->upper) {
		*ret = mount_clone(h->fds[0], "", false);
		return *ret < 0 ? err_set(err, ERR_SYSTEM, *ret, "open the root") : 0;
	}
	*ret = mount_new_overlay(h->fds, spec->layers.n, upper, work, true);
	if (*ret < 0)
		return err_set(err, ERR_SYSTEM, *ret, "mount the overlay of %zu layers", spec->layers.n);
	return 0;
}

int rootfs_build(const struct runtime_spec *spec, const struct handover *h, int *ret_root, struct err *err)
{
	CLEANUP_FD int scratch = -1, root = -1;
	/* What is mounted later must not reach the host; what the host mounts
	 * may still arrive in a mount that asks for it ("rslave"). */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_set(err, ERR_SYSTEM, errno, "leave the host's mount propagation");
	int r = make_scratch(&scratch, err);
	if (r < 0)
		return r;
	if (spec->layers.n) {
		r = build_overlay(spec, h, scratch, &root, err);
		if (r < 0)
			return r;
	} else {
		root = mount_clone(AT_FDCWD, spec->root_path, true);
		if (root < 0)
			return err_set(err, ERR_SYSTEM, root, "open the root file system %s", spec->root_path);
	}
	r = attach_in(scratch, "root", root, err);
	if (r == 0 && h->devices_n)
		r = attach_in(scratch, "nodes", h->fds[h->devices], err);
	if (r < 0)
		return r;
	*ret_root = TAKE_FD(root);
	return 0;
}

int rootfs_make_cwd(const struct runtime_spec *spec, int root, struct err *err)
{
	CLEANUP_FD int there = resolve_open(root, spec->process.cwd, O_PATH, 0);
	/* A magic link (/proc/self/fd/N) is no place in the image: chdir() will
	 * judge it. */
	if (there != -ENOENT)
		return there < 0 && there != -ELOOP && there != -ENOTDIR && there != -EACCES ?
			       err_set(err, ERR_SYSTEM, there, "look for the working directory %s", spec->process.cwd) :
			       0;
	CLEANUP_FD int dir = resolve_mkdir_parents(root, spec->process.cwd);
	if (dir < 0)
		return err_set(err, ERR_SYSTEM, dir, "make the working directory %s", spec->process.cwd);
	return 0;
}

int rootfs_enter(int root, struct err *err)
{
	int r = mount_enter_root(root);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "enter the root file system") : 0;
}
