/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory, pieces of it, and disks: no address and no length leads outside. */
#include <errno.h>
#include <string.h>

#include "blk_disk.h"
#include "chain_io.h"
#include "guest_memory.h"
#include "proof.h"

#define PAGE UINT64_C(4096)

static uint8_t pages[4 * 4096] __attribute__((aligned(4096)));

/* Two that touch, the second read-only; the last page of the address space but one. */
static struct guest_memory some_memory(void)
{
	struct guest_memory mem = { 0 };
	demand(guest_memory_add(&mem, PAGE, pages, PAGE, 0) == 0);
	demand(guest_memory_add(&mem, 2 * PAGE, pages + PAGE, PAGE, GUEST_REGION_READONLY) == 0);
	demand(guest_memory_add(&mem, UINT64_MAX - 2 * PAGE + 1, pages + 2 * PAGE, PAGE, 0) == 0);
	return mem;
}

static bool is_inside(const void *host, uint64_t len)
{
	const uint8_t *p = host;
	return p >= pages && p < pages + sizeof(pages) && len <= (uint64_t)(pages + sizeof(pages) - p);
}

PROOF(regions_never_overlap)
{
	struct guest_memory mem = { 0 };
	for (unsigned i = 0; i < 2; i++) {
		int r = guest_memory_add(&mem, pick_u64(), pages, pick_u64(), 0);
		demand(r == 0 || r == -EINVAL || r == -EEXIST);
	}
	for (unsigned i = 0; i < mem.n; i++) {
		const struct guest_region *r = &mem.regions[i];
		demand(r->len > 0 && r->gpa + r->len > r->gpa);
		demand(i == 0 || mem.regions[i - 1].gpa + mem.regions[i - 1].len <= r->gpa);
	}
}

PROOF(at_is_inside_or_nothing)
{
	struct guest_memory mem = some_memory();
	uint64_t gpa = pick_u64(), len = pick_u64();
	enum guest_access access = pick(2) ? GUEST_WRITE : GUEST_READ;
	uint8_t *p = guest_memory_at(&mem, gpa, len, access);
	bool should = false;
	for (unsigned i = 0; i < mem.n; i++) {
		const struct guest_region *r = &mem.regions[i];
		/* In 128 bits, where nothing wraps. */
		bool holds = gpa >= r->gpa && (unsigned __int128)gpa + len <= (unsigned __int128)r->gpa + r->len;
		should = should || (holds && len > 0 && !(access == GUEST_WRITE && (r->flags & GUEST_REGION_READONLY)));
	}
	demand((p != NULL) == should);
	demand(!p || is_inside(p, len));
}

PROOF(iov_is_inside_and_complete)
{
	struct guest_memory mem = some_memory();
	struct iovec iov[3];
	uint64_t gpa = pick_u64(), len = pick_u64();
	enum guest_access access = pick(2) ? GUEST_WRITE : GUEST_READ;
	int n = guest_memory_iov(&mem, gpa, len, access, iov, (unsigned)pick(4));
	demand(n <= 3 && n != 0);
	for (int i = 0; i < n; i++)
		demand(is_inside(iov[i].iov_base, iov[i].iov_len) && iov[i].iov_len > 0);
	demand(n < 0 || iov_bytes(iov, (unsigned)n) == len);
}

PROOF(discard_is_checked)
{
	struct guest_memory mem = some_memory();
	uint64_t offset = pick_u64(), len = pick_u64();
	int r = guest_memory_discard(&mem, (uint8_t *)((uintptr_t)pages + offset), len);
	bool in_first = offset < PAGE && len <= PAGE - offset;
	bool in_last = offset >= 2 * PAGE && offset < 3 * PAGE && len <= 3 * PAGE - offset;
	demand((r == 0) == (in_first || in_last));
}

PROOF(slice)
{
	static uint8_t bytes[12];
	struct iovec iov[3], kept[3];
	uint64_t total = 0;
	for (unsigned i = 0; i < 3; i++) {
		iov[i] = (struct iovec){ .iov_base = bytes + 4 * i, .iov_len = pick(5) };
		total += iov[i].iov_len;
	}
	static const uint64_t more[] = { 20, UINT32_MAX, UINT64_MAX };
	uint64_t offset = pick(16), len = pick(16);
	offset = offset < 13 ? offset : more[offset - 13];
	len = len < 13 ? len : more[len - 13];
	memcpy(kept, iov, sizeof(iov));
	unsigned n = iov_slice(kept, 3, offset, len);
	uint64_t should = offset >= total ? 0 : total - offset < len ? total - offset : len;
	demand(n <= 3 && iov_bytes(kept, n) == should);
	/* Byte by byte the same as by counting. */
	uint64_t at = 0, k = 0, in_piece = 0;
	for (unsigned i = 0; i < 3; i++) {
		for (uint64_t b = 0; b < iov[i].iov_len; b++, at++) {
			if (at < offset || at - offset >= should)
				continue;
			while (k < n && in_piece == kept[k].iov_len) {
				k++;
				in_piece = 0;
			}
			demand(k < n && (uint8_t *)kept[k].iov_base + in_piece == (uint8_t *)iov[i].iov_base + b);
			in_piece++;
		}
	}
}

PROOF(copies_stay_in_the_chain)
{
	uint8_t guest[9], data[16];
	struct iovec iov[3] = { { guest, pick(3) }, { guest + 3, pick(3) }, { guest + 6, 1 + pick(2) } };
	struct virtq_chain chain = { .iov = iov, .n_read = 1, .n_write = 2 };
	uint32_t offset = (uint32_t)pick(8), len = (uint32_t)pick(8);
	memset(guest, 'g', sizeof(guest));
	memset(data, 'd', sizeof(data));
	uint32_t room = (uint32_t)(iov[1].iov_len + iov[2].iov_len);
	uint32_t should = offset >= room ? 0 : room - offset < len ? room - offset : len;
	demand(chain_write(&chain, offset, data, len) == should);
	uint32_t changed = 0;
	for (unsigned i = 0; i < sizeof(guest); i++) {
		bool in = (i >= 3 && i < 3 + iov[1].iov_len) || (i >= 6 && i < 6 + iov[2].iov_len);
		demand(in || guest[i] == 'g');
		changed += guest[i] == 'd';
	}
	demand(changed == should);
	demand(chain_read(&chain, offset, data, len) <= iov[0].iov_len);
	demand(chain_zero(&chain, offset, len) == should);
}

PROOF(sectors)
{
	struct blk_disk disk = { .bytes = pick_u64() };
	uint64_t sector = pick_u64(), n = pick_u64();
	bool should = ((unsigned __int128)sector + n) * BLK_SECTOR <= disk.bytes / BLK_SECTOR * BLK_SECTOR;
	demand(blk_disk_has(&disk, sector, n) == should);
}

/* However long the layers are: no gap, no overlap, each byte in the extent it should be
 * in, and layers where a page could be mapped. */
PROOF(layers)
{
	static const uint64_t lengths[] = { 1, 511, 512, 513, 4095, 4096, 4097, 1 << 20, UINT64_C(1) << 47 };
	struct blk_layer layers[2] = { { .fd = 3, .name = "a" }, { .fd = 4, .name = "b" } };
	struct blk_disk disk;
	for (unsigned i = 0; i < 2; i++)
		layers[i].bytes = lengths[pick(9)];
	uint64_t align = UINT64_C(4096) << pick(10);
	demand(blk_disk_layers(&disk, layers, 2, align) == 0);
	uint64_t at = 0;
	unsigned seen = 0;
	for (size_t i = 0; i < disk.n; i++) {
		const struct blk_extent *e = &disk.extents[i];
		demand(e->start == at && e->bytes > 0);
		demand(blk_disk_find(&disk, at) == e && blk_disk_find(&disk, at + e->bytes - 1) == e);
		if (e->fd >= 0) {
			demand(e->start % align == 0 && e->bytes == layers[seen].bytes && e->fd == layers[seen].fd);
			seen++;
		}
		at += e->bytes;
	}
	demand(at == disk.bytes && at % 4096 == 0 && seen == 2);
	blk_disk_done(&disk);
}
