/* SPDX-License-Identifier: Apache-2.0 */
/* The workload's output. It is read a chunk at a time; the next is read when
 * the log and every attached client have taken the one in hand, so nothing is
 * lost and nothing is queued here without bound (a client's queue is its socket).
 *
 * Rules for clients that do not read: the OWNER, `hull run` in the foreground,
 * holds the workload as a pipe would, for as long as it likes. Anyone else may
 * hold it for HOLD_MAX_NS without taking a chunk and is then disconnected: a
 * forgotten `hull attach | less` must not stop a service. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "clock.h"
#include "monitor.h"

#define HOLD_MAX_NS (10 * NS_PER_S)
#define RETRY_NS (10 * NS_PER_MS)
#define READ_MIN 4096u
/* Chunks read in one turn, before others get one. */
#define TURN 16

static char chunk[MON_PAYLOAD_MAX] __attribute__((aligned(4096)));

static void stream_ready(void *ctx, uint32_t events);

int output_add(struct monitor *m, int which, int fd)
{
	struct stream *s = &m->output.stream[which - 1];
	*s = (struct stream){ .source = { .fd = fd, .ready = stream_ready, .ctx = s }, .m = m, .which = which, .read_size = READ_MIN };
	return 0;
}

static void watch_streams(struct monitor *m, bool on)
{
	for (int i = 0; i < 2; i++) {
		struct stream *s = &m->output.stream[i];
		if (s->source.fd >= 0)
			(void)!loop_watch(&m->loop, &s->source, on ? EPOLLIN : 0);
	}
}

void output_go(struct monitor *m)
{
	watch_streams(m, true);
}

static bool wants(const struct client *c, int stream)
{
	return c->source.fd >= 0 && c->is_attached && c->attach & (stream == 1 ? MON_ATTACH_STDOUT : MON_ATTACH_STDERR);
}

/* True when the client needs no more of the chunk. */
static bool send_chunk(struct monitor *m, struct client *c)
{
	if (c->has_chunk || !wants(c, m->output.chunk_stream))
		return true;
	int r = mon_send(c->source.fd, m->output.chunk_stream == 1 ? MON_STDOUT : MON_STDERR, 0, 0, chunk, m->output.chunk_len,
			 NULL, 0);
	if (r == -EAGAIN)
		return false;
	c->has_chunk = true;
	return true;
}

static void retry(void *ctx);

/* Once a spell of losses; how many they were is in the log when it works again. */
static void tell_log_loss(struct monitor *m)
{
	char reason[96];
	if (!m->log.lost) {
		m->has_told_loss = false;
		return;
	}
	if (m->has_told_loss)
		return;
	m->has_told_loss = true;
	snprintf(reason, sizeof(reason), "reason=%s", strerror(m->log.lost_why));
	monitor_event(m, "log_lost", reason, NULL);
}

/* Give the chunk to whoever has not had it; true when it is done with. */
static bool deliver(struct monitor *m)
{
	struct output *o = &m->output;
	bool all = true;
	if (!o->chunk_len)
		return true;
	if (o->chunk_logged < o->chunk_len) {
		o->chunk_logged += log_sink_feed(&m->log, o->chunk_stream, chunk + o->chunk_logged, o->chunk_len - o->chunk_logged);
		all = o->chunk_logged == o->chunk_len;
		tell_log_loss(m);
	}
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (m->client[i].source.fd >= 0 && !send_chunk(m, &m->client[i]))
			all = false;
	}
	if (all)
		o->chunk_len = 0;
	return all;
}

static void take_chunk(struct monitor *m, int which, size_t len)
{
	m->output.chunk_stream = which;
	m->output.chunk_len = len;
	m->output.chunk_logged = 0;
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (m->client[i].source.fd >= 0)
			m->client[i].has_chunk = false;
	}
}

static void hold(struct monitor *m)
{
	watch_streams(m, false);
	m->output.held_since_ns = clock_mono_ns();
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (m->client[i].source.fd >= 0 && m->client[i].is_attached)
			client_update_events(&m->client[i]);
	}
	m->output.retry.fire = retry;
	m->output.retry.ctx = m;
	bool log_waits = m->output.chunk_logged < m->output.chunk_len;
	loop_timer_set(&m->loop, &m->output.retry, log_waits ? RETRY_NS : HOLD_MAX_NS / 4);
}

static void go_on(struct monitor *m)
{
	struct output *o = &m->output;
	if (!deliver(m))
		return;
	loop_timer_stop(&m->loop, &o->retry);
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (m->client[i].source.fd >= 0 && m->client[i].is_attached)
			client_update_events(&m->client[i]);
	}
	if (m->is_draining)
		output_drain(m);
	else
		watch_streams(m, true);
}

static void retry(void *ctx)
{
	struct monitor *m = ctx;
	bool log_waits = m->output.chunk_logged < m->output.chunk_len;
	if (clock_mono_ns() - m->output.held_since_ns >= HOLD_MAX_NS) {
		for (size_t i = 0; i < CLIENTS_MAX; i++) {
			struct client *c = &m->client[i];
			if (wants(c, m->output.chunk_stream) && !c->has_chunk && !(c->attach & MON_ATTACH_OWNER))
				client_close(c);
		}
	}
	if (m->output.chunk_len) {
		loop_timer_set(&m->loop, &m->output.retry, log_waits ? RETRY_NS : HOLD_MAX_NS / 4);
		go_on(m);
	}
}

void output_client_writable(struct monitor *m, struct client *c)
{
	if (m->output.chunk_len) {
		m->output.held_since_ns = clock_mono_ns();
		go_on(m);
	}
}

void output_client_gone(struct monitor *m)
{
	if (m->output.chunk_len)
		go_on(m);
}

/* Returns 1 when a chunk was read and delivered, 0 when there is none now, -1 at
 * the end of the stream, -EBUSY when delivery has to wait. */
static int read_one(struct monitor *m, struct stream *s)
{
	ssize_t n = read(s->source.fd, chunk, s->read_size);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		int fd = loop_remove(&m->loop, &s->source); /* a pty says EIO */
		close(fd);
		return -1;
	}
	/* Small reads touch few pages; a stream that fills them gets larger ones. */
	if ((size_t)n == s->read_size && s->read_size < sizeof(chunk))
		s->read_size *= 2;
	take_chunk(m, s->which, (size_t)n);
	return deliver(m) ? 1 : -EBUSY;
}

static void stream_ready(void *ctx, uint32_t events)
{
	struct stream *s = ctx;
	struct monitor *m = s->m;
	int r = 1;
	for (int i = 0; i < TURN && r == 1 && s->source.fd >= 0; i++)
		r = read_one(m, s);
	if (r == -EBUSY) {
		hold(m);
	} else if (r == 0 && s->read_size > READ_MIN) {
		/* The burst is over. */
		s->read_size = READ_MIN;
		monitor_trim_soon(m);
		(void)madvise(chunk + READ_MIN, sizeof(chunk) - READ_MIN, MADV_DONTNEED);
	}
}

void output_drain(struct monitor *m)
{
	if (m->output.chunk_len) {
		hold(m);
		return;
	}
	for (int i = 0; i < 2; i++) {
		struct stream *s = &m->output.stream[i];
		int r = 1;
		while (s->source.fd >= 0 && r == 1)
			r = read_one(m, s);
		if (r == -EBUSY) {
			hold(m);
			return;
		}
		if (s->source.fd >= 0)
			close(loop_remove(&m->loop, &s->source));
	}
	lifecycle_output_drained(m);
}
