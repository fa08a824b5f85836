/* SPDX-License-Identifier: Apache-2.0 */
#include "output_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cleanup.h"
#include "str.h"

int output_file(const char *path, int (*write)(void *ctx, int fd, struct err *err), void *ctx, struct err *err)
{
	if (!path && isatty(STDOUT_FILENO))
		return err_set(err, ERR_INVALID, 0, "cowardly refusing to save to a terminal. Use the -o flag or redirect");
	if (!path)
		return write(ctx, STDOUT_FILENO, err);
	CLEANUP_FREE char *part = str_printf("%s.part-%d", path, getpid());
	CLEANUP_FD int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, ERR_SYSTEM, -errno, "create %s", part);
	int r = write(ctx, fd, err);
	if (r == 0 && rename(part, path) < 0)
		r = err_set(err, ERR_SYSTEM, -errno, "rename %s to %s", part, path);
	if (r < 0)
		(void)unlink(part);
	return r;
}
