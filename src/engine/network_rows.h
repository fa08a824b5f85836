/* SPDX-License-Identifier: Apache-2.0 */
/* Networks and endpoints as recorded: the tables of state.c, read. What is done
 * to them is in networks.h (a container's start and end), network_objects.h
 * (create, remove) and network_connect.h.
 *
 * A network is known by its name, which never changes and is what endpoints
 * refer to; so a container that is stopped finds a network that was removed and
 * made again. An endpoint is a container's membership: its row lives as long as
 * that, and holds addresses only while the container runs (is_active). The modes
 * host, none and container:x have no rows. */
#pragma once

#include "link.h"
#include "names.h"
#include "state.h"

#define NETWORK_BRIDGE "bridge" /* the default network, and a driver */
#define NETWORK_HOST "host"
#define NETWORK_NONE "none"

enum network_driver {
	DRIVER_BRIDGE,
	DRIVER_MACVLAN,
	DRIVER_IPVLAN,
	DRIVER_HOST, /* of the network host */
	DRIVER_NULL, /* of the network none */
	DRIVER_COUNT
};
const char *network_driver_name(enum network_driver driver);
/* DRIVER_COUNT when there is none of the name. */
enum network_driver network_driver_parse(const char *name);

struct network {
	char id[ID_SIZE];
	char *name;
	enum network_driver driver;
	char bridge[16]; /* the link on the host; empty: none, or not chosen yet */
	/* Gateways have the subnet's prefix; family 0: none. */
	struct ip_address subnet4, gateway4, range4, subnet6, gateway6, range6;
	struct strv aux; /* "name=address": never given to a container */
	bool is_internal, is_isolated, is_attachable, has_ipv4, has_ipv6;
	uint32_t mtu; /* 0: the kernel's */
	struct strv options, labels; /* "key=value" */
	char *parent; /* link of the host that macvlan, ipvlan and VLANs use; NULL: none */
	int vlan; /* 0: none */
	bool keeps_bridge; /* the bridge was there before the network */
	bool owns_parent;  /* the VLAN that is its parent was made for it */
	int64_t created_ns;
};
void network_free(struct network *n);
static inline void cleanup_network(struct network **n)
{
	network_free(*n);
}
#define CLEANUP_NETWORK CLEANUP(cleanup_network)
void network_list_free(struct network **list, size_t n);

/* One of bridge, host, none. */
bool network_is_predefined(const char *name);
/* By name, else by id or unique prefix of an id. ERR_NOT_FOUND "network x not
 * found", ERR_INVALID when the prefix is of several. */
int network_find(struct engine *engine, const char *name, struct network **ret, struct err *err) MUST_CHECK;
/* By exact name; 0 when there is none, 1 when there is. */
int network_get(struct engine *engine, const char *name, struct network **ret, struct err *err) MUST_CHECK;
/* The same, also one that is being made or removed. */
int network_get_any(struct engine *engine, const char *name, struct network **ret, struct err *err) MUST_CHECK;
/* All that are not being made or removed, by name. */
int network_list_all(struct engine *engine, struct network ***ret, size_t *ret_n, struct err *err) MUST_CHECK;

struct endpoint {
	char container[ID_SIZE];
	char *network;
	int64_t position;    /* in the container, from 0: the order of joining */
	bool is_active;      /* the container runs and holds what follows */
	char id[ID_SIZE];    /* Docker's EndpointID; of one run */
	char *interface;     /* inside: "eth0" */
	char *host_name;     /* of the link on the host */
	char mac[18];
	char address4[16], address6[46]; /* without prefix; empty: none */
	/* ---- what was asked for; empty: hull's choice ---- */
	char asked_mac[18], asked4[16], asked6[46];
	struct strv aliases;
	struct strv links;   /* "container:alias" */
	struct strv driver_opts; /* "key=value" */
	int64_t gw_priority;
	/* All names it answers to in its network while active: the container's,
	 * its short id, its host name, its aliases. */
	struct strv dns_names;
};

/* Of a container by position, or of a network by address; the caller frees the
 * list with endpoint_list_free(). */
int endpoints_of_container(struct engine *engine, const char *id, struct endpoint **ret, size_t *ret_n, struct err *err) MUST_CHECK;
int endpoints_of_network(struct engine *engine, const char *network, struct endpoint **ret, size_t *ret_n, struct err *err) MUST_CHECK;
void endpoint_list_free(struct endpoint *list, size_t n);

struct endpoint_list {
	struct endpoint *v;
	size_t n;
};
static inline void endpoint_list_done(struct endpoint_list *l)
{
	endpoint_list_free(l->v, l->n);
}
#define CLEANUP_ENDPOINTS CLEANUP(endpoint_list_done)
