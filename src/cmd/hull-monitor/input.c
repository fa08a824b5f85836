/* SPDX-License-Identifier: Apache-2.0 */
/* Input from attached clients to the workload. One packet is in hand at a time;
 * clients with more wait, so a workload that does not read holds its writers and
 * nothing else. Half-close: STDIN_EOF closes the pipe (with stdin_once, or for
 * an OWNER; Docker keeps it open for the next client otherwise). */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "monitor.h"

static char pending[MON_PAYLOAD_MAX] __attribute__((aligned(4096)));

char *input_buffer(void)
{
	return pending;
}

bool input_is_busy(const struct monitor *m)
{
	/* What comes before the start waits for it. */
	return m->input.done < m->input.len || (m->conf->open_stdin && !m->input.is_ready && !m->is_draining);
}

static void wake_writers(struct monitor *m)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = &m->client[i];
		if (c->source.fd >= 0 && c->waits_to_write) {
			c->waits_to_write = false;
			client_update_events(c);
		}
	}
}

void input_close(struct monitor *m)
{
	int fd = loop_remove(&m->loop, &m->input.source);
	if (fd >= 0)
		close(fd);
	m->input.len = m->input.done = 0;
	wake_writers(m);
}

static void flush(struct monitor *m)
{
	struct input *in = &m->input;
	while (in->done < in->len && in->source.fd >= 0) {
		ssize_t n = write(in->source.fd, pending + in->done, in->len - in->done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			if (loop_watch(&m->loop, &in->source, EPOLLOUT) < 0)
				break;
			return;
		}
		if (n < 0) {
			/* The workload has closed its end: the rest is for nobody. */
			input_close(m);
			return;
		}
		in->done += (size_t)n;
	}
	in->len = in->done = 0;
	if (in->source.fd >= 0)
		(void)!loop_watch(&m->loop, &in->source, 0);
	if (in->eof_after) {
		in->eof_after = false;
		if (!in->is_pty)
			input_close(m);
	}
	wake_writers(m);
}

static void writable(void *ctx, uint32_t events)
{
	flush(ctx);
}

int input_add(struct monitor *m, int fd, bool is_pty)
{
	m->input.source = (struct loop_source){ .fd = fd, .ready = writable, .ctx = m };
	m->input.is_pty = is_pty;
	m->input.is_ready = true;
	wake_writers(m);
	return 0;
}

void input_write(struct monitor *m, size_t len)
{
	if (m->input.source.fd < 0)
		return;
	m->input.len = len;
	m->input.done = 0;
	flush(m);
}

void input_eof(struct monitor *m)
{
	if (m->input.is_pty)
		return; /* a terminal's end is the ^D that the client sends */
	if (m->input.done < m->input.len)
		m->input.eof_after = true;
	else
		input_close(m);
}

void input_client_gone(struct monitor *m, const struct client *c)
{
	if (c->attach & MON_ATTACH_STDIN && m->conf->stdin_once)
		input_eof(m);
}
