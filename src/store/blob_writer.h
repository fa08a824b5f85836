/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a plain tar as a zstd blob, at the fastest level: a layer that came
 * uncompressed is kept like this, so that it can be sent or saved later with
 * the very same diff id. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct blob_writer;

/* Creates @name in @dirfd. */
int blob_writer_new(int dirfd, const char *name, struct blob_writer **ret, struct err *err) MUST_CHECK;
int blob_writer_write(struct blob_writer *w, const void *data, size_t len, struct err *err) MUST_CHECK;
/* End the frame; digest and length of what was written. */
int blob_writer_finish(struct blob_writer *w, char ret_digest[72], int64_t *ret_bytes, struct err *err) MUST_CHECK;
void blob_writer_free(struct blob_writer *w); /* NULL is fine */
