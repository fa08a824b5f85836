/* SPDX-License-Identifier: Apache-2.0 */
/* hull network create, ls, inspect, rm, connect, disconnect, prune */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "clock.h"
#include "engine.h"
#include "image_cli.h"
#include "config_check.h"
#include "network_connect.h"
#include "network_link.h"
#include "network_objects.h"
#include "network_view.h"
#include "object_cli.h"
#include "prune_cli.h"

/* ---- create ---- */

struct create_opts {
	const char *driver, *parent, *scope, *ipam_driver;
	struct strv subnets, gateways, ranges, aux, labels, options;
	bool attachable, internal, isolated, ipv6;
	enum tri ipv4;
	int64_t vlan;
};

static void create_defaults(void *opts)
{
	struct create_opts *o = opts;
	o->driver = "bridge";
	o->ipam_driver = "default";
}

#define AT(field) offsetof(struct create_opts, field)
#define NO_CLUSTER "hull has no swarm, so networks are of one machine"
static const struct option create_options[] = {
	{ "attachable", 0, OPT_BOOL, AT(attachable), .help = "Enable manual container attachment" },
	{ "aux-address", 0, OPT_LIST, AT(aux), .value = "map", .help = "Addresses that no container gets: NAME=ADDRESS" },
	{ "driver", 'd', OPT_STR, AT(driver), .help = "Driver to manage the network", .initial = "bridge",
	  .complete = COMPLETE_WORDS, .words = "bridge macvlan ipvlan" },
	{ "gateway", 0, OPT_CSV, AT(gateways), .help = "IPv4 or IPv6 gateway of the subnet" },
	{ "internal", 0, OPT_BOOL, AT(internal), .help = "Restrict external access to the network" },
	{ "ip-range", 0, OPT_CSV, AT(ranges), .help = "Allocate container addresses from a part of the subnet" },
	{ "ipam-driver", 0, OPT_STR, AT(ipam_driver), .help = "IP address management driver", .initial = "default",
	  .complete = COMPLETE_WORDS, .words = "default" },
	{ "ipv4", 0, OPT_TRI, AT(ipv4), .help = "Enable or disable IPv4 address assignment", .initial = "true" },
	{ "ipv6", 0, OPT_BOOL, AT(ipv6), .help = "Enable IPv6 address assignment" },
	{ "isolated", 0, OPT_BOOL, AT(isolated), .help = "Refuse all traffic that no rule of the network allows", .flags = OPTION_HULL },
	{ "label", 0, OPT_LIST, AT(labels), .help = "Set metadata on a network" },
	{ "opt", 'o', OPT_LIST, AT(options), .value = "map", .help = "Set driver specific options", .complete = COMPLETE_WORDS,
	  .words = "parent= macvlan_mode= ipvlan_mode= com.docker.network.bridge.name= com.docker.network.driver.mtu= "
		   "com.docker.network.bridge.enable_icc= com.docker.network.bridge.enable_ip_masquerade= "
		   "com.docker.network.container_iface_prefix=" },
	{ "parent", 0, OPT_STR, AT(parent), .value = "link", .help = "Link of this host that a macvlan, an ipvlan or a VLAN is of",
	  .flags = OPTION_HULL },
	{ "scope", 0, OPT_STR, AT(scope), .help = "Control the network's scope: local", .complete = COMPLETE_WORDS, .words = "local" },
	{ "subnet", 0, OPT_CSV, AT(subnets), .help = "Subnet in CIDR format that represents a network segment" },
	{ "vlan", 0, OPT_INT, AT(vlan), .value = "id", .help = "VLAN of the parent that the bridge joins", .flags = OPTION_HULL },
	OPTION_REFUSE("config-from", OPT_STR, NO_CLUSTER),
	OPTION_REFUSE("config-only", OPT_BOOL, NO_CLUSTER),
	OPTION_REFUSE("ingress", OPT_BOOL, NO_CLUSTER),
	OPTION_REFUSE("ipam-opt", OPT_LIST, "hull's address management takes no options"),
	OPTIONS_END
};

static int run_create(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct create_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_STRV struct strv labels = { 0 }, warnings = { 0 };
	char id[ID_SIZE];
	object_labels(&labels, &o->labels);
	struct network_new wanted = {
		.name = argv[0], .driver = o->driver, .subnets = o->subnets, .gateways = o->gateways, .ranges = o->ranges, .aux = o->aux,
		.options = o->options, .labels = labels, .is_internal = o->internal, .is_attachable = o->attachable,
		.is_isolated = o->isolated, .no_ipv4 = o->ipv4 == TRI_FALSE, .ipv6 = o->ipv6, .parent = o->parent, .vlan = (int)o->vlan,
	};
	if (o->vlan < 0 || o->vlan > 4094)
		err_set(&err, ERR_INVALID, 0, "invalid VLAN %lld: it is 1 to 4094", (long long)o->vlan);
	else if (o->scope && !str_eq(o->scope, "local"))
		err_set(&err, ERR_UNSUPPORTED, 0, "the scope %s is not supported: " NO_CLUSTER, o->scope);
	else if (!str_eq(o->ipam_driver, "default"))
		err_set(&err, ERR_NOT_FOUND, 0, "could not find the IPAM driver %s: hull has \"default\"", o->ipam_driver);
	if (err_is_set(&err) || engine_open(&engine, &err) < 0 || network_create(engine, &wanted, id, &warnings, &err) < 0)
		return cli_fail(cli, &err);
	for (size_t i = 0; i < warnings.n; i++)
		cli_warn(cli, "%s", warnings.v[i]);
	printf("%s\n", id);
	return 0;
}

const struct verb verb_network_create = {
	.names = { "network create" },
	.args = "[OPTIONS] NETWORK",
	.brief = "Create a network",
	.options = create_options,
	.opts_size = sizeof(struct create_opts),
	.defaults = create_defaults,
	.min_args = 1,
	.max_args = 1,
	.is_docker = true,
	.run = run_create,
};

/* ---- ls ---- */

struct ls_opts {
	struct strv filter;
	const char *format;
	bool quiet, no_trunc;
};

static const struct option ls_options[] = {
	{ "filter", 'f', OPT_LIST, offsetof(struct ls_opts, filter), .value = "filter", .help = "Provide filter values (e.g. \"driver=bridge\")",
	  .complete = COMPLETE_WORDS, .words = "dangling= driver= id= label= name= scope= type=" },
	{ "format", 0, OPT_STR, offsetof(struct ls_opts, format), .help = "table, json or a Go template" },
	{ "no-trunc", 0, OPT_BOOL, offsetof(struct ls_opts, no_trunc), .help = "Do not truncate the output" },
	{ "quiet", 'q', OPT_BOOL, offsetof(struct ls_opts, quiet), .help = "Only display network IDs" },
	OPTIONS_END
};

static const struct image_column columns[] = {
	{ "ID", "NETWORK ID" }, { "Name", "NAME" },	{ "Driver", "DRIVER" }, { "Scope", "SCOPE" }, { "CreatedAt", NULL },
	{ "IPv4", NULL },	{ "IPv6", NULL },	{ "Internal", NULL },	{ "Labels", NULL },
};

static void add_row(struct image_rows *rows, const struct network *n, bool no_trunc)
{
	char created[CLOCK_GO_SIZE];
	CLEANUP_FREE char *labels = strv_join(&n->labels, ","), *id = str_ndup(n->id, no_trunc ? ID_SIZE : ID_SHORT);
	image_rows_add(rows, id, n->name, network_driver_name(n->driver), "local", clock_format_go(n->created_ns, created),
		       n->has_ipv4 ? "true" : "false", n->has_ipv6 ? "true" : "false", n->is_internal ? "true" : "false", labels);
}

static int run_ls(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct ls_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP(image_rows_done) struct image_rows rows = { .columns = columns, .columns_n = ARRAY_LEN(columns) };
	struct network_filter filter = { o->filter }; /* borrowed */
	struct network **list = NULL;
	size_t n = 0;
	if (engine_open(&engine, &err) < 0 || networks_list(engine, &filter, &list, &n, &err) < 0)
		return cli_fail(cli, &err);
	for (size_t i = 0; i < n; i++)
		add_row(&rows, list[i], o->no_trunc);
	network_list_free(list, n);
	if (o->quiet && !o->format)
		image_rows_print_key(&rows, "ID");
	else if (image_rows_print(&rows, o->format, &err) < 0)
		return cli_fail(cli, &err);
	return 0;
}

const struct verb verb_network_ls = {
	.names = { "network ls", "network list" },
	.args = "[OPTIONS]",
	.brief = "List networks",
	.options = ls_options,
	.opts_size = sizeof(struct ls_opts),
	.is_docker = true,
	.run = run_ls,
};

/* ---- inspect ---- */

struct inspect_opts {
	const char *format;
	bool verbose;
};

static const struct option inspect_options[] = {
	{ "format", 'f', OPT_STR, offsetof(struct inspect_opts, format), .help = "json or a Go template" },
	{ "verbose", 'v', OPT_BOOL, offsetof(struct inspect_opts, verbose), .help = "Verbose output for diagnostics", .flags = OPTION_HIDDEN },
	OPTIONS_END
};

static int find_and_write(struct engine *engine, const char *name, struct json_writer *w, struct err *err)
{
	CLEANUP_NETWORK struct network *n = NULL;
	int r = network_find(engine, name, &n, err);
	if (r == 0)
		r = network_settle_default(engine, n, err);
	return r < 0 ? r : network_write(engine, n, w, err);
}

static int run_inspect(struct cli *cli, const void *opts, int argc, char **argv)
{
	return object_inspect(cli, argv, argc, ((const struct inspect_opts *)opts)->format, find_and_write);
}

const struct verb verb_network_inspect = {
	.names = { "network inspect" },
	.args = "[OPTIONS] NETWORK [NETWORK...]",
	.brief = "Display detailed information on one or more networks",
	.options = inspect_options,
	.opts_size = sizeof(struct inspect_opts),
	.min_args = 1,
	.max_args = -1,
	.complete = COMPLETE_NETWORK,
	.is_docker = true,
	.run = run_inspect,
};

/* ---- rm ---- */

struct rm_opts {
	bool force;
};

static const struct option rm_options[] = {
	{ "force", 'f', OPT_BOOL, offsetof(struct rm_opts, force), .help = "Do not error if the network does not exist" }, OPTIONS_END
};

static int run_rm(struct cli *cli, const void *opts, int argc, char **argv)
{
	return object_remove(cli, argv, argc, ((const struct rm_opts *)opts)->force, network_remove);
}

const struct verb verb_network_rm = {
	.names = { "network rm", "network remove" },
	.args = "NETWORK [NETWORK...]",
	.brief = "Remove one or more networks",
	.options = rm_options,
	.opts_size = sizeof(struct rm_opts),
	.min_args = 1,
	.max_args = -1,
	.complete = COMPLETE_NETWORK,
	.is_docker = true,
	.run = run_rm,
};

/* ---- connect, disconnect ---- */

struct connect_opts {
	const char *ip, *ip6, *mac;
	struct strv aliases, links, driver_opts, link_local_ips;
	int64_t gw_priority;
};

#define CONNECT(field) offsetof(struct connect_opts, field)
static const struct option connect_options[] = {
	{ "alias", 0, OPT_LIST, CONNECT(aliases), .help = "Add network-scoped alias for the container" },
	{ "driver-opt", 0, OPT_LIST, CONNECT(driver_opts), .help = "driver options for the network",
	  .complete = COMPLETE_WORDS, .words = "com.docker.network.endpoint.ifname=" },
	{ "gw-priority", 0, OPT_INT, CONNECT(gw_priority), .help = "Highest gw-priority provides the default gateway" },
	{ "ip", 0, OPT_STR, CONNECT(ip), .help = "IPv4 address (e.g., \"172.30.100.104\")" },
	{ "ip6", 0, OPT_STR, CONNECT(ip6), .help = "IPv6 address (e.g., \"2001:db8::33\")" },
	{ "link", 0, OPT_LIST, CONNECT(links), .help = "Add link to another container", .complete = COMPLETE_CONTAINER },
	{ "link-local-ip", 0, OPT_LIST, CONNECT(link_local_ips), .help = "Add a link-local address for the container", .flags = OPTION_HIDDEN },
	{ "mac-address", 0, OPT_STR, CONNECT(mac), .help = "MAC address of the interface", .flags = OPTION_HULL },
	OPTIONS_END
};

static int run_connect(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct connect_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	/* Borrowed. */
	struct config_endpoint e = { .network = argv[0], .aliases = o->aliases, .links = o->links, .driver_opts = o->driver_opts,
				     .link_local_ips = o->link_local_ips, .ipv4_address = (char *)o->ip, .ipv6_address = (char *)o->ip6,
				     .mac_address = (char *)o->mac, .gw_priority = o->gw_priority };
	if (config_check_endpoint(&e, &err) < 0 || engine_open(&engine, &err) < 0 || network_connect(engine, argv[1], &e, &err) < 0)
		return cli_fail(cli, &err);
	return 0;
}

const struct verb verb_network_connect = {
	.names = { "network connect" },
	.args = "[OPTIONS] NETWORK CONTAINER",
	.brief = "Connect a container to a network",
	.options = connect_options,
	.opts_size = sizeof(struct connect_opts),
	.min_args = 2,
	.max_args = 2,
	.complete = COMPLETE_NETWORK,
	.is_docker = true,
	.run = run_connect,
};

struct disconnect_opts {
	bool force;
};

static const struct option disconnect_options[] = {
	{ "force", 'f', OPT_BOOL, offsetof(struct disconnect_opts, force), .help = "Force the container to disconnect from a network" },
	OPTIONS_END
};

static int run_disconnect(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct disconnect_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	if (engine_open(&engine, &err) < 0 || network_disconnect(engine, argv[1], argv[0], o->force, &err) < 0)
		return cli_fail(cli, &err);
	return 0;
}

const struct verb verb_network_disconnect = {
	.names = { "network disconnect" },
	.args = "[OPTIONS] NETWORK CONTAINER",
	.brief = "Disconnect a container from a network",
	.options = disconnect_options,
	.opts_size = sizeof(struct disconnect_opts),
	.min_args = 2,
	.max_args = 2,
	.complete = COMPLETE_NETWORK,
	.is_docker = true,
	.run = run_disconnect,
};

/* ---- prune ---- */

struct prune_opts {
	struct strv filter;
	bool force;
};

static const struct option prune_options[] = {
	{ "filter", 0, OPT_LIST, offsetof(struct prune_opts, filter), .value = "filter", .help = "Provide filter values (e.g. \"until=<timestamp>\")",
	  .complete = COMPLETE_WORDS, .words = "label= label!= until=" },
	{ "force", 'f', OPT_BOOL, offsetof(struct prune_opts, force), .help = "Do not prompt for confirmation" },
	OPTIONS_END
};

static int run_prune(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct prune_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_STRV struct strv names = { 0 };
	struct network_filter filter = { o->filter };
	if (!o->force && !prune_is_confirmed("This will remove all custom networks not used by at least one container.\n"))
		return 0;
	if (engine_open(&engine, &err) < 0 || networks_prune(engine, &filter, &names, &err) < 0)
		return cli_fail(cli, &err);
	for (size_t i = 0; i < names.n; i++)
		printf("%s%s\n", i ? "" : "Deleted Networks:\n", names.v[i]);
	if (names.n)
		printf("\n");
	return 0;
}

const struct verb verb_network_prune = {
	.names = { "network prune" },
	.args = "[OPTIONS]",
	.brief = "Remove all unused networks",
	.options = prune_options,
	.opts_size = sizeof(struct prune_opts),
	.is_docker = true,
	.run = run_prune,
};
