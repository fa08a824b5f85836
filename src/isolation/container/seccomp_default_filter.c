/* SPDX-License-Identifier: Apache-2.0 */
#include "seccomp_default.h"
#include "seccomp_profile.h"

const char *seccomp_default_profile(size_t *ret_len)
{
	*ret_len = seccomp_default_text_len;
	return seccomp_default_text;
}

const struct sock_filter *seccomp_default_filter(uint64_t caps, size_t *ret_n)
{
	if ((caps ^ SECCOMP_DEFAULT_CAPS) & seccomp_default_mentioned)
		return NULL;
	*ret_n = seccomp_default_program_n;
	return seccomp_default_program;
}
