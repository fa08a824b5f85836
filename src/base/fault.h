/* SPDX-License-Identifier: Apache-2.0 */
/* Named points where a test can make hull die or fail, to walk through every
 * half-done state. Compiled in with -Dfault_points=true and in debug builds;
 * HULL_FAULT=name:kill or name:error picks one. Nothing otherwise. */
#pragma once

#ifdef HULL_FAULT_POINTS
/* 0, or -EIO when this point is to fail; does not return when it is to die. */
int fault_point(const char *name);
#define FAULT(name) fault_point(name)
#else
#define FAULT(name) 0
#endif
