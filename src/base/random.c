/* SPDX-License-Identifier: Apache-2.0 */
#include "random.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

#include "str.h"

void random_bytes(void *out, size_t len)
{
	uint8_t *p = out;
	while (len) {
		ssize_t n = getrandom(p, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			abort();
		p += n;
		len -= (size_t)n;
	}
}

void random_hex(char *out, size_t chars)
{
	uint8_t bytes[64];
	if (chars % 2 || chars / 2 > sizeof(bytes))
		abort();
	random_bytes(bytes, chars / 2);
	str_hex(bytes, chars / 2, out);
}
