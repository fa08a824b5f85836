/* SPDX-License-Identifier: Apache-2.0 */
/* Where things are in the physical memory of an x86-64 guest. */
#pragma once

#include <stdint.h>

/* Low memory ends here; the rest goes on at 4 GiB. Between them are devices. */
#define LOW_MEMORY_MAX UINT64_C(0xd0000000)
#define HIGH_MEMORY UINT64_C(0x100000000)
/* One page of registers a virtio device. */
#define MMIO_WINDOWS UINT64_C(0xd0000000)
#define IOAPIC_ADDRESS UINT64_C(0xfec00000)
#define LAPIC_ADDRESS UINT64_C(0xfee00000)
/* Three pages that KVM needs on Intel processors. */
#define KVM_TSS_ADDRESS UINT64_C(0xfffbd000)
#define KVM_IDENTITY_ADDRESS UINT64_C(0xfffbc000)

/* What the kernel is handed, below 640 KiB. */
#define GDT_ADDRESS UINT64_C(0x500)
#define START_INFO_ADDRESS UINT64_C(0x6000) /* PVH */
#define BOOT_PARAMS_ADDRESS UINT64_C(0x7000)
#define BOOT_STACK UINT64_C(0x8ff0)
#define PAGE_TABLES_ADDRESS UINT64_C(0x9000) /* 1 + 1 + 4 pages */
#define CMDLINE_ADDRESS UINT64_C(0x20000)
#define LOW_RAM_END UINT64_C(0x9fc00)
/* In the last KiB of low memory, where kernels look for it. */
#define MP_TABLE_ADDRESS LOW_RAM_END
#define MP_TABLE_BYTES 0x400u
#define ACPI_ADDRESS UINT64_C(0xe0000)
#define ACPI_BYTES 0x10000u
/* Where a PC's processor starts, and where a kernel jumps to that asks its firmware to
 * start again. */
#define FIRMWARE_ENTRY UINT64_C(0xffff0)
#define KERNEL_ADDRESS UINT64_C(0x100000)

/* Interrupt lines of the I/O APIC: below are those of a PC's own devices. */
#define FIRST_DEVICE_IRQ 5u
#define UART_IRQ 4u

#define UART_PORT 0x3f8u
#define KEYBOARD_PORT 0x64u
#define PANIC_PORT 0x505u
/* The sleep control, sleep status and reset registers of the ACPI tables. */
#define SLEEP_PORT 0x600u
#define SLEEP_STATUS_PORT 0x601u
#define RESET_PORT 0x602u
#define RESET_VALUE 0x5au
/* _S5 says 5: SLP_TYP in bits 2 to 4, with SLP_EN. */
#define SLEEP_S5 5u
#define SLEEP_OFF_VALUE (SLEEP_S5 << 2 | 1u << 5)
