/* SPDX-License-Identifier: Apache-2.0 */
#include "name_service.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "containers.h"
#include "egress.h"
#include "fd.h"
#include "hosts_files.h"
#include "monitor_proto.h"
#include "name_record.h"
#include "name_sockets.h"
#include "names_proto.h"
#include "network_rules.h"
#include "resolv_conf.h"

static bool has_names(const char *network)
{
	return !str_eq(network, NETWORK_BRIDGE);
}

/* Whom a name opens the firewall for has to be told it by us. */
static bool has_egress_names(const struct container_config *config)
{
	struct err ignored = ERR_INIT;
	struct egress e;
	for (size_t i = 0; i < config->egress.n; i++)
		if (egress_parse(config->egress.v[i], &e, &ignored) == 0 && e.name[0])
			return true;
	return false;
}

bool name_service_is_wanted(const struct container_config *config, const struct spec_interface *interfaces, size_t n)
{
	if (n && has_egress_names(config))
		return true;
	for (size_t i = 0; i < n; i++) {
		if (has_names(interfaces[i].network))
			return true;
	}
	return false;
}

char *name_service_program(const struct engine *engine)
{
	return str_printf("%s/hull-names", engine->libexec);
}

/* ---- the record ---- */

static struct name_address to_name_address(const struct ip_address *a)
{
	struct name_address to = { .len = a->family == AF_INET ? 4 : a->family == AF_INET6 ? 16 : 0, .prefix = a->prefix };
	memcpy(to.bytes, a->bytes, to.len);
	return to;
}

static int take_address(const char *text, struct name_address *ret)
{
	return *text ? name_address_parse(text, ret) : 0;
}

/* "container:alias"; a container is known by its short id where it was named by
 * its whole one. */
static void add_links(const struct strv *links, struct name_record *record)
{
	for (size_t i = 0; i < links->n; i++) {
		const char *link = links->v[i], *colon = strchr(link, ':');
		size_t len = colon ? (size_t)(colon - link) : strlen(link);
		CLEANUP_FREE char *whole = str_ndup(link, len);
		CLEANUP_FREE char *name = str_ndup(whole, id_is_valid(whole) ? ID_SHORT : len);
		strv_add(&record->links, colon && colon[1] ? colon + 1 : whole);
		strv_add(&record->links, name);
	}
}

static uint8_t protocol_number(const char *name)
{
	return str_eq(name, "udp") ? IPPROTO_UDP : str_eq(name, "sctp") ? IPPROTO_SCTP : IPPROTO_TCP;
}

static void add_egress(const struct container_config *config, struct name_record *record)
{
	struct err ignored = ERR_INIT;
	struct egress e;
	for (size_t i = 0; i < config->egress.n; i++)
		if (egress_parse(config->egress.v[i], &e, &ignored) == 0 && e.name[0])
			name_record_add_egress(record, e.name, protocol_number(e.protocol), e.port_first, e.port_last);
}

/* Of which kinds are the networks by which it could leave. */
struct ways {
	bool has_free, has_isolated;
};

/* Names that the rules of an isolated network are about; and is it one of them
 * that everything outside may be reached? */
static int add_rules(struct engine *engine, const struct container *c, const struct network *n, struct ways *ways,
		     struct name_record *record, struct err *err)
{
	CLEANUP_RULES struct network_rule_list rules = { 0 };
	int r = n->is_isolated ? network_rules_read(engine, n->name, &rules, err) : 0;
	for (size_t i = 0; r == 0 && i < rules.n; i++) {
		const struct network_rule *rule = &rules.v[i];
		if (!rule->allow || (!str_eq(rule->from, "any") && !network_rule_means(rule->from, c->name, &c->labels)))
			continue;
		ways->has_free |= str_eq(rule->to, "any") || str_eq(rule->to, "outside");
		if (str_starts_with(rule->to, "name:"))
			name_record_add_egress(record, rule->to + strlen("name:"), protocol_number(rule->protocol), rule->port_first,
					       rule->port_last);
	}
	return r;
}

static int add_endpoint(struct engine *engine, const struct container *c, const struct endpoint *e, struct ways *ways,
			struct name_record *record, struct err *err)
{
	CLEANUP_NETWORK struct network *n = NULL;
	int r = network_get(engine, e->network, &n, err);
	if (r <= 0)
		return r;
	struct name_address own[2] = { { 0 }, { 0 } };
	r = take_address(e->address4, &own[0]);
	if (r == 0)
		r = take_address(e->address6, &own[1]);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(own); i++)
		if (own[i].len)
			name_record_add_own(record, &own[i]);
	if (r == 0)
		r = add_rules(engine, c, n, ways, record, err);
	if (r < 0)
		return r;
	ways->has_isolated |= n->is_isolated;
	ways->has_free |= !n->is_isolated && !n->is_internal;
	if (!has_names(n->name)) {
		record->leads_out = true;
		return 0;
	}
	struct name_net *net = name_record_add_net(record, n->id, n->name);
	net->is_internal = n->is_internal;
	net->subnet4 = to_name_address(&n->subnet4);
	net->subnet6 = to_name_address(&n->subnet6);
	strv_extend(&net->aliases, &e->dns_names);
	add_links(&e->links, record);
	r = take_address(e->address4, &net->address4);
	if (r == 0)
		r = take_address(e->address6, &net->address6);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "the address of %.12s is recorded wrongly", e->container) : 0;
}

/* Servers on a loopback are the container's own: resolv.conf has them. */
static void add_settings(const struct container_config *config, struct name_record *record)
{
	uint64_t ndots = 0;
	for (size_t i = 0; i < config->dns.n; i++) {
		if (!resolv_conf_is_loopback(config->dns.v[i]))
			strv_add(&record->servers, config->dns.v[i]);
	}
	if (config->dns.n && !record->servers.n)
		strv_add(&record->servers, "none");
	for (size_t i = 0; i < config->dns_options.n; i++) {
		const char *option = config->dns_options.v[i];
		if (str_starts_with(option, "ndots:") && str_parse_u64(option + strlen("ndots:"), &ndots) == 0)
			record->has_ndots = ndots > 0;
	}
}

/* Locked until it is closed: the last to write has read the last that was
 * committed. */
static int open_names(const struct engine *engine, int *ret, struct err *err)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
	*ret = openat(engine->run_fd, NAMES_DIR, flags);
	/* Read by nobody, below a folder that only root enters. */
	if (*ret < 0 && errno == ENOENT && (mkdirat(engine->run_fd, NAMES_DIR, 0755) == 0 || errno == EEXIST))
		*ret = openat(engine->run_fd, NAMES_DIR, flags);
	if (*ret < 0 || flock(*ret, LOCK_EX) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open %s/" NAMES_DIR, engine->run);
	return 0;
}

/* What is half written is named after the container, too, so that whoever cleans
 * up after it finds it. */
static int write_record(int dirfd, const char *id, const struct buf *text)
{
	char half[ID_SIZE + 8];
	snprintf(half, sizeof(half), "%s.new", id);
	CLEANUP_FD int fd = openat(dirfd, half, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	int r = fd < 0 ? -errno : fd_write_all(fd, text->data, text->len);
	/* The caller's umask may be strict. */
	if (r == 0 && (fchmod(fd, 0644) < 0 || renameat(dirfd, half, dirfd, id) < 0))
		r = -errno;
	return r;
}

int name_service_publish(struct engine *engine, const struct container *c, struct err *err)
{
	CLEANUP_ENDPOINTS struct endpoint_list list = { 0 };
	CLEANUP_NAME_RECORD struct name_record record = { .name = str_dup(c->name) };
	CLEANUP_BUF struct buf text = BUF_INIT(NAME_RECORD_MAX_BYTES);
	CLEANUP_FD int dir = -1;
	struct ways ways = { 0 };
	int r = open_names(engine, &dir, err);
	if (r == 0)
		r = endpoints_of_container(engine, c->id, &list.v, &list.n, err);
	for (size_t i = 0; r >= 0 && i < list.n; i++) {
		if (list.v[i].is_active)
			r = add_endpoint(engine, c, &list.v[i], &ways, &record, err);
	}
	if (r < 0)
		return r;
	add_egress(c->config, &record);
	record.is_restricted = c->config->egress.n || (ways.has_isolated && !ways.has_free);
	/* One that has left all networks with names still asks here. */
	if (record.nets_n == 0 && record.egress_n == 0 && faccessat(dir, c->id, F_OK, 0) < 0)
		return 0;
	add_settings(c->config, &record);
	r = name_record_format(&record, &text);
	if (r == 0)
		r = write_record(dir, c->id, &text);
	return r < 0 && !err_is_set(err) ? err_set(err, ERR_SYSTEM, r, "write the names of %s", c->name) : r;
}

int name_service_forget(struct engine *engine, const char *id, struct err *err)
{
	char path[128];
	static const char *const suffixes[] = { ".new", "" };
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		snprintf(path, sizeof(path), NAMES_DIR "/%s%s", id, suffixes[i]);
		if (unlinkat(engine->run_fd, path, 0) < 0 && errno != ENOENT)
			return err_set(err, ERR_SYSTEM, -errno, "remove %s/%s", engine->run, path);
	}
	return 0;
}

/* ---- one that runs ---- */

static int hand_over(struct engine *engine, const struct container *c, const int socks[2], struct err *err)
{
	CLEANUP_FREE char *program = name_service_program(engine);
	CLEANUP_FREE char *payload = mem_calloc(1, MON_PAYLOAD_MAX);
	CLEANUP_FD int sock = -1;
	struct mon_msg msg = { 0 };
	int r = containers_connect(engine, c, &sock, err);
	if (r < 0)
		return r;
	r = mon_send(sock, MON_NAMES, 0, 0, program, strlen(program) + 1, socks, 2);
	if (r == 0)
		r = mon_recv(sock, &msg, payload, NULL, 0, NULL);
	if (r == 1 && msg.type == MON_OK)
		return 0;
	return err_set(err, ERR_SYSTEM, r < 0 ? r : 0, "give %s its name server", c->name);
}

static int attach(struct engine *engine, const struct container *c, int netns, struct err *err)
{
	int socks[2] = { -1, -1 };
	CLEANUP_FREE char *path = engine_workload_path(engine, c->id, NULL);
	CLEANUP_FD int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open %s", path);
	int r = name_sockets_open(netns, socks, err);
	if (r == 0)
		r = hand_over(engine, c, socks, err);
	cleanup_fd(&socks[0]);
	cleanup_fd(&socks[1]);
	return r < 0 ? r : hosts_files_use_names(dir, c->config, err);
}

int name_service_connected(struct engine *engine, const struct container *c, const char *network, int netns, struct err *err)
{
	CLEANUP_ENDPOINTS struct endpoint_list list = { 0 };
	if (!has_names(network))
		return name_service_publish(engine, c, err);
	int r = endpoints_of_container(engine, c->id, &list.v, &list.n, err);
	/* It has sockets since its start, if not since another network. */
	bool has_others = has_egress_names(c->config);
	for (size_t i = 0; r == 0 && i < list.n; i++)
		has_others |= list.v[i].is_active && has_names(list.v[i].network) && !str_eq(list.v[i].network, network);
	if (r == 0)
		r = name_service_publish(engine, c, err);
	/* Whatever it has kept of networks that it left is replaced. */
	return r == 0 && !has_others ? attach(engine, c, netns, err) : r;
}
