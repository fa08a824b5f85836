/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a container's creation, as an API client or the state database has
 * it: what is accepted is written and read back to the same text. */
#include <stdlib.h>
#include <string.h>

#include "container_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct err err = ERR_INIT;
	CLEANUP_CONTAINER_CONFIG struct container_config *first = NULL, *second = NULL;
	CLEANUP_BUF struct buf one = BUF_INIT(8 << 20), two = BUF_INIT(8 << 20);
	if (container_config_parse((const char *)data, len, &first, &err) < 0) {
		if (!err_is_set(&err))
			abort();
		return 0;
	}
	if (container_config_write(first, &one) < 0)
		return 0;
	if (container_config_parse(one.data, one.len, &second, &err) < 0 || container_config_write(second, &two) < 0 ||
	    one.len != two.len || memcmp(one.data, two.data, one.len) != 0)
		abort();
	return 0;
}
