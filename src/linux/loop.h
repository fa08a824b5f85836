/* SPDX-License-Identifier: Apache-2.0 */
/* Loop devices: a regular file seen as a block device. */
#pragma once

#include "err.h"

/* Attach @file_fd (open for reading) to a free loop device, read-only, which
 * frees itself when its last user closes it. Returns an open descriptor of the
 * device, to be kept until it is mounted, and its path in @path. */
int loop_attach_readonly(int file_fd, char path[32]) MUST_CHECK;
