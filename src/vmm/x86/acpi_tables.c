/* SPDX-License-Identifier: Apache-2.0 */
#include "acpi_tables.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "layout.h"

/* Bytes that grow; once full, nothing is written any more. */
struct out {
	uint8_t *data;
	size_t size, len;
	bool is_full;
};

static void put(struct out *o, const void *data, size_t len)
{
	if (len > o->size - o->len) {
		o->is_full = true;
		return;
	}
	memcpy(o->data + o->len, data, len);
	o->len += len;
}

/* Little-endian; @len of its low bytes. */
static void put_number(struct out *o, uint64_t value, size_t len)
{
	put(o, &value, len);
}

static void set_number(struct out *o, size_t at, uint64_t value, size_t len)
{
	if (!o->is_full)
		memcpy(o->data + at, &value, len);
}

/* The byte that makes the sum of [from, from + len) zero. */
static uint8_t checksum(const struct out *o, size_t from, size_t len)
{
	uint8_t sum = 0;
	for (size_t i = 0; i < len; i++)
		sum += o->data[from + i];
	return (uint8_t)-sum;
}

/* ---- tables: a header of 36 bytes (5.2.6), the length and sum filled in at the end */

static size_t table_begin(struct out *o, const char *signature, uint8_t revision)
{
	while (o->len % 16 && !o->is_full)
		put_number(o, 0, 1);
	size_t at = o->len;
	put(o, signature, 4);
	put_number(o, 0, 4);
	put_number(o, revision, 1);
	put_number(o, 0, 1);
	put(o, "HULL  HULLVMM ", 14);
	put_number(o, 1, 4);
	put(o, "HULL", 4);
	put_number(o, 1, 4);
	return at;
}

static void table_end(struct out *o, size_t at)
{
	set_number(o, at + 4, o->len - at, 4);
	if (!o->is_full)
		o->data[at + 9] = checksum(o, at, o->len - at);
}

/* ---- AML (chapter 20): packages are prefixed by their length */

#define AML_SCOPE 0x10
#define AML_NAME 0x08
#define AML_BUFFER 0x11
#define AML_PACKAGE 0x12
#define AML_BYTE 0x0a
#define AML_DWORD 0x0c
#define AML_STRING 0x0d

/* Always in the form of four bytes (20.2.4), filled in when the package ends. */
static size_t package_begin(struct out *o)
{
	size_t at = o->len;
	put_number(o, 0, 4);
	return at;
}

static void package_end(struct out *o, size_t at)
{
	uint32_t len = (uint32_t)(o->len - at);
	set_number(o, at, 0xc0 | (len & 0xf), 1);
	set_number(o, at + 1, len >> 4, 3);
}

static void put_name(struct out *o, const char *name)
{
	put_number(o, AML_NAME, 1);
	put(o, name, 4);
}

static void put_name_string(struct out *o, const char *name, const char *value)
{
	put_name(o, name);
	put_number(o, AML_STRING, 1);
	put(o, value, strlen(value) + 1);
}

static void put_name_number(struct out *o, const char *name, uint32_t value)
{
	put_name(o, name);
	put_number(o, AML_DWORD, 1);
	put_number(o, value, 4);
}

static size_t device_begin(struct out *o, const char *name)
{
	put(o, "\x5b\x82", 2);
	size_t at = package_begin(o);
	put(o, name, 4);
	return at;
}

static void put_resources(struct out *o, const uint8_t *resources, size_t len)
{
	put_name(o, "_CRS");
	put_number(o, AML_BUFFER, 1);
	size_t at = package_begin(o);
	put_number(o, AML_BYTE, 1);
	put_number(o, len + 2, 1);
	put(o, resources, len);
	put(o, "\x79\x00", 2); /* end tag, no sum */
	package_end(o, at);
}

/* LNRO0005 is the name that Linux has for virtio-mmio. */
static void put_window(struct out *o, unsigned index, uint64_t gpa, unsigned irq)
{
	char name[5] = { 'V', 'R', (char)('A' + index / 16), "0123456789ABCDEF"[index % 16], 0 };
	uint8_t resources[12 + 9] = { 0x86, 9, 0, 1 };      /* fixed 32-bit memory (6.4.3.4), writable */
	uint32_t base = (uint32_t)gpa, bytes = 0x1000;
	memcpy(resources + 4, &base, 4);
	memcpy(resources + 8, &bytes, 4);
	/* Extended interrupt (6.4.3.6): consumer, edge, active high, exclusive; one. */
	const uint8_t interrupt[9] = { 0x89, 6, 0, 3, 1, (uint8_t)irq, 0, 0, 0 };
	memcpy(resources + 12, interrupt, sizeof(interrupt));
	size_t at = device_begin(o, name);
	put_name_string(o, "_HID", "LNRO0005");
	put_name_number(o, "_UID", index);
	put_name_number(o, "_CCA", 1);
	put_resources(o, resources, sizeof(resources));
	package_end(o, at);
}

/* Without an entry here its interrupt would not be connected: there is no old
 * interrupt controller whose lines a kernel could assume. */
static void put_uart(struct out *o)
{
	const uint8_t resources[] = { 0x47, 1, UART_PORT & 0xff, UART_PORT >> 8, UART_PORT & 0xff, UART_PORT >> 8, 1, 8,
				      0x89, 6, 0, 3, 1, UART_IRQ, 0, 0, 0 };
	size_t at = device_begin(o, "COM1");
	put_name_string(o, "_HID", "PNP0501");
	put_name_number(o, "_UID", 0);
	put_resources(o, resources, sizeof(resources));
	package_end(o, at);
}

/* The port to which a kernel says that it panicked: QEMU's, for which Linux has a driver. */
static void put_panic_port(struct out *o)
{
	const uint8_t resources[] = { 0x47, 1, PANIC_PORT & 0xff, PANIC_PORT >> 8, PANIC_PORT & 0xff, PANIC_PORT >> 8, 1, 1 };
	size_t at = device_begin(o, "PEVT");
	put_name_string(o, "_HID", "QEMU0001");
	put_name_number(o, "_STA", 0xf);
	put_resources(o, resources, sizeof(resources));
	package_end(o, at);
}

static size_t put_dsdt(struct out *o, const struct acpi_machine *machine)
{
	size_t table = table_begin(o, "DSDT", 2);
	put_number(o, AML_SCOPE, 1);
	size_t scope = package_begin(o);
	put(o, "\\_SB_", 5);
	for (unsigned i = 0; i < machine->windows; i++)
		put_window(o, i, machine->window_gpa(i), machine->window_irq(i));
	put_panic_port(o);
	if (machine->has_uart)
		put_uart(o);
	package_end(o, scope);
	put_name(o, "_S5_");
	put_number(o, AML_PACKAGE, 1);
	size_t package = package_begin(o);
	put_number(o, 4, 1);
	for (int i = 0; i < 4; i++) {
		put_number(o, AML_BYTE, 1);
		put_number(o, i == 0 ? SLEEP_S5 : 0, 1);
	}
	package_end(o, package);
	table_end(o, table);
	return table;
}

/* A generic address (5.2.3.2) of one byte of I/O space. */
static void set_port(struct out *o, size_t at, uint64_t port)
{
	set_number(o, at, 1 | 8 << 8 | 1 << 24, 4);
	set_number(o, at + 4, port, 8);
}

static size_t put_fadt(struct out *o, uint64_t dsdt_gpa)
{
	enum {
		LENGTH = 276, BOOT_ARCH = 109, FLAGS = 112, RESET_REGISTER = 116, RESET_BYTE = 128, MINOR = 131, X_DSDT = 140,
		SLEEP_CONTROL = 244, SLEEP_STATUS = 256, HYPERVISOR = 268,
	};
	size_t at = table_begin(o, "FACP", 6);
	while (o->len < at + LENGTH && !o->is_full)
		put_number(o, 0, 1);
	/* No VGA, no MSI, no CMOS clock; and neither a keyboard controller nor other old devices. */
	set_number(o, at + BOOT_ARCH, 1u << 2 | 1u << 5, 2);
	/* Reset register, hardware-reduced; WBINVD works; no fixed buttons. */
	set_number(o, at + FLAGS, 1u | 1u << 4 | 1u << 5 | 1u << 10 | 1u << 20, 4);
	set_port(o, at + RESET_REGISTER, RESET_PORT);
	set_number(o, at + RESET_BYTE, RESET_VALUE, 1);
	set_number(o, at + MINOR, 4, 1);
	set_number(o, at + X_DSDT, dsdt_gpa, 8);
	set_port(o, at + SLEEP_CONTROL, SLEEP_PORT);
	set_port(o, at + SLEEP_STATUS, SLEEP_STATUS_PORT);
	set_number(o, at + HYPERVISOR, UINT64_C(0x4d4d564c4c5548), 8); /* HULLVMM */
	table_end(o, at);
	return at;
}

static size_t put_madt(struct out *o, unsigned vcpus)
{
	size_t at = table_begin(o, "APIC", 5);
	put_number(o, LAPIC_ADDRESS, 4);
	put_number(o, 0, 4);
	for (unsigned i = 0; i < vcpus; i++) {
		const uint8_t lapic[8] = { 0, 8, (uint8_t)i, (uint8_t)i, 1 };
		put(o, lapic, sizeof(lapic));
	}
	put(o, "\x01\x0c\x00\x00", 4);
	put_number(o, IOAPIC_ADDRESS, 4);
	put_number(o, 0, 4);
	table_end(o, at);
	return at;
}

int acpi_write(uint8_t *out, size_t size, uint64_t gpa, const struct acpi_machine *machine)
{
	enum { RSDP = 36 };
	struct out o = { .data = out, .size = size, .len = RSDP };
	if (size < RSDP)
		return -E2BIG;
	size_t dsdt = put_dsdt(&o, machine);
	size_t fadt = put_fadt(&o, gpa + dsdt);
	size_t madt = put_madt(&o, machine->vcpus);
	size_t xsdt = table_begin(&o, "XSDT", 1);
	put_number(&o, gpa + fadt, 8);
	put_number(&o, gpa + madt, 8);
	table_end(&o, xsdt);
	if (o.is_full)
		return -E2BIG;
	/* The root pointer (5.2.5.3), with a sum for its first 20 bytes and one for all. */
	memset(out, 0, RSDP);
	memcpy(out, "RSD PTR ", 8);
	memcpy(out + 9, "HULL  ", 6);
	out[15] = 2;
	set_number(&o, 20, RSDP, 4);
	set_number(&o, 24, gpa + xsdt, 8);
	out[8] = checksum(&o, 0, 20);
	out[32] = checksum(&o, 0, RSDP);
	return 0;
}
