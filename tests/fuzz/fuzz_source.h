/* SPDX-License-Identifier: Apache-2.0 */
/* The input as a tar source, in pieces of a length the input chooses. */
#pragma once

#include <string.h>

#include "tar_reader.h"

struct fuzz_source {
	const uint8_t *data;
	size_t len, step;
};

static inline int fuzz_source_next(void *ctx, const uint8_t **ret, size_t *ret_len, struct err *err)
{
	struct fuzz_source *s = ctx;
	size_t n = s->len < s->step ? s->len : s->step;
	*ret = s->data;
	*ret_len = n;
	s->data += n;
	s->len -= n;
	return 0;
}

/* Inputs without valid checksums would not get past the first header: write
 * them into each block that looks like one. */
static inline void fuzz_fix_checksums(uint8_t *data, size_t len)
{
	for (size_t at = 0; at + 512 <= len; at += 512) {
		uint8_t *h = data + at;
		if (memcmp(h + 257, "ustar", 5) != 0)
			continue;
		memset(h + 148, ' ', 8);
		unsigned sum = 0;
		for (int i = 0; i < 512; i++)
			sum += h[i];
		for (int i = 5; i >= 0; i--, sum >>= 3)
			h[148 + i] = (uint8_t)('0' + (sum & 7));
		h[154] = 0;
	}
}
