/* SPDX-License-Identifier: Apache-2.0 */
#include "behind.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "str.h"

/* Of some six containers' lives. A longer log makes every command slower, which
 * reads it; a shorter one is not worth the process. */
#define LOG_BYTES (96 * 4120)

void behind_run(const char *verb)
{
	const char *const argv[] = { "hull", "internal", verb, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	pid_t pid;
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID);
	for (int fd = 0; fd <= 2; fd++)
		posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
	/* Locks of ours are not to be held by the midst of an execve. */
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	(void)!posix_spawn(&pid, "/proc/self/exe", &actions, &attr, (char *const *)(uintptr_t)argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
}

void behind_fold(const char *root)
{
	struct stat st;
	CLEANUP_FREE char *path = str_printf("%s/hull.db-wal", root);
	if (stat(path, &st) == 0 && st.st_size >= LOG_BYTES)
		behind_run("fold");
}
