/* SPDX-License-Identifier: Apache-2.0 */
/* A list of the system calls that a program of hull's own may make, made into a
 * filter (seccomp_unotify(2), Documentation/userspace-api/seccomp_filter.rst): what
 * is not listed gets the answer that the list was begun with. Rules are looked at in
 * the order they are added: the most frequent first.
 *
 * Calls of a foreign architecture, and on x86-64 those of the x32 ABI, kill the
 * process. Nothing allocates. A list that does not fit, or that the kernel does not
 * take, is an error of call_filter_load(), never a shorter filter.
 *
 * Arguments are compared by their lower 32 bits: only for those that the kernel
 * takes as 32-bit numbers. */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define CALL_FILTER_MAX 512

struct call_filter {
	struct sock_filter code[CALL_FILTER_MAX];
	size_t n; /* beyond CALL_FILTER_MAX when it did not fit */
	uint32_t otherwise;
};

#define CALL_REFUSED (SECCOMP_RET_ERRNO | EPERM)

/* @otherwise: SECCOMP_RET_x, the answer to what is not listed. */
void call_filter_begin(struct call_filter *f, uint32_t otherwise);
void call_filter_allow(struct call_filter *f, const int *calls, size_t n);
/* One call, whatever its arguments, gets @answer. */
void call_filter_answer(struct call_filter *f, int call, uint32_t answer);
/* Allowed with argument @arg (from 0) among the values; else as what is not listed. */
void call_filter_allow_values(struct call_filter *f, int call, unsigned arg, const uint32_t *values, size_t n);
/* Allowed with any of @bits set in the argument, or with none of them. */
void call_filter_allow_with(struct call_filter *f, int call, unsigned arg, uint32_t bits);
void call_filter_allow_without(struct call_filter *f, int call, unsigned arg, uint32_t bits);
/* Threads, but no processes: clone with CLONE_THREAD. clone3 gets ENOSYS, as its
 * flags lie in memory where a filter cannot look; the C library then takes clone. */
void call_filter_allow_threads(struct call_filter *f);

/* End the list. Returns the instructions, *ret_n of them, valid as long as @f; NULL
 * when it did not fit. */
const struct sock_filter *call_filter_finish(struct call_filter *f, size_t *ret_n);
/* End the list and filter the calling thread, and all that it starts, by it. As
 * seccomp_load_filter(); -E2BIG when it did not fit. */
int call_filter_load(struct call_filter *f) MUST_CHECK;
