/* SPDX-License-Identifier: Apache-2.0 */
#include "net_rate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "link.h"
#include "tc.h"

#define NAME_SIZE 16

/* "hv0123456789a" has "hi0123456789a". */
static void block_name(const char *host_name, char ret[NAME_SIZE])
{
	snprintf(ret, NAME_SIZE, "hi%s", strlen(host_name) > 2 ? host_name + 2 : host_name);
}

static int limit_out(int sock, const char *host_name, int index, uint64_t rate)
{
	char block[NAME_SIZE];
	int to;
	block_name(host_name, block);
	if (!rate) {
		int r = tc_stop_redirect(sock, index);
		return r < 0 ? r : link_delete(sock, block);
	}
	int r = link_index(sock, block, &to);
	if (r == -ENODEV) {
		r = tc_add_block(sock, block);
		if (r == 0)
			r = link_index(sock, block, &to);
	}
	if (r == 0)
		r = tc_limit(sock, to, rate);
	return r < 0 ? r : tc_redirect_incoming(sock, index, to);
}

int net_rate_set(const char *host_name, const struct net_rate *rate, struct err *err)
{
	CLEANUP_FD int sock = -1;
	int index;
	int r = nl_open(NETLINK_ROUTE, &sock);
	if (r == 0)
		r = link_index(sock, host_name, &index);
	if (r == 0)
		r = rate->in ? tc_limit(sock, index, rate->in) : tc_unlimit(sock, index);
	if (r == 0)
		r = limit_out(sock, host_name, index, rate->out);
	if (r == -EOPNOTSUPP || r == -ENOENT) {
		r = err_set(err, ERR_UNSUPPORTED, r, "this kernel cannot limit a network's rate");
		err_hint(err, "modprobe -a sch_tbf sch_ingress cls_u32 act_mirred ifb");
		return r;
	}
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "limit the rate of %s", host_name) : 0;
}

int net_rate_forget(const char *host_name, struct err *err)
{
	CLEANUP_FD int sock = -1;
	char block[NAME_SIZE];
	block_name(host_name, block);
	int r = nl_open(NETLINK_ROUTE, &sock);
	if (r == 0)
		r = link_delete(sock, block);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "remove the link %s", block) : 0;
}

int net_rate_get(const char *host_name, struct net_rate *ret, struct err *err)
{
	CLEANUP_FD int sock = -1;
	char block[NAME_SIZE];
	int index;
	*ret = (struct net_rate){ 0 };
	block_name(host_name, block);
	int r = nl_open(NETLINK_ROUTE, &sock);
	if (r == 0)
		r = link_index(sock, host_name, &index);
	if (r == 0)
		r = tc_get_limit(sock, index, &ret->in);
	if (r == 0 && (r = link_index(sock, block, &index)) == 0)
		r = tc_get_limit(sock, index, &ret->out);
	return r < 0 && r != -ENODEV ? err_set(err, ERR_SYSTEM, r, "read the rate of %s", host_name) : 0;
}
