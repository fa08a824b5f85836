/* SPDX-License-Identifier: Apache-2.0 */
/* A Link header, a newline, and a page of tags. */
#include <stdlib.h>
#include <string.h>

#include "reference.h"
#include "tag_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = memchr(data, '\n', size);
	size_t n = newline ? (size_t)(newline - data) : size;
	CLEANUP_FREE char *link = str_ndup((const char *)data, n), *query = NULL;
	CLEANUP_STRV struct strv tags = { 0 };
	struct err err = ERR_INIT;
	/* It goes into an address as it is. */
	if (tag_list_next(link, "/v2/a/b/tags/list", &query, &err) == 0 && query)
		for (const char *s = query; *s; s++)
			if (*s <= ' ' || *s >= 127 || *s == '#' || *s == '"' || *s == '<' || *s == '>')
				abort();
	if (newline && tag_list_parse((const char *)newline + 1, size - n - 1, &tags, &err) == 0)
		for (size_t i = 0; i < tags.n; i++)
			if (!reference_tag_is_valid(tags.v[i]))
				abort();
	return 0;
}
