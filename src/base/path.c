/* SPDX-License-Identifier: Apache-2.0 */
#include "path.h"

#include <string.h>

#include "str.h"

char *path_clean(const char *path)
{
	CLEANUP_STRV struct strv in = { 0 }, out = { 0 };
	bool is_absolute = *path == '/';
	strv_split(&in, path, '/');
	for (size_t i = 0; i < in.n; i++) {
		const char *word = in.v[i];
		if (!*word || str_eq(word, "."))
			continue;
		if (!str_eq(word, "..") || (!is_absolute && (out.n == 0 || str_eq(out.v[out.n - 1], "..")))) {
			strv_add(&out, word);
		} else if (out.n) {
			free(out.v[--out.n]);
			out.v[out.n] = NULL;
		}
	}
	CLEANUP_FREE char *joined = strv_join(&out, "/");
	return str_printf("%s%s", is_absolute ? "/" : out.n ? "" : ".", joined);
}

bool path_is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);
	if (str_eq(dir, "/"))
		return *path == '/';
	return strncmp(path, dir, len) == 0 && (!path[len] || path[len] == '/');
}
