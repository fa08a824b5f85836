/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte chooses the Content-Type. */
#include <stdlib.h>
#include <string.h>

#include "manifest.h"
#include "reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const types[] = { NULL, MANIFEST_OCI, MANIFEST_OCI_INDEX, MANIFEST_DOCKER, MANIFEST_DOCKER_LIST, "text/html; x" };
	CLEANUP_MANIFEST struct manifest *m = NULL;
	struct descriptor d;
	struct err err = ERR_INIT;
	if (!size)
		return 0;
	if (manifest_parse((const char *)data + 1, size - 1, types[data[0] % ARRAY_LEN(types)], &m, &err) < 0) {
		if (!err_is_set(&err))
			abort();
		return 0;
	}
	if (m->is_index) {
		if (manifest_choose(m, "linux/arm64/v8", &d, &err) == 0 && !digest_is_valid(d.digest))
			abort();
		return 0;
	}
	if (m->layers_n > MANIFEST_LAYERS_MAX || m->config.size > MANIFEST_CONFIG_MAX || !digest_is_valid(m->config.digest))
		abort();
	for (size_t i = 0; i < m->layers_n; i++)
		if (!digest_is_valid(m->layers[i].digest) || m->layers[i].size < 0)
			abort();
	return 0;
}
