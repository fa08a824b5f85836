/* SPDX-License-Identifier: Apache-2.0 */
/* The effective capabilities of this (single-threaded) process, by bare system
 * call. */
#pragma once

/* Keep CAP_KILL effective alone. The permitted set stays: what an exec hands to
 * its process must be in it. So this is no wall against code that is not ours,
 * but a file or socket that the event loop is talked into opening is opened
 * without override of any permission. */
void thread_caps_lower(void);
/* Effective = permitted. */
void thread_caps_raise_all(void);
