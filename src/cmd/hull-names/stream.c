/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server.h"

#define IDLE_NS (10 * NS_PER_S)
/* An answer of our own: FOUND_MAX addresses, and the question. */
#define STREAM_ANSWER_MAX (512 + FOUND_MAX * 28)
/* Answers that the other side has not read yet: so many, and it is closed. */
#define OUT_MAX (256u << 10)
/* Questions under way: so many, and no more is read. */
#define FORWARDS_PER_STREAM 64u

static size_t streams_of(const struct server *s, const struct container *c)
{
	size_t n = 0;
	for (const struct stream *stream = s->streams; stream; stream = stream->next)
		n += stream->c == c && stream->door;
	return n;
}

void stream_close(struct stream *stream)
{
	struct server *s = stream->s;
	struct stream **at = &s->streams;
	while (*at != stream)
		at = &(*at)->next;
	*at = stream->next;
	s->streams_n--;
	forward_cancel(s, NULL, stream);
	loop_timer_stop(&s->loop, &stream->idle);
	int fd = loop_remove(&s->loop, &stream->source);
	cleanup_fd(&fd);
	bool is_conversation = !stream->door;
	directory_unuse(&s->directory, stream->c);
	free(stream->in);
	buf_free(&stream->out);
	free(stream);
	if (is_conversation)
		serve_conversation_gone(s);
}

static void idled(void *ctx)
{
	stream_close(ctx);
}

/* Containers' streams only: a relay's is quiet when its guest is. */
static void restart_idle_timer(struct stream *stream)
{
	if (!stream->door)
		return;
	stream->idle.fire = idled;
	stream->idle.ctx = stream;
	loop_timer_set(&stream->s->loop, &stream->idle, IDLE_NS);
}

/* It cannot be closed from within what it asked: hung up, it is found closed
 * when the loop looks next. */
static void break_off(struct stream *stream)
{
	stream->is_ended = stream->is_broken = true;
	buf_clear(&stream->out);
	(void)shutdown(stream->source.fd, SHUT_RDWR);
	(void)!loop_watch(&stream->s->loop, &stream->source, EPOLLIN);
}

static bool has_message(const struct stream *stream)
{
	return stream->in_len >= 2 && stream->in_len - 2 >= dns_get16(stream->in);
}

static void watch(struct stream *stream)
{
	bool may_take = stream->forwards < FORWARDS_PER_STREAM && stream->out.len < OUT_MAX / 2;
	uint32_t events = stream->out.len ? EPOLLOUT : 0;
	if (may_take && !stream->is_ended)
		events |= EPOLLIN;
	/* What is read already waits for nothing but its turn. */
	if (may_take && has_message(stream))
		events |= EPOLLOUT;
	/* The end, once more: time to close. */
	if (stream->is_broken || (stream->is_ended && !stream->forwards && !events))
		events = EPOLLIN;
	(void)!loop_watch(&stream->s->loop, &stream->source, events);
}

static void flush(struct stream *stream)
{
	while (stream->out.len) {
		ssize_t n = send(stream->source.fd, stream->out.data, stream->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			break_off(stream);
			return;
		}
		buf_consume(&stream->out, (size_t)n);
	}
	watch(stream);
}

void stream_reply(struct stream *stream, const uint8_t *data, size_t len)
{
	uint8_t head[2];
	dns_put16(head, (uint16_t)len);
	if (stream->is_broken)
		return;
	if (buf_append(&stream->out, head, 2) < 0 || buf_append(&stream->out, data, len) < 0) {
		break_off(stream);
		return;
	}
	restart_idle_timer(stream);
	flush(stream);
}

static void take(struct stream *stream, const uint8_t *query, size_t query_len)
{
	struct server *s = stream->s;
	struct dns_message m;
	uint8_t out[STREAM_ANSWER_MAX];
	size_t len = 0;
	switch (answer_make(&s->directory, stream->c, query, query_len, &m, out, sizeof(out), &len)) {
	case VERDICT_ANSWER:
		stream_reply(stream, out, len);
		break;
	case VERDICT_FORWARD:
		forward_start(s, stream->c, stream->door, NULL, stream, query, query_len, &m);
		break;
	case VERDICT_SILENCE:
		/* Whoever speaks something else is not spoken with. */
		break_off(stream);
	}
}

/* Whole messages out of what was read. */
static void take_all(struct stream *stream)
{
	size_t at = 0;
	serve_look_at_records(stream->s);
	while (stream->in_len - at >= 2 && !stream->is_broken && stream->forwards < FORWARDS_PER_STREAM) {
		size_t len = dns_get16(stream->in + at);
		if (len > STREAM_QUERY_MAX) {
			break_off(stream);
			return;
		}
		if (stream->in_len - at < 2 + len)
			break;
		take(stream, stream->in + at + 2, len);
		at += 2 + len;
	}
	memmove(stream->in, stream->in + at, stream->in_len - at);
	stream->in_len -= at;
}

static void ready(void *ctx, uint32_t events)
{
	struct stream *stream = ctx;
	size_t room = 2 + STREAM_QUERY_MAX - stream->in_len;
	if (events & EPOLLOUT)
		flush(stream);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && room) {
		ssize_t n = recv(stream->source.fd, stream->in + stream->in_len, room, MSG_DONTWAIT);
		if (n > 0) {
			stream->in_len += (size_t)n;
			restart_idle_timer(stream);
		}
		stream->is_ended |= n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
	}
	take_all(stream);
	/* Half closed: what it asked is still answered. */
	bool is_done = !stream->forwards && !stream->out.len && !has_message(stream);
	if (stream->is_broken || (stream->is_ended && (is_done || events & EPOLLERR)))
		stream_close(stream);
	else
		watch(stream);
}

void stream_open(struct server *s, struct door *door, const char *id, int fd)
{
	struct container *c = directory_use(&s->directory, id);
	uint8_t *in = c ? malloc(2 + STREAM_QUERY_MAX) : NULL;
	if (!in || (door && (s->streams_n >= STREAMS_MAX || streams_of(s, c) >= STREAMS_PER_CONTAINER))) {
		free(in);
		close(fd);
		if (c)
			directory_unuse(&s->directory, c);
		return;
	}
	struct stream *stream = mem_calloc(1, sizeof(*stream));
	*stream = (struct stream){ .s = s, .c = c, .door = door, .in = in, .out = BUF_INIT(OUT_MAX), .next = s->streams };
	stream->source = (struct loop_source){ .fd = fd, .ready = ready, .ctx = stream };
	s->streams = stream;
	s->streams_n++;
	if (!door)
		s->conversations_n++;
	restart_idle_timer(stream);
	if (loop_watch(&s->loop, &stream->source, EPOLLIN) < 0)
		stream_close(stream);
}
