/* SPDX-License-Identifier: Apache-2.0 */
/* cp where the files are another kernel's: the agent has a process do there what
 * one of the engine's does in a container, and this one passes on what the two
 * sides say, and the archive. */
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent_link.h"
#include "agent_stream.h"
#include "fd.h"
#include "guest.h"

struct copy {
	struct loop loop;
	struct agent_link link;
	struct loop_source control;
	struct agent_source to_guest;
	struct agent_sink from_guest;
	bool is_over, is_last;
	struct err *err;
	int r;
};

static void finish(struct copy *c)
{
	if (c->is_over && agent_sink_is_idle(&c->from_guest))
		c->loop.is_quitting = true;
}

static void sink_done(void *ctx)
{
	finish(ctx);
}

static void frame(struct agent_link *link, const struct agent_frame *f, const char *payload)
{
	struct copy *c = link->ctx;
	switch (f->type) {
	case AGENT_DATA:
		c->r = agent_sink_data(&c->from_guest, payload, f->len);
		break;
	case AGENT_EOF:
		agent_sink_eof(&c->from_guest);
		break;
	case AGENT_CREDIT:
		agent_source_credit(&c->to_guest, f->arg);
		break;
	case AGENT_COPY:
		/* The other side of @control is the engine, which reads what it asked for. */
		if (send(c->control.fd, payload, f->len, MSG_NOSIGNAL) < 0)
			c->r = -errno;
		break;
	case AGENT_ERROR:
		agent_error_unpack(payload, f->len, c->err);
		c->r = c->err->errnum < 0 ? c->err->errnum : -EIO;
		break;
	case AGENT_EXIT:
		c->is_over = true;
		finish(c);
		break;
	default:
		break;
	}
	if (c->r < 0)
		c->loop.is_quitting = true;
}

static void gone(struct agent_link *link, int error)
{
	struct copy *c = link->ctx;
	c->r = err_set(c->err, ERR_CONFLICT, 0, "container is not running");
	c->loop.is_quitting = true;
}

static void told(void *ctx, uint32_t events)
{
	struct copy *c = ctx;
	char message[AGENT_PAYLOAD_MAX];
	ssize_t n = recv(c->control.fd, message, sizeof(message), MSG_DONTWAIT);
	if (n > 0)
		agent_link_send(&c->link, AGENT_COPY, AGENT_SESSION_WORKLOAD, 0, 0, message, (size_t)n);
	else if (n == 0 || errno != EAGAIN)
		(void)!loop_watch(&c->loop, &c->control, 0);
}

static int copy_files(const struct isolation_handle *handle, const void *order, size_t len, bool sends, int control, int data,
		      struct err *err)
{
	static struct copy c;
	int fd = -1, copy = fcntl(data, F_DUPFD_CLOEXEC, 0);
	c = (struct copy){ .err = err };
	c.link.frame = frame;
	c.link.gone = gone;
	c.link.ctx = &c;
	c.control = (struct loop_source){ .fd = control, .ready = told, .ctx = &c };
	c.to_guest.source.fd = c.from_guest.source.fd = -1;
	c.from_guest.done = sink_done;
	c.from_guest.ctx = &c;
	int r = copy < 0 ? err_set(err, ERR_SYSTEM, -errno, "duplicate a descriptor") : guest_connect(handle, &fd, err);
	if (r < 0)
		return r;
	r = loop_init(&c.loop);
	if (r == 0)
		r = agent_link_open(&c.link, &c.loop, fd);
	if (r == 0)
		r = loop_watch(&c.loop, &c.control, EPOLLIN);
	if (r == 0 && sends)
		r = agent_sink_open(&c.from_guest, &c.link, AGENT_SESSION_WORKLOAD, AGENT_STDOUT, copy, false);
	if (r == 0) {
		agent_link_send_document(&c.link, AGENT_SESSION_WORKLOAD, AGENT_DOC_SPEC, order, len);
		agent_link_send(&c.link, AGENT_FILES, AGENT_SESSION_WORKLOAD, 0, sends, NULL, 0);
	}
	if (r == 0 && !sends)
		r = agent_source_open(&c.to_guest, &c.link, AGENT_SESSION_WORKLOAD, AGENT_STDIN, copy);
	if (r == 0)
		r = loop_run(&c.loop);
	if (r == 0)
		r = c.r;
	agent_sink_close(&c.from_guest);
	agent_source_close(&c.to_guest);
	return r < 0 && !err_is_set(err) ? err_set(err, ERR_SYSTEM, r, "copy by way of the guest") : r;
}

int guest_copy_files(const struct isolation_handle *handle, const void *order, size_t len, bool sends, int control, int data,
		     struct err *err)
{
	int mark = -1;
	int r = guest_wake(handle, &mark, err);
	if (r == 0)
		r = copy_files(handle, order, len, sends, control, data, err);
	guest_sleep_again(handle, mark);
	return r;
}
