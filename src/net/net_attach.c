/* SPDX-License-Identifier: Apache-2.0 */
#include "net_attach.h"

#include <fcntl.h>
#include <linux/if_link.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "link.h"
#include "net_rate.h"
#include "str.h"

#define LOOPBACK_INDEX 1 /* in every network namespace */

int net_mac_parse(const char *s, uint8_t ret[6])
{
	unsigned b[6];
	char end;
	if (sscanf(s, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &end) != 6)
		return -EINVAL;
	for (int i = 0; i < 6; i++)
		ret[i] = (uint8_t)b[i];
	/* A multicast address cannot be an interface's. */
	return ret[0] & 1 ? -EINVAL : 0;
}

int net_mac_check(const char *mac)
{
	uint8_t ignored[6];
	return net_mac_parse(mac, ignored);
}

void net_mac_from_address(const struct ip_address *a, char ret_mac[18])
{
	const uint8_t *b = a->bytes + (a->family == AF_INET ? 0 : 12);
	snprintf(ret_mac, 18, "02:42:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3]);
}

int net_mac_from_ip4(const char *address4, char ret_mac[18])
{
	struct ip_address a;
	int r = ip_parse(address4, &a);
	if (r < 0 || a.family != AF_INET)
		return -EINVAL;
	net_mac_from_address(&a, ret_mac);
	return 0;
}

static int make_pair(int sock, int netns_fd, const struct spec_interface *i, const uint8_t mac[6], struct err *err)
{
	int master;
	int r = link_index(sock, i->bridge, &master);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "find the bridge %s", i->bridge);
	r = link_add_veth(sock, i->host_name, master, i->name, netns_fd, mac, i->mtu);
	if (r == -EEXIST) {
		/* The end of a workload that died; its namespace is on its way out. */
		r = link_delete(sock, i->host_name);
		if (r == 0)
			r = link_add_veth(sock, i->host_name, master, i->name, netns_fd, mac, i->mtu);
	}
	if (r == 0 && i->is_port_isolated)
		r = link_set_port_isolated(sock, i->host_name);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "connect %s to the bridge %s", i->name, i->bridge);
	return 0;
}

static const struct {
	const char *kind, *name;
	uint32_t mode;
} upper_modes[] = {
	{ "macvlan", "bridge", MACVLAN_MODE_BRIDGE },	  { "macvlan", "private", MACVLAN_MODE_PRIVATE },
	{ "macvlan", "vepa", MACVLAN_MODE_VEPA },	  { "macvlan", "passthru", MACVLAN_MODE_PASSTHRU },
	{ "ipvlan", "l2", IPVLAN_MODE_L2 },		  { "ipvlan", "l3", IPVLAN_MODE_L3 },
	{ "ipvlan", "l3s", IPVLAN_MODE_L3S },
};

static int make_upper(int sock, int netns_fd, const struct spec_interface *i, const uint8_t mac[6], struct err *err)
{
	bool is_macvlan = str_eq(i->kind, "macvlan");
	struct link_upper u = { .kind = i->kind, .name = i->name, .netns = netns_fd, .mac = is_macvlan ? mac : NULL, .mtu = i->mtu,
				.mode = is_macvlan ? MACVLAN_MODE_BRIDGE : IPVLAN_MODE_L2 };
	for (size_t k = 0; i->mode && k < ARRAY_LEN(upper_modes); k++)
		if (str_eq(upper_modes[k].kind, i->kind) && str_eq(upper_modes[k].name, i->mode))
			u.mode = upper_modes[k].mode;
	int r = link_index(sock, i->bridge, &u.parent);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "find the parent link %s", i->bridge);
	r = link_add_upper(sock, &u);
	if (r == -EOPNOTSUPP) {
		r = err_set(err, ERR_UNSUPPORTED, 0, "this kernel has no %s links", i->kind);
		err_hint(err, "modprobe %s   or another driver of the network", i->kind);
		return r;
	}
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "make the %s %s of %s", i->kind, i->name, i->bridge) : 0;
}

static int make_link(int sock, int netns_fd, const struct spec_interface *i, struct err *err)
{
	uint8_t mac[6];
	if (net_mac_parse(i->mac, mac) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid MAC address: %s", i->mac);
	struct net_rate rate = { i->rate_in, i->rate_out };
	if (i->kind && (rate.in || rate.out))
		return err_set(err, ERR_UNSUPPORTED, 0, "--network-rate is for bridge networks: %s is a %s", i->network, i->kind);
	int r = i->kind ? make_upper(sock, netns_fd, i, mac, err) : make_pair(sock, netns_fd, i, mac, err);
	return r == 0 && (rate.in || rate.out) ? net_rate_set(i->host_name, &rate, err) : r;
}

static int set_default(int sock, int index, int family, const char *gateway, struct err *err)
{
	struct ip_address g = { .family = family };
	if (gateway[0] && (ip_parse(gateway, &g) < 0 || g.family != family))
		return err_set(err, ERR_INVALID, 0, "invalid gateway %s", gateway);
	int r = link_set_default_route(sock, index, family, gateway[0] ? &g : NULL);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "set the default route%s%s", gateway[0] ? " by " : "", gateway) : 0;
}

static int add_address(int sock, int index, const char *address, struct err *err)
{
	struct ip_address a;
	if (!address[0])
		return 0;
	if (ip_parse(address, &a) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid address %s", address);
	int r = link_add_address(sock, index, &a);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "add the address %s", address) : 0;
}

/* The only neighbour is the gateway: all else, the subnet too, goes by it. */
static int add_routed_address(int sock, int index, const char *address, const char *gateway, struct err *err)
{
	struct ip_address a, g;
	if (!address[0])
		return 0;
	if (ip_parse(address, &a) < 0 || ip_parse(gateway, &g) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid address %s, or gateway %s", address, gateway);
	int r = link_add_bare_address(sock, index, &a);
	if (r == 0)
		r = link_add_route(sock, index, &g, NULL);
	if (r == 0)
		r = link_add_route(sock, index, &a, &g);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "add the address %s", address) : 0;
}

static int add_addresses(int sock, int index, const struct spec_interface *i, struct err *err)
{
	int r = i->is_routed ? add_routed_address(sock, index, i->address4, i->gateway4, err) :
			       add_address(sock, index, i->address4, err);
	if (r < 0)
		return r;
	return i->is_routed ? add_routed_address(sock, index, i->address6, i->gateway6, err) :
			      add_address(sock, index, i->address6, err);
}

static int configure_one(int sock, const struct spec_interface *i, struct err *err)
{
	int index;
	int r = link_index(sock, i->name, &index);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "find the interface %s", i->name);
	r = link_set_up(sock, index);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "bring the interface %s up", i->name);
	r = add_addresses(sock, index, i, err);
	if (r == 0 && i->is_default4)
		r = set_default(sock, index, AF_INET, i->gateway4, err);
	if (r == 0 && i->is_default6)
		r = set_default(sock, index, AF_INET6, i->gateway6, err);
	return r;
}

/* ---- inside ---- */

struct inside {
	const struct spec_interface *ifs;
	const struct net_route *routes;
	const char *remove;
	size_t n;
};

static int configure_inside(int sock, const struct inside *in, struct err *err)
{
	int r = link_set_up(sock, LOOPBACK_INDEX);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "bring the loopback up");
	for (size_t i = 0; i < in->n && r == 0; i++)
		r = configure_one(sock, &in->ifs[i], err);
	return r;
}

static int route_inside(int sock, const struct inside *in, struct err *err)
{
	int r = 0, index;
	for (size_t i = 0; i < in->n && r == 0; i++) {
		const struct net_route *route = &in->routes[i];
		if (!route->interface) {
			r = link_delete_default_route(sock, route->family);
			if (r < 0)
				err_set(err, ERR_SYSTEM, r, "remove the default route");
			continue;
		}
		r = link_index(sock, route->interface, &index);
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "find the interface %s", route->interface);
		r = set_default(sock, index, route->family, route->gateway, err);
	}
	return r;
}

static int remove_inside(int sock, const struct inside *in, struct err *err)
{
	int r = link_delete(sock, in->remove);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "remove the interface %s", in->remove) : 0;
}

/* Before it is up, in its network namespace: what is on a bridge is told its
 * addresses, and takes no neighbour for a router (CVE-2020-13401); without an IPv6
 * address it does not speak IPv6. A macvlan is on a wire that has its own ways. */
static int guard(const struct spec_interface *i, struct err *err)
{
	char path[96];
	bool has_ipv6 = i->address6[0];
	if (i->kind)
		return 0;
	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", i->name, has_ipv6 ? "accept_ra" : "disable_ipv6");
	CLEANUP_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
	/* A kernel without IPv6. */
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || write(fd, has_ipv6 ? "0" : "1", 1) < 0)
		return err_set(err, ERR_SYSTEM, errno, "write %s", path);
	return 0;
}

static int guard_all(const struct inside *in, struct err *err)
{
	int r = 0;
	for (size_t i = 0; in->ifs && i < in->n && r == 0; i++)
		r = guard(&in->ifs[i], err);
	return r;
}

/* @do with a socket of @netns_fd; a socket stays with the namespace it was made in. */
static int in_namespace(int netns_fd, int (*do_it)(int sock, const struct inside *in, struct err *err), const struct inside *in,
			struct err *err)
{
	CLEANUP_FD int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), sock = -1;
	if (own < 0)
		return err_set(err, ERR_SYSTEM, errno, "open the host's network namespace");
	if (setns(netns_fd, CLONE_NEWNET) < 0)
		return err_set(err, ERR_SYSTEM, errno, "enter the container's network namespace");
	int r = nl_open(NETLINK_ROUTE, &sock);
	if (r < 0)
		err_set(err, ERR_SYSTEM, r, "open a netlink socket");
	else
		r = guard_all(in, err);
	if (setns(own, CLONE_NEWNET) < 0)
		return err_set(err, ERR_SYSTEM, errno, "return to the host's network namespace");
	return r < 0 ? r : do_it(sock, in, err);
}

int net_set_default_routes(int netns_fd, const struct net_route *routes, size_t n, struct err *err)
{
	struct inside in = { .routes = routes, .n = n };
	return n ? in_namespace(netns_fd, route_inside, &in, err) : 0;
}

int net_route_own(const struct net_route *routes, size_t n, struct err *err)
{
	CLEANUP_FD int sock = -1;
	struct inside in = { .routes = routes, .n = n };
	int r = nl_open(NETLINK_ROUTE, &sock);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "open a netlink socket") : route_inside(sock, &in, err);
}

int net_remove_inside(int netns_fd, const char *interface, struct err *err)
{
	struct inside in = { .remove = interface };
	return in_namespace(netns_fd, remove_inside, &in, err);
}

int net_configure(const struct spec_interface *ifs, size_t n, struct err *err)
{
	CLEANUP_FD int sock = -1;
	struct inside in = { .ifs = ifs, .n = n };
	int r = nl_open(NETLINK_ROUTE, &sock);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "open a netlink socket");
	r = guard_all(&in, err);
	return r < 0 ? r : configure_inside(sock, &in, err);
}

int net_plug(int netns_fd, const struct spec_interface *ifs, size_t n, struct err *err)
{
	CLEANUP_FD int sock = -1;
	int r = nl_open(NETLINK_ROUTE, &sock);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "open a netlink socket");
	for (size_t i = 0; i < n && r == 0; i++)
		r = make_link(sock, netns_fd, &ifs[i], err);
	for (size_t i = 0; i < n && r < 0; i++)
		(void)!link_delete(sock, ifs[i].host_name);
	return r;
}

int net_attach(int netns_fd, const struct spec_interface *ifs, size_t n, struct err *err)
{
	struct inside in = { .ifs = ifs, .n = n };
	int r = net_plug(netns_fd, ifs, n, err);
	if (r == 0)
		r = in_namespace(netns_fd, configure_inside, &in, err);
	if (r < 0)
		(void)!net_detach(ifs, n, NULL);
	return r;
}

int net_detach(const struct spec_interface *ifs, size_t n, struct err *err)
{
	CLEANUP_FD int sock = -1;
	if (n == 0)
		return 0;
	int r = nl_open(NETLINK_ROUTE, &sock);
	for (size_t i = 0; i < n && r == 0; i++)
		if (!ifs[i].kind)
			r = link_delete(sock, ifs[i].host_name);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "disconnect the container");
	return 0;
}
