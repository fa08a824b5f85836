/* SPDX-License-Identifier: Apache-2.0 */
#include "names_proto.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "fd.h"
#include "str.h"

extern char **environ;

int names_connect(int run_dirfd, int *ret_sock)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	CLEANUP_FD int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0)
		return -errno;
	/* By descriptor, so that the length of $HULL_RUN does not matter. */
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/" NAMES_SOCKET, run_dirfd);
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	*ret_sock = TAKE_FD(sock);
	return 0;
}

int names_hello(int sock, enum names_type type, const char *id, const int fds[2])
{
	struct names_hello hello = { .magic = NAMES_MAGIC, .type = type };
	int r = str_copy(hello.id, sizeof(hello.id), id);
	return r < 0 ? r : fd_send(sock, &hello, sizeof(hello), fds, fds ? 2 : 0);
}

static int take_lock(int run_dirfd, int *ret)
{
	CLEANUP_FD int fd = openat(run_dirfd, NAMES_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	/* Above the place that the child has for it: dup2() onto itself would leave it
	 * close-on-exec. */
	CLEANUP_FD int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, NAMES_LOCK_FD + 1);
	if (high < 0 || flock(high, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	*ret = TAKE_FD(high);
	return 0;
}

int names_spawn(int run_dirfd, const char *path, pid_t *ret_pid)
{
	char *argv[] = { (char[]){ "hull-names" }, (char[]){ "--locked" }, NULL };
	CLEANUP_FD int lock = -1;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int taken = take_lock(run_dirfd, &lock);
	if (taken < 0)
		return taken;
	sigemptyset(&none);
	sigfillset(&all);
	sigdelset(&all, SIGKILL);
	sigdelset(&all, SIGSTOP);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	int r = posix_spawn_file_actions_adddup2(&actions, lock, NAMES_LOCK_FD);
	/* Locks of ours are not to be held by the midst of an execve. */
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(&actions, NAMES_LOCK_FD + 1);
	if (r == 0)
		r = posix_spawn(ret_pid, path, &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}
