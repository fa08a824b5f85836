/* SPDX-License-Identifier: Apache-2.0 */
/* What volumes need on the host before a container starts.
 *
 * Copy-up. The image's files are first copied to volumes/<name>/_fill, where no
 * container sees them, and renamed to _filled when they are all there; then each
 * entry is renamed into _data. So a killed copy is begun again, a finished one is
 * gone on with, and nothing is ever written through names that a container with
 * the same volume could replace by links. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "events.h"
#include "fault.h"
#include "fd.h"
#include "mount_api.h"
#include "resolve.h"
#include "tree.h"
#include "volume_mounts.h"

/* The layers as one read-only root. */
static int open_image_root(const struct strv *layers, int *ret, struct err *err)
{
	int fds[256];
	size_t n = 0;
	int r = layers->n > ARRAY_LEN(fds) ? -E2BIG : 0;
	for (; r == 0 && n < layers->n; n++) {
		fds[n] = open(layers->v[n], O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fds[n] < 0) {
			r = -errno;
			break;
		}
	}
	if (r == 0)
		r = n == 1 ? fcntl(fds[0], F_DUPFD_CLOEXEC, 3) : mount_new_overlay(fds, n, -1, -1, true);
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "open the image's files");
	*ret = r;
	return 0;
}

static int move_entries(int from, int to)
{
	int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_DIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return -errno;
	for (struct dirent *e; (e = readdir(dir));) {
		if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
			continue;
		if (renameat2(from, e->d_name, to, e->d_name, RENAME_NOREPLACE) < 0 && errno != EEXIST)
			return -errno;
	}
	return tree_copy_attributes(from, to);
}

/* @volume is the volume's own folder, locked. */
static int copy_up(int volume, int source, int data)
{
	CLEANUP_FD int filled = openat(volume, "_filled", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = 0;
	if (filled < 0) {
		r = tree_is_empty(data);
		if (r <= 0)
			return r;
		r = fd_remove_tree_at(volume, "_fill");
		if (r < 0)
			return r;
		if (mkdirat(volume, "_fill", 0700) < 0 ||
		    (filled = openat(volume, "_fill", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
			return -errno;
		r = tree_copy(source, filled);
		if (r == 0 && renameat(volume, "_fill", volume, "_filled") < 0)
			r = -errno;
		if (r < 0) {
			(void)!fd_remove_tree_at(volume, "_fill");
			return r;
		}
	}
	r = FAULT("volume.copied");
	if (r == 0)
		r = move_entries(filled, data);
	return r < 0 ? r : fd_remove_tree_at(volume, "_filled");
}

static int fill(struct engine *engine, struct container *c, const struct volume_mount *m, int root, struct err *err)
{
	char path[VOLUME_NAME_SIZE + 16];
	struct stat own, there;
	CLEANUP_FD int source = resolve_open(root, m->destination, O_RDONLY | O_DIRECTORY, 0);
	int r = 0;
	if (source >= 0) {
		snprintf(path, sizeof(path), "volumes/%s", m->name);
		CLEANUP_FD int volume = openat(engine->store->root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		CLEANUP_FD int data = volume < 0 ? -1 : openat(volume, "_data", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (data < 0 || fstat(volume, &own) < 0 || fstat(data, &there) < 0 || flock(volume, LOCK_EX) < 0)
			return err_set(err, ERR_SYSTEM, errno, "open volume %s", m->name);
		/* Another file system, which the driver mounted, is filled by hand. */
		r = own.st_dev == there.st_dev ? copy_up(volume, source, data) : 0;
	} else if (source != -ENOENT && source != -ENOTDIR && source != -ELOOP) {
		r = source;
	}
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "copy the image's files of %s to volume %s", m->destination, m->name);
	r = db_run(engine->db, err, "UPDATE container_volumes SET needs_copy = 0 WHERE container = ? AND destination = ?", "ss", c->id,
		   m->destination);
	return r < 0 ? r : 0;
}

/* ---- the driver's options: type, device, o ---- */

static const struct {
	const char *name;
	unsigned long flag;
} mount_flags[] = {
	{ "bind", MS_BIND },     { "rbind", MS_BIND | MS_REC }, { "ro", MS_RDONLY },         { "nosuid", MS_NOSUID },
	{ "nodev", MS_NODEV },   { "noexec", MS_NOEXEC },       { "noatime", MS_NOATIME },   { "relatime", MS_RELATIME },
	{ "sync", MS_SYNCHRONOUS }, { "rw", 0 },                { "defaults", 0 },
};

static const char *option_of(const struct volume *v, const char *key)
{
	size_t len = strlen(key);
	for (size_t i = 0; i < v->options.n; i++)
		if (strncmp(v->options.v[i], key, len) == 0 && v->options.v[i][len] == '=')
			return v->options.v[i] + len + 1;
	return NULL;
}

static int mount_options(const char *words, unsigned long *flags, struct strv *data)
{
	CLEANUP_STRV struct strv in = { 0 };
	strv_split(&in, words ? words : "", ',');
	for (size_t i = 0; i < in.n; i++) {
		size_t k = 0;
		while (k < ARRAY_LEN(mount_flags) && !str_eq(in.v[i], mount_flags[k].name))
			k++;
		if (k < ARRAY_LEN(mount_flags))
			*flags |= mount_flags[k].flag;
		else
			strv_add(data, in.v[i]);
	}
	return 0;
}

/* The first address that the host's own rules give for @name: hull is static, and
 * what they need (NSS) is not. */
static int resolve_name(const char *name, char *ret, size_t size, struct err *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(65536);
	const char *const argv[] = { "getent", "ahosts", name, NULL };
	posix_spawn_file_actions_t actions;
	int pair[2], status = 0;
	pid_t pid;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a pipe");
	CLEANUP_FD int read_end = pair[0], write_end = pair[1];
	posix_spawn_file_actions_init(&actions);
	int r = posix_spawn_file_actions_adddup2(&actions, write_end, 1);
	if (r == 0)
		r = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	cleanup_fd(&write_end);
	if (r == 0) {
		r = -fd_read_all(read_end, &out);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	if (r != 0)
		return err_set(err, ERR_SYSTEM, -r, "run getent");
	CLEANUP_FREE char *address = str_ndup(buf_str(&out), strcspn(buf_str(&out), " \t\n"));
	if (status != 0 || !*address || str_copy(ret, size, address) < 0) {
		err_set(err, ERR_NOT_FOUND, 0, "error resolving passed in network volume address: lookup %s: no such host", name);
		return -ENOENT;
	}
	return 0;
}

/* The kernel's network file systems take addresses only. */
static int resolve_addresses(struct strv *data, struct err *err)
{
	for (size_t i = 0; i < data->n; i++) {
		char address[64];
		unsigned char binary[16];
		const char *name = data->v[i] + strlen("addr=");
		if (!str_starts_with(data->v[i], "addr=") || inet_pton(AF_INET, name, binary) == 1 || inet_pton(AF_INET6, name, binary) == 1)
			continue;
		int r = *name == '-' ? err_set(err, ERR_INVALID, 0, "invalid address: %s", name) : resolve_name(name, address, sizeof(address), err);
		if (r < 0)
			return r;
		free(data->v[i]);
		data->v[i] = str_printf("addr=%s", address);
	}
	return 0;
}

static bool is_mount_point(const struct volume *v)
{
	CLEANUP_FREE char *parent = str_printf("%s/..", v->mountpoint);
	struct stat own, above;
	return stat(v->mountpoint, &own) == 0 && stat(parent, &above) == 0 && own.st_dev != above.st_dev;
}

/* Our own mounts on one file system have the device of what is below them. */
static bool is_bound(const struct volume *v)
{
	CLEANUP_FILE FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t room = 0;
	bool found = false;
	CLEANUP_FREE char *wanted = str_printf(" %s ", v->mountpoint);
	while (f && !found && getline(&line, &room, f) > 0)
		found = strstr(line, wanted) != NULL;
	free(line);
	return found;
}

static int mount_volume(struct engine *engine, const char *name, struct err *err)
{
	CLEANUP_VOLUME struct volume *v = NULL;
	CLEANUP_STRV struct strv data = { 0 };
	unsigned long flags = 0;
	int r = volume_find(engine, name, &v, err);
	const char *device = r == 0 ? option_of(v, "device") : NULL;
	if (r < 0 || !device || is_mount_point(v) || is_bound(v))
		return r;
	r = mount_options(option_of(v, "o"), &flags, &data);
	if (r == 0)
		r = resolve_addresses(&data, err);
	if (r < 0)
		return r;
	CLEANUP_FREE char *text = strv_join(&data, ",");
	if (r == 0 && mount(device, v->mountpoint, option_of(v, "type"), flags, *text ? text : NULL) < 0)
		r = -errno;
	/* A bind takes its options in a second step. */
	if (r == 0 && flags & MS_BIND && flags & MS_RDONLY &&
	    mount(NULL, v->mountpoint, NULL, flags | MS_REMOUNT, NULL) < 0)
		r = -errno;
	if (r == 0)
		return 0;
	err_set(err, ERR_SYSTEM, r, "error while mounting volume '%s': failed to mount local volume: mount %s:%s", v->mountpoint, device,
		v->mountpoint);
	if (r == -ENODEV) {
		err_why(err, "this kernel has no file system \"%s\"", option_of(v, "type"));
		err_hint(err, "modprobe %s", option_of(v, "type"));
	}
	return r;
}

int volume_attach(struct engine *engine, const char *name, struct err *err)
{
	int r = volume_make_folders(engine, name, err);
	return r < 0 ? r : mount_volume(engine, name, err);
}

int volume_is_running(struct engine *engine, const char *name, struct err *err)
{
	int64_t one;
	return db_query_i64(engine->db, &one, err,
			    "SELECT 1 FROM container_volumes u JOIN containers c ON c.id = u.container WHERE u.volume = ? AND c.status = 2"
			    " LIMIT 1", "s", name);
}

void volume_leave(struct engine *engine, const char *name)
{
	struct err ignored = ERR_INIT;
	CLEANUP_VOLUME struct volume *v = NULL;
	if (volume_find(engine, name, &v, &ignored) < 0 || !option_of(v, "device") || volume_is_running(engine, name, &ignored) != 0)
		return;
	while (umount2(v->mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
}

int volumes_unused(struct engine *engine, const char *id, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	CLEANUP_STRV struct strv idle = { 0 }, all = { 0 };
	int r = db_query(engine->db, &row, err,
			 "SELECT v.name, v.options <> '' AND NOT EXISTS (SELECT 1 FROM container_volumes o JOIN containers c ON c.id = o.container"
			 " WHERE o.volume = v.name AND c.id <> u.container AND c.status = 2)"
			 " FROM container_volumes u JOIN volumes v ON v.name = u.volume WHERE u.container = ?", "s", id);
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		strv_add(&all, db_text(row, 0));
		if (db_i64(row, 1))
			strv_add(&idle, db_text(row, 0));
	}
	db_stmt_free(TAKE_PTR(row));
	for (size_t i = 0; r >= 0 && i < idle.n; i++) {
		CLEANUP_FREE char *path = str_printf("%s/volumes/%s/_data", engine->root, idle.v[i]);
		while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
			;
	}
	for (size_t i = 0; r >= 0 && i < all.n; i++) {
		CLEANUP_STRV struct strv attributes = { 0 };
		strv_printf(&attributes, "container=%s", id);
		strv_add(&attributes, "driver=local");
		r = event_record(engine, "volume", "unmount", all.v[i], &attributes, err);
	}
	return r < 0 ? r : 0;
}

/* ---- all of it ---- */

/* The line of mountinfo that @path lies on: whether it is shared, or follows. */
static int check_propagation(const struct volume_mount *m, struct err *err)
{
	bool shared = m->propagation && strstr(m->propagation, "shared"), slave = m->propagation && strstr(m->propagation, "slave");
	CLEANUP_FREE char *real = shared || slave ? realpath(m->source, NULL) : NULL;
	if (!real)
		return 0;
	CLEANUP_FILE FILE *f = fopen("/proc/self/mountinfo", "re");
	CLEANUP_FREE char *line = NULL, *best = NULL;
	bool is_shared = false, is_slave = false;
	size_t room = 0;
	while (f && getline(&line, &room, f) > 0) {
		char point[PATH_MAX];
		if (sscanf(line, "%*d %*d %*s %*s %4095s", point) != 1)
			continue;
		size_t len = str_eq(point, "/") ? 0 : strlen(point);
		if (strncmp(real, point, len) != 0 || (real[len] && real[len] != '/') || (best && strlen(best) > strlen(point)))
			continue;
		free(best);
		best = str_dup(point);
		is_shared = strstr(line, " shared:") != NULL;
		is_slave = strstr(line, " master:") != NULL;
	}
	if (!best || is_shared || (slave && is_slave))
		return 0;
	err_set(err, ERR_INVALID, 0, "path %s is mounted on %s but it is not a shared%s mount", m->source, best, slave ? " or slave" : "");
	err_hint(err, "mount --make-rshared %s", best);
	return -EINVAL;
}

static int prepare_one(struct engine *engine, const struct volume_mount *m, struct err *err)
{
	struct stat st;
	if (m->name) {
		int r = volume_make_folders(engine, m->name, err);
		if (r == 0)
			r = mount_volume(engine, m->name, err);
		if (r < 0 || !m->subpath)
			return r;
		CLEANUP_FD int data = open(m->source, O_PATH | O_DIRECTORY | O_CLOEXEC);
		CLEANUP_FD int there = data < 0 ? -errno : resolve_open(data, m->subpath, O_PATH, 0);
		return there < 0 ? err_set(err, ERR_INVALID, there, "cannot access path %s/%s", m->source, m->subpath) : 0;
	}
	if (!m->source)
		return 0;
	if (m->makes_source && stat(m->source, &st) < 0 && fd_mkdir_parents(m->source, 0755) < 0)
		return err_set(err, ERR_INVALID, errno, "error while creating mount source path '%s'", m->source);
	return check_propagation(m, err);
}

int volumes_prepare(struct engine *engine, struct container *c, const struct strv *layers, const struct volume_plan *plan,
		    struct err *err)
{
	CLEANUP_FD int root = -1;
	int r = 0;
	for (size_t i = 0; r == 0 && i < plan->n; i++) {
		const struct volume_mount *m = &plan->list[i];
		r = prepare_one(engine, m, err);
		if (r == 0 && m->needs_copy && root < 0)
			r = open_image_root(layers, &root, err);
		if (r == 0 && m->needs_copy)
			r = fill(engine, c, m, root, err);
	}
	return r;
}

/* Folders of the host that nobody means to hand over. */
static bool is_of_the_host(const char *path)
{
	static const char *const list[] = { "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/opt", "/proc", "/root",
					    "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/var", "/var/lib", NULL };
	for (size_t i = 0; list[i]; i++)
		if (str_eq(list[i], path))
			return true;
	return false;
}

int volumes_adopt(const struct volume_plan *plan, const struct spec_user *user, struct err *err)
{
	bool has_selinux = access("/sys/fs/selinux/enforce", F_OK) == 0;
	for (size_t i = 0; i < plan->n; i++) {
		const struct volume_mount *m = &plan->list[i];
		bool relabel = m->relabel && has_selinux;
		if (!m->chown && !relabel)
			continue;
		if (!m->name && is_of_the_host(m->source))
			return err_set(err, ERR_DENIED, 0, "%s of %s is not allowed: it is a folder of the host",
				       m->chown ? "changing the owner" : "SELinux relabeling", m->source);
		CLEANUP_FD int fd = open(m->source, O_PATH | O_CLOEXEC);
		int r = fd < 0 ? -errno : 0;
		if (r == 0 && m->chown)
			r = tree_chown(fd, user->uid, user->gid);
		if (r == 0 && relabel)
			r = tree_set_xattr(fd, "security.selinux", "system_u:object_r:container_file_t:s0");
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "%s %s", m->chown ? "change the owner of" : "relabel", m->source);
	}
	return 0;
}
