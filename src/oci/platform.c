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

struct wanted {
	struct strv parts;
	const char *os, *arch, *variant;
};

static void wanted_done(struct wanted *w)
{
	strv_free(&w->parts);
}

static void wanted_parse(struct wanted *ret, const char *text)
{
	if (!str_is_empty(text))
		strv_split(&ret->parts, text, '/');
	const struct strv *p = &ret->parts;
	ret->os = p->n > 1 ? p->v[0] : "linux";
	ret->variant = p->n > 2 ? p->v[2] : "";
	ret->arch = p->n > 1 ? p->v[1] : p->n == 1 && !str_eq(p->v[0], "linux") ? p->v[0] : platform_architecture();
}

/* How well it fits: 0 not at all; a variant that was not asked for is worse
 * than none ("amd64/v3" may not run here), the asked one is best. */
static int score(const char *os, const char *arch, const char *v, const struct wanted *w)
{
	if (!str_eq(os, w->os) || !str_eq(arch, w->arch))
		return 0;
	if (str_eq(v, w->variant))
		return 3;
	if (str_eq(arch, "arm64") && (str_eq(v, "v8") || !*v) && (!*w->variant || str_eq(w->variant, "v8")))
		return 3;
	return *v && !*w->variant ? 1 : !*v ? 2 : 0;
}

bool platform_fits(const char *wanted, const char *os, const char *architecture, const char *variant)
{
	CLEANUP(wanted_done) struct wanted w = { 0 };
	if (str_is_empty(wanted))
		return true;
	wanted_parse(&w, wanted);
	return score(str_is_empty(os) ? "linux" : os, architecture ? architecture : "", variant ? variant : "", &w) > 0;
}

const struct json *platform_choose(const struct json *manifests, const char *wanted)
{
	CLEANUP(wanted_done) struct wanted w = { 0 };
	const struct json *best = NULL;
	int best_score = 0;
	wanted_parse(&w, wanted);
	for (size_t i = 0; i < json_array_len(manifests); i++) {
		const struct json *d = json_array_at(manifests, i), *platform = json_get(d, "platform");
		int s = platform ? score(json_get_str(platform, "os"), json_get_str(platform, "architecture"),
					 json_get_str_or(platform, "variant", ""), &w)
				 : json_array_len(manifests) == 1 || !wanted;
		if (s > best_score) {
			best = d;
			best_score = s;
		}
	}
	return best;
}
