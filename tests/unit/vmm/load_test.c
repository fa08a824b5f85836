/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels of each form, good ones and damaged ones, into memory without a KVM. */
#include <elf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "layout.h"
#include "cleanup.h"
#include "machine.h"
#include "test.h"

#define MEMORY (UINT64_C(32) << 20)

static struct machine m;

static void begin(void)
{
	void *host = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(host != MAP_FAILED);
	m = (struct machine){ 0 };
	arch_lay_out(&m, MEMORY);
	CHECK_EQ(guest_memory_add(&m.mem, 0, host, MEMORY, 0), 0);
}

static void end(void)
{
	munmap(m.mem.regions[0].host, MEMORY);
}

static int load(const void *kernel, size_t len, const char *initramfs, const char *cmdline, bool has_acpi, struct err *err)
{
	const struct boot_info info = { cmdline, 2, 3, has_acpi, true };
	int fd = memfd_create("kernel", 0), initramfs_fd = initramfs ? memfd_create("initramfs", 0) : -1;
	CHECK_EQ(write(fd, kernel, len), len);
	if (initramfs)
		CHECK_EQ(write(initramfs_fd, initramfs, strlen(initramfs)), strlen(initramfs));
	*err = ERR_INIT;
	int r = arch_load(&m, fd, initramfs_fd, &info, err);
	CHECK((r < 0) == err_is_set(err));
	close(fd);
	if (initramfs)
		close(initramfs_fd);
	return r;
}

struct elf {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	struct {
		Elf64_Nhdr head;
		char name[4];
		uint32_t entry;
	} note;
	char text[64];
};

static struct elf make_elf(void)
{
	struct elf e = { .eh = { .e_type = ET_EXEC, .e_machine = EM_X86_64, .e_phoff = offsetof(struct elf, ph), .e_phentsize = sizeof(Elf64_Phdr),
				 .e_phnum = 2, .e_entry = 0x200000 },
			 .ph = { { .p_type = PT_LOAD, .p_offset = offsetof(struct elf, text), .p_paddr = 0x200000, .p_filesz = 64, .p_memsz = 4096 },
				 { .p_type = PT_NOTE, .p_offset = offsetof(struct elf, note), .p_filesz = sizeof(e.note) } },
			 .note = { .head = { 4, 4, 18 }, .name = "Xen", .entry = 0x200010 }, .text = "the kernel's text" };
	memcpy(e.eh.e_ident, ELFMAG, SELFMAG);
	e.eh.e_ident[EI_CLASS] = ELFCLASS64;
	return e;
}

TEST(elf_by_pvh)
{
	struct err err;
	struct elf e = make_elf();
	begin();
	CHECK_EQ(load(&e, sizeof(e), "initramfs", "hello", true, &err), 0);
	CHECK(m.is_pvh);
	CHECK_EQ(m.entry, 0x200010);
	CHECK_STR(guest_memory_at(&m.mem, 0x200000, 64, GUEST_READ), "the kernel's text");
	const uint32_t *info = guest_memory_at(&m.mem, START_INFO_ADDRESS, 64, GUEST_READ);
	CHECK_EQ(info[0], 0x336ec578);
	CHECK_EQ(info[3], 1); /* a module: the initramfs */
	CHECK_STR(guest_memory_at(&m.mem, CMDLINE_ADDRESS, 8, GUEST_READ), "hello");
	CHECK(memcmp(guest_memory_at(&m.mem, ACPI_ADDRESS, 8, GUEST_READ), "RSD PTR ", 8) == 0);
	end();
}

TEST(elf_without_the_note)
{
	struct err err;
	struct elf e = make_elf();
	e.ph[1].p_type = PT_NULL;
	begin();
	CHECK_EQ(load(&e, sizeof(e), NULL, "hello", false, &err), 0);
	CHECK(!m.is_pvh);
	CHECK_EQ(m.entry, 0x200000);
	/* Without ACPI the kernel is told of devices by words. */
	const char *words = guest_memory_at(&m.mem, CMDLINE_ADDRESS, 200, GUEST_READ);
	CHECK_STR(words, "hello virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=4K@0xd0001000:6 virtio_mmio.device=4K@0xd0002000:7");
	CHECK(memcmp(guest_memory_at(&m.mem, MP_TABLE_ADDRESS, 4, GUEST_READ), "_MP_", 4) == 0);
	end();
}

TEST(damaged_elf)
{
	struct err err;
	struct {
		size_t at, len;
		uint64_t value;
	} const damages[] = {
		{ offsetof(struct elf, eh.e_machine), 2, EM_AARCH64 },
		{ offsetof(struct elf, eh.e_phnum), 2, 65535 },
		{ offsetof(struct elf, eh.e_phnum), 2, 0 },
		{ offsetof(struct elf, eh.e_phoff), 8, UINT64_MAX - 8 },
		{ offsetof(struct elf, ph[0].p_paddr), 8, 0 },
		{ offsetof(struct elf, ph[0].p_paddr), 8, MEMORY - 100 },
		{ offsetof(struct elf, ph[0].p_paddr), 8, UINT64_MAX - 100 },
		{ offsetof(struct elf, ph[0].p_memsz), 8, UINT64_MAX },
		{ offsetof(struct elf, ph[0].p_memsz), 8, 10 },
		{ offsetof(struct elf, ph[0].p_offset), 8, 1 << 20 },
		{ offsetof(struct elf, note.entry), 4, UINT32_MAX },
	};
	for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
		struct elf e = make_elf();
		memcpy((char *)&e + damages[i].at, &damages[i].value, damages[i].len);
		begin();
		CHECK(load(&e, sizeof(e), NULL, "", true, &err) < 0);
		end();
	}
	/* Notes that lie about their lengths have no entry; the ELF's own is taken. */
	struct elf e = make_elf();
	e.note.head.n_descsz = UINT32_MAX;
	begin();
	CHECK_EQ(load(&e, sizeof(e), NULL, "", true, &err), 0);
	CHECK(!m.is_pvh);
	end();
}

TEST(bzimage)
{
	struct err err;
	uint8_t image[0x1000] = { 0 };
	const uint64_t address = 0x1000000;
	image[0x1f1] = 1; /* sectors of set-up code */
	image[0x201] = 0x6a;
	memcpy(image + 0x202, "HdrS", 4);
	image[0x206] = 0x0f;
	image[0x207] = 2;
	image[0x236] = 1;
	memset(image + 0x22c, 0xff, 3);
	image[0x22f] = 0x7f;
	memcpy(image + 0x258, &address, 8);
	memcpy(image + 1024, "text", 4);
	begin();
	CHECK_EQ(load(image, sizeof(image), "initramfs", "words", true, &err), 0);
	CHECK_EQ(m.entry, address + 0x200);
	CHECK(memcmp(guest_memory_at(&m.mem, address, 4, GUEST_READ), "text", 4) == 0);
	const uint8_t *params = guest_memory_at(&m.mem, BOOT_PARAMS_ADDRESS, 4096, GUEST_READ);
	CHECK(memcmp(params + 0x202, "HdrS", 4) == 0);
	uint32_t at;
	memcpy(&at, params + 0x218, 4);
	CHECK(memcmp(guest_memory_at(&m.mem, at, 9, GUEST_READ), "initramfs", 9) == 0);
	end();
	/* It says how much it needs to unpack itself: more than there is. */
	const uint32_t needs = 64u << 20;
	memcpy(image + 0x260, &needs, 4);
	begin();
	CHECK(load(image, sizeof(image), NULL, "", true, &err) < 0);
	CHECK_STR(err.msg, "32 MiB of memory are too little for this kernel, which needs 80 MiB to start");
	end();
}

TEST(command_line_too_long)
{
	struct err err;
	struct elf e = make_elf();
	char words[VMM_CMDLINE_MAX];
	memset(words, 'x', sizeof(words) - 1);
	words[sizeof(words) - 1] = 0;
	begin();
	CHECK_EQ(load(&e, sizeof(e), NULL, words, true, &err), 0);
	CHECK(load(&e, sizeof(e), NULL, words, false, &err) < 0);
	end();
}

TEST_MAIN()
