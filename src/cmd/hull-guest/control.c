/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of the machine itself, where it takes commands (vmm_proto.h): memory that
 * the guest is to have, and networks that come and go while it runs. A tap comes from the engine, which
 * has joined it to its bridge, and goes on to the machine, which shows it in a window
 * that was empty; then the guest is told to look. The other way round the guest lets go
 * first. Whatever it does, the engine has removed the tap by then. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "supervise.h"
#include "vmm_proto.h"

static int command(struct supervisor *s, enum vmm_command_type type, const struct agent_interface *what, int fd)
{
	struct vmm_command c = { .type = type, .mtu = what->mtu };
	memcpy(c.mac, what->mac, sizeof(c.mac));
	return s->control.fd < 0 ? -EOPNOTSUPP : vmm_command_send(s->control.fd, &c, fd);
}

static void answer(struct client *c, const struct err *err)
{
	c->is_open = false;
	agent_link_send_error(&c->link, AGENT_SESSION_WORKLOAD, err);
}

static void answered(struct supervisor *s, const struct vmm_event *event)
{
	struct client *c = s->plugging;
	if (!s->is_plugging)
		return;
	s->is_plugging = false;
	s->plugging = NULL;
	if (c && err_is_set(&event->err))
		answer(c, &event->err);
	else if (c)
		agent_link_send(&s->agent, AGENT_CONNECT, c->session, 0, 0, &s->plugged, sizeof(s->plugged));
	else if (!err_is_set(&event->err))
		(void)!command(s, VMM_UNPLUG, &s->plugged, -1);
}

/* False: nothing more for now. */
static bool take_event(struct supervisor *s)
{
	struct vmm_event event;
	ssize_t n = recv(s->control.fd, &event, sizeof(event), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	/* The process's end says more; the descriptor stays, as the machine goes with it. */
	if (n != (ssize_t)sizeof(event)) {
		(void)!loop_watch(&s->loop, &s->control, 0);
		return false;
	}
	if (event.type == VMM_EVENT_PLUGGED)
		answered(s, &event);
	else if (event.type == VMM_EVENT_END && err_is_set(&event.err))
		s->machine_err = event.err;
	return true;
}

static void told(void *ctx, uint32_t events)
{
	(void)take_event(ctx);
}

void control_drain(struct supervisor *s)
{
	while (s->control.fd >= 0 && take_event(s))
		continue;
}

void control_limit_memory(struct supervisor *s, uint32_t mib)
{
	const struct vmm_command c = { .type = VMM_MEMORY, .value = mib == UINT32_MAX ? UINT64_MAX : (uint64_t)mib << 20 };
	if (mib && s->control.fd >= 0)
		(void)!vmm_command_send(s->control.fd, &c, -1);
}

int control_open(struct supervisor *s)
{
	struct stat st;
	s->control = (struct loop_source){ .fd = -1 };
	if (fstat(GUEST_FD_CONTROL, &st) < 0 || !S_ISSOCK(st.st_mode))
		return 0;
	s->control = (struct loop_source){ .fd = GUEST_FD_CONTROL, .ready = told, .ctx = s };
	int r = fd_set_nonblock(GUEST_FD_CONTROL, true);
	return r < 0 ? r : loop_watch(&s->loop, &s->control, EPOLLIN);
}

void plug_connect(struct client *c, const struct agent_interface *what, int tap)
{
	struct supervisor *s = c->s;
	struct err err = ERR_INIT;
	CLEANUP_FD int own = tap;
	int r = own < 0 ? err_set(&err, ERR_INVALID, 0, "a network without a tap") : 0;
	if (r == 0 && s->is_plugging)
		r = err_set(&err, ERR_CONFLICT, 0, "another network is being connected");
	if (r == 0 && (r = command(s, VMM_PLUG, what, own)) < 0)
		r = err_set(&err, ERR_SYSTEM, r, "give the machine another network");
	if (r < 0) {
		answer(c, &err);
		return;
	}
	s->is_plugging = true;
	s->plugging = c;
	s->plugged = *what;
}

void plug_disconnected(struct client *c)
{
	if (c->is_unplugging)
		(void)!command(c->s, VMM_UNPLUG, &c->unplugged, -1);
	c->is_unplugging = false;
}

void plug_forget(struct client *c)
{
	plug_disconnected(c);
	if (c->s->plugging == c)
		c->s->plugging = NULL;
}
