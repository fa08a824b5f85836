/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of other hull processes, which are root's: the socket is 0600. What
 * the guest sends them is counted before it is kept. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "supervise.h"

#define ANSWERS_MAX 64u

static void close_session(struct client *c)
{
	plug_forget(c);
	if (c->is_open)
		agent_link_send(&c->s->agent, AGENT_KILL, c->session, 0, 0, NULL, 0);
	c->is_open = false;
}

static void drop(struct client *c)
{
	close_session(c);
	agent_link_close(&c->link);
}

static void gone(struct agent_link *link, int error)
{
	close_session(link->ctx);
}

static void signal_workload(struct supervisor *s, const struct agent_frame *f)
{
	agent_link_send(&s->agent, AGENT_SIGNAL, AGENT_SESSION_WORKLOAD, f->stream, f->arg, NULL, 0);
	if (f->arg == SIGKILL)
		supervise_kill_soon(s);
}

static void frame(struct agent_link *link, const struct agent_frame *f, const char *payload)
{
	struct client *c = link->ctx;
	struct supervisor *s = c->s;
	struct agent_interface what;
	switch (f->type) {
	case AGENT_SIGNAL:
		if (f->session == 0) {
			signal_workload(s, f);
			return;
		}
		break;
	case AGENT_OOM:
		c->watches_memory = true;
		return;
	case AGENT_CREDIT:
		if (f->stream < AGENT_STREAM_COUNT && f->arg <= AGENT_WINDOW)
			c->room[f->stream] += f->arg;
		break;
	case AGENT_DOCUMENT:
	case AGENT_EXEC:
	case AGENT_FILES:
	case AGENT_ROUTES:
		c->is_open = true;
		break;
	case AGENT_UPDATE:
		c->is_open = true;
		c->memory_mib = f->arg;
		break;
	case AGENT_CONNECT:
		c->is_open = true;
		c->answers = 0;
		memcpy(&what, payload, sizeof(what));
		plug_connect(c, &what, TAKE_FD(link->passed_fd));
		return;
	case AGENT_DISCONNECT:
		c->is_open = c->is_unplugging = true;
		memcpy(&c->unplugged, payload, sizeof(c->unplugged));
		break;
	case AGENT_RESIZE:
	case AGENT_STATS:
	case AGENT_TOP:
	case AGENT_PAUSE:
	case AGENT_DATA:
	case AGENT_EOF:
	case AGENT_COPY:
		break;
	default:
		drop(c);
		return;
	}
	c->answers = 0;
	agent_link_send(&s->agent, f->type, c->session, f->stream, f->arg, payload, f->len);
}

void clients_init(struct supervisor *s)
{
	s->next_session = AGENT_SESSION_WORKLOAD + 1;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		s->clients[i].link.source.fd = -1;
}

void client_accept(void *ctx, uint32_t events)
{
	struct supervisor *s = ctx;
	CLEANUP_FD int fd = accept4(s->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	for (size_t i = 0; i < CLIENTS_MAX && fd >= 0; i++) {
		struct client *c = &s->clients[i];
		if (c->link.source.fd >= 0)
			continue;
		*c = (struct client){ .s = s, .session = s->next_session++ };
		for (int stream = 0; stream < AGENT_STREAM_COUNT; stream++)
			c->room[stream] = AGENT_WINDOW;
		c->link.takes_fds = true;
		c->link.frame = frame;
		c->link.gone = gone;
		c->link.ctx = c;
		if (agent_link_open(&c->link, &s->loop, TAKE_FD(fd)) < 0)
			agent_link_close(&c->link);
		return;
	}
}

int client_route(struct supervisor *s, const struct agent_frame *f, const char *payload)
{
	struct client *c = NULL;
	for (size_t i = 0; i < CLIENTS_MAX && !c; i++)
		if (s->clients[i].link.source.fd >= 0 && s->clients[i].session == f->session)
			c = &s->clients[i];
	/* It has left; what is on its way to it was sent before the guest knew. */
	if (!c)
		return 0;
	if (f->type == AGENT_DATA) {
		if (f->len > c->room[f->stream])
			return -EBADMSG;
		c->room[f->stream] -= f->len;
	} else if (f->type != AGENT_CREDIT && ++c->answers > ANSWERS_MAX) {
		return -EBADMSG;
	}
	if (f->type == AGENT_EXIT || f->type == AGENT_ERROR || f->type == AGENT_OK) {
		c->is_open = false;
		plug_disconnected(c);
		if (f->type == AGENT_OK)
			control_limit_memory(s, c->memory_mib);
	}
	agent_link_send(&c->link, f->type, AGENT_SESSION_WORKLOAD, f->stream, f->arg, payload, f->len);
	return 0;
}

void client_tell_oom(struct supervisor *s, uint32_t kills)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (s->clients[i].link.source.fd >= 0 && s->clients[i].watches_memory)
			agent_link_send(&s->clients[i].link, AGENT_OOM, 0, 0, kills, NULL, 0);
}
