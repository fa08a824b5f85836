/* SPDX-License-Identifier: Apache-2.0 */
/* -o FILE of the verbs that write an archive. */
#pragma once

#include "err.h"

/* Call @write with a descriptor of the file to be, which is under a name of its
 * own until it is whole; it replaces @path then, and is removed on failure. With
 * @path NULL the descriptor is standard output's, unless that is a terminal. */
int output_file(const char *path, int (*write)(void *ctx, int fd, struct err *err), void *ctx, struct err *err) MUST_CHECK;
