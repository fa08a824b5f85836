/* SPDX-License-Identifier: Apache-2.0 */
/* A profile from the user: compiled or refused, and what is compiled only jumps
 * forward to places inside the program. */
#include <linux/filter.h>
#include <stdint.h>
#include <stdlib.h>

#include "seccomp_profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sock_filter *filter = NULL;
	struct err err = ERR_INIT;
	size_t n = 0;

	if (seccomp_profile_compile((const char *)data, size, SECCOMP_DEFAULT_CAPS, &filter, &n, &err) < 0) {
		if (!err_is_set(&err))
			abort();
		return 0;
	}
	if (n == 0 || n > BPF_MAXINSNS || BPF_CLASS(filter[n - 1].code) != BPF_RET)
		abort();
	for (size_t i = 0; i < n; i++) {
		size_t far = BPF_OP(filter[i].code) == BPF_JA ? filter[i].k : 0;
		size_t near = filter[i].jt > filter[i].jf ? filter[i].jt : filter[i].jf;
		if (BPF_CLASS(filter[i].code) == BPF_JMP && i + 1 + (far > near ? far : near) >= n)
			abort();
	}
	free(filter);
	return 0;
}
