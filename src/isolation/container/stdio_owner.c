/* SPDX-License-Identifier: Apache-2.0 */
/* Who the standard streams belong to. /dev/stdout is a link to the descriptor,
 * and opening it asks for the owner of what is behind: a pipe made by the host's
 * root would be closed to a process that holds it already. */
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include "internal.h"

#ifndef PIPEFS_MAGIC
#define PIPEFS_MAGIC 0x50495045
#endif

int stdio_give(const struct runtime_spec *spec, pid_t pid, bool is_made, const struct spec_process *process,
	       const struct isolation_io *io, struct err *err)
{
	const int fds[3] = { io->stdin_fd, io->stdout_fd, io->stderr_fd };
	uint32_t owner = process->user.uid;
	if (process->terminal)
		return 0;
	if (spec_has_userns(spec) && idmap_to_host(spec, is_made ? pid : 0, IDMAP_UID, owner, &owner) < 0)
		return 0; /* no such user there; becoming it will say so */
	for (int i = 0; i < 3; i++) {
		struct statfs fs;
		/* Anonymous pipes alone: a file's owner is not ours to change. */
		if (fds[i] < 0 || fstatfs(fds[i], &fs) < 0 || fs.f_type != PIPEFS_MAGIC)
			continue;
		if (fchown(fds[i], owner, (gid_t)-1) < 0)
			return err_set(err, ERR_SYSTEM, errno, "hand descriptor %d to the process's user", i);
	}
	return 0;
}
