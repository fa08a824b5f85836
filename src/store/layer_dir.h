/* SPDX-License-Identifier: Apache-2.0 */
/* Unpack a layer into a directory, for kernels without EROFS. Needs root.
 *
 * File contents are gathered under numbers in a staging directory; when the
 * tree is complete it is built from the root down. Only single names below
 * descriptors of directories made here are used, so no link is ever followed. */
#pragma once

#include "layer_sink.h"

/* @dir_fd: an empty directory; borrowed. NULL out of memory. */
struct layer_sink *layer_dir_new(int dir_fd);
