/* SPDX-License-Identifier: Apache-2.0 */
/* config.json of a bundle, the process of an exec, the resources of an update
 * (the first byte chooses): what is accepted is written and read back to the
 * same text. */
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "runtime_spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void whole(const char *text, size_t len)
{
	struct err err = ERR_INIT;
	CLEANUP_RUNTIME_SPEC struct runtime_spec *first = NULL, *second = NULL;
	CLEANUP_BUF struct buf one = BUF_INIT(8 << 20), two = BUF_INIT(8 << 20);
	if (runtime_spec_parse(text, len, &first, &err) < 0) {
		if (!err_is_set(&err))
			abort();
		return;
	}
	if (runtime_spec_write(first, &one) < 0)
		return;
	if (runtime_spec_parse(one.data, one.len, &second, &err) < 0 || runtime_spec_write(second, &two) < 0 ||
	    one.len != two.len || memcmp(one.data, two.data, one.len) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct err err = ERR_INIT;
	if (!len)
		return 0;
	const char *text = (const char *)data + 1;
	if (data[0] == 'p') {
		struct spec_process process = { 0 };
		if (runtime_spec_parse_process(text, len - 1, &process, &err) < 0 && !err_is_set(&err))
			abort();
		spec_process_done(&process);
	} else if (data[0] == 'r') {
		struct spec_resources resources = { 0 };
		if (runtime_spec_parse_resources(text, len - 1, &resources, &err) < 0 && !err_is_set(&err))
			abort();
		spec_resources_done(&resources);
	} else {
		whole(text, len - 1);
	}
	return 0;
}
