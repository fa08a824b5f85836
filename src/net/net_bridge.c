/* SPDX-License-Identifier: Apache-2.0 */
#include "net_bridge.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "firewall.h"
#include "str.h"

static int write_sysctl(const char *path, const char *value)
{
	char now[8] = "";
	CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* Writing takes a lock that all of the host's network shares, and a /proc/sys
	 * that may be written. */
	if (read(fd, now, sizeof(now) - 1) > 0 && now[0] == value[0])
		return 0;
	return fd_write_value_at(AT_FDCWD, path, value);
}

static int write_link_sysctl(const char *family, const char *link, const char *name, const char *value)
{
	char path[128];
	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, link, name);
	return write_sysctl(path, value);
}

/* A link that takes its routes from router advertisements stops doing so where
 * forwarding is on (accept_ra 1), and the host loses its default route. */
static void keep_advertised_routes(void)
{
	DIR *dir = opendir("/proc/sys/net/ipv6/conf");
	if (!dir)
		return;
	for (struct dirent *e; (e = readdir(dir));) {
		char path[320], now[8] = "";
		if (e->d_name[0] == '.' || strcmp(e->d_name, "all") == 0 || strcmp(e->d_name, "default") == 0)
			continue;
		snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/accept_ra", e->d_name);
		CLEANUP_FD int fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd >= 0 && read(fd, now, sizeof(now) - 1) > 0 && now[0] == '1')
			(void)!pwrite(fd, "2", 1, 0);
	}
	closedir(dir);
}

static int forward6(void)
{
	char now[8] = "";
	CLEANUP_FD int fd = open("/proc/sys/net/ipv6/conf/all/forwarding", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (read(fd, now, sizeof(now) - 1) > 0 && now[0] == '1')
		return 0;
	keep_advertised_routes();
	return pwrite(fd, "1", 1, 0) < 0 ? -errno : 0;
}

/* Before anybody is on the wire. A workload must not be the host's router
 * (CVE-2020-13401), and no way to the host that its network does not have. */
static int guard_ipv6(const struct net_bridge *bridge)
{
	int r = write_link_sysctl("ipv6", bridge->name, "accept_ra", "0");
	if (r == 0 && !bridge->gateway6.family)
		r = write_link_sysctl("ipv6", bridge->name, "disable_ipv6", "1");
	/* A kernel without IPv6. */
	return r == -ENOENT && !bridge->gateway6.family ? 0 : r;
}

bool net_routes_localnet(void)
{
	static const char *const paths[] = { "/proc/sys/net/ipv4/conf/all/route_localnet", "/proc/sys/net/ipv4/conf/default/route_localnet" };
	static int answer = -1;
	for (size_t i = 0; answer < 0 && i < ARRAY_LEN(paths); i++) {
		char now = '0';
		CLEANUP_FD int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && read(fd, &now, 1) == 1 && now == '1')
			answer = 1;
	}
	if (answer < 0)
		answer = access(paths[1], W_OK) == 0;
	return answer;
}

static int switch_forwarding_on(const struct net_bridge *bridge, struct err *err)
{
	int r = write_sysctl("/proc/sys/net/ipv4/ip_forward", "1");
	/* Lets what is sent to a port published on 127.0.0.1 leave by the bridge;
	 * the firewall drops the reverse. */
	if (r == 0 && net_routes_localnet())
		r = write_link_sysctl("ipv4", bridge->name, "route_localnet", "1");
	if (r == 0 && bridge->gateway6.family)
		r = forward6();
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

int net_link_address4(const char *name, struct ip_address *ret, struct err *err)
{
	struct ifaddrs *list = NULL;
	int found = 0;
	if (getifaddrs(&list) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "read the addresses of %s", name);
	for (struct ifaddrs *a = list; a && !found; a = a->ifa_next) {
		if (strcmp(a->ifa_name, name) != 0 || !a->ifa_addr || a->ifa_addr->sa_family != AF_INET || !a->ifa_netmask)
			continue;
		uint32_t mask = ((struct sockaddr_in *)(void *)a->ifa_netmask)->sin_addr.s_addr;
		*ret = (struct ip_address){ .family = AF_INET, .prefix = (uint8_t)__builtin_popcount(mask) };
		memcpy(ret->bytes, &((struct sockaddr_in *)(void *)a->ifa_addr)->sin_addr, 4);
		found = 1;
	}
	freeifaddrs(list);
	return found;
}

int net_link_exists(const char *name, struct err *err)
{
	CLEANUP_FD int sock = -1;
	int index;
	int r = nl_open(NETLINK_ROUTE, &sock);
	if (r == 0)
		r = link_index(sock, name, &index);
	if (r == -ENODEV)
		return 0;
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "look for the link %s", name) : 1;
}

static int vlan_ensure(int sock, const char *parent, uint16_t id, const char *name, int *ret_index, struct err *err)
{
	int index;
	int r = link_index(sock, name, ret_index);
	if (r != -ENODEV)
		return r < 0 ? err_set(err, ERR_SYSTEM, r, "look for the link %s", name) : 0;
	r = link_index(sock, parent, &index);
	if (r == -ENODEV) {
		r = err_set(err, ERR_NOT_FOUND, 0, "invalid subinterface vlan name %s: the link %s is not there", name, parent);
		err_hint(err, "ip link   shows the links of this host");
		return r;
	}
	if (r == 0)
		r = link_add_vlan(sock, name, index, id);
	if (r == 0 || r == -EEXIST)
		r = link_index(sock, name, ret_index);
	if (r == -EOPNOTSUPP) {
		r = err_set(err, ERR_UNSUPPORTED, 0, "cannot make %s: this kernel has no VLANs", name);
		err_why(err, "802.1Q is the kernel's option CONFIG_VLAN_8021Q, module 8021q");
		err_hint(err, "modprobe 8021q");
		return r;
	}
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "make the VLAN %s", name) : 0;
}

/* "eth0.50": its parts. */
static bool is_vlan_name(const char *name, char parent[16], uint16_t *ret_id)
{
	const char *dot = strrchr(name, '.');
	uint64_t id;
	if (!dot || dot == name || dot - name > 15 || str_parse_u64_max(dot + 1, 4094, &id) < 0 || id == 0)
		return false;
	snprintf(parent, 16, "%.*s", (int)(dot - name), name);
	*ret_id = (uint16_t)id;
	return true;
}

int net_parent_ensure(const char *parent, struct err *err)
{
	CLEANUP_FD int sock = -1;
	char lower[16];
	uint16_t id;
	int index;
	int r = nl_open(NETLINK_ROUTE, &sock);
	if (r == 0)
		r = link_index(sock, parent, &index);
	if (r == 0)
		return 0;
	if (r != -ENODEV)
		return err_set(err, ERR_SYSTEM, r, "look for the link %s", parent);
	if (is_vlan_name(parent, lower, &id))
		return vlan_ensure(sock, lower, id, parent, &index, err);
	r = err_set(err, ERR_NOT_FOUND, 0, "the parent link %s is not there", parent);
	err_hint(err, "ip link   shows the links of this host");
	return r;
}

int net_parent_remove(const char *parent, int vlan, struct err *err)
{
	CLEANUP_FD int sock = -1;
	CLEANUP_FREE char *name = vlan ? str_printf("%s.%d", parent, vlan) : str_dup(parent);
	int r = nl_open(NETLINK_ROUTE, &sock);
	if (r == 0)
		r = link_delete(sock, name);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "remove the VLAN %s", name) : 0;
}

/* The bridge's way out, where it has one. */
static int join_vlan(int sock, const struct net_bridge *bridge, struct err *err)
{
	char name[40];
	int index, master;
	if (!bridge->parent || !bridge->vlan)
		return 0;
	snprintf(name, sizeof(name), "%s.%d", bridge->parent, bridge->vlan);
	if (strlen(name) > 15)
		return err_set(err, ERR_INVALID, 0, "the name of the VLAN %s is longer than the kernel takes", name);
	int r = vlan_ensure(sock, bridge->parent, (uint16_t)bridge->vlan, name, &index, err);
	if (r < 0)
		return r;
	r = link_index(sock, bridge->name, &master);
	if (r == 0)
		r = link_set_master(sock, index, master);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "make %s a port of the bridge %s", name, bridge->name) : 0;
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
	int made = firewall_ensure(bridge, true, err);
	if (made < 0)
		return made;
	r = link_add_bridge(sock, bridge->name, bridge->mtu);
	/* Another hull may have been quicker; its addresses are the same. */
	if (r < 0 && r != -EEXIST)
		return err_set(err, ERR_SYSTEM, r, "make the bridge %s", bridge->name);
	r = guard_ipv6(bridge);
	if (r == 0)
		r = add_addresses(sock, bridge);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "give the bridge %s its address", bridge->name);
	r = join_vlan(sock, bridge, err);
	if (r == 0)
		r = switch_forwarding_on(bridge, err);
	return r < 0 ? r : made;
}

int net_bridge_guard(const struct net_bridge *bridge, struct err *err)
{
	int r = net_link_exists(bridge->name, err);
	return r <= 0 ? r : firewall_ensure(bridge, true, err);
}

int net_bridge_forget(const struct net_bridge *bridge, struct err *err)
{
	return firewall_forget(bridge, err);
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
