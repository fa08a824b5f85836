/* SPDX-License-Identifier: Apache-2.0 */
#include "out_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Larger pieces are written from where they lie. */
#define DIRECT_BYTES (64u * 1024)
/* Gaps up to this are filled with zeros instead of starting a new write. */
#define GAP_BYTES 4096u

int out_file_init(struct out_file *f, int fd)
{
	*f = (struct out_file){ .fd = fd, .buffer = malloc(OUT_FILE_BUFFER) };
	return f->buffer ? 0 : -ENOMEM;
}

void out_file_done(struct out_file *f)
{
	free(f->buffer);
	f->buffer = NULL;
}

static int write_at(int fd, uint64_t at, const char *data, size_t len)
{
	while (len) {
		ssize_t n = pwrite(fd, data, len, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		data += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int out_file_flush(struct out_file *f)
{
	int r = write_at(f->fd, f->start, f->buffer, f->len);
	f->start += f->len;
	f->len = 0;
	return r;
}

int out_file_write(struct out_file *f, uint64_t at, const void *data, size_t len)
{
	uint64_t end = f->start + f->len;
	int r = 0;
	if (at - end > GAP_BYTES || at - end > OUT_FILE_BUFFER - f->len) {
		r = out_file_flush(f);
		f->start = at;
	} else if (at > end) {
		memset(f->buffer + f->len, 0, (size_t)(at - end));
		f->len += (size_t)(at - end);
	}
	if (r < 0)
		return r;
	if (len >= DIRECT_BYTES) {
		r = out_file_flush(f);
		if (r >= 0)
			r = write_at(f->fd, at, data, len);
		f->start = at + len;
		return r;
	}
	while (len) {
		if (f->len == OUT_FILE_BUFFER) {
			r = out_file_flush(f);
			if (r < 0)
				return r;
		}
		size_t n = OUT_FILE_BUFFER - f->len < len ? OUT_FILE_BUFFER - f->len : len;
		memcpy(f->buffer + f->len, data, n);
		f->len += n;
		data = (const char *)data + n;
		len -= n;
	}
	return 0;
}
