/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's physical memory, and the only way from a guest address to a
 * pointer.
 *
 * A table of regions that do not overlap, filled before the guest runs and not
 * changed while it does (what is mapped behind a region may be). Whatever a
 * device touches on a guest's word comes through guest_memory_at() or
 * guest_memory_iov(), which check the whole range. The guest writes the same
 * bytes at any time: what is checked must have been copied first.
 *
 * After it is filled, any thread may use it. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "err.h"

#define GUEST_REGIONS_MAX 32

enum guest_region_flags {
	/* Devices may read but not write it (layers mapped for DAX). */
	GUEST_REGION_READONLY = 1,
	/* Backed by a shared mapping (memfd): freeing a page takes MADV_REMOVE. */
	GUEST_REGION_SHARED = 2,
	/* Backed by a file of the host: its pages are never freed by a guest. */
	GUEST_REGION_FILE = 4,
};

struct guest_region {
	uint64_t gpa;
	uint64_t len;
	uint8_t *host;
	unsigned flags;
};

struct guest_memory {
	struct guest_region regions[GUEST_REGIONS_MAX]; /* by address */
	unsigned n;
};

enum guest_access {
	GUEST_READ,
	GUEST_WRITE,
};

/* Borrows the mapping. -EINVAL: empty, past the end of the address space, or
 * not whole pages; -EEXIST: overlaps; -ENOSPC: too many. */
int guest_memory_add(struct guest_memory *mem, uint64_t gpa, void *host, uint64_t len, unsigned flags) MUST_CHECK;

/* The host's address of [gpa, gpa + len), or NULL unless all of it lies in one
 * region that allows @access. @len 0 gives NULL. */
void *guest_memory_at(const struct guest_memory *mem, uint64_t gpa, uint64_t len, enum guest_access access);

/* The same for a range that may go on in the next regions, as long as there is
 * no gap: fills up to @max pieces and returns their number, -EFAULT (not all of
 * it is memory that allows @access) or -E2BIG (more than @max pieces). */
int guest_memory_iov(const struct guest_memory *mem, uint64_t gpa, uint64_t len, enum guest_access access,
		     struct iovec *iov, unsigned max) MUST_CHECK;

/* Copy in and out; -EFAULT leaves an unspecified part copied. */
int guest_memory_write(const struct guest_memory *mem, uint64_t gpa, const void *data, uint64_t len) MUST_CHECK;
int guest_memory_read(const struct guest_memory *mem, uint64_t gpa, void *data, uint64_t len) MUST_CHECK;

/* Give the whole pages inside [host, host + len) back to the host: the guest
 * reads zeros there afterwards. @host is an address made by this module; the
 * range must lie in one writable region, else -EFAULT; -EPERM for a region that
 * is not the guest's own memory. */
int guest_memory_discard(const struct guest_memory *mem, void *host, uint64_t len) MUST_CHECK;
