/* SPDX-License-Identifier: Apache-2.0 */
/* gzip, zstd or plain, in pieces. */
#include <stdlib.h>

#include "inflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define OUT_BYTES 4096u
#define TOTAL_MAX (1u << 20)

struct output {
	uint8_t *buffer;
	size_t total;
};

static uint8_t *get(void *ctx, size_t *ret_size)
{
	struct output *o = ctx;
	*ret_size = OUT_BYTES;
	return o->total < TOTAL_MAX ? o->buffer : NULL;
}

static int put(void *ctx, size_t len, struct err *err)
{
	struct output *o = ctx;
	if (len > OUT_BYTES)
		abort();
	o->total += len;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!len)
		return 0;
	size_t step = 1 + data[len - 1] * 3u;
	struct output o = { .buffer = malloc(OUT_BYTES) };
	struct err err = ERR_INIT;
	struct inflate *z = inflate_new(inflate_detect(data, len), (struct inflate_output){ get, put, &o });
	int r = 0;
	for (size_t at = 0; r >= 0 && at < len; at += step)
		r = inflate_push(z, data + at, len - at < step ? len - at : step, &err);
	if (r >= 0)
		r = inflate_end(z, &err);
	if (r < 0 && !err_is_set(&err) && o.total < TOTAL_MAX)
		abort();
	inflate_free(z);
	free(o.buffer);
	return 0;
}
