/* SPDX-License-Identifier: Apache-2.0 */
/* Starting hull's helper programs (hull-fetch, hull-unpack) with exactly the
 * descriptors they are to have. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "err.h"

/* Start @argv[0] from the libexec directory ($HULL_LIBEXECDIR, else the one of
 * the installation); descriptor i of the child is @fds[i] (-1: /dev/null),
 * nothing else is open. With @bare_env the environment is empty. Returns the
 * pid, the caller's to wait for. */
pid_t worker_spawn(const char *const *argv, const int *fds, size_t n, bool bare_env, struct err *err) MUST_CHECK;
/* Wait for it; its exit status, or 128 + signal. */
int worker_wait(pid_t pid);
/* A worker's failure as an error: @report is what it wrote to its standard
 * error: {"kind", "errno", "message", "why", "hint"} on one line, or plain text.
 * Always returns a negative errno. */
int worker_error(const char *name, int status, const char *report, struct err *err);
