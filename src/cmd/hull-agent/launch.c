/* SPDX-License-Identifier: Apache-2.0 */
/* A fork of the agent that calls the container level and ends: it makes the new
 * process a child of the agent (CLONE_PARENT), and its errors are values. */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "agent.h"
#include "container.h"
#include "fd.h"

static int run(struct agent *a, const struct launch_order *order, struct launched *res, struct isolation_fds *ret)
{
	struct isolation_io io = { order->stdio[0], order->stdio[1], order->stdio[2] };
	if (!order->process)
		return isolation_container.start(a->spec, &io, &res->handle, ret, &res->err);
	return isolation_container.exec(&a->handle, a->spec, order->process, &io, &res->pid, &ret->pidfd, &ret->pty, &res->err);
}

static _Noreturn void child(struct agent *a, const struct launch_order *order, int sock)
{
	struct launched res = { 0 };
	struct isolation_fds got = ISOLATION_FDS_INIT;
	sigset_t none;
	sigemptyset(&none);
	(void)setpriority(PRIO_PROCESS, 0, 0);
	sigprocmask(SIG_SETMASK, &none, NULL);
	res.r = run(a, order, &res, &got);
	if (res.r < 0 && !err_is_set(&res.err))
		(void)err_set(&res.err, ERR_SYSTEM, res.r, "start");
	if (!order->process)
		res.pid = res.handle.pid;
	res.has_pty = res.r >= 0 && got.pty >= 0;
	(void)!fd_send(sock, &res, sizeof(res), &got.pty, res.has_pty);
	_exit(0);
}

int launch_fork(struct agent *a, const struct launch_order *order, pid_t *ret_pid, int *ret_sock, struct err *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a socket pair");
	CLEANUP_FD int ours = pair[0], theirs = pair[1];
	pid_t pid = fork();
	if (pid < 0)
		return err_set(err, ERR_SYSTEM, -errno, "fork");
	if (pid == 0)
		child(a, order, theirs);
	*ret_pid = pid;
	*ret_sock = TAKE_FD(ours);
	return 0;
}

void launch_receive(int sock, struct launched *ret, int *ret_pty)
{
	size_t n = 0;
	*ret_pty = -1;
	if (fd_recv(sock, ret, sizeof(*ret), ret_pty, 1, &n) == (ssize_t)sizeof(*ret))
		return;
	*ret = (struct launched){ 0 };
	ret->r = err_set(&ret->err, ERR_SYSTEM, 0, "the guest's launcher died");
}
