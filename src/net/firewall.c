/* SPDX-License-Identifier: Apache-2.0 */
#include "firewall.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <string.h>
#include <sys/file.h>

#include "buf.h"
#include "fault.h"
#include "firewall_parts.h"
#include "netlink.h"
#include "proxy_proto.h"
#include "str.h"

/* Also the name of a set, so that a table of another layout is told apart. */
#define LAYOUT "layout_4"
/* Comes in the place of what was redirected: it is let in as that is. */
#define TEXT_OF(x) #x
#define TEXT_OF_VALUE(x) TEXT_OF(x)
#define PROXY_UID_TEXT TEXT_OF_VALUE(PROXY_ID)
#define LOCK_FILE "/run/lock/hull-firewall"

const struct nft_table firewall_table = { NFPROTO_INET, "hull" }, firewall_bridge_table = { NFPROTO_BRIDGE, "hull" };

/* How it works
 *
 * Sets and maps say what there is (bridges, subnets, published ports); the
 * rules below are written once and never change.
 *
 *   loopback     nobody on the wire may speak to 127.0.0.0/8, though the bridges
 *                have route_localnet on (CVE-2020-8558)
 *   published    DNAT by lookup: one lookup whatever the number of ports. From
 *                outside only what came through the gate (firewall_gate.c), which
 *                `arrival` sends there; from workloads and the host at once
 *   postrouting  workloads leave with the host's address; a workload that comes
 *                back to its own bridge by a published port, and the host's
 *                loopback, are masqueraded so that the answer finds its way
 *                The loopback of IPv6 is left alone: nothing leaves it
 *   proxied      what hull-proxy serves in the kernel's place. No rule is about
 *                them: it listens there as any process of the host does, and the
 *                host's rules decide. They are for firewall_report.h
 *   forward      into a bridge comes only an answer or what was published; no
 *                packet goes from one bridge to another otherwise, and none out of
 *                an internal one. Traffic inside a bridge passes here only where
 *                br_netfilter is on, or where its ports are isolated: `inside`
 *   policies     of isolated networks and of workloads with egress rules: chains of
 *                their own (firewall_policy.c), found by one lookup each
 *   refuse       remembers for an hour what a policy refused; who is inside is told,
 *                whoever knocks from outside is not
 *
 * The table bridge hull is in firewall_members.c. */
static const char table_script[] =
	"table inet hull\n"
	"delete table inet hull\n"
	"table inet hull {\n"
	"	set " LAYOUT " { type ifname; }\n"
	"	set bridges { type ifname; }\n"
	"	set internal { type ifname; }\n"
	"	set inside { type ifname . ifname; }\n"
	"	set subnets4 { type ipv4_addr; flags interval; }\n"
	"	set subnets6 { type ipv6_addr; flags interval; }\n"
	"	map ports4 { type inet_proto . inet_service : ipv4_addr . inet_service; }\n"
	"	map ports4_addr { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }\n"
	"	map ports6 { type inet_proto . inet_service : ipv6_addr . inet_service; }\n"
	"	map ports6_addr { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }\n"
	"	set open4 { type inet_proto . inet_service; }\n"
	"	set open4_addr { type ipv4_addr . inet_proto . inet_service; }\n"
	"	set open6 { type inet_proto . inet_service; }\n"
	"	set open6_addr { type ipv6_addr . inet_proto . inet_service; }\n"
	"	set proxied4 { type inet_proto . inet_service; }\n"
	"	set proxied4_addr { type ipv4_addr . inet_proto . inet_service; }\n"
	"	set proxied6 { type inet_proto . inet_service; }\n"
	"	set proxied6_addr { type ipv6_addr . inet_proto . inet_service; }\n"
	"	map policies_forward { type ifname : verdict; }\n"
	"	map policies_incoming { type ifname : verdict; }\n"
	"	map policies_outgoing { type ifname : verdict; }\n"
	"	map egress4 { type ipv4_addr : verdict; }\n"
	"	map egress6 { type ipv6_addr : verdict; }\n"
	"	set named4 { type ipv4_addr . ipv4_addr . inet_proto . inet_service; flags timeout; size 65536; }\n"
	"	set named6 { type ipv6_addr . ipv6_addr . inet_proto . inet_service; flags timeout; size 65536; }\n"
	"	set refused4 { type ipv4_addr . ipv4_addr . inet_proto . inet_service; size 16384;"
	" flags dynamic,timeout; timeout 1h; counter; }\n"
	"	set refused6 { type ipv6_addr . ipv6_addr . inet_proto . inet_service; size 16384;"
	" flags dynamic,timeout; timeout 1h; counter; }\n"
	"	set refused4_other { type ipv4_addr . ipv4_addr . inet_proto; size 4096; flags dynamic,timeout; timeout 1h; counter; }\n"
	"	set refused6_other { type ipv6_addr . ipv6_addr . inet_proto; size 4096; flags dynamic,timeout; timeout 1h; counter; }\n"
	"	chain refuse {\n"
	"		meta l4proto { tcp, udp, sctp } update @refused4 { ip saddr . ip daddr . meta l4proto . th dport }\n"
	"		meta l4proto { tcp, udp, sctp } update @refused6 { ip6 saddr . ip6 daddr . meta l4proto . th dport }\n"
	"		meta l4proto != { tcp, udp, sctp } update @refused4_other { ip saddr . ip daddr . meta l4proto }\n"
	"		meta l4proto != { tcp, udp, sctp } update @refused6_other { ip6 saddr . ip6 daddr . meta l4proto }\n"
	"		iifname @bridges reject with icmpx admin-prohibited\n"
	"		drop\n"
	"	}\n"
	"	chain neighbours {\n"
	"		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert,"
	" mld-listener-query, mld-listener-report, mld2-listener-report } accept\n"
	"		meta l4proto igmp accept\n"
	"	}\n"
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
	"		iifname \"" GATE_OUT "\" jump published\n"
	"		iifname @bridges fib daddr type local jump published\n"
	"	}\n"
	"	chain arrival {\n"
	"		type filter hook input priority 290; policy accept;\n"
	"		ct state != new accept\n"
	"		iifname { \"" GATE_OUT "\", \"lo\" } accept\n"
	"		iifname @bridges accept\n"
	"		meta nfproto ipv4 meta l4proto . th dport @open4 ct mark set " GATE_MARK "\n"
	"		ip daddr . meta l4proto . th dport @open4_addr ct mark set " GATE_MARK "\n"
	"		meta nfproto ipv6 meta l4proto . th dport @open6 ct mark set " GATE_MARK "\n"
	"		ip6 daddr . meta l4proto . th dport @open6_addr ct mark set " GATE_MARK "\n"
	"	}\n"
	"	chain output {\n"
	"		type nat hook output priority -100; policy accept;\n"
	"		ip6 daddr ::1 accept\n"
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
	"		iifname @internal iifname . oifname != @inside drop\n"
	"		oifname @internal iifname . oifname != @inside drop\n"
	"		iifname vmap @policies_forward\n"
	"		oifname vmap @policies_forward\n"
	"		iifname @bridges iifname . oifname != @inside ip saddr vmap @egress4\n"
	"		iifname @bridges iifname . oifname != @inside ip6 saddr vmap @egress6\n"
	"		oifname @bridges ct status dnat accept\n"
	"		iifname @bridges oifname @bridges iifname . oifname != @inside drop\n"
	"		oifname @bridges iifname != @bridges drop\n"
	"	}\n"
	"	chain incoming {\n"
	"		type filter hook input priority filter; policy accept;\n"
	"		iifname != @bridges accept\n"
	"		ct state established,related accept\n"
	"		meta l4proto { ipv6-icmp, igmp } jump neighbours\n"
	"		iifname vmap @policies_incoming\n"
	"		ip saddr vmap @egress4\n"
	"		ip6 saddr vmap @egress6\n"
	"	}\n"
	"	chain outgoing {\n"
	"		type filter hook output priority filter; policy accept;\n"
	"		oifname != @bridges accept\n"
	"		ct state established,related accept\n"
	"		meta l4proto { ipv6-icmp, igmp } jump neighbours\n"
	"		ct status dnat accept\n"
	"		meta skuid " PROXY_UID_TEXT " accept\n"
	"		oifname vmap @policies_outgoing\n"
	"	}\n"
	"}\n";

/* Where that cannot be redirected either, hull-proxy listens there. */
static const char no_localnet_script[] = "insert rule inet hull output ip daddr 127.0.0.0/8 accept\n";

static int make_table(struct err *err)
{
	CLEANUP_FREE char *script = str_printf("%s%s", table_script, net_routes_localnet() ? "" : no_localnet_script);
	return nft_run(script, err);
}

int firewall_is_there(struct err *err)
{
	CLEANUP_FD int sock = -1;
	int r = nl_open(NETLINK_NETFILTER, &sock);
	if (r == 0)
		r = nft_has_set(sock, &firewall_table, LAYOUT);
	if (r < 0)
		return err_set(err, ERR_UNSUPPORTED, r, "ask the kernel for hull's firewall table");
	return r;
}

/* The last bridge of one state goes while another state's first comes: they
 * share the tables. Whoever cannot lock works without. */
static int lock_tables(void)
{
	int fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0)
		(void)!flock(fd, LOCK_EX);
	return fd;
}

int firewall_ensure(const struct net_bridge *bridge, bool bridge_is_new, struct err *err)
{
	CLEANUP_FD int lock = -1;
	bool was_there = true;
	int there = firewall_is_there(err);
	if (there < 0)
		return there;
	if (!there || bridge_is_new) {
		lock = lock_tables();
		there = firewall_is_there(err);
		if (there < 0)
			return there;
		was_there = there;
		int r = there ? 0 : make_table(err);
		if (r == 0)
			r = bridge_elements_put(bridge, err);
		if (r < 0)
			return r;
	}
	int r = gate_ensure(err);
	if (r >= 0)
		r = foreign_ensure(bridge->name, err);
	return r < 0 ? r : !was_there;
}

static int any_element(const struct nft_found *found, void *arg)
{
	(void)found;
	(void)arg;
	return 1;
}

/* 1 when there is none, so that nothing of hull's is left on this host. */
static int forget_all_if_last(struct err *err)
{
	CLEANUP_FD int sock = -1;
	int r = nl_open(NETLINK_NETFILTER, &sock);
	if (r == 0)
		r = nft_visit_elements(sock, &firewall_table, "bridges", any_element, NULL);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "read the firewall's bridges");
	if (r > 0)
		return 0;
	r = gate_remove(err);
	if (r == 0)
		r = foreign_forget(NULL, err);
	return r < 0 ? r : nft_run("delete table inet hull\ntable bridge hull\ndelete table bridge hull\n", err);
}

int firewall_forget(const struct net_bridge *bridge, struct err *err)
{
	CLEANUP_FD int lock = lock_tables();
	int there = firewall_is_there(err);
	if (there < 0)
		return there;
	int r = foreign_forget(bridge->name, err);
	if (r < 0 || !there)
		return r;
	r = bridge_elements_drop(bridge, err);
	return r < 0 ? r : forget_all_if_last(err);
}
