/* SPDX-License-Identifier: Apache-2.0 */
/* Layers on disk: each one read-only file (or directory), mounted once.
 *
 * A layer's file is complete when its row is committed: it is written in an
 * ingest directory, synced, and renamed inside the very transaction that adds
 * the row. All changes of names in layers/ and blobs/ happen under the
 * database's write lock, so a file without a row seen under that lock is
 * certainly nobody's. */
#pragma once

#include <stdint.h>

#include "store.h"
#include "str.h"

/* A layer that is made, or found, but not yet in the database. */
struct layer_new {
	char diffid[72];
	/* Its file's name in the ingest directory; empty: the layer is in the
	 * store already. Ends in ".dir" when it is a directory. */
	char file[64];
	int64_t tar_bytes, content_bytes;
	/* The compressed form, when there is one to keep: digest, name in the
	 * ingest directory, length, media type. */
	char blob_digest[72];
	char blob_file[80];
	int64_t blob_bytes;
	char media_type[80];
	/* Its files are not on disk yet (settle.h). */
	bool is_unsynced;
};

/* Make sure that each of @diffids (lowest first) is mounted and append its
 * path. Safe between processes; one system call a layer when all is there. The
 * caller must have made sure that the layers cannot go away (a committed row
 * that uses the image). */
int layers_ensure_mounted(struct store *store, const struct strv *diffids, struct strv *ret_paths,
			  struct err *err) MUST_CHECK;

/* 1 when the layer is in the store (and no power cut may have damaged it). */
int layer_exists(struct store *store, const char *diffid, struct err *err) MUST_CHECK;

/* Write the data of a finished file to disk (outside any transaction: slow). */
int layer_sync(const struct ingest *ingest, const char *file, struct err *err) MUST_CHECK;
/* Inside a transaction: move the files of @layer into place and add its rows.
 * A layer, or blob, that another hull has added meanwhile is left as it is.
 * ERR_NOT_FOUND (-ESTALE) when a layer counted on as present is gone. */
int layer_add(struct store *store, const struct ingest *ingest, const struct layer_new *layer,
	      struct err *err) MUST_CHECK;

/* Inside a transaction: delete the rows of layers that no image uses; append
 * their diff ids and the digests of their blobs. */
int layers_forget_unused(struct store *store, struct strv *ret_diffids, struct strv *ret_blobs,
			 struct err *err) MUST_CHECK;
/* Unmount and unlink whatever has no row. Takes the write lock. */
int layers_remove_orphans(struct store *store, struct err *err) MUST_CHECK;
/* Unmount and unlink the files of these layers and blobs unless they have got a
 * row again. Takes the write lock; the caller holds an ingest directory. */
int layers_remove_files(struct store *store, const struct strv *diffids, const struct strv *blobs,
			struct err *err) MUST_CHECK;
