/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "json_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP_JSON_LOG_LINE struct json_log_line line = JSON_LOG_LINE_INIT;
	if (json_log_parse((const char *)data, len, &line) == 0 &&
	    (line.text.len > len * 3 || line.attrs.len > len * 3 || line.stream < 1 || line.stream > 2))
		abort();
	return 0;
}
