/* SPDX-License-Identifier: Apache-2.0 */
/* What a container has changed: its overlay's upper directory against the layers
 * below. */
#pragma once

#include "err.h"
#include "str.h"

/* Append "A /new", "C /changed" and "D /gone" to @out, a directory before what is
 * in it, by the bytes of their names. @layers are descriptors of the layers'
 * roots, lowest first; @mount_points as for layer_export(). A directory is
 * changed when its owner or mode is, or something in it. */
int layer_diff(int upper_fd, const int *layers, size_t layers_n, const struct strv *mount_points, struct strv *out,
	       struct err *err) MUST_CHECK;
