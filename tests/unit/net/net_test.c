/* SPDX-License-Identifier: Apache-2.0 */
/* A bridge, workloads on it and a neighbour outside, in network namespaces of
 * the test's own. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "fd.h"
#include "firewall.h"
#include "net_attach.h"
#include "net_bridge.h"
#include "subnet_pool.h"
#include "test.h"

static const struct net_bridge bridge = {
	.name = "hulltest0",
	.gateway4 = { AF_INET, { 172, 30, 0, 1 }, 16 },
};

static void enter_new_netns(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0)
		TEST_SKIP("needs root to make network namespaces");
	CLEANUP_FD int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct err err = ERR_INIT;
	CHECK_EQ(net_attach(own, NULL, 0, &err), 0);
}

static void check_ok(int r, const struct err *err)
{
	if (r < 0)
		test_fail(__FILE__, __LINE__, "%s", err->msg);
}

static int new_netns(void)
{
	CLEANUP_FD int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	CHECK_EQ(unshare(CLONE_NEWNET), 0);
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_EQ(setns(own, CLONE_NEWNET), 0);
	return fd;
}

static struct spec_interface interface(const char *address, const char *host_name)
{
	struct spec_interface i = {
		.name = (char *)"eth0",
		.bridge = (char *)bridge.name,
		.host_name = (char *)host_name,
		.gateway4 = "172.30.0.1",
		.is_default4 = true,
	};
	CHECK_EQ(str_copy(i.address4, sizeof(i.address4), address), 0);
	CHECK_EQ(net_mac_from_ip4(address, i.mac), 0);
	return i;
}

/* A process in @netns that accepts on @port and answers each peer with the
 * peer's own address. */
static pid_t serve(int netns, uint16_t port)
{
	int ready[2];
	CHECK_EQ(pipe2(ready, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		/* Nothing of a test that failed stays and holds its output open. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
		int s = setns(netns, CLONE_NEWNET) == 0 ? socket(AF_INET, SOCK_STREAM, 0) : -1;
		if (s < 0 || bind(s, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(s, 8) < 0)
			_exit(1);
		close(ready[1]);
		for (;;) {
			socklen_t len = sizeof(addr);
			int c = accept(s, (struct sockaddr *)&addr, &len);
			char text[INET_ADDRSTRLEN];
			inet_ntop(AF_INET, &addr.sin_addr, text, sizeof(text));
			if (fd_write_all(c, text, strlen(text)) < 0)
				_exit(1);
			close(c);
		}
	}
	close(ready[1]);
	char byte;
	CHECK_EQ(read(ready[0], &byte, 1), 0);
	close(ready[0]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

/* Connect from @netns (-1: here) and put what the server says into @text;
 * false when nothing answers in time. */
static bool ask_for(int ms, int netns, const char *address, uint16_t port, char text[64])
{
	CLEANUP_FD int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (netns >= 0)
		CHECK_EQ(setns(netns, CLONE_NEWNET), 0);
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
	CHECK_EQ(inet_pton(AF_INET, address, &addr.sin_addr), 1);
	CLEANUP_FD int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = connect(s, (struct sockaddr *)&addr, sizeof(addr));
	struct pollfd p = { .fd = s, .events = POLLIN };
	ssize_t n = -1;
	if ((r == 0 || errno == EINPROGRESS) && poll(&p, 1, ms) == 1)
		n = read(s, text, 63);
	if (n >= 0)
		text[n] = '\0';
	CHECK_EQ(setns(own, CLONE_NEWNET), 0);
	return n > 0;
}

/* An answer is waited for as long as a busy machine needs. */
static bool ask(int netns, const char *address, uint16_t port, char text[64])
{
	return ask_for(5000, netns, address, port, text);
}

static bool is_silent(int netns, const char *address, uint16_t port, char text[64])
{
	return !ask_for(300, netns, address, port, text);
}

/* A host on the wire: eth1 here (198.51.100.1) and a namespace with .2. */
static int neighbour(void)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 2 };
	struct ip_address here = { AF_INET, { 198, 51, 100, 1 }, 24 }, there = { AF_INET, { 198, 51, 100, 2 }, 24 };
	struct ip_address gateway = { AF_INET, { 198, 51, 100, 1 }, 32 };
	int netns = new_netns(), index;
	CLEANUP_FD int sock = -1, inside = -1;
	CHECK_EQ(nl_open(NETLINK_ROUTE, &sock), 0);
	CHECK_EQ(link_add_bridge(sock, "wire0", 0), 0);
	CHECK_EQ(link_index(sock, "wire0", &index), 0);
	CHECK_EQ(link_add_veth(sock, "wireport", index, "eth0", netns, mac, 0), 0);
	CHECK_EQ(link_add_address(sock, index, &here), 0);
	CLEANUP_FD int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	CHECK_EQ(setns(netns, CLONE_NEWNET), 0);
	CHECK_EQ(nl_open(NETLINK_ROUTE, &inside), 0);
	CHECK_EQ(link_index(inside, "eth0", &index), 0);
	CHECK_EQ(link_set_up(inside, index), 0);
	CHECK_EQ(link_add_address(inside, index, &there), 0);
	CHECK_EQ(link_set_default_route(inside, index, AF_INET, &gateway), 0);
	CHECK_EQ(setns(own, CLONE_NEWNET), 0);
	return netns;
}

TEST(published_port_is_reached_and_nothing_else_is)
{
	struct err err = ERR_INIT;
	char text[64];
	enter_new_netns();
	int r = net_bridge_ensure(&bridge, &err);
	if (r == -ENOENT)
		TEST_SKIP("nft is not installed");
	check_ok(r, &err);
	check_ok(net_bridge_ensure(&bridge, &err), &err);

	CLEANUP_FD int a = new_netns(), b = new_netns(), outside = neighbour();
	struct spec_interface ia = interface("172.30.0.2/16", "ha"), ib = interface("172.30.0.3/16", "hb");
	check_ok(net_attach(a, &ia, 1, &err), &err);
	check_ok(net_attach(b, &ib, 1, &err), &err);
	pid_t server = serve(a, 80);

	/* Neighbours on the bridge and the host reach it; the wire does not. */
	CHECK(ask(b, "172.30.0.2", 80, text));
	CHECK_STR(text, "172.30.0.3");
	CHECK(ask(-1, "172.30.0.2", 80, text));
	CHECK(is_silent(outside, "172.30.0.2", 80, text));

	struct spec_port ports[2] = {
		{ .protocol = "tcp", .host_port = 8080, .container_port = 80, .container_ip = "172.30.0.2" },
		{ .protocol = "tcp", .host_ip = "127.0.0.1", .host_port = 8081, .container_port = 80, .container_ip = "172.30.0.2" },
	};
	check_ok(net_publish(ports, 2, &err), &err);
	CHECK(ask(outside, "198.51.100.1", 8080, text));
	CHECK_STR(text, "198.51.100.2"); /* the source address is kept */
	CHECK(ask(-1, "127.0.0.1", 8080, text));
	CHECK(ask(-1, "127.0.0.1", 8081, text));
	CHECK(ask(b, "172.30.0.1", 8080, text)); /* a neighbour by the host's address */
	CHECK(ask(a, "172.30.0.1", 8080, text)); /* and itself: hairpin */
	CHECK(is_silent(outside, "198.51.100.1", 8081, text));
	CHECK(is_silent(outside, "172.30.0.2", 80, text));

	check_ok(net_unpublish(ports, 2, &err), &err);
	check_ok(net_unpublish(ports, 2, &err), &err);
	CHECK(is_silent(outside, "198.51.100.1", 8080, text));
	end(server);
	check_ok(net_detach(&ia, 1, &err), &err);
	check_ok(net_bridge_remove(&bridge, &err), &err);
	check_ok(net_bridge_remove(&bridge, &err), &err);
}

TEST(workloads_leave_with_the_host_s_address)
{
	struct err err = ERR_INIT;
	char text[64];
	enter_new_netns();
	int r = net_bridge_ensure(&bridge, &err);
	if (r == -ENOENT)
		TEST_SKIP("nft is not installed");
	check_ok(r, &err);
	CLEANUP_FD int a = new_netns(), outside = neighbour();
	struct spec_interface ia = interface("172.30.0.2/16", "ha");
	check_ok(net_attach(a, &ia, 1, &err), &err);
	pid_t server = serve(outside, 80);
	CHECK(ask(a, "198.51.100.2", 80, text));
	CHECK_STR(text, "198.51.100.1");
	end(server);
}

TEST(a_port_in_use_is_a_conflict)
{
	struct err err = ERR_INIT;
	enter_new_netns();
	int r = net_bridge_ensure(&bridge, &err);
	if (r == -ENOENT)
		TEST_SKIP("nft is not installed");
	check_ok(r, &err);
	struct spec_port port = { .protocol = "tcp", .host_port = 8080, .container_port = 80, .container_ip = "172.30.0.2" };
	struct spec_port other = port;
	CHECK_EQ(str_copy(other.container_ip, sizeof(other.container_ip), "172.30.0.3"), 0);
	check_ok(net_publish(&port, 1, &err), &err);
	check_ok(net_publish(&port, 1, &err), &err);
	CHECK(net_publish(&other, 1, &err) < 0);
	CHECK_EQ(err.kind, ERR_CONFLICT);
	check_ok(net_unpublish(&port, 1, &err), &err);

	CLEANUP_FD int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(8080) };
	CHECK_EQ(bind(s, (struct sockaddr *)&addr, sizeof(addr)), 0);
	CHECK_EQ(listen(s, 1), 0);
	CHECK(net_publish(&port, 1, &err) < 0);
	CHECK_EQ(err.kind, ERR_CONFLICT);
	CHECK_STR(err.msg, "failed to bind host port 0.0.0.0:8080/tcp: address already in use");
}

static struct ip_address choose(const struct ip_address *used, size_t n)
{
	struct err err = ERR_INIT;
	struct ip_address subnet = { 0 };
	struct subnet_wish wish = { .family = AF_INET, .used = used, .used_n = n };
	wish.pools_n = subnet_pools_default(&wish.pools);
	check_ok(subnet_choose(&wish, &subnet, &err), &err);
	return subnet;
}

static void check_address(const char *expected, const struct ip_address *a)
{
	char text[IP_TEXT_SIZE];
	CHECK_STR(ip_format(a, text), expected);
}

TEST(subnets_avoid_the_host_s_routes)
{
	struct err err = ERR_INIT;
	enter_new_netns();
	struct ip_address first = choose(NULL, 0);
	check_address("172.17.0.0/16", &first);
	struct net_bridge b = bridge;
	b.gateway4 = subnet_address(&first, 1);
	int r = net_bridge_ensure(&b, &err);
	if (r == -ENOENT)
		TEST_SKIP("nft is not installed");
	check_ok(r, &err);
	struct ip_address second = choose(NULL, 0);
	check_address("172.18.0.0/16", &second);
	struct ip_address third = choose(&second, 1);
	check_address("172.19.0.0/16", &third);
}

TEST(thousands_of_subnets_do_not_overlap)
{
	enum { N = 20000 };
	enter_new_netns();
	struct ip_address *used = calloc(N, sizeof(*used));
	CHECK(used != NULL);
	/* All of Docker's pools, and all but one of the /24s. */
	size_t n = 0;
	used[n++] = (struct ip_address){ AF_INET, { 172, 16 }, 12 };
	used[n++] = (struct ip_address){ AF_INET, { 192, 168 }, 16 };
	struct ip_address a = choose(used, n);
	check_address("10.128.0.0/24", &a);
	for (unsigned i = 0; i < 16384; i++)
		if (i != 9000)
			used[n++] = (struct ip_address){ AF_INET, { 10, (uint8_t)(128 + (i >> 8)), (uint8_t)i }, 24 };
	a = choose(used, n);
	check_address("10.163.40.0/24", &a);
	used[n++] = a;
	a = choose(used, n);
	check_address("10.192.0.0/28", &a);
	/* Two used by one that is wider, and one by a single address of it. */
	used[n++] = (struct ip_address){ AF_INET, { 10, 192 }, 27 };
	used[n++] = (struct ip_address){ AF_INET, { 10, 192, 0, 40 }, 32 };
	a = choose(used, n);
	check_address("10.192.0.48/28", &a);
	used[n++] = (struct ip_address){ AF_INET, { 10, 128 }, 9 };
	struct err err = ERR_INIT;
	struct subnet_wish wish = { .family = AF_INET, .used = used, .used_n = n };
	wish.pools_n = subnet_pools_default(&wish.pools);
	CHECK(subnet_choose(&wish, &a, &err) < 0);
	CHECK_EQ(err.kind, ERR_CONFLICT);
	free(used);
}

TEST(pools_are_read_and_checked)
{
	struct err err = ERR_INIT;
	struct subnet_pool pool;
	CHECK_EQ(subnet_pool_parse("base=10.201.7.0/16,size=24", &pool, &err), 0);
	check_address("10.201.0.0/16", &pool.base);
	CHECK_EQ(pool.size, 24);
	CHECK_EQ(subnet_pool_parse("base=fd00:1::/32,size=64", &pool, &err), 0);
	static const char *const bad[] = { "", "base=10.0.0.0/8", "base=10.0.0.0/16,size=8", "base=10.0.0.0,size=24", "size=24",
					   "base=10.0.0.0/8,size=31", "base=10.0.0.0/8,size=24,x=1", "base=x/8,size=24" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err = ERR_INIT;
		CHECK(subnet_pool_parse(bad[i], &pool, &err) < 0);
		CHECK_EQ(err.kind, ERR_INVALID);
	}
	/* Two states have different prefixes, one has always the same. */
	struct subnet_pool one = subnet_pool_ula("a"), same = subnet_pool_ula("a"), two = subnet_pool_ula("b");
	CHECK_EQ(one.base.bytes[0], 0xfd);
	CHECK(memcmp(&one, &same, sizeof(one)) == 0);
	CHECK(memcmp(&one, &two, sizeof(one)) != 0);
}

TEST(places_in_a_subnet)
{
	struct ip_address subnet, a;
	CHECK_EQ(ip_parse("10.0.255.0/20", &subnet), 0);
	a = subnet_address(&subnet, 3000);
	check_address("10.0.251.184/20", &a);
	CHECK_EQ(subnet_place(&subnet, &a), 3000);
	CHECK_EQ(ip_parse("fd00::ff00/64", &subnet), 0);
	a = subnet_address(&subnet, 70000);
	check_address("fd00::1:1170/64", &a);
	CHECK_EQ(subnet_place(&subnet, &a), 70000);
	CHECK_EQ(ip_parse("fd00::1:0:0:5", &a), 0);
	CHECK_EQ(subnet_place(&subnet, &a), UINT32_MAX);
	CHECK(subnet_contains(&subnet, &a));
}

TEST_MAIN()
