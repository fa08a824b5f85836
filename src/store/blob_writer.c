/* SPDX-License-Identifier: Apache-2.0 */
#include "blob_writer.h"

#include <fcntl.h>
#include <zstd.h>

#include "digest.h"
#include "fd.h"
#include "str.h"

#define LEVEL 1

struct blob_writer {
	int fd;
	ZSTD_CCtx *zstd;
	struct digest_stream *digest;
	int64_t bytes;
	size_t out_size;
	char *out;
};

int blob_writer_new(int dirfd, const char *name, struct blob_writer **ret, struct err *err)
{
	struct blob_writer *w = mem_calloc(1, sizeof(*w));
	w->fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (w->fd < 0) {
		int r = -errno;
		free(w);
		return err_set(err, ERR_SYSTEM, r, "make %s", name);
	}
	w->zstd = ZSTD_createCCtx();
	w->out_size = ZSTD_CStreamOutSize();
	w->out = malloc(w->out_size);
	w->digest = digest_stream_new();
	if (!w->zstd || !w->out || ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, LEVEL))) {
		blob_writer_free(w);
		return err_set(err, ERR_SYSTEM, -ENOMEM, "start compressing");
	}
	*ret = w;
	return 0;
}

static int compress(struct blob_writer *w, const void *data, size_t len, ZSTD_EndDirective mode, struct err *err)
{
	ZSTD_inBuffer in = { data, len, 0 };
	size_t left;
	do {
		ZSTD_outBuffer out = { w->out, w->out_size, 0 };
		left = ZSTD_compressStream2(w->zstd, &out, &in, mode);
		if (ZSTD_isError(left))
			return err_set(err, ERR_SYSTEM, 0, "compress a layer: %s", ZSTD_getErrorName(left));
		digest_stream_update(w->digest, w->out, out.pos);
		w->bytes += (int64_t)out.pos;
		int r = fd_write_all(w->fd, w->out, out.pos);
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "write a layer");
	} while (mode == ZSTD_e_end ? left != 0 : in.pos < in.size);
	return 0;
}

int blob_writer_write(struct blob_writer *w, const void *data, size_t len, struct err *err)
{
	return compress(w, data, len, ZSTD_e_continue, err);
}

int blob_writer_finish(struct blob_writer *w, char ret_digest[72], int64_t *ret_bytes, struct err *err)
{
	int r = compress(w, NULL, 0, ZSTD_e_end, err);
	if (r < 0)
		return r;
	digest_stream_finish(w->digest, ret_digest);
	*ret_bytes = w->bytes;
	return 0;
}

void blob_writer_free(struct blob_writer *w)
{
	if (!w)
		return;
	cleanup_fd(&w->fd);
	ZSTD_freeCCtx(w->zstd);
	digest_stream_free(w->digest);
	free(w->out);
	free(w);
}
