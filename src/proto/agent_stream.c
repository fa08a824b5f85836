/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_stream.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"
#include "str.h"

#define PATIENT_BYTES 2048
#define PATIENCE_NS 1000000

/* ---- the end that is read ---- */

static void source_finish(struct agent_source *s)
{
	agent_source_close(s);
	agent_link_send(s->link, AGENT_EOF, s->session, s->stream, 0, NULL, 0);
	if (s->done)
		s->done(s->ctx);
}

static void source_update(struct agent_source *s)
{
	if (s->source.fd < 0)
		return;
	if (!s->is_plain && loop_watch(s->link->loop, &s->source, s->window ? EPOLLIN : 0) == 0)
		return;
	/* A plain file is always ready. */
	s->is_plain = true;
	if (s->window)
		loop_timer_set(s->link->loop, &s->always, 0);
	else
		loop_timer_stop(s->link->loop, &s->always);
}

/* The first little piece goes at once, the next ones together: each costs both
 * sides a switch. */
static bool wait_for_more(struct agent_source *s, size_t n)
{
	int64_t now = clock_mono_ns(), since = now - s->last_ns;
	s->last_ns = now;
	if (!s->is_patient || s->is_plain || s->is_draining || n >= PATIENT_BYTES || since > 10 * PATIENCE_NS ||
	    loop_watch(s->link->loop, &s->source, 0) < 0)
		return false;
	s->is_waiting = true;
	loop_timer_set(s->link->loop, &s->always, PATIENCE_NS);
	return true;
}

static void source_ready(void *ctx, uint32_t events)
{
	struct agent_source *s = ctx;
	char data[AGENT_PAYLOAD_MAX];
	size_t room = s->window < sizeof(data) ? s->window : sizeof(data);
	if (room == 0)
		return;
	ssize_t n = read(s->source.fd, data, room);
	if (n > 0) {
		s->window -= (uint32_t)n;
		agent_link_send(s->link, AGENT_DATA, s->session, s->stream, 0, data, (size_t)n);
		if (!wait_for_more(s, (size_t)n))
			source_update(s);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR) || (errno == EAGAIN && s->is_draining)) {
		/* Also EIO, a terminal whose other side has gone. */
		source_finish(s);
	}
}

static void source_always(void *ctx)
{
	struct agent_source *s = ctx;
	if (s->is_waiting) {
		s->is_waiting = false;
		source_update(s);
		return;
	}
	source_ready(ctx, EPOLLIN);
}

int agent_source_open(struct agent_source *s, struct agent_link *link, uint32_t session, uint16_t stream, int fd)
{
	s->link = link;
	s->session = session;
	s->stream = stream;
	s->source = (struct loop_source){ .fd = fd, .ready = source_ready, .ctx = s };
	s->always = (struct loop_timer){ .fire = source_always, .ctx = s };
	s->window = AGENT_WINDOW;
	s->is_plain = s->is_draining = s->is_patient = s->is_waiting = false;
	source_update(s);
	return 0;
}

void agent_source_close(struct agent_source *s)
{
	if (s->source.fd < 0)
		return;
	loop_timer_stop(s->link->loop, &s->always);
	int fd = loop_remove(s->link->loop, &s->source);
	cleanup_fd(&fd);
}

void agent_source_credit(struct agent_source *s, uint32_t bytes)
{
	if (s->source.fd < 0)
		return;
	s->window = bytes < AGENT_WINDOW - s->window ? s->window + bytes : AGENT_WINDOW;
	if (s->is_draining)
		agent_source_drain(s);
	else if (!s->is_waiting)
		source_update(s);
}

void agent_source_drain(struct agent_source *s)
{
	if (s->source.fd < 0)
		return;
	s->is_draining = true;
	(void)!fd_set_nonblock(s->source.fd, true);
	while (s->source.fd >= 0 && s->window)
		source_ready(s, EPOLLIN);
}

/* ---- the end that is written ---- */

static void sink_update(struct agent_sink *s);

static void sink_finish(struct agent_sink *s)
{
	agent_sink_close(s);
	if (s->done)
		s->done(s->ctx);
}

static void sink_grant(struct agent_sink *s, size_t n)
{
	s->window += (uint32_t)n;
	agent_link_send(s->link, AGENT_CREDIT, s->session, s->stream, (uint32_t)n, NULL, 0);
}

/* 1: go on. */
static int sink_write(struct agent_sink *s)
{
	size_t n = s->len < AGENT_WINDOW - s->at ? s->len : AGENT_WINDOW - s->at;
	if (s->is_shared && n > PIPE_BUF)
		n = PIPE_BUF;
	ssize_t w = write(s->source.fd, s->data + s->at, n);
	if (w < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (w < 0) {
		/* Nobody reads any more: the rest goes the same way. */
		size_t lost = s->len;
		s->len = 0;
		sink_grant(s, lost);
		int fd = loop_remove(s->link->loop, &s->source);
		cleanup_fd(&fd);
		free(s->data);
		s->data = NULL;
		return 0;
	}
	s->at = (s->at + (size_t)w) % AGENT_WINDOW;
	s->len -= (size_t)w;
	sink_grant(s, (size_t)w);
	if (s->len)
		return 1;
	free(s->data);
	s->data = NULL;
	s->at = 0;
	return 0;
}

static void sink_ready(void *ctx, uint32_t events)
{
	struct agent_sink *s = ctx;
	if (s->len)
		(void)sink_write(s);
	else if (events & (EPOLLERR | EPOLLHUP))
		(void)!loop_watch(s->link->loop, &s->source, 0);
	sink_update(s);
}

static void sink_update(struct agent_sink *s)
{
	if (s->is_plain)
		while (s->source.fd >= 0 && s->len && sink_write(s) > 0)
			;
	else if (s->source.fd >= 0 && loop_watch(s->link->loop, &s->source, s->len ? EPOLLOUT : 0) < 0) {
		s->is_plain = true;
		sink_update(s);
		return;
	}
	if (s->is_eof && s->len == 0) {
		s->is_eof = false;
		sink_finish(s);
	}
}

int agent_sink_open(struct agent_sink *s, struct agent_link *link, uint32_t session, uint16_t stream, int fd, bool is_shared)
{
	*s = (struct agent_sink){ .link = link, .session = session, .stream = stream, .is_shared = is_shared, .window = AGENT_WINDOW,
				  .done = s->done, .ctx = s->ctx };
	s->source = (struct loop_source){ .fd = fd, .ready = sink_ready, .ctx = s };
	return is_shared ? 0 : fd_set_nonblock(fd, true);
}

void agent_sink_close(struct agent_sink *s)
{
	int fd = s->link ? loop_remove(s->link->loop, &s->source) : -1;
	cleanup_fd(&fd);
	free(s->data);
	s->data = NULL;
	s->len = s->at = 0;
}

int agent_sink_data(struct agent_sink *s, const char *data, size_t len)
{
	if (len > s->window || s->is_eof)
		return -EBADMSG;
	s->window -= (uint32_t)len;
	if (s->source.fd < 0) {
		sink_grant(s, len);
		return 0;
	}
	if (!s->data)
		s->data = mem_calloc(1, AGENT_WINDOW);
	for (size_t done = 0; done < len;) {
		size_t to = (s->at + s->len) % AGENT_WINDOW;
		size_t n = len - done < AGENT_WINDOW - to ? len - done : AGENT_WINDOW - to;
		memcpy(s->data + to, data + done, n);
		s->len += n;
		done += n;
	}
	sink_update(s);
	return 0;
}

void agent_sink_eof(struct agent_sink *s)
{
	s->is_eof = true;
	if (s->source.fd < 0) {
		s->is_eof = false;
		if (s->done)
			s->done(s->ctx);
		return;
	}
	sink_update(s);
}
