/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "name_record.h"
#include "resolvers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP_NAME_RECORD struct name_record r = { 0 };
	CLEANUP_NAME_RECORD struct name_record again = { 0 };
	CLEANUP_BUF struct buf text = BUF_INIT(4 << 20);
	CLEANUP_BUF struct buf twice = BUF_INIT(4 << 20);
	CLEANUP_FREE char *copy = str_ndup((const char *)data, len);
	struct resolvers resolvers = { 0 };
	resolvers_parse(&resolvers, copy);
	if (resolvers.n > RESOLVERS_MAX)
		abort();
	/* What is understood, and written, is understood as the same. */
	if (name_record_parse(copy, &r) < 0 || name_record_format(&r, &text) < 0)
		return 0;
	CLEANUP_FREE char *written = str_dup(buf_str(&text));
	if (name_record_parse(written, &again) < 0 || name_record_format(&again, &twice) < 0 || strcmp(buf_str(&text), buf_str(&twice)) != 0)
		abort();
	return 0;
}
