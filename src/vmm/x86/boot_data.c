/* SPDX-License-Identifier: Apache-2.0 */
#include <asm/bootparam.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "acpi_tables.h"
#include "layout.h"
#include "load.h"
#include "mp_table.h"

static_assert(sizeof(((struct boot_plan *)0)->setup_header) >= sizeof(struct setup_header), "all of it is copied");

struct range {
	uint64_t addr, size;
	uint32_t type;
};
#define RANGES_MAX 4
#define RANGE_RAM 1
#define RANGE_RESERVED 2

/* What PVH hands over (Xen's public/arch-x86/hvm/start_info.h). */
struct pvh_start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modules, cmdline, rsdp, memmap;
	uint32_t memmap_entries, reserved;
};
struct pvh_module {
	uint64_t paddr, size, cmdline, reserved;
};
struct pvh_range {
	uint64_t addr, size;
	uint32_t type, reserved;
};
#define PVH_MAGIC UINT32_C(0x336ec578)

static unsigned memory_map(const struct machine *m, struct range ranges[RANGES_MAX])
{
	unsigned n = 0;
	ranges[n++] = (struct range){ 0, LOW_RAM_END, RANGE_RAM };
	ranges[n++] = (struct range){ ACPI_ADDRESS, ACPI_BYTES, RANGE_RESERVED };
	ranges[n++] = (struct range){ KERNEL_ADDRESS, m->low_bytes - KERNEL_ADDRESS, RANGE_RAM };
	if (m->high_bytes)
		ranges[n++] = (struct range){ HIGH_MEMORY, m->high_bytes, RANGE_RAM };
	return n;
}

/* The first 4 GiB at their own addresses, in pages of 2 MiB. */
static int write_page_tables(struct machine *m)
{
	uint64_t tables[2 + 4][512] = { 0 };
	tables[0][0] = (PAGE_TABLES_ADDRESS + 0x1000) | 3;
	for (uint64_t i = 0; i < 4; i++)
		tables[1][i] = (PAGE_TABLES_ADDRESS + 0x2000 + i * 0x1000) | 3;
	for (uint64_t i = 0; i < 4 * 512; i++)
		tables[2 + i / 512][i % 512] = i << 21 | 0x83;
	return guest_memory_write(&m->mem, PAGE_TABLES_ADDRESS, tables, sizeof(tables));
}

static int write_boot_params(struct machine *m, const struct boot_plan *plan, size_t cmdline_len, uint64_t rsdp)
{
	struct boot_params params = { 0 };
	struct range ranges[RANGES_MAX];
	memcpy(&params.hdr, plan->setup_header,
	       plan->setup_header_bytes < sizeof(params.hdr) ? plan->setup_header_bytes : sizeof(params.hdr));
	if (!plan->setup_header_bytes) {
		params.hdr.boot_flag = 0xaa55;
		params.hdr.header = 0x53726448;
		params.hdr.kernel_alignment = 0x1000000;
	}
	params.hdr.type_of_loader = 0xff;
	params.hdr.loadflags |= 1;
	params.hdr.cmd_line_ptr = (uint32_t)CMDLINE_ADDRESS;
	params.hdr.cmdline_size = (uint32_t)cmdline_len;
	params.hdr.ramdisk_image = (uint32_t)plan->initramfs;
	params.hdr.ramdisk_size = (uint32_t)plan->initramfs_bytes;
	params.acpi_rsdp_addr = rsdp;
	params.e820_entries = (uint8_t)memory_map(m, ranges);
	for (unsigned i = 0; i < params.e820_entries; i++) {
		params.e820_table[i].addr = ranges[i].addr;
		params.e820_table[i].size = ranges[i].size;
		params.e820_table[i].type = ranges[i].type;
	}
	return guest_memory_write(&m->mem, BOOT_PARAMS_ADDRESS, &params, sizeof(params));
}

static int write_start_info(struct machine *m, const struct boot_plan *plan, uint64_t rsdp)
{
	struct {
		struct pvh_start_info info;
		struct pvh_module module;
		struct pvh_range map[RANGES_MAX];
	} all = { 0 };
	struct range ranges[RANGES_MAX];
	all.info = (struct pvh_start_info){
		.magic = PVH_MAGIC,
		.version = 1,
		.nr_modules = plan->initramfs_bytes ? 1 : 0,
		.modules = START_INFO_ADDRESS + offsetof(__typeof__(all), module),
		.cmdline = CMDLINE_ADDRESS,
		.rsdp = rsdp,
		.memmap = START_INFO_ADDRESS + offsetof(__typeof__(all), map),
		.memmap_entries = memory_map(m, ranges),
	};
	all.module = (struct pvh_module){ .paddr = plan->initramfs, .size = plan->initramfs_bytes };
	for (unsigned i = 0; i < all.info.memmap_entries; i++)
		all.map[i] = (struct pvh_range){ .addr = ranges[i].addr, .size = ranges[i].size, .type = ranges[i].type };
	return guest_memory_write(&m->mem, START_INFO_ADDRESS, &all, sizeof(all));
}

/* The command line of a kernel that does not learn of devices otherwise has them
 * (Documentation/admin-guide/kernel-parameters.txt, virtio_mmio.device). */
static int write_cmdline(struct machine *m, const struct boot_info *info, size_t *ret_len)
{
	char text[VMM_CMDLINE_MAX];
	size_t len = strlen(info->cmdline);
	if (len >= sizeof(text))
		return -E2BIG;
	memcpy(text, info->cmdline, len + 1);
	for (unsigned i = 0; i < info->windows && !info->has_acpi; i++) {
		int n = snprintf(text + len, sizeof(text) - len, " virtio_mmio.device=4K@0x%llx:%u", (unsigned long long)arch_window_gpa(i),
				 arch_window_irq(i));
		if (n < 0 || (size_t)n >= sizeof(text) - len)
			return -E2BIG;
		len += (size_t)n;
	}
	*ret_len = len;
	return guest_memory_write(&m->mem, CMDLINE_ADDRESS, text, len + 1);
}

static int write_tables(struct machine *m, const struct boot_info *info)
{
	const struct acpi_machine machine = { info->vcpus, info->windows, arch_window_gpa, arch_window_irq, info->has_uart };
	uint64_t at = info->has_acpi ? ACPI_ADDRESS : MP_TABLE_ADDRESS;
	size_t bytes = info->has_acpi ? ACPI_BYTES : MP_TABLE_BYTES;
	uint8_t *out = guest_memory_at(&m->mem, at, bytes, GUEST_WRITE);
	if (!out)
		return -ENOMEM;
	return info->has_acpi ? acpi_write(out, bytes, at, &machine) : mp_table_write(out, bytes, (uint32_t)at, info->vcpus);
}

int load_boot_data(struct machine *m, const struct boot_plan *plan, const struct boot_info *info, struct err *err)
{
	/* null, null, code, data, task: the selectors that both protocols ask for. */
	const uint64_t gdt[5] = { 0, 0, plan->kind == BOOT_64 ? UINT64_C(0x00af9b000000ffff) : UINT64_C(0x00cf9b000000ffff),
				  UINT64_C(0x00cf93000000ffff), UINT64_C(0x00008b0000000067) };
	size_t cmdline_len = 0;
	int r = write_cmdline(m, info, &cmdline_len);
	if (r == -E2BIG)
		return err_set(err, ERR_INVALID, 0, "the kernel's command line is longer than %d bytes", VMM_CMDLINE_MAX - 1);
	if (r >= 0)
		r = write_tables(m, info);
	if (r >= 0)
		r = guest_memory_write(&m->mem, GDT_ADDRESS, gdt, sizeof(gdt));
	if (r >= 0 && plan->kind == BOOT_64)
		r = write_page_tables(m);
	/* A kernel that has EFI built in asks nothing else on a hardware-reduced machine, and
	 * without EFI jumps to the firmware. This is all there is of one: mov al, 0xfe;
	 * out 0x64, al; hlt. */
	static const uint8_t firmware[] = { 0xb0, 0xfe, 0xe6, KEYBOARD_PORT, 0xf4, 0xeb, 0xfd };
	if (r >= 0)
		r = guest_memory_write(&m->mem, FIRMWARE_ENTRY, firmware, sizeof(firmware));
	uint64_t rsdp = info->has_acpi ? ACPI_ADDRESS : 0;
	if (r >= 0)
		r = plan->kind == BOOT_64 ? write_boot_params(m, plan, cmdline_len, rsdp) : write_start_info(m, plan, rsdp);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "write what the kernel is handed") : 0;
}
