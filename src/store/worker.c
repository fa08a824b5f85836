/* SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "json.h"
#include "str.h"

extern char **environ;

/* Source descriptors are first moved above every target, so that no dup2()
 * overwrites a source that is still to be used. */
static int move_up(const int *fds, size_t n, int *ret)
{
	for (size_t i = 0; i < n; i++) {
		CLEANUP_FD int null = -1;
		int from = fds[i];
		if (from < 0) {
			null = open("/dev/null", O_RDWR | O_CLOEXEC);
			from = null;
		}
		ret[i] = from < 0 ? -1 : fcntl(from, F_DUPFD_CLOEXEC, (int)n + 3);
		if (ret[i] < 0)
			return -errno;
	}
	return 0;
}

static int spawn(const char *path, const char *const *argv, const int *fds, size_t n, bool bare_env, pid_t *ret)
{
	char *const no_env[] = { NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, pipe_signal;
	sigemptyset(&none);
	sigemptyset(&pipe_signal);
	sigaddset(&pipe_signal, SIGPIPE);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &pipe_signal);
	/* A group of its own: Ctrl-C is hull's to handle, which then ends its workers. */
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	int r = 0;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = posix_spawn_file_actions_adddup2(&actions, fds[i], (int)i);
	/* Before the execve: in the midst of one close-on-exec has not happened yet, and a
	 * lock of a hull that dies then would seem to be held. */
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(&actions, n < 3 ? 3 : (int)n);
	if (r == 0)
		r = posix_spawn(ret, path, &actions, &attr, (char *const *)(uintptr_t)argv, bare_env ? no_env : environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

#define WORKER_FDS_MAX 16

pid_t worker_spawn(const char *const *argv, const int *fds, size_t n, bool bare_env, struct err *err)
{
	const char *dir = getenv("HULL_LIBEXECDIR");
	CLEANUP_FREE char *path = str_printf("%s/%s", str_is_empty(dir) ? HULL_LIBEXECDIR : dir, argv[0]);
	int moved[WORKER_FDS_MAX];
	pid_t pid = -1;
	assert(n <= WORKER_FDS_MAX);
	for (size_t i = 0; i < n; i++)
		moved[i] = -1;
	int r = move_up(fds, n, moved);
	if (r == 0)
		r = spawn(path, argv, moved, n, bare_env, &pid);
	for (size_t i = 0; i < n; i++)
		cleanup_fd(&moved[i]);
	if (r < 0) {
		err_set(err, ERR_SYSTEM, r, "start %s", path);
		if (r == -ENOENT)
			err_why(err, "hull is not completely installed");
		return r;
	}
	return pid;
}

int worker_wait(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int worker_error(const char *name, int status, const char *report, struct err *err)
{
	CLEANUP_JSON struct json *root = NULL;
	size_t len = strcspn(report, "\n");
	const struct json *e = NULL;
	if (len && json_parse(report, len, name, &root, NULL) == 0)
		e = root;
	if (json_get_str(e, "message")) {
		int64_t kind = json_get_i64(e, "kind", ERR_SYSTEM), errnum = json_get_i64(e, "errno", 0);
		if (kind <= ERR_NONE || kind >= ERR_KIND_COUNT)
			kind = ERR_SYSTEM;
		int r = err_set(err, (enum err_kind)kind, 0, "%s", json_get_str(e, "message"));
		if (!str_is_empty(json_get_str(e, "why")))
			err_why(err, "%s", json_get_str(e, "why"));
		if (!str_is_empty(json_get_str(e, "hint")))
			err_hint(err, "%s", json_get_str(e, "hint"));
		return errnum < 0 && errnum > -4096 ? (int)errnum : r;
	}
	if (status > 128)
		return err_set(err, ERR_SYSTEM, 0, "%s was killed by signal %d", name, status - 128);
	int r = err_set(err, ERR_SYSTEM, 0, "%s failed (exit status %d)", name, status);
	if (len)
		err_why(err, "%.*s", (int)(len > 200 ? 200 : len), report);
	return r;
}
