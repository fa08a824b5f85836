/* SPDX-License-Identifier: Apache-2.0 */
#include "name_sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "names_proto.h"
#include "port_rewrite.h"

#define DNS_PORT 53
#define TABLE "hull_names"
#define BACKLOG 128
/* Questions that wait for a server to come back, or for their turn. */
#define QUEUE_BYTES (1 << 20)

static int open_socket(int type, int *ret, uint16_t *ret_port)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);
	int size = QUEUE_BYTES;
	if (inet_pton(AF_INET, NAMES_ADDRESS, &at.sin_addr) != 1)
		return -EINVAL;
	CLEANUP_FD int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || getsockname(fd, (struct sockaddr *)&at, &len) < 0)
		return -errno;
	if (type == SOCK_STREAM ? listen(fd, BACKLOG) < 0 : setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		return -errno;
	*ret = TAKE_FD(fd);
	*ret_port = ntohs(at.sin_port);
	return 0;
}

static int open_inside(int ret[2], struct err *err)
{
	struct port_rewrite ports[] = { { IPPROTO_UDP, DNS_PORT, 0 }, { IPPROTO_TCP, DNS_PORT, 0 } };
	struct in_addr address;
	CLEANUP_FD int udp = -1, tcp = -1;
	int r = open_socket(SOCK_DGRAM, &udp, &ports[0].actual);
	if (r == 0)
		r = open_socket(SOCK_STREAM, &tcp, &ports[1].actual);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "open the container's sockets at " NAMES_ADDRESS);
	if (inet_pton(AF_INET, NAMES_ADDRESS, &address) != 1)
		return err_set(err, ERR_SYSTEM, EINVAL, "parse " NAMES_ADDRESS);
	r = port_rewrite_set(TABLE, (const uint8_t *)&address, ports, 2);
	if (r < 0) {
		err_set(err, ERR_SYSTEM, r, "lead port 53 of the container's " NAMES_ADDRESS " to the name server");
		err_why(err, "hull's networks need nf_tables in the kernel");
		return r;
	}
	ret[0] = TAKE_FD(udp);
	ret[1] = TAKE_FD(tcp);
	return 0;
}

int name_sockets_open(int netns_fd, int ret[2], struct err *err)
{
	CLEANUP_FD int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (own < 0)
		return err_set(err, ERR_SYSTEM, errno, "open the host's network namespace");
	if (setns(netns_fd, CLONE_NEWNET) < 0)
		return err_set(err, ERR_SYSTEM, errno, "enter the container's network namespace");
	int r = open_inside(ret, err);
	if (setns(own, CLONE_NEWNET) < 0) {
		if (r == 0) {
			close(ret[0]);
			close(ret[1]);
		}
		return err_set(err, ERR_SYSTEM, errno, "return to the host's network namespace");
	}
	return r;
}
