/* SPDX-License-Identifier: Apache-2.0 */
/* The VLAN that an isolated network's bridge has a port on. Machines there think that
 * the workloads are on their wire, and would speak to them past every rule. So only
 * the questions for neighbours cross the bridge itself; any other frame is made one to
 * the bridge, whose host routes it, and decides by the network's rules. Workloads send
 * all they have to the bridge anyway; a frame of theirs for the VLAN is a forged one. */
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "firewall.h"
#include "firewall_policy.h"
#include "netlink.h"
#include "str.h"

#define SCRIPT_MAX 16384

static int mac_of(const char *link, char out[18])
{
	struct ifreq req = { 0 };
	CLEANUP_FD int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0 || str_copy(req.ifr_name, sizeof(req.ifr_name), link) < 0)
		return -EINVAL;
	if (ioctl(sock, SIOCGIFHWADDR, &req) < 0)
		return -errno;
	const unsigned char *m = (const unsigned char *)req.ifr_hwaddr.sa_data;
	snprintf(out, 18, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
	return 0;
}

static int put_chain(struct buf *s, const char *name)
{
	return buf_printf(s, "add chain bridge hull %s_uplink\nflush chain bridge hull %s_uplink\n", name, name);
}

static int is_there(const char *name)
{
	char set[MEMBER_SET_SIZE];
	CLEANUP_FD int sock = -1;
	snprintf(set, sizeof(set), "%s_uplink", name);
	int r = nl_open(NETLINK_NETFILTER, &sock);
	return r < 0 ? r : nft_has_set(sock, &firewall_bridge_table, set);
}

int firewall_uplink_ensure(const char *name, const char *bridge, const char *port, struct err *err)
{
	CLEANUP_BUF struct buf s = BUF_INIT(SCRIPT_MAX);
	char mac[18];
	int r = firewall_guard_ensure(err);
	if (r < 0)
		return r;
	r = is_there(name);
	if (r > 0)
		return 0;
	if (r == 0)
		r = mac_of(bridge, mac);
	if (r == 0)
		r = put_chain(&s, name);
	/* Nobody there has a workload's address. */
	if (r == 0)
		r = buf_printf(&s,
			       "add rule bridge hull %s_uplink ip saddr @taken4 drop\n"
			       "add rule bridge hull %s_uplink ip6 saddr @taken6 drop\n"
			       "add rule bridge hull %s_uplink arp saddr ip @taken4 drop\n"
			       "add rule bridge hull %s_uplink jump neighbours\n"
			       "add rule bridge hull %s_uplink ether type { ip, ip6 } meta pkttype set host ether daddr set %s accept\n"
			       "add rule bridge hull %s_uplink drop\n"
			       "add set bridge hull %s_uplink { type ifname; }\n"
			       "add element bridge hull uplinks { \"%s\" : jump %s_uplink }\n"
			       "add element bridge hull ports { \"%s\" }\n",
			       name, name, name, name, name, mac, name, name, port, name, port);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "guard %s, a port of %s", port, bridge) : nft_run(buf_str(&s), err);
}

int firewall_uplink_clear(const char *name, const char *port, struct err *err)
{
	CLEANUP_BUF struct buf s = BUF_INIT(SCRIPT_MAX);
	int r = is_there(name);
	if (r == 0 || r == -ENOENT)
		return 0;
	if (r > 0)
		r = put_chain(&s, name);
	/* Made first, so that deleting what is not there cannot fail. */
	if (r == 0)
		r = buf_printf(&s,
			       "add element bridge hull uplinks { \"%s\" : jump %s_uplink }\ndelete element bridge hull uplinks { \"%s\" : jump %s_uplink }\n"
			       "add element bridge hull ports { \"%s\" }\ndelete element bridge hull ports { \"%s\" }\n"
			       "delete chain bridge hull %s_uplink\ndelete set bridge hull %s_uplink\n",
			       port, name, port, name, port, port, name, name);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "stop guarding %s", port) : nft_run(buf_str(&s), err);
}
