/* SPDX-License-Identifier: Apache-2.0 */
/* A disk mapped into memory, read-only, for a guest that reads it in place (DAX).
 *
 * The files' pages are the host's page cache: every guest that maps the same layer
 * shares them. The mapping cannot be written by this process, and whoever makes a
 * memory slot of it makes that read-only too (a persistent memory that guests could
 * write was CVE-2026-24834). What is no file is zeros; a file that gets shorter
 * later is a bus error in whoever reads past its end. */
#pragma once

#include "blk_disk.h"

/* Where a guest's kernel wants such memory to start and end. */
#define PMEM_ALIGN (UINT64_C(2) << 20)

struct pmem_window {
	void *host; /* at a multiple of PMEM_ALIGN */
	uint64_t bytes; /* a multiple of PMEM_ALIGN, no less than the disk */
};

/* @disk is needed only during the call. -EINVAL: an extent does not start at a page
 * in its file and on the disk. */
int pmem_window_map(const struct blk_disk *disk, struct pmem_window *ret) MUST_CHECK;
void pmem_window_unmap(struct pmem_window *window);
