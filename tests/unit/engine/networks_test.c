/* SPDX-License-Identifier: Apache-2.0 */
/* Networks as recorded, checked and carried over from before there were any. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "network_addresses.h"
#include "network_endpoint.h"
#include "network_ipam.h"
#include "network_link.h"
#include "test.h"

/* The schema's steps before networks of one's own. */
#define OLD_STEPS 4

struct state {
	char path[64];
	struct db *db;
};

static void open_state(struct state *s, const struct db_schema *schema)
{
	struct err err = ERR_INIT;
	if (!s->path[0])
		snprintf(s->path, sizeof(s->path), "/tmp/hull-test-%d.db", getpid());
	if (db_open(s->path, schema, &s->db, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
}

static void state_done(struct state *s)
{
	db_close(s->db);
	(void)!unlink(s->path);
}

static void run(struct state *s, const char *sql)
{
	struct err err = ERR_INIT;
	if (db_exec(s->db, sql, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
}

#define CONTAINER(id, name, config)                                                                                       \
	"INSERT INTO containers(id, name, image, image_name, config, command, labels, level, status, created_ns, auto_remove)" \
	" VALUES('" id "', '" name "', 'i', 'i', '" config "', '', '', 0, 2, 1, 0);"

TEST(old_rows_are_carried_over)
{
	CLEANUP(state_done) struct state s = { 0 };
	struct db_schema old = { engine_schema.steps, OLD_STEPS };
	struct err err = ERR_INIT;
	open_state(&s, &old);
	run(&s, CONTAINER("aa", "runs", "{\"HostConfig\":{\"NetworkMode\":\"default\"}}")
		CONTAINER("bb", "stopped", "{\"HostConfig\":{\"NetworkMode\":\"bridge\"}}")
		CONTAINER("cc", "hosts", "{\"HostConfig\":{\"NetworkMode\":\"host\"}}")
		CONTAINER("dd", "alone", "{\"NetworkDisabled\":true,\"HostConfig\":{}}")
		"INSERT INTO networks VALUES('bridge', 'hull0', '172.17.0.1/16');"
		"INSERT INTO endpoints VALUES('aa', 'bridge', '172.17.0.2', '02:42:ac:11:00:02', 'hvaa');"
		"INSERT INTO ports VALUES('aa', 'tcp', '', 8080, 80);");
	db_close(s.db);
	open_state(&s, &engine_schema);

	struct engine engine = { .db = s.db, .root = "/x" };
	struct network **list = NULL;
	size_t n = 0;
	CHECK_EQ(network_list_all(&engine, &list, &n, &err), 0);
	CHECK_EQ(n, 3);
	CHECK_STR(list[0]->name, "bridge");
	CHECK(id_is_valid(list[0]->id) && id_is_valid(list[1]->id) && strcmp(list[0]->id, list[1]->id) != 0);
	char text[IP_TEXT_SIZE];
	CHECK_STR(ip_format(&list[0]->subnet4, text), "172.17.0.0/16");
	CHECK_STR(ip_format(&list[0]->gateway4, text), "172.17.0.1/16");
	CHECK_STR(list[0]->bridge, "hull0");
	network_list_free(list, n);

	CLEANUP_ENDPOINTS struct endpoint_list members = { 0 };
	CHECK_EQ(endpoints_of_network(&engine, "bridge", &members.v, &members.n, &err), 0);
	CHECK_EQ(members.n, 2);
	CHECK_STR(members.v[0].container, "bb");
	CHECK(!members.v[0].is_active);
	CHECK_STR(members.v[1].container, "aa");
	CHECK(members.v[1].is_active);
	CHECK_STR(members.v[1].address4, "172.17.0.2");
	CHECK_STR(members.v[1].interface, "eth0");

	CLEANUP_FREE char *address = NULL;
	CHECK_EQ(db_query_text(s.db, &address, &err, "SELECT address4 FROM ports", ""), 1);
	CHECK_STR(address, "172.17.0.2");
	CLEANUP_GATEWAYS struct endpoint_gateways g = { 0 };
	CHECK_EQ(endpoint_gateways_find(&engine, "aa", &g, &err), 0);
	CHECK_STR(g.v4.gateway, "172.17.0.1");
	CHECK(!g.v6.interface);
}

static struct network *network(const char *subnets, struct err *err)
{
	struct network *n = calloc(1, sizeof(*n));
	struct network_new wanted = { 0 };
	CHECK(n != NULL);
	n->name = str_dup("net");
	strv_split(&wanted.subnets, subnets, ' ');
	int r = network_ipam_check(n, &wanted, err);
	strv_free(&wanted.subnets);
	if (r == 0)
		return n;
	network_free(n);
	return NULL;
}

TEST(addresses_are_of_the_subnet)
{
	struct err err = ERR_INIT;
	struct ip_address a;
	CLEANUP_NETWORK struct network *n = network("10.0.0.0/30 fd00::/64", &err);
	CHECK(n && n->has_ipv6);
	CHECK_EQ(network_check_address(n, AF_INET, "10.0.0.2", &a, &err), 0);
	CHECK_EQ(a.prefix, 30);
	static const char *const bad4[] = { "10.0.0.0", "10.0.0.3", "10.0.0.4", "10.0.0.2/30", "x", "fd00::2" };
	for (size_t i = 0; i < ARRAY_LEN(bad4); i++) {
		err = ERR_INIT;
		CHECK(network_check_address(n, AF_INET, bad4[i], &a, &err) < 0);
	}
	CHECK_EQ(network_check_address(n, AF_INET6, "fd00::ffff:ffff:ffff:ffff", &a, &err), 0);
	CHECK(network_check_address(n, AF_INET6, "fd00::", &a, &err) < 0);
	CHECK(network_check_address(n, AF_INET6, "fd00:0:0:1::1", &a, &err) < 0);
}

TEST(subnets_are_checked)
{
	static const char *const bad[] = { "10.0.0.0", "10.0.0.1/24", "10.0.0.0/31", "10.0.0.0/0", "10.0.0.0/24 10.1.0.0/24", "::/0",
					   "fd00::/127", "10.0.0/24", "10.0.0.0/33", "/24" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = ERR_INIT;
		CHECK(network(bad[i], &err) == NULL);
		CHECK_EQ(err.kind, ERR_INVALID);
	}
}

TEST(options_are_known_or_refused)
{
	struct err err = ERR_INIT;
	CLEANUP_NETWORK struct network *n = network("10.0.0.0/24", &err);
	strv_add(&n->options, "com.docker.network.driver.mtu=1400");
	strv_add(&n->options, "com.docker.network.bridge.enable_icc=false");
	strv_add(&n->options, "com.docker.network.bridge.name=br7");
	CHECK_EQ(network_options_check(n, &err), 0);
	CHECK_EQ(n->mtu, 1400);
	CHECK_STR(n->bridge, "br7");
	CHECK(!network_option_is_on(n, "com.docker.network.bridge.enable_icc"));
	CHECK(network_option_is_on(n, "com.docker.network.bridge.enable_ip_masquerade"));
	static const char *const bad[] = { "com.docker.network.driver.mtu=67", "com.docker.network.driver.mtu=", "macvlan_mode=bridge", "x=y",
					   "com.docker.network.bridge.name=0123456789abcdef", "com.docker.network.bridge.enable_icc=perhaps",
					   "com.docker.network.bridge.gateway_mode_ipv4=routed", "parent=a/b" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		strv_free(&n->options);
		strv_add(&n->options, bad[i]);
		err = ERR_INIT;
		CHECK(network_options_check(n, &err) < 0);
		CHECK(strstr(err.msg, "option") || strstr(err.msg, "mode"));
	}
}

TEST_MAIN()
