/* SPDX-License-Identifier: Apache-2.0 */
/* Sets, chains and rules over nfnetlink. */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "netlink.h"
#include "nft.h"

/* Elements in one batch: what fits NL_BUFFER_SIZE at about 200 bytes each. */
#define ELEMENTS_PER_BATCH 64
/* libnftnl's NFTNL_UDATA_RULE_COMMENT: type, length, text. */
#define UDATA_COMMENT 0

static void *nft_message(struct nl_batch *b, uint8_t family, int type, uint16_t flags, bool ack)
{
	struct nfgenmsg *g = (ack ? nl_message : nl_message_no_ack)(b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags,
								    sizeof(*g));
	g->nfgen_family = family;
	g->version = NFNETLINK_V0;
	return g;
}

static void batch_mark(struct nl_batch *b, uint16_t type)
{
	struct nfgenmsg *g = nl_message_no_ack(b, type, 0, sizeof(*g));
	g->nfgen_family = AF_UNSPEC;
	g->version = NFNETLINK_V0;
	g->res_id = htons(NFNL_SUBSYS_NFTABLES);
}

/* The attributes after the nfgenmsg of an answer, or NULL for another kind. */
static const void *attributes(const struct nlmsghdr *h, int type, size_t *ret_len)
{
	if (h->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | type) || h->nlmsg_len < NLMSG_LENGTH(sizeof(struct nfgenmsg)))
		return NULL;
	*ret_len = h->nlmsg_len - NLMSG_LENGTH(sizeof(struct nfgenmsg));
	return (const char *)NLMSG_DATA(h) + sizeof(struct nfgenmsg);
}

/* A string attribute, "" when it is missing or has no end. */
static const char *text_of(const void *data, size_t len, uint16_t type)
{
	size_t n = 0;
	const char *s = nl_find_attr(data, len, type, &n);
	return s && n && s[n - 1] == '\0' ? s : "";
}

static uint64_t number_of(const void *data, size_t len, uint16_t type)
{
	size_t n = 0;
	uint32_t small;
	uint64_t large;
	const void *p = nl_find_attr(data, len, type, &n);
	if (p && n == sizeof(small)) {
		memcpy(&small, p, sizeof(small));
		return ntohl(small);
	}
	if (p && n == sizeof(large)) {
		memcpy(&large, p, sizeof(large));
		return be64toh(large);
	}
	return 0;
}

/* ---- sets ---- */

static int any_answer(const struct nlmsghdr *h, void *arg)
{
	(void)h;
	*(bool *)arg = true;
	return 1;
}

int nft_has_set(int sock, const struct nft_table *table, const char *set)
{
	struct nl_batch b;
	bool found = false;
	nl_init(&b);
	nft_message(&b, table->family, NFT_MSG_GETSET, 0, false);
	nl_attr_str(&b, NFTA_SET_TABLE, table->name);
	nl_attr_str(&b, NFTA_SET_NAME, set);
	int r = nl_query(sock, &b, any_answer, &found);
	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : found;
}

struct set_visit {
	int (*visit)(const char *name, void *arg);
	void *arg;
};

static int on_set(const struct nlmsghdr *h, void *arg)
{
	const struct set_visit *v = arg;
	size_t len = 0;
	const void *data = attributes(h, NFT_MSG_NEWSET, &len);
	return data ? v->visit(text_of(data, len, NFTA_SET_NAME), v->arg) : 0;
}

int nft_visit_sets(int sock, const struct nft_table *table, int (*visit)(const char *name, void *arg), void *arg)
{
	struct nl_batch b;
	struct set_visit v = { visit, arg };
	nl_init(&b);
	nft_message(&b, table->family, NFT_MSG_GETSET, NLM_F_DUMP, false);
	nl_attr_str(&b, NFTA_SET_TABLE, table->name);
	return nl_query(sock, &b, on_set, &v);
}

void nft_put_part(uint8_t *to, size_t *len, const void *part, size_t part_len)
{
	memset(to + *len, 0, (part_len + 3) / 4 * 4);
	memcpy(to + *len, part, part_len);
	*len += (part_len + 3) / 4 * 4;
}

static void put_value(struct nl_batch *b, uint16_t type, const uint8_t *value, size_t len)
{
	size_t nest = nl_nest(b, type, 0);
	nl_attr(b, NFTA_DATA_VALUE, value, len);
	nl_nest_end(b, nest);
}

static void put_element(struct nl_batch *b, const struct nft_table *table, const struct nft_element *e, bool add)
{
	nft_message(b, table->family, add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, add ? NLM_F_CREATE : 0, true);
	nl_attr_str(b, NFTA_SET_ELEM_LIST_TABLE, table->name);
	nl_attr_str(b, NFTA_SET_ELEM_LIST_SET, e->set);
	size_t list = nl_nest(b, NFTA_SET_ELEM_LIST_ELEMENTS, 0);
	size_t element = nl_nest(b, NFTA_LIST_ELEM, 0);
	put_value(b, NFTA_SET_ELEM_KEY, e->key, e->key_len);
	if (e->is_interval_end)
		nl_attr_u32_be(b, NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
	if (e->data_len && add)
		put_value(b, NFTA_SET_ELEM_DATA, e->data, e->data_len);
	if (e->timeout_ms && add)
		nl_attr(b, NFTA_SET_ELEM_TIMEOUT, &(uint64_t){ htobe64(e->timeout_ms) }, sizeof(uint64_t));
	nl_nest_end(b, element);
	nl_nest_end(b, list);
}

int nft_change_elements(int sock, const struct nft_table *table, const struct nft_element *elements, size_t n, bool add)
{
	while (n) {
		struct nl_batch b;
		size_t count = n < ELEMENTS_PER_BATCH ? n : ELEMENTS_PER_BATCH;
		nl_init(&b);
		batch_mark(&b, NFNL_MSG_BATCH_BEGIN);
		for (size_t i = 0; i < count; i++)
			put_element(&b, table, &elements[i], add);
		batch_mark(&b, NFNL_MSG_BATCH_END);
		int r = nl_talk(sock, &b, NULL);
		if (r < 0)
			return r;
		elements += count;
		n -= count;
	}
	return 0;
}

/* An element that is only added again keeps its time before Linux 6.13. */
int nft_renew_element(int sock, const struct nft_table *table, const struct nft_element *element)
{
	struct nl_batch b;
	nl_init(&b);
	batch_mark(&b, NFNL_MSG_BATCH_BEGIN);
	put_element(&b, table, element, true);
	put_element(&b, table, element, false);
	put_element(&b, table, element, true);
	batch_mark(&b, NFNL_MSG_BATCH_END);
	return nl_talk(sock, &b, NULL);
}

struct element_visit {
	int (*visit)(const struct nft_found *found, void *arg);
	void *arg;
};

static int found_element(const char *data, size_t len, const struct element_visit *v)
{
	struct nft_found found = { 0 };
	size_t key_len = 0, ext_len = 0;
	const void *key = nl_find_attr(data, len, NFTA_SET_ELEM_KEY, &key_len);
	if (!key)
		return 0;
	found.key = nl_find_attr(key, key_len, NFTA_DATA_VALUE, &found.key_len);
	found.expires_ms = number_of(data, len, NFTA_SET_ELEM_EXPIRATION);
	const void *expr = nl_find_attr(data, len, NFTA_SET_ELEM_EXPR, &ext_len);
	size_t counter_len = 0;
	const void *counter = expr ? nl_find_attr(expr, ext_len, NFTA_EXPR_DATA, &counter_len) : NULL;
	if (counter && strcmp(text_of(expr, ext_len, NFTA_EXPR_NAME), "counter") == 0)
		found.packets = number_of(counter, counter_len, NFTA_COUNTER_PACKETS);
	return found.key ? v->visit(&found, v->arg) : 0;
}

static int on_elements(const struct nlmsghdr *h, void *arg)
{
	size_t len = 0, list_len = 0;
	const char *data = attributes(h, NFT_MSG_NEWSETELEM, &len);
	const char *list = data ? nl_find_attr(data, len, NFTA_SET_ELEM_LIST_ELEMENTS, &list_len) : NULL;
	while (list && list_len >= sizeof(struct nlattr)) {
		struct nlattr a;
		memcpy(&a, list, sizeof(a));
		if (a.nla_len < sizeof(a) || a.nla_len > list_len)
			return -EBADMSG;
		int r = found_element(list + sizeof(a), a.nla_len - sizeof(a), arg);
		if (r != 0)
			return r;
		size_t step = NLA_ALIGN(a.nla_len);
		if (step >= list_len)
			break;
		list += step;
		list_len -= step;
	}
	return 0;
}

int nft_visit_elements(int sock, const struct nft_table *table, const char *set,
		       int (*visit)(const struct nft_found *found, void *arg), void *arg)
{
	struct nl_batch b;
	struct element_visit v = { visit, arg };
	nl_init(&b);
	nft_message(&b, table->family, NFT_MSG_GETSETELEM, NLM_F_DUMP, false);
	nl_attr_str(&b, NFTA_SET_ELEM_LIST_TABLE, table->name);
	nl_attr_str(&b, NFTA_SET_ELEM_LIST_SET, set);
	return nl_query(sock, &b, on_elements, &v);
}

/* ---- chains and rules of anybody ---- */

struct chain_visit {
	int (*visit)(const struct nft_chain *chain, void *arg);
	void *arg;
};

static int on_chain(const struct nlmsghdr *h, void *arg)
{
	const struct chain_visit *v = arg;
	size_t len = 0, hook_len = 0;
	const void *data = attributes(h, NFT_MSG_NEWCHAIN, &len);
	const void *hook = data ? nl_find_attr(data, len, NFTA_CHAIN_HOOK, &hook_len) : NULL;
	if (!hook)
		return 0;
	struct nft_chain chain = {
		.family = ((const struct nfgenmsg *)NLMSG_DATA(h))->nfgen_family,
		.table = text_of(data, len, NFTA_CHAIN_TABLE),
		.name = text_of(data, len, NFTA_CHAIN_NAME),
		.hook = (uint32_t)number_of(hook, hook_len, NFTA_HOOK_HOOKNUM),
		.priority = (int32_t)number_of(hook, hook_len, NFTA_HOOK_PRIORITY),
		.drops = nl_find_attr(data, len, NFTA_CHAIN_POLICY, NULL) && number_of(data, len, NFTA_CHAIN_POLICY) == NF_DROP,
	};
	return v->visit(&chain, v->arg);
}

int nft_visit_base_chains(int sock, int (*visit)(const struct nft_chain *chain, void *arg), void *arg)
{
	struct nl_batch b;
	struct chain_visit v = { visit, arg };
	nl_init(&b);
	nft_message(&b, NFPROTO_UNSPEC, NFT_MSG_GETCHAIN, NLM_F_DUMP, false);
	return nl_query(sock, &b, on_chain, &v);
}

/* What an expression does by itself: 1 refuses, 0 changes nothing, -1 anything else. */
static int effect_of(const char *expr, size_t len)
{
	const char *name = text_of(expr, len, NFTA_EXPR_NAME);
	if (strcmp(name, "reject") == 0)
		return 1;
	if (strcmp(name, "counter") == 0 || strcmp(name, "log") == 0)
		return 0;
	if (strcmp(name, "immediate") != 0)
		return -1;
	size_t n = 0;
	const void *data = nl_find_attr(expr, len, NFTA_EXPR_DATA, &n);
	const void *value = data ? nl_find_attr(data, n, NFTA_IMMEDIATE_DATA, &n) : NULL;
	const void *verdict = value ? nl_find_attr(value, n, NFTA_DATA_VERDICT, &n) : NULL;
	bool drops = verdict && nl_find_attr(verdict, n, NFTA_VERDICT_CODE, NULL) &&
		     number_of(verdict, n, NFTA_VERDICT_CODE) == NF_DROP;
	return drops ? 1 : -1;
}

static bool refuses_all(const char *list, size_t len)
{
	bool refuses = false;
	while (len >= sizeof(struct nlattr)) {
		struct nlattr a;
		memcpy(&a, list, sizeof(a));
		if (a.nla_len < sizeof(a) || a.nla_len > len)
			return false;
		int effect = effect_of(list + sizeof(a), a.nla_len - sizeof(a));
		if (effect < 0)
			return false;
		refuses |= effect > 0;
		size_t step = NLA_ALIGN(a.nla_len);
		if (step >= len)
			break;
		list += step;
		len -= step;
	}
	return refuses;
}

struct rule_visit {
	int (*visit)(const struct nft_rule *rule, void *arg);
	void *arg;
};

static int on_rule(const struct nlmsghdr *h, void *arg)
{
	const struct rule_visit *v = arg;
	size_t len = 0, n = 0;
	const void *data = attributes(h, NFT_MSG_NEWRULE, &len);
	if (!data)
		return 0;
	struct nft_rule rule = { .handle = number_of(data, len, NFTA_RULE_HANDLE), .comment = "" };
	const uint8_t *udata = nl_find_attr(data, len, NFTA_RULE_USERDATA, &n);
	if (udata && n >= 2 && udata[0] == UDATA_COMMENT && udata[1] <= n - 2) {
		rule.comment = (const char *)udata + 2;
		rule.comment_len = strnlen(rule.comment, udata[1]);
	}
	const char *expressions = nl_find_attr(data, len, NFTA_RULE_EXPRESSIONS, &n);
	rule.refuses_all = expressions && refuses_all(expressions, n);
	return v->visit(&rule, v->arg);
}

int nft_visit_rules(int sock, const struct nft_table *table, const char *chain,
		    int (*visit)(const struct nft_rule *rule, void *arg), void *arg)
{
	struct nl_batch b;
	struct rule_visit v = { visit, arg };
	nl_init(&b);
	nft_message(&b, table->family, NFT_MSG_GETRULE, NLM_F_DUMP, false);
	nl_attr_str(&b, NFTA_RULE_TABLE, table->name);
	nl_attr_str(&b, NFTA_RULE_CHAIN, chain);
	return nl_query(sock, &b, on_rule, &v);
}

int nft_delete_rule(int sock, const struct nft_table *table, const char *chain, uint64_t handle)
{
	struct nl_batch b;
	nl_init(&b);
	batch_mark(&b, NFNL_MSG_BATCH_BEGIN);
	nft_message(&b, table->family, NFT_MSG_DELRULE, 0, true);
	nl_attr_str(&b, NFTA_RULE_TABLE, table->name);
	nl_attr_str(&b, NFTA_RULE_CHAIN, chain);
	nl_attr(&b, NFTA_RULE_HANDLE, &(uint64_t){ htobe64(handle) }, sizeof(uint64_t));
	batch_mark(&b, NFNL_MSG_BATCH_END);
	return nl_talk(sock, &b, NULL);
}
