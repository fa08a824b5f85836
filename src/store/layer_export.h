/* SPDX-License-Identifier: Apache-2.0 */
/* Write a directory tree as a tar stream: an overlay's upper directory as a
 * layer (commit, diff) or a whole root file system (export).
 *
 * The tree may belong to a hostile container that is still running: it is
 * walked by descriptors of single names, no link is followed and no device or
 * pipe is opened. A file that changes while it is read keeps the size it had:
 * it is cut or filled with zeros. The order is that of the names' bytes. */
#pragma once

#include <stdint.h>

#include "err.h"
#include "str.h"

enum layer_export_mode {
	/* Whiteouts (0:0 character devices) become .wh.NAME, opaque directories
	 * (user. or trusted.overlay.opaque) .wh..wh..opq, the other overlay
	 * attributes are left out. */
	LAYER_EXPORT_UPPER,
	/* As it is; overlay attributes are left out, and 0:0 devices too. */
	LAYER_EXPORT_ROOTFS,
};

/* Archive what is below @dir_fd to @out_fd; both stay the caller's. Blocks.
 * Sockets are left out. @mount_points (may be NULL; absolute paths): what was
 * made only to be mounted on, and is still empty, is left out too. *ret_bytes
 * (may be NULL): length of the archive. */
int layer_export(int dir_fd, enum layer_export_mode mode, const struct strv *mount_points, int out_fd, uint64_t *ret_bytes,
		 struct err *err) MUST_CHECK;

/* For layer_export_entry(): taken while the host's /proc is within reach, by the
 * process that will export. The caller's to close; or a negative errno. */
int layer_export_fds_dir(void) MUST_CHECK;
/* Archive one entry, and if it is a directory what is below it: @fd (O_PATH), called
 * @as in the archive ("as", "as/child"). Works in a process whose root is
 * somewhere else. Otherwise as LAYER_EXPORT_ROOTFS. */
int layer_export_entry(int fd, const char *as, int fds_dir, int out_fd, uint64_t *ret_bytes, struct err *err) MUST_CHECK;
