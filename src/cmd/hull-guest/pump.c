/* SPDX-License-Identifier: Apache-2.0 */
#include "pump.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "fd.h"

/* So often at once, then others have their turn. */
#define TURNS 32

/* 1: something moved; 0: nothing can. */
static int move_up(struct pump *p)
{
	struct pump_way *w = &p->up;
	if (w->len == 0) {
		ssize_t n = agent_port_read(&p->port, w->data, sizeof(w->data));
		if (n < 0)
			return n == -EAGAIN ? 0 : (int)n;
		w->at = 0;
		w->len = (size_t)n;
	}
	ssize_t n = write(p->socket.fd, w->data + w->at, w->len);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	w->at += (size_t)n;
	w->len -= (size_t)n;
	return 1;
}

static int move_down(struct pump *p)
{
	struct pump_way *w = &p->down;
	if (w->len == 0) {
		ssize_t n = read(p->socket.fd, w->data, sizeof(w->data));
		if (n <= 0)
			return n == 0 ? -EPIPE : errno == EAGAIN || errno == EINTR ? 0 : -errno;
		w->at = 0;
		w->len = (size_t)n;
	}
	ssize_t n = agent_port_write(&p->port, w->data + w->at, w->len);
	if (n < 0)
		return n == -EAGAIN ? 0 : (int)n;
	w->at += (size_t)n;
	w->len -= (size_t)n;
	return 1;
}

static void give_up(struct pump *p, int error)
{
	(void)loop_remove(p->loop, &p->port_source);
	(void)loop_remove(p->loop, &p->socket);
	loop_timer_stop(p->loop, &p->again);
	p->gone(p->ctx, error);
}

static void work(void *ctx)
{
	struct pump *p = ctx;
	int moved = 1;
	for (int i = 0; i < TURNS && moved > 0; i++) {
		int up = move_up(p), down = up < 0 ? up : move_down(p);
		moved = down < 0 ? down : up || down;
	}
	bool is_busy = moved > 0;
	if (moved == 0)
		is_busy = agent_port_rest(&p->port, p->down.len > 0);
	else if (moved > 0)
		(void)agent_port_rest(&p->port, false);
	int r = moved < 0 ? moved : loop_watch(p->loop, &p->socket, (p->down.len ? 0 : EPOLLIN) | (p->up.len ? EPOLLOUT : 0));
	if (r == 0)
		r = loop_watch(p->loop, &p->port_source, EPOLLIN | (p->down.len && !p->port.has_ring ? EPOLLOUT : 0));
	if (r < 0)
		give_up(p, r);
	else if (is_busy)
		loop_timer_set(p->loop, &p->again, 0);
}

static void port_ready(void *ctx, uint32_t events)
{
	struct pump *p = ctx;
	int r = agent_port_woken(&p->port);
	if (r < 0)
		give_up(p, r);
	else
		work(p);
}

static void socket_ready(void *ctx, uint32_t events)
{
	work(ctx);
}

int pump_open(struct pump *p, struct loop *loop, int port, void *memory, int socket)
{
	p->loop = loop;
	p->port_source = (struct loop_source){ .fd = port, .ready = port_ready, .ctx = p };
	p->socket = (struct loop_source){ .fd = socket, .ready = socket_ready, .ctx = p };
	p->again = (struct loop_timer){ .fire = work, .ctx = p };
	int r = agent_port_init(&p->port, port, memory, true);
	if (r == 0)
		r = fd_set_nonblock(socket, true);
	if (r == 0)
		loop_timer_set(loop, &p->again, 0);
	return r;
}
