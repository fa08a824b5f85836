/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock_host.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "str.h"

#define CONNECT_MAX 32

int vsock_hand_over(int listener, const struct vsock_accept *accept)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	CLEANUP_FD int ours = pair[0], theirs = pair[1];
	struct iovec iov = { .iov_base = (void *)accept, .iov_len = sizeof(*accept) };
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &theirs, sizeof(int));
	/* Not fd_send(): it must not wait. */
	if (sendmsg(listener, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(*accept))
		return -1;
	return TAKE_FD(ours);
}

int vsock_read_connect(int fd, uint32_t *ret_port)
{
	char line[CONNECT_MAX + 1];
	uint64_t port;
	ssize_t n = recv(fd, line, CONNECT_MAX, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -EPROTO;
	char *end = memchr(line, '\n', (size_t)n);
	if (!end)
		return n < CONNECT_MAX ? 0 : -EPROTO;
	n = end + 1 - line;
	if (recv(fd, line, (size_t)n, MSG_DONTWAIT) != n)
		return -EPROTO;
	line[n - 1] = 0;
	if (!str_starts_with(line, "CONNECT ") || str_parse_u64_max(line + 8, UINT32_MAX, &port) < 0)
		return -EPROTO;
	*ret_port = (uint32_t)port;
	return 1;
}
