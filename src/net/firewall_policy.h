/* SPDX-License-Identifier: Apache-2.0 */
/* Who may speak to whom: the rules of an isolated network, and those by which
 * one workload leaves its networks. Each is a few chains in hull's table that are
 * written as a whole when the rules change; which workloads a rule is about is a
 * set of addresses, and costs one element when one starts or ends. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "link.h"

/* One end of a rule. */
enum policy_kind {
	POLICY_ANY,     /* the network's workloads, the host, what is outside */
	POLICY_HOST,
	POLICY_OUTSIDE,
	POLICY_MEMBERS, /* the workloads in the rule's set: firewall_member_set() */
	POLICY_ADDRESS, /* outside, this address or subnet */
	POLICY_NAME,    /* outside, what the name server has answered: firewall_admit() */
};
struct policy_end {
	enum policy_kind kind;
	struct ip_address address;
};
struct policy_rule {
	int64_t id;
	struct policy_end from, to;
	char protocol[8]; /* "tcp", "udp", "sctp", "icmp"; empty: any */
	uint16_t port_first, port_last; /* 0: any */
	bool allow;
};

/* ---- a network ---- */

/* The chains of the bridge, in which the first rule that fits decides and what
 * none fits is refused. @name is an identifier of its own for it; what was there
 * under it is replaced, in one transaction. The sets of rules that stay keep
 * their members, those of new rules are empty. */
struct policy {
	const char *name, *bridge;
	const struct policy_rule *rules;
	size_t rules_n;
	bool has_uplink; /* machines of a VLAN are on the bridge, too */
};
int firewall_policy_set(const struct policy *policy, struct err *err) MUST_CHECK;
/* Take all of it away, whatever is there of it. */
int firewall_policy_clear(const char *name, const char *bridge, struct err *err) MUST_CHECK;
/* 1 or 0. */
int firewall_policy_is_there(const char *name, struct err *err) MUST_CHECK;

/* What comes from the bridge's @port, which leads to machines that are not hull's, goes
 * by the policy @name; nothing unless it is new. The bridge is there, and keeps its
 * address. */
int firewall_uplink_ensure(const char *name, const char *bridge, const char *port, struct err *err) MUST_CHECK;
int firewall_uplink_clear(const char *name, const char *port, struct err *err) MUST_CHECK;

/* ---- members ---- */

#define MEMBER_SET_SIZE 64
/* The set of @policy's rule @rule: @side 'f' (from) or 't' (to), of @family. */
const char *firewall_member_set(const char *policy, int64_t rule, char side, int family, char out[MEMBER_SET_SIZE]);
struct policy_member {
	char set[MEMBER_SET_SIZE];
	struct ip_address address;
};
/* Any number of times; one that is not there is no member already. */
int firewall_members_add(const struct policy_member *members, size_t n, struct err *err) MUST_CHECK;
int firewall_members_remove(const struct policy_member *members, size_t n, struct err *err) MUST_CHECK;

/* From the link @host_name comes nothing but what has one of @addresses. */
int firewall_guard(const char *host_name, const struct ip_address *addresses, size_t n, struct err *err) MUST_CHECK;
int firewall_unguard(const char *host_name, const struct ip_address *addresses, size_t n, struct err *err) MUST_CHECK;

/* ---- one workload ---- */

/* What @addresses send out of their networks is refused unless a rule of @policy
 * allows it; its bridge and the rules' from are of no meaning. */
int firewall_egress_set(const struct policy *policy, const struct ip_address *addresses, size_t n, struct err *err) MUST_CHECK;
/* No longer for these addresses; and away with the chain when it is for none. */
int firewall_egress_drop(const struct ip_address *addresses, size_t n, struct err *err) MUST_CHECK;
int firewall_egress_clear(const char *name, struct err *err) MUST_CHECK;

/* ---- names ---- */

/* @from has been told that @to is the address of a name that it may reach by
 * @port: for @ttl_s it may. For a name server: before it answers. */
struct admission {
	struct ip_address from, to;
	uint8_t protocol; /* IPPROTO_TCP, ... */
	uint16_t port;
	uint32_t ttl_s;
};
/* @sock is of nl_open(NETLINK_NETFILTER), so that a server may open it before it
 * gives up its rights. A negative errno. */
int firewall_admit(int sock, const struct admission *list, size_t n) MUST_CHECK;

/* What these addresses were told is theirs no longer. */
int firewall_admitted_forget(const struct ip_address *addresses, size_t n, struct err *err) MUST_CHECK;

/* ---- what was refused ---- */

struct refusal {
	struct ip_address from, to;
	uint8_t protocol;
	uint16_t port; /* 0: of a protocol without */
	uint64_t packets;
	uint64_t ago_ms; /* since the last one */
};
/* Of the last hour, in no order; a non-zero return of @visit ends it. */
int firewall_visit_refused(int (*visit)(const struct refusal *refusal, void *arg), void *arg, struct err *err) MUST_CHECK;
