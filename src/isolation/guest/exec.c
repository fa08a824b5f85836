/* SPDX-License-Identifier: Apache-2.0 */
/* One more process in a guest: on the host's side a relay, which is a child of
 * the monitor, has the three descriptors, takes the signals meant for the
 * process, and ends with its exit code. */
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fd.h"
#include "guest.h"
#include "guest_args.h"
#include "internal.h"
#include "process.h"

static _Noreturn void relay_run(const struct runtime_spec *spec, const int stdio[3], bool is_terminal, const int *fds, size_t n)
{
	struct guest_report failed = { 0 };
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	setsid();
	(void)!guest_execute(spec, "relay", stdio, is_terminal, fds, n, &failed.err);
	(void)!fd_send(fds[0], &failed, sizeof(failed), NULL, 0);
	_exit(127);
}

int guest_exec(const struct isolation_handle *handle, const struct runtime_spec *spec, const struct spec_process *process,
	       const struct isolation_io *io, pid_t *ret_pid, int *ret_pidfd, int *ret_pty, struct err *err)
{
	int pair[2] = { -1, -1 }, stdio[3] = { io->stdin_fd, io->stdout_fd, io->stderr_fd };
	CLEANUP_FD int agent = -1, request = -1, master = -1, slave = -1;
	struct guest_terminal terminal = { -1, -1 };
	*ret_pidfd = -1;
	int r = guest_connect(handle, &agent, err);
	if (r == 0)
		r = guest_request_exec(process, &request, err);
	if (r == 0 && process->terminal)
		r = guest_terminal_open(process, &terminal, err);
	master = terminal.master;
	slave = terminal.slave;
	if (r == 0)
		r = channel_pair(pair, err);
	if (r < 0)
		return r;
	CLEANUP_FD int own = pair[0], theirs = pair[1];
	for (int i = 0; i < 3 && slave >= 0; i++)
		stdio[i] = slave;
	pid_t pid = process_clone(CLONE_PARENT, -1, ret_pidfd);
	if (pid < 0)
		return err_set(err, ERR_SYSTEM, pid, "make the process's relay");
	if (pid == 0) {
		const int fds[] = { theirs, agent, request };
		close(own);
		cleanup_fd(&master);
		relay_run(spec, stdio, process->terminal, fds, ARRAY_LEN(fds));
	}
	cleanup_fd(&theirs);
	*ret_pid = pid;
	r = guest_wait_report(own, NULL, err);
	if (r == 0)
		*ret_pty = TAKE_FD(master);
	return r;
}
