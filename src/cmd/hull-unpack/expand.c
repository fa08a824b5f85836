/* SPDX-License-Identifier: Apache-2.0 */
#include "expand.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "fd.h"
#include "inflate.h"

#define PIECE (256u * 1024)
#define RATIO_FREE_BYTES (1ull << 30)

struct expand {
	const struct unpack_args *args;
	int prefix_fd, in_fd, out_fd;
	struct unpack_result *result;
	uint8_t in[PIECE], out[PIECE];
};

static uint8_t *get(void *ctx, size_t *ret_size)
{
	struct expand *x = ctx;
	*ret_size = sizeof(x->out);
	return x->out;
}

static int put(void *ctx, size_t len, struct err *err)
{
	struct expand *x = ctx;
	struct unpack_result *res = x->result;
	res->tar_bytes += len;
	if (res->tar_bytes > x->args->max_bytes ||
	    (res->media != UNPACK_NONE && res->tar_bytes > RATIO_FREE_BYTES &&
	     res->tar_bytes / x->args->max_ratio > res->bytes))
		return err_set(err, ERR_INVALID, 0, "the archive grows to more than %llu bytes when decompressed",
			       (unsigned long long)res->tar_bytes);
	int r = fd_write_all(x->out_fd, x->out, len);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "write the decompressed archive") : 0;
}

/* 0 at the end of both. At least 4 bytes, if there are as many, so that the
 * first piece tells what it is. */
static ssize_t next_piece(struct expand *x, struct err *err)
{
	size_t have = 0;
	while (have < 4) {
		int fd = x->prefix_fd >= 0 ? x->prefix_fd : x->in_fd;
		ssize_t n = read(fd, x->in + have, sizeof(x->in) - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, ERR_SYSTEM, -errno, "read the archive");
		if (n == 0 && x->prefix_fd < 0)
			break;
		if (n == 0)
			x->prefix_fd = -1;
		have += (size_t)n;
	}
	x->result->bytes += have;
	return (ssize_t)have;
}

int expand_run(const struct unpack_args *args, int prefix_fd, int in_fd, int out_fd, struct unpack_result *ret,
	       struct err *err)
{
	struct expand *x = calloc(1, sizeof(*x));
	if (!x)
		return err_set(err, ERR_SYSTEM, -ENOMEM, "decompress the archive");
	*x = (struct expand){ .args = args, .prefix_fd = prefix_fd, .in_fd = in_fd, .out_fd = out_fd, .result = ret };
	ssize_t n = next_piece(x, err);
	int r = n < 0 ? (int)n : 0;
	ret->media = r < 0 ? UNPACK_NONE : inflate_detect(x->in, (size_t)n);
	struct inflate *z = inflate_new(ret->media, (struct inflate_output){ get, put, x });
	if (!z && r >= 0)
		r = err_set(err, ERR_SYSTEM, -ENOMEM, "decompress the archive");
	while (r >= 0 && n > 0) {
		r = inflate_push(z, x->in, (size_t)n, err);
		if (r >= 0)
			n = next_piece(x, err);
		if (n < 0)
			r = (int)n;
	}
	if (r >= 0)
		r = inflate_end(z, err);
	inflate_free(z);
	free(x);
	return r < 0 ? r : 0;
}
