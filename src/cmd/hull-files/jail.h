/* SPDX-License-Identifier: Apache-2.0 */
/* Where hull-files locks itself in. What it holds then: its socket, the shares,
 * and the list of its own descriptors. */
#pragma once

#include "err.h"

/* Own mount, process, network, IPC, host name and cgroup namespaces; an empty
 * read-only root; the user namespace @userns (-1: stay). Forks to be the first
 * process of its namespace: the parent waits, and ends as the child does.
 * *ret_proc_fds: the directory /proc/self/fd of a procfs that shows only this
 * process. */
int jail_enter(int userns, int *ret_proc_fds, struct err *err) MUST_CHECK;

/* The rest, once all is open: only the capabilities of @keep, no new ones,
 * nothing to be read by others, and the filter of files_filter.h. */
int jail_close(uint64_t keep, struct err *err) MUST_CHECK;
