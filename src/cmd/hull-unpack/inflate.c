/* SPDX-License-Identifier: Apache-2.0 */
#include "inflate.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <lzma.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

/* zstd's own limit for streams from strangers: a window of 128 MiB. */
#define ZSTD_WINDOW_LOG_MAX 27
/* xz -9 needs 65 MiB. */
#define XZ_MEMORY_MAX (256u << 20)

struct inflate {
	enum unpack_media media;
	struct inflate_output out;
	ZSTD_DStream *zstd;
	lzma_stream xz;
	/* gzip: inside a member; zstd: inside a frame; xz: until all is said. */
	bool is_inside;
	uint8_t *buffer;
	size_t size, used;
	struct inflate_state gzip;
};

enum unpack_media inflate_detect(const uint8_t *d, size_t len)
{
	if (len >= 2 && d[0] == 0x1f && d[1] == 0x8b)
		return UNPACK_GZIP;
	if (len >= 4 && d[0] == 0x28 && d[1] == 0xb5 && d[2] == 0x2f && d[3] == 0xfd)
		return UNPACK_ZSTD;
	/* A skippable frame may come first. */
	if (len >= 4 && (d[0] & 0xf0) == 0x50 && d[1] == 0x2a && d[2] == 0x4d && d[3] == 0x18)
		return UNPACK_ZSTD;
	/* And two more bytes, which its decoder looks at. */
	if (len >= 4 && d[0] == 0xfd && d[1] == '7' && d[2] == 'z' && d[3] == 'X')
		return UNPACK_XZ;
	return UNPACK_NONE;
}

static void start_member(struct inflate *z)
{
	isal_inflate_reset(&z->gzip);
	z->gzip.crc_flag = ISAL_GZIP;
}

struct inflate *inflate_new(enum unpack_media media, struct inflate_output out)
{
	struct inflate *z = calloc(1, sizeof(*z));
	if (!z)
		return NULL;
	z->media = media;
	z->out = out;
	if (media == UNPACK_GZIP) {
		isal_inflate_init(&z->gzip);
		start_member(z);
		z->is_inside = true;
	} else if (media == UNPACK_ZSTD) {
		z->zstd = ZSTD_createDStream();
		if (!z->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(z->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX))) {
			inflate_free(z);
			return NULL;
		}
	} else if (media == UNPACK_XZ) {
		z->is_inside = true;
		if (lzma_stream_decoder(&z->xz, XZ_MEMORY_MAX, LZMA_CONCATENATED) != LZMA_OK) {
			inflate_free(z);
			return NULL;
		}
	}
	return z;
}

void inflate_free(struct inflate *z)
{
	if (!z)
		return;
	ZSTD_freeDStream(z->zstd);
	lzma_end(&z->xz);
	free(z);
}

/* Make sure there is room; the output is put when full. */
static int room(struct inflate *z, struct err *err)
{
	if (z->buffer && z->used < z->size)
		return 0;
	if (z->buffer) {
		size_t used = z->used;
		z->buffer = NULL;
		z->used = 0;
		int r = z->out.put(z->out.ctx, used, err);
		if (r < 0)
			return r;
	}
	z->buffer = z->out.get(z->out.ctx, &z->size);
	return z->buffer ? 0 : -ECANCELED;
}

static int push_plain(struct inflate *z, const uint8_t *data, size_t len, struct err *err)
{
	while (len) {
		int r = room(z, err);
		if (r < 0)
			return r;
		size_t n = z->size - z->used < len ? z->size - z->used : len;
		memcpy(z->buffer + z->used, data, n);
		z->used += n;
		data += n;
		len -= n;
	}
	return 0;
}

static int push_gzip(struct inflate *z, const uint8_t *data, size_t len, struct err *err)
{
	struct inflate_state *s = &z->gzip;
	s->next_in = (uint8_t *)data;
	s->avail_in = (uint32_t)len;
	for (;;) {
		if (!z->is_inside) {
			if (!s->avail_in)
				return 0;
			/* Another member, or garbage: its header tells. */
			start_member(z);
			z->is_inside = true;
		}
		int r = room(z, err);
		if (r < 0)
			return r;
		s->next_out = z->buffer + z->used;
		s->avail_out = (uint32_t)(z->size - z->used);
		uint32_t in_before = s->avail_in, out_before = s->avail_out;
		r = isal_inflate(s);
		z->used += out_before - s->avail_out;
		if (r != ISAL_DECOMP_OK && r != ISAL_END_INPUT)
			return err_set(err, ERR_INVALID, 0,
				       r == ISAL_INCORRECT_CHECKSUM ? "gzip: wrong checksum" :
								      "gzip: damaged data, or bytes after its end");
		if (s->block_state == ISAL_BLOCK_FINISH)
			z->is_inside = false;
		else if (!s->avail_in && s->avail_out)
			return 0;
		else if (in_before == s->avail_in && out_before == s->avail_out)
			return err_set(err, ERR_INVALID, 0, "gzip: damaged data");
	}
}

static int push_zstd(struct inflate *z, const uint8_t *data, size_t len, struct err *err)
{
	ZSTD_inBuffer in = { data, len, 0 };
	for (;;) {
		int r = room(z, err);
		if (r < 0)
			return r;
		ZSTD_outBuffer out = { z->buffer, z->size, z->used };
		size_t before = in.pos;
		size_t hint = ZSTD_decompressStream(z->zstd, &out, &in);
		if (ZSTD_isError(hint))
			return err_set(err, ERR_INVALID, 0, "zstd: %s", ZSTD_getErrorName(hint));
		bool moved = in.pos != before || out.pos != z->used;
		z->used = out.pos;
		if (moved)
			z->is_inside = hint != 0;
		if (in.pos == in.size && z->used < z->size)
			return 0;
	}
}

static const char *xz_error(lzma_ret r)
{
	if (r == LZMA_MEM_ERROR || r == LZMA_MEMLIMIT_ERROR)
		return "needs too much memory";
	if (r == LZMA_OPTIONS_ERROR)
		return "made with options that are not known";
	return r == LZMA_BUF_ERROR ? "the data ends too early" : "damaged data, or bytes after its end";
}

static int push_xz(struct inflate *z, const uint8_t *data, size_t len, lzma_action action, struct err *err)
{
	z->xz.next_in = data;
	z->xz.avail_in = len;
	for (;;) {
		int r = room(z, err);
		if (r < 0)
			return r;
		z->xz.next_out = z->buffer + z->used;
		z->xz.avail_out = z->size - z->used;
		lzma_ret x = lzma_code(&z->xz, action);
		z->used = z->size - z->xz.avail_out;
		z->is_inside = x != LZMA_STREAM_END;
		if (x == LZMA_STREAM_END)
			return 0;
		/* Nothing came in and nothing went out: no fault as long as more may come. */
		if (x != LZMA_OK && !(x == LZMA_BUF_ERROR && action == LZMA_RUN))
			return err_set(err, ERR_INVALID, 0, "xz: %s", xz_error(x));
		if (action == LZMA_RUN && !z->xz.avail_in && z->xz.avail_out)
			return 0;
	}
}

int inflate_push(struct inflate *z, const uint8_t *data, size_t len, struct err *err)
{
	if (!len)
		return 0;
	if (z->media == UNPACK_GZIP)
		return push_gzip(z, data, len, err);
	if (z->media == UNPACK_ZSTD)
		return push_zstd(z, data, len, err);
	if (z->media == UNPACK_XZ)
		return push_xz(z, data, len, LZMA_RUN, err);
	return push_plain(z, data, len, err);
}

int inflate_end(struct inflate *z, struct err *err)
{
	int r = z->media == UNPACK_XZ && z->is_inside ? push_xz(z, NULL, 0, LZMA_FINISH, err) : 0;
	if (r < 0)
		return r;
	if (z->is_inside)
		return err_set(err, ERR_INVALID, 0, "%s: the data ends too early", unpack_media_name(z->media));
	if (!z->buffer || !z->used)
		return 0;
	z->buffer = NULL;
	return z->out.put(z->out.ctx, z->used, err);
}
