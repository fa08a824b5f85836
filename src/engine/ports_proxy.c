/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports that the kernel cannot redirect, of a container that runs: its
 * monitor is told (proxy_proto.h). */
#include <string.h>

#include "monitor_proto.h"
#include "ports.h"
#include "proxy_proto.h"

struct telling {
	int sock;
	char *payload; /* MON_PAYLOAD_MAX: what is to be said, then what is answered */
	size_t len;
};

/* Nothing but the lines that are there: the answer is to all of them. */
static int tell(struct telling *t, struct err *err)
{
	struct mon_msg msg = { 0 };
	if (t->len == 0)
		return 0;
	t->payload[t->len - 1] = '\0'; /* the last line's end */
	int r = mon_send(t->sock, MON_PROXY, 0, 0, t->payload, t->len, NULL, 0);
	if (r == 0)
		r = mon_recv(t->sock, &msg, t->payload, NULL, 0, NULL);
	t->len = 0;
	if (r == 1 && msg.type == MON_OK)
		return 0;
	if (r == 1 && msg.type == MON_ERROR && msg.len == sizeof(*err)) {
		memcpy(err, t->payload, sizeof(*err));
		return err->errnum < 0 ? err->errnum : -EIO;
	}
	return err_set(err, ERR_SYSTEM, r < 0 ? r : -EPIPE, "tell the monitor of published ports");
}

static int put(struct telling *t, char sign, const struct spec_port *p, struct err *err)
{
	char line[PROXY_LINE_SIZE];
	proxy_port_format(p->protocol, p->host_ip, p->host_port, p->container_ip, p->container_port, line);
	size_t len = strlen(line);
	int r = t->len + len + 2 > MON_PAYLOAD_MAX ? tell(t, err) : 0;
	if (r < 0)
		return r;
	t->payload[t->len++] = sign;
	memcpy(t->payload + t->len, line, len);
	t->len += len;
	t->payload[t->len++] = '\n';
	return 0;
}

static bool has_proxied(const struct spec_port *ports, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ports[i].way != PORT_BY_KERNEL)
			return true;
	return false;
}

int ports_proxy_change(struct engine *engine, const char *id, const struct spec_port *remove, size_t remove_n,
		       const struct spec_port *add, size_t add_n, struct err *err)
{
	if (!has_proxied(remove, remove_n) && !has_proxied(add, add_n))
		return 0;
	CLEANUP_FD int dir = engine_open_run_dir(engine, id), sock = -1;
	int r = dir < 0 ? dir : mon_connect(dir, &sock);
	/* Without a monitor nobody listens. */
	if (r == -ENOENT || r == -ECONNREFUSED)
		return 0;
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "reach the monitor of %.12s", id);
	CLEANUP_FREE char *payload = mem_calloc(1, MON_PAYLOAD_MAX);
	struct telling t = { .sock = sock, .payload = payload };
	for (size_t i = 0; i < remove_n && r == 0; i++)
		if (remove[i].way != PORT_BY_KERNEL)
			r = put(&t, '-', &remove[i], err);
	for (size_t i = 0; i < add_n && r == 0; i++)
		if (add[i].way != PORT_BY_KERNEL)
			r = put(&t, '+', &add[i], err);
	return r < 0 ? r : tell(&t, err);
}
