/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "server.h"

void door_reply(struct door *door, const struct sockaddr_in *to, const uint8_t *data, size_t len)
{
	/* A container that does not read its answers loses them. */
	(void)!sendto(door->udp.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)to, sizeof(*to));
}

/* ---- UDP, a batch at a time ---- */

static int receive(struct door *door)
{
	struct server *s = door->s;
	struct journal *j = s->journal.map;
	memcpy(j->batch_id, door->c->id, sizeof(j->batch_id));
	for (size_t i = 0; i < BATCH_MAX; i++) {
		s->batch_iov[i] = (struct iovec){ j->batch_data[i], QUERY_MAX };
		j->batch[i].msg_hdr = (struct msghdr){ .msg_name = &j->batch_from[i], .msg_namelen = sizeof(j->batch_from[i]),
						       .msg_iov = &s->batch_iov[i], .msg_iovlen = 1 };
	}
	return recvmmsg(door->udp.fd, j->batch, BATCH_MAX, MSG_DONTWAIT, NULL);
}

static void send_batch(struct door *door, unsigned n)
{
	struct mmsghdr *out = door->s->out;
	while (n) {
		int sent = sendmmsg(door->udp.fd, out, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		/* The first that cannot be sent is lost, and nothing else is. */
		unsigned step = sent > 0 ? (unsigned)sent : 1;
		out += step;
		n -= step;
	}
}

static void udp_ready(void *ctx, uint32_t events)
{
	struct door *door = ctx;
	struct server *s = door->s;
	struct journal *j = s->journal.map;
	unsigned n_out = 0;
	int n = receive(door);
	if (n > 0)
		serve_look_at_records(s);
	for (int i = 0; i < n; i++) {
		struct dns_message m;
		size_t len = 0, query_len = j->batch[i].msg_len;
		const uint8_t *query = j->batch_data[i];
		enum verdict v = answer_make(&s->directory, door->c, query, query_len, &m, s->out_data[n_out], QUERY_MAX, &len);
		if (v == VERDICT_FORWARD)
			forward_start(s, door->c, door, &j->batch_from[i], NULL, query, query_len, &m);
		if (v != VERDICT_ANSWER)
			continue;
		if (len > m.udp_size)
			len = dns_write_bare(s->out_data[n_out], DNS_UDP_MIN, query, &m, DNS_NOERROR, DNS_FLAG_TC);
		s->out_iov[n_out] = (struct iovec){ s->out_data[n_out], len };
		s->out[n_out].msg_hdr = (struct msghdr){ .msg_name = &j->batch_from[i], .msg_namelen = sizeof(j->batch_from[i]),
							 .msg_iov = &s->out_iov[n_out], .msg_iovlen = 1 };
		n_out++;
	}
	send_batch(door, n_out);
	for (int i = 0; i < n; i++)
		j->batch[i].msg_len = 0;
}

/* What a server before us had read and did not answer. */
static void answer_orphans(struct door *door)
{
	struct server *s = door->s;
	struct orphan **at = &s->orphans;
	while (*at) {
		struct orphan *o = *at;
		struct dns_message m;
		size_t len = 0;
		if (!str_eq(o->id, door->c->id)) {
			at = &o->next;
			continue;
		}
		*at = o->next;
		enum verdict v = answer_make(&s->directory, door->c, o->data, o->len, &m, s->scratch, QUERY_MAX, &len);
		if (v == VERDICT_ANSWER && len > m.udp_size)
			len = dns_write_bare(s->scratch, DNS_UDP_MIN, o->data, &m, DNS_NOERROR, DNS_FLAG_TC);
		if (v == VERDICT_ANSWER)
			door_reply(door, &o->from, s->scratch, len);
		if (v == VERDICT_FORWARD)
			forward_start(s, door->c, door, &o->from, NULL, o->data, o->len, &m);
		journal_answered(&s->journal, o);
		free(o);
	}
}

/* ---- TCP ---- */

static void tcp_ready(void *ctx, uint32_t events)
{
	struct door *door = ctx;
	int fd = accept4(door->tcp.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		stream_open(door->s, door, door->c->id, fd);
}

/* ---- the whole ---- */

static void close_source(struct server *s, struct loop_source *source)
{
	int fd = loop_remove(&s->loop, source);
	cleanup_fd(&fd);
}

static void door_close(struct door *door)
{
	struct server *s = door->s;
	struct door **at = &s->doors;
	while (*at != door)
		at = &(*at)->next;
	*at = door->next;
	for (struct stream *stream = s->streams, *next; stream; stream = next) {
		next = stream->next;
		if (stream->door == door)
			stream_close(stream);
	}
	forward_cancel(s, door, NULL);
	close_source(s, &door->conversation);
	close_source(s, &door->udp);
	close_source(s, &door->tcp);
	if (--door->c->doors == 0)
		door->c->is_down = true;
	directory_unuse(&s->directory, door->c);
	free(door);
	serve_conversation_gone(s);
}

static void conversation_ready(void *ctx, uint32_t events)
{
	struct door *door = ctx;
	char byte;
	ssize_t n = recv(door->conversation.fd, &byte, 1, MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		door_close(door);
}

static bool is_socket_of(int fd, int type)
{
	int domain = 0, is_type = 0;
	socklen_t len = sizeof(domain);
	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_INET &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &is_type, &len) == 0 && is_type == type;
}

int door_open(struct server *s, int conversation, const char *id, int udp, int tcp)
{
	if (!is_socket_of(udp, SOCK_DGRAM) || !is_socket_of(tcp, SOCK_STREAM))
		return -EINVAL;
	struct container *c = directory_use(&s->directory, id);
	if (!c)
		return -EINVAL;
	struct door *door = mem_calloc(1, sizeof(*door));
	*door = (struct door){
		.s = s, .c = c, .next = s->doors,
		.conversation = { .fd = conversation, .ready = conversation_ready, .ctx = door },
		.udp = { .fd = udp, .ready = udp_ready, .ctx = door },
		.tcp = { .fd = tcp, .ready = tcp_ready, .ctx = door },
	};
	s->doors = door;
	s->conversations_n++;
	c->doors++;
	c->is_down = false;
	/* The flags are the description's, which the sender has too: it does not read. */
	int r = fd_set_nonblock(tcp, true);
	if (r == 0)
		r = loop_watch(&s->loop, &door->conversation, EPOLLIN | EPOLLRDHUP);
	if (r == 0)
		r = loop_watch(&s->loop, &door->udp, EPOLLIN);
	if (r == 0)
		r = loop_watch(&s->loop, &door->tcp, EPOLLIN);
	if (r < 0) {
		door_close(door);
		return 0; /* and with it the conversation, which tells the other side */
	}
	serve_look_at_records(s);
	answer_orphans(door);
	(void)!send(conversation, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	return 0;
}
