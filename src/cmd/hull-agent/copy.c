/* SPDX-License-Identifier: Apache-2.0 */
/* cp: a process that sees the workload's files and nothing else does it, with the
 * very code that does it for a container. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "container.h"
#include "copy_worker.h"
#include "fd.h"
#include "layer_export.h"

static_assert(sizeof(struct copy_message) <= AGENT_PAYLOAD_MAX, "goes in one frame");

static _Noreturn void child(struct agent *a, const struct copy_order *order, int control, int data)
{
	struct err err = ERR_INIT;
	sigset_t none;
	sigemptyset(&none);
	(void)setpriority(PRIO_PROCESS, 0, 0);
	sigprocmask(SIG_SETMASK, &none, NULL);
	int fds_dir = layer_export_fds_dir();
	int r = fds_dir < 0 ? err_set(&err, ERR_SYSTEM, fds_dir, "prepare the copy") : isolation_container.enter_files(&a->handle, &err);
	umask(0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (r < 0)
		copy_worker_failed(control, &err);
	else
		copy_worker_run(order, control, data, fds_dir);
	_exit(0);
}

static void spoke(void *ctx, uint32_t events)
{
	struct session *s = ctx;
	char message[AGENT_PAYLOAD_MAX];
	ssize_t n = recv(s->control.fd, message, sizeof(message), MSG_DONTWAIT);
	if (n > 0)
		agent_link_send(&s->agent->link, AGENT_COPY, s->id, 0, 0, message, (size_t)n);
	else if (n == 0 || errno != EAGAIN)
		(void)!loop_watch(&s->agent->loop, &s->control, 0);
}

void copy_drain(struct session *s)
{
	char message[AGENT_PAYLOAD_MAX];
	ssize_t n;
	while (s->control.fd >= 0 && (n = recv(s->control.fd, message, sizeof(message), MSG_DONTWAIT)) > 0)
		agent_link_send(&s->agent->link, AGENT_COPY, s->id, 0, 0, message, (size_t)n);
}

void copy_told(struct session *s, const char *payload, size_t len)
{
	if (s->control.fd >= 0)
		(void)!send(s->control.fd, payload, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int copy_start(struct session *s, bool sends, struct err *err)
{
	struct agent *a = s->agent;
	const struct buf *text = &s->documents[AGENT_DOC_SPEC];
	static struct copy_order order;
	int control[2], data[2], r;
	if (text->len != sizeof(order))
		return err_set(err, ERR_INVALID, 0, "bad request to copy");
	memcpy(&order, text->data, sizeof(order));
	order.path[sizeof(order.path) - 1] = '\0';
	if (a->handle.pid <= 0)
		return err_set(err, ERR_CONFLICT, 0, "container is not running");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a socket pair");
	CLEANUP_FD int control_ours = control[0], control_theirs = control[1];
	if (pipe2(data, O_CLOEXEC) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a pipe");
	CLEANUP_FD int ours = data[!sends], theirs = data[sends];
	pid_t pid = fork();
	if (pid < 0)
		return err_set(err, ERR_SYSTEM, -errno, "fork");
	if (pid == 0) {
		cleanup_fd(&ours);
		cleanup_fd(&control_ours);
		child(a, &order, control_theirs, theirs);
	}
	s->pid = pid;
	s->is_started = true;
	s->control = (struct loop_source){ .fd = TAKE_FD(control_ours), .ready = spoke, .ctx = s };
	r = loop_watch(&a->loop, &s->control, EPOLLIN);
	if (r == 0)
		r = fd_set_nonblock(ours, true);
	if (r == 0)
		r = sends ? agent_source_open(&s->output[0], &a->link, s->id, AGENT_STDOUT, TAKE_FD(ours)) :
			    agent_sink_open(&s->input, &a->link, s->id, AGENT_STDIN, TAKE_FD(ours), false);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "set up the copy") : 0;
}
