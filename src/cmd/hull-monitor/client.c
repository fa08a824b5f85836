/* SPDX-License-Identifier: Apache-2.0 */
/* Connections. A request is one packet; every reply is sent without blocking: a
 * client whose socket is full of replies it does not read is dropped. Output
 * has rules of its own (output.c). */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "fd.h"
#include "monitor.h"

void client_update_events(struct client *c)
{
	uint32_t events = c->waits_to_write ? 0 : EPOLLIN;
	struct monitor *m = c->m;
	bool owes_chunk = m->output.chunk_len && c->is_attached && !c->has_chunk;
	if (c->has_exit_due || owes_chunk)
		events |= EPOLLOUT;
	if (loop_watch(&m->loop, &c->source, events) < 0)
		client_close(c);
}

struct client *client_add(struct monitor *m, int fd)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = &m->client[i];
		if (c->source.fd >= 0)
			continue;
		*c = (struct client){ .source = { .fd = fd, .ready = client_ready, .ctx = c }, .m = m, .spare = { .sock = -1 } };
		if (loop_watch(&m->loop, &c->source, EPOLLIN) < 0)
			break;
		return c;
	}
	close(fd);
	return NULL;
}

void client_close(struct client *c)
{
	struct monitor *m = c->m;
	if (c->source.fd < 0)
		return;
	int fd = loop_remove(&m->loop, &c->source);
	/* Unread input would turn the peer's next read into an error, ahead of
	 * the frames that are still in its queue: refuse more and eat the rest. */
	char byte;
	(void)shutdown(fd, SHUT_RD);
	while (recv(fd, &byte, 1, MSG_DONTWAIT) > 0)
		continue;
	close(fd);
	launch_drop(&c->spare);
	if (c->exec)
		exec_client_gone(c->exec);
	c->exec = NULL;
	if (c->is_attached && c->attach & MON_ATTACH_OWNER && (c->wants_exit || c->has_exit_due))
		lifecycle_owner_lost(m);
	if (c->is_attached && !m->is_draining)
		input_client_gone(m, c);
	bool was_attached = c->is_attached;
	c->is_attached = false;
	c->has_exit_due = false;
	if (was_attached)
		output_client_gone(m);
	lifecycle_client_gone(m);
}

void client_close_all(struct monitor *m)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = &m->client[i];
		if (c->source.fd < 0)
			continue;
		int fd = loop_remove(&m->loop, &c->source);
		char byte;
		(void)shutdown(fd, SHUT_RD);
		while (recv(fd, &byte, 1, MSG_DONTWAIT) > 0)
			continue;
		close(fd);
	}
}

static int send_now(struct client *c, uint32_t type, uint32_t arg, uint32_t arg2, const void *payload, size_t len)
{
	return mon_send(c->source.fd, type, arg, arg2, payload, len, NULL, 0);
}

void client_send(struct client *c, uint32_t type, uint32_t arg, uint32_t arg2, const void *payload, size_t len)
{
	if (c->source.fd >= 0 && send_now(c, type, arg, arg2, payload, len) < 0)
		client_close(c);
}

void client_send_error(struct client *c, const struct err *err)
{
	client_send(c, MON_ERROR, 0, 0, err, sizeof(*err));
}

void client_tell_exit(struct monitor *m, uint32_t code, uint32_t flags)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = &m->client[i];
		if (c->source.fd < 0 || !c->wants_exit)
			continue;
		int r = send_now(c, MON_EXIT, code, flags, NULL, 0);
		c->wants_exit = false;
		c->has_exit_due = r == -EAGAIN;
		if (r < 0 && r != -EAGAIN && c->attach & MON_ATTACH_OWNER)
			lifecycle_owner_lost(m);
		if (c->has_exit_due)
			client_update_events(c);
	}
}

void client_tell_removed(struct monitor *m)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = &m->client[i];
		/* One that is full of output is slow already: it looks for itself. */
		if (c->source.fd >= 0 && c->attach & MON_ATTACH_OWNER && !c->has_exit_due)
			(void)!send_now(c, MON_REMOVED, 0, 0, NULL, 0);
	}
}

bool client_has_exit_due(const struct monitor *m)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (m->client[i].source.fd >= 0 && m->client[i].has_exit_due)
			return true;
	}
	return false;
}

/* ---- requests ---- */

static void reply(struct client *c, int r, const struct err *err)
{
	if (r < 0)
		client_send_error(c, err);
	else
		client_send(c, MON_OK, 0, 0, NULL, 0);
}

static void handle_attach(struct client *c, const struct mon_msg *msg)
{
	struct monitor *m = c->m;
	c->attach = msg->arg;
	c->is_attached = true;
	c->wants_exit = true;
	/* It joins with the next chunk. */
	c->has_chunk = true;
	if (c->attach & MON_ATTACH_OWNER)
		m->had_owner = true;
	client_send(c, MON_OK, 0, 0, NULL, 0);
}

static void handle_wait(struct client *c)
{
	struct monitor *m = c->m;
	c->wants_exit = true;
	/* Too late for the round of EXITs: the workload is gone already. */
	if (m->state.status == RUN_EXITED)
		client_tell_exit(m, (uint32_t)m->state.exit_code, m->state.oom_killed);
}

static void handle_signal(struct client *c, const struct mon_msg *msg)
{
	struct monitor *m = c->m;
	struct err err = ERR_INIT;
	int r = -EINVAL;
	if (msg->arg < 1 || msg->arg > (uint32_t)SIGRTMAX) {
		r = err_set(&err, ERR_INVALID, 0, "no such signal: %u", msg->arg);
	} else if (c->exec) {
		/* No answer on an exec's connection: it is one of frames. */
		(void)!exec_signal(c->exec, (int)msg->arg, &err);
		return;
	} else {
		if (msg->arg2 & MON_SIGNAL_BY_USER && lifecycle_is_up(m) && !m->state.stopped_by_user) {
			m->state.stopped_by_user = 1;
			lifecycle_save(m);
		}
		r = lifecycle_signal(m, (int)msg->arg, msg->arg2 & MON_SIGNAL_ALL, &err);
	}
	if (!c->is_attached)
		reply(c, r, &err);
}

static void handle_stop(struct client *c, const struct mon_msg *msg)
{
	struct monitor *m = c->m;
	struct err err = ERR_INIT;
	if (!lifecycle_is_up(m) && m->state.status != RUN_RESTARTING) {
		(void)err_set(&err, ERR_CONFLICT, 0, "container %.12s is not running", m->conf->id);
		client_send_error(c, &err);
		return;
	}
	c->wants_exit = true;
	client_send(c, MON_OK, 0, 0, NULL, 0);
	lifecycle_stop(m, msg->arg, msg->arg2, true);
}

static void handle_reload(struct client *c)
{
	struct monitor *m = c->m;
	struct err err = ERR_INIT;
	struct monitor_conf *fresh = NULL;
	int r = monitor_conf_read(m->dirfd, &fresh, &err);
	if (r == 0) {
		m->conf->restart = fresh->restart;
		m->conf->restart_max_retries = fresh->restart_max_retries;
		m->conf->stop_signal = fresh->stop_signal;
		m->conf->stop_timeout_s = fresh->stop_timeout_s;
		monitor_conf_free(fresh);
	}
	reply(c, r, &err);
}

static void handle_names(struct client *c, const struct mon_msg *msg, const char *payload, int fds[3], size_t fds_n)
{
	struct monitor *m = c->m;
	struct err err = ERR_INIT;
	int r = 0;
	if (!lifecycle_is_up(m))
		r = err_set(&err, ERR_CONFLICT, 0, "container %.12s is not running", m->conf->id);
	else if (fds_n != 2 || msg->len == 0 || payload[msg->len - 1] != '\0')
		r = err_set(&err, ERR_INVALID, 0, "two sockets and a program are wanted");
	if (r == 0) {
		free(m->conf->names_server);
		m->conf->names_server = str_dup(payload);
		names_begin(m, fds);
	}
	reply(c, r, &err);
}

static void handle_proxy(struct client *c, const struct mon_msg *msg, char *payload)
{
	struct monitor *m = c->m;
	struct err err = ERR_INIT;
	int r = 0;
	if (!lifecycle_is_up(m))
		r = err_set(&err, ERR_CONFLICT, 0, "container %.12s is not running", m->conf->id);
	else if (msg->len == 0 || payload[msg->len - 1] != '\0')
		r = err_set(&err, ERR_INVALID, 0, "lines of ports are wanted");
	reply(c, r == 0 ? proxy_change(m, payload, &err) : r, &err);
}

static void handle_resize(struct client *c, const struct mon_msg *msg)
{
	struct monitor *m = c->m;
	struct winsize size = { .ws_row = (unsigned short)msg->arg, .ws_col = (unsigned short)msg->arg2 };
	if (c->exec) {
		exec_resize(c->exec, msg->arg, msg->arg2);
	} else if (m->pty >= 0) {
		(void)ioctl(m->pty, TIOCSWINSZ, &size);
	} else {
		m->rows = msg->arg;
		m->cols = msg->arg2;
	}
}

static void handle(struct client *c, const struct mon_msg *msg, char *payload, int fds[3], size_t fds_n)
{
	struct monitor *m = c->m;
	struct err err = ERR_INIT;
	switch (msg->type) {
	case MON_START:
		lifecycle_start(m, c);
		break;
	case MON_ATTACH:
		handle_attach(c, msg);
		break;
	case MON_WAIT:
		handle_wait(c);
		break;
	case MON_EXEC:
		exec_start(m, c, payload, msg->len, fds, fds_n);
		break;
	case MON_EXEC_SOON:
		if (lifecycle_is_up(m) && !c->exec)
			launch_expect_exec(m, &c->spare);
		break;
	case MON_SIGNAL:
		handle_signal(c, msg);
		break;
	case MON_STOP:
		handle_stop(c, msg);
		break;
	case MON_PAUSE:
	case MON_RESUME: {
		int r = lifecycle_pause(m, msg->type == MON_PAUSE, &err);
		reply(c, r, &err);
		break;
	}
	case MON_RELOAD:
		handle_reload(c);
		break;
	case MON_NAMES:
		handle_names(c, msg, payload, fds, fds_n);
		break;
	case MON_PROXY:
		handle_proxy(c, msg, payload);
		break;
	case MON_STDIN:
		if (c->is_attached && c->attach & MON_ATTACH_STDIN)
			input_write(m, msg->len);
		break;
	case MON_STDIN_EOF:
		if (c->is_attached && c->attach & MON_ATTACH_STDIN)
			input_eof(m);
		break;
	case MON_RESIZE:
		handle_resize(c, msg);
		break;
	default:
		(void)err_set(&err, ERR_INVALID, 0, "unknown message %u", msg->type);
		client_send_error(c, &err);
		break;
	}
}

void client_ready(void *ctx, uint32_t events)
{
	struct client *c = ctx;
	struct monitor *m = c->m;
	if (events & EPOLLOUT) {
		if (c->has_exit_due) {
			int r = send_now(c, MON_EXIT, (uint32_t)m->state.exit_code, m->state.oom_killed, NULL, 0);
			if (r != -EAGAIN) {
				client_close(c);
				return;
			}
		} else {
			output_client_writable(m, c);
		}
		if (c->source.fd < 0)
			return;
		client_update_events(c);
	}
	/* A few at a time, so that one client cannot starve the rest. */
	for (int i = 0; i < 8 && c->source.fd >= 0 && !m->loop.is_quitting; i++) {
		struct mon_msg msg;
		int fds[3] = { -1, -1, -1 };
		size_t fds_n = 0;
		ssize_t n = recv(c->source.fd, &msg, sizeof(msg), MSG_PEEK | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n == (ssize_t)sizeof(msg) && (msg.type == MON_STDIN || msg.type == MON_STDIN_EOF) && input_is_busy(m) &&
		    c->is_attached) {
			c->waits_to_write = true;
			client_update_events(c);
			return;
		}
		/* The buffer of the workload's input serves for all requests: others
		 * are done with it when they return, and while it is in use it is not
		 * received into. */
		static char request[MON_PAYLOAD_MAX] __attribute__((aligned(4096)));
		char *payload = n == (ssize_t)sizeof(msg) && msg.type == MON_STDIN && !input_is_busy(m) ? input_buffer() : request;
		int r = mon_recv(c->source.fd, &msg, payload, fds, 3, &fds_n);
		if (r == 1)
			handle(c, &msg, payload, fds, fds_n);
		for (size_t k = 0; k < fds_n; k++)
			cleanup_fd(&fds[k]);
		if (r <= 0 && c->source.fd >= 0)
			client_close(c);
	}
}

static void accept_ready(void *ctx, uint32_t events)
{
	struct monitor *m = ctx;
	int fd = accept4(m->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		(void)client_add(m, fd);
}

void client_listen(struct monitor *m)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	CLEANUP_FD int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0)
		return;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/ctl", m->dirfd);
	(void)unlinkat(m->dirfd, "ctl", 0);
	/* The umask is 077: the socket is 0600 from its birth. */
	if (bind(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(sock, 64) < 0)
		return;
	m->listener = (struct loop_source){ .fd = TAKE_FD(sock), .ready = accept_ready, .ctx = m };
	(void)!loop_watch(&m->loop, &m->listener, EPOLLIN);
}
