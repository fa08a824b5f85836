/* SPDX-License-Identifier: Apache-2.0 */
/* Building a guest's kernel from Debian's linux-source package with hull's own
 * configuration (kernel/common.config and one by use), once: the result is kept
 * under a name made of its version and of a hash of what it was made from. */
#pragma once

#include "guest_kernel.h"

struct kernel_build {
	enum guest_kernel_use use;
	const char *source;   /* a kernel's tar; NULL: the newest /usr/src/linux-source-*.tar.* */
	const char *fragment; /* a file with options merged last; NULL: none */
	unsigned jobs;        /* 0: one a processor */
	/* Lines for the user; may be NULL. */
	void (*progress)(void *ctx, const char *line);
	void *ctx;
	/* Set to end the build (by a signal handler); may be NULL. */
	const volatile int *interrupted;
};

/* Blocks for minutes, needs about 1.5 GB below @root meanwhile. *ret_is_new is false when
 * the same had been built. One build at a time: ERR_CONFLICT; ERR_UNSUPPORTED when
 * the source or a tool is missing. What fails leaves nothing but kernels/build.log. */
int kernel_build(const char *root, const struct kernel_build *build, struct guest_kernel **ret, bool *ret_is_new,
		 struct err *err) MUST_CHECK;

/* Remove what a build that died has left; one system call when there is nothing. */
void kernel_build_recover(const char *root);
