/* SPDX-License-Identifier: Apache-2.0 */
/* Who the standard streams belong to. /dev/stdout is a link to the descriptor,
 * and opening it asks for the owner of what is behind: a pipe made by the host's
 * root would be closed to a process that holds it already. */
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>

#include "fd.h"
#include "internal.h"

#ifndef PIPEFS_MAGIC
#define PIPEFS_MAGIC 0x50495045
#endif
#define MAP_FILE_MAX 8192

static bool map_id(const struct spec_idmap *maps, size_t n, uint32_t id, uint32_t *ret)
{
	for (size_t i = 0; i < n; i++) {
		if (id < maps[i].container_id || id - maps[i].container_id >= maps[i].size)
			continue;
		*ret = maps[i].host_id + (id - maps[i].container_id);
		return true;
	}
	return false;
}

/* As the kernel tells it: for a user namespace that somebody else made. */
static int map_id_of(pid_t pid, uint32_t id, uint32_t *ret)
{
	CLEANUP_BUF struct buf text = BUF_INIT(MAP_FILE_MAX);
	CLEANUP_STRV struct strv lines = { 0 };
	char path[48];
	snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	int r = fd_read_file_at(AT_FDCWD, path, &text);
	if (r < 0)
		return r;
	strv_split(&lines, buf_str(&text), '\n');
	for (size_t i = 0; i < lines.n; i++) {
		struct spec_idmap map;
		if (sscanf(lines.v[i], "%u %u %u", &map.container_id, &map.host_id, &map.size) == 3 && map_id(&map, 1, id, ret))
			return 0;
	}
	return -ENOENT;
}

int stdio_give(const struct runtime_spec *spec, pid_t pid, bool is_made, const struct spec_process *process,
	       const struct isolation_io *io, struct err *err)
{
	const int fds[3] = { io->stdin_fd, io->stdout_fd, io->stderr_fd };
	uint32_t owner = process->user.uid;
	if (process->terminal)
		return 0;
	if (spec_has_userns(spec) && (is_made ? map_id_of(pid, owner, &owner) < 0
					      : !map_id(spec->uid_maps, spec->uid_maps_n, owner, &owner)))
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
