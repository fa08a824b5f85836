/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "server.h"

/* Containers come and go in quick succession: the next may be on its way. */
#define LINGER_NS (1 * NS_PER_S)
#define GREETING_NS (2 * NS_PER_S)

/* A conversation that has not said yet what it is about. */
struct greeting {
	struct server *s;
	struct loop_source source;
	struct loop_timer timer;
};

/* ---- records ---- */

void serve_look_at_records(struct server *s)
{
	char data[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n;
	while ((n = read(s->records.fd, data, sizeof(data))) > 0) {
		for (char *p = data; p < data + n;) {
			const struct inotify_event *e = (const struct inotify_event *)p;
			if (e->mask & IN_Q_OVERFLOW)
				directory_load_all(&s->directory);
			else if (e->len)
				directory_load(&s->directory, e->name);
			p += sizeof(*e) + e->len;
		}
	}
}

static void records_ready(void *ctx, uint32_t events)
{
	serve_look_at_records(ctx);
}

/* ---- conversations ---- */

static void linger_over(void *ctx)
{
	struct server *s = ctx;
	if (s->conversations_n == 0)
		s->loop.is_quitting = true;
}

static void linger(struct server *s)
{
	s->linger.fire = linger_over;
	s->linger.ctx = s;
	loop_timer_set(&s->loop, &s->linger, LINGER_NS);
}

void serve_conversation_gone(struct server *s)
{
	if (--s->conversations_n == 0)
		linger(s);
}

static int end_greeting(struct greeting *g)
{
	int fd = loop_remove(&g->s->loop, &g->source);
	loop_timer_stop(&g->s->loop, &g->timer);
	free(g);
	return fd;
}

static void greeting_late(void *ctx)
{
	struct greeting *g = ctx;
	struct server *s = g->s;
	close(end_greeting(g));
	serve_conversation_gone(s);
}

/* Takes @fd and @fds. */
static void begin(struct server *s, const struct names_hello *hello, int fd, int fds[2], size_t fds_n)
{
	if (hello->type == NAMES_RESOLVE && fds_n == 0) {
		stream_open(s, NULL, hello->id, fd);
		return;
	}
	if (hello->type == NAMES_REGISTER && fds_n == 2 && door_open(s, fd, hello->id, fds[0], fds[1]) == 0)
		return;
	cleanup_fd(&fd);
	for (size_t i = 0; i < fds_n; i++)
		cleanup_fd(&fds[i]);
}

static void greeted(void *ctx, uint32_t events)
{
	struct greeting *g = ctx;
	struct server *s = g->s;
	struct names_hello hello;
	int fds[2] = { -1, -1 };
	size_t n = 0;
	ssize_t got = fd_recv(g->source.fd, &hello, sizeof(hello), fds, 2, &n);
	if (got == -EAGAIN || got == -EINTR)
		return;
	int fd = end_greeting(g);
	if (got == (ssize_t)sizeof(hello) && hello.magic == NAMES_MAGIC && memchr(hello.id, '\0', sizeof(hello.id))) {
		begin(s, &hello, fd, fds, n);
	} else {
		cleanup_fd(&fd);
		for (size_t i = 0; i < n; i++)
			cleanup_fd(&fds[i]);
	}
	serve_conversation_gone(s);
}

static void listener_ready(void *ctx, uint32_t events)
{
	struct server *s = ctx;
	int fd = accept4(s->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	struct greeting *g = mem_calloc(1, sizeof(*g));
	*g = (struct greeting){ .s = s, .source = { .fd = fd, .ready = greeted, .ctx = g }, .timer = { .fire = greeting_late, .ctx = g } };
	s->conversations_n++;
	loop_timer_set(&s->loop, &g->timer, GREETING_NS);
	if (loop_watch(&s->loop, &g->source, EPOLLIN) < 0)
		greeting_late(g);
}

static void admitted(void *ctx, uint32_t events)
{
	struct server *s = ctx;
	struct admit_reply reply;
	ssize_t n = recv(s->admit.fd, &reply, sizeof(reply), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* Without that process this one is no use: the monitors start another. */
	if (n != (ssize_t)sizeof(reply) || reply.forward >= FORWARDS_MAX)
		s->loop.is_quitting = true;
	else
		forward_admitted(&s->forward[reply.forward], reply.serial, reply.result == 0);
}

int serve_start(struct server *s, int listener, int inotify, int names_dirfd, int admit)
{
	int r = directory_init(&s->directory, names_dirfd);
	if (r < 0)
		return r;
	directory_load_all(&s->directory);
	s->listener = (struct loop_source){ .fd = listener, .ready = listener_ready, .ctx = s };
	s->records = (struct loop_source){ .fd = inotify, .ready = records_ready, .ctx = s };
	s->admit = (struct loop_source){ .fd = admit, .ready = admitted, .ctx = s };
	r = loop_watch(&s->loop, &s->admit, EPOLLIN);
	if (r == 0)
		r = loop_watch(&s->loop, &s->listener, EPOLLIN);
	if (r == 0)
		r = loop_watch(&s->loop, &s->records, EPOLLIN);
	linger(s);
	return r;
}
