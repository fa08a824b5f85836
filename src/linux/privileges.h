/* SPDX-License-Identifier: Apache-2.0 */
/* What hull's helper programs take from themselves before they read anything that
 * a stranger wrote. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "err.h"

#define UID_NOBODY 65534

/* A sanitizer's run time opens files, traces and asks for memory in ways of its own:
 * what would break it is left out of such builds. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true
#else
#define IS_SANITIZED false
#endif

/* No new privileges through execve, and no core files. */
int privileges_refuse_new(void) MUST_CHECK;
/* Become @uid and @gid alone, with only the capabilities @keep (a mask), none of
 * which a program that is executed gets. A caller that is not root keeps its ids. */
int privileges_drop(uid_t uid, gid_t gid, uint64_t keep) MUST_CHECK;
/* Nobody of the same user traces this process or looks into it through /proc. To be
 * called after the last change of ids, each of which undoes it. Not sanitized. */
int privileges_hide(void) MUST_CHECK;
