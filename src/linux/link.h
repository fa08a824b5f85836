/* SPDX-License-Identifier: Apache-2.0 */
/* Network links, addresses and routes by rtnetlink. The socket decides the
 * network namespace. Addresses are given as AF_INET/AF_INET6 bytes. */
#pragma once

#include <stdint.h>
#include <sys/socket.h>

#include "netlink.h"

struct ip_address {
	int family; /* AF_INET, AF_INET6, or 0 for none */
	uint8_t bytes[16];
	uint8_t prefix;
};

/* "10.0.0.1/24", or without a prefix length the whole address; -EINVAL. */
int ip_parse(const char *s, struct ip_address *ret) MUST_CHECK;
#define IP_TEXT_SIZE 52
/* With the prefix length. Returns @out. */
const char *ip_format(const struct ip_address *a, char out[IP_TEXT_SIZE]);
/* Without the prefix length; "" for none. Returns @out. */
const char *ip_format_bare(const struct ip_address *a, char out[IP_TEXT_SIZE]);
/* The same with all bits after the prefix cleared. */
struct ip_address ip_subnet(const struct ip_address *a);

/* -EEXIST if a link of the name is there. Up at once. */
int link_add_bridge(int sock, const char *name, uint32_t mtu) MUST_CHECK;
/* A pair: @host_name here, a port of the bridge @master (an index) and up;
 * @peer_name in the network namespace @peer_netns, still down. */
int link_add_veth(int sock, const char *host_name, int master, const char *peer_name, int peer_netns,
		  const uint8_t peer_mac[6], uint32_t mtu) MUST_CHECK;
/* A pair of which both ends stay here, up and without ARP or an address of
 * their own making: with one hardware address, what is sent by one is received
 * by the other whatever it is for. */
int link_add_loop(int sock, const char *name, const char *peer_name, const uint8_t mac[6], uint32_t mtu) MUST_CHECK;
/* A macvlan or ipvlan (@kind) of the link @parent (an index), made in the network
 * namespace @netns at once, still down. @mode as in linux/if_link.h. @mac NULL:
 * the parent's (ipvlan). -EOPNOTSUPP when the kernel has no such links. */
struct link_upper {
	const char *kind, *name;
	int parent, netns;
	const uint8_t *mac;
	uint32_t mode, mtu;
};
int link_add_upper(int sock, const struct link_upper *u) MUST_CHECK;
/* 802.1Q, up; -EEXIST, -EOPNOTSUPP. */
int link_add_vlan(int sock, const char *name, int parent, uint16_t id) MUST_CHECK;
int link_set_master(int sock, int index, int master) MUST_CHECK;
/* Ports of a bridge that are isolated do not see each other (Linux 4.18). */
int link_set_port_isolated(int sock, const char *name) MUST_CHECK;
/* A link that is there becomes a port of the bridge @master (an index) and up, without
 * an address of its own making. */
int link_join_bridge(int sock, const char *name, int master, uint32_t mtu) MUST_CHECK;
/* 0 also when there is none. */
int link_delete(int sock, const char *name) MUST_CHECK;
int link_set_up(int sock, int index) MUST_CHECK;
int link_index(int sock, const char *name, int *ret) MUST_CHECK; /* -ENODEV */
int link_add_address(int sock, int index, const struct ip_address *a) MUST_CHECK; /* -EEXIST is success */
/* The address alone: its subnet is not taken to be on the link. */
int link_add_bare_address(int sock, int index, const struct ip_address *a) MUST_CHECK;
/* To the subnet @to (an address in it), by @gateway, or on the link itself when
 * that is NULL. -EEXIST is success. */
int link_add_route(int sock, int index, const struct ip_address *to, const struct ip_address *gateway) MUST_CHECK;
/* By @gateway, or by the link itself when that is NULL. Takes the place of the
 * one of @family that is there. */
int link_set_default_route(int sock, int index, int family, const struct ip_address *gateway) MUST_CHECK;
int link_delete_default_route(int sock, int family) MUST_CHECK; /* 0 also when there is none */
