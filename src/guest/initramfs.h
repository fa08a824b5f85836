/* SPDX-License-Identifier: Apache-2.0 */
/* The initramfs of a guest: hull's own init as /init, and under /modules the kernel
 * modules it has to load, in the order of /modules/order (a file name a line; an
 * empty or missing list: nothing to load). In the format of cpio's "newc"
 * (Documentation/driver-api/early-userspace/buffer-format.rst), not compressed:
 * it is read once, from the page cache. */
#pragma once

#include "err.h"
#include "guest_kernel.h"

/* The absolute path (caller frees) of the initramfs for @kernel with the program
 * @init in it; made below @root's kernels/.initramfs when it is not there, or is of
 * another kernel or init. A few system calls when it is there. */
int initramfs_ensure(const char *root, const struct guest_kernel *kernel, const char *init, char **ret,
		     struct err *err) MUST_CHECK;
