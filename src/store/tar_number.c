/* SPDX-License-Identifier: Apache-2.0 */
#include "tar_number.h"

#include <errno.h>
#include <stdbool.h>

static bool is_blank(char c)
{
	return c == ' ' || c == '\0';
}

static int base256(const uint8_t *f, size_t len, int64_t *ret)
{
	bool negative = f[0] & 0x40;
	/* The marker bit is not part of the value; the sign is extended over it. */
	uint8_t fill = negative ? 0xff : 0;
	uint64_t v = negative ? UINT64_MAX : 0;
	for (size_t i = 0; i < len; i++) {
		uint8_t b = f[i];
		if (i == 0)
			b = negative ? b : b & 0x7f;
		/* Bytes shifted out must be sign only. */
		if ((v >> 56) != fill)
			return -ERANGE;
		v = v << 8 | b;
	}
	if (((int64_t)v < 0) != negative)
		return -ERANGE;
	*ret = (int64_t)v;
	return 0;
}

int tar_number_field(const char *field, size_t len, int64_t *ret)
{
	if ((uint8_t)field[0] & 0x80)
		return base256((const uint8_t *)field, len, ret);
	while (len && is_blank(*field))
		field++, len--;
	uint64_t v = 0;
	while (len && *field >= '0' && *field <= '7') {
		if (v >> 60)
			return -ERANGE;
		v = v << 3 | (uint64_t)(*field - '0');
		field++, len--;
	}
	/* What follows the terminator is not looked at, as other readers do. */
	if (len && !is_blank(*field))
		return -EINVAL;
	for (; len; field++, len--)
		if (!is_blank(*field))
			return -EINVAL;
	*ret = (int64_t)v;
	return 0;
}

int tar_number_decimal(const char *s, size_t len, uint64_t *ret)
{
	uint64_t v = 0;
	if (!len)
		return -EINVAL;
	for (; len; s++, len--) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return -ERANGE;
	}
	*ret = v;
	return 0;
}

int tar_number_time(const char *s, size_t len, int64_t *ret_sec, uint32_t *ret_nsec)
{
	bool negative = len && *s == '-';
	if (negative)
		s++, len--;
	size_t whole = 0;
	while (whole < len && s[whole] != '.')
		whole++;
	uint64_t v;
	int r = tar_number_decimal(s, whole, &v);
	if (r < 0)
		return r;
	if (v > INT64_MAX - 1)
		return -ERANGE;
	uint32_t nsec = 0, scale = 100000000;
	bool rest = false;
	for (size_t i = whole + 1; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -EINVAL;
		nsec += (uint32_t)(s[i] - '0') * scale;
		if (!scale && s[i] != '0')
			rest = true;
		scale /= 10;
	}
	int64_t sec = (int64_t)v;
	if (negative) {
		sec = -sec;
		/* -1.25 is 0.75 after -2; what is below a nanosecond rounds down too. */
		if (nsec || rest) {
			nsec += rest;
			sec--;
			nsec = 1000000000 - nsec;
		}
	}
	*ret_sec = sec;
	*ret_nsec = nsec;
	return 0;
}

void tar_number_checksum(const uint8_t block[512], uint32_t *ret_unsigned, int32_t *ret_signed)
{
	uint32_t u = 0;
	int32_t s = 0;
	for (unsigned i = 0; i < 512; i++) {
		uint8_t b = i >= 148 && i < 156 ? ' ' : block[i];
		u += b;
		s += (int8_t)b;
	}
	*ret_unsigned = u;
	*ret_signed = s;
}
