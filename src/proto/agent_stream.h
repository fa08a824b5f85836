/* SPDX-License-Identifier: Apache-2.0 */
/* The two ends of a stream of a session: a descriptor that is read and sent, and
 * one that is written with what comes, each within the window.
 *
 * The descriptors may be anything, also files that epoll does not take and
 * terminals that must stay blocking because others share them; @is_shared says
 * so, and then at most a pipe's atomic size is written at a time. */
#pragma once

#include "agent_link.h"

struct agent_source {
	struct agent_link *link;
	uint32_t session;
	uint16_t stream;
	struct loop_source source; /* fd -1: at its end, or none */
	struct loop_timer always;  /* stands in for epoll with plain files */
	uint32_t window;           /* bytes that may be sent */
	bool is_plain, is_draining;
	/* When little comes often, wait a moment for more: set after opening. */
	bool is_patient, is_waiting;
	int64_t last_ns;
	/* Everything that will ever come has been sent. */
	void (*done)(void *ctx);
	void *ctx;
};

/* @fd belongs to the source. */
int agent_source_open(struct agent_source *s, struct agent_link *link, uint32_t session, uint16_t stream, int fd) MUST_CHECK;
void agent_source_close(struct agent_source *s);
void agent_source_credit(struct agent_source *s, uint32_t bytes);
/* Who wrote has ended: what is there now is all that counts. */
void agent_source_drain(struct agent_source *s);

struct agent_sink {
	struct agent_link *link;
	uint32_t session;
	uint16_t stream;
	struct loop_source source; /* fd -1: closed, what comes is dropped */
	bool is_plain, is_shared, is_eof;
	uint32_t window; /* bytes that the peer may still send */
	char *data;      /* AGENT_WINDOW, a ring; NULL while nothing waits */
	size_t at, len;
	/* After the end of the stream all has been written, or nobody reads. */
	void (*done)(void *ctx);
	void *ctx;
};

int agent_sink_open(struct agent_sink *s, struct agent_link *link, uint32_t session, uint16_t stream, int fd,
		    bool is_shared) MUST_CHECK;
void agent_sink_close(struct agent_sink *s);
/* -EBADMSG when the peer sends more than it may. */
int agent_sink_data(struct agent_sink *s, const char *data, size_t len) MUST_CHECK;
void agent_sink_eof(struct agent_sink *s);
static inline bool agent_sink_is_idle(const struct agent_sink *s)
{
	return s->source.fd < 0 || s->len == 0;
}
