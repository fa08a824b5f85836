/* SPDX-License-Identifier: Apache-2.0 */
/* Named points where a test can make a program die, fail or wait, to walk
 * through every half-done state. In builds with -Dfault_points (developer
 * builds by default); nothing otherwise.
 *
 *   HULL_FAULT=NAME[:N]:ACTION   at the Nth time (1) a process comes by NAME:
 *       kill     SIGKILL to itself
 *       eio, enospc   the step fails
 *       stop     SIGSTOP, so that a test can kill somebody else meanwhile
 *       sleep    for ever, practically
 *   HULL_FAULT_LOG=FILE          append every point that is passed
 *
 * `hull internal faults` lists those of all programs: a test walks through that
 * list, so a new point is tested from its first day. */
#pragma once

#ifdef HULL_FAULT_POINTS
/* 0, or a negative errno when this point is to fail; may not return. */
int fault_point(const char *name);
/* The names linked into this program, a line each. */
void fault_list(int fd);
#define FAULT(name)                                                                                        \
	__extension__({                                                                                    \
		static const char *const fault_name __attribute__((section("hull_faults"), used)) = name; \
		fault_point(fault_name);                                                                   \
	})
#else
#define FAULT(name) 0
static inline void fault_list(int fd)
{
	(void)fd;
}
#endif
/* Where nothing can fail: to die or wait only. */
#define FAULT_HERE(name)             \
	do {                         \
		(void)!FAULT(name);  \
	} while (0)
