/* SPDX-License-Identifier: Apache-2.0 */
#include "net_bridge.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "fd.h"
#include "firewall.h"

static int write_sysctl(const char *path, const char *value)
{
	char now[8] = "";
	CLEANUP_FD int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* Writing takes a lock that all of the host's network shares. */
	if (read(fd, now, sizeof(now) - 1) > 0 && now[0] == value[0])
		return 0;
	return pwrite(fd, value, strlen(value), 0) < 0 ? -errno : 0;
}

static int switch_forwarding_on(const struct net_bridge *bridge, struct err *err)
{
	char path[128];
	int r = write_sysctl("/proc/sys/net/ipv4/ip_forward", "1");
	/* Lets what is sent to a port published on 127.0.0.1 leave by the bridge;
	 * the firewall drops the reverse. */
	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/route_localnet", bridge->name);
	if (r == 0)
		r = write_sysctl(path, "1");
	if (r == 0 && bridge->gateway6.family) {
		r = write_sysctl("/proc/sys/net/ipv6/conf/all/forwarding", "1");
	}
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "switch IP forwarding on");
	return 0;
}

static int add_addresses(int sock, const struct net_bridge *bridge)
{
	int index;
	int r = link_index(sock, bridge->name, &index);
	if (r == 0 && bridge->gateway4.family)
		r = link_add_address(sock, index, &bridge->gateway4);
	if (r == 0 && bridge->gateway6.family)
		r = link_add_address(sock, index, &bridge->gateway6);
	return r;
}

int net_bridge_ensure(const struct net_bridge *bridge, struct err *err)
{
	CLEANUP_FD int sock = -1;
	int index;
	int r = nl_open(NETLINK_ROUTE, &sock);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "open a netlink socket");

	r = link_index(sock, bridge->name, &index);
	if (r == 0)
		return firewall_ensure(bridge, false, err);
	if (r != -ENODEV)
		return err_set(err, ERR_SYSTEM, r, "look for the bridge %s", bridge->name);

	/* Firewall first: a bridge is never there unguarded. */
	r = firewall_ensure(bridge, true, err);
	if (r < 0)
		return r;
	r = link_add_bridge(sock, bridge->name, bridge->mtu);
	/* Another hull may have been quicker; its addresses are the same. */
	if (r < 0 && r != -EEXIST)
		return err_set(err, ERR_SYSTEM, r, "make the bridge %s", bridge->name);
	r = add_addresses(sock, bridge);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "give the bridge %s its address", bridge->name);
	return switch_forwarding_on(bridge, err);
}

int net_bridge_remove(const struct net_bridge *bridge, struct err *err)
{
	CLEANUP_FD int sock = -1;
	int r = nl_open(NETLINK_ROUTE, &sock);
	if (r == 0)
		r = link_delete(sock, bridge->name);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "remove the bridge %s", bridge->name);
	return firewall_forget(bridge, err);
}
