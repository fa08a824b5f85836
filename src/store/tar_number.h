/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers in tar headers and PAX records. All parsers take a length, need no
 * NUL, and return 0, -EINVAL (malformed) or -ERANGE (does not fit). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* A header field: octal digits between blanks and NULs (an empty one is 0), or
 * GNU base-256 when the first bit is set, which may be negative. */
int tar_number_field(const char *field, size_t len, int64_t *ret) MUST_CHECK;
/* Decimal digits only; @len >= 1. */
int tar_number_decimal(const char *s, size_t len, uint64_t *ret) MUST_CHECK;
/* "-12.345": seconds rounded down and nanoseconds, 0 to 999999999. */
int tar_number_time(const char *s, size_t len, int64_t *ret_sec, uint32_t *ret_nsec) MUST_CHECK;
/* The header's checksum: sum of all bytes with the field itself as blanks, in
 * its unsigned and its (historic) signed form. */
void tar_number_checksum(const uint8_t block[512], uint32_t *ret_unsigned, int32_t *ret_signed);
