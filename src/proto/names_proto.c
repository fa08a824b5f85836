/* SPDX-License-Identifier: Apache-2.0 */
#include "names_proto.h"

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
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

int names_spawn(const char *path, pid_t *ret_pid)
{
	char *argv[] = { (char[]){ "hull-names" }, NULL };
	posix_spawnattr_t attr;
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	sigdelset(&all, SIGKILL);
	sigdelset(&all, SIGSTOP);
	int r = posix_spawnattr_init(&attr);
	if (r)
		return -r;
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	r = posix_spawn(ret_pid, path, NULL, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	return -r;
}
