/* SPDX-License-Identifier: Apache-2.0 */
#include "pmem_window.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_BYTES UINT64_C(4096)

/* @bytes of zeros that nothing is spent on, at a multiple of PMEM_ALIGN. */
static uint8_t *reserve(uint64_t bytes)
{
	uint64_t with_slack = bytes + PMEM_ALIGN;
	uint8_t *p = mmap(NULL, with_slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	uint64_t before = -(uintptr_t)p & (PMEM_ALIGN - 1);
	if (before > 0)
		munmap(p, before);
	if (PMEM_ALIGN - before > 0)
		munmap(p + before + bytes, PMEM_ALIGN - before);
	return p + before;
}

static int map_extent(const struct blk_extent *extent, uint8_t *host)
{
	if (extent->memory) {
		memcpy(host + extent->start, extent->memory, extent->bytes);
		return 0;
	}
	if (extent->fd < 0)
		return 0;
	if ((extent->start | extent->offset) & (PAGE_BYTES - 1))
		return -EINVAL;
	void *p = mmap(host + extent->start, extent->bytes, PROT_READ, MAP_SHARED | MAP_FIXED, extent->fd,
		       (off_t)extent->offset);
	return p == MAP_FAILED ? -errno : 0;
}

int pmem_window_map(const struct blk_disk *disk, struct pmem_window *ret)
{
	if (disk->bytes == 0 || disk->bytes > INT64_MAX / 2)
		return -EINVAL;
	struct pmem_window window = { .bytes = (disk->bytes + PMEM_ALIGN - 1) & ~(PMEM_ALIGN - 1) };
	window.host = reserve(window.bytes);
	if (!window.host)
		return -errno;
	int r = 0;
	for (size_t i = 0; i < disk->n && r == 0; i++)
		r = map_extent(&disk->extents[i], window.host);
	if (r == 0 && mprotect(window.host, window.bytes, PROT_READ) < 0)
		r = -errno;
	if (r < 0) {
		pmem_window_unmap(&window);
		return r;
	}
	*ret = window;
	return 0;
}

void pmem_window_unmap(struct pmem_window *window)
{
	if (window->host)
		munmap(window->host, window->bytes);
	*window = (struct pmem_window){ 0 };
}
