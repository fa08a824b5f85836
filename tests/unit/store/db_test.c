/* SPDX-License-Identifier: Apache-2.0 */
#include "db.h"

#include <sys/wait.h>

#include "str.h"
#include "test.h"

static const char *const steps[] = { "CREATE TABLE t(k TEXT PRIMARY KEY, v INTEGER NOT NULL)",
				     "ALTER TABLE t ADD COLUMN w TEXT" };
static const struct db_schema first = { steps, 1 }, second = { steps, 2 };

static struct db *open_db(const struct db_schema *schema)
{
	struct err err = ERR_INIT;
	struct db *db = NULL;
	CLEANUP_FREE char *path = str_printf("%s/hull.db", test_tmpdir());
	if (db_open(path, schema, &db, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	return db;
}

TEST(schema_is_upgraded_once)
{
	struct err err = ERR_INIT;
	struct db *db = open_db(&first);
	CHECK_EQ(db_run(db, &err, "INSERT INTO t VALUES(?, ?)", "si", "a", (int64_t)1), 1);
	db_close(db);
	db = open_db(&second);
	CHECK_EQ(db_run(db, &err, "UPDATE t SET w=? WHERE k=?", "ss", "x", "a"), 1);
	db_close(db);
	db = open_db(NULL);
	CLEANUP_FREE char *w = NULL;
	CHECK_EQ(db_query_text(db, &w, &err, "SELECT w FROM t WHERE v=?", "i", (int64_t)1), 1);
	CHECK_STR(w, "x");
	db_close(db);
	/* An older hull must not touch it. */
	CLEANUP_FREE char *path = str_printf("%s/hull.db", test_tmpdir());
	CHECK(db_open(path, &first, &db, &err) < 0);
	CHECK_EQ(err.kind, ERR_UNSUPPORTED);
}

TEST(constraint_is_a_conflict_and_scope_rolls_back)
{
	struct err err = ERR_INIT;
	struct db *db = open_db(&first);
	{
		CLEANUP_DB_TX struct db_tx tx = { 0 };
		CHECK_EQ(db_tx_begin(db, &tx, &err), 0);
		CHECK_EQ(db_run(db, &err, "INSERT INTO t VALUES('a', 1)", ""), 1);
		CHECK_EQ(db_run(db, &err, "INSERT INTO t VALUES('a', 2)", ""), -EEXIST);
		CHECK_EQ(err.kind, ERR_CONFLICT);
	}
	int64_t n = -1;
	CHECK_EQ(db_query_i64(db, &n, &err, "SELECT count(*) FROM t", ""), 1);
	CHECK_EQ(n, 0);
	db_close(db);
}

TEST(a_failed_inner_transaction_dooms_the_outer)
{
	struct err err = ERR_INIT;
	struct db *db = open_db(&first);
	CLEANUP_DB_TX struct db_tx outer = { 0 };
	CHECK_EQ(db_tx_begin(db, &outer, &err), 0);
	{
		CLEANUP_DB_TX struct db_tx inner = { 0 };
		CHECK_EQ(db_tx_begin(db, &inner, &err), 0);
	}
	CHECK(db_tx_commit(&outer, &err) < 0);
	db_tx_rollback(&outer);
	db_close(db);
}

TEST(many_processes_write_at_once)
{
	db_close(open_db(&first));
	for (int p = 0; p < 4; p++)
		if (fork() == 0) {
			struct err err = ERR_INIT;
			struct db *db = open_db(&first);
			for (int64_t i = 0; i < 50; i++)
				if (db_run(db, &err, "INSERT INTO t VALUES(?, ?)", "si",
					   str_printf("%d-%lld", p, (long long)i), i) != 1)
					_exit(1);
			db_close(db);
			_exit(0);
		}
	for (int p = 0; p < 4; p++) {
		int status;
		CHECK(wait(&status) > 0);
		CHECK_EQ(status, 0);
	}
	struct db *db = open_db(&first);
	struct err err = ERR_INIT;
	int64_t n = 0;
	CHECK_EQ(db_query_i64(db, &n, &err, "SELECT count(*) FROM t", ""), 1);
	CHECK_EQ(n, 200);
	db_close(db);
}

TEST(garbage_is_not_a_database)
{
	struct err err = ERR_INIT;
	struct db *db = NULL;
	CLEANUP_FREE char *path = str_printf("%s/bad.db", test_tmpdir());
	FILE *f = fopen(path, "w");
	for (int i = 0; i < 1000; i++)
		fputs("this is not a database\n", f);
	fclose(f);
	CHECK(db_open(path, &first, &db, &err) < 0);
	CHECK(err_is_set(&err));
}

TEST_MAIN()
