/* SPDX-License-Identifier: Apache-2.0 */
#include "layers.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "clock.h"
#include "erofs_mount.h"
#include "fault.h"
#include "fd.h"
#include "reference.h"
#include "settle.h"

/* ---- mounting ---- */

static int mount_layer(struct store *store, const char *diffid, const char *target, struct err *err)
{
	CLEANUP_FREE char *lock_path = str_printf("%s/layers/.lock", store->run);
	CLEANUP_FD int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "lock %s", lock_path);
	int r = mount_is_root(target);
	if (r != 0)
		return r < 0 ? err_set(err, ERR_SYSTEM, r, "look at %s", target) : 0;
	if ((r = layer_repair(store, diffid, err)) < 0)
		return r;
	if (mkdir(target, 0700) < 0 && errno != EEXIST)
		return err_set(err, ERR_SYSTEM, -errno, "make %s", target);
	CLEANUP_FREE char *file = str_printf("%s/layers/%s.erofs", store->root, digest_hex(diffid));
	r = erofs_mount_file(file, target);
	if (r == 0)
		return 0;
	rmdir(target);
	err_set(err, ERR_SYSTEM, r, "mount layer %s", diffid);
	if (r == -ENODEV)
		err_why(err, "this kernel has no EROFS");
	else if (r == -EPERM)
		err_why(err, "mounting needs root");
	else if (r == -EUCLEAN || r == -EINVAL)
		err_why(err, "%s is damaged", file);
	return r;
}

int layers_ensure_mounted(struct store *store, const struct strv *diffids, struct strv *ret_paths,
			  struct err *err)
{
	for (size_t i = 0; i < diffids->n; i++) {
		const char *hex = digest_hex(diffids->v[i]);
		CLEANUP_FREE char *target = str_printf("%s/layers/%s", store->run, hex);
		int r = mount_is_root(target);
		if (r == 0) {
			char name[160];
			snprintf(name, sizeof(name), "layers/%s.dir", hex);
			if (faccessat(store->root_fd, name, F_OK, 0) == 0) {
				strv_printf(ret_paths, "%s/%s", store->root, name);
				continue;
			}
			r = mount_layer(store, diffids->v[i], target, err);
			if (r < 0)
				return r;
		} else if (r < 0) {
			return err_set(err, ERR_SYSTEM, r, "look at %s", target);
		}
		strv_take(ret_paths, TAKE_PTR(target));
	}
	return 0;
}

/* ---- adding ---- */

int layer_exists(struct store *store, const char *diffid, struct err *err)
{
	int64_t one;
	char boot[BOOT_ID_SIZE];
	return db_query_i64(store->db, &one, err, "SELECT 1 FROM layers WHERE diffid=? AND (unsynced IS NULL OR unsynced=?)",
			    "ss", diffid, boot_id(boot));
}

int layer_sync(const struct ingest *ingest, const char *file, struct err *err)
{
	CLEANUP_FD int fd = openat(ingest->dir_fd, file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open %s", file);
	struct stat st;
	/* A directory has too many files to sync one by one. */
	int failed = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? syncfs(fd) : fdatasync(fd);
	return failed < 0 ? err_set(err, ERR_SYSTEM, -errno, "write %s to disk", file) : 0;
}

/* Rename from the ingest directory, durably unless that is left for later. */
static int move_in(struct store *store, const struct ingest *ingest, const char *file, const char *folder,
		   const char *target, bool is_unsynced, struct err *err)
{
	CLEANUP_FD int dir = openat(store->root_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || renameat(ingest->dir_fd, file, dir, target) < 0 || (!is_unsynced && fsync(dir) < 0))
		return err_set(err, ERR_SYSTEM, -errno, "store %s/%s", folder, target);
	return 0;
}

/* @is_replaced: the layer was there and is not to be trusted. */
static int add_blob(struct store *store, const struct ingest *ingest, const struct layer_new *layer, bool is_replaced,
		    struct err *err)
{
	int r = db_run(store->db, err, "INSERT OR IGNORE INTO blobs VALUES(?, ?, ?, ?)", "ssis", layer->blob_digest,
		       layer->diffid, layer->blob_bytes, layer->media_type);
	if (r < 0 || (r == 0 && !is_replaced))
		return r;
	return move_in(store, ingest, layer->blob_file, "blobs/sha256", digest_hex(layer->blob_digest), layer->is_unsynced, err);
}

int layer_add(struct store *store, const struct ingest *ingest, const struct layer_new *layer, struct err *err)
{
	if (!layer->file[0]) {
		int r = layer_exists(store, layer->diffid, err);
		if (r == 0) {
			err_set(err, ERR_NOT_FOUND, 0, "layer %s has been removed meanwhile", layer->diffid);
			return -ESTALE;
		}
		return r < 0 ? r : 0;
	}
	bool is_dir = str_ends_with(layer->file, ".dir");
	struct stat st;
	if (fstatat(ingest->dir_fd, layer->file, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "look at %s", layer->file);
	char boot[BOOT_ID_SIZE];
	int r = db_run(store->db, err,
		       "INSERT INTO layers VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT(diffid) DO UPDATE SET"
		       " unsynced=?7, kind=?2, file_bytes=?3 WHERE layers.unsynced IS NOT NULL AND layers.unsynced<>?8",
		       "ssiiiiss", layer->diffid, is_dir ? "dir" : "erofs",
		       is_dir ? layer->content_bytes : (int64_t)st.st_size, layer->tar_bytes, layer->content_bytes,
		       clock_wall_ns(), layer->is_unsynced ? boot_id(boot) : NULL, boot_id(boot));
	if (r < 0)
		return r;
	bool is_new = r > 0;
	if (is_new) {
		char target[160];
		snprintf(target, sizeof(target), "%s.%s", digest_hex(layer->diffid), is_dir ? "dir" : "erofs");
		r = move_in(store, ingest, layer->file, "layers", target, layer->is_unsynced, err);
		if (r < 0)
			return r;
	}
	return layer->blob_digest[0] ? add_blob(store, ingest, layer, is_new, err) : 0;
}

/* ---- removing ---- */

static int collect(struct store *store, const char *sql, struct strv *sv, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *q = NULL;
	int r = db_query(store->db, &q, err, sql, "");
	while (r >= 0 && (r = db_next(q, err)) > 0)
		strv_add(sv, db_text(q, 0));
	return r;
}

#define UNUSED "diffid NOT IN (SELECT diffid FROM image_layers)"

int layers_forget_unused(struct store *store, struct strv *ret_diffids, struct strv *ret_blobs, struct err *err)
{
	int r = collect(store, "SELECT diffid FROM layers WHERE " UNUSED, ret_diffids, err);
	if (r < 0 || (r = collect(store, "SELECT digest FROM blobs WHERE " UNUSED, ret_blobs, err)) < 0)
		return r;
	r = db_run(store->db, err, "DELETE FROM layers WHERE " UNUSED, "");
	return r < 0 ? r : 0;
}

/* Is there a row for the file @name of @folder? */
static int has_row(struct store *store, bool is_blob, const char *name, struct err *err)
{
	char digest[80];
	if (!str_is_hex(name, 64))
		return 0;
	snprintf(digest, sizeof(digest), "sha256:%.64s", name);
	int64_t one;
	return is_blob ? db_query_i64(store->db, &one, err, "SELECT 1 FROM blobs WHERE digest=?", "s", digest)
		       : db_query_i64(store->db, &one, err,
				      "SELECT 1 FROM layers WHERE diffid=? AND kind=?", "ss", digest,
				      str_ends_with(name, ".dir") ? "dir" : "erofs");
}

/* Remove the file @name of @folder unless it has a row. Under the write lock. */
static int remove_unless_known(struct store *store, const char *folder, bool is_blob, const char *name,
			       struct err *err)
{
	int r = has_row(store, is_blob, name, err);
	if (r != 0)
		return r < 0 ? r : 0;
	if (!is_blob) {
		CLEANUP_FREE char *target = str_printf("%s/layers/%.64s", store->run, name);
		r = mount_detach_dir(target);
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "unmount %s", target);
	}
	CLEANUP_FREE char *path = str_printf("%s/%s", folder, name);
	r = fd_remove_tree_at(store->root_fd, path);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "remove %s", path) : 0;
}

static int clean_folder(struct store *store, const char *folder, bool is_blob, struct err *err)
{
	int fd = openat(store->root_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_DIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return err_set(err, ERR_SYSTEM, -errno, "read %s/%s", store->root, folder);
	for (struct dirent *e; (e = readdir(dir));) {
		int r = e->d_name[0] == '.' ? 0 : remove_unless_known(store, folder, is_blob, e->d_name, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int layers_remove_files(struct store *store, const struct strv *diffids, const struct strv *blobs, struct err *err)
{
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int r = db_tx_begin(store->db, &tx, err);
	for (size_t i = 0; r >= 0 && i < diffids->n; i++) {
		char name[80];
		snprintf(name, sizeof(name), "%.64s.erofs", digest_hex(diffids->v[i]));
		r = remove_unless_known(store, "layers", false, name, err);
		if (r < 0)
			break;
		snprintf(name, sizeof(name), "%.64s.dir", digest_hex(diffids->v[i]));
		r = remove_unless_known(store, "layers", false, name, err);
	}
	for (size_t i = 0; r >= 0 && i < blobs->n; i++)
		r = remove_unless_known(store, "blobs/sha256", true, digest_hex(blobs->v[i]), err);
	FAULT_HERE("image.unlinked");
	return r < 0 ? r : db_tx_commit(&tx, err);
}

int layers_remove_orphans(struct store *store, struct err *err)
{
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int r = db_tx_begin(store->db, &tx, err);
	if (r < 0)
		return r;
	if ((r = clean_folder(store, "layers", false, err)) < 0 ||
	    (r = clean_folder(store, "blobs/sha256", true, err)) < 0)
		return r;
	return db_tx_commit(&tx, err);
}
