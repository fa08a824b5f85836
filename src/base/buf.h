/* SPDX-License-Identifier: Apache-2.0 */
/* A growable byte buffer with a maximum.
 *
 * Whatever comes from outside is gathered in one of these, so that nothing a
 * peer sends can make hull allocate without bound. The data is always
 * NUL-terminated (the NUL is not counted in len). After a failed append the
 * buffer is unchanged. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"
#include "err.h"

struct buf {
	char *data;
	size_t len;
	size_t cap;
	/* The most len may become. */
	size_t max;
};

#define BUF_INIT(max_bytes) ((struct buf){ .max = (max_bytes) })

/* All return 0, -E2BIG at the maximum, or -ENOMEM. */
int buf_append(struct buf *b, const void *data, size_t len) MUST_CHECK;
int buf_append_str(struct buf *b, const char *s) MUST_CHECK;
int buf_append_char(struct buf *b, char c) MUST_CHECK;
int buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_CHECK;
int buf_vprintf(struct buf *b, const char *fmt, va_list ap) MUST_CHECK;
/* Make room for @extra more bytes at data + len. */
int buf_reserve(struct buf *b, size_t extra) MUST_CHECK;

void buf_clear(struct buf *b);
/* Drop the first @n bytes. */
void buf_consume(struct buf *b, size_t n);
/* The string, never NULL; stays the buffer's. */
const char *buf_str(const struct buf *b);
/* Take the string (caller frees); NULL only out of memory. */
char *buf_steal(struct buf *b);
void buf_free(struct buf *b);
#define CLEANUP_BUF CLEANUP(buf_free)
