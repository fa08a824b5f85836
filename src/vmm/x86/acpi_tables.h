/* SPDX-License-Identifier: Apache-2.0 */
/* The few ACPI tables of the machine (ACPI 6.4): hardware-reduced, so that there is
 * no timer, no SCI and no power management block; processors, virtio-mmio devices,
 * and the ports by which a guest ends. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct acpi_machine {
	unsigned vcpus, windows;
	uint64_t (*window_gpa)(unsigned index);
	unsigned (*window_irq)(unsigned index);
	bool has_uart;
};

/* Write them to @out, which the guest sees at @gpa; the root pointer comes first.
 * -E2BIG if they need more than @size. */
int acpi_write(uint8_t *out, size_t size, uint64_t gpa, const struct acpi_machine *machine) MUST_CHECK;
