/* SPDX-License-Identifier: Apache-2.0 */
/* Put a system call filter on the calling process. */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>

#include "err.h"

/* Filter the calling thread and all its children to come. Needs
 * no_new_privs, or CAP_SYS_ADMIN in its user namespace (-EACCES otherwise).
 * @log: refusals go to the audit log. Allocates nothing, so it may be the last
 * step before execve.
 *
 * SECCOMP_FILTER_FLAG_SPEC_ALLOW is not used: kernels before 5.16 then turn the
 * store-bypass mitigation on for the workload, which costs it some speed, but a
 * filter is asked for to be safer, not less safe. From 5.16 on the kernel's own
 * default is the fast one and the flag changes nothing.
 *
 * Adds one filter to those the process has; the strictest answer counts. */
int seccomp_load_filter(const struct sock_filter *filter, size_t n, bool log) MUST_CHECK;
/* The same for a file that holds the array (a cached filter); -EINVAL if its
 * size is not that of a filter. */
int seccomp_load_file(int dirfd, const char *path, bool log) MUST_CHECK;
