/* SPDX-License-Identifier: Apache-2.0 */
/* The workload's sockets for names. The name server (names_proto.h) has
 * duplicates of them; these are for the next one: as long as the workload lives
 * its questions find an open socket, and whenever a server has gone, they are
 * handed to another, which is started if there is none. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "fd.h"
#include "monitor.h"
#include "names_proto.h"

#define DELAY_FIRST_NS (NS_PER_MS / 2)
#define DELAY_MAX_NS (1 * NS_PER_S)

static void attempt(void *ctx);

static void try_later(struct monitor *m)
{
	struct names *n = &m->names;
	n->retry.fire = attempt;
	n->retry.ctx = m;
	loop_timer_set(&m->loop, &n->retry, n->delay_ns);
	n->delay_ns = n->delay_ns * 2 < DELAY_MAX_NS ? n->delay_ns * 2 : DELAY_MAX_NS;
}

static void reap(struct names *n)
{
	if (n->starting && waitpid(n->starting, NULL, WNOHANG) != 0)
		n->starting = 0;
}

/* It says one byte when it serves us, and nothing else: then it has gone. */
static void server_ready(void *ctx, uint32_t events)
{
	struct monitor *m = ctx;
	struct names *n = &m->names;
	char byte;
	ssize_t got = recv(n->server.fd, &byte, 1, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	reap(n);
	if (got == 1) {
		n->delay_ns = DELAY_FIRST_NS;
		monitor_trim_soon(m);
		return;
	}
	int fd = loop_remove(&m->loop, &n->server);
	cleanup_fd(&fd);
	attempt(m);
}

static void attempt(void *ctx)
{
	struct monitor *m = ctx;
	struct names *n = &m->names;
	CLEANUP_FD int sock = -1;
	reap(n);
	int r = names_connect(m->run_dirfd, &sock);
	if (r == 0)
		r = names_hello(sock, NAMES_REGISTER, m->conf->id, n->socks);
	if (r == 0) {
		n->server = (struct loop_source){ .fd = TAKE_FD(sock), .ready = server_ready, .ctx = m };
		r = loop_watch(&m->loop, &n->server, EPOLLIN);
		if (r < 0)
			sock = loop_remove(&m->loop, &n->server);
	} else if ((r == -ENOENT || r == -ECONNREFUSED) && !n->starting) {
		/* Somebody else may be at it. */
		if (names_spawn(m->run_dirfd, m->conf->names_server, &n->starting) < 0)
			n->starting = 0;
	}
	if (r < 0)
		try_later(m);
}

void names_begin(struct monitor *m, int socks[2])
{
	struct names *n = &m->names;
	names_end(m);
	n->socks[0] = TAKE_FD(socks[0]);
	n->socks[1] = TAKE_FD(socks[1]);
	n->delay_ns = DELAY_FIRST_NS;
	if (m->conf->names_server)
		attempt(m);
}

void names_end(struct monitor *m)
{
	struct names *n = &m->names;
	loop_timer_stop(&m->loop, &n->retry);
	int fd = loop_remove(&m->loop, &n->server);
	cleanup_fd(&fd);
	cleanup_fd(&n->socks[0]);
	cleanup_fd(&n->socks[1]);
	/* One that is on its way is not waited for: it is on its way out of here. */
	reap(n);
}
