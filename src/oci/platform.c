/* SPDX-License-Identifier: Apache-2.0 */
#include "platform.h"

#include <string.h>

#include "str.h"

const char *platform_architecture(void)
{
#if defined(__x86_64__)
	return "amd64";
#elif defined(__aarch64__)
	return "arm64";
#elif defined(__riscv)
	return "riscv64";
#elif defined(__powerpc64__)
	return "ppc64le";
#elif defined(__s390x__)
	return "s390x";
#else
	return "unknown";
#endif
}

/* How well it fits: 0 not at all; a variant that was not asked for is worse
 * than none ("amd64/v3" may not run here), the asked one is best. */
static int score(const struct json *platform, const char *os, const char *arch, const char *variant)
{
	const char *v = json_get_str_or(platform, "variant", "");
	if (!str_eq(json_get_str(platform, "os"), os) || !str_eq(json_get_str(platform, "architecture"), arch))
		return 0;
	if (str_eq(v, variant))
		return 3;
	if (str_eq(arch, "arm64") && (str_eq(v, "v8") || !*v) && (!*variant || str_eq(variant, "v8")))
		return 3;
	return *v && !*variant ? 1 : !*v ? 2 : 0;
}

const struct json *platform_choose(const struct json *manifests, const char *wanted)
{
	CLEANUP_STRV struct strv parts = { 0 };
	if (!str_is_empty(wanted))
		strv_split(&parts, wanted, '/');
	const char *os = parts.n > 1 ? parts.v[0] : "linux", *variant = parts.n > 2 ? parts.v[2] : "";
	const char *arch = parts.n > 1 ? parts.v[1] : parts.n == 1 ? parts.v[0] : platform_architecture();
	const struct json *best = NULL;
	int best_score = 0;
	if (parts.n == 1 && str_eq(parts.v[0], "linux"))
		arch = platform_architecture();
	for (size_t i = 0; i < json_array_len(manifests); i++) {
		const struct json *d = json_array_at(manifests, i), *platform = json_get(d, "platform");
		int s = platform ? score(platform, os, arch, variant)
				 : json_array_len(manifests) == 1 || !wanted;
		if (s > best_score) {
			best = d;
			best_score = s;
		}
	}
	return best;
}
