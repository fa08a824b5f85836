/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor_spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "str.h"

extern char **environ;

static int spawn(const char *libexec, const char *id, bool has_own_namespaces, int *ret_sock, pid_t *ret_pid, struct err *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a socket pair");
	CLEANUP_FD int ours = pair[0], theirs = pair[1];
	CLEANUP_FREE char *path = str_printf("%s/hull-monitor", libexec);
	CLEANUP_FREE char *arg = str_dup(id);
	char name[] = "hull-monitor", namespaces[] = "namespaces";
	char *argv[] = { name, arg, has_own_namespaces ? namespaces : NULL, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	pid_t pid;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	/* dup2 onto itself would keep close-on-exec with some libcs: go by a high
	 * number when the socket happens to be 3. */
	if (theirs == 3) {
		int moved = fcntl(theirs, F_DUPFD_CLOEXEC, 10);
		close(theirs);
		theirs = moved;
	}
	int r = posix_spawn_file_actions_adddup2(&actions, theirs, 3);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	sigdelset(&all, SIGKILL);
	sigdelset(&all, SIGSTOP);
	posix_spawnattr_setsigdefault(&attr, &all);
	if (r == 0)
		r = posix_spawn(&pid, path, &actions, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	if (r != 0) {
		err_set(err, ERR_SYSTEM, -r, "start %s", path);
		err_hint(err, "is hull installed whole? HULL_LIBEXECDIR names the folder of its helpers");
		return -r;
	}
	*ret_sock = TAKE_FD(ours);
	*ret_pid = pid;
	return 0;
}

void monitor_spawn_ahead(struct engine *engine, bool has_own_namespaces)
{
	struct err ignored = ERR_INIT;
	id_generate(engine->ahead_id);
	/* What stands in the way is told when it is needed. */
	if (spawn(engine->libexec, engine->ahead_id, has_own_namespaces, &engine->ahead_sock, &engine->ahead_pid, &ignored) < 0)
		engine->ahead_id[0] = '\0';
}

int monitor_take(struct engine *engine, const char *id, int *ret_sock, pid_t *ret_pid, struct err *err)
{
	if (engine->ahead_sock < 0 || !str_eq(engine->ahead_id, id))
		return spawn(engine->libexec, id, false, ret_sock, ret_pid, err);
	*ret_sock = TAKE_FD(engine->ahead_sock);
	*ret_pid = engine->ahead_pid;
	return 0;
}
