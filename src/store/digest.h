/* SPDX-License-Identifier: Apache-2.0 */
/* "sha256:..." of documents and of streams. */
#pragma once

#include <stddef.h>

#define DIGEST_SIZE 72

/* Returns @out. */
const char *digest_of(const void *data, size_t len, char out[DIGEST_SIZE]);

struct digest_stream;
struct digest_stream *digest_stream_new(void);
void digest_stream_update(struct digest_stream *d, const void *data, size_t len);
const char *digest_stream_finish(struct digest_stream *d, char out[DIGEST_SIZE]);
void digest_stream_free(struct digest_stream *d);
