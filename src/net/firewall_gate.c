/* SPDX-License-Identifier: Apache-2.0 */
/* A host's refusal wins over a published port.
 *
 * A packet for a published port is redirected before routing, so that the host's
 * INPUT rules, where an administrator says who may reach port 8080 of this
 * machine, never see it (moby#22054). Here the first packet of a connection from
 * outside is not redirected: it goes to INPUT as it came. One that is still
 * alive after every other table has spoken is for a published port, so nobody
 * listens for it; it is copied to one end of a veth pair and comes out of the
 * other, and only what comes from there is redirected. Its connection is then
 * known to conntrack, and no further packet of it takes the detour.
 *
 *   hullgate0   NOARP and the same hardware address as its peer, so that what is
 *               sent there is received whatever address it is for
 *   hullgate1   has an IPv4 address, without which the kernel's reverse path
 *               filter refuses everything; 192.0.0.8 is the dummy of RFC 7600.
 *               Filtering there is loose: sources live behind other links
 *
 * Tables of family ip and ip6, because "dup to" exists only there. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <string.h>
#include <sys/socket.h>

#include "fd.h"
#include "firewall_parts.h"
#include "link.h"
#include "netlink.h"
#include "nft.h"

/* What a defragmented packet can have. */
#define GATE_MTU 65535
static const uint8_t gate_mac[6] = { 0x02, 'h', 'u', 'l', 'l', 1 };

static const char script4[] =
	"table ip hull-gate\n"
	"delete table ip hull-gate\n"
	"table ip hull-gate {\n"
	"	set layout_2 { type ifname; }\n"
	"	chain input {\n"
	"		type filter hook input priority 300; policy accept;\n"
	"		ct state new ct mark " GATE_MARK " iifname != \"" GATE_OUT "\" dup to 192.0.0.9 device \"" GATE_IN "\"\n"
	"		ct state new ct mark " GATE_MARK " iifname != \"" GATE_OUT "\" drop\n"
	"	}\n"
	"}\n";
static const char script6[] =
	"table ip6 hull-gate\n"
	"delete table ip6 hull-gate\n"
	"table ip6 hull-gate {\n"
	"	chain input {\n"
	"		type filter hook input priority 300; policy accept;\n"
	"		ct state new ct mark " GATE_MARK " iifname != \"" GATE_OUT "\" dup to fe80::2 device \"" GATE_IN "\"\n"
	"		ct state new ct mark " GATE_MARK " iifname != \"" GATE_OUT "\" drop\n"
	"	}\n"
	"}\n";
static const struct nft_table table4 = { NFPROTO_IPV4, "hull-gate" };

/* Loose where the whole host is strict; the larger of the two counts. */
static int relax_source_filter(void)
{
	int r = fd_write_value_at(AT_FDCWD, "/proc/sys/net/ipv4/conf/" GATE_OUT "/rp_filter", "2");
	if (r < 0)
		return r;
	return fd_write_value_at(AT_FDCWD, "/proc/sys/net/ipv4/conf/" GATE_OUT "/forwarding", "1");
}

static int make_pair(int sock, bool *ret_ip6)
{
	const struct ip_address dummy = { AF_INET, { 192, 0, 0, 8 }, 32 };
	const struct ip_address local = { AF_INET6, { 0xfe, 0x80, [15] = 1 }, 64 };
	int in = 0, out = 0;
	int r = link_add_loop(sock, GATE_IN, GATE_OUT, gate_mac, GATE_MTU);
	if (r == 0)
		r = link_index(sock, GATE_IN, &in);
	if (r == 0)
		r = link_index(sock, GATE_OUT, &out);
	if (r == 0)
		r = link_add_address(sock, out, &dummy);
	if (r == 0)
		r = relax_source_filter();
	if (r < 0)
		return r;
	/* A host without IPv6 needs no gate for it. */
	r = link_add_address(sock, in, &local);
	*ret_ip6 = r == 0;
	return r == -EOPNOTSUPP || r == -EACCES || r == -EAFNOSUPPORT || r == -EPERM ? 0 : r;
}

static int has_both(int *ret, struct err *err)
{
	CLEANUP_FD int route = -1, filter = -1;
	int index;
	int r = nl_open(NETLINK_ROUTE, &route);
	if (r == 0)
		r = link_index(route, GATE_OUT, &index);
	if (r == 0)
		r = nl_open(NETLINK_NETFILTER, &filter);
	if (r == 0)
		r = nft_has_set(filter, &table4, "layout_2");
	*ret = r > 0;
	return r < 0 && r != -ENODEV ? err_set(err, ERR_SYSTEM, r, "look for the gate of published ports") : 0;
}

/* The rules name the link by its index: both or none. */
int gate_ensure(struct err *err)
{
	CLEANUP_FD int sock = -1;
	CLEANUP_BUF struct buf script = BUF_INIT(8192);
	bool ip6 = false;
	int there = 0;
	int r = has_both(&there, err);
	if (r < 0 || there)
		return r;
	r = nl_open(NETLINK_ROUTE, &sock);
	if (r == 0)
		r = link_delete(sock, GATE_IN);
	if (r == 0)
		r = make_pair(sock, &ip6);
	if (r == 0)
		r = buf_append_str(&script, script4);
	if (r == 0 && ip6)
		r = buf_append_str(&script, script6);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "make the gate of published ports");
	return nft_run(buf_str(&script), err);
}

int gate_remove(struct err *err)
{
	CLEANUP_FD int sock = -1;
	int r = nl_open(NETLINK_ROUTE, &sock);
	if (r == 0)
		r = link_delete(sock, GATE_IN);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "remove the gate of published ports");
	return nft_run("table ip hull-gate\ndelete table ip hull-gate\ntable ip6 hull-gate\ndelete table ip6 hull-gate\n", err);
}
