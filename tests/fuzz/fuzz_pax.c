/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "tar_pax.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct tar_pax pax = TAR_PAX_INIT;
	struct err err = ERR_INIT;
	if (len < 2 || buf_append(&pax.text, data + 1, len - 1) < 0)
		return 0;
	if (tar_pax_parse(&pax, data[0] & 1, &err) >= 0) {
		size_t sum = 0;
		for (size_t i = 0; i < pax.n_xattrs; i++)
			sum += strlen(pax.xattrs[i].name) + pax.xattrs[i].value[0];
		if (pax.path)
			sum += strlen(pax.path);
		if (sum == (size_t)-1)
			abort();
	} else if (!err_is_set(&err)) {
		abort();
	}
	tar_pax_done(&pax);
	return 0;
}
