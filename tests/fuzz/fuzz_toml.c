/* SPDX-License-Identifier: Apache-2.0 */
/* hull.toml, down to the settings in it. */
#include <stdlib.h>

#include "settings.h"
#include "toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_TOML struct toml *t = NULL;
	CLEANUP_SETTINGS struct settings s = { 0 };
	struct err err = ERR_INIT;
	if (toml_parse((const char *)data, size, "t", &t, &err) < 0 && !err_is_set(&err))
		abort();
	for (size_t i = 0; t && i < t->n; i++)
		if (!t->entries[i].path.n || (t->entries[i].kind == TOML_STRING && !t->entries[i].string))
			abort();
	err = ERR_INIT;
	if (settings_add_toml(&s, (const char *)data, size, "t", &err) == 0 && !t)
		abort();
	return 0;
}
