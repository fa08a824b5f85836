/* SPDX-License-Identifier: Apache-2.0 */
#include "guest_memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_BYTES UINT64_C(4096)

int guest_memory_add(struct guest_memory *mem, uint64_t gpa, void *host, uint64_t len, unsigned flags)
{
	uint64_t end;
	if (!host || len == 0 || __builtin_add_overflow(gpa, len, &end))
		return -EINVAL;
	if ((gpa | len | (uintptr_t)host) & (PAGE_BYTES - 1))
		return -EINVAL;
	if (mem->n == GUEST_REGIONS_MAX)
		return -ENOSPC;
	unsigned at = 0;
	while (at < mem->n && mem->regions[at].gpa < gpa)
		at++;
	if (at > 0 && mem->regions[at - 1].gpa + mem->regions[at - 1].len > gpa)
		return -EEXIST;
	if (at < mem->n && mem->regions[at].gpa < end)
		return -EEXIST;
	memmove(&mem->regions[at + 1], &mem->regions[at], (mem->n - at) * sizeof(mem->regions[0]));
	mem->regions[at] = (struct guest_region){ .gpa = gpa, .len = len, .host = host, .flags = flags };
	mem->n++;
	return 0;
}

/* The region that holds @gpa, or -1. A VM has a handful: a loop is quickest. */
static int find_region(const struct guest_memory *mem, uint64_t gpa)
{
	for (unsigned i = 0; i < mem->n; i++) {
		/* No overflow: guest_memory_add() has added them before. */
		if (gpa >= mem->regions[i].gpa && gpa - mem->regions[i].gpa < mem->regions[i].len)
			return (int)i;
	}
	return -1;
}

static int is_allowed(const struct guest_region *region, enum guest_access access)
{
	return access == GUEST_READ || !(region->flags & GUEST_REGION_READONLY);
}

void *guest_memory_at(const struct guest_memory *mem, uint64_t gpa, uint64_t len, enum guest_access access)
{
	int i = find_region(mem, gpa);
	if (i < 0 || len == 0)
		return NULL;
	const struct guest_region *region = &mem->regions[i];
	uint64_t offset = gpa - region->gpa;
	if (len > region->len - offset || !is_allowed(region, access))
		return NULL;
	return region->host + offset;
}

int guest_memory_iov(const struct guest_memory *mem, uint64_t gpa, uint64_t len, enum guest_access access,
		     struct iovec *iov, unsigned max)
{
	unsigned n = 0;
	if (len == 0)
		return -EFAULT;
	while (len > 0) {
		int i = find_region(mem, gpa);
		if (i < 0 || !is_allowed(&mem->regions[i], access))
			return -EFAULT;
		if (n == max)
			return -E2BIG;
		const struct guest_region *region = &mem->regions[i];
		uint64_t offset = gpa - region->gpa;
		uint64_t here = region->len - offset < len ? region->len - offset : len;
		iov[n++] = (struct iovec){ .iov_base = region->host + offset, .iov_len = here };
		gpa += here; /* at most the end of a region: no overflow */
		len -= here;
	}
	return (int)n;
}

static int copy(const struct guest_memory *mem, uint64_t gpa, uint8_t *data, uint64_t len, enum guest_access access)
{
	while (len > 0) {
		struct iovec piece;
		int i = find_region(mem, gpa);
		if (i < 0)
			return -EFAULT;
		uint64_t here = mem->regions[i].len - (gpa - mem->regions[i].gpa);
		if (here > len)
			here = len;
		if (guest_memory_iov(mem, gpa, here, access, &piece, 1) < 0)
			return -EFAULT;
		if (access == GUEST_WRITE)
			memcpy(piece.iov_base, data, here);
		else
			memcpy(data, piece.iov_base, here);
		data += here;
		gpa += here;
		len -= here;
	}
	return 0;
}

int guest_memory_write(const struct guest_memory *mem, uint64_t gpa, const void *data, uint64_t len)
{
	return copy(mem, gpa, (uint8_t *)data, len, GUEST_WRITE);
}

int guest_memory_read(const struct guest_memory *mem, uint64_t gpa, void *data, uint64_t len)
{
	return copy(mem, gpa, data, len, GUEST_READ);
}

int guest_memory_discard(const struct guest_memory *mem, void *host, uint64_t len)
{
	uintptr_t start = (uintptr_t)host;
	for (unsigned i = 0; i < mem->n; i++) {
		const struct guest_region *region = &mem->regions[i];
		uintptr_t base = (uintptr_t)region->host;
		if (start < base || start - base >= region->len)
			continue;
		uint64_t offset = start - base;
		if (len > region->len - offset)
			return -EFAULT;
		if (region->flags & (GUEST_REGION_READONLY | GUEST_REGION_FILE))
			return -EPERM;
		uint64_t first = (offset + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
		uint64_t end = (offset + len) & ~(PAGE_BYTES - 1);
		if (first >= end)
			return 0;
		int advice = region->flags & GUEST_REGION_SHARED ? MADV_REMOVE : MADV_DONTNEED;
		return madvise(region->host + first, end - first, advice) < 0 ? -errno : 0;
	}
	return -EFAULT;
}
