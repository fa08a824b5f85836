/* SPDX-License-Identifier: Apache-2.0 */
#include "networks.h"

#include <string.h>

#include "fault.h"
#include "name_service.h"
#include "net_attach.h"
#include "network_endpoint.h"
#include "network_link.h"
#include "network_policy.h"
#include "ports.h"

static bool is_bridge_mode(const char *mode)
{
	return str_is_empty(mode) || str_eq(mode, "default") || str_eq(mode, NETWORK_BRIDGE);
}

bool networks_has_none(const struct container_config *config)
{
	const char *mode = config->network_mode ? config->network_mode : "";
	return config->network_disabled || str_eq(mode, NETWORK_NONE) || str_eq(mode, NETWORK_HOST) || str_starts_with(mode, "container:");
}

/* ---- joining ---- */

/* The name of the network that the user means by @name, which may be an id; what
 * is not there is found out at the start. */
static int canonical_name(struct engine *engine, const char *name, char **ret, struct err *err)
{
	CLEANUP_NETWORK struct network *n = NULL;
	struct err why = ERR_INIT;
	if (is_bridge_mode(name)) {
		*ret = str_dup(NETWORK_BRIDGE);
		return 0;
	}
	int r = network_find(engine, name, &n, &why);
	if (r < 0 && why.kind != ERR_NOT_FOUND) {
		*err = why;
		return r;
	}
	*ret = str_dup(n ? n->name : name);
	return 0;
}

/* Docker's "container:alias" of "container" alone too. */
static void add_links(const struct strv *from, struct strv *to)
{
	for (size_t i = 0; i < from->n; i++) {
		const char *colon = strchr(from->v[i], ':');
		if (colon && colon[1])
			strv_add(to, from->v[i]);
		else
			strv_printf(to, "%.*s:%.*s", (int)strcspn(from->v[i], ":"), from->v[i], (int)strcspn(from->v[i], ":"), from->v[i]);
	}
}

int network_join(struct engine *engine, const struct container *c, const struct config_endpoint *e, int64_t position,
		 struct err *err)
{
	CLEANUP_FREE char *name = NULL;
	CLEANUP_STRV struct strv links = { 0 };
	add_links(&e->links, &links);
	CLEANUP_FREE char *aliases = strv_join(&e->aliases, "\n"), *links_text = strv_join(&links, "\n"),
			  *opts = strv_join(&e->driver_opts, "\n");
	int r = canonical_name(engine, e->network, &name, err);
	if (r == 0)
		r = db_run(engine->db, err,
			   "INSERT INTO endpoints(container, network, position, asked4, asked6, asked_mac, aliases, links, driver_opts,"
			   " gw_priority) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", "ssissssssi", c->id, name, position,
			   str_is_empty(e->ipv4_address) ? NULL : e->ipv4_address, str_is_empty(e->ipv6_address) ? NULL : e->ipv6_address,
			   str_is_empty(e->mac_address) ? NULL : e->mac_address, aliases, links_text, opts, e->gw_priority);
	return r < 0 ? r : 0;
}

static bool is_named(const struct config_endpoint *e, const char *mode)
{
	return str_eq(e->network, mode) || (is_bridge_mode(e->network) && is_bridge_mode(mode));
}

int networks_join(struct engine *engine, const struct container *c, struct err *err)
{
	const struct container_config *config = c->config;
	struct config_endpoint first = { .network = (char *)NETWORK_BRIDGE };
	int64_t position = 1;
	int r = 0;
	if (networks_has_none(config))
		return 0;
	if (!str_is_empty(config->network_mode))
		first.network = config->network_mode;
	/* The mode names the first; what else is said of it stands among the rest. */
	for (size_t i = 0; i < config->endpoints_n; i++)
		if (is_named(&config->endpoints[i], config->network_mode)) {
			first = config->endpoints[i];
			break;
		}
	if (str_is_empty(first.mac_address))
		first.mac_address = config->mac_address;
	if (is_bridge_mode(first.network) && config->links.n)
		first.links = config->links;
	r = network_join(engine, c, &first, 0, err);
	for (size_t i = 0; i < config->endpoints_n && r == 0; i++)
		if (!is_named(&config->endpoints[i], config->network_mode))
			r = network_join(engine, c, &config->endpoints[i], position++, err);
	return r;
}

/* ---- starting ---- */

static int reserve_one(struct engine *engine, struct container *c, struct endpoint *e, unsigned number, struct spec_interface *ret,
		       struct err *err)
{
	CLEANUP_NETWORK struct network *n = NULL;
	int r = network_get(engine, e->network, &n, err);
	if (r < 0)
		return r;
	if (r == 0) {
		r = err_set(err, ERR_NOT_FOUND, 0, "failed to set up container networking: network %s not found", e->network);
		err_hint(err, "hull network ls   shows what there is; hull network create %s", e->network);
		return r;
	}
	r = network_ensure(engine, n, err);
	if (r == 0)
		r = FAULT("network.bridge");
	struct endpoint_activation a = { .c = c, .n = n, .e = e, .number = number };
	if (r == 0)
		r = endpoint_activate(engine, &a, ret, err);
	return r < 0 ? r : endpoint_event(engine, "connect", e->network, c->id, err);
}

static void mark_defaults(const struct endpoint_gateways *g, struct runtime_spec *spec)
{
	for (size_t i = 0; i < spec->interfaces_n; i++) {
		spec->interfaces[i].is_default4 = str_eq(spec->interfaces[i].name, g->v4.interface);
		spec->interfaces[i].is_default6 = str_eq(spec->interfaces[i].name, g->v6.interface);
	}
}

int networks_reserve(struct engine *engine, struct container *c, const struct image_config *image, struct runtime_spec *spec,
		     struct err *err)
{
	CLEANUP_ENDPOINTS struct endpoint_list list = { 0 };
	CLEANUP_GATEWAYS struct endpoint_gateways gateways = { 0 };
	if (networks_has_none(c->config))
		return 0;
	int r = endpoints_of_container(engine, c->id, &list.v, &list.n, err);
	bool is_held = false;
	for (size_t i = 0; r == 0 && i < list.n; i++)
		is_held |= list.v[i].is_active;
	/* Started again by its restart policy: it keeps its addresses, which stay in
	 * @list; the rest of what the last run held is made anew. */
	if (r == 0 && is_held)
		r = networks_release(engine, c->id, err);
	if (r < 0)
		return r;
	spec->interfaces = mem_calloc(list.n + 1, sizeof(*spec->interfaces));
	for (size_t i = 0; r == 0 && i < list.n; i++) {
		spec->interfaces_n = i + 1;
		r = reserve_one(engine, c, &list.v[i], (unsigned)i, &spec->interfaces[i], err);
	}
	if (r == 0)
		r = endpoint_gateways_find(engine, c->id, &gateways, err);
	if (r < 0)
		return r;
	mark_defaults(&gateways, spec);
	/* Published ports lead to where the container's default routes go. */
	struct port_target target = { .address4 = gateways.v4.address, .address6 = gateways.v6.address };
	return gateways.v4.interface || gateways.v6.interface ? ports_reserve(engine, c, image, &target, spec, err) : 0;
}

/* "172.17.0.2	alias id name" */
static int link_line(struct engine *engine, const struct container *c, const char *link, struct strv *ret, struct err *err)
{
	CLEANUP_CONTAINER struct container *other = NULL;
	CLEANUP_ENDPOINTS struct endpoint_list list = { 0 };
	const char *colon = strchr(link, ':');
	CLEANUP_FREE char *name = str_ndup(link, colon ? (size_t)(colon - link) : strlen(link));
	const char *alias = colon && colon[1] ? colon + 1 : name;
	int r = container_find(engine, name, &other, err);
	if (r < 0)
		return err_context(err, r, "could not get container for %s", name);
	r = endpoints_of_container(engine, other->id, &list.v, &list.n, err);
	for (size_t i = 0; r == 0 && i < list.n; i++)
		if (str_eq(list.v[i].network, NETWORK_BRIDGE) && list.v[i].is_active) {
			strv_printf(ret, "%s\t%s %.12s %s", list.v[i].address4, alias, other->id, other->name);
			return 0;
		}
	return r < 0 ? r : err_set(err, ERR_CONFLICT, 0, "Cannot link to a non running container: /%s AS /%s/%s", other->name, c->name, alias);
}

int networks_link_lines(struct engine *engine, const struct container *c, struct strv *ret, struct err *err)
{
	int r = 0;
	for (size_t i = 0; is_bridge_mode(c->config->network_mode) && r == 0 && i < c->config->links.n; i++)
		r = link_line(engine, c, c->config->links.v[i], ret, err);
	return r;
}

/* ---- the end ---- */

static int release_interfaces(struct engine *engine, const char *id, bool links_go_by_themselves, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	CLEANUP_STRV struct strv networks = { 0 };
	int r = db_query(engine->db, &row, err, "SELECT host_name, network FROM endpoints WHERE container = ? AND host_name IS NOT NULL", "s",
			 id);
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		CLEANUP_FREE char *name = str_dup(db_text(row, 0));
		struct spec_interface i = { .host_name = name };
		strv_add(&networks, db_text(row, 1));
		if (!links_go_by_themselves)
			r = net_detach(&i, 1, err);
	}
	if (r >= 0 && networks.n)
		r = endpoints_deactivate(engine, id, NULL, err);
	for (size_t i = 0; r >= 0 && i < networks.n; i++)
		r = endpoint_event(engine, "disconnect", networks.v[i], id, err);
	return r < 0 ? r : 0;
}

static int release(struct engine *engine, const char *id, bool links_go_by_themselves, struct err *err)
{
	int64_t one;
	/* Also of one that has left all its networks. */
	int r = name_service_forget(engine, id, err);
	if (r == 0)
		r = db_query_i64(engine->db, &one, err, NETWORKS_HAS_ANY, "ss", id, id);
	if (r <= 0)
		return r;
	r = ports_release(engine, id, err);
	if (r >= 0)
		r = FAULT("network.unpublished");
	if (r >= 0)
		r = network_policies_leave(engine, id, NULL, err);
	if (r >= 0)
		r = FAULT("network.policies_left");
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
