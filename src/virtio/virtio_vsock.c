/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_vsock.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "clock.h"
#include "fd.h"
#include "vsock_device.h"
#include "vsock_host.h"

/* The ports of connections that the host begins. */
#define FIRST_HOST_PORT (UINT32_C(1) << 30)
#define HANDSHAKE_NS    INT64_C(5000000000)

/* ---- the host's side ---- */

static void conn_ready(void *ctx, uint32_t events);

struct vsock_conn *vsock_new_conn(struct virtio_vsock *v, enum vsock_state state, int fd, uint32_t host_port,
				   uint32_t guest_port, bool is_ours)
{
	struct vsock_conn *c = vsock_conn_new(&v->table, state, fd, host_port, guest_port);
	if (!c)
		return NULL;
	c->device = v;
	c->is_ours = is_ours;
	v->table.n_guest += !is_ours;
	c->source.ready = conn_ready;
	c->source.ctx = c;
	return c;
}

static uint32_t new_host_port(struct virtio_vsock *v, uint32_t guest_port)
{
	do {
		v->next_host_port = v->next_host_port < FIRST_HOST_PORT * 2 ? v->next_host_port + 1 : FIRST_HOST_PORT;
	} while (vsock_conn_find(&v->table, v->next_host_port, guest_port));
	return v->next_host_port;
}

static void start_timer(struct virtio_vsock *v)
{
	if (!v->timer.is_set)
		loop_timer_set(v->dev.loop, &v->timer, INT64_C(1000000000));
}

static void begin_connect(struct virtio_vsock *v, struct vsock_conn *c, uint32_t port)
{
	c->state = VSOCK_CONNECTING;
	c->host_port = new_host_port(v, port);
	vsock_conn_set_guest_port(&v->table, c, port);
	c->deadline_ns = clock_mono_ns() + HANDSHAKE_NS;
	start_timer(v);
	vsock_want(v, c, VSOCK_WANT_REQUEST);
	vsock_conn_watch(&v->table, c);
}

static void handshake_ready(struct virtio_vsock *v, struct vsock_conn *c, uint32_t events)
{
	uint32_t port;
	int r = vsock_read_connect(c->source.fd, &port);
	if (r < 0 || (r == 0 && (events & (EPOLLHUP | EPOLLERR)))) {
		vsock_drop(v, c);
	} else if (r > 0) {
		c->is_handshake_answered = true;
		begin_connect(v, c, port);
	}
}

static void conn_ready(void *ctx, uint32_t events)
{
	struct vsock_conn *c = ctx;
	struct virtio_vsock *v = c->device;
	if (c->state == VSOCK_HANDSHAKE) {
		handshake_ready(v, c, events);
		vsock_speak(v);
		return;
	}
	if (events & (EPOLLHUP | EPOLLERR))
		c->is_hung_up = true;
	if (c->state == VSOCK_OPEN) {
		if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
			if (c->host_shut & VIRTIO_VSOCK_SHUTDOWN_SEND)
				vsock_host_shut(v, c, c->is_hung_up ? VSOCK_SHUT_BOTH : 0);
			else
				vsock_want(v, c, VSOCK_WANT_DATA);
		}
	}
	vsock_settle(v, c);
	vsock_speak(v);
}

static void entry_ready(void *ctx, uint32_t events)
{
	struct virtio_vsock *v = ctx;
	/* A few at a time; more wait in the backlog. */
	for (unsigned n = 0; n < 8; n++) {
		int fd = accept4(v->entry.fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			return;
		struct vsock_conn *c = vsock_new_conn(v, VSOCK_HANDSHAKE, fd, 0, 0, true);
		if (!c)
			continue;
		c->deadline_ns = clock_mono_ns() + HANDSHAKE_NS;
		start_timer(v);
		vsock_conn_watch(&v->table, c);
	}
}

/* Once a second while somebody is expected to answer. */
static void timer_fired(void *ctx)
{
	struct virtio_vsock *v = ctx;
	int64_t now_ns = clock_mono_ns();
	bool goes_on = false;
	for (unsigned i = 0; i < VSOCK_CONNS; i++) {
		struct vsock_conn *c = &v->table.conns[i];
		if (c->state != VSOCK_HANDSHAKE && c->state != VSOCK_CONNECTING)
			continue;
		if (c->deadline_ns > now_ns)
			goes_on = true;
		else if (c->state == VSOCK_CONNECTING)
			vsock_abort(v, c);
		else
			vsock_drop(v, c);
	}
	if (goes_on)
		start_timer(v);
	vsock_speak(v);
}

/* ---- the device ---- */

static bool kicked(struct virtio_device *dev, unsigned index)
{
	struct virtio_vsock *v = (struct virtio_vsock *)dev;
	if (index == VSOCK_RX)
		return vsock_serve_rx(v);
	if (index == VSOCK_TX)
		return vsock_serve_tx(v);
	return false; /* buffers for events, of which there are none without migration */
}

static int activate(struct virtio_device *dev)
{
	struct virtio_vsock *v = (struct virtio_vsock *)dev;
	return v->entry.fd >= 0 ? loop_watch(dev->loop, &v->entry, EPOLLIN) : 0;
}

static void reset(struct virtio_device *dev)
{
	struct virtio_vsock *v = (struct virtio_vsock *)dev;
	virtio_unwatch(dev, &v->entry);
	loop_timer_stop(dev->loop, &v->timer);
	while (v->pending)
		vsock_next_pending(v);
	for (unsigned i = 0; i < VSOCK_CONNS; i++) {
		if (v->table.conns[i].state != VSOCK_FREE)
			vsock_conn_free(&v->table, &v->table.conns[i]);
	}
	v->refusals_n = 0;
	v->is_tx_stalled = false;
}

static void vsock_free(struct virtio_device *dev)
{
	struct virtio_vsock *v = (struct virtio_vsock *)dev;
	int fd = loop_remove(dev->loop, &v->entry);
	cleanup_fd(&fd);
	for (unsigned i = 0; i < v->n_listeners; i++)
		cleanup_fd(&v->listeners[i].fd);
	vsock_table_done(&v->table);
	virtio_device_done(dev);
	free(v);
}

static const struct virtio_ops ops = { .activate = activate, .reset = reset, .kicked = kicked, .free = vsock_free };

int virtio_vsock_new(uint64_t guest_cid, const struct guest_memory *mem, struct loop *loop, struct virtio_device **ret)
{
	static const uint16_t sizes[VSOCK_QUEUES] = { VSOCK_QUEUE_SIZE, VSOCK_QUEUE_SIZE, VSOCK_QUEUE_SIZE };
	CLEANUP_FREE struct virtio_vsock *v = calloc(1, sizeof(*v));
	int r = v ? vsock_table_init(&v->table, loop) : -ENOMEM;
	if (r < 0)
		return r;
	r = virtio_device_init(&v->dev, &ops, VIRTIO_ID_VSOCK, 0, sizes, VSOCK_QUEUES, mem, loop);
	if (r < 0) {
		vsock_table_done(&v->table);
		return r;
	}
	v->guest_cid = guest_cid;
	v->config.guest_cid = htole64(guest_cid);
	v->dev.config = (uint8_t *)&v->config;
	v->dev.config_len = sizeof(v->config);
	v->pending_end = &v->pending;
	v->next_host_port = FIRST_HOST_PORT;
	v->entry = (struct loop_source){ .fd = -1, .ready = entry_ready, .ctx = v };
	v->timer = (struct loop_timer){ .fire = timer_fired, .ctx = v };
	*ret = &TAKE_PTR(v)->dev;
	return 0;
}

int virtio_vsock_listen(struct virtio_device *dev, uint32_t port, int fd)
{
	struct virtio_vsock *v = (struct virtio_vsock *)dev;
	CLEANUP_FD int owned = fd;
	for (unsigned i = 0; i < v->n_listeners; i++) {
		if (v->listeners[i].port == port)
			return -EEXIST;
	}
	if (v->n_listeners == VSOCK_PORTS_MAX)
		return -ENOSPC;
	v->listeners[v->n_listeners++] = (struct vsock_listener){ .port = port, .fd = TAKE_FD(owned) };
	return 0;
}

int virtio_vsock_set_entry(struct virtio_device *dev, int fd)
{
	struct virtio_vsock *v = (struct virtio_vsock *)dev;
	CLEANUP_FD int owned = fd;
	if (v->entry.fd >= 0)
		return -EEXIST;
	int r = fd_set_nonblock(owned, true);
	if (r < 0)
		return r;
	v->entry.fd = TAKE_FD(owned);
	return virtio_device_is_live(dev) ? loop_watch(dev->loop, &v->entry, EPOLLIN) : 0;
}

int virtio_vsock_connect(struct virtio_device *dev, uint32_t port, int fd)
{
	struct virtio_vsock *v = (struct virtio_vsock *)dev;
	if (!virtio_device_is_live(dev)) {
		cleanup_fd(&fd);
		return -ENOTCONN;
	}
	struct vsock_conn *c = vsock_new_conn(v, VSOCK_HANDSHAKE, fd, 0, 0, true);
	if (!c)
		return -ENOSPC;
	begin_connect(v, c, port);
	vsock_speak(v);
	return 0;
}

unsigned virtio_vsock_connections(const struct virtio_device *dev)
{
	return ((const struct virtio_vsock *)dev)->table.n;
}
