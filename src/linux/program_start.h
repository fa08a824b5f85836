/* SPDX-License-Identifier: Apache-2.0 */
/* Start a program and go on at once. posix_spawn(3) returns when the new program has
 * let go of the memory that it borrows, so that its caller waits for the whole of an
 * execve(2); this one waits only where it is asked whether there was one. */
#pragma once

#include <sys/types.h>

#include "err.h"

/* @argv runs as @path with this process's environment, working directory, and 0, 1, 2;
 * @fd is its descriptor 3; all signals are blocked. Everything is copied; @fd may be closed
 * at once. One at a time: program_started() comes before the next. Only for programs
 * of one thread. Returns the pid, a child of the caller, or a negative errno. */
pid_t program_start(const char *path, const char *const argv[], int fd) MUST_CHECK;
/* Wait until the program runs (0), or could not be run (a negative errno; the child is
 * reaped). Also 0 when none has been started. */
int program_started(void) MUST_CHECK;
