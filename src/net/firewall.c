/* SPDX-License-Identifier: Apache-2.0 */
#include "firewall.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "buf.h"
#include "netlink.h"
#include "nft.h"

#define TABLE "hull"
#define PUBLISH_MAX 1024

/* How it works
 *
 * Sets and maps say what there is (bridges, subnets, published ports); the
 * rules below are written once and never change.
 *
 *   loopback     nobody on the wire may speak to 127.0.0.0/8, though the bridges
 *                have route_localnet on (CVE-2020-8558)
 *   published    DNAT by lookup: one lookup whatever the number of ports
 *   postrouting  workloads leave with the host's address; a workload that comes
 *                back to its own bridge by a published port, and the host's
 *                loopback, are masqueraded so that the answer finds its way
 *   forward      into a bridge comes only an answer or what was published; no
 *                packet goes from one bridge to another otherwise. Traffic inside a
 *                bridge passes here only where br_netfilter is on: `inside` */
static const char table_script[] =
	"table inet hull {\n"
	"	set bridges { type ifname; }\n"
	"	set inside { type ifname . ifname; }\n"
	"	set subnets4 { type ipv4_addr; flags interval; }\n"
	"	set subnets6 { type ipv6_addr; flags interval; }\n"
	"	map ports4 { type inet_proto . inet_service : ipv4_addr . inet_service; }\n"
	"	map ports4_addr { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }\n"
	"	map ports6 { type inet_proto . inet_service : ipv6_addr . inet_service; }\n"
	"	map ports6_addr { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }\n"
	"	chain loopback {\n"
	"		type filter hook prerouting priority raw; policy accept;\n"
	"		iifname != \"lo\" ip daddr 127.0.0.0/8 drop\n"
	"	}\n"
	"	chain published {\n"
	"		dnat ip to ip daddr . meta l4proto . th dport map @ports4_addr\n"
	"		dnat ip to meta l4proto . th dport map @ports4\n"
	"		dnat ip6 to ip6 daddr . meta l4proto . th dport map @ports6_addr\n"
	"		dnat ip6 to meta l4proto . th dport map @ports6\n"
	"	}\n"
	"	chain prerouting {\n"
	"		type nat hook prerouting priority dstnat; policy accept;\n"
	"		fib daddr type local jump published\n"
	"	}\n"
	"	chain output {\n"
	"		type nat hook output priority -100; policy accept;\n"
	"		fib daddr type local jump published\n"
	"	}\n"
	"	chain postrouting {\n"
	"		type nat hook postrouting priority srcnat; policy accept;\n"
	"		ip saddr @subnets4 oifname != @bridges masquerade\n"
	"		ip saddr @subnets4 oifname @bridges ct status dnat masquerade\n"
	"		ip saddr 127.0.0.0/8 oifname @bridges masquerade\n"
	"		ip6 saddr @subnets6 oifname != @bridges masquerade\n"
	"		ip6 saddr @subnets6 oifname @bridges ct status dnat masquerade\n"
	"	}\n"
	"	chain forward {\n"
	"		type filter hook forward priority filter; policy accept;\n"
	"		ct state established,related accept\n"
	"		oifname @bridges ct status dnat accept\n"
	"		iifname @bridges oifname @bridges iifname . oifname != @inside drop\n"
	"		oifname @bridges iifname != @bridges drop\n"
	"	}\n"
	"}\n";

static int put_bridge(struct buf *script, const struct net_bridge *bridge, bool add)
{
	char text[IP_TEXT_SIZE];
	const char *verb = add ? "add" : "delete";
	int r = buf_printf(script, "%s element inet hull bridges { \"%s\" }\n%s element inet hull inside { \"%s\" . \"%s\" }\n",
			   verb, bridge->name, verb, bridge->name, bridge->name);
	if (r == 0 && bridge->gateway4.family)
		r = buf_printf(script, "%s element inet hull subnets4 { %s }\n", verb, ip_format(&bridge->gateway4, text));
	if (r == 0 && bridge->gateway6.family)
		r = buf_printf(script, "%s element inet hull subnets6 { %s }\n", verb, ip_format(&bridge->gateway6, text));
	return r;
}

static int has_table(struct err *err)
{
	CLEANUP_FD int sock = -1;
	int r = nl_open(NETLINK_NETFILTER, &sock);
	if (r == 0)
		r = nft_has_table(sock, TABLE);
	if (r < 0)
		return err_set(err, ERR_UNSUPPORTED, r, "ask the kernel for hull's firewall table");
	return r;
}

int firewall_ensure(const struct net_bridge *bridge, bool bridge_is_new, struct err *err)
{
	CLEANUP_BUF struct buf script = BUF_INIT(16384);
	int there = has_table(err);
	if (there < 0)
		return there;
	if (there && !bridge_is_new)
		return 0;
	int r = there ? 0 : buf_append_str(&script, table_script);
	if (r == 0)
		r = put_bridge(&script, bridge, true);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "write the firewall rules");
	return nft_run(buf_str(&script), err);
}

int firewall_forget(const struct net_bridge *bridge, struct err *err)
{
	CLEANUP_BUF struct buf script = BUF_INIT(4096);
	int there = has_table(err);
	if (there <= 0)
		return there;
	/* Added first, so that deleting what is not there cannot fail. */
	int r = put_bridge(&script, bridge, true);
	if (r == 0)
		r = put_bridge(&script, bridge, false);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "write the firewall rules");
	return nft_run(buf_str(&script), err);
}

static uint8_t protocol_number(const char *name)
{
	if (strcmp(name, "udp") == 0)
		return IPPROTO_UDP;
	if (strcmp(name, "sctp") == 0)
		return IPPROTO_SCTP;
	return IPPROTO_TCP;
}

/* Each part of a concatenation is padded to four bytes. */
static void put_part(uint8_t *to, size_t *len, const void *part, size_t part_len)
{
	memset(to + *len, 0, (part_len + 3) / 4 * 4);
	memcpy(to + *len, part, part_len);
	*len += (part_len + 3) / 4 * 4;
}

static int port_element(const struct spec_port *port, struct nft_element *ret, struct err *err)
{
	struct ip_address target, host = { 0 };
	struct nft_element e = { 0 };
	uint8_t protocol = protocol_number(port->protocol);
	uint16_t host_port = htons(port->host_port), container_port = htons(port->container_port);

	if (ip_parse(port->container_ip, &target) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid container address %s", port->container_ip);
	if (port->host_ip[0] && strcmp(port->host_ip, "0.0.0.0") != 0 && strcmp(port->host_ip, "::") != 0) {
		if (ip_parse(port->host_ip, &host) < 0)
			return err_set(err, ERR_INVALID, 0, "invalid IP address: %s", port->host_ip);
		if (host.family != target.family)
			return err_set(err, ERR_INVALID, 0, "cannot publish on %s: the container has no address of that family",
				       port->host_ip);
		put_part(e.key, &e.key_len, host.bytes, host.family == AF_INET ? 4 : 16);
	}
	put_part(e.key, &e.key_len, &protocol, 1);
	put_part(e.key, &e.key_len, &host_port, 2);
	put_part(e.data, &e.data_len, target.bytes, target.family == AF_INET ? 4 : 16);
	put_part(e.data, &e.data_len, &container_port, 2);
	if (target.family == AF_INET)
		e.set = host.family ? "ports4_addr" : "ports4";
	else
		e.set = host.family ? "ports6_addr" : "ports6";
	*ret = e;
	return 0;
}

/* A process of the host that listens there would silently lose its traffic. */
static int check_port_is_free(const struct spec_port *port, struct err *err)
{
	struct sockaddr_storage addr = { 0 };
	socklen_t len;
	int type = strcmp(port->protocol, "udp") == 0 ? SOCK_DGRAM : SOCK_STREAM;
	int protocol = strcmp(port->protocol, "sctp") == 0 ? IPPROTO_SCTP : 0;

	if (strchr(port->host_ip, ':')) {
		struct sockaddr_in6 *v6 = (void *)&addr;
		*v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port->host_port) };
		if (inet_pton(AF_INET6, port->host_ip, &v6->sin6_addr) != 1)
			return err_set(err, ERR_INVALID, 0, "invalid IP address: %s", port->host_ip);
		len = sizeof(*v6);
	} else {
		struct sockaddr_in *v4 = (void *)&addr;
		*v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port->host_port) };
		if (port->host_ip[0] && inet_pton(AF_INET, port->host_ip, &v4->sin_addr) != 1)
			return err_set(err, ERR_INVALID, 0, "invalid IP address: %s", port->host_ip);
		len = sizeof(*v4);
	}
	CLEANUP_FD int sock = socket(addr.ss_family, type | SOCK_CLOEXEC, protocol);
	if (sock < 0)
		return errno == EPROTONOSUPPORT ? 0 : err_set(err, ERR_SYSTEM, errno, "open a socket");
	int on = 1;
	/* A connection in TIME_WAIT is no holder. */
	(void)setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(sock, (struct sockaddr *)&addr, len) == 0)
		return 0;
	const char *shown = port->host_ip[0] ? port->host_ip : "0.0.0.0";
	if (errno == EADDRINUSE)
		return err_set(err, ERR_CONFLICT, 0, "failed to bind host port %s:%u/%s: address already in use", shown,
			       port->host_port, port->protocol);
	return err_set(err, ERR_SYSTEM, errno, "failed to bind host port %s:%u/%s", shown, port->host_port, port->protocol);
}

bool net_port_is_free(const struct spec_port *port)
{
	struct err ignored = ERR_INIT;
	return check_port_is_free(port, &ignored) == 0;
}

int net_publish(const struct spec_port *ports, size_t n, struct err *err)
{
	if (n == 0)
		return 0;
	if (n > PUBLISH_MAX)
		return err_set(err, ERR_INVALID, 0, "more than %d published ports", PUBLISH_MAX);
	CLEANUP_FREE struct nft_element *elements = calloc(n, sizeof(*elements));
	if (!elements)
		return err_set(err, ERR_SYSTEM, ENOMEM, "publish ports");
	for (size_t i = 0; i < n; i++) {
		int r = check_port_is_free(&ports[i], err);
		if (r == 0)
			r = port_element(&ports[i], &elements[i], err);
		if (r < 0)
			return r;
	}
	CLEANUP_FD int sock = -1;
	int r = nl_open(NETLINK_NETFILTER, &sock);
	if (r == 0)
		r = nft_change_elements(sock, TABLE, elements, n, true);
	if (r == -EEXIST)
		return err_set(err, ERR_CONFLICT, 0, "Bind for %s:%u failed: port is already allocated",
			       ports[0].host_ip[0] ? ports[0].host_ip : "0.0.0.0", ports[0].host_port);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "publish ports");
	return 0;
}

int net_unpublish(const struct spec_port *ports, size_t n, struct err *err)
{
	CLEANUP_FD int sock = -1;
	if (n == 0)
		return 0;
	int r = nl_open(NETLINK_NETFILTER, &sock);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "open a netfilter socket");
	for (size_t i = 0; i < n; i++) {
		struct nft_element e;
		r = port_element(&ports[i], &e, err);
		if (r < 0)
			return r;
		r = nft_change_elements(sock, TABLE, &e, 1, false);
		if (r < 0 && r != -ENOENT)
			return err_set(err, ERR_SYSTEM, r, "take back the published port %u", ports[i].host_port);
	}
	return 0;
}
