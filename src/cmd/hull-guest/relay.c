/* SPDX-License-Identifier: Apache-2.0 */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void send_size(struct relay *r)
{
	struct winsize size;
	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0 && (size.ws_row || size.ws_col))
		agent_link_send(r->link, AGENT_RESIZE, r->session, 0, (uint32_t)size.ws_row << 16 | size.ws_col, NULL, 0);
}

static void signalled(void *ctx, uint32_t events)
{
	struct relay *r = ctx;
	struct signalfd_siginfo info;
	if (read(r->signals.fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH && r->is_terminal)
		send_size(r);
	/* Of the kernel's own making: our terminal, our children. */
	else if (info.ssi_code != SI_KERNEL && info.ssi_signo != SIGCHLD && info.ssi_signo != SIGPIPE)
		agent_link_send(r->link, AGENT_SIGNAL, r->session, 0, info.ssi_signo, NULL, 0);
}

int relay_open(struct relay *r, struct loop *loop)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	r->input.source.fd = r->output[0].source.fd = r->output[1].source.fd = -1;
	int fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	r->signals = (struct loop_source){ .fd = fd, .ready = signalled, .ctx = r };
	return loop_watch(loop, &r->signals, EPOLLIN);
}

static void finish(struct relay *r)
{
	if (r->has_exit && agent_sink_is_idle(&r->output[0]) && agent_sink_is_idle(&r->output[1]))
		r->ended(r, r->code);
}

static void output_done(void *ctx)
{
	finish(ctx);
}

static int started(struct relay *r)
{
	int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 64), status = 0;
	if (r->is_started)
		return -EBADMSG;
	r->is_started = true;
	if (in < 0)
		return -errno;
	status = agent_source_open(&r->input, r->link, r->session, AGENT_STDIN, in);
	for (int i = 0; i < (r->is_terminal ? 1 : 2) && status == 0; i++) {
		int out = fcntl(i == 0 ? STDOUT_FILENO : STDERR_FILENO, F_DUPFD_CLOEXEC, 64);
		if (out < 0)
			return -errno;
		r->output[i].done = output_done;
		r->output[i].ctx = r;
		status = agent_sink_open(&r->output[i], r->link, r->session, (uint16_t)(AGENT_STDOUT + i), out, r->is_shared);
	}
	/* Whoever reads the other ends is to see when we are done with them. */
	for (int i = 0; i < 3 && !r->is_terminal; i++)
		(void)dup2(r->null, i);
	if (r->is_terminal)
		send_size(r);
	return status;
}

static struct agent_sink *sink(struct relay *r, const struct agent_frame *f)
{
	if (!r->is_started || f->stream < AGENT_STDOUT || (r->is_terminal && f->stream != AGENT_STDOUT))
		return NULL;
	return &r->output[f->stream - AGENT_STDOUT];
}

int relay_frame(struct relay *r, const struct agent_frame *f, const char *payload)
{
	struct err err = ERR_INIT;
	switch (f->type) {
	case AGENT_STARTED:
		return started(r);
	case AGENT_ERROR:
		if (r->is_started)
			return -EBADMSG;
		agent_error_unpack(payload, f->len, &err);
		r->failed(r, &err);
		return 0;
	case AGENT_DATA:
		return sink(r, f) ? agent_sink_data(sink(r, f), payload, f->len) : -EBADMSG;
	case AGENT_EOF:
		if (!sink(r, f))
			return -EBADMSG;
		agent_sink_eof(sink(r, f));
		return 0;
	case AGENT_CREDIT:
		if (f->stream != AGENT_STDIN)
			return -EBADMSG;
		agent_source_credit(&r->input, f->arg);
		return 0;
	case AGENT_EXIT:
		if (!r->is_started || r->has_exit)
			return -EBADMSG;
		r->has_exit = true;
		r->code = (int)(f->arg & 0xff);
		agent_source_close(&r->input);
		finish(r);
		return 0;
	default:
		return -EBADMSG;
	}
}
