/* SPDX-License-Identifier: Apache-2.0 */
/* hull-init [--] COMMAND [ARGUMENT...]: PID 1 of a container run with --init.
 *
 * Starts COMMAND in a process group of its own (in the foreground, if there is
 * a terminal), sends that group the signals it gets, reaps every orphan that
 * becomes its child, and ends with COMMAND's exit code, or 128 + the number of
 * the signal that killed it; the kernel then kills whatever is left. 127:
 * COMMAND not found, 126: found but it cannot be executed.
 *
 * Signals are taken with sigwaitinfo, so nothing runs at interrupt time. Needs
 * no library of hull's and allocates nothing. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* Faults of this very process: blocked, they would spin or be lost. */
static const int own_faults[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS };

static void complain(const char *what, const char *why)
{
	char line[512];
	int n = snprintf(line, sizeof(line), "hull-init: %s: %s\n", what, why);

	if (n > 0 && write(STDERR_FILENO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1) < 0)
		return;
}

/* Make the terminal on standard input ours, if we lead a session without one:
 * only the leader can. Being refused is no error: it is somebody else's. */
static void take_terminal(void)
{
	if (isatty(STDIN_FILENO) && tcgetsid(STDIN_FILENO) < 0)
		(void)!ioctl(STDIN_FILENO, TIOCSCTTY, 0);
}

static void run_command(char **argv, const sigset_t *old, int tty_in, int tty_out)
{
	setpgid(0, 0);
	/* The foreground is the command's. SIGTTOU is still blocked here, so that
	 * a process in the background may say so. */
	if (isatty(STDIN_FILENO))
		(void)!tcsetpgrp(STDIN_FILENO, getpgrp());
	/* Ignored by us for our own sake only. */
	signal(SIGTTIN, tty_in ? SIG_IGN : SIG_DFL);
	signal(SIGTTOU, tty_out ? SIG_IGN : SIG_DFL);
	sigprocmask(SIG_SETMASK, old, NULL);
	execvp(argv[0], argv);
	int e = errno;
	complain(argv[0], strerror(e));
	_exit(e == ENOENT || e == ENOTDIR ? 127 : 126);
}

/* Reap all that have ended. The command's status in *ret_status, and 1 when it
 * was among them. */
static int reap(pid_t command, int *ret_status)
{
	int status, is_over = 0;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0 || (pid < 0 && errno == EINTR))
		if (pid == command) {
			*ret_status = status;
			is_over = 1;
		}
	return is_over;
}

/* To the whole group; to the process alone in the moment before it has made
 * its group, or after it has left it. */
static void forward(pid_t command, int signo)
{
	if (kill(-command, signo) < 0 && errno == ESRCH)
		kill(command, signo);
}

int main(int argc, char **argv)
{
	sigset_t all, old;
	siginfo_t info;
	int status = 0;

	argv++;
	if (argc > 1 && strcmp(argv[0], "--") == 0)
		argv++;
	if (argc < 2 || !argv[0]) {
		complain("usage", "hull-init [--] COMMAND [ARGUMENT...]");
		return 2;
	}
	/* Orphans come to PID 1 by themselves; to anything else by this. */
	if (getpid() != 1)
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	sigfillset(&all);
	for (size_t i = 0; i < sizeof(own_faults) / sizeof(own_faults[0]); i++)
		sigdelset(&all, own_faults[i]);
	sigprocmask(SIG_BLOCK, &all, &old);
	int tty_in = signal(SIGTTIN, SIG_IGN) == SIG_IGN, tty_out = signal(SIGTTOU, SIG_IGN) == SIG_IGN;

	take_terminal();
	pid_t command = fork();
	if (command < 0) {
		complain("fork", strerror(errno));
		return 1;
	}
	if (command == 0)
		run_command(argv, &old, tty_in, tty_out);
	/* Both sides do it, so that it is done before either goes on. */
	setpgid(command, command);
	for (;;) {
		int signo = sigwaitinfo(&all, &info);
		if (signo < 0)
			continue;
		if (signo != SIGCHLD) {
			forward(command, signo);
			continue;
		}
		if (reap(command, &status))
			break;
	}
	/* Its last orphans, if they have ended too; the rest dies with us. */
	(void)!reap(-1, &status);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
