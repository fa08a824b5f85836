/* SPDX-License-Identifier: Apache-2.0 */
/* Sequential, buffered writing to a regular file at growing positions; skipped
 * ranges become holes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define OUT_FILE_BUFFER (256u * 1024)

struct out_file {
	int fd;
	uint64_t start; /* position of buffer[0] */
	size_t len;
	char *buffer;
};

/* Borrows @fd. */
int out_file_init(struct out_file *f, int fd) MUST_CHECK;
void out_file_done(struct out_file *f);
/* @at must not be before the end of the previous write. */
int out_file_write(struct out_file *f, uint64_t at, const void *data, size_t len) MUST_CHECK;
int out_file_flush(struct out_file *f) MUST_CHECK;
