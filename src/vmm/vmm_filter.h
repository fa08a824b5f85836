/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls that hull-vmm may make once its guest can run. What is not
 * listed kills the process: no call is refused that something could go on from.
 *
 * The control filter is put on every thread; a vCPU's thread adds its own, which is
 * a part of it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "call_filter.h"

struct jail_call {
	int nr;
	/* This argument must be one of the values, of which the first 0 is the end; -1:
	 * any arguments. Compared as 32 bits, as the kernel takes these. */
	int arg;
	uint32_t values[4];
};

extern const struct jail_call jail_vcpu_calls[];
extern const size_t jail_vcpu_calls_n;
extern const struct jail_call jail_control_calls[];
extern const size_t jail_control_calls_n;

/* Add a list to @f, which is begun by this; the caller ends it. */
void jail_filter_compile(const struct jail_call *calls, size_t n, struct call_filter *f);
