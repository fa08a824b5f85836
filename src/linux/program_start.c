/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: the child shares our memory until its execve(2), on a stack of its own;
 * we do not stop meanwhile. The kernel clears job.is_busy, and wakes who waits for that,
 * when the child lets go of the memory: CLONE_CHILD_CLEARTID of clone(2). The child calls
 * nothing that changes what we use, but errno (ours, too) if execve(2) fails: then what
 * we are about fails anyway. */
#include "program_start.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "str.h"

#define STACK_BYTES 16384
/* Where the program finds the descriptor. */
#define PLACE 3
#define ARGS_MAX 8

static struct job {
	char *path, *argv[ARGS_MAX + 1];
	int fd;
	pid_t pid;
	_Atomic int errnum;
	_Atomic pid_t is_busy;
	_Alignas(16) char stack[STACK_BYTES];
} job;

static int child(void *arg)
{
	struct job *j = arg;
	/* Not left to close-on-exec, which comes in the midst of execve(2): a lock of a caller
	 * that dies then would seem to be held. The table of descriptors is the child's own. */
	if (dup2(j->fd, PLACE) == PLACE && close_range(PLACE + 1, ~0U, 0) == 0)
		execve(j->path, j->argv, environ);
	atomic_store(&j->errnum, errno);
	return 127;
}

static void forget(void)
{
	free(job.path);
	job.path = NULL;
	for (size_t i = 0; job.argv[i]; i++) {
		free(job.argv[i]);
		job.argv[i] = NULL;
	}
}

pid_t program_start(const char *path, const char *const argv[], int fd)
{
	sigset_t all, old;
	size_t n = 0;
	/* dup2(2) onto itself would leave it close-on-exec. */
	CLEANUP_FD int moved = fd == PLACE ? fcntl(fd, F_DUPFD_CLOEXEC, PLACE + 1) : -1;
	if (fd == PLACE && moved < 0)
		return -errno;
	while (argv[n])
		n++;
	if (n > ARGS_MAX || job.path)
		return -EINVAL;
	job.path = str_dup(path);
	for (size_t i = 0; i < n; i++)
		job.argv[i] = str_dup(argv[i]);
	job.fd = moved >= 0 ? moved : fd;
	atomic_store(&job.errnum, 0);
	atomic_store(&job.is_busy, 1);
	/* A handler of ours must not run in the child. */
	sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, &old);
	job.pid = clone(child, job.stack + STACK_BYTES, CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD, &job, NULL, NULL, &job.is_busy);
	int r = job.pid < 0 ? -errno : job.pid;
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	if (r < 0)
		forget();
	return r;
}

int program_started(void)
{
	pid_t busy;
	if (!job.path)
		return 0;
	while ((busy = atomic_load(&job.is_busy)) != 0)
		(void)syscall(SYS_futex, &job.is_busy, FUTEX_WAIT, busy, NULL, NULL, 0);
	forget();
	int errnum = atomic_load(&job.errnum);
	while (errnum && waitpid(job.pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	return -errnum;
}
