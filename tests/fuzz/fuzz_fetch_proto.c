/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between hull and its registry client, all three kinds. */
#include <stdlib.h>
#include <string.h>

#include "fetch_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	CLEANUP_FETCH_EVENT struct fetch_event e = { 0 };
	CLEANUP_FETCH_REQUEST struct fetch_request q = { 0 };
	CLEANUP_FETCH_OPEN struct fetch_open o = { 0 };
	struct err err = ERR_INIT;
	if (fetch_event_parse(text, size, &e, &err) == 0) {
		for (const char *c = e.err.msg; *c; c++)
			if ((unsigned char)*c < 0x20)
				abort();
	}
	if (fetch_request_parse(text, size, &q, &err) == 0 && q.offset > q.size)
		abort();
	if (fetch_open_parse(text, size, &o, &err) == 0 && !o.registry)
		abort();
	return 0;
}
