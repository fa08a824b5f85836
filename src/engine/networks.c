/* SPDX-License-Identifier: Apache-2.0 */
#include "networks.h"
#include "events.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "fault.h"
#include "net_attach.h"
#include "net_bridge.h"
#include "network_rows.h"
#include "ports.h"

/* The addresses looked at in one subnet. */
#define HOSTS_MAX 65534u

static bool is_bridge_mode(const char *mode)
{
	return str_is_empty(mode) || str_eq(mode, "default") || str_eq(mode, NETWORK_BRIDGE);
}

int networks_join(struct engine *engine, const struct container *c, struct err *err)
{
	if (!is_bridge_mode(c->config->network_mode) || c->config->network_disabled)
		return 0;
	int r = db_run(engine->db, err, "INSERT INTO endpoints(container, network) VALUES(?, ?)", "ss", c->id, NETWORK_BRIDGE);
	return r < 0 ? r : 0;
}

int networks_check_mode(struct engine *engine, const char *mode, struct err *err)
{
	(void)engine;
	if (is_bridge_mode(mode) || str_eq(mode, "none") || str_eq(mode, "host") || str_starts_with(mode, "container:"))
		return 0;
	return err_set(err, ERR_NOT_FOUND, 0, "failed to set up container networking: network %s not found", mode);
}

/* "hull0", or a name of its own for a state elsewhere, so that two of them can
 * live on one host. */
static void bridge_name(const struct engine *engine, char out[16])
{
	uint64_t hash = 0xcbf29ce484222325ULL; /* FNV-1a */
	if (str_eq(engine->root, "/var/lib/hull")) {
		snprintf(out, 16, "hull0");
		return;
	}
	for (const char *p = engine->root; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 0x100000001b3ULL;
	snprintf(out, 16, "hull%08x", (unsigned)(hash ^ hash >> 32));
}

/* The default network, with its subnet chosen when it is first needed. */
static int default_network(struct engine *engine, struct net_bridge *ret, struct err *err)
{
	CLEANUP_NETWORK struct network *n = NULL;
	char text[IP_TEXT_SIZE];
	*ret = (struct net_bridge){ 0 };
	int r = network_find(engine, NETWORK_BRIDGE, &n, err);
	if (r < 0)
		return r;
	if (n->gateway4.family) {
		ret->gateway4 = n->gateway4;
		return str_copy(ret->name, sizeof(ret->name), n->bridge);
	}
	r = net_choose_subnet4(NULL, 0, &ret->gateway4, err);
	if (r < 0)
		return r;
	bridge_name(engine, ret->name);
	ip_format(&ret->gateway4, text);
	r = db_run(engine->db, err, "UPDATE networks SET bridge = ?, gateway4 = ?, subnet4 = ? WHERE name = ?", "ssss", ret->name, text,
		   text, NETWORK_BRIDGE);
	return r < 0 ? r : 0;
}

/* The lowest address of the subnet that no container holds. */
static int choose_address(struct engine *engine, const struct ip_address *gateway, struct ip_address *ret, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	CLEANUP_FREE uint8_t *taken = mem_calloc(HOSTS_MAX / 8 + 1, 1);
	uint32_t gateway_bits, mask = ~0U << (32 - gateway->prefix);
	memcpy(&gateway_bits, gateway->bytes, 4);
	gateway_bits = ntohl(gateway_bits);
	uint32_t net = gateway_bits & mask, hosts = ~mask < HOSTS_MAX ? ~mask : HOSTS_MAX;

	int r = db_query(engine->db, &row, err, "SELECT address4 FROM endpoints WHERE network = ?", "s", NETWORK_BRIDGE);
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		struct in_addr a;
		if (db_text(row, 0) && inet_pton(AF_INET, db_text(row, 0), &a) == 1) {
			uint32_t host = ntohl(a.s_addr) - net;
			if (host <= hosts)
				taken[host / 8] |= (uint8_t)(1u << host % 8);
		}
	}
	if (r < 0)
		return r;
	for (uint32_t host = 1; host < hosts; host++) {
		if (taken[host / 8] >> host % 8 & 1 || net + host == gateway_bits)
			continue;
		uint32_t bits = htonl(net + host);
		*ret = *gateway;
		memcpy(ret->bytes, &bits, 4);
		return 0;
	}
	r = err_set(err, ERR_CONFLICT, 0, "no available IPv4 addresses on this network's address pools: %s", NETWORK_BRIDGE);
	err_hint(err, "hull container prune   (stopped containers hold none; this many are running)");
	return r;
}

/* The events "connect" and "disconnect". */
static int record(struct engine *engine, const char *action, const char *container, struct err *err)
{
	CLEANUP_STRV struct strv attributes = { 0 };
	strv_printf(&attributes, "container=%s", container);
	strv_add(&attributes, "name=" NETWORK_BRIDGE);
	strv_add(&attributes, "type=bridge");
	return event_record(engine, "network", action, NETWORK_BRIDGE, &attributes, err);
}

static int reserve_interface(struct engine *engine, struct container *c, const struct image_config *image,
			     struct net_bridge *bridge, const char *kept, struct runtime_spec *spec, struct err *err)
{
	struct ip_address address = bridge->gateway4;
	char text[IP_TEXT_SIZE], bare[INET_ADDRSTRLEN], gateway[INET_ADDRSTRLEN];
	int r = kept && inet_pton(AF_INET, kept, address.bytes) == 1 ? 0 : choose_address(engine, &bridge->gateway4, &address, err);
	if (r < 0)
		return r;
	spec->interfaces = mem_calloc(1, sizeof(*spec->interfaces));
	spec->interfaces_n = 1;
	struct spec_interface *i = spec->interfaces;
	i->network = str_dup(NETWORK_BRIDGE);
	i->name = str_dup("eth0");
	i->bridge = str_dup(bridge->name);
	/* Named after the container, so that whoever cleans up finds it. */
	i->host_name = str_printf("hv%.11s", c->id);
	if (!inet_ntop(AF_INET, address.bytes, bare, sizeof(bare)) ||
	    !inet_ntop(AF_INET, bridge->gateway4.bytes, gateway, sizeof(gateway)) ||
	    str_copy(i->address4, sizeof(i->address4), ip_format(&address, text)) < 0 ||
	    str_copy(i->gateway4, sizeof(i->gateway4), gateway) < 0)
		return err_set(err, ERR_SYSTEM, EINVAL, "format an address");
	if (!str_is_empty(c->config->mac_address)) {
		if (str_copy(i->mac, sizeof(i->mac), c->config->mac_address) < 0)
			return err_set(err, ERR_INVALID, 0, "invalid MAC address: %s", c->config->mac_address);
	} else if (net_mac_from_ip4(bare, i->mac) < 0) {
		return err_set(err, ERR_SYSTEM, EINVAL, "make a MAC address");
	}
	char endpoint[ID_SIZE];
	id_generate(endpoint);
	r = db_run(engine->db, err,
		   "UPDATE endpoints SET id = ?, interface = ?, host_name = ?, mac = ?, address4 = ? WHERE container = ? AND network = ?",
		   "sssssss", endpoint, i->name, i->host_name, i->mac, bare, c->id, NETWORK_BRIDGE);
	if (r >= 0)
		r = record(engine, "connect", c->id, err);
	return r < 0 ? r : ports_reserve(engine, c, image, &(struct port_target){ .address4 = bare }, spec, err);
}

/* The address that the last run had, when the container is started again by its
 * restart policy: it keeps that. The rest of what it held is made anew. */
static int take_over(struct engine *engine, const char *id, char **ret, struct err *err)
{
	int r = db_query_text(engine->db, ret, err, "SELECT address4 FROM endpoints WHERE container = ? AND network = ?", "ss", id,
			      NETWORK_BRIDGE);
	return r <= 0 || !*ret ? r : networks_release(engine, id, err);
}

int networks_reserve(struct engine *engine, struct container *c, const struct image_config *image, struct runtime_spec *spec,
		     struct err *err)
{
	struct net_bridge bridge;
	CLEANUP_FREE char *kept = NULL;
	int r = networks_check_mode(engine, c->config->network_mode, err);
	if (r < 0 || !is_bridge_mode(c->config->network_mode) || c->config->network_disabled)
		return r;
	r = default_network(engine, &bridge, err);
	if (r == 0)
		r = net_bridge_ensure(&bridge, err);
	if (r == 0)
		r = FAULT("network.bridge");
	if (r == 0)
		r = take_over(engine, c->id, &kept, err);
	if (r >= 0)
		r = reserve_interface(engine, c, image, &bridge, kept, spec, err);
	return r;
}

static int release_interfaces(struct engine *engine, const char *id, bool links_go_by_themselves, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	int r = db_query(engine->db, &row, err, "SELECT host_name FROM endpoints WHERE container = ? AND host_name IS NOT NULL", "s",
			 id);
	bool any = false;
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		CLEANUP_FREE char *name = str_dup(db_text(row, 0));
		struct spec_interface i = { .host_name = name };
		any = true;
		if (name && !links_go_by_themselves)
			r = net_detach(&i, 1, err);
	}
	if (r >= 0 && any)
		r = db_run(engine->db, err,
			   "UPDATE endpoints SET id = NULL, interface = NULL, host_name = NULL, mac = NULL, address4 = NULL,"
			   " address6 = NULL, dns_names = NULL WHERE container = ?", "s", id);
	if (r >= 0 && any)
		r = record(engine, "disconnect", id, err);
	return r < 0 ? r : 0;
}

static int release(struct engine *engine, const char *id, bool links_go_by_themselves, struct err *err)
{
	int64_t one;
	int r = db_query_i64(engine->db, &one, err, NETWORKS_HAS_ANY, "ss", id, id);
	if (r <= 0)
		return r;
	r = ports_release(engine, id, err);
	if (r >= 0)
		r = FAULT("network.unpublished");
	return r < 0 ? r : release_interfaces(engine, id, links_go_by_themselves, err);
}

int networks_release(struct engine *engine, const char *id, struct err *err)
{
	return release(engine, id, false, err);
}

int networks_release_removed(struct engine *engine, const char *id, struct err *err)
{
	return release(engine, id, true, err);
}
