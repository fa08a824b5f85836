/* SPDX-License-Identifier: Apache-2.0 */
/* Rates: what arrives in a while, counted, in network namespaces of the test's own. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "clock.h"
#include "fd.h"
#include "link.h"
#include "net_attach.h"
#include "net_bridge.h"
#include "net_rate.h"
#include "test.h"

#define MBIT 1000000u
#define WINDOW_MS 1500
#define PORT 5201

static const struct net_bridge bridge = { .name = "hulltest0", .gateway4 = { AF_INET, { 172, 30, 0, 1 }, 16 } };

static int new_netns(void)
{
	CLEANUP_FD int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	CHECK_EQ(unshare(CLONE_NEWNET), 0);
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	CHECK_EQ(setns(own, CLONE_NEWNET), 0);
	return fd;
}

static void check_ok(int r, const struct err *err)
{
	if (r < 0)
		test_fail(__FILE__, __LINE__, "%s", err->msg);
}

static int listen_in(int netns)
{
	CLEANUP_FD int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	if (netns >= 0)
		CHECK_EQ(setns(netns, CLONE_NEWNET), 0);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_EQ(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)), 0);
	CHECK_EQ(bind(s, (struct sockaddr *)&any, sizeof(any)), 0);
	CHECK_EQ(listen(s, 1), 0);
	CHECK_EQ(setns(own, CLONE_NEWNET), 0);
	return s;
}

/* A process in @netns that sends to @address as much as it can. */
static pid_t flood(int netns, const char *address)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	static char data[65536];
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	inet_pton(AF_INET, address, &to.sin_addr);
	if (netns >= 0 && setns(netns, CLONE_NEWNET) < 0)
		_exit(1);
	int s = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(s, (struct sockaddr *)&to, sizeof(to)) < 0)
		_exit(1);
	while (write(s, data, sizeof(data)) > 0)
		;
	_exit(0);
}

/* Bits a second from one namespace (-1: the host) to the other. */
static uint64_t measure(int from, int to, const char *address)
{
	static char data[1 << 20];
	CLEANUP_FD int server = listen_in(to);
	pid_t pid = flood(from, address);
	CLEANUP_FD int s = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	CHECK(s >= 0);
	int64_t start = 0, now = 0;
	uint64_t bytes = 0;
	/* What the bucket held is through before the count begins. */
	int64_t begin = clock_mono_ms();
	while ((now = clock_mono_ms()) - begin < WINDOW_MS + 500) {
		struct pollfd p = { .fd = s, .events = POLLIN };
		ssize_t n = poll(&p, 1, 100) == 1 ? read(s, data, sizeof(data)) : 0;
		if (now - begin < 500) {
			start = now;
			continue;
		}
		bytes += n > 0 ? (uint64_t)n : 0;
	}
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	return bytes * 8 * 1000 / (uint64_t)(now - start);
}

static bool is_about(uint64_t rate, uint64_t wanted)
{
	/* Headers count for the bucket and not for us; a busy machine may fall behind. */
	return rate > wanted * 6 / 10 && rate < wanted * 11 / 10;
}

TEST(a_rate_holds_in_and_out_and_is_changed_and_lifted)
{
	struct err err = ERR_INIT;
	struct net_rate rate;
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0)
		TEST_SKIP("needs root to make network namespaces");
	CLEANUP_FD int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	check_ok(net_attach(own, NULL, 0, &err), &err);
	int r = net_bridge_ensure(&bridge, &err);
	if (r == -ENOENT)
		TEST_SKIP("nft is not installed");
	check_ok(r, &err);
	CLEANUP_FD int a = new_netns();
	struct spec_interface i = { .name = (char *)"eth0", .bridge = (char *)bridge.name, .host_name = (char *)"hvrate",
				    .address4 = "172.30.0.2/16", .gateway4 = "172.30.0.1", .mac = "02:42:ac:1e:00:02" };
	check_ok(net_attach(a, &i, 1, &err), &err);

	r = net_rate_set("hvrate", &(struct net_rate){ .in = 40 * MBIT, .out = 20 * MBIT }, &err);
	if (r == -EOPNOTSUPP || r == -ENOENT)
		TEST_SKIP("this kernel has no token buckets");
	check_ok(r, &err);
	check_ok(net_rate_get("hvrate", &rate, &err), &err);
	CHECK_EQ(rate.in, 40 * MBIT);
	CHECK_EQ(rate.out, 20 * MBIT);
	uint64_t in = measure(-1, a, "172.30.0.2"), out = measure(a, -1, "172.30.0.1");
	if (!is_about(in, 40 * MBIT) || !is_about(out, 20 * MBIT))
		test_fail(__FILE__, __LINE__, "%llu in, %llu out", (unsigned long long)in, (unsigned long long)out);

	/* One is lifted, the other changed. */
	check_ok(net_rate_set("hvrate", &(struct net_rate){ .out = 60 * MBIT }, &err), &err);
	check_ok(net_rate_get("hvrate", &rate, &err), &err);
	CHECK_EQ(rate.in, 0);
	CHECK_EQ(rate.out, 60 * MBIT);
	CHECK(measure(-1, a, "172.30.0.2") > 80 * MBIT);
	CHECK(is_about(measure(a, -1, "172.30.0.1"), 60 * MBIT));

	check_ok(net_rate_set("hvrate", &(struct net_rate){ 0 }, &err), &err);
	CHECK(measure(a, -1, "172.30.0.1") > 120 * MBIT);
	check_ok(net_rate_forget("hvrate", &err), &err);
	check_ok(net_rate_forget("hvrate", &err), &err);
	check_ok(net_detach(&i, 1, &err), &err);
	check_ok(net_bridge_remove(&bridge, &err), &err);
}

TEST_MAIN()
