/* SPDX-License-Identifier: Apache-2.0 */
/* A packet socket is all that the kernel's process gets of a network: frames of
 * one link, which it can neither configure nor leave. The guest has the addresses;
 * the link outside has none, and so answers nobody. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "net_attach.h"
#include "uml.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

/* Frames come over a packet socket as they are: without checksums that a device
 * would fill in, and never larger than the link's. */
static int complete_frames(int sock, const char *name)
{
	static const uint32_t off[] = { ETHTOOL_STXCSUM, ETHTOOL_SSG, ETHTOOL_STSO, ETHTOOL_SGSO };
	struct ifreq req = { 0 };
	if (str_copy(req.ifr_name, sizeof(req.ifr_name), name) < 0)
		return -ENAMETOOLONG;
	for (size_t i = 0; i < ARRAY_LEN(off); i++) {
		struct ethtool_value value = { .cmd = off[i] };
		req.ifr_data = (void *)&value;
		if (ioctl(sock, SIOCETHTOOL, &req) < 0 && errno != EOPNOTSUPP)
			return -errno;
	}
	return 0;
}

static int set_up(int sock, const char *name)
{
	struct ifreq req = { 0 };
	if (str_copy(req.ifr_name, sizeof(req.ifr_name), name) < 0 || ioctl(sock, SIOCGIFFLAGS, &req) < 0)
		return -errno;
	req.ifr_flags |= IFF_UP | IFF_PROMISC;
	return ioctl(sock, SIOCSIFFLAGS, &req) < 0 ? -errno : 0;
}

static int open_socket(const char *name, int *ret)
{
	int on = 1;
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	/* Nothing is received until it is bound to its link. */
	CLEANUP_FD int sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0)
		return -errno;
	address.sll_ifindex = (int)if_nametoindex(name);
	if (address.sll_ifindex == 0 || setsockopt(sock, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0 ||
	    bind(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	*ret = TAKE_FD(sock);
	return 0;
}

/* In the namespace of the kernel's process. */
static int open_inside(const struct spec_interface *ifs, size_t n, int *ret_socks, struct err *err)
{
	/* No stack there has a business with the links. */
	(void)!fd_write_value_at(AT_FDCWD, "/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
	(void)!fd_write_value_at(AT_FDCWD, "/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	CLEANUP_FD int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r = sock < 0 ? -errno : 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		r = complete_frames(sock, ifs[i].name);
		/* Up first: a socket that is bound to a link that is down keeps the error,
		 * and the kernel's driver gives up at it. */
		if (r == 0)
			r = set_up(sock, ifs[i].name);
		if (r == 0)
			r = open_socket(ifs[i].name, &ret_socks[i]);
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "open the guest's link %s", ifs[i].name);
	}
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "open a socket") : 0;
}

int uml_network_open(int netns, const struct spec_interface *ifs, size_t n, int *ret_socks, struct err *err)
{
	CLEANUP_FD int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CLEANUP_FD int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (sock < 0 || own < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open the host's network");
	int r = net_plug(netns, ifs, n, err);
	for (size_t i = 0; i < n && r == 0; i++) {
		int status = complete_frames(sock, ifs[i].host_name);
		if (status < 0)
			r = err_set(err, ERR_SYSTEM, status, "set up the link %s", ifs[i].host_name);
	}
	if (r < 0)
		return r;
	if (setns(netns, CLONE_NEWNET) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "enter the guest's network namespace");
	r = open_inside(ifs, n, ret_socks, err);
	if (setns(own, CLONE_NEWNET) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "return to the host's network namespace");
	return r;
}
