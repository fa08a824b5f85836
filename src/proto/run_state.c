/* SPDX-License-Identifier: Apache-2.0 */
#include "run_state.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "cleanup.h"

int run_state_read(int dirfd, struct run_state *ret)
{
	CLEANUP_FD int fd = openat(dirfd, "state", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	for (int attempt = 0; attempt < 100; attempt++) {
		struct run_state s;
		ssize_t n = pread(fd, &s, sizeof(s), 0);
		if (n < 0)
			return -errno;
		if ((size_t)n != sizeof(s) || s.magic != RUN_STATE_MAGIC || s.version != RUN_STATE_VERSION ||
		    s.status >= RUN_STATUS_COUNT || s.health >= RUN_HEALTH_COUNT)
			return -EINVAL;
		if (s.generation_start != s.generation_end)
			continue;
		s.cgroup[sizeof(s.cgroup) - 1] = '\0';
		s.error[sizeof(s.error) - 1] = '\0';
		*ret = s;
		return 0;
	}
	return -EINVAL;
}

int run_state_write(int dirfd, struct run_state *state)
{
	CLEANUP_FD int fd = openat(dirfd, "state", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	state->magic = RUN_STATE_MAGIC;
	state->version = RUN_STATE_VERSION;
	state->generation_start++;
	state->generation_end = state->generation_start;
	ssize_t n = pwrite(fd, state, sizeof(*state), 0);
	if (n < 0)
		return -errno;
	return (size_t)n == sizeof(*state) ? 0 : -EIO;
}

int run_state_lock(int dirfd, int *ret_fd)
{
	CLEANUP_FD int fd = openat(dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	struct stat st;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	/* Whoever had it has removed it, and the workload, meanwhile. */
	if (fstat(fd, &st) < 0 || st.st_nlink == 0)
		return -ENOENT;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

const char *run_status_name(enum run_status status)
{
	static const char *const names[] = {
		[RUN_CREATED] = "created",       [RUN_RUNNING] = "running", [RUN_PAUSED] = "paused",
		[RUN_RESTARTING] = "restarting", [RUN_EXITED] = "exited",
	};
	static_assert(ARRAY_LEN(names) == RUN_STATUS_COUNT, "a name for each status");
	return names[status];
}

const char *run_health_name(enum run_health health)
{
	static const char *const names[] = {
		[RUN_HEALTH_NONE] = "none",
		[RUN_HEALTH_STARTING] = "starting",
		[RUN_HEALTH_HEALTHY] = "healthy",
		[RUN_HEALTH_UNHEALTHY] = "unhealthy",
	};
	static_assert(ARRAY_LEN(names) == RUN_HEALTH_COUNT, "a name for each health");
	return names[health];
}
