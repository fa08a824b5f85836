/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: this thread reads, hashes the compressed bytes and inflates
 * into the ring; a second one hashes the tar; a third one reads the tar and
 * writes the image. The first that fails stops the others. */
#include "pipeline.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "digest.h"
#include "fd.h"
#include "inflate.h"
#include "ring.h"
#include "str.h"

#define READ_BYTES (128u * 1024)
#define RATIO_FREE_BYTES (1ull << 30)

enum { CONSUMER_HASH, CONSUMER_TAR };

struct pipeline {
	const struct unpack_args *args;
	int in_fd, tee_fd;
	struct ring ring;
	struct digest_stream *digest, *diffid;
	struct inflate *inflate;
	struct layer_sink *sink;
	struct unpack_result result;
	uint8_t *input;
	struct err tar_err;
	int tar_r;
};

static void *hash_thread(void *arg)
{
	struct pipeline *p = arg;
	const uint8_t *data;
	size_t len;
	while (ring_next(&p->ring, CONSUMER_HASH, &data, &len) > 0)
		digest_stream_update(p->diffid, data, len);
	return NULL;
}

static int next_tar_piece(void *ctx, const uint8_t **ret, size_t *ret_len, struct err *err)
{
	struct pipeline *p = ctx;
	int x = ring_next(&p->ring, CONSUMER_TAR, ret, ret_len);
	if (x == 0)
		*ret_len = 0;
	/* The thread that stopped the ring has the message. */
	return x < 0 ? x : 0;
}

static void *tar_thread(void *arg)
{
	struct pipeline *p = arg;
	struct layer_limits limits = { p->args->max_bytes, (uint32_t)p->args->max_entries };
	p->tar_r = layer_apply((struct tar_source){ next_tar_piece, p }, p->sink, &limits, &p->result.stats,
			       &p->tar_err);
	if (p->tar_r < 0)
		ring_stop(&p->ring);
	return NULL;
}

static uint8_t *get_slot(void *ctx, size_t *ret_size)
{
	struct pipeline *p = ctx;
	*ret_size = RING_SLOT_BYTES;
	return ring_slot(&p->ring);
}

static int put_slot(void *ctx, size_t len, struct err *err)
{
	struct pipeline *p = ctx;
	struct unpack_result *res = &p->result;
	res->tar_bytes += len;
	if (res->tar_bytes > p->args->max_bytes)
		return err_set(err, ERR_INVALID, 0, "the layer has more than %llu bytes",
			       (unsigned long long)p->args->max_bytes);
	if (res->media != UNPACK_NONE && res->tar_bytes > RATIO_FREE_BYTES &&
	    res->tar_bytes / p->args->max_ratio > res->bytes)
		return err_set(err, ERR_INVALID, 0, "the layer grows more than %llu times when decompressed",
			       (unsigned long long)p->args->max_ratio);
	ring_publish(&p->ring, len);
	return 0;
}

/* Up to READ_BYTES, at least @min unless the input ends; hashed, counted,
 * copied. */
static ssize_t read_input(struct pipeline *p, size_t min, struct err *err)
{
	size_t have = 0;
	while (have < min) {
		ssize_t n = read(p->in_fd, p->input + have, READ_BYTES - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, ERR_SYSTEM, -errno, "read the layer");
		if (n == 0)
			break;
		have += (size_t)n;
	}
	p->result.bytes += have;
	if (p->args->size >= 0 && p->result.bytes > (uint64_t)p->args->size)
		return err_set(err, ERR_INVALID, 0, "the layer is longer than the %lld bytes announced",
			       (long long)p->args->size);
	digest_stream_update(p->digest, p->input, have);
	if (p->tee_fd >= 0) {
		int r = fd_write_all(p->tee_fd, p->input, have);
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "keep the layer's blob");
	}
	return (ssize_t)have;
}

static int start_inflate(struct pipeline *p, size_t len, struct err *err)
{
	enum unpack_media found = inflate_detect(p->input, len);
	if (p->args->media != UNPACK_ANY && p->args->media != found)
		return err_set(err, ERR_INVALID, 0, "the layer is declared as %s but is %s",
			       unpack_media_name(p->args->media),
			       found == UNPACK_NONE ? "not compressed" : unpack_media_name(found));
	/* No registry takes such a blob back. */
	if (found == UNPACK_XZ)
		return err_set(err, ERR_UNSUPPORTED, 0, "the layer is compressed with xz, which no image format allows");
	p->result.media = found;
	p->inflate = inflate_new(found, (struct inflate_output){ get_slot, put_slot, p });
	return p->inflate ? 0 : err_set(err, ERR_SYSTEM, -ENOMEM, "decompress the layer");
}

static int decode(struct pipeline *p, struct err *err)
{
	ssize_t n = read_input(p, 4, err);
	int r = n < 0 ? (int)n : start_inflate(p, (size_t)n, err);
	while (r >= 0 && n > 0) {
		r = inflate_push(p->inflate, p->input, (size_t)n, err);
		if (r >= 0)
			n = read_input(p, 1, err);
		if (n < 0)
			r = (int)n;
	}
	if (r >= 0)
		r = inflate_end(p->inflate, err);
	if (r >= 0)
		ring_end(&p->ring);
	else
		ring_stop(&p->ring);
	return r;
}

static int check_digest(const char *what, const char *got, const char *want, struct err *err)
{
	if (!*want || str_eq(got + strlen("sha256:"), want))
		return 0;
	int r = err_set(err, ERR_INVALID, 0, "%s of the layer is wrong", what);
	err_why(err, "expected sha256:%s, got %s", want, got);
	return r;
}

/* Length and digest of what came in. */
static int check_input(struct pipeline *p, struct err *err)
{
	digest_stream_finish(p->digest, p->result.digest);
	if (p->args->size >= 0 && p->result.bytes != (uint64_t)p->args->size)
		return err_set(err, ERR_INVALID, 0, "the layer has %llu bytes instead of %lld",
			       (unsigned long long)p->result.bytes, (long long)p->args->size);
	return check_digest("the digest", p->result.digest, p->args->digest, err);
}

/* The layer makes no sense. If these are not the bytes that were announced,
 * that is the better message; only a known length is read for it. */
static int explain(struct pipeline *p, int r, struct err *err)
{
	struct err better = ERR_INIT;
	ssize_t n = 1;
	if (err->kind != ERR_INVALID || p->args->size < 0 || !*p->args->digest ||
	    p->result.bytes > (uint64_t)p->args->size)
		return r;
	while (n > 0)
		n = read_input(p, 1, &better);
	int x = n < 0 ? (int)n : check_input(p, &better);
	if (x < 0 && better.kind == ERR_INVALID) {
		*err = better;
		return x;
	}
	return r;
}

static int run_threads(struct pipeline *p, struct err *err)
{
	pthread_t hasher, writer;
	int r = -pthread_create(&hasher, NULL, hash_thread, p);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "start a thread");
	r = -pthread_create(&writer, NULL, tar_thread, p);
	if (r < 0) {
		ring_stop(&p->ring);
		pthread_join(hasher, NULL);
		return err_set(err, ERR_SYSTEM, r, "start a thread");
	}
	r = decode(p, err);
	pthread_join(hasher, NULL);
	pthread_join(writer, NULL);
	/* -ECANCELED without a message: the other side stopped the ring. */
	if (p->tar_r < 0 && err_is_set(&p->tar_err) && !err_is_set(err)) {
		*err = p->tar_err;
		r = p->tar_r;
	}
	return r < 0 ? explain(p, r, err) : 0;
}

int unpack_run(const struct unpack_args *args, int in_fd, int tee_fd, struct layer_sink *sink,
	       struct unpack_result *ret, struct err *err)
{
	struct pipeline p = { .args = args, .in_fd = in_fd, .tee_fd = tee_fd, .sink = sink };
	p.input = malloc(READ_BYTES);
	p.digest = digest_stream_new();
	p.diffid = digest_stream_new();
	int r = ring_init(&p.ring);
	if (r < 0 || !p.input)
		r = err_set(err, ERR_SYSTEM, -ENOMEM, "unpack the layer");
	if (r >= 0)
		r = run_threads(&p, err);
	if (r >= 0)
		r = check_input(&p, err);
	digest_stream_finish(p.diffid, p.result.diffid);
	if (r >= 0)
		r = check_digest("the diff id", p.result.diffid, args->diffid, err);
	if (r >= 0)
		*ret = p.result;
	inflate_free(p.inflate);
	digest_stream_free(p.digest);
	digest_stream_free(p.diffid);
	ring_done(&p.ring);
	free(p.input);
	return r;
}
