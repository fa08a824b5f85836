/* SPDX-License-Identifier: Apache-2.0 */
/* Give up everything that converting a layer does not need, before its first
 * byte is read: capabilities, new descriptors, new programs, the network and
 * (for images) every path. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

/* @is_dir keeps what filling the directory @dir_fd takes, and nothing outside
 * of it where the kernel has Landlock. */
int sandbox_enter(bool is_dir, int dir_fd, struct err *err) MUST_CHECK;
