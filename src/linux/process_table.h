/* SPDX-License-Identifier: Apache-2.0 */
/* One process as ps shows it, from /proc. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "str.h"

#define PROCESS_CELLS 8

/* Ids of @size from @first on are shown from 0 on. */
struct process_ids {
	uint32_t first, size;
};
/* Append UID, PID, PPID, C, STIME, TTY, TIME, CMD of @pid; nothing if it is gone. No
 * cell has a control character. */
void process_describe(pid_t pid, const struct process_ids *ids, struct strv *ret);
