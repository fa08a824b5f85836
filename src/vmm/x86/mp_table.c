/* SPDX-License-Identifier: Apache-2.0 */
#include "mp_table.h"

#include <errno.h>
#include <string.h>

#include "layout.h"

#define IRQS 24u
#define LAPIC_VERSION 0x14
#define IOAPIC_VERSION 0x11

struct mp_pointer {
	char signature[4];
	uint32_t table;
	uint8_t length, version, checksum, features[5];
};
struct mp_header {
	char signature[4];
	uint16_t length;
	uint8_t version, checksum;
	char oem[8], product[12];
	uint32_t oem_table;
	uint16_t oem_length, entries;
	uint32_t lapic;
	uint32_t reserved;
};
struct mp_processor {
	uint8_t type, apic, version, flags;
	uint32_t signature, features, reserved[2];
};
struct mp_bus {
	uint8_t type, id;
	char name[6];
};
struct mp_ioapic {
	uint8_t type, id, version, flags;
	uint32_t address;
};
struct mp_interrupt {
	uint8_t type, kind;
	uint16_t flags;
	uint8_t bus, irq, apic, pin;
};
static_assert(sizeof(struct mp_pointer) == 16 && sizeof(struct mp_header) == 44 && sizeof(struct mp_processor) == 20 &&
		      sizeof(struct mp_bus) == 8 && sizeof(struct mp_ioapic) == 8 && sizeof(struct mp_interrupt) == 8,
	      "as the specification has them");

enum { MP_PROCESSOR, MP_BUS, MP_IOAPIC, MP_INTERRUPT, MP_LOCAL_INTERRUPT };
enum { KIND_VECTORED, KIND_NMI, KIND_SMI, KIND_EXTERNAL };

static uint8_t checksum(const void *data, size_t len)
{
	uint8_t sum = 0;
	for (size_t i = 0; i < len; i++)
		sum += ((const uint8_t *)data)[i];
	return (uint8_t)-sum;
}

int mp_table_write(uint8_t *out, size_t size, uint32_t gpa, unsigned vcpus)
{
	size_t len = sizeof(struct mp_header) + vcpus * sizeof(struct mp_processor) + sizeof(struct mp_bus) + sizeof(struct mp_ioapic) +
		     (IRQS + 2) * sizeof(struct mp_interrupt);
	if (sizeof(struct mp_pointer) + len > size)
		return -E2BIG;
	struct mp_pointer pointer = { .signature = "_MP_", .table = gpa + (uint32_t)sizeof(pointer), .length = 1, .version = 4 };
	pointer.checksum = checksum(&pointer, sizeof(pointer));
	struct mp_header header = { .signature = "PCMP", .length = (uint16_t)len, .version = 4, .oem = "HULL    ", .product = "HULLVMM     ",
				    .entries = (uint16_t)(vcpus + 2 + IRQS + 2), .lapic = (uint32_t)LAPIC_ADDRESS };
	uint8_t *at = out + sizeof(pointer) + sizeof(header);
	uint8_t ioapic_id = (uint8_t)vcpus;
	for (unsigned i = 0; i < vcpus; i++, at += sizeof(struct mp_processor)) {
		/* Usable, and the first is the one that starts; it has an APIC and a TSC. */
		struct mp_processor cpu = { .type = MP_PROCESSOR, .apic = (uint8_t)i, .version = LAPIC_VERSION, .flags = i ? 1 : 3,
					    .signature = 0x600, .features = 0x201 };
		memcpy(at, &cpu, sizeof(cpu));
	}
	struct mp_bus bus = { .type = MP_BUS, .name = { 'I', 'S', 'A', ' ', ' ', ' ' } };
	memcpy(at, &bus, sizeof(bus));
	at += sizeof(bus);
	struct mp_ioapic ioapic = { .type = MP_IOAPIC, .id = ioapic_id, .version = IOAPIC_VERSION, .flags = 1, .address = (uint32_t)IOAPIC_ADDRESS };
	memcpy(at, &ioapic, sizeof(ioapic));
	at += sizeof(ioapic);
	for (unsigned i = 0; i < IRQS + 2; i++, at += sizeof(struct mp_interrupt)) {
		struct mp_interrupt irq = { .type = MP_INTERRUPT, .irq = (uint8_t)i, .apic = ioapic_id, .pin = (uint8_t)i };
		if (i >= IRQS)
			irq = (struct mp_interrupt){ .type = MP_LOCAL_INTERRUPT, .kind = i == IRQS ? KIND_EXTERNAL : KIND_NMI,
						     .apic = i == IRQS ? 0 : 0xff, .pin = (uint8_t)(i - IRQS) };
		memcpy(at, &irq, sizeof(irq));
	}
	memcpy(out, &pointer, sizeof(pointer));
	memcpy(out + sizeof(pointer), &header, sizeof(header));
	out[sizeof(pointer) + offsetof(struct mp_header, checksum)] = checksum(out + sizeof(pointer), len);
	return 0;
}
