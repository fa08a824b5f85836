/* SPDX-License-Identifier: Apache-2.0 */
#include "memory_trim.h"

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

extern const char __ehdr_start[]; /* from the linker: where the program is loaded */

void memory_trim(void)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), base = 0;
	const Elf64_Phdr *header = (const Elf64_Phdr *)getauxval(AT_PHDR);
	size_t n = header ? getauxval(AT_PHNUM) : 0;
	bool has_base = false;
	/* Only segments that are never written: what is dropped comes back from the
	 * page cache. (Relocated constants are in a writable one.) */
	for (size_t i = 0; i < n; i++) {
		const Elf64_Phdr *p = &header[i];
		if (p->p_type != PT_LOAD)
			continue;
		if (!has_base)
			base = (uintptr_t)__ehdr_start - p->p_vaddr;
		has_base = true;
		uintptr_t start = (base + p->p_vaddr) & ~(page - 1), end = (base + p->p_vaddr + p->p_memsz) & ~(page - 1);
		if (!(p->p_flags & PF_W) && end > start)
			(void)madvise((void *)start, end - start, MADV_DONTNEED);
	}
}
