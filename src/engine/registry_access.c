/* SPDX-License-Identifier: Apache-2.0 */
#include "registry_access.h"

#include <stdlib.h>

/* Milliseconds from the environment, for tests and odd networks. */
static int64_t from_environment(const char *variable)
{
	uint64_t v = 0;
	const char *s = getenv(variable);
	return s && str_parse_u64_max(s, 3600000, &v) == 0 ? (int64_t)v : 0;
}

int registry_access(const char *name, struct fetch_options *ret, struct err *err)
{
	const char *mirrors = getenv("HULL_REGISTRY_MIRRORS"), *insecure = getenv("HULL_INSECURE_REGISTRIES");
	*ret = (struct fetch_options){ .stall_ms = from_environment("HULL_REGISTRY_STALL_MS") };
	if (mirrors)
		strv_split(&ret->mirrors, mirrors, ' ');
	if (insecure)
		strv_split(&ret->insecure, insecure, ' ');
	return 0;
}
