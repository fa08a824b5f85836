/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels of two forms, and what they are handed. Everything read from a file is
 * checked against the guest's memory; every place is fixed (layout.h). */
#pragma once

#include <stdint.h>

#include "machine.h"

enum boot_kind {
	BOOT_64,  /* long mode, rsi = boot_params (Linux's 64-bit boot protocol) */
	BOOT_PVH, /* 32-bit protected mode, ebx = hvm_start_info */
};

struct boot_plan {
	enum boot_kind kind;
	uint64_t entry;
	uint64_t kernel_end;          /* the initramfs lies above */
	uint64_t initramfs_max;       /* the highest address of its last byte */
	uint64_t initramfs, initramfs_bytes;
	uint8_t setup_header[0x7b];   /* BOOT_64 from a bzImage: what was at 0x1f1 */
	uint32_t setup_header_bytes;
};

int load_bzimage(struct machine *m, int fd, uint64_t file_bytes, struct boot_plan *plan, struct err *err) MUST_CHECK;
int load_elf(struct machine *m, int fd, uint64_t file_bytes, struct boot_plan *plan, struct err *err) MUST_CHECK;
/* Command line, memory map, tables, page tables. */
int load_boot_data(struct machine *m, const struct boot_plan *plan, const struct boot_info *info, struct err *err) MUST_CHECK;
/* Read @bytes at @offset of the file to @gpa. */
int load_range(struct machine *m, int fd, uint64_t offset, uint64_t gpa, uint64_t bytes, struct err *err) MUST_CHECK;
