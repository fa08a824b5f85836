/* SPDX-License-Identifier: Apache-2.0 */
/* hull-agent: PID 1 and the host's hand in a guest with a kernel of its own. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

static struct agent agent;

static void children_ended(void *ctx, uint32_t events)
{
	struct agent *a = ctx;
	struct signalfd_siginfo info;
	int status;
	pid_t pid;
	(void)!read(a->children.fd, &info, sizeof(info));
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		session_child_ended(a, pid, status);
}

static int watch_children(struct agent *a)
{
	sigset_t all, child;
	sigfillset(&all);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_SETMASK, &all, NULL);
	int fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	a->children = (struct loop_source){ .fd = fd, .ready = children_ended, .ctx = a };
	return loop_watch(&a->loop, &a->children, EPOLLIN);
}

static void frame(struct agent_link *link, const struct agent_frame *f, const char *payload)
{
	session_frame(link->ctx, f, payload);
}

static void host_gone(struct agent_link *link, int error)
{
	boot_power_off();
}

static int run(struct agent *a, struct err *err)
{
	int r = boot_system(err);
	if (r == 0)
		r = boot_connect(&a->ports, err);
	if (r < 0)
		return r;
	a->names.source.fd = a->memory.fd = -1;
	r = loop_init(&a->loop);
	if (r == 0)
		r = watch_children(a);
	if (r == 0)
		r = a->ports.agent_ring ? agent_link_open_ring(&a->link, &a->loop, a->ports.agent, a->ports.agent_ring, false) :
					  agent_link_open(&a->link, &a->loop, a->ports.agent);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "set up the agent");
	a->link.frame = frame;
	a->link.gone = host_gone;
	a->link.ctx = a;
	agent_link_send(&a->link, AGENT_HELLO, 0, 0, AGENT_VERSION, NULL, 0);
	return loop_run(&a->loop) < 0 ? err_set(err, ERR_SYSTEM, 0, "wait for events") : 0;
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	if (getpid() != 1) {
		(void)!write(2, "hull-agent is the init of a guest that hull starts\n", 51);
		return 125;
	}
	signal(SIGPIPE, SIG_IGN);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)setpriority(PRIO_PROCESS, 0, AGENT_NICE);
	if (run(&agent, &err) < 0)
		/* The console goes to the host, which shows its last lines. */
		dprintf(1, "hull-agent: %s\n", err.msg);
	boot_power_off();
}
