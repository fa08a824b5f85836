/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the store and removing what dead processes left in it. Apart from
 * store.c, because recovery needs the layers, which need the store. */
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "fd.h"
#include "layers.h"
#include "partial.h"
#include "store.h"
#include "str.h"

/* What a dead hull had downloaded spares the next one the same. */
static void keep_partials(struct store *store, int dir_fd)
{
	int copy = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
	CLEANUP_DIR DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	for (struct dirent *e; dir && (e = readdir(dir));)
		partial_keep(store, dir_fd, e->d_name);
}

/* Remove one abandoned directory: 1 when it was, 0 when its owner lives. */
static int remove_if_dead(struct store *store, const char *name, struct err *err)
{
	CLEANUP_FREE char *path = str_printf("ingest/%s", name);
	CLEANUP_FD int fd = openat(store->root_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_set(err, ERR_SYSTEM, -errno, "open %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return 0;
	/* The files without a row first: this directory is what tells the next
	 * hull to look for them, should this one die too. */
	int r = layers_remove_orphans(store, err);
	if (r < 0)
		return r;
	keep_partials(store, fd);
	r = fd_remove_tree_at(store->root_fd, path);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "remove %s", path) : 1;
}

int store_recover(struct store *store, struct err *err)
{
	struct stat st;
	if (fstatat(store->root_fd, "ingest", &st, 0) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "look at %s/ingest", store->root);
	/* Two links: no subdirectory. btrfs always says one. */
	if (st.st_nlink == 2)
		return 0;
	int fd = openat(store->root_fd, "ingest", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_DIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return err_set(err, ERR_SYSTEM, -errno, "read %s/ingest", store->root);
	for (struct dirent *e; (e = readdir(dir));) {
		if (e->d_name[0] == '.' || partial_is_name(e->d_name))
			continue;
		int r = remove_if_dead(store, e->d_name, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static char *place(const char *variable, const char *otherwise)
{
	const char *v = getenv(variable);
	if (str_is_empty(v))
		return str_dup(otherwise);
	size_t len = strlen(v);
	while (len > 1 && v[len - 1] == '/')
		len--;
	if (*v == '/')
		return str_ndup(v, len);
	CLEANUP_FREE char *cwd = realpath(".", NULL);
	return str_printf("%s/%.*s", cwd ? cwd : "", (int)len, v);
}

static int no_permission(struct err *err, const char *path, int r)
{
	err_set(err, ERR_SYSTEM, r, "open the store %s", path);
	if (r == -EACCES || r == -EPERM) {
		err_why(err, "the store belongs to another user; rootless use is not there yet");
		err_hint(err, "sudo hull ...      or point HULL_ROOT and HULL_RUN to directories of your own");
	}
	return r;
}

static int make_dirs(const struct store *store, struct err *err)
{
	static const char *const dirs[] = { "layers", "blobs/sha256", "ingest", "workloads", "volumes", "seccomp" };
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		CLEANUP_FREE char *path = str_printf("%s/%s", store->root, dirs[i]);
		int r = fd_mkdir_parents(path, 0700);
		if (r < 0)
			return no_permission(err, path, r);
	}
	return 0;
}

static int make_run_dirs(const struct store *store, struct err *err)
{
	CLEANUP_FREE char *layers = str_printf("%s/layers", store->run);
	if (access(layers, F_OK) == 0)
		return 0;
	CLEANUP_FREE char *workloads = str_printf("%s/workloads", store->run);
	int r = fd_mkdir_parents(workloads, 0700);
	/* layers last: it says that the others are there. */
	if (r == 0)
		r = fd_mkdir_parents(layers, 0700);
	return r < 0 ? no_permission(err, store->run, r) : 0;
}

int store_open(const struct db_schema *engine, struct store **ret, struct err *err)
{
	CLEANUP_STORE struct store *store = mem_calloc(1, sizeof(*store));
	store->root_fd = -1;
	store->root = place("HULL_ROOT", "/var/lib/hull");
	store->run = place("HULL_RUN", "/run/hull");
	CLEANUP_FREE char *path = str_printf("%s/hull.db", store->root);
	int r;
	if (access(path, F_OK) < 0 && (r = make_dirs(store, err)) < 0)
		return r;
	store->root_fd = open(store->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->root_fd < 0)
		return no_permission(err, store->root, -errno);
	if ((r = make_run_dirs(store, err)) < 0)
		return r;
	if ((r = db_open(path, engine, &store->db, err)) < 0)
		return r;
	if ((r = store_recover(store, err)) < 0)
		return err_context(err, r, "remove what a dead hull left");
	*ret = TAKE_PTR(store);
	return 0;
}
