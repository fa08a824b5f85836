/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm_proto.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

union control {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(sizeof(int) * VMM_FDS_MAX)];
};

static int send_message(int sock, const void *data, size_t len, const int *fds, size_t n)
{
	union control control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (n > VMM_FDS_MAX)
		return -E2BIG;
	if (n) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	}
	ssize_t sent;
	do
		sent = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

int vmm_start_send(int sock, const struct vmm_start *start, const int *fds, size_t n)
{
	return send_message(sock, start, sizeof(*start), fds, n);
}

int vmm_command_send(int sock, const struct vmm_command *command, int fd)
{
	return send_message(sock, command, sizeof(*command), &fd, fd >= 0);
}

int vmm_start_receive(int sock, struct vmm_start *ret, int fds[VMM_FDS_MAX], size_t *ret_n)
{
	union control control;
	struct iovec iov = { .iov_base = ret, .iov_len = sizeof(*ret) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t received;
	do
		received = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (received < 0 && errno == EINTR);
	if (received < 0)
		return -errno;
	*ret_n = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
		*ret_n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	}
	if (received != (ssize_t)sizeof(*ret) || msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || ret->magic != VMM_MAGIC ||
	    ret->bytes != sizeof(*ret))
		return -EBADMSG;
	return 0;
}
