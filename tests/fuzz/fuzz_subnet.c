/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, subnets and pools as users and files write them. The first byte
 * chooses; whatever is taken has to survive being written and read again. */
#undef NDEBUG
#include <assert.h>
#include <string.h>

#include "subnet_pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_address(const char *text)
{
	struct ip_address a, again;
	char shown[IP_TEXT_SIZE];
	if (ip_parse(text, &a) < 0)
		return;
	assert(a.family == AF_INET || a.family == AF_INET6);
	assert(a.prefix <= (a.family == AF_INET ? 32 : 128));
	int r = ip_parse(ip_format(&a, shown), &again);
	assert(r == 0 && memcmp(&a, &again, sizeof(a)) == 0);
	struct ip_address subnet = ip_subnet(&a);
	assert(subnet_contains(&subnet, &a) && subnet_overlaps(&a, &subnet));
	uint32_t place = subnet_place(&subnet, &a);
	struct ip_address back = subnet_address(&subnet, place);
	assert(place == UINT32_MAX || memcmp(back.bytes, a.bytes, sizeof(a.bytes)) == 0);
}

static void check_pool(const char *text)
{
	struct err err = ERR_INIT;
	struct subnet_pool pool;
	if (subnet_pool_parse(text, &pool, &err) < 0) {
		assert(err.kind == ERR_INVALID);
		return;
	}
	assert(pool.size >= pool.base.prefix);
	assert(pool.size <= (pool.base.family == AF_INET ? 30 : 126));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[300];
	if (size < 1 || size >= sizeof(text))
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	if (data[0] & 1)
		check_address(text);
	else
		check_pool(text);
	return 0;
}
