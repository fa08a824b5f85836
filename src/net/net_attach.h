/* SPDX-License-Identifier: Apache-2.0 */
/* The workload's side of a network: interfaces in its network namespace. */
#pragma once

#include "err.h"
#include "link.h"
#include "runtime_spec.h"

/* Bring up the loopback of @netns_fd, and make each interface: a veth pair whose
 * host end joins the bridge, or a macvlan or ipvlan of a link of the host;
 * addresses, default routes. The calling thread
 * enters the namespace for a moment and comes back; it must be the only thread.
 * On failure the host ends that were made are gone again. */
int net_attach(int netns_fd, const struct spec_interface *ifs, size_t n, struct err *err) MUST_CHECK;
/* What is done inside, in the network namespace of the caller, to interfaces that
 * are there already. */
int net_configure(const struct spec_interface *ifs, size_t n, struct err *err) MUST_CHECK;
/* The pairs alone, for a guest that has a network stack of its own: the ends in
 * @netns_fd are down and without addresses. Undone on failure. */
int net_plug(int netns_fd, const struct spec_interface *ifs, size_t n, struct err *err) MUST_CHECK;
/* Remove the host ends; ones that are gone (they go with the namespace) are
 * success. */
int net_detach(const struct spec_interface *ifs, size_t n, struct err *err) MUST_CHECK;

/* "02:42:" and the four bytes of the IPv4 address, as Docker does, so that a
 * neighbour's cache stays true when an address moves on. */
int net_mac_from_ip4(const char *address4, char ret_mac[18]) MUST_CHECK;
/* Docker's "02:42:..." of whatever address it is. */
void net_mac_from_address(const struct ip_address *address, char ret_mac[18]);
/* Any unicast address; -EINVAL. */
int net_mac_check(const char *mac) MUST_CHECK;
int net_mac_parse(const char *mac, uint8_t ret[6]) MUST_CHECK;

/* The default route of @netns_fd by @interface and @gateway ("": by the link
 * itself); with @interface NULL there is to be none. */
struct net_route {
	int family;
	const char *interface, *gateway;
};
int net_set_default_routes(int netns_fd, const struct net_route *routes, size_t n, struct err *err) MUST_CHECK;
/* The same in the network namespace of the caller. */
int net_route_own(const struct net_route *routes, size_t n, struct err *err) MUST_CHECK;
/* Remove the link @interface in @netns_fd; one that is gone is success. */
int net_remove_inside(int netns_fd, const char *interface, struct err *err) MUST_CHECK;
