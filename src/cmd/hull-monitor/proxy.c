/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports that the kernel cannot redirect (proxy_proto.h). Their sockets are
 * here, so that the port is the workload's from its start to its end; whatever comes
 * is for hull-proxy, which is there only while something does. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "fd.h"
#include "monitor.h"
#include "proxy_proto.h"
#include "socket_holder.h"
#include "thread_caps.h"

#define DELAY_FIRST_NS NS_PER_MS
#define DELAY_MAX_NS (1 * NS_PER_S)
#define DROP_TIMEOUT_MS 1000
#define BACKLOG 512
/* Descriptors for all else that a monitor does. */
#define OTHER_FILES 512
/* The hull-proxy of a monitor that was killed ends when it sees that. */
#define WAIT_FOR_PROXY_MS 5
#define WAITS_FOR_PROXY 200

struct proxied {
	struct monitor *m;
	struct proxy_port port;
	uint32_t key;
	bool is_handed_over;
	struct loop_source source;
	struct proxied *next;
};

/* ---- hull-proxy ---- */

static void watch_port(struct proxied *p)
{
	bool is_ours = !p->is_handed_over && !p->m->proxy.retry.is_set;
	(void)!loop_watch(&p->m->loop, &p->source, is_ours ? EPOLLIN : 0);
}

static void watch_all(struct monitor *m)
{
	for (struct proxied *p = m->proxy.ports; p; p = p->next)
		watch_port(p);
}

static void retried(void *ctx)
{
	watch_all(ctx);
}

/* Not at once again: one that cannot be started is not started as fast as it goes. */
static void try_later(struct monitor *m)
{
	struct proxy *x = &m->proxy;
	x->retry.fire = retried;
	x->retry.ctx = m;
	loop_timer_set(&m->loop, &x->retry, x->delay_ns);
	x->delay_ns = x->delay_ns * 2 < DELAY_MAX_NS ? x->delay_ns * 2 : DELAY_MAX_NS;
}

/* True when it had ended as it ought to. */
static bool end_server(struct monitor *m)
{
	struct proxy *x = &m->proxy;
	int status = -1;
	int fd = loop_remove(&m->loop, &x->server);
	cleanup_fd(&fd);
	if (x->pid) {
		thread_caps_raise_all();
		(void)kill(x->pid, SIGKILL);
		while (waitpid(x->pid, &status, 0) < 0 && errno == EINTR)
			continue;
		thread_caps_lower();
	}
	x->pid = 0;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void lose_server(struct monitor *m)
{
	struct proxy *x = &m->proxy;
	if (end_server(m))
		x->delay_ns = DELAY_FIRST_NS;
	else
		try_later(m);
	for (struct proxied *p = x->ports; p; p = p->next)
		p->is_handed_over = false;
	watch_all(m);
	monitor_trim_soon(m);
}

/* It only says what tell_drop() waits for: it has gone. */
static void server_ready(void *ctx, uint32_t events)
{
	lose_server(ctx);
}

static int spawn(const char *path, int theirs, pid_t *ret_pid)
{
	char *argv[] = { (char[]){ "hull-proxy" }, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	sigdelset(&all, SIGKILL);
	sigdelset(&all, SIGSTOP);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	int r = posix_spawn_file_actions_adddup2(&actions, theirs, PROXY_FD);
	/* The lock of ours is not to be held by the midst of an execve. */
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(&actions, PROXY_FD + 1);
	if (r == 0)
		r = posix_spawn(ret_pid, path, &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int start_server(struct monitor *m)
{
	struct proxy *x = &m->proxy;
	int pair[2];
	if (!m->conf->proxy_program)
		return -ENOENT;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	CLEANUP_FD int ours = pair[0], theirs = pair[1];
	/* dup2() onto itself would leave it close-on-exec. */
	if (theirs == PROXY_FD) {
		theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, PROXY_FD + 1);
		close(pair[1]);
	}
	thread_caps_raise_all();
	int r = theirs < 0 ? -errno : spawn(m->conf->proxy_program, theirs, &x->pid);
	thread_caps_lower();
	if (r < 0)
		x->pid = 0;
	if (r == 0)
		r = fd_set_nonblock(ours, true);
	if (r < 0)
		return r;
	x->server = (struct loop_source){ .fd = TAKE_FD(ours), .ready = server_ready, .ctx = m };
	return loop_watch(&m->loop, &x->server, EPOLLIN);
}

static void port_ready(void *ctx, uint32_t events)
{
	struct proxied *p = ctx;
	struct monitor *m = p->m;
	struct proxy *x = &m->proxy;
	const struct proxy_order order = { .type = PROXY_ADD, .key = p->key, .port = p->port };
	int r = x->server.fd >= 0 ? 0 : start_server(m);
	if (r == 0)
		r = proxy_order_send(x->server.fd, &order, p->source.fd);
	p->is_handed_over = r == 0;
	/* Its queue is full: it will have read some of it soon. */
	if (r == -EAGAIN)
		x->delay_ns = DELAY_FIRST_NS;
	else if (r < 0)
		(void)end_server(m);
	if (r < 0) {
		try_later(m);
		watch_all(m);
	}
	watch_port(p);
}

/* ---- the ports ---- */

static int in_use(const struct proxy_port *port, struct err *err)
{
	struct socket_holder holder;
	char shown[64];
	const char *protocol = port->protocol == IPPROTO_UDP ? "udp" : "tcp";
	uint16_t number = ntohs(port->listen.any.sa_family == AF_INET ? port->listen.in4.sin_port : port->listen.in6.sin6_port);
	proxy_address_format(&port->listen, shown);
	int r = err_set(err, ERR_CONFLICT, 0, "failed to bind host port %s/%s: address already in use", shown, protocol);
	if (socket_holder_find(protocol, number, &holder))
		err_why(err, "the process %s (pid %d) of this host listens there", holder.name, holder.pid);
	return r;
}

static bool is_held_by_proxy(const struct proxy_port *port)
{
	struct socket_holder holder;
	uint16_t number = ntohs(port->listen.any.sa_family == AF_INET ? port->listen.in4.sin_port : port->listen.in6.sin6_port);
	return socket_holder_find(port->protocol == IPPROTO_UDP ? "udp" : "tcp", number, &holder) && strcmp(holder.name, "hull-proxy") == 0;
}

static int bind_port(int sock, const struct proxy_port *port)
{
	for (int i = 0; bind(sock, &port->listen.any, proxy_address_len(&port->listen)) < 0; i++) {
		if (errno != EADDRINUSE || i == WAITS_FOR_PROXY || !is_held_by_proxy(port))
			return errno == EADDRINUSE ? -EADDRINUSE : -errno;
		(void)poll(NULL, 0, WAIT_FOR_PROXY_MS);
	}
	return port->protocol == IPPROTO_TCP && listen(sock, BACKLOG) < 0 ? -errno : 0;
}

/* 0 with -1: this host has no such address family, and nobody who would come. */
static int open_port(const struct proxy_port *port, int *ret, struct err *err)
{
	int on = 1;
	char shown[64];
	bool is_udp = port->protocol == IPPROTO_UDP;
	CLEANUP_FD int sock = socket(port->listen.any.sa_family, (is_udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	*ret = -1;
	if (sock < 0 && errno == EAFNOSUPPORT)
		return 0;
	int r = sock < 0 ? -errno : 0;
	if (r == 0 && !is_udp)
		(void)setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (r == 0 && port->listen.any.sa_family == AF_INET6) {
		(void)setsockopt(sock, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		(void)setsockopt(sock, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	} else if (r == 0) {
		(void)setsockopt(sock, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
	}
	if (r == 0)
		r = bind_port(sock, port);
	if (r == -EADDRNOTAVAIL)
		return 0;
	if (r == -EADDRINUSE)
		return in_use(port, err);
	proxy_address_format(&port->listen, shown);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "failed to bind host port %s/%s", shown, is_udp ? "udp" : "tcp");
	*ret = TAKE_FD(sock);
	return 0;
}

/* Should it not answer, it is ended: what it has not closed keeps the port. */
static bool has_dropped(int server)
{
	char byte;
	struct pollfd answer = { .fd = server, .events = POLLIN };
	return poll(&answer, 1, DROP_TIMEOUT_MS) == 1 && recv(server, &byte, 1, MSG_DONTWAIT) == 1;
}

static void tell_drop(struct proxied *p)
{
	struct proxy *x = &p->m->proxy;
	const struct proxy_order order = { .type = PROXY_DROP, .key = p->key };
	bool is_theirs = p->is_handed_over && x->server.fd >= 0;
	/* Whoever asked for it may want the port at once. */
	if (is_theirs && (proxy_order_send(x->server.fd, &order, -1) < 0 || !has_dropped(x->server.fd)))
		lose_server(p->m);
	p->is_handed_over = false;
}

static struct proxied **find(struct monitor *m, const struct proxy_port *port)
{
	struct proxied **at = &m->proxy.ports;
	while (*at && !((*at)->port.protocol == port->protocol && proxy_address_eq(&(*at)->port.listen, &port->listen)))
		at = &(*at)->next;
	return at;
}

static void close_port(struct proxied **at)
{
	struct proxied *p = *at;
	tell_drop(p);
	*at = p->next;
	int fd = loop_remove(&p->m->loop, &p->source);
	cleanup_fd(&fd);
	free(p);
}

static int add_port(struct monitor *m, const struct proxy_port *port, struct err *err)
{
	int sock = -1;
	int r = open_port(port, &sock, err);
	if (r < 0 || sock < 0)
		return r;
	struct proxied *p = mem_calloc(1, sizeof(*p));
	*p = (struct proxied){ .m = m, .port = *port, .key = ++m->proxy.last_key, .next = m->proxy.ports,
			       .source = { .fd = sock, .ready = port_ready, .ctx = p } };
	m->proxy.ports = p;
	watch_port(p);
	return 0;
}

/* It leads elsewhere from now on, if it did not already. */
static void set_target(struct proxied *p, const struct proxy_port *port)
{
	if (proxy_address_eq(&p->port.target, &port->target))
		return;
	tell_drop(p);
	p->port = *port;
	p->key = ++p->m->proxy.last_key;
	watch_port(p);
}

/* Each has a descriptor here; the workload's own limit is not touched. */
static void make_room(struct monitor *m, size_t more)
{
	struct rlimit limit;
	size_t n = more + OTHER_FILES;
	for (struct proxied *p = m->proxy.ports; p; p = p->next)
		n++;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= n)
		return;
	if (!m->proxy.old_nofile)
		m->proxy.old_nofile = limit.rlim_cur;
	limit.rlim_cur = n < limit.rlim_max ? n : limit.rlim_max;
	(void)!setrlimit(RLIMIT_NOFILE, &limit);
}

int proxy_begin(struct monitor *m, struct err *err)
{
	const struct strv *lines = &m->conf->proxied;
	int r = 0;
	m->proxy.delay_ns = DELAY_FIRST_NS;
	if (lines->n)
		make_room(m, lines->n);
	for (size_t i = 0; i < lines->n && r >= 0; i++) {
		struct proxy_port port;
		r = proxy_port_parse(lines->v[i], &port);
		r = r < 0 ? err_set(err, ERR_INVALID, r, "no port: %s", lines->v[i]) : add_port(m, &port, err);
	}
	return r;
}

int proxy_change(struct monitor *m, char *lines, struct err *err)
{
	CLEANUP_STRV struct strv list = { 0 };
	int r = 0;
	strv_split(&list, lines, '\n');
	make_room(m, list.n);
	thread_caps_raise_all();
	for (size_t i = 0; i < list.n && r >= 0; i++) {
		const char *line = list.v[i];
		struct proxy_port port;
		r = *line == '+' || *line == '-' ? proxy_port_parse(line + 1, &port) : -EINVAL;
		if (r < 0)
			r = err_set(err, ERR_INVALID, r, "no port: %s", line);
		struct proxied **there = r < 0 ? NULL : find(m, &port);
		if (there && *there && *line == '+')
			set_target(*there, &port);
		else if (there && *there)
			close_port(there);
		else if (there && *line == '+')
			r = add_port(m, &port, err);
	}
	thread_caps_lower();
	return r;
}

void proxy_end(struct monitor *m)
{
	struct proxy *x = &m->proxy;
	loop_timer_stop(&m->loop, &x->retry);
	if (x->server.fd >= 0)
		(void)end_server(m);
	while (x->ports) {
		x->ports->is_handed_over = false;
		close_port(&x->ports);
	}
}
