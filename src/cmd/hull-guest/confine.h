/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/types.h>

#include "err.h"

/* Give up everything but the descriptors: an empty root, no capabilities, an
 * identity of the workload's, a list of system calls. After this nothing can be
 * opened. @leaves_network: false for one that was put into a network of its own. */
int confine(uid_t uid, gid_t gid, bool leaves_network, struct err *err) MUST_CHECK;
