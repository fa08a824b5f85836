/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout.h"

#define PAGE UINT64_C(4096)

int load_range(struct machine *m, int fd, uint64_t offset, uint64_t gpa, uint64_t bytes, struct err *err)
{
	uint8_t *to = guest_memory_at(&m->mem, gpa, bytes, GUEST_WRITE);
	if (!to)
		return err_set(err, ERR_INVALID, 0, "the kernel or the initramfs does not fit into the guest's memory");
	for (uint64_t done = 0; done < bytes;) {
		ssize_t n = pread(fd, to + done, bytes - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(err, ERR_INVALID, n < 0 ? errno : 0, "read the kernel or the initramfs%s",
				       n < 0 ? "" : ": it is shorter than it says");
		done += (uint64_t)n;
	}
	return 0;
}

/* ---- bzImage: Documentation/arch/x86/boot.rst */

enum {
	SETUP_SECTS = 0x1f1, BOOT_FLAG = 0x1fe, MAGIC = 0x202, VERSION = 0x206, RELOCATABLE = 0x234, XLOADFLAGS = 0x236,
	INITRD_MAX = 0x22c, PREF_ADDRESS = 0x258, INIT_SIZE = 0x260, HEADER_END = 0x26c,
};

static uint64_t header_number(const uint8_t *page, unsigned at, unsigned len)
{
	uint64_t value = 0;
	memcpy(&value, page + at, len);
	return value;
}

int load_bzimage(struct machine *m, int fd, uint64_t file_bytes, struct boot_plan *plan, struct err *err)
{
	uint8_t page[1024];
	if (pread(fd, page, sizeof(page), 0) != (ssize_t)sizeof(page) || memcmp(page + MAGIC, "HdrS", 4) != 0)
		return err_set(err, ERR_INVALID, 0, "the kernel is neither an ELF file nor a bzImage");
	/* 2.12 has the flags that tell of a 64-bit entry (Linux 3.8). */
	if (header_number(page, VERSION, 2) < 0x20c || !(header_number(page, XLOADFLAGS, 2) & 1))
		return err_set(err, ERR_UNSUPPORTED, 0, "the kernel is not a 64-bit one of Linux 3.8 or later");
	uint64_t setup = ((page[SETUP_SECTS] ? page[SETUP_SECTS] : 4u) + UINT64_C(1)) * 512;
	uint64_t address = header_number(page, PREF_ADDRESS, 8), init_size = header_number(page, INIT_SIZE, 4);
	if (setup >= file_bytes)
		return err_set(err, ERR_INVALID, 0, "the kernel is cut off");
	/* Where it wants to be it need not move itself first. */
	if (address < KERNEL_ADDRESS || address % PAGE)
		address = KERNEL_ADDRESS;
	uint64_t bytes = file_bytes - setup, needed = init_size > bytes ? init_size : bytes;
	if (address > m->low_bytes || needed > m->low_bytes - address)
		return err_set(err, ERR_INVALID, 0, "%llu MiB of memory are too little for this kernel, which needs %llu MiB to start",
			       (unsigned long long)(m->low_bytes + m->high_bytes) >> 20, (unsigned long long)(address + needed) >> 20);
	plan->kind = BOOT_64;
	plan->entry = address + 0x200;
	plan->kernel_end = address + needed;
	plan->initramfs_max = header_number(page, INITRD_MAX, 4);
	/* The header's length is in its own jump instruction, bounded by the struct. */
	plan->setup_header_bytes = sizeof(plan->setup_header);
	unsigned end = 0x202u + page[0x201];
	if (end < HEADER_END && end > SETUP_SECTS)
		plan->setup_header_bytes = end - SETUP_SECTS;
	memcpy(plan->setup_header, page + SETUP_SECTS, plan->setup_header_bytes);
	return load_range(m, fd, setup, address, bytes, err);
}

/* ---- ELF: loadable segments, and the note that has PVH's entry */

#define SEGMENTS_MAX 64
#define NOTES_MAX 65536
#define PVH_NOTE 18 /* XEN_ELFNOTE_PHYS32_ENTRY */

/* 1 with the entry, 0 if this segment of notes has none. */
static int find_pvh_entry(int fd, const Elf64_Phdr *ph, uint64_t *ret)
{
	static uint8_t notes[NOTES_MAX]; /* before any thread */
	size_t len = ph->p_filesz < sizeof(notes) ? ph->p_filesz : sizeof(notes);
	if (pread(fd, notes, len, (off_t)ph->p_offset) != (ssize_t)len)
		return 0;
	for (size_t at = 0; len - at >= sizeof(Elf64_Nhdr);) {
		Elf64_Nhdr note;
		memcpy(&note, notes + at, sizeof(note));
		at += sizeof(note);
		uint64_t name = (note.n_namesz + UINT64_C(3)) & ~UINT64_C(3), desc = (note.n_descsz + UINT64_C(3)) & ~UINT64_C(3);
		if (name > len - at || desc > len - at - name)
			return 0;
		if (note.n_type == PVH_NOTE && note.n_namesz == 4 && memcmp(notes + at, "Xen", 4) == 0 &&
		    (note.n_descsz == 4 || note.n_descsz == 8)) {
			*ret = 0;
			memcpy(ret, notes + at + name, note.n_descsz);
			return 1;
		}
		at += name + desc;
	}
	return 0;
}

static int load_segment(struct machine *m, int fd, const Elf64_Phdr *ph, struct boot_plan *plan, struct err *err)
{
	if (!ph->p_memsz)
		return 0;
	if (ph->p_filesz > ph->p_memsz || ph->p_paddr < KERNEL_ADDRESS || !guest_memory_at(&m->mem, ph->p_paddr, ph->p_memsz, GUEST_WRITE))
		return err_set(err, ERR_INVALID, 0, "%llu MiB of memory are too little for this kernel, or the kernel is damaged",
			       (unsigned long long)(m->low_bytes + m->high_bytes) >> 20);
	if (plan->kernel_end < ph->p_paddr + ph->p_memsz)
		plan->kernel_end = ph->p_paddr + ph->p_memsz;
	/* What is not in the file is zero already: fresh memory. */
	return ph->p_filesz ? load_range(m, fd, ph->p_offset, ph->p_paddr, ph->p_filesz, err) : 0;
}

int load_elf(struct machine *m, int fd, uint64_t file_bytes, struct boot_plan *plan, struct err *err)
{
	Elf64_Ehdr eh;
	if (pread(fd, &eh, sizeof(eh), 0) != (ssize_t)sizeof(eh) || eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_machine != EM_X86_64 ||
	    eh.e_phentsize != sizeof(Elf64_Phdr) || eh.e_phnum == 0 || eh.e_phnum > SEGMENTS_MAX)
		return err_set(err, ERR_INVALID, 0, "the kernel is an ELF file, but none for x86-64");
	*plan = (struct boot_plan){ .kind = BOOT_64, .entry = eh.e_entry, .initramfs_max = UINT32_MAX };
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		Elf64_Phdr ph;
		if (pread(fd, &ph, sizeof(ph), (off_t)(eh.e_phoff + i * sizeof(ph))) != (ssize_t)sizeof(ph))
			return err_set(err, ERR_INVALID, 0, "the kernel is cut off");
		int r = ph.p_type == PT_LOAD ? load_segment(m, fd, &ph, plan, err) : 0;
		if (r < 0)
			return r;
		if (ph.p_type == PT_NOTE && find_pvh_entry(fd, &ph, &plan->entry))
			plan->kind = BOOT_PVH;
	}
	if (!guest_memory_at(&m->mem, plan->entry, 1, GUEST_READ))
		return err_set(err, ERR_INVALID, 0, "the kernel starts outside of the guest's memory");
	return 0;
}

/* ---- the initramfs: as high as the kernel can take it */

static int place_initramfs(struct machine *m, int fd, struct boot_plan *plan, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0 || st.st_size < 0)
		return err_set(err, ERR_SYSTEM, errno, "look at the initramfs");
	uint64_t bytes = (uint64_t)st.st_size, top = m->low_bytes;
	if (top > plan->initramfs_max)
		top = (plan->initramfs_max + 1) & ~(PAGE - 1);
	if (!bytes)
		return 0;
	if (bytes > top || ((top - bytes) & ~(PAGE - 1)) < plan->kernel_end)
		return err_set(err, ERR_INVALID, 0, "%llu MiB of memory are too little for the kernel and the initramfs",
			       (unsigned long long)(m->low_bytes + m->high_bytes) >> 20);
	plan->initramfs = (top - bytes) & ~(PAGE - 1);
	plan->initramfs_bytes = bytes;
	return load_range(m, fd, 0, plan->initramfs, bytes, err);
}

int arch_load(struct machine *m, int kernel_fd, int initramfs_fd, const struct boot_info *info, struct err *err)
{
	struct stat st;
	char magic[4] = "";
	struct boot_plan plan = { 0 };
	if (fstat(kernel_fd, &st) < 0 || pread(kernel_fd, magic, sizeof(magic), 0) < 0)
		return err_set(err, ERR_SYSTEM, errno, "look at the kernel");
	int r = memcmp(magic, ELFMAG, SELFMAG) == 0 ? load_elf(m, kernel_fd, (uint64_t)st.st_size, &plan, err) :
						      load_bzimage(m, kernel_fd, (uint64_t)st.st_size, &plan, err);
	if (r >= 0 && initramfs_fd >= 0)
		r = place_initramfs(m, initramfs_fd, &plan, err);
	if (r >= 0)
		r = load_boot_data(m, &plan, info, err);
	m->entry = plan.entry;
	m->is_pvh = plan.kind == BOOT_PVH;
	return r;
}
