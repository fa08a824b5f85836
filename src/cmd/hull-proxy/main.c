/* SPDX-License-Identifier: Apache-2.0 */
/* hull-proxy: started by hull-monitor when somebody comes to a published port that
 * the kernel cannot redirect (proxy_proto.h); ends when nobody has for a moment. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "fd.h"
#include "proxy.h"
#include "str.h"

#define IDLE_NS (5 * NS_PER_S)

static struct proxy proxy;

static void idled(void *ctx)
{
	struct proxy *p = ctx;
	if (p->flows_n == 0 && p->sessions_n == 0)
		p->loop.is_quitting = true;
}

void proxy_look_idle(struct proxy *p)
{
	if (p->flows_n || p->sessions_n)
		return;
	p->idle.fire = idled;
	p->idle.ctx = p;
	loop_timer_set(&p->loop, &p->idle, IDLE_NS);
}

void proxy_watch_doors(struct proxy *p)
{
	for (struct door *d = p->doors; d; d = d->next) {
		bool is_open = !p->is_full || d->port.protocol == IPPROTO_UDP;
		(void)!loop_watch(&p->loop, &d->source, is_open ? EPOLLIN : 0);
	}
}

static void drop(struct proxy *p, uint32_t key)
{
	struct door **at = &p->doors;
	while (*at && (*at)->key != key)
		at = &(*at)->next;
	struct door *door = *at;
	if (door) {
		*at = door->next;
		/* Connections that are there go on, as those that the kernel redirects do. */
		udp_door_gone(door);
		int fd = loop_remove(&p->loop, &door->source);
		cleanup_fd(&fd);
		free(door);
		proxy_look_idle(p);
	}
	(void)!send(p->orders.fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Takes @fd. */
static void open_door(struct proxy *p, const struct proxy_order *order, int fd)
{
	struct door *door = mem_calloc(1, sizeof(*door));
	bool is_udp = order->port.protocol == IPPROTO_UDP;
	*door = (struct door){ .p = p, .key = order->key, .port = order->port, .next = p->doors,
			       .source = { .fd = fd, .ready = is_udp ? udp_ready : tcp_ready, .ctx = door } };
	p->doors = door;
	proxy_watch_doors(p);
	proxy_look_idle(p);
}

static void ordered(void *ctx, uint32_t events)
{
	struct proxy *p = ctx;
	struct proxy_order order;
	int fd = -1;
	int r = proxy_order_recv(p->orders.fd, &order, &fd);
	if (r == -EAGAIN)
		return;
	if (r <= 0)
		p->loop.is_quitting = true;
	else if (order.type == PROXY_ADD && fd >= 0)
		open_door(p, &order, TAKE_FD(fd));
	else if (order.type == PROXY_DROP)
		drop(p, order.key);
	cleanup_fd(&fd);
}

int main(int argc, char **argv)
{
	struct proxy *p = &proxy;
	struct stat st;
	if (argc != 1 || fstat(PROXY_FD, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		static const char usage[] = "hull-proxy is started by hull-monitor: it serves published ports that the kernel cannot redirect\n";
		(void)!write(2, usage, sizeof(usage) - 1);
		return 125;
	}
	(void)argv;
	fd_close_from(PROXY_FD + 1);
	signal(SIGPIPE, SIG_IGN);
	if (loop_init(&p->loop) < 0 || fd_set_nonblock(PROXY_FD, true) < 0 || confine() < 0)
		return 1;
	p->orders = (struct loop_source){ .fd = PROXY_FD, .ready = ordered, .ctx = p };
	if (loop_watch(&p->loop, &p->orders, EPOLLIN) < 0)
		return 1;
	proxy_look_idle(p);
	_exit(loop_run(&p->loop) < 0);
}
