/* SPDX-License-Identifier: Apache-2.0 */
#include "tc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>
#include <string.h>

#define LIMIT_HANDLE 0x00010000u   /* 1: */
#define INGRESS_HANDLE 0xffff0000u /* ffff: */
/* A bucket smaller than a packet of segmentation offload is torn to pieces by it,
 * and one of less than a timer tick's worth never fills the link. */
#define BURST_MIN 65536u
#define BURST_PART 100u /* of a second */
#define QUEUE_PART 20u  /* of a second: what waits before packets are dropped */

static struct tcmsg *tc_message(struct nl_batch *b, uint16_t type, uint16_t flags, int index, uint32_t parent, uint32_t handle)
{
	struct tcmsg *t = nl_message(b, type, flags, sizeof(*t));
	if (t) {
		t->tcm_family = AF_UNSPEC;
		t->tcm_ifindex = index;
		t->tcm_parent = parent;
		t->tcm_handle = handle;
	}
	return t;
}

int tc_limit(int sock, int index, uint64_t rate)
{
	struct nl_batch b;
	uint64_t bytes = rate / 8;
	uint64_t burst = bytes / BURST_PART, queue = bytes / QUEUE_PART;
	if (bytes == 0)
		return -EINVAL;
	if (burst < BURST_MIN)
		burst = BURST_MIN;
	if (queue < 2 * BURST_MIN)
		queue = 2 * BURST_MIN;
	if (burst > UINT32_MAX / 4)
		burst = UINT32_MAX / 4;
	if (queue > UINT32_MAX / 4)
		queue = UINT32_MAX / 4;
	struct tc_tbf_qopt options = {
		/* The linklayer is said so that no table of packet times is asked for. */
		.rate = { .rate = bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes, .linklayer = TC_LINKLAYER_ETHERNET },
		.limit = (uint32_t)(burst + queue),
	};
	nl_init(&b);
	tc_message(&b, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, index, TC_H_ROOT, LIMIT_HANDLE);
	nl_attr_str(&b, TCA_KIND, "tbf");
	size_t nest = nl_nest(&b, TCA_OPTIONS, 0);
	nl_attr(&b, TCA_TBF_PARMS, &options, sizeof(options));
	nl_attr_u32(&b, TCA_TBF_BURST, (uint32_t)burst);
	if (bytes > UINT32_MAX)
		nl_attr(&b, TCA_TBF_RATE64, &bytes, sizeof(bytes));
	nl_nest_end(&b, nest);
	return nl_talk(sock, &b, NULL);
}

static int delete_qdisc(int sock, int index, uint32_t parent, uint32_t handle)
{
	struct nl_batch b;
	nl_init(&b);
	tc_message(&b, RTM_DELQDISC, 0, index, parent, handle);
	int r = nl_talk(sock, &b, NULL);
	/* -EINVAL: there is one, but not ours. */
	return r == -ENOENT || r == -EINVAL ? 0 : r;
}

int tc_add_block(int sock, const char *name)
{
	struct nl_batch b;
	nl_init(&b);
	struct ifinfomsg *info = nl_message(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(*info));
	info->ifi_flags = IFF_UP;
	info->ifi_change = IFF_UP;
	nl_attr_str(&b, IFLA_IFNAME, name);
	size_t linkinfo = nl_nest(&b, IFLA_LINKINFO, 0);
	nl_attr_str(&b, IFLA_INFO_KIND, "ifb");
	nl_nest_end(&b, linkinfo);
	return nl_talk(sock, &b, NULL);
}

int tc_unlimit(int sock, int index)
{
	return delete_qdisc(sock, index, TC_H_ROOT, LIMIT_HANDLE);
}

int tc_stop_redirect(int sock, int index)
{
	return delete_qdisc(sock, index, TC_H_INGRESS, INGRESS_HANDLE);
}

static void put_redirect(struct nl_batch *b, int to)
{
	struct tc_mirred mirred = { .action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = (uint32_t)to };
	size_t actions = nl_nest(b, TCA_U32_ACT, 0);
	size_t first = nl_nest(b, 1, 0);
	nl_attr_str(b, TCA_ACT_KIND, "mirred");
	size_t options = nl_nest(b, TCA_ACT_OPTIONS, 0);
	nl_attr(b, TCA_MIRRED_PARMS, &mirred, sizeof(mirred));
	nl_nest_end(b, options);
	nl_nest_end(b, first);
	nl_nest_end(b, actions);
}

int tc_redirect_incoming(int sock, int index, int to)
{
	struct nl_batch b;
	/* One key of no bits: everything. */
	union {
		struct tc_u32_sel sel;
		uint8_t room[sizeof(struct tc_u32_sel) + sizeof(struct tc_u32_key)];
	} all;
	memset(&all, 0, sizeof(all));
	all.sel.flags = TC_U32_TERMINAL;
	all.sel.nkeys = 1;
	int r = tc_stop_redirect(sock, index);
	if (r < 0)
		return r;
	nl_init(&b);
	tc_message(&b, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, index, TC_H_INGRESS, INGRESS_HANDLE);
	nl_attr_str(&b, TCA_KIND, "ingress");
	struct tcmsg *t = tc_message(&b, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, index, INGRESS_HANDLE, 0);
	t->tcm_info = TC_H_MAKE(1u << 16, htons(ETH_P_ALL));
	nl_attr_str(&b, TCA_KIND, "u32");
	size_t options = nl_nest(&b, TCA_OPTIONS, 0);
	nl_attr(&b, TCA_U32_SEL, &all, sizeof(all));
	put_redirect(&b, to);
	nl_nest_end(&b, options);
	return nl_talk(sock, &b, NULL);
}

struct limit_query {
	int index;
	uint64_t rate;
};

static int take_qdisc(const struct nlmsghdr *h, void *arg)
{
	struct limit_query *q = arg;
	size_t len = h->nlmsg_len - NLMSG_LENGTH(sizeof(struct tcmsg)), n = 0;
	if (h->nlmsg_type != RTM_NEWQDISC || h->nlmsg_len < NLMSG_LENGTH(sizeof(struct tcmsg)))
		return 0;
	const struct tcmsg *t = NLMSG_DATA(h);
	const char *kind = nl_find_attr(t + 1, len, TCA_KIND, &n);
	if (t->tcm_ifindex != q->index || t->tcm_parent != TC_H_ROOT || !kind || n < 4 || memcmp(kind, "tbf", 4) != 0)
		return 0;
	const void *options = nl_find_attr(t + 1, len, TCA_OPTIONS, &len);
	const void *parms = options ? nl_find_attr(options, len, TCA_TBF_PARMS, &n) : NULL;
	struct tc_tbf_qopt qopt;
	if (!parms || n < sizeof(qopt))
		return -EBADMSG;
	memcpy(&qopt, parms, sizeof(qopt));
	q->rate = (uint64_t)qopt.rate.rate * 8;
	const void *large = nl_find_attr(options, len, TCA_TBF_RATE64, &n);
	if (large && n == sizeof(uint64_t)) {
		memcpy(&q->rate, large, sizeof(q->rate));
		q->rate *= 8;
	}
	return 0;
}

int tc_get_limit(int sock, int index, uint64_t *ret)
{
	struct nl_batch b;
	struct limit_query q = { .index = index };
	nl_init(&b);
	struct tcmsg *t = nl_message_no_ack(&b, RTM_GETQDISC, NLM_F_DUMP, sizeof(*t));
	t->tcm_ifindex = index;
	int r = nl_query(sock, &b, take_qdisc, &q);
	*ret = q.rate;
	return r < 0 ? r : 0;
}
