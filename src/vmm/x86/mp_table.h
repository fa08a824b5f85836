/* SPDX-License-Identifier: Apache-2.0 */
/* The table of processors and interrupts (Intel's MultiProcessor Specification 1.4)
 * for kernels without ACPI, which are smaller and start sooner. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* Write it to @out, which the guest sees at @gpa. -E2BIG if it needs more than @size. */
int mp_table_write(uint8_t *out, size_t size, uint32_t gpa, unsigned vcpus) MUST_CHECK;
