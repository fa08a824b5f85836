/* SPDX-License-Identifier: Apache-2.0 */
/* A back end whose workloads are plain processes, so that the monitor's own
 * behaviour can be tested anywhere. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "isolation.h"

static int spawn(const struct spec_process *process, const struct isolation_io *io, pid_t *ret_pid, int *ret_pidfd, int *ret_pty,
		 struct err *err)
{
	int pidfd = -1, master = -1, slave = -1, report[2];
	*ret_pty = -1;
	if (pipe2(report, O_CLOEXEC) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "pipe");
	if (process->terminal) {
		int unlock = 0;
		master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
		if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0)
			return err_set(err, ERR_SYSTEM, -errno, "pty");
		slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	}
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PARENT | CLONE_PIDFD | SIGCHLD, NULL, &pidfd, NULL, NULL);
	if (pid < 0)
		return err_set(err, ERR_SYSTEM, -errno, "clone");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setsid();
		if (slave >= 0)
			ioctl(slave, TIOCSCTTY, 0);
		for (int i = 0; i < 3; i++)
			dup2(slave >= 0 ? slave : (const int[]){ io->stdin_fd, io->stdout_fd, io->stderr_fd }[i], i);
		execvp(process->args.v[0], process->args.v);
		int e = errno;
		(void)!write(report[1], &e, sizeof(e));
		_exit(127);
	}
	close(report[1]);
	if (slave >= 0)
		close(slave);
	int e = 0;
	if (read(report[0], &e, sizeof(e)) == sizeof(e)) {
		close(report[0]);
		return err_set(err, ERR_INVALID, e, "exec: \"%s\"", process->args.v[0]);
	}
	close(report[0]);
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	*ret_pty = master;
	return 0;
}

static int fake_start(const struct runtime_spec *spec, const struct isolation_io *io, struct isolation_handle *ret_handle,
		      struct isolation_fds *ret, struct err *err)
{
	*ret_handle = (struct isolation_handle){ .cgroup = "fake" };
	return spawn(&spec->process, io, &ret_handle->pid, &ret->pidfd, &ret->pty, err);
}

static int fake_exec(const struct isolation_handle *handle, const struct runtime_spec *spec, const struct spec_process *process,
		     const struct isolation_io *io, pid_t *ret_pid, int *ret_pidfd, int *ret_pty, struct err *err)
{
	return spawn(process, io, ret_pid, ret_pidfd, ret_pty, err);
}

static int fake_signal(const struct isolation_handle *handle, int signo, bool all, struct err *err)
{
	return kill(handle->pid, signo) < 0 ? err_set(err, ERR_CONFLICT, -errno, "kill") : 0;
}

static int fake_pause(const struct isolation_handle *handle, struct err *err)
{
	return fake_signal(handle, SIGSTOP, false, err);
}

static int fake_resume(const struct isolation_handle *handle, struct err *err)
{
	return fake_signal(handle, SIGCONT, false, err);
}

static int fake_stats(const struct isolation_handle *handle, struct isolation_stats *ret, struct err *err)
{
	*ret = (struct isolation_stats){ .oom_kills = getenv("HULL_FAKE_OOM") ? 1 : 0 };
	return 0;
}

static int fake_destroy(const struct isolation_handle *handle, struct err *err)
{
	return 0;
}

int isolation_get(enum isolation_level level, const struct isolation **ret, struct err *err)
{
	static const struct isolation fake = { .start = fake_start, .exec = fake_exec, .signal = fake_signal, .pause = fake_pause,
					       .resume = fake_resume, .stats = fake_stats, .destroy = fake_destroy };
	*ret = &fake;
	return 0;
}
