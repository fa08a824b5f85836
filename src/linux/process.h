/* SPDX-License-Identifier: Apache-2.0 */
/* Making and addressing processes: clone3(2), pidfds, /proc/PID. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "err.h"

/* fork() with new namespaces (@flags: CLONE_NEWx, CLONE_PARENT), straight into
 * the cgroup2 directory @cgroup_fd (-1: none). Returns the pid (0 in the child);
 * *ret_pidfd is the caller's. Only for single-threaded programs. */
pid_t process_clone(uint64_t flags, int cgroup_fd, int *ret_pidfd) MUST_CHECK;

int process_open(pid_t pid, int *ret_pidfd) MUST_CHECK; /* -ESRCH */
int process_signal(int pidfd, int signo) MUST_CHECK;
/* Field 22 of /proc/PID/stat; tells whether a number means the same process. */
int process_start_ticks(pid_t pid, uint64_t *ret) MUST_CHECK;

/* Capabilities of the calling thread, as masks. */
int process_set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable) MUST_CHECK;
int process_set_bounding(uint64_t keep) MUST_CHECK;
int process_set_ambient(uint64_t ambient) MUST_CHECK;
