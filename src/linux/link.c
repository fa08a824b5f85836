/* SPDX-License-Identifier: Apache-2.0 */
#include "link.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "str.h"

int ip_parse(const char *s, struct ip_address *ret)
{
	char text[64];
	struct ip_address a = { 0 };
	uint64_t prefix;

	const char *slash = strchr(s, '/');
	size_t len = slash ? (size_t)(slash - s) : strlen(s);
	if (len >= sizeof(text))
		return -EINVAL;
	memcpy(text, s, len);
	text[len] = '\0';
	a.family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(a.family, text, a.bytes) != 1)
		return -EINVAL;
	unsigned bits = a.family == AF_INET ? 32 : 128;
	a.prefix = (uint8_t)bits;
	if (slash) {
		if (str_parse_u64_max(slash + 1, bits, &prefix) < 0)
			return -EINVAL;
		a.prefix = (uint8_t)prefix;
	}
	*ret = a;
	return 0;
}

const char *ip_format(const struct ip_address *a, char out[IP_TEXT_SIZE])
{
	char text[INET6_ADDRSTRLEN];
	if (!inet_ntop(a->family, a->bytes, text, sizeof(text)))
		text[0] = '\0';
	snprintf(out, IP_TEXT_SIZE, "%s/%u", text, a->prefix);
	return out;
}

const char *ip_format_bare(const struct ip_address *a, char out[IP_TEXT_SIZE])
{
	if (!a->family || !inet_ntop(a->family, a->bytes, out, IP_TEXT_SIZE))
		out[0] = '\0';
	return out;
}

struct ip_address ip_subnet(const struct ip_address *a)
{
	struct ip_address subnet = *a;
	for (unsigned bit = a->prefix; bit < 128; bit++)
		subnet.bytes[bit / 8] &= (uint8_t)~(0x80u >> bit % 8);
	return subnet;
}

static size_t address_len(const struct ip_address *a)
{
	return a->family == AF_INET ? 4 : 16;
}

int link_add_bridge(int sock, const char *name, uint32_t mtu)
{
	struct nl_batch b;
	nl_init(&b);
	struct ifinfomsg *info = nl_message(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(*info));
	info->ifi_flags = IFF_UP;
	info->ifi_change = IFF_UP;
	nl_attr_str(&b, IFLA_IFNAME, name);
	/* One of its own: else it has the lowest of its ports', which changes as they
	 * come and go, and neighbours send to the one before for half a minute. */
	uint8_t mac[6];
	if (getrandom(mac, sizeof(mac), GRND_NONBLOCK) == sizeof(mac)) {
		mac[0] = (uint8_t)((mac[0] | 2u) & 0xfeu);
		nl_attr(&b, IFLA_ADDRESS, mac, sizeof(mac));
	}
	if (mtu)
		nl_attr_u32(&b, IFLA_MTU, mtu);
	size_t linkinfo = nl_nest(&b, IFLA_LINKINFO, 0);
	nl_attr_str(&b, IFLA_INFO_KIND, "bridge");
	nl_nest_end(&b, linkinfo);
	return nl_talk(sock, &b, NULL);
}

/* A workload may come back to itself by a port it published: with br_netfilter
 * on, the frame must leave by the port it came in by. */
static void put_hairpin(struct nl_batch *b, const char *name)
{
	(void)nl_message(b, RTM_NEWLINK, 0, sizeof(struct ifinfomsg));
	nl_attr_str(b, IFLA_IFNAME, name);
	size_t linkinfo = nl_nest(b, IFLA_LINKINFO, 0);
	nl_attr_str(b, IFLA_INFO_SLAVE_KIND, "bridge");
	size_t data = nl_nest(b, IFLA_INFO_SLAVE_DATA, 0);
	nl_attr(b, IFLA_BRPORT_MODE, &(uint8_t){ 1 }, 1);
	nl_nest_end(b, data);
	nl_nest_end(b, linkinfo);
}

int link_add_veth(int sock, const char *host_name, int master, const char *peer_name, int peer_netns,
		  const uint8_t peer_mac[6], uint32_t mtu)
{
	struct nl_batch b;
	nl_init(&b);
	struct ifinfomsg *info = nl_message(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(*info));
	info->ifi_flags = IFF_UP;
	info->ifi_change = IFF_UP;
	nl_attr_str(&b, IFLA_IFNAME, host_name);
	nl_attr_u32(&b, IFLA_MASTER, (uint32_t)master);
	if (mtu)
		nl_attr_u32(&b, IFLA_MTU, mtu);
	size_t linkinfo = nl_nest(&b, IFLA_LINKINFO, 0);
	nl_attr_str(&b, IFLA_INFO_KIND, "veth");
	size_t data = nl_nest(&b, IFLA_INFO_DATA, 0);
	/* Not up: the kernel opens the peer before the two know of each other. */
	size_t peer = nl_nest(&b, VETH_INFO_PEER, sizeof(struct ifinfomsg));
	nl_attr_str(&b, IFLA_IFNAME, peer_name);
	nl_attr(&b, IFLA_ADDRESS, peer_mac, 6);
	nl_attr_u32(&b, IFLA_NET_NS_FD, (uint32_t)peer_netns);
	if (mtu)
		nl_attr_u32(&b, IFLA_MTU, mtu);
	nl_nest_end(&b, peer);
	nl_nest_end(&b, data);
	nl_nest_end(&b, linkinfo);

	put_hairpin(&b, host_name);
	return nl_talk(sock, &b, NULL);
}

int link_join_bridge(int sock, const char *name, int master, uint32_t mtu)
{
	struct nl_batch b;
	nl_init(&b);
	struct ifinfomsg *info = nl_message(&b, RTM_NEWLINK, 0, sizeof(*info));
	info->ifi_flags = IFF_UP;
	info->ifi_change = IFF_UP;
	nl_attr_str(&b, IFLA_IFNAME, name);
	nl_attr_u32(&b, IFLA_MASTER, (uint32_t)master);
	if (mtu)
		nl_attr_u32(&b, IFLA_MTU, mtu);
	size_t af_spec = nl_nest(&b, IFLA_AF_SPEC, 0);
	size_t inet6 = nl_nest(&b, AF_INET6, 0);
	nl_attr(&b, IFLA_INET6_ADDR_GEN_MODE, &(uint8_t){ IN6_ADDR_GEN_MODE_NONE }, 1);
	nl_nest_end(&b, inet6);
	nl_nest_end(&b, af_spec);
	put_hairpin(&b, name);
	return nl_talk(sock, &b, NULL);
}

static void put_loop_end(struct nl_batch *b, const char *name, const uint8_t mac[6], uint32_t mtu)
{
	nl_attr_str(b, IFLA_IFNAME, name);
	nl_attr(b, IFLA_ADDRESS, mac, 6);
	nl_attr_u32(b, IFLA_MTU, mtu);
}

/* Two link-local addresses of the same making would only find each other. */
static void put_no_ip6_address(struct nl_batch *b, const char *name)
{
	struct ifinfomsg *info = nl_message(b, RTM_NEWLINK, 0, sizeof(*info));
	info->ifi_flags = IFF_UP | IFF_NOARP;
	info->ifi_change = IFF_UP | IFF_NOARP;
	nl_attr_str(b, IFLA_IFNAME, name);
	size_t af_spec = nl_nest(b, IFLA_AF_SPEC, 0);
	size_t inet6 = nl_nest(b, AF_INET6, 0);
	nl_attr(b, IFLA_INET6_ADDR_GEN_MODE, &(uint8_t){ IN6_ADDR_GEN_MODE_NONE }, 1);
	nl_nest_end(b, inet6);
	nl_nest_end(b, af_spec);
}

int link_add_loop(int sock, const char *name, const char *peer_name, const uint8_t mac[6], uint32_t mtu)
{
	struct nl_batch b;
	nl_init(&b);
	nl_message(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
	put_loop_end(&b, name, mac, mtu);
	size_t linkinfo = nl_nest(&b, IFLA_LINKINFO, 0);
	nl_attr_str(&b, IFLA_INFO_KIND, "veth");
	size_t data = nl_nest(&b, IFLA_INFO_DATA, 0);
	size_t peer = nl_nest(&b, VETH_INFO_PEER, sizeof(struct ifinfomsg));
	put_loop_end(&b, peer_name, mac, mtu);
	nl_nest_end(&b, peer);
	nl_nest_end(&b, data);
	nl_nest_end(&b, linkinfo);
	put_no_ip6_address(&b, name);
	put_no_ip6_address(&b, peer_name);
	return nl_talk(sock, &b, NULL);
}

int link_add_upper(int sock, const struct link_upper *u)
{
	struct nl_batch b;
	nl_init(&b);
	(void)nl_message(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
	nl_attr_str(&b, IFLA_IFNAME, u->name);
	nl_attr_u32(&b, IFLA_LINK, (uint32_t)u->parent);
	nl_attr_u32(&b, IFLA_NET_NS_FD, (uint32_t)u->netns);
	if (u->mac)
		nl_attr(&b, IFLA_ADDRESS, u->mac, 6);
	if (u->mtu)
		nl_attr_u32(&b, IFLA_MTU, u->mtu);
	size_t linkinfo = nl_nest(&b, IFLA_LINKINFO, 0);
	nl_attr_str(&b, IFLA_INFO_KIND, u->kind);
	size_t data = nl_nest(&b, IFLA_INFO_DATA, 0);
	if (strcmp(u->kind, "macvlan") == 0)
		nl_attr_u32(&b, IFLA_MACVLAN_MODE, u->mode);
	else
		nl_attr_u16(&b, IFLA_IPVLAN_MODE, (uint16_t)u->mode);
	nl_nest_end(&b, data);
	nl_nest_end(&b, linkinfo);
	return nl_talk(sock, &b, NULL);
}

int link_add_vlan(int sock, const char *name, int parent, uint16_t id)
{
	struct nl_batch b;
	nl_init(&b);
	struct ifinfomsg *info = nl_message(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(*info));
	info->ifi_flags = IFF_UP;
	info->ifi_change = IFF_UP;
	nl_attr_str(&b, IFLA_IFNAME, name);
	nl_attr_u32(&b, IFLA_LINK, (uint32_t)parent);
	size_t linkinfo = nl_nest(&b, IFLA_LINKINFO, 0);
	nl_attr_str(&b, IFLA_INFO_KIND, "vlan");
	size_t data = nl_nest(&b, IFLA_INFO_DATA, 0);
	nl_attr_u16(&b, IFLA_VLAN_ID, id);
	nl_nest_end(&b, data);
	nl_nest_end(&b, linkinfo);
	return nl_talk(sock, &b, NULL);
}

int link_set_master(int sock, int index, int master)
{
	struct nl_batch b;
	nl_init(&b);
	struct ifinfomsg *info = nl_message(&b, RTM_NEWLINK, 0, sizeof(*info));
	info->ifi_index = index;
	nl_attr_u32(&b, IFLA_MASTER, (uint32_t)master);
	return nl_talk(sock, &b, NULL);
}

int link_set_port_isolated(int sock, const char *name)
{
	struct nl_batch b;
	nl_init(&b);
	(void)nl_message(&b, RTM_NEWLINK, 0, sizeof(struct ifinfomsg));
	nl_attr_str(&b, IFLA_IFNAME, name);
	size_t linkinfo = nl_nest(&b, IFLA_LINKINFO, 0);
	nl_attr_str(&b, IFLA_INFO_SLAVE_KIND, "bridge");
	size_t data = nl_nest(&b, IFLA_INFO_SLAVE_DATA, 0);
	nl_attr(&b, IFLA_BRPORT_ISOLATED, &(uint8_t){ 1 }, 1);
	nl_nest_end(&b, data);
	nl_nest_end(&b, linkinfo);
	return nl_talk(sock, &b, NULL);
}

int link_delete(int sock, const char *name)
{
	struct nl_batch b;
	nl_init(&b);
	nl_message(&b, RTM_DELLINK, 0, sizeof(struct ifinfomsg));
	nl_attr_str(&b, IFLA_IFNAME, name);
	int r = nl_talk(sock, &b, NULL);
	return r == -ENODEV ? 0 : r;
}

int link_set_up(int sock, int index)
{
	struct nl_batch b;
	nl_init(&b);
	struct ifinfomsg *info = nl_message(&b, RTM_NEWLINK, 0, sizeof(*info));
	info->ifi_index = index;
	info->ifi_flags = IFF_UP;
	info->ifi_change = IFF_UP;
	return nl_talk(sock, &b, NULL);
}

static int take_index(const struct nlmsghdr *h, void *arg)
{
	if (h->nlmsg_type != RTM_NEWLINK || h->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
		return -EBADMSG;
	*(int *)arg = ((const struct ifinfomsg *)NLMSG_DATA(h))->ifi_index;
	return 1;
}

int link_index(int sock, const char *name, int *ret)
{
	struct nl_batch b;
	nl_init(&b);
	nl_message_no_ack(&b, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
	nl_attr_str(&b, IFLA_IFNAME, name);
	int r = nl_query(sock, &b, take_index, ret);
	return r < 0 ? r : 0;
}

static int add_address(int sock, int index, const struct ip_address *a, uint32_t flags)
{
	struct nl_batch b;
	nl_init(&b);
	struct ifaddrmsg *msg = nl_message(&b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(*msg));
	msg->ifa_family = (uint8_t)a->family;
	msg->ifa_prefixlen = a->prefix;
	msg->ifa_index = (uint32_t)index;
	/* Nobody else is on the wire yet: no need to probe for duplicates. */
	if (a->family == AF_INET6)
		flags |= IFA_F_NODAD;
	nl_attr_u32(&b, IFA_FLAGS, flags);
	nl_attr(&b, IFA_LOCAL, a->bytes, address_len(a));
	nl_attr(&b, IFA_ADDRESS, a->bytes, address_len(a));
	if (a->family == AF_INET && a->prefix < 31) {
		uint8_t broadcast[4];
		memcpy(broadcast, a->bytes, 4);
		for (unsigned bit = a->prefix; bit < 32; bit++)
			broadcast[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
		nl_attr(&b, IFA_BROADCAST, broadcast, 4);
	}
	int r = nl_talk(sock, &b, NULL);
	return r == -EEXIST ? 0 : r;
}

int link_add_address(int sock, int index, const struct ip_address *a)
{
	return add_address(sock, index, a, 0);
}

int link_add_bare_address(int sock, int index, const struct ip_address *a)
{
	return add_address(sock, index, a, IFA_F_NOPREFIXROUTE);
}

int link_add_route(int sock, int index, const struct ip_address *to, const struct ip_address *gateway)
{
	struct nl_batch b;
	struct ip_address subnet = ip_subnet(to);
	nl_init(&b);
	struct rtmsg *msg = nl_message(&b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof(*msg));
	msg->rtm_family = (uint8_t)to->family;
	msg->rtm_dst_len = to->prefix;
	msg->rtm_table = RT_TABLE_MAIN;
	msg->rtm_protocol = RTPROT_STATIC;
	msg->rtm_scope = gateway || to->family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	msg->rtm_type = RTN_UNICAST;
	nl_attr(&b, RTA_DST, subnet.bytes, address_len(&subnet));
	if (gateway)
		nl_attr(&b, RTA_GATEWAY, gateway->bytes, address_len(gateway));
	nl_attr_u32(&b, RTA_OIF, (uint32_t)index);
	int r = nl_talk(sock, &b, NULL);
	return r == -EEXIST ? 0 : r;
}

static struct rtmsg *default_route(struct nl_batch *b, uint16_t type, uint16_t flags, int family)
{
	nl_init(b);
	struct rtmsg *msg = nl_message(b, type, flags, sizeof(*msg));
	msg->rtm_family = (uint8_t)family;
	msg->rtm_table = RT_TABLE_MAIN;
	msg->rtm_protocol = RTPROT_STATIC;
	msg->rtm_scope = RT_SCOPE_UNIVERSE;
	msg->rtm_type = RTN_UNICAST;
	return msg;
}

int link_set_default_route(int sock, int index, int family, const struct ip_address *gateway)
{
	struct nl_batch b;
	struct rtmsg *msg = default_route(&b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, family);
	if (!gateway && family == AF_INET)
		msg->rtm_scope = RT_SCOPE_LINK;
	if (gateway)
		nl_attr(&b, RTA_GATEWAY, gateway->bytes, address_len(gateway));
	nl_attr_u32(&b, RTA_OIF, (uint32_t)index);
	return nl_talk(sock, &b, NULL);
}

int link_delete_default_route(int sock, int family)
{
	struct nl_batch b;
	struct rtmsg *msg = default_route(&b, RTM_DELROUTE, 0, family);
	msg->rtm_scope = RT_SCOPE_NOWHERE;
	int r = nl_talk(sock, &b, NULL);
	return r == -ESRCH ? 0 : r;
}
