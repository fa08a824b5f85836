/* SPDX-License-Identifier: Apache-2.0 */
/* Networks of a running guest: the host's end is made here and handed to the machine
 * by way of the supervisor; the rest is the agent's. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent_link.h"
#include "fd.h"
#include "guest.h"
#include "internal.h"
#include "net_attach.h"

#define SPEC_MAX (1u << 20)

static int ask_awake(const struct isolation_handle *handle, const struct guest_question *q, struct err *err)
{
	int mark = -1;
	int r = guest_wake(handle, &mark, err);
	if (r == 0)
		r = guest_ask(handle, q, err);
	guest_sleep_again(handle, mark);
	return r;
}

static int describe(const char *name, const char *mac, uint32_t mtu, struct agent_interface *ret, struct err *err)
{
	*ret = (struct agent_interface){ .mtu = (uint16_t)(mtu <= UINT16_MAX ? mtu : 0) };
	if (strlen(name) >= sizeof(ret->name) || net_mac_parse(mac, ret->mac) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid interface: %s, %s", name, mac);
	memcpy(ret->name, name, strlen(name));
	return 0;
}

/* A launch description with nothing but the interface. */
static int write_spec(const struct spec_interface *i, bool has_names, struct buf *out, struct err *err)
{
	struct spec_interface copy = *i;
	CLEANUP_RUNTIME_SPEC struct runtime_spec *spec = runtime_spec_new();
	spec->interfaces = &copy;
	spec->interfaces_n = 1;
	spec->has_name_sockets = has_names;
	/* Without one it is none. */
	strv_add(&spec->process.args, "-");
	int r = runtime_spec_write(spec, out);
	spec->interfaces = NULL;
	spec->interfaces_n = 0;
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "write the interface") : 0;
}

int guest_network_connect(const struct isolation_handle *handle, const struct spec_interface *i, bool has_names, int link,
			  struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(SPEC_MAX);
	struct agent_interface what;
	struct guest_question q = { .type = AGENT_CONNECT, .document = &text, .payload = &what, .len = sizeof(what), .fd = link };
	int r = describe(i->name, i->mac, i->mtu, &what, err);
	if (r == 0)
		r = write_spec(i, has_names, &text, err);
	return r < 0 ? r : ask_awake(handle, &q, err);
}

int guest_network_disconnect(const struct isolation_handle *handle, const char *name, const char *mac, struct err *err)
{
	struct agent_interface what;
	struct guest_question q = { .type = AGENT_DISCONNECT, .payload = &what, .len = sizeof(what), .fd = -1 };
	int r = describe(name, mac, 0, &what, err);
	return r < 0 ? r : ask_awake(handle, &q, err);
}

static int put_route(const struct net_route *from, struct agent_route *to)
{
	if (!from->interface)
		return 0;
	if (strlen(from->interface) >= sizeof(to->interface) || strlen(from->gateway) >= sizeof(to->gateway))
		return -ENAMETOOLONG;
	memcpy(to->interface, from->interface, strlen(from->interface));
	memcpy(to->gateway, from->gateway, strlen(from->gateway));
	return 0;
}

int guest_network_routes(const struct isolation_handle *handle, const struct net_route *routes, size_t n, struct err *err)
{
	struct agent_routes all = { 0 };
	struct guest_question q = { .type = AGENT_ROUTES, .payload = &all, .len = sizeof(all), .fd = -1 };
	for (size_t i = 0; i < n; i++) {
		int r = put_route(&routes[i], routes[i].family == AF_INET ? &all.v4 : &all.v6);
		if (r < 0)
			return err_set(err, ERR_INVALID, r, "a route by %s", routes[i].interface);
	}
	return ask_awake(handle, &q, err);
}
