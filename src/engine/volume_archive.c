/* SPDX-License-Identifier: Apache-2.0 */
/* Restoring. The archive is unpacked into a directory of root/ingest/, which is
 * this process's while it lives and is removed when it has died; then the two
 * directories change places, in one step, while the database is locked and so no
 * container starts with the volume. What the driver mounts (and --merge) is
 * unpacked where it is. */
#include "volume_archive.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "archive_expand.h"
#include "fault.h"
#include "fd.h"
#include "layer_export.h"
#include "tree.h"
#include "tree_extract.h"
#include "volume_mounts.h"

/* Enough to tell an archive from a compressed one. */
#define PREFIX_BYTES 512

struct place {
	char folder[VOLUME_NAME_SIZE + 16]; /* volumes/<name> */
	int volume, data;
	bool is_mounted; /* by the driver */
};

static void place_done(struct place *p)
{
	cleanup_fd(&p->volume);
	cleanup_fd(&p->data);
}
#define CLEANUP_PLACE CLEANUP(place_done)

static int place_open(struct engine *engine, const char *name, struct place *p, struct err *err)
{
	snprintf(p->folder, sizeof(p->folder), "volumes/%s", name);
	p->volume = openat(engine->store->root_fd, p->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	p->data = p->volume < 0 ? -1 : openat(p->volume, "_data", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (p->data < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open volume %s", name);
	return 0;
}

static int find(struct engine *engine, const char *name, struct place *p, struct err *err)
{
	CLEANUP_VOLUME struct volume *v = NULL;
	int r = volume_find(engine, name, &v, err);
	if (r == 0)
		r = volume_attach(engine, name, err);
	if (r == 0)
		r = place_open(engine, name, p, err);
	for (size_t i = 0; r == 0 && i < v->options.n; i++)
		p->is_mounted |= str_starts_with(v->options.v[i], "device=");
	return r;
}

int volume_export(struct engine *engine, const char *name, int out_fd, struct err *err)
{
	CLEANUP_PLACE struct place p = { .volume = -1, .data = -1 };
	CLEANUP_FD int fds_dir = layer_export_fds_dir();
	int r = fds_dir < 0 ? err_set(err, ERR_SYSTEM, fds_dir, "open /proc/self/fd") : find(engine, name, &p, err);
	if (r == 0)
		r = layer_export_entry(p.data, ".", fds_dir, out_fd, NULL, err);
	place_done(&p);
	volume_leave(engine, name);
	return r;
}

static int unpack(const struct ingest *ingest, int dir, int in_fd, struct err *err)
{
	char prefix[PREFIX_BYTES];
	size_t len = 0;
	CLEANUP_FD int expanded = -1;
	struct tree_extract what = { .dir = dir, .keeps_owners = true, .sets_top = true };
	while (len < sizeof(prefix)) {
		ssize_t n = read(in_fd, prefix + len, sizeof(prefix) - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, ERR_SYSTEM, -errno, "read the archive");
		if (n == 0)
			break;
		len += (size_t)n;
	}
	if (len == 0)
		return err_set(err, ERR_INVALID, 0, "invalid tar: it is empty");
	if (!archive_is_compressed(prefix, len) && !archive_is_xz(prefix, len)) {
		what.prefix = prefix;
		what.prefix_len = len;
		return tree_extract(&what, in_fd, err);
	}
	int64_t bytes = 0;
	expanded = archive_expand(ingest, "archive", prefix, len, in_fd, &bytes, err);
	return expanded < 0 ? expanded : tree_extract(&what, expanded, err);
}

static int check_free(struct engine *engine, const char *name, const struct place *p, struct err *err)
{
	int r = volume_is_running(engine, name, err);
	if (r > 0) {
		err_set(err, ERR_CONFLICT, 0, "import %s: volume is in use by a running container", name);
		err_hint(err, "stop it first, or: --merge");
		return -EBUSY;
	}
	if (r == 0 && tree_is_empty(p->data) != 1) {
		err_set(err, ERR_CONFLICT, 0, "import %s: volume is not empty", name);
		err_hint(err, "a new volume, or: --merge");
		return -ENOTEMPTY;
	}
	return r;
}

/* The new files and the old directory change places. */
static int take_place(struct engine *engine, const char *name, const struct place *p, int from, struct err *err)
{
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int r = db_tx_begin(engine->db, &tx, err);
	if (r == 0)
		r = check_free(engine, name, p, err);
	if (r < 0)
		return r;
	if (syscall(SYS_renameat2, from, "_data", p->volume, "_data", 2 /* RENAME_EXCHANGE */) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "put the files of volume %s in place", name);
	FAULT_HERE("volume.imported");
	return db_tx_commit(&tx, err);
}

static int import_whole(struct engine *engine, const struct ingest *ingest, const char *name, const struct place *p, int in_fd,
			struct err *err)
{
	int r = check_free(engine, name, p, err);
	if (r < 0)
		return r;
	if (mkdirat(ingest->dir_fd, "_data", 0755) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a directory for volume %s", name);
	CLEANUP_FD int dir = openat(ingest->dir_fd, "_data", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || fchmod(dir, 0755) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a directory for volume %s", name);
	r = unpack(ingest, dir, in_fd, err);
	if (r == 0)
		r = FAULT("volume.unpacked");
	return r < 0 ? r : take_place(engine, name, p, ingest->dir_fd, err);
}

int volume_import(struct engine *engine, const char *name, int in_fd, bool merge, struct err *err)
{
	CLEANUP_PLACE struct place p = { .volume = -1, .data = -1 };
	CLEANUP_INGEST struct ingest ingest = INGEST_INIT;
	const struct volume_new wanted = { .name = name };
	char made[VOLUME_NAME_SIZE];
	CLEANUP_VOLUME struct volume *before = NULL;
	struct err none = ERR_INIT;
	bool is_new = volume_find(engine, name, &before, &none) < 0;
	int r = is_new ? volume_ensure(engine, &wanted, made, err) : 0;
	is_new &= r == 0;
	if (r == 0)
		r = find(engine, name, &p, err);
	if (r == 0)
		r = ingest_begin(engine->store, &ingest, err);
	/* One import or copy-up at a time. */
	if (r == 0 && flock(p.volume, LOCK_EX) < 0)
		r = err_set(err, ERR_SYSTEM, -errno, "lock volume %s", name);
	if (r == 0 && !merge && p.is_mounted)
		r = check_free(engine, name, &p, err);
	if (r == 0)
		r = merge || p.is_mounted ? unpack(&ingest, p.data, in_fd, err) : import_whole(engine, &ingest, name, &p, in_fd, err);
	place_done(&p);
	volume_leave(engine, name);
	/* Nobody asked for an empty one; if a container has taken it, it stays. */
	if (r < 0 && is_new)
		(void)!volume_remove(engine, name, &none);
	return r;
}
