/* SPDX-License-Identifier: Apache-2.0 */
/* A volume's files as a tar stream: its backup, and its restoring. */
#pragma once

#include <stdbool.h>

#include "state.h"

/* All of it, "./" first, to @out_fd. Containers may go on writing. Blocks. */
int volume_export(struct engine *engine, const char *name, int out_fd, struct err *err) MUST_CHECK;

/* From @in_fd, also compressed (gzip, zstd, xz); the volume is made if it is not
 * there. It gets all of the archive or nothing, and must be empty and not in use
 * by a running container; with @merge the archive is unpacked into what is
 * there, piece by piece. Names that lead out and links on the way are refused.
 * Blocks. */
int volume_import(struct engine *engine, const char *name, int in_fd, bool merge, struct err *err) MUST_CHECK;
