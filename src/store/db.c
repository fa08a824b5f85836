/* SPDX-License-Identifier: Apache-2.0 */
#include "db.h"

#include <sqlite3.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "clock.h"
#include "store_schema.h"
#include "str.h"

#define BUSY_TIMEOUT_MS 10000
/* How many pages of log are worth folding in while a process ends. Whoever opens
 * the database first reads the whole log, so it must stay small; but folding it
 * in waits for the disk, so it is done behind the commands (db_fold()), and here
 * only if that did not happen for long. */
#define CLOSE_PAGES 1024

/* Statements that have been used, for the next time or made ahead of it. */
#define CACHE_MAX 24

struct cached {
	sqlite3_stmt *stmt;
	bool in_use;
};

struct db {
	sqlite3 *handle;
	struct cached cache[CACHE_MAX];
	unsigned tx_depth;
	/* A nested transaction was rolled back: the outer one must not commit. */
	bool is_doomed;
	int wal_pages;
	int64_t busy_since_ms;
};

/* sqlite3_stmt is opaque already; the wrapper type keeps sqlite3.h out of
 * every other file. */
static sqlite3_stmt *raw(struct db_stmt *stmt)
{
	return (sqlite3_stmt *)stmt;
}

static int fail(sqlite3 *handle, int code, const char *what, struct err *err)
{
	const char *text = handle ? sqlite3_errmsg(handle) : sqlite3_errstr(code);
	switch (code & 0xff) {
	case SQLITE_CONSTRAINT:
		err_set(err, ERR_CONFLICT, 0, "%s: %s", what, text);
		return -EEXIST;
	case SQLITE_BUSY:
		err_set(err, ERR_TIMEOUT, 0, "%s: another hull keeps the database busy", what);
		return -EBUSY;
	case SQLITE_FULL:
		return err_set(err, ERR_SYSTEM, -ENOSPC, "%s", what);
	case SQLITE_CANTOPEN:
	case SQLITE_READONLY:
		err_set(err, ERR_SYSTEM, 0, "%s: %s", what, text);
		return -EACCES;
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		err_set(err, ERR_SYSTEM, 0, "%s: %s", what, text);
		err_why(err, "the state database is damaged or is not a hull database");
		return -EUCLEAN;
	case SQLITE_NOMEM:
		return err_set(err, ERR_SYSTEM, -ENOMEM, "%s", what);
	default:
		err_set(err, ERR_SYSTEM, 0, "%s: %s", what, text);
		return -EIO;
	}
}

static int on_commit(void *ctx, sqlite3 *handle, const char *name, int pages)
{
	((struct db *)ctx)->wal_pages = pages;
	return SQLITE_OK;
}

/* The busy handler is not asked while the journal's mode changes: several hulls
 * that are each the first to open the file wait for each other here. */
static int set_wal(struct db *db, struct err *err)
{
	const struct timespec pause = { 0, 5000000 };
	for (unsigned waited_ms = 0;; waited_ms += 5) {
		*err = ERR_INIT;
		int r = db_exec(db, "PRAGMA journal_mode=WAL", err);
		if (r != -EBUSY || waited_ms > BUSY_TIMEOUT_MS)
			return r;
		nanosleep(&pause, NULL);
	}
}

static int schema_upgrade(struct db *db, const struct db_schema *more, struct err *err)
{
	const struct db_schema *lists[] = { &store_schema, more };
	/* Cannot be changed inside a transaction, and is kept in the file. */
	int r = set_wal(db, err);
	if (r < 0)
		return r;
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	r = db_tx_begin(db, &tx, err);
	if (r < 0)
		return r;
	int64_t version = 0;
	/* Again under the lock: another hull may just have done it. */
	r = db_query_i64(db, &version, err, "PRAGMA user_version", "");
	if (r < 0)
		return r;
	unsigned applied[2] = { version & 0xffff, (version >> 16) & 0xffff };
	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		if (!lists[l])
			continue;
		if (applied[l] > lists[l]->n)
			return err_set(err, ERR_UNSUPPORTED, 0, "the state database was written by a newer hull");
		for (; applied[l] < lists[l]->n; applied[l]++) {
			r = db_exec(db, lists[l]->steps[applied[l]], err);
			if (r < 0)
				return err_context(err, r, "bring the state database to version %u", applied[l] + 1);
		}
	}
	char pragma[64];
	snprintf(pragma, sizeof(pragma), "PRAGMA user_version=%u", applied[0] | applied[1] << 16);
	r = db_exec(db, pragma, err);
	if (r < 0)
		return r;
	return db_tx_commit(&tx, err);
}

/* Another hull has the database: for microseconds most times, for as long as the disk
 * takes if it is the one that folds the log. SQLite's own handler sleeps for up to
 * 100 ms at a time. */
static int wait_for_others(void *ctx, int tries)
{
	struct db *db = ctx;
	if (tries == 0)
		db->busy_since_ms = clock_mono_ms();
	if (clock_mono_ms() - db->busy_since_ms > BUSY_TIMEOUT_MS)
		return 0;
	const struct timespec pause = { 0, tries < 20 ? 100000 : tries < 100 ? 500000 : 5000000 };
	nanosleep(&pause, NULL);
	return 1;
}

static int configure(struct db *db, const struct db_schema *more, struct err *err)
{
	sqlite3_busy_handler(db->handle, wait_for_others, db);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_wal_hook(db->handle, on_commit, db);
	int r = db_exec(db, "PRAGMA synchronous=NORMAL", err);
	if (r < 0)
		return r;
	int64_t version = 0;
	r = db_query_i64(db, &version, err, "PRAGMA user_version", "");
	if (r < 0)
		return r;
	unsigned ours = version & 0xffff, engine = (version >> 16) & 0xffff;
	if (ours == store_schema.n && (!more || engine == more->n))
		return 0;
	return schema_upgrade(db, more, err);
}

/* No program of ours has two threads that use it, and nobody asks how much memory
 * it has: a tenth of its time is spent on locks and figures. Without effect once it
 * has been used. */
static void use_one_thread(void)
{
	(void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

int db_open(const char *path, const struct db_schema *more, struct db **ret, struct err *err)
{
	use_one_thread();
	CLEANUP_DB struct db *db = mem_calloc(1, sizeof(*db));
	mode_t old = umask(0077);
	int code = sqlite3_open_v2(path, &db->handle,
				   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	umask(old);
	if (code != SQLITE_OK) {
		int r = fail(db->handle, code, "open the state database", err);
		err_why(err, "%s cannot be opened for writing", path);
		return r;
	}
	int r = configure(db, more, err);
	if (r < 0)
		return err_context(err, r, "%s", path);
	*ret = TAKE_PTR(db);
	return 0;
}

/* The first commit to an empty log syncs its header: better here than by whoever
 * comes next. Nothing is changed. */
static void begin_log(struct db *db)
{
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	struct err ignored = ERR_INIT;
	int64_t version = 0;
	char pragma[64];
	if (db_tx_begin(db, &tx, &ignored) < 0 || db_query_i64(db, &version, &ignored, "PRAGMA user_version", "") < 0)
		return;
	snprintf(pragma, sizeof(pragma), "PRAGMA user_version=%u", (unsigned)version);
	if (db_exec(db, pragma, &ignored) == 0)
		(void)!db_tx_commit(&tx, &ignored);
}

void db_fold(struct db *db)
{
	/* Copied without keeping writers out, then emptied, which is quick: the
	 * first process to open reads all of the log again, copied or not, and
	 * would go on at its end. Who reads now is not waited for; the next
	 * command tries again. */
	sqlite3_busy_timeout(db->handle, 0);
	sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	sqlite3_busy_handler(db->handle, wait_for_others, db);
	db->wal_pages = 0;
	begin_log(db);
}

void db_leave(struct db *db)
{
	if (db->wal_pages >= CLOSE_PAGES)
		db_fold(db);
}

void db_close(struct db *db)
{
	if (!db)
		return;
	if (db->handle)
		db_leave(db);
	for (size_t i = 0; i < CACHE_MAX; i++)
		sqlite3_finalize(db->cache[i].stmt);
	sqlite3_close_v2(db->handle);
	free(db);
}

int db_exec(struct db *db, const char *sql, struct err *err)
{
	int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
	return code == SQLITE_OK ? 0 : fail(db->handle, code, "state database", err);
}

static sqlite3_stmt *take_cached(struct db *db, const char *sql)
{
	for (size_t i = 0; i < CACHE_MAX; i++) {
		struct cached *c = &db->cache[i];
		if (!c->stmt || c->in_use || !str_eq(sqlite3_sql(c->stmt), sql))
			continue;
		c->in_use = true;
		return c->stmt;
	}
	return NULL;
}

/* Into the cache if it is of it, else the end of it. */
static void give_back(struct db *db, sqlite3_stmt *stmt)
{
	for (size_t i = 0; stmt && i < CACHE_MAX; i++) {
		if (db->cache[i].stmt != stmt)
			continue;
		sqlite3_reset(stmt);
		sqlite3_clear_bindings(stmt);
		db->cache[i].in_use = false;
		return;
	}
	sqlite3_finalize(stmt);
}

void db_prepare_ahead(struct db *db, const char *sql)
{
	for (size_t i = 0; i < CACHE_MAX; i++) {
		struct cached *c = &db->cache[i];
		if (c->stmt && str_eq(sqlite3_sql(c->stmt), sql))
			return;
		if (c->stmt)
			continue;
		/* What is wrong with it is told when it is used. */
		if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &c->stmt, NULL) != SQLITE_OK)
			c->stmt = NULL;
		return;
	}
}

/* @cached: it goes back with give_back(). */
static int prepare(struct db *db, bool cached, const char *sql, const char *types, va_list ap, sqlite3_stmt **ret,
		   struct err *err)
{
	sqlite3_stmt *stmt = cached ? take_cached(db, sql) : NULL;
	int code = stmt ? SQLITE_OK : sqlite3_prepare_v2(db->handle, sql, -1, &stmt, NULL);
	for (int i = 1; code == SQLITE_OK && types[i - 1]; i++) {
		switch (types[i - 1]) {
		case 's':
			code = sqlite3_bind_text(stmt, i, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
			break;
		case 'i':
			code = sqlite3_bind_int64(stmt, i, va_arg(ap, int64_t));
			break;
		case 'b': {
			const void *data = va_arg(ap, const void *);
			size_t len = va_arg(ap, size_t);
			code = sqlite3_bind_blob64(stmt, i, data, len, SQLITE_TRANSIENT);
			break;
		}
		case 'n':
			code = sqlite3_bind_null(stmt, i);
			break;
		default:
			code = SQLITE_MISUSE;
		}
	}
	if (code != SQLITE_OK) {
		int r = fail(db->handle, code, "state database", err);
		give_back(db, stmt);
		return r;
	}
	assert(sqlite3_bind_parameter_count(stmt) == (int)strlen(types));
	*ret = stmt;
	return 0;
}

int db_next(struct db_stmt *stmt, struct err *err)
{
	int code = sqlite3_step(raw(stmt));
	if (code == SQLITE_ROW)
		return 1;
	if (code == SQLITE_DONE)
		return 0;
	return fail(sqlite3_db_handle(raw(stmt)), code, "state database", err);
}

void db_stmt_free(struct db_stmt *stmt)
{
	sqlite3_finalize(raw(stmt));
}

int db_run(struct db *db, struct err *err, const char *sql, const char *types, ...)
{
	sqlite3_stmt *stmt = NULL;
	va_list ap;
	va_start(ap, types);
	int r = prepare(db, true, sql, types, ap, &stmt, err);
	va_end(ap);
	if (r < 0)
		return r;
	do
		r = db_next((struct db_stmt *)stmt, err);
	while (r > 0);
	give_back(db, stmt);
	return r < 0 ? r : sqlite3_changes(db->handle);
}

int db_query(struct db *db, struct db_stmt **ret, struct err *err, const char *sql, const char *types, ...)
{
	sqlite3_stmt *stmt = NULL;
	va_list ap;
	va_start(ap, types);
	int r = prepare(db, false, sql, types, ap, &stmt, err);
	va_end(ap);
	if (r == 0)
		*ret = (struct db_stmt *)stmt;
	return r;
}

const char *db_text(struct db_stmt *stmt, int column)
{
	return (const char *)sqlite3_column_text(raw(stmt), column);
}

const char *db_text_or(struct db_stmt *stmt, int column, const char *otherwise)
{
	const char *s = db_text(stmt, column);
	return s ? s : otherwise;
}

int64_t db_i64(struct db_stmt *stmt, int column)
{
	return sqlite3_column_int64(raw(stmt), column);
}

const void *db_blob(struct db_stmt *stmt, int column, size_t *ret_len)
{
	const void *data = sqlite3_column_blob(raw(stmt), column);
	*ret_len = (size_t)sqlite3_column_bytes(raw(stmt), column);
	return data;
}

int db_query_i64(struct db *db, int64_t *ret, struct err *err, const char *sql, const char *types, ...)
{
	sqlite3_stmt *stmt = NULL;
	va_list ap;
	va_start(ap, types);
	int r = prepare(db, true, sql, types, ap, &stmt, err);
	va_end(ap);
	if (r < 0)
		return r;
	r = db_next((struct db_stmt *)stmt, err);
	if (r > 0)
		*ret = sqlite3_column_int64(stmt, 0);
	give_back(db, stmt);
	return r;
}

int db_query_text(struct db *db, char **ret, struct err *err, const char *sql, const char *types, ...)
{
	sqlite3_stmt *stmt = NULL;
	va_list ap;
	va_start(ap, types);
	int r = prepare(db, true, sql, types, ap, &stmt, err);
	va_end(ap);
	if (r < 0)
		return r;
	r = db_next((struct db_stmt *)stmt, err);
	if (r > 0)
		*ret = str_dup(db_text((struct db_stmt *)stmt, 0));
	give_back(db, stmt);
	return r;
}

int64_t db_last_rowid(struct db *db)
{
	return sqlite3_last_insert_rowid(db->handle);
}

int db_tx_begin(struct db *db, struct db_tx *tx, struct err *err)
{
	if (db->tx_depth == 0) {
		int r = db_exec(db, "BEGIN IMMEDIATE", err);
		if (r < 0)
			return r;
		db->is_doomed = false;
	}
	*tx = (struct db_tx){ .db = db, .is_outermost = db->tx_depth == 0 };
	db->tx_depth++;
	return 0;
}

int db_tx_commit(struct db_tx *tx, struct err *err)
{
	struct db *db = tx->db;
	if (tx->is_outermost) {
		if (db->is_doomed)
			return err_set(err, ERR_SYSTEM, 0, "a part of the transaction has failed");
		int r = db_exec(db, "COMMIT", err);
		if (r < 0)
			return r;
	}
	db->tx_depth--;
	tx->db = NULL;
	return 0;
}

void db_tx_rollback(struct db_tx *tx)
{
	struct db *db = tx->db;
	if (!db)
		return;
	db->tx_depth--;
	tx->db = NULL;
	if (!tx->is_outermost) {
		db->is_doomed = true;
		return;
	}
	/* Some failures (a full disk) have rolled back already. */
	if (!sqlite3_get_autocommit(db->handle)) {
		struct err ignored = ERR_INIT;
		int r = db_exec(db, "ROLLBACK", &ignored);
		(void)r;
	}
}
