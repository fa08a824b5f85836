/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor_spawn.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "monitor_proto.h"
#include "program_start.h"
#include "str.h"

/* One that has started nothing ends as soon as it is scheduled. */
#define LEAVE_TIMEOUT_MS 10000

/* Whether it runs is asked with check(). */
static int spawn(const char *libexec, const char *id, bool has_own_namespaces, int *ret_sock, pid_t *ret_pid, struct err *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a socket pair");
	CLEANUP_FD int ours = pair[0], theirs = pair[1];
	CLEANUP_FREE char *path = str_printf("%s/hull-monitor", libexec);
	const char *const argv[] = { "hull-monitor", id, has_own_namespaces ? "namespaces" : NULL, NULL };
	pid_t pid = program_start(path, argv, theirs);
	if (pid < 0)
		return err_set(err, ERR_SYSTEM, pid, "start %s", path);
	*ret_sock = TAKE_FD(ours);
	*ret_pid = pid;
	return 0;
}

static int check(const char *libexec, struct err *err)
{
	int r = program_started();
	if (r < 0) {
		err_set(err, ERR_SYSTEM, r, "start %s/hull-monitor", libexec);
		err_hint(err, "is hull installed whole? HULL_LIBEXECDIR names the folder of its helpers");
	}
	return r;
}

void monitor_spawn_ahead(struct engine *engine, bool has_own_namespaces)
{
	struct err ignored = ERR_INIT;
	id_generate(engine->ahead_id);
	engine->ahead_makes_namespaces = has_own_namespaces;
	/* What stands in the way is told when it is needed. */
	if (spawn(engine->libexec, engine->ahead_id, has_own_namespaces, &engine->ahead_sock, &engine->ahead_pid, &ignored) < 0)
		engine->ahead_id[0] = '\0';
}

void monitor_tell_described(struct engine *engine, const char *id)
{
	/* One that has died is met when it is taken. */
	if (engine->ahead_sock >= 0 && engine->ahead_makes_namespaces && str_eq(engine->ahead_id, id))
		(void)!mon_send(engine->ahead_sock, MON_DESCRIBED, 0, 0, NULL, 0, NULL, 0);
}

void monitor_leave(struct engine *engine, const char *id)
{
	const struct timespec nap = { 0, 1000000 };
	cleanup_fd(&engine->ahead_sock);
	if (!str_eq(engine->ahead_id, id) || engine->ahead_pid <= 0)
		return;
	for (int i = 0; i < LEAVE_TIMEOUT_MS && waitpid(engine->ahead_pid, NULL, WNOHANG) == 0; i++)
		nanosleep(&nap, NULL);
	engine->ahead_pid = 0;
}

int monitor_take(struct engine *engine, const char *id, int *ret_sock, pid_t *ret_pid, struct err *err)
{
	int r = check(engine->libexec, err);
	bool is_there = engine->ahead_sock >= 0 && str_eq(engine->ahead_id, id);
	if (r == 0 && is_there) {
		*ret_sock = TAKE_FD(engine->ahead_sock);
		*ret_pid = engine->ahead_pid;
	} else if (r == 0) {
		r = spawn(engine->libexec, id, false, ret_sock, ret_pid, err);
		if (r == 0 && (r = check(engine->libexec, err)) < 0)
			cleanup_fd(ret_sock);
	}
	return r;
}
