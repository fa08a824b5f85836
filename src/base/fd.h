/* SPDX-License-Identifier: Apache-2.0 */
/* Whole-file and whole-buffer I/O on descriptors, and passing descriptors. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"

/* Write all of it, restarting after EINTR and short writes; blocks.
 * Returns 0 or a negative errno. */
int fd_write_all(int fd, const void *data, size_t len) MUST_CHECK;
/* Read exactly @len bytes; -ENODATA at an early end of file. */
/* From where @from stands to its end. */
int fd_copy(int from, int to) MUST_CHECK;
int fd_read_exact(int fd, void *data, size_t len) MUST_CHECK;
/* Append everything up to end of file; -E2BIG past the buffer's maximum. */
int fd_read_all(int fd, struct buf *b) MUST_CHECK;
/* The same for a file named relative to @dirfd (O_CLOEXEC, no terminal). */
int fd_read_file_at(int dirfd, const char *path, struct buf *b) MUST_CHECK;

/* Replace the file @name in @dirfd by @data so that a reader, or a crash, sees
 * the old or the new contents and nothing else. @durable adds fsync of the file
 * and of the directory. */
int fd_replace_file_at(int dirfd, const char *name, const void *data, size_t len, mode_t mode,
		       bool durable) MUST_CHECK;
/* Write a short value to an existing file in one write(): /proc, /sys, cgroup. */
int fd_write_value_at(int dirfd, const char *path, const char *value) MUST_CHECK;

int fd_set_cloexec(int fd, bool on) MUST_CHECK;
int fd_set_nonblock(int fd, bool on) MUST_CHECK;

#define FD_PASS_MAX 16
/* One datagram or stream message with @n descriptors attached; @len >= 1. */
int fd_send(int sock, const void *data, size_t len, const int *fds, size_t n) MUST_CHECK;
/* Returns the bytes received (0 at end of stream) and in @fds up to @max new
 * O_CLOEXEC descriptors (the caller's to close), their number in @ret_n. */
ssize_t fd_recv(int sock, void *data, size_t size, int *fds, size_t max, size_t *ret_n) MUST_CHECK;

/* Close every descriptor from @first up. */
void fd_close_from(int first);

/* Make @path and its missing parents with @mode; an existing directory is fine. */
int fd_mkdir_parents(const char *path, mode_t mode) MUST_CHECK;
/* Remove the tree @name in @dirfd without following symbolic links and without
 * crossing into another file system; a missing one is success. */
int fd_remove_tree_at(int dirfd, const char *name) MUST_CHECK;
