/* SPDX-License-Identifier: Apache-2.0 */
/* What seccomp-generate embeds. Use seccomp_profile.h. */
#pragma once

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

extern const char seccomp_default_text[];
extern const size_t seccomp_default_text_len;
/* Capabilities that the profile mentions: only these change the filter. */
extern const uint64_t seccomp_default_mentioned;
extern const struct sock_filter seccomp_default_program[];
extern const size_t seccomp_default_program_n;
