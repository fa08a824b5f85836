/* SPDX-License-Identifier: Apache-2.0 */
/* The store: where everything lies, and the database that says what it is.
 *
 *   root/hull.db               the database (db.h)
 *   root/layers/<hex>.erofs    a layer, named by its diff id; or <hex>.dir/
 *   root/blobs/sha256/<hex>    a layer as a registry sent it
 *   root/ingest/<token>/       what a living process is making, flock'd by it
 *   root/workloads/, volumes/  the engine's
 *   run/layers/<hex>/          where a layer is mounted, for all containers
 *
 * Everything under run/ may vanish at any time but not while it is used. */
#pragma once

#include "db.h"

struct store {
	/* $HULL_ROOT and $HULL_RUN, or /var/lib/hull and /run/hull; absolute. */
	char *root, *run;
	int root_fd;
	struct db *db;
};

/* Open, and on first use make, the store. @engine is the engine's schema
 * (db.h); it may be NULL. When a process has died and left work behind, that is
 * removed first. */
int store_open(const struct db_schema *engine, struct store **ret, struct err *err) MUST_CHECK;
void store_close(struct store *store); /* NULL is fine */
static inline void cleanup_store(struct store **store)
{
	store_close(*store);
}
#define CLEANUP_STORE CLEANUP(cleanup_store)

/* Allocated path of a blob: root/blobs/sha256/<hex>. */
char *store_blob_path(const struct store *store, const char *digest);

/* ---- work in progress ----
 * A directory of root/ingest/ belongs to the process that holds its lock. Every
 * operation that changes files keeps one while it does, even empty: if it is
 * there without a lock, somebody died and store_open() looks for leftovers. */
struct ingest {
	struct store *store;
	/* Locked directory; -1 when not begun. */
	int dir_fd;
	char name[33];
};
int ingest_begin(struct store *store, struct ingest *ret, struct err *err) MUST_CHECK;
/* Allocated absolute path of @file in it. */
char *ingest_path(const struct ingest *ingest, const char *file);
/* Remove it with what is still inside. */
void ingest_end(struct ingest *ingest);
#define INGEST_INIT ((struct ingest){ .dir_fd = -1 })
#define CLEANUP_INGEST CLEANUP(ingest_end)

/* Remove the ingest directories of dead processes; when there were any, also
 * the files without a row. Called by store_open(). */
int store_recover(struct store *store, struct err *err) MUST_CHECK;
