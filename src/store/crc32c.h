/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C (Castagnoli) without the final inversion, as EROFS stores it. For a
 * few KiB: one superblock. */
#pragma once

#include <stddef.h>
#include <stdint.h>

static inline uint32_t crc32c_update(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;
	while (len--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return crc;
}
