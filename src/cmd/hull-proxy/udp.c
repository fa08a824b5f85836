/* SPDX-License-Identifier: Apache-2.0 */
/* How it works. Whoever sends to a port has a socket of his own to the workload, so
 * that its answers find back to him, from the address that he sent to. It is closed
 * when nothing has passed for a while, as the kernel forgets such a connection. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "proxy.h"
#include "str.h"

#define QUIET_NS (90 * NS_PER_S)
#define SWEEP_NS (10 * NS_PER_S)
#define TURN 32

struct session {
	struct door *door;
	union proxy_address peer;
	/* What he sent to, as the kernel tells it and is told. */
	uint8_t local[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	size_t local_len;
	struct loop_source source;
	int64_t used_ns;
	struct session *next, *previous;
};

static void unlink_session(struct session *s)
{
	struct proxy *p = s->door->p;
	if (s->previous)
		s->previous->next = s->next;
	else
		p->sessions = s->next;
	if (s->next)
		s->next->previous = s->previous;
}

static void to_front(struct session *s)
{
	struct proxy *p = s->door->p;
	s->previous = NULL;
	s->next = p->sessions;
	if (s->next)
		s->next->previous = s;
	p->sessions = s;
	s->used_ns = clock_mono_ns();
}

static void session_close(struct session *s)
{
	struct proxy *p = s->door->p;
	unlink_session(s);
	int fd = loop_remove(&p->loop, &s->source);
	cleanup_fd(&fd);
	free(s);
	p->sessions_n--;
	proxy_look_idle(p);
}

static void sweep(void *ctx)
{
	struct proxy *p = ctx;
	int64_t now = clock_mono_ns();
	for (struct session *s = p->sessions, *next; s; s = next) {
		next = s->next;
		if (now - s->used_ns > QUIET_NS)
			session_close(s);
	}
	if (p->sessions_n)
		loop_timer_set(&p->loop, &p->sweep, SWEEP_NS);
}

/* What the workload says. */
static void answered(void *ctx, uint32_t events)
{
	struct session *s = ctx;
	struct proxy *p = s->door->p;
	for (int i = 0; i < TURN; i++) {
		ssize_t n = recv(s->source.fd, p->scratch, sizeof(p->scratch), MSG_DONTWAIT);
		/* Nobody listens there: neither does the client hear of it by UDP. */
		if (n < 0 && errno == ECONNREFUSED)
			continue;
		if (n < 0)
			return;
		struct iovec iov = { p->scratch, (size_t)n };
		struct msghdr msg = { .msg_name = &s->peer, .msg_namelen = proxy_address_len(&s->peer), .msg_iov = &iov, .msg_iovlen = 1,
				      .msg_control = s->local_len ? s->local : NULL, .msg_controllen = s->local_len };
		(void)!sendmsg(s->door->source.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		unlink_session(s);
		to_front(s);
	}
}

static struct session *session_open(struct door *door, const union proxy_address *peer, const uint8_t *local, size_t local_len)
{
	struct proxy *p = door->p;
	const union proxy_address *to = &door->port.target;
	if (p->sessions_n >= SESSIONS_MAX) {
		struct session *last = p->sessions;
		while (last->next)
			last = last->next;
		session_close(last);
	}
	CLEANUP_FD int fd = socket(to->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, &to->any, proxy_address_len(to)) < 0)
		return NULL;
	struct session *s = mem_calloc(1, sizeof(*s));
	*s = (struct session){ .door = door, .peer = *peer, .local_len = local_len,
			       .source = { .fd = TAKE_FD(fd), .ready = answered, .ctx = s } };
	memcpy(s->local, local, local_len);
	to_front(s);
	p->sessions_n++;
	loop_timer_stop(&p->loop, &p->idle);
	if (loop_watch(&p->loop, &s->source, EPOLLIN) < 0) {
		session_close(s);
		return NULL;
	}
	if (!p->sweep.is_set) {
		p->sweep.fire = sweep;
		p->sweep.ctx = p;
		loop_timer_set(&p->loop, &p->sweep, SWEEP_NS);
	}
	return s;
}

/* The address that a datagram was sent to, in the form in which an answer names it.
 * Not the interface: the answer may leave by another. */
static size_t take_local(struct msghdr *msg, uint8_t *out)
{
	struct msghdr to = { .msg_control = out, .msg_controllen = CMSG_SPACE(sizeof(struct in6_pktinfo)) };
	struct cmsghdr *put = CMSG_FIRSTHDR(&to);
	memset(out, 0, to.msg_controllen);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
				info.ipi6_ifindex = 0;
			*put = (struct cmsghdr){ .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO, .cmsg_len = CMSG_LEN(sizeof(info)) };
			memcpy(CMSG_DATA(put), &info, sizeof(info));
			return CMSG_SPACE(sizeof(info));
		}
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			struct in_pktinfo from = { .ipi_spec_dst = info.ipi_addr };
			*put = (struct cmsghdr){ .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO, .cmsg_len = CMSG_LEN(sizeof(from)) };
			memcpy(CMSG_DATA(put), &from, sizeof(from));
			return CMSG_SPACE(sizeof(from));
		}
	}
	return 0;
}

static struct session *find(struct door *door, const union proxy_address *peer, const uint8_t *local, size_t local_len)
{
	for (struct session *s = door->p->sessions; s; s = s->next)
		if (s->door == door && proxy_address_eq(&s->peer, peer) && s->local_len == local_len && memcmp(s->local, local, local_len) == 0)
			return s;
	return NULL;
}

void udp_ready(void *ctx, uint32_t events)
{
	struct door *door = ctx;
	struct proxy *p = door->p;
	for (int i = 0; i < TURN; i++) {
		union {
			uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo))];
			struct cmsghdr align;
		} control;
		uint8_t local[CMSG_SPACE(sizeof(struct in6_pktinfo))] __attribute__((aligned(__alignof__(struct cmsghdr))));
		union proxy_address peer = { 0 };
		struct iovec iov = { p->scratch, sizeof(p->scratch) };
		struct msghdr msg = { .msg_name = &peer, .msg_namelen = sizeof(peer), .msg_iov = &iov, .msg_iovlen = 1,
				      .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes) };
		ssize_t n = recvmsg(door->source.fd, &msg, MSG_DONTWAIT);
		if (n < 0)
			return;
		size_t local_len = take_local(&msg, local);
		struct session *s = find(door, &peer, local, local_len);
		if (!s)
			s = session_open(door, &peer, local, local_len);
		if (!s)
			continue;
		/* An error of a datagram before says nothing of this one. */
		if (send(s->source.fd, p->scratch, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == ECONNREFUSED)
			(void)!send(s->source.fd, p->scratch, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
		unlink_session(s);
		to_front(s);
	}
}

void udp_door_gone(struct door *door)
{
	for (struct session *s = door->p->sessions, *next; s; s = next) {
		next = s->next;
		if (s->door == door)
			session_close(s);
	}
}
