/* SPDX-License-Identifier: Apache-2.0 */
#include "settle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "convert.h"
#include "fd.h"
#include "reference.h"

const char *boot_id(char out[BOOT_ID_SIZE])
{
	CLEANUP_BUF struct buf text = BUF_INIT(BOOT_ID_SIZE);
	out[0] = '\0';
	if (fd_read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &text) == 0)
		snprintf(out, BOOT_ID_SIZE, "%.*s", (int)strcspn(buf_str(&text), "\n"), buf_str(&text));
	return out;
}

int store_is_unsettled(struct store *store, struct err *err)
{
	char boot[BOOT_ID_SIZE];
	int64_t one;
	return db_query_i64(store->db, &one, err, "SELECT 1 FROM layers WHERE unsynced=? LIMIT 1", "s", boot_id(boot));
}

/* A file that has been removed meanwhile needs nothing. */
static int sync_file(struct store *store, const char *path, struct err *err)
{
	CLEANUP_FD int fd = openat(store->root_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_set(err, ERR_SYSTEM, -errno, "open %s", path);
	return fsync(fd) < 0 ? err_set(err, ERR_SYSTEM, -errno, "write %s to disk", path) : 0;
}

static int sync_layer(struct store *store, const char *diffid, struct err *err)
{
	char path[120];
	CLEANUP_DB_STMT struct db_stmt *q = NULL;
	snprintf(path, sizeof(path), "layers/%.64s.erofs", digest_hex(diffid));
	int r = sync_file(store, path, err);
	if (r >= 0)
		r = db_query(store->db, &q, err, "SELECT digest FROM blobs WHERE diffid=?", "s", diffid);
	while (r >= 0 && (r = db_next(q, err)) > 0) {
		snprintf(path, sizeof(path), "blobs/sha256/%.64s", digest_hex(db_text(q, 0)));
		r = sync_file(store, path, err);
	}
	return r;
}

int store_settle(struct store *store, struct err *err)
{
	char boot[BOOT_ID_SIZE];
	CLEANUP_STRV struct strv list = { 0 };
	CLEANUP_DB_STMT struct db_stmt *q = NULL;
	int r = db_query(store->db, &q, err, "SELECT diffid FROM layers WHERE unsynced=?", "s", boot_id(boot));
	while (r >= 0 && (r = db_next(q, err)) > 0)
		strv_add(&list, db_text(q, 0));
	db_stmt_free(TAKE_PTR(q));
	for (size_t i = 0; r >= 0 && i < list.n; i++)
		r = sync_layer(store, list.v[i], err);
	if (r >= 0)
		r = sync_file(store, "layers", err);
	if (r >= 0)
		r = sync_file(store, "blobs/sha256", err);
	for (size_t i = 0; r >= 0 && i < list.n; i++)
		r = db_run(store->db, err, "UPDATE layers SET unsynced=NULL WHERE diffid=? AND unsynced=?", "ss", list.v[i], boot);
	return r < 0 ? r : 0;
}

/* ---- after a power cut ---- */

static int open_blob(struct store *store, const char *diffid, char digest[72], int64_t *ret_bytes, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *q = NULL;
	int r = db_query(store->db, &q, err, "SELECT digest, bytes FROM blobs WHERE diffid=? LIMIT 1", "s", diffid);
	if (r < 0 || (r = db_next(q, err)) <= 0)
		return r < 0 ? r : err_set(err, ERR_NOT_FOUND, 0, "layer %s has no blob", diffid);
	snprintf(digest, 72, "%s", db_text(q, 0));
	*ret_bytes = db_i64(q, 1);
	CLEANUP_FREE char *path = store_blob_path(store, digest);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_set(err, ERR_SYSTEM, -errno, "open %s", path) : fd;
}

static int replace(struct store *store, const struct ingest *ingest, const struct layer_new *made, struct err *err)
{
	char target[120];
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	snprintf(target, sizeof(target), "layers/%.64s.erofs", digest_hex(made->diffid));
	int r = layer_sync(ingest, made->file, err);
	if (r < 0 || (r = db_tx_begin(store->db, &tx, err)) < 0)
		return r;
	if (renameat(ingest->dir_fd, made->file, store->root_fd, target) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "store %s", target);
	if ((r = sync_file(store, "layers", err)) < 0 ||
	    (r = db_run(store->db, err, "UPDATE layers SET unsynced=NULL WHERE diffid=?", "s", made->diffid)) < 0)
		return r;
	return db_tx_commit(&tx, err);
}

static int make_again(struct store *store, const char *diffid, struct err *err)
{
	CLEANUP_INGEST struct ingest ingest = INGEST_INIT;
	char digest[72];
	int64_t bytes = 0;
	CLEANUP_FD int fd = open_blob(store, diffid, digest, &bytes, err);
	if (fd < 0)
		return fd;
	struct convert_job job = { .fd = fd, .len = bytes, .digest = digest, .diffid = diffid };
	int r = ingest_begin(store, &ingest, err);
	if (r < 0 || (r = convert_run(&ingest, &job, 1, 1, NULL, err)) < 0)
		return r;
	return replace(store, &ingest, &job.out, err);
}

int layer_repair(struct store *store, const char *diffid, struct err *err)
{
	char boot[BOOT_ID_SIZE];
	int64_t one;
	int r = db_query_i64(store->db, &one, err, "SELECT 1 FROM layers WHERE diffid=? AND kind='erofs' AND unsynced<>?", "ss",
			     diffid, boot_id(boot));
	if (r <= 0)
		return r;
	struct err cause = ERR_INIT;
	r = make_again(store, diffid, &cause);
	if (r >= 0)
		return 0;
	err_set(err, ERR_SYSTEM, 0, "layer %s was lost when the machine went down", diffid);
	err_why(err, "it had just been pulled and was not on disk yet (%.150s)", cause.msg);
	err_hint(err, "hull pull the image again");
	return r;
}
