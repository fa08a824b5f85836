/* SPDX-License-Identifier: Apache-2.0 */
/* What a stop of a traced process costs on this host: user-mode Linux pays one for
 * each system call of its programs, and three or so for a page fault. */
#include <elf.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "uml.h"

#define TURNS 20
#define STOPS_A_TURN 25

/* Calls of this process itself, nanoseconds each; the quickest turn. */
static int64_t own_call_ns(void)
{
	int64_t best = INT64_MAX;
	for (int turn = 0; turn < TURNS; turn++) {
		int64_t begin = clock_mono_ns();
		for (int i = 0; i < STOPS_A_TURN; i++)
			(void)syscall(SYS_getppid);
		int64_t took = (clock_mono_ns() - begin) / STOPS_A_TURN;
		best = took < best ? took : best;
	}
	return best;
}

static _Noreturn void be_traced(void)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(errno);
	(void)raise(SIGSTOP);
	for (;;)
		(void)syscall(SYS_getppid);
}

/* One call of @pid taken from it, its registers looked at and given back. */
static int take_call(pid_t pid)
{
	struct user_regs_struct regs;
	struct iovec all = { &regs, sizeof(regs) };
	int status;
	if (ptrace(PTRACE_SYSEMU, pid, NULL, NULL) < 0)
		return -errno;
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return -ECHILD;
	if (ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &all) < 0 || ptrace(PTRACE_SETREGSET, pid, (void *)NT_PRSTATUS, &all) < 0)
		return -errno;
	return 0;
}

static int stop_ns(pid_t pid, int64_t *ret)
{
	*ret = INT64_MAX;
	for (int turn = 0; turn < TURNS; turn++) {
		int64_t begin = clock_mono_ns();
		for (int i = 0; i < STOPS_A_TURN; i++) {
			int r = take_call(pid);
			if (r < 0)
				return r;
		}
		int64_t took = (clock_mono_ns() - begin) / STOPS_A_TURN;
		*ret = took < *ret ? took : *ret;
	}
	return 0;
}

static int measure(int64_t *ret_stop_ns)
{
	int status = 0;
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		be_traced();
	int r = waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) ? 0 : WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
	if (r == 0)
		r = stop_ns(pid, ret_stop_ns);
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return r;
}

int uml_cost_measure(struct uml_cost *ret)
{
	cpu_set_t before, one;
	int cpu = sched_getcpu();
	if (cpu < 0 || sched_getaffinity(0, sizeof(before), &before) < 0)
		return -errno;
	/* As uml_jail.c has it. */
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	(void)sched_setaffinity(0, sizeof(one), &one);
	ret->call_ns = own_call_ns();
	int r = measure(&ret->stop_ns);
	(void)sched_setaffinity(0, sizeof(before), &before);
	return r;
}
