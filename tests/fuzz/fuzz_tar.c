/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "fuzz_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!len)
		return 0;
	uint8_t *copy = malloc(len);
	memcpy(copy, data, len);
	fuzz_fix_checksums(copy, len);
	struct fuzz_source s = { copy, len, 1 + data[len - 1] * 5u };
	struct tar_reader *r = tar_reader_new((struct tar_source){ fuzz_source_next, &s });
	const struct tar_entry *e;
	struct err err = ERR_INIT;
	uint64_t offset, end = 0;
	const uint8_t *piece;
	size_t n;
	int x;
	while ((x = tar_reader_next(r, &e, &err)) > 0) {
		uint64_t total = 0;
		end = 0;
		if (strlen(e->path) > TAR_PATH_MAX || strlen(e->link) > TAR_PATH_MAX)
			abort();
		while ((x = tar_reader_data(r, &offset, &piece, &n, &err)) > 0) {
			/* Pieces ascend and stay inside the file. */
			if (offset < end || offset + n > e->size || !n)
				abort();
			end = offset + n;
			for (size_t i = 0; i < n; i++)
				total += piece[i];
		}
		if (x < 0)
			break;
		(void)total;
	}
	if (x < 0 && !err_is_set(&err))
		abort();
	tar_reader_free(r);
	free(copy);
	return 0;
}
