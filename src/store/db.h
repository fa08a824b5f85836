/* SPDX-License-Identifier: Apache-2.0 */
/* The state database: one SQLite file, one connection a process, opened once.
 *
 * The journal is a write-ahead log with synchronous=NORMAL: a commit survives
 * the death of the process and never waits for the disk; a power cut may lose
 * the last commits but never corrupts. A log that has grown is folded into the
 * file by a process of its own (`hull internal fold`), so that no command pays
 * for it.
 *
 * The schema is two lists of steps: this folder's and one handed in by the
 * engine. PRAGMA user_version holds how many of each have been applied (low and
 * high 16 bits), so that an open of a current file costs one read.
 *
 * Never keep a connection across fork(). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"
#include "err.h"
#include "store_schema.h"

struct db;
struct db_stmt;

/* Open (create) the file at @path and bring its schema up to date. @more is the
 * engine's schema, NULL for none (its tables, if any, are then left alone).
 * ERR_UNSUPPORTED when a newer hull has written the file. */
int db_open(const char *path, const struct db_schema *more, struct db **ret, struct err *err) MUST_CHECK;
/* Write the log back into the file, unless another process is reading it. Waits
 * for the disk: not for a process that somebody waits for. */
void db_fold(struct db *db);
/* Prepare @sql, as db_run() and db_query_i64/text() will be given it, while there
 * is time; used once or more, any time later. */
void db_prepare_ahead(struct db *db, const char *sql);
void db_close(struct db *db); /* NULL is fine */
/* All of it that matters outside this process, which is about to end. */
void db_leave(struct db *db);
static inline void cleanup_db(struct db **db)
{
	db_close(*db);
}
#define CLEANUP_DB CLEANUP(cleanup_db)

/* ---- statements ----
 * @types has a letter for each ? of @sql: s (const char *, NULL binds NULL),
 * i (int64_t: cast smaller integers!), b (const void *, size_t), n (NULL, takes
 * no argument). Values are copied.
 *
 * A violated constraint (unique, foreign key, check) is ERR_CONFLICT with
 * -EEXIST, a full disk -ENOSPC, a writer that stayed too long ERR_TIMEOUT with
 * -EBUSY. */

/* Run to the end, ignoring rows. Returns how many rows changed. */
int db_run(struct db *db, struct err *err, const char *sql, const char *types, ...) MUST_CHECK;
/* Several statements without parameters. */
int db_exec(struct db *db, const char *sql, struct err *err) MUST_CHECK;

/* Begin a query; step it with db_next() and end it with db_stmt_free(). */
int db_query(struct db *db, struct db_stmt **ret, struct err *err, const char *sql, const char *types,
	     ...) MUST_CHECK;
/* 1 with a row, 0 at the end, or an error. */
int db_next(struct db_stmt *stmt, struct err *err) MUST_CHECK;
void db_stmt_free(struct db_stmt *stmt);
static inline void cleanup_db_stmt(struct db_stmt **stmt)
{
	db_stmt_free(*stmt);
}
#define CLEANUP_DB_STMT CLEANUP(cleanup_db_stmt)

/* Columns of the current row, from 0; texts are borrowed until the next
 * db_next(). */
const char *db_text(struct db_stmt *stmt, int column); /* NULL for NULL */
const char *db_text_or(struct db_stmt *stmt, int column, const char *otherwise);
int64_t db_i64(struct db_stmt *stmt, int column);
const void *db_blob(struct db_stmt *stmt, int column, size_t *ret_len);

/* One value of one row: 1 found, 0 no row (then *ret is untouched). */
int db_query_i64(struct db *db, int64_t *ret, struct err *err, const char *sql, const char *types, ...) MUST_CHECK;
/* *ret is the caller's to free, NULL when the value is NULL. */
int db_query_text(struct db *db, char **ret, struct err *err, const char *sql, const char *types, ...) MUST_CHECK;

int64_t db_last_rowid(struct db *db);

/* ---- transactions ----
 *   CLEANUP_DB_TX struct db_tx tx = { 0 };
 *   r = db_tx_begin(db, &tx, err);   ...   r = db_tx_commit(&tx, err);
 * Leaving the scope without a commit rolls back. The write lock is taken at the
 * start: what is read inside cannot be changed by another hull before the
 * commit. A transaction inside another is part of the outer one. */
struct db_tx {
	struct db *db;
	bool is_outermost;
};
int db_tx_begin(struct db *db, struct db_tx *tx, struct err *err) MUST_CHECK;
int db_tx_commit(struct db_tx *tx, struct err *err) MUST_CHECK;
void db_tx_rollback(struct db_tx *tx);
#define CLEANUP_DB_TX CLEANUP(db_tx_rollback)
