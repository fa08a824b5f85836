/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor_proto.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "fd.h"

int mon_send(int sock, uint32_t type, uint32_t arg, uint32_t arg2, const void *payload, size_t len,
	     const int *fds, size_t fds_n)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
		struct cmsghdr align;
	} control = { 0 };
	struct mon_msg msg = { .type = type, .arg = arg, .arg2 = arg2, .len = (uint32_t)len };
	struct iovec iov[2] = { { &msg, sizeof(msg) }, { (void *)(uintptr_t)payload, len } };
	struct msghdr hdr = { .msg_iov = iov, .msg_iovlen = len ? 2 : 1 };

	if (len > MON_PAYLOAD_MAX || fds_n > FD_PASS_MAX)
		return -EMSGSIZE;
	if (fds_n) {
		hdr.msg_control = control.bytes;
		hdr.msg_controllen = CMSG_SPACE(sizeof(int) * fds_n);
		struct cmsghdr *c = CMSG_FIRSTHDR(&hdr);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * fds_n);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * fds_n);
	}
	ssize_t n;
	do
		n = sendmsg(sock, &hdr, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int mon_recv(int sock, struct mon_msg *msg, void *payload, int *fds, size_t fds_max, size_t *ret_fds_n)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov[2] = { { msg, sizeof(*msg) }, { payload, MON_PAYLOAD_MAX } };
	struct msghdr hdr = {
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	size_t got_fds = 0;
	ssize_t n;
	do
		n = recvmsg(sock, &hdr, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(&hdr); c; c = CMSG_NXTHDR(&hdr, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (got_fds < fds_max)
				fds[got_fds++] = fd;
			else
				close(fd);
		}
	}
	bool whole = n >= (ssize_t)sizeof(*msg) && msg->len == (size_t)n - sizeof(*msg) &&
		     !(hdr.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
	if (n == 0 || !whole) {
		while (got_fds)
			close(fds[--got_fds]);
		return n == 0 ? 0 : -EBADMSG;
	}
	if (ret_fds_n)
		*ret_fds_n = got_fds;
	return 1;
}

int mon_send_error(int sock, const struct err *err)
{
	return mon_send(sock, MON_ERROR, 0, 0, err, sizeof(*err), NULL, 0);
}

int mon_connect(int dirfd, int *ret_sock)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	CLEANUP_FD int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	/* By descriptor, so that the length of $HULL_RUN does not matter. */
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/ctl", dirfd);
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	*ret_sock = TAKE_FD(sock);
	return 0;
}
