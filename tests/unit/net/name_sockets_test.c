/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends in one process: the container's in a network namespace of its own,
 * the server's in another. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "cleanup.h"
#include "clock.h"
#include "name_sockets.h"
#include "net_attach.h"
#include "test.h"

static int own, inside;

static void set_up(int ret[2])
{
	struct err err = ERR_INIT;
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0)
		TEST_SKIP("needs root to make network namespaces");
	inside = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	CHECK_EQ(unshare(CLONE_NEWNET), 0);
	own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	CHECK_EQ(net_attach(inside, NULL, 0, &err), 0);
	int64_t begin = clock_mono_ns();
	if (name_sockets_open(inside, ret, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	printf("# opened in %lld us\n", (long long)(clock_mono_ns() - begin) / 1000);
	CHECK_EQ(setns(inside, CLONE_NEWNET), 0);
}

static void tear_down(int fds[2])
{
	close(fds[0]);
	close(fds[1]);
	close(own);
	close(inside);
}

static const struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = 0x3500, .sin_addr.s_addr = 0x0b00007f };

static int client(int type)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	struct timeval limit = { 5, 0 };
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	CHECK_EQ(connect(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void echo(int server, int fd)
{
	char text[16];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	CHECK_EQ(send(fd, "ping", 4, 0), 4);
	CHECK_EQ(recvfrom(server, text, sizeof(text), 0, (struct sockaddr *)&from, &len), 4);
	CHECK_EQ(sendto(server, "pong!", 5, 0, (struct sockaddr *)&from, len), 5);
	CHECK_EQ(recv(fd, text, sizeof(text), 0), 5);
}

TEST(questions_arrive_and_answers_come_from_port_53)
{
	int fds[2];
	set_up(fds);
	/* Connected: an answer from another port would not be received. */
	CLEANUP_FD int udp = client(SOCK_DGRAM), tcp = client(SOCK_STREAM);
	echo(fds[0], udp);
	CLEANUP_FD int accepted = accept4(fds[1], NULL, NULL, SOCK_CLOEXEC);
	CHECK(accepted >= 0);
	echo(accepted, tcp);
	tear_down(fds);
}

TEST(a_workload_may_have_port_53)
{
	int fds[2];
	char text[16];
	set_up(fds);
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(53) };
	CLEANUP_FD int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CLEANUP_FD int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_EQ(bind(udp, (struct sockaddr *)&any, sizeof(any)), 0);
	CHECK_EQ(bind(tcp, (struct sockaddr *)&any, sizeof(any)), 0);
	CHECK_EQ(listen(tcp, 1), 0);
	CLEANUP_FD int asking = client(SOCK_DGRAM);
	echo(fds[0], asking);
	CHECK(recv(udp, text, sizeof(text), 0) < 0);
	tear_down(fds);
}

TEST(others_take_their_place)
{
	int fds[2], newer[2];
	struct err err = ERR_INIT;
	set_up(fds);
	CHECK_EQ(setns(own, CLONE_NEWNET), 0);
	CHECK_EQ(name_sockets_open(inside, newer, &err), 0);
	CHECK_EQ(setns(inside, CLONE_NEWNET), 0);
	CLEANUP_FD int udp = client(SOCK_DGRAM);
	echo(newer[0], udp);
	close(newer[0]);
	close(newer[1]);
	tear_down(fds);
}

TEST_MAIN()
