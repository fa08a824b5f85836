/* SPDX-License-Identifier: Apache-2.0 */
/* Image references (the first byte 'r') and the Dockerfile instructions of
 * --change. A reference's full form is read back to itself. */
#include <stdlib.h>
#include <string.h>

#include "image_change.h"
#include "reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void reference(const char *text)
{
	struct err err = ERR_INIT;
	CLEANUP_REFERENCE struct reference ref = { 0 }, again = { 0 };
	if (reference_parse(text, true, &ref, &err) < 0) {
		if (!err_is_set(&err))
			abort();
		return;
	}
	CLEANUP_FREE char *full = reference_full(&ref);
	if (reference_parse(full, false, &again, &err) < 0)
		abort();
	CLEANUP_FREE char *second = reference_full(&again);
	if (!str_eq(full, second) || strlen(reference_familiar(full)) > strlen(full) || !*reference_suffix(full))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!len)
		return 0;
	CLEANUP_FREE char *text = str_ndup((const char *)data + 1, len - 1);
	if (data[0] == 'r') {
		reference(text);
		return 0;
	}
	struct err err = ERR_INIT;
	CLEANUP_IMAGE_CONFIG struct image_config *config = image_config_new();
	if (image_change_apply(config, text, &err) < 0 && !err_is_set(&err))
		abort();
	return 0;
}
