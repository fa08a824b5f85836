/* SPDX-License-Identifier: Apache-2.0 */
#include "archive_expand.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "json.h"
#include "unpack_proto.h"
#include "worker.h"

#define REPORT_MAX 8192

bool archive_is_xz(const char *data, size_t len)
{
	return len >= 6 && memcmp(data, "\xfd" "7zXZ\0", 6) == 0;
}

bool archive_is_compressed(const char *data, size_t len)
{
	return (len >= 2 && memcmp(data, "\x1f\x8b", 2) == 0) || (len >= 4 && memcmp(data, "\x28\xb5\x2f\xfd", 4) == 0) ||
	       archive_is_xz(data, len);
}

/* A nameless file of the ingest directory with these bytes, at its start. */
static int make_prefix(const struct ingest *ingest, const char *data, size_t len, struct err *err)
{
	CLEANUP_FD int fd = openat(ingest->dir_fd, "prefix", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : fd_write_all(fd, data, len);
	if (r >= 0 && (unlinkat(ingest->dir_fd, "prefix", 0) < 0 || lseek(fd, 0, SEEK_SET) < 0))
		r = -errno;
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "keep the start of the archive") : TAKE_FD(fd);
}

/* What the worker says is short: it fits the pipe, so it can be read at the end. */
static int wait_for(pid_t pid, int errors, struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(REPORT_MAX);
	int r = fd_read_all(errors, &text);
	int status = worker_wait(pid);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "read what %s says", UNPACK_PROGRAM);
	return status ? worker_error(UNPACK_PROGRAM, status, buf_str(&text), err) : 0;
}

int archive_expand(const struct ingest *ingest, const char *name, const char *prefix, size_t prefix_len, int fd,
		   int64_t *ret_bytes, struct err *err)
{
	const char *argv[] = { UNPACK_PROGRAM, "--expand", prefix_len ? "--prefix" : NULL, NULL };
	CLEANUP_FD int out = openat(ingest->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	CLEANUP_FD int before = -1;
	CLEANUP_FD int errors = -1;
	CLEANUP_FD int errors_writer = -1;
	int pipes[2];
	if (out < 0 || pipe2(pipes, O_CLOEXEC) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a file for the archive");
	errors = pipes[0];
	errors_writer = pipes[1];
	if (prefix_len && (before = make_prefix(ingest, prefix, prefix_len, err)) < 0)
		return before;
	const int fds[] = { fd, -1, errors_writer, out, before };
	pid_t pid = worker_spawn(argv, fds, prefix_len ? 5 : 4, true, err);
	if (pid < 0)
		return pid;
	cleanup_fd(&errors_writer);
	int r = wait_for(pid, errors, err);
	if (r < 0)
		return r;
	*ret_bytes = lseek(out, 0, SEEK_END);
	if (*ret_bytes < 0 || lseek(out, 0, SEEK_SET) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "read the decompressed archive");
	return TAKE_FD(out);
}
