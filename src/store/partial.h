/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs whose download was cut off: ingest/<hex>.partial. They are only ever a
 * head start: whoever resumes checks the digest of the whole. Kept for some days,
 * a bounded number of them, and never longer than their descriptor says. */
#pragma once

#include "store.h"

#define PARTIAL_BLOB_SUFFIX ".blob"

/* "<hex>.blob": what a download that can be resumed is called in an ingest
 * directory, so that recovery finds it. */
void partial_blob_name(const char *digest, char *out, size_t size);
/* The partial of @digest, for reading: its descriptor and length, or -1 when there
 * is none (or one longer than @max, which is removed). */
int partial_find(struct store *store, const char *digest, int64_t max, int64_t *ret_bytes);
/* Move @name of the directory @dir_fd ("<hex>.blob") among the partials; other
 * names are left alone. */
void partial_keep(struct store *store, int dir_fd, const char *name);
void partial_drop(struct store *store, const char *digest);
/* Is this file of ingest/ a partial? */
bool partial_is_name(const char *name);
/* Remove those too old or too many. */
void partials_trim(struct store *store);
