/* SPDX-License-Identifier: Apache-2.0 */
#include "container_files.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "layers.h"
#include "mount_api.h"
#include "resolve.h"

#define CONFIG_MAX_BYTES (16u << 20)

void container_files_done(struct container_files *f)
{
	container_free(f->c);
	image_free(f->image);
	strv_free(&f->layers);
	strv_free(&f->mount_points);
	runtime_spec_free(f->last);
	free(f->upper_path);
	cleanup_fd(&f->upper);
}

static int read_last_start(struct engine *engine, struct container_files *f, struct err *err)
{
	CLEANUP_FREE char *path = engine_workload_path(engine, f->c->id, "config.json");
	CLEANUP_BUF struct buf text = BUF_INIT(CONFIG_MAX_BYTES);
	int r = fd_read_file_at(AT_FDCWD, path, &text);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "read %s", path);
	r = runtime_spec_parse(buf_str(&text), text.len, &f->last, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < f->last->mounts_n; i++)
		strv_add(&f->mount_points, f->last->mounts[i].destination);
	return 0;
}

int container_files_open(struct engine *engine, const char *name, struct container_files *ret, struct err *err)
{
	*ret = (struct container_files){ .upper = -1 };
	int r = container_find(engine, name, &ret->c, err);
	if (r == 0)
		r = container_load_config(ret->c, err);
	if (r == 0)
		r = image_load(engine->store, ret->c->image_id, &ret->image, err);
	if (r == 0)
		r = layers_ensure_mounted(engine->store, &ret->image->config->diffids, &ret->layers, err);
	if (r >= 0)
		r = read_last_start(engine, ret, err);
	if (r < 0)
		return r;
	ret->upper_path = engine_workload_path(engine, ret->c->id, "upper");
	ret->upper = open(ret->upper_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (ret->upper < 0 && errno != ENOENT)
		return err_set(err, ERR_SYSTEM, -errno, "open %s", ret->upper_path);
	return 0;
}

int container_files_open_all(const struct strv *paths, int **ret, struct err *err)
{
	int *fds = mem_calloc(paths->n + 1, sizeof(int));
	int r = 0;
	for (size_t i = 0; i < paths->n; i++) {
		fds[i] = open(paths->v[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fds[i] < 0 && r == 0)
			r = err_set(err, ERR_SYSTEM, -errno, "open the layer %s", paths->v[i]);
	}
	*ret = fds;
	return r;
}

void container_files_close_all(int *fds, size_t n)
{
	for (size_t i = 0; fds && i < n; i++)
		cleanup_fd(&fds[i]);
	free(fds);
}

/* As a start makes them, for one that has not been started yet. */
static int make_writable(const struct container_files *f, int *ret_upper, int *ret_work, struct err *err)
{
	CLEANUP_FREE char *workload = str_ndup(f->upper_path, strlen(f->upper_path) - strlen("/upper"));
	int r = fd_mkdir_parents(workload, 0700);
	CLEANUP_FD int dir = r < 0 ? r : open(workload, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (r < 0 || dir < 0)
		return err_set(err, ERR_SYSTEM, r < 0 ? r : -errno, "open %s", workload);
	if ((mkdirat(dir, "upper", 0755) < 0 && errno != EEXIST) || (mkdirat(dir, "work", 0700) < 0 && errno != EEXIST))
		return err_set(err, ERR_SYSTEM, -errno, "create the writable layer");
	*ret_upper = openat(dir, "upper", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	*ret_work = openat(dir, "work", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret_upper < 0 || *ret_work < 0 ? err_set(err, ERR_SYSTEM, -errno, "open the writable layer") : 0;
}

int container_files_put_together(const struct container_files *f, bool writable, int *ret_root, struct err *err)
{
	int *fds = NULL;
	CLEANUP_FD int upper = -1, work = -1;
	CLEANUP_STRV struct strv paths = { 0 };
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a mount namespace");
	strv_extend(&paths, &f->layers);
	if (!writable && f->upper >= 0)
		strv_add(&paths, f->upper_path);
	int r = container_files_open_all(&paths, &fds, err);
	if (r == 0 && writable)
		r = make_writable(f, &upper, &work, err);
	if (r == 0) {
		*ret_root = paths.n == 1 && !writable ? mount_clone(fds[0], "", false) :
							mount_new_overlay(fds, paths.n, upper, work, true);
		if (*ret_root < 0)
			r = err_set(err, ERR_SYSTEM, *ret_root, "put the layers together");
	}
	container_files_close_all(fds, paths.n);
	return r;
}

static bool is_bind(const struct spec_mount *m)
{
	return m->source && (str_eq(m->type, "bind") || strv_contains(&m->options, "bind") || strv_contains(&m->options, "rbind"));
}

static int clone_source(const struct spec_mount *m)
{
	for (size_t i = 0; i < m->options.n; i++) {
		if (!str_starts_with(m->options.v[i], "subpath="))
			continue;
		CLEANUP_FD int volume = open(m->source, O_PATH | O_DIRECTORY | O_CLOEXEC);
		CLEANUP_FD int place = volume < 0 ? -errno : resolve_open(volume, m->options.v[i] + strlen("subpath="), O_PATH, 0);
		return place < 0 ? place : mount_clone(place, "", true);
	}
	return mount_clone(AT_FDCWD, m->source, true);
}

static int attach_bind(int root, const struct spec_mount *m)
{
	struct stat st;
	CLEANUP_FD int source = clone_source(m);
	if (source == -ENOENT)
		return 0;
	if (source < 0 || fstat(source, &st) < 0)
		return source < 0 ? source : -errno;
	CLEANUP_FD int target = resolve_make(root, m->destination, S_ISDIR(st.st_mode));
	int r = target < 0 ? target : mount_attach(source, target, "");
	if (r == 0 && (strv_contains(&m->options, "ro") || strv_contains(&m->options, "rro")))
		r = mount_change(source, MOUNT_ATTR_RDONLY, 0, false);
	return r;
}

/* While the host's paths are in reach. What belongs to another process is gone. */
static int attach_binds(int root, const struct spec_mount *mounts, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		if (!is_bind(&mounts[i]) || str_starts_with(mounts[i].source, "/proc/"))
			continue;
		int r = attach_bind(root, &mounts[i]);
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "mount %s on %s", mounts[i].source, mounts[i].destination);
	}
	return 0;
}

int container_files_enter(const struct container_files *f, const struct spec_mount *mounts, size_t mounts_n, struct err *err)
{
	CLEANUP_FD int root = -1;
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	int r = container_files_put_together(f, true, &root, err);
	if (r == 0 && (r = mount_attach(root, AT_FDCWD, "/")) < 0)
		return err_set(err, ERR_SYSTEM, r, "attach the container's files");
	if (r == 0)
		r = attach_binds(root, mounts, mounts_n, err);
	if (r == 0 && f->c->config->readonly_rootfs && (r = mount_change(root, MOUNT_ATTR_RDONLY, 0, false)) < 0)
		return err_set(err, ERR_SYSTEM, r, "make the container's files read-only");
	if (r < 0)
		return r;
	/* What is mounted in this namespace of its own is out of reach by any name. */
	if (fchdir(root) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return err_set(err, ERR_SYSTEM, -errno, "enter the container's files");
	return 0;
}
