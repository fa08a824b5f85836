/* SPDX-License-Identifier: Apache-2.0 */
#include "layer_diff.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "dir_names.h"

/* A recursion each: bounded well below the stack. */
#define DEPTH_MAX 512u
#define PATH_BYTES_MAX 65536u

struct diff {
	const int *layers;
	size_t layers_n;
	const struct strv *mount_points;
	struct strv *out;
	struct buf path;
	unsigned depth;
};

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

static bool is_opaque(int fd)
{
	static const char *const names[] = { "user.overlay.opaque", "trusted.overlay.opaque" };
	char path[32], value[4];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (getxattr(path, names[i], value, sizeof(value)) == 1 && value[0] == 'y')
			return true;
	return false;
}

enum found { FOUND_NOT, FOUND_HIDDEN, FOUND };

/* @path in one layer: there, not there, or hidden by it from the layers below. */
static enum found look_in(int layer, char *path, struct stat *st)
{
	CLEANUP_FD int dir = openat(layer, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool hides = false;
	for (char *p = path; dir >= 0;) {
		char *slash = strchr(p, '/');
		if (slash)
			*slash = '\0';
		int fd = openat(dir, p, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (slash)
			*slash = '/';
		if (fd < 0)
			return hides ? FOUND_HIDDEN : FOUND_NOT;
		close(dir);
		dir = fd;
		if (fstat(fd, st) < 0 || is_whiteout(st) || (slash && !S_ISDIR(st->st_mode)))
			return FOUND_HIDDEN;
		if (!slash)
			return FOUND;
		hides |= is_opaque(fd);
		p = slash + 1;
	}
	return FOUND_NOT;
}

static bool find_below(struct diff *d, struct stat *st)
{
	for (size_t i = d->layers_n; i-- > 0;) {
		enum found f = look_in(d->layers[i], d->path.data, st);
		if (f != FOUND_NOT)
			return f == FOUND;
	}
	return false;
}

static bool same_owner_and_mode(const struct stat *a, const struct stat *b)
{
	return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid;
}

static int diff_dir(struct diff *d, int fd, struct err *err);

static int diff_entry(struct diff *d, int dir, const char *name, struct err *err)
{
	struct stat st, below;
	CLEANUP_FD int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0; /* gone meanwhile */
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open %.200s", buf_str(&d->path));
	bool exists = find_below(d, &below);
	if (is_whiteout(&st)) {
		if (exists)
			strv_printf(d->out, "D /%s", buf_str(&d->path));
		return 0;
	}
	if (dir_is_bare_mount_point(d->mount_points, buf_str(&d->path), fd, &st))
		return 0;
	bool same = exists && same_owner_and_mode(&st, &below);
	if (!S_ISDIR(st.st_mode)) {
		/* Copied up and left as it was (a chmod there and back). */
		if (!same || st.st_size != below.st_size || st.st_mtim.tv_sec != below.st_mtim.tv_sec ||
		    st.st_mtim.tv_nsec != below.st_mtim.tv_nsec)
			strv_printf(d->out, "%c /%s", exists ? 'C' : 'A', buf_str(&d->path));
		return 0;
	}
	size_t at = d->out->n;
	strv_printf(d->out, "%c /%s", exists ? 'C' : 'A', buf_str(&d->path));
	int r = diff_dir(d, fd, err);
	if (r == 0 && same && !is_opaque(fd) && d->out->n == at + 1) {
		free(d->out->v[at]);
		d->out->v[at] = NULL;
		d->out->n = at;
	}
	return r;
}

static int diff_dir(struct diff *d, int fd, struct err *err)
{
	CLEANUP_STRV struct strv names = { 0 };
	size_t len = d->path.len;
	if (d->depth == DEPTH_MAX)
		return err_set(err, ERR_INVALID, 0, "%.200s: more than %u directories deep", buf_str(&d->path), DEPTH_MAX);
	int r = dir_names(fd, &names);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "read %.200s", buf_str(&d->path));
	d->depth++;
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		r = len ? buf_append_char(&d->path, '/') : 0;
		if (r == 0)
			r = buf_append_str(&d->path, names.v[i]);
		r = r < 0 ? err_set(err, ERR_INVALID, r, "a path longer than %u bytes", PATH_BYTES_MAX) :
			    diff_entry(d, fd, names.v[i], err);
		d->path.len = len;
		if (d->path.data)
			d->path.data[len] = '\0';
	}
	d->depth--;
	return r;
}

int layer_diff(int upper_fd, const int *layers, size_t layers_n, const struct strv *mount_points, struct strv *out,
	       struct err *err)
{
	struct diff d = { layers, layers_n, mount_points, out, BUF_INIT(PATH_BYTES_MAX), 0 };
	int r = diff_dir(&d, upper_fd, err);
	buf_free(&d.path);
	return r;
}
