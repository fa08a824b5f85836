/* SPDX-License-Identifier: Apache-2.0 */
/* Decompress a stream that arrives in pieces: gzip (also of several members),
 * zstd (also of several frames), xz or none. Bytes after the compressed data and a
 * stream that stops early are errors. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "unpack_args.h"

/* Where the output goes: a buffer of at least 1 byte is asked for, filled in
 * part or whole and put back. get() returns NULL when nobody wants more. */
struct inflate_output {
	uint8_t *(*get)(void *ctx, size_t *ret_size);
	int (*put)(void *ctx, size_t len, struct err *err);
	void *ctx;
};

/* What the first bytes (at least 4, unless the stream is shorter) say. */
enum unpack_media inflate_detect(const uint8_t *data, size_t len);

struct inflate;
struct inflate *inflate_new(enum unpack_media media, struct inflate_output out); /* NULL: out of memory */
void inflate_free(struct inflate *z);
/* -ECANCELED (without a message) when get() gave NULL. */
int inflate_push(struct inflate *z, const uint8_t *data, size_t len, struct err *err) MUST_CHECK;
int inflate_end(struct inflate *z, struct err *err) MUST_CHECK;
