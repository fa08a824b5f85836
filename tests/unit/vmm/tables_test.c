/* SPDX-License-Identifier: Apache-2.0 */
/* The tables that tell a kernel of its machine: sums, lengths, addresses. */
#include "acpi_tables.h"
#include "mp_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "layout.h"
#include "test.h"

static uint64_t gpa_of(unsigned i)
{
	return MMIO_WINDOWS + i * 0x1000u;
}

static unsigned irq_of(unsigned i)
{
	return FIRST_DEVICE_IRQ + i;
}

static uint8_t sum(const uint8_t *data, size_t len)
{
	uint8_t total = 0;
	for (size_t i = 0; i < len; i++)
		total += data[i];
	return total;
}

static uint64_t number(const uint8_t *at, size_t len)
{
	uint64_t value = 0;
	memcpy(&value, at, len);
	return value;
}

/* A table that another points to: inside, and its bytes add up to nothing. */
static const uint8_t *table(const uint8_t *all, uint64_t gpa, const char *signature)
{
	const uint8_t *t = all + (gpa - ACPI_ADDRESS);
	CHECK(gpa >= ACPI_ADDRESS && gpa + 36 <= ACPI_ADDRESS + ACPI_BYTES);
	CHECK(memcmp(t, signature, 4) == 0);
	CHECK(number(t + 4, 4) <= ACPI_BYTES - (gpa - ACPI_ADDRESS));
	CHECK_EQ(sum(t, number(t + 4, 4)), 0);
	return t;
}

static unsigned count(const uint8_t *data, size_t len, const char *what)
{
	unsigned n = 0;
	for (size_t i = 0; i + strlen(what) <= len; i++)
		n += memcmp(data + i, what, strlen(what)) == 0;
	return n;
}

TEST(acpi)
{
	CLEANUP_FREE uint8_t *all = calloc(1, ACPI_BYTES);
	const struct acpi_machine m = { 3, 19, gpa_of, irq_of, true };
	CHECK_EQ(acpi_write(all, ACPI_BYTES, ACPI_ADDRESS, &m), 0);
	CHECK(memcmp(all, "RSD PTR ", 8) == 0);
	CHECK_EQ(sum(all, 20), 0);
	CHECK_EQ(sum(all, 36), 0);
	const uint8_t *xsdt = table(all, number(all + 24, 8), "XSDT");
	CHECK_EQ(number(xsdt + 4, 4), 36 + 2 * 8);
	const uint8_t *fadt = table(all, number(xsdt + 36, 8), "FACP"), *madt = table(all, number(xsdt + 44, 8), "APIC");
	CHECK(number(fadt + 112, 4) >> 20 & 1); /* hardware-reduced */
	const uint8_t *dsdt = table(all, number(fadt + 140, 8), "DSDT");
	size_t len = number(dsdt + 4, 4);
	CHECK_EQ(count(dsdt, len, "LNRO0005"), 19);
	CHECK_EQ(count(dsdt, len, "PNP0501"), 1);
	CHECK_EQ(number(madt + 4, 4), 44 + 3 * 8 + 12);
	/* The scope's length, in its four-byte form, covers all devices and no more. */
	CHECK_EQ(dsdt[36], 0x10);
	size_t scope = (dsdt[37] & 0xfu) | number(dsdt + 38, 3) << 4;
	CHECK(memcmp(dsdt + 37 + scope, "\x08_S5_", 5) == 0);
}

/* In a buffer that is just large enough for what is asked: the sanitizer watches. */
TEST(acpi_too_small)
{
	const struct acpi_machine m = { 2, 2, gpa_of, irq_of, false };
	bool has_fitted = false;
	for (size_t size = 0; size < 1500; size += 1) {
		CLEANUP_FREE uint8_t *all = malloc(size ? size : 1);
		int r = acpi_write(all, size, ACPI_ADDRESS, &m);
		CHECK(r == (has_fitted ? 0 : r) && (r == 0 || r == -E2BIG));
		has_fitted |= r == 0;
	}
	CHECK(has_fitted);
}

TEST(mp_table)
{
	CLEANUP_FREE uint8_t *all = calloc(1, MP_TABLE_BYTES);
	CHECK_EQ(mp_table_write(all, MP_TABLE_BYTES, (uint32_t)MP_TABLE_ADDRESS, 32), 0);
	CHECK(memcmp(all, "_MP_", 4) == 0);
	CHECK_EQ(sum(all, 16), 0);
	CHECK_EQ(number(all + 4, 4), MP_TABLE_ADDRESS + 16);
	CHECK(memcmp(all + 16, "PCMP", 4) == 0);
	CHECK_EQ(sum(all + 16, number(all + 20, 2)), 0);
	/* Entries of 20 bytes for processors and 8 for the rest, as many as are announced. */
	size_t at = 16 + 44, end = 16 + number(all + 20, 2);
	unsigned entries = 0;
	for (; at < end; entries++)
		at += all[at] == 0 ? 20 : 8;
	CHECK_EQ(at, end);
	CHECK_EQ(entries, number(all + 16 + 34, 2));
	CHECK_EQ(mp_table_write(all, 900, (uint32_t)MP_TABLE_ADDRESS, 32), -E2BIG);
}

TEST_MAIN()
