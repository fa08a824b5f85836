/* SPDX-License-Identifier: Apache-2.0 */
#include "network_connect.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "container_lock.h"
#include "fault.h"
#include "guest_boot.h"
#include "fd.h"
#include "hosts_files.h"
#include "name_service.h"
#include "net_attach.h"
#include "network_endpoint.h"
#include "network_link.h"
#include "network_policy.h"
#include "networks.h"
#include "ports.h"
#include "process.h"

/* ---- the network namespace ---- */

/* A pid may be another process's by now: the pidfd tells whether the namespace
 * that was opened is still the container's. */
static int open_netns(const struct container *c, int *ret, struct err *err)
{
	char path[48];
	uint64_t ticks = 0;
	CLEANUP_FD int pidfd = -1, ns = -1;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", c->run.pid);
	if (process_open(c->run.pid, &pidfd) == 0)
		ns = open(path, O_RDONLY | O_CLOEXEC);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	bool is_same = ns >= 0 && process_start_ticks(c->run.pid, &ticks) == 0 && ticks == c->run.pid_start_ticks && poll(&p, 1, 0) == 0;
	if (!is_same)
		return err_set(err, ERR_CONFLICT, 0, "container %s is not running", c->id);
	*ret = TAKE_FD(ns);
	return 0;
}

static bool is_attached(const struct container *c)
{
	return (c->status == CONTAINER_RUNNING || c->status == CONTAINER_PAUSED) && c->run.pid > 0;
}

/* Who changes its networks where its own kernel has them; NULL: they are in the network
 * namespace. */
static const struct isolation *guest_of(const struct container *c)
{
	const struct isolation *back_end = NULL;
	struct err ignored = ERR_INIT;
	return guest_boot_is_needed(c->level) && isolation_get(c->level, &back_end, &ignored) == 0 && back_end->connect ? back_end : NULL;
}

/* The default routes as they ought to be by the rows. */
static int set_routes(struct engine *engine, const struct container *c, int netns, struct err *err)
{
	CLEANUP_GATEWAYS struct endpoint_gateways g = { 0 };
	const struct isolation *guest = guest_of(c);
	const struct isolation_handle handle = container_handle(c);
	int r = endpoint_gateways_find(engine, c->id, &g, err);
	struct net_route routes[] = { { AF_INET, g.v4.interface, g.v4.gateway }, { AF_INET6, g.v6.interface, g.v6.gateway } };
	if (r < 0)
		return r;
	return guest ? guest->set_routes(&handle, routes, ARRAY_LEN(routes), err) :
		       net_set_default_routes(netns, routes, ARRAY_LEN(routes), err);
}

/* ---- finding ---- */

/* The container, locked and as it is now. */
static int take_container(struct engine *engine, const char *name, struct container **ret, struct err *err)
{
	CLEANUP_CONTAINER struct container *c = NULL;
	int r = container_find(engine, name, &c, err);
	if (r == 0 && c->is_orphaned)
		r = containers_finish(engine, c->id, err);
	if (r == 0)
		r = container_lock(engine, c->id, err);
	if (r == 0)
		r = container_refresh(engine, c, err);
	if (r == 0)
		r = container_load_config(c, err);
	if (r == 0)
		*ret = TAKE_PTR(c);
	return r;
}

static int check_mode(const struct container *c, const struct network *n, const char *verb, struct err *err)
{
	const char *mode = c->config->network_mode ? c->config->network_mode : "";
	if (n && n->driver == DRIVER_HOST)
		return err_set(err, ERR_INVALID, 0, "container cannot be disconnected from host network or connected to host network");
	if (str_eq(mode, NETWORK_HOST))
		return err_set(err, ERR_CONFLICT, 0, "container cannot be %s host network", str_eq(verb, "connect") ? "connected to another network than its" :
														     "disconnected from");
	if (str_starts_with(mode, "container:"))
		return err_set(err, ERR_CONFLICT, 0, "container sharing network namespace with another container or host cannot be connected to any other network");
	if (str_eq(mode, NETWORK_NONE) || (n && n->driver == DRIVER_NULL)) {
		int r = err_set(err, ERR_CONFLICT, 0,
				"container cannot be connected to multiple networks with one of the networks in private (none) mode");
		err_hint(err, "hull run --network %s ..., without none", n && n->driver != DRIVER_NULL ? n->name : "NAME");
		return r;
	}
	return 0;
}

/* A guest with a kernel of its own may have the interfaces that it booted with, and no
 * other. */
static int check_level(const struct container *c, struct err *err)
{
	if (!is_attached(c) || c->level == ISOLATION_CONTAINER || guest_of(c))
		return 0;
	int r = err_set(err, ERR_UNSUPPORTED, 0, "the networks of container %s cannot be changed while it runs", c->name);
	err_why(err, "at the level %s it has a kernel of its own, with the interfaces that it booted with", isolation_level_name(c->level));
	err_hint(err, "hull stop %s, then again, then hull start %s", c->name, c->name);
	return r;
}

static int find_endpoint(struct engine *engine, const char *id, const char *network, struct endpoint_list *list,
			 struct endpoint **ret, struct err *err)
{
	int r = endpoints_of_container(engine, id, &list->v, &list->n, err);
	*ret = NULL;
	for (size_t i = 0; r == 0 && i < list->n; i++)
		if (str_eq(list->v[i].network, network))
			*ret = &list->v[i];
	return r;
}

static int mark(struct engine *engine, const char *id, const char *network, struct err *err)
{
	pid_t self = getpid();
	int r = db_run(engine->db, err, "UPDATE endpoints SET owner_pid = ?, owner_ticks = ? WHERE container = ? AND network = ?", "iiss",
		       (int64_t)self, (int64_t)state_process_ticks(self), id, network);
	return r < 0 ? r : 0;
}

/* ---- connecting ---- */

static int check_asked(const struct network *n, const struct config_endpoint *e, struct err *err)
{
	if (str_eq(n->name, NETWORK_BRIDGE) && (e->ipv4_address || e->ipv6_address))
		return err_set(err, ERR_INVALID, 0, "user specified IP address is supported on user defined networks only");
	if (str_eq(n->name, NETWORK_BRIDGE) && e->aliases.n)
		return err_set(err, ERR_INVALID, 0, "network-scoped alias is supported only for containers in user defined networks");
	if (e->link_local_ips.n)
		return err_set(err, ERR_UNSUPPORTED, 0, "--link-local-ip is not supported");
	return 0;
}

/* The row and, for one that runs, its addresses; all in one transaction. */
static int reserve(struct engine *engine, struct container *c, struct network *n, const struct config_endpoint *e,
		   struct spec_interface *ret, struct err *err)
{
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	CLEANUP_ENDPOINTS struct endpoint_list list = { 0 };
	struct endpoint_activation a = { .c = c, .n = n };
	int64_t position = 0;
	int r = db_tx_begin(engine->db, &tx, err);
	if (r == 0)
		r = find_endpoint(engine, c->id, n->name, &list, &a.e, err);
	if (r == 0 && a.e)
		r = err_set(err, ERR_CONFLICT, 0, "endpoint with name %s already exists in network %s", c->name, n->name);
	for (size_t i = 0; i < list.n; i++)
		position = list.v[i].position >= position ? list.v[i].position + 1 : position;
	struct config_endpoint named = *e;
	named.network = n->name;
	if (r == 0)
		r = network_join(engine, c, &named, position, err);
	endpoint_list_free(list.v, list.n);
	list = (struct endpoint_list){ 0 };
	if (r == 0)
		r = find_endpoint(engine, c->id, n->name, &list, &a.e, err);
	if (r == 0 && !is_attached(c))
		return db_tx_commit(&tx, err);
	if (r == 0)
		r = network_ensure(engine, n, err);
	if (r == 0)
		r = endpoint_free_number(engine, c->id, &a.number, err);
	if (r == 0)
		r = endpoint_activate(engine, &a, ret, err);
	if (r == 0)
		r = mark(engine, c->id, n->name, err);
	return r < 0 ? r : db_tx_commit(&tx, err);
}

static int settle(struct engine *engine, const struct container *c, const char *network, struct err *err)
{
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int r = db_tx_begin(engine->db, &tx, err);
	if (r == 0)
		r = db_run(engine->db, err, "UPDATE endpoints SET owner_pid = 0, owner_ticks = 0 WHERE container = ? AND network = ?", "ss",
			   c->id, network);
	if (r >= 0)
		r = endpoint_event(engine, "connect", network, c->id, err);
	return r < 0 ? r : db_tx_commit(&tx, err);
}

static int change_hosts(struct engine *engine, const struct container *c, const struct endpoint *e, bool add, struct err *err)
{
	CLEANUP_FREE char *path = engine_workload_path(engine, c->id, NULL);
	CLEANUP_FD int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *addresses[] = { e->address4, e->address6 };
	int r = 0;
	if (!e->address4[0] && !e->address6[0])
		return 0;
	if (dir < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open %s", path);
	for (size_t i = 0; i < ARRAY_LEN(addresses) && r == 0; i++)
		if (addresses[i][0])
			r = add ? hosts_files_add(dir, c->config, addresses[i], err) : hosts_files_drop(dir, addresses[i], err);
	return r;
}

/* Take away the interface of @e; also when only half of it was made. */
static int detach(struct engine *engine, const struct container *c, const struct endpoint *e, struct err *err)
{
	CLEANUP_FD int netns = -1;
	struct err ignored = ERR_INIT;
	struct spec_interface i = { .host_name = e->host_name };
	int r = network_policies_leave(engine, c->id, e->network, err);
	if (r >= 0)
		r = net_detach(&i, 1, err);
	if (r < 0 || !is_attached(c) || open_netns(c, &netns, &ignored) < 0)
		return r;
	const struct isolation *guest = guest_of(c);
	const struct isolation_handle handle = container_handle(c);
	return guest ? guest->disconnect(&handle, e->interface, e->mac, err) : net_remove_inside(netns, e->interface, err);
}

/* It holds nothing any more; whose it is is told until all has followed. */
static int let_go(struct engine *engine, const char *id, const char *network, struct err *err)
{
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int r = db_tx_begin(engine->db, &tx, err);
	if (r == 0)
		r = endpoints_deactivate(engine, id, network, err);
	if (r == 0)
		r = mark(engine, id, network, err);
	return r < 0 ? r : db_tx_commit(&tx, err);
}

static int forget(struct engine *engine, const char *id, const char *network, bool is_told, struct err *err)
{
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int r = db_tx_begin(engine->db, &tx, err);
	if (r == 0)
		r = db_run(engine->db, err, "DELETE FROM endpoints WHERE container = ? AND network = ?", "ss", id, network);
	if (r > 0 && is_told)
		r = endpoint_event(engine, "disconnect", network, id, err);
	return r < 0 ? r : db_tx_commit(&tx, err);
}

/* The interface and the row go, whatever is there of them; @is_told by an event. */
static int take_away(struct engine *engine, struct container *c, const char *network, bool is_told, bool is_half_done, struct err *err)
{
	CLEANUP_ENDPOINTS struct endpoint_list list = { 0 };
	CLEANUP_FD int netns = -1;
	struct endpoint *e;
	struct err ignored = ERR_INIT;
	int r = find_endpoint(engine, c->id, network, &list, &e, err);
	if (r < 0 || !e)
		return r;
	if (e->is_active)
		r = detach(engine, c, e, err);
	if (r == 0)
		r = FAULT("disconnect.detached");
	if (r == 0)
		r = change_hosts(engine, c, e, false, err);
	if (r == 0)
		r = let_go(engine, c->id, network, err);
	if (r == 0)
		r = FAULT("disconnect.let_go");
	if (r == 0)
		r = ports_follow(engine, c, is_half_done, err);
	if (r == 0 && is_attached(c))
		r = name_service_publish(engine, c, err);
	if (r == 0 && is_attached(c) && open_netns(c, &netns, &ignored) == 0)
		r = set_routes(engine, c, netns, err);
	return r < 0 ? r : forget(engine, c->id, network, is_told, err);
}

/* The interface itself, both ends. */
static int plug(const struct container *c, int netns, const struct spec_interface *i, struct err *err)
{
	const struct isolation *guest = guest_of(c);
	const struct isolation_handle handle = container_handle(c);
	return guest ? guest->connect(&handle, i, name_service_is_wanted(c->config, i, 1), err) : net_attach(netns, i, 1, err);
}

static int attach(struct engine *engine, struct container *c, const struct spec_interface *i, struct err *err)
{
	CLEANUP_ENDPOINTS struct endpoint_list list = { 0 };
	CLEANUP_FD int netns = -1;
	struct endpoint *e;
	int r = open_netns(c, &netns, err);
	if (r == 0)
		r = FAULT("connect.reserved");
	if (r == 0)
		r = network_policies_enter(engine, c, err);
	if (r == 0)
		r = plug(c, netns, i, err);
	if (r == 0)
		r = FAULT("connect.attached");
	if (r == 0)
		r = set_routes(engine, c, netns, err);
	if (r == 0)
		r = ports_follow(engine, c, false, err);
	if (r == 0)
		r = find_endpoint(engine, c->id, i->network, &list, &e, err);
	if (r == 0 && e)
		r = change_hosts(engine, c, e, true, err);
	if (r == 0)
		r = FAULT("connect.hosts");
	if (r == 0)
		r = name_service_connected(engine, c, i->network, netns, err);
	if (r == 0)
		r = FAULT("connect.named");
	return r;
}

static void interface_done(struct spec_interface *i)
{
	free(i->network);
	free(i->name);
	free(i->kind);
	free(i->bridge);
	free(i->host_name);
	free(i->mode);
}

int network_connect(struct engine *engine, const char *container, const struct config_endpoint *e, struct err *err)
{
	CLEANUP_CONTAINER_LOCK struct engine *locked = engine;
	CLEANUP_CONTAINER struct container *c = NULL;
	CLEANUP_NETWORK struct network *n = NULL;
	CLEANUP(interface_done) struct spec_interface i = { 0 };
	int r = network_find(engine, e->network, &n, err);
	if (r == 0)
		r = take_container(engine, container, &c, err);
	if (r == 0)
		r = check_mode(c, n, "connect", err);
	if (r == 0)
		r = check_level(c, err);
	if (r == 0)
		r = check_asked(n, e, err);
	if (r == 0)
		r = reserve(engine, c, n, e, &i, err);
	if (r < 0 || !is_attached(c))
		return r;
	r = attach(engine, c, &i, err);
	if (r == 0)
		r = settle(engine, c, n->name, err);
	if (r < 0) {
		struct err ignored = ERR_INIT;
		if (take_away(engine, c, n->name, false, true, &ignored) < 0)
			return r; /* recovery does it */
	}
	return r;
}

/* ---- disconnecting ---- */

int network_disconnect(struct engine *engine, const char *container, const char *network, bool force, struct err *err)
{
	CLEANUP_CONTAINER_LOCK struct engine *locked = engine;
	CLEANUP_CONTAINER struct container *c = NULL;
	CLEANUP_NETWORK struct network *n = NULL;
	CLEANUP_ENDPOINTS struct endpoint_list list = { 0 };
	struct err why = ERR_INIT;
	struct endpoint *e = NULL;
	int r = network_find(engine, network, &n, &why);
	const char *name = n ? n->name : network;
	/* A network that was removed under a stopped container is still its. */
	if (r < 0 && why.kind != ERR_NOT_FOUND) {
		*err = why;
		return r;
	}
	r = take_container(engine, container, &c, err);
	if (r == 0)
		r = find_endpoint(engine, c->id, name, &list, &e, err);
	if (r < 0)
		return r;
	if (!n && !e && !force) {
		*err = why;
		return -ENOENT;
	}
	r = check_mode(c, n, "disconnect", err);
	if (r == 0)
		r = check_level(c, err);
	if (r < 0)
		return r;
	if (!e) {
		r = err_set(err, ERR_INVALID, 0, "container %s is not connected to the network %s", c->id, name);
		err_hint(err, "hull inspect -f '{{json .NetworkSettings.Networks}}' %s", c->name);
		return r;
	}
	if (e->is_active) {
		r = mark(engine, c->id, name, err);
		if (r == 0)
			r = FAULT("disconnect.marked");
	}
	/* As whoever finds it half done would. */
	if (r == 0)
		r = take_away(engine, c, name, true, false, err);
	return r;
}

/* ---- recovery, names ---- */

static int recover_one(struct engine *engine, const char *id, const char *network, struct err *err)
{
	CLEANUP_CONTAINER_LOCK struct engine *locked = engine;
	CLEANUP_CONTAINER struct container *c = NULL;
	struct err none = ERR_INIT;
	/* Whoever has it looks after it. */
	int r = container_trylock(engine, id, err);
	if (r <= 0)
		return r;
	if (container_find(engine, id, &c, &none) < 0)
		return 0;
	r = container_load_config(c, err);
	return r < 0 ? r : take_away(engine, c, network, true, true, err);
}

int network_connect_recover(struct engine *engine, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	CLEANUP_STRV struct strv found = { 0 };
	int r = db_query(engine->db, &row, err, "SELECT container, network, owner_pid, owner_ticks FROM endpoints WHERE owner_pid <> 0", "");
	while (r >= 0 && (r = db_next(row, err)) > 0)
		if (state_process_ticks((int32_t)db_i64(row, 2)) != (uint64_t)db_i64(row, 3)) {
			strv_add(&found, db_text(row, 0));
			strv_add(&found, db_text(row, 1));
		}
	for (size_t i = 0; r >= 0 && i + 1 < found.n; i += 2)
		r = recover_one(engine, found.v[i], found.v[i + 1], err);
	return r < 0 ? r : 0;
}

int network_rename_endpoints(struct engine *engine, struct container *c, struct err *err)
{
	CLEANUP_ENDPOINTS struct endpoint_list list = { 0 };
	int r = container_load_config(c, err);
	if (r == 0)
		r = endpoints_of_container(engine, c->id, &list.v, &list.n, err);
	for (size_t i = 0; r >= 0 && i < list.n; i++) {
		CLEANUP_STRV struct strv names = { 0 };
		if (!list.v[i].is_active)
			continue;
		endpoint_dns_names(c, &list.v[i].aliases, &names);
		CLEANUP_FREE char *text = strv_join(&names, "\n");
		r = db_run(engine->db, err, "UPDATE endpoints SET dns_names = ? WHERE container = ? AND network = ?", "sss", text, c->id,
			   list.v[i].network);
	}
	return r < 0 ? r : 0;
}
