/* SPDX-License-Identifier: Apache-2.0 */
/* Any archive: the whole way to an image. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "erofs_writer.h"
#include "fuzz_source.h"
#include "layer_apply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!len)
		return 0;
	uint8_t *copy = malloc(len);
	memcpy(copy, data, len);
	fuzz_fix_checksums(copy, len);
	struct fuzz_source s = { copy, len, 1 + data[len - 1] * 5u };
	struct layer_limits limits = { 1 << 24, 1000 };
	struct layer_stats stats;
	struct err err = ERR_INIT;
	int fd = memfd_create("image", MFD_CLOEXEC);
	struct erofs_writer *w = erofs_writer_new(fd);
	int r = layer_apply((struct tar_source){ fuzz_source_next, &s }, erofs_writer_sink(w), &limits, &stats, &err);
	if (r < 0 && !err_is_set(&err))
		abort();
	if (r >= 0 && (erofs_writer_bytes(w) % 4096 || lseek(fd, 0, SEEK_END) != (off_t)erofs_writer_bytes(w)))
		abort();
	erofs_writer_sink(w)->close(erofs_writer_sink(w));
	close(fd);
	free(copy);
	return 0;
}
