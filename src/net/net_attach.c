/* SPDX-License-Identifier: Apache-2.0 */
#include "net_attach.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "link.h"

#define LOOPBACK_INDEX 1 /* in every network namespace */

static int parse_mac(const char *s, uint8_t ret[6])
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

int net_mac_from_ip4(const char *address4, char ret_mac[18])
{
	struct ip_address a;
	int r = ip_parse(address4, &a);
	if (r < 0 || a.family != AF_INET)
		return -EINVAL;
	snprintf(ret_mac, 18, "02:42:%02x:%02x:%02x:%02x", a.bytes[0], a.bytes[1], a.bytes[2], a.bytes[3]);
	return 0;
}

static int make_pair(int sock, int netns_fd, const struct spec_interface *i, struct err *err)
{
	uint8_t mac[6];
	int master;
	if (parse_mac(i->mac, mac) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid MAC address: %s", i->mac);
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
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "connect %s to the bridge %s", i->name, i->bridge);
	return 0;
}

static int add_address(int sock, int index, const char *address, const char *gateway, struct err *err)
{
	struct ip_address a, g;
	if (!address[0])
		return 0;
	if (ip_parse(address, &a) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid address %s", address);
	int r = link_add_address(sock, index, &a);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "add the address %s", address);
	if (!gateway[0])
		return 0;
	if (ip_parse(gateway, &g) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid gateway %s", gateway);
	r = link_add_default_route(sock, index, &g);
	/* The first network's route stays. */
	if (r < 0 && r != -EEXIST)
		return err_set(err, ERR_SYSTEM, r, "add the route by %s", gateway);
	return 0;
}

int net_configure(const struct spec_interface *ifs, size_t n, struct err *err)
{
	CLEANUP_FD int sock = -1;
	int r = nl_open(NETLINK_ROUTE, &sock);
	if (r == 0)
		r = link_set_up(sock, LOOPBACK_INDEX);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "bring the loopback up");
	for (size_t i = 0; i < n; i++) {
		int index;
		r = link_index(sock, ifs[i].name, &index);
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "find the interface %s", ifs[i].name);
		r = link_set_up(sock, index);
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "bring the interface %s up", ifs[i].name);
		r = add_address(sock, index, ifs[i].address4, ifs[i].gateway4, err);
		if (r == 0)
			r = add_address(sock, index, ifs[i].address6, ifs[i].gateway6, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int configure(int netns_fd, const struct spec_interface *ifs, size_t n, struct err *err)
{
	CLEANUP_FD int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (own < 0)
		return err_set(err, ERR_SYSTEM, errno, "open the host's network namespace");
	if (setns(netns_fd, CLONE_NEWNET) < 0)
		return err_set(err, ERR_SYSTEM, errno, "enter the container's network namespace");
	int r = net_configure(ifs, n, err);
	if (setns(own, CLONE_NEWNET) < 0)
		return err_set(err, ERR_SYSTEM, errno, "return to the host's network namespace");
	return r;
}

int net_attach(int netns_fd, const struct spec_interface *ifs, size_t n, struct err *err)
{
	CLEANUP_FD int sock = -1;
	int r = nl_open(NETLINK_ROUTE, &sock);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "open a netlink socket");
	for (size_t i = 0; i < n && r == 0; i++)
		r = make_pair(sock, netns_fd, &ifs[i], err);
	if (r == 0)
		r = configure(netns_fd, ifs, n, err);
	for (size_t i = 0; i < n && r < 0; i++)
		(void)!link_delete(sock, ifs[i].host_name);
	return r;
}

int net_plug(int netns_fd, const struct spec_interface *ifs, size_t n, struct err *err)
{
	CLEANUP_FD int sock = -1;
	int r = nl_open(NETLINK_ROUTE, &sock);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "open a netlink socket");
	for (size_t i = 0; i < n && r == 0; i++)
		r = make_pair(sock, netns_fd, &ifs[i], err);
	for (size_t i = 0; i < n && r < 0; i++)
		(void)!link_delete(sock, ifs[i].host_name);
	return r;
}

int net_detach(const struct spec_interface *ifs, size_t n, struct err *err)
{
	CLEANUP_FD int sock = -1;
	if (n == 0)
		return 0;
	int r = nl_open(NETLINK_ROUTE, &sock);
	for (size_t i = 0; i < n && r == 0; i++)
		r = link_delete(sock, ifs[i].host_name);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "disconnect the container");
	return 0;
}
