/* SPDX-License-Identifier: Apache-2.0 */
#include "dir_names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int dir_names(int fd, struct strv *names)
{
	CLEANUP_FD int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_DIR DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir)
		return -errno;
	copy = -1;
	for (struct dirent *e; errno = 0, e = readdir(dir);)
		if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
			strv_add(names, e->d_name);
	if (errno)
		return -errno;
	if (names->n)
		qsort(names->v, names->n, sizeof(*names->v), compare);
	return 0;
}

bool dir_is_bare_mount_point(const struct strv *mount_points, const char *path, int fd, const struct stat *st)
{
	CLEANUP_STRV struct strv names = { 0 };
	for (size_t i = 0; mount_points && i < mount_points->n; i++) {
		const char *p = mount_points->v[i];
		if (*p != '/' || !str_eq(p + 1, path))
			continue;
		if (S_ISREG(st->st_mode))
			return st->st_size == 0;
		return S_ISDIR(st->st_mode) && dir_names(fd, &names) == 0 && names.n == 0;
	}
	return false;
}
