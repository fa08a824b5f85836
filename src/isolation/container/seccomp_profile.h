/* SPDX-License-Identifier: Apache-2.0 */
/* Seccomp profiles in Docker's JSON format, compiled to a filter the kernel
 * takes as it is.
 *
 * libseccomp knows the numbers of the calls; the program is made by our own
 * compiler: a binary search over ranges of numbers, so a call costs a dozen
 * instructions instead of hundreds, and no call has to be known to the version
 * of libseccomp that was there at build time.
 *
 * The result of a profile depends on its text, the capabilities, the kernel's
 * release (minKernel) and SECCOMP_COMPILER_VERSION: the key of a cached filter
 * is a digest of all four. The default profile with Docker's default
 * capabilities is compiled at build time and needs no work at all. */
#pragma once

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* Raise when the same profile gives another program. */
#define SECCOMP_COMPILER_VERSION 1

/* Compile @json for a process with capabilities @caps (bit by number) on this
 * machine's architecture. On success *ret is the caller's to free. ERR_INVALID:
 * @err says what is wrong with the profile. Calls that no table knows are
 * skipped, as Docker does: what is not named gets the default action. */
int seccomp_profile_compile(const char *json, size_t len, uint64_t caps, struct sock_filter **ret, size_t *ret_n,
			    struct err *err) MUST_CHECK;

/* The default profile's text (embedded). */
const char *seccomp_default_profile(size_t *ret_len);
/* The default profile compiled for the calling build and @caps, or NULL when
 * @caps differ from Docker's default set in a way that matters to it: then
 * compile seccomp_default_profile(). Static storage. */
const struct sock_filter *seccomp_default_filter(uint64_t caps, size_t *ret_n);
/* Docker's fourteen default capabilities. */
#define SECCOMP_DEFAULT_CAPS UINT64_C(0xa80425fb)
