/* SPDX-License-Identifier: Apache-2.0 */
/* How it works. What one side says is read into one buffer for all and written to
 * the other at once; what that does not take is held, and until it is taken nothing
 * more is read: a slow reader slows the writer and costs one buffer. The end of what
 * one side says is passed on when all before it has been. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "fd.h"
#include "proxy.h"
#include "str.h"

#define CONNECT_NS (30 * NS_PER_S)
/* Reads for one connection before others have their turn. */
#define TURN 8
#define ACCEPTS 32

struct side {
	struct flow *flow;
	struct side *other;
	struct loop_source source;
	uint8_t *held; /* what it has not taken yet */
	size_t held_at, held_len;
	bool has_ended; /* says nothing more */
	bool is_told;   /* that the other does not */
};

struct flow {
	struct proxy *p;
	struct side client, server;
	struct loop_timer connecting;
	bool is_connected;
	struct flow *next, **at;
};

static void side_close(struct proxy *p, struct side *side, bool reset)
{
	const struct linger at_once = { .l_onoff = 1 };
	if (side->source.fd >= 0 && reset)
		(void)setsockopt(side->source.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	int fd = loop_remove(&p->loop, &side->source);
	cleanup_fd(&fd);
	free(side->held);
}

/* @reset: both are told that it broke. */
static void flow_close(struct flow *f, bool reset)
{
	struct proxy *p = f->p;
	loop_timer_stop(&p->loop, &f->connecting);
	side_close(p, &f->client, reset);
	side_close(p, &f->server, reset);
	*f->at = f->next;
	if (f->next)
		f->next->at = f->at;
	free(f);
	p->flows_n--;
	if (p->is_full) {
		p->is_full = false;
		proxy_watch_doors(p);
	}
	proxy_look_idle(p);
}

static int watch_side(struct side *side)
{
	uint32_t events = side->held_len ? EPOLLOUT : 0;
	if (!side->has_ended && !side->other->held_len)
		events |= EPOLLIN;
	return loop_watch(&side->flow->p->loop, &side->source, events);
}

/* False: it broke. */
static bool hold(struct side *to, const uint8_t *data, size_t len)
{
	to->held = malloc(len);
	if (!to->held)
		return false;
	memcpy(to->held, data, len);
	to->held_at = 0;
	to->held_len = len;
	return true;
}

static bool flush(struct side *to)
{
	while (to->held_len) {
		ssize_t n = send(to->source.fd, to->held + to->held_at, to->held_len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		to->held_at += (size_t)n;
		to->held_len -= (size_t)n;
	}
	free(to->held);
	to->held = NULL;
	return true;
}

static bool pass(struct side *from)
{
	struct side *to = from->other;
	uint8_t *data = from->flow->p->scratch;
	for (int i = 0; i < TURN && !from->has_ended && !to->held_len; i++) {
		ssize_t n = recv(from->source.fd, data, sizeof(from->flow->p->scratch), MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (n == 0) {
			from->has_ended = true;
			break;
		}
		ssize_t sent = send(to->source.fd, data, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		size_t done = sent < 0 ? 0 : (size_t)sent;
		if (done < (size_t)n && !hold(to, data + done, (size_t)n - done))
			return false;
	}
	return true;
}

/* The end, once all before it is written. */
static void tell_end(struct side *from)
{
	struct side *to = from->other;
	if (!from->has_ended || to->held_len || to->is_told)
		return;
	to->is_told = true;
	(void)shutdown(to->source.fd, SHUT_WR);
}

static void side_ready(void *ctx, uint32_t events)
{
	struct side *side = ctx;
	struct flow *f = side->flow;
	bool is_well = true;
	if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		is_well = flush(side);
	if (is_well && events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		is_well = pass(side);
	tell_end(&f->client);
	tell_end(&f->server);
	if (!is_well || (f->client.is_told && f->server.is_told))
		flow_close(f, !is_well);
	else if (watch_side(&f->client) < 0 || watch_side(&f->server) < 0)
		flow_close(f, true);
}

/* ---- the beginning ---- */

static void connect_late(void *ctx)
{
	flow_close(ctx, true);
}

static void server_connected(void *ctx, uint32_t events)
{
	struct side *server = ctx;
	struct flow *f = server->flow;
	int error = 0;
	socklen_t len = sizeof(error);
	if (getsockopt(server->source.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error) {
		flow_close(f, true);
		return;
	}
	loop_timer_stop(&f->p->loop, &f->connecting);
	f->is_connected = true;
	server->source.ready = side_ready;
	if (watch_side(&f->client) < 0 || watch_side(server) < 0)
		flow_close(f, true);
}

/* Only this is heard of it until the workload has answered. */
static void client_gone(void *ctx, uint32_t events)
{
	struct side *client = ctx;
	if (client->flow->is_connected)
		side_ready(ctx, events);
	else if (events & (EPOLLERR | EPOLLHUP))
		flow_close(client->flow, true);
}

static void set_up(int fd)
{
	int on = 1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	/* Who has vanished is found out, if nobody says anything. */
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

/* Takes @fd. */
static void flow_open(struct door *door, int fd)
{
	struct proxy *p = door->p;
	const union proxy_address *to = &door->port.target;
	struct flow *f = mem_calloc(1, sizeof(*f));
	*f = (struct flow){
		.p = p, .next = p->flows, .at = &p->flows, .connecting = { .fire = connect_late, .ctx = f },
		.client = { .flow = f, .other = &f->server, .source = { .fd = fd, .ready = client_gone, .ctx = &f->client } },
		.server = { .flow = f, .other = &f->client, .source = { .fd = -1, .ready = server_connected, .ctx = &f->server } },
	};
	if (p->flows)
		p->flows->at = &f->next;
	p->flows = f;
	p->flows_n++;
	loop_timer_stop(&p->loop, &p->idle);
	f->server.source.fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	set_up(fd);
	if (f->server.source.fd >= 0)
		set_up(f->server.source.fd);
	if (f->server.source.fd < 0 || (connect(f->server.source.fd, &to->any, proxy_address_len(to)) < 0 && errno != EINPROGRESS) ||
	    loop_watch(&p->loop, &f->server.source, EPOLLOUT) < 0 || loop_watch(&p->loop, &f->client.source, EPOLLERR) < 0) {
		flow_close(f, true);
		return;
	}
	loop_timer_set(&p->loop, &f->connecting, CONNECT_NS);
}

void tcp_ready(void *ctx, uint32_t events)
{
	struct door *door = ctx;
	struct proxy *p = door->p;
	for (int i = 0; i < ACCEPTS && !p->is_full; i++) {
		int fd = accept4(door->source.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		/* Without a descriptor left, too, until a connection has ended. */
		bool is_short = fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) && p->flows_n;
		if (fd < 0 && !is_short)
			return;
		if (fd >= 0)
			flow_open(door, fd);
		p->is_full = is_short || p->flows_n >= FLOWS_MAX;
	}
	if (p->is_full)
		proxy_watch_doors(p);
}
