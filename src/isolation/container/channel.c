/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "fd.h"
#include "internal.h"

int channel_pair(int ret[2], struct err *err)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret) < 0)
		return err_set(err, ERR_SYSTEM, errno, "socketpair");
	return 0;
}

int channel_send(int sock, enum channel_type type, const void *data, size_t len, const int *fds, size_t n)
{
	char packet[sizeof(uint32_t) + sizeof(struct err)];
	uint32_t tag = type;
	if (len > sizeof(struct err))
		return -EMSGSIZE;
	memcpy(packet, &tag, sizeof(tag));
	if (len)
		memcpy(packet + sizeof(tag), data, len);
	return fd_send(sock, packet, sizeof(tag) + len, fds, n);
}

int channel_recv(int sock, void *data, size_t size, int *fds, size_t max, size_t *ret_n)
{
	char packet[sizeof(uint32_t) + sizeof(struct err)];
	uint32_t tag;
	ssize_t got = fd_recv(sock, packet, sizeof(packet), fds, max, ret_n);
	if (got <= 0)
		return (int)got;
	if ((size_t)got < sizeof(tag))
		return -EBADMSG;
	memcpy(&tag, packet, sizeof(tag));
	size_t len = (size_t)got - sizeof(tag);
	if (len && size)
		memcpy(data, packet + sizeof(tag), len < size ? len : size);
	return (int)tag;
}

void channel_drain(int sock)
{
	char byte;
	(void)shutdown(sock, SHUT_RD);
	while (recv(sock, &byte, 1, MSG_DONTWAIT) > 0)
		continue;
}

int channel_send_fds(int sock, const int *fds, size_t n)
{
	while (n) {
		size_t count = n < FD_PASS_MAX ? n : FD_PASS_MAX;
		int r = channel_send(sock, CHANNEL_FDS, NULL, 0, fds, count);
		if (r < 0)
			return r;
		fds += count;
		n -= count;
	}
	return 0;
}

int channel_recv_fds(int sock, int *fds, size_t n)
{
	while (n) {
		size_t got = 0;
		int r = channel_recv(sock, NULL, 0, fds, n, &got);
		if (r != CHANNEL_FDS || got == 0)
			return r < 0 ? r : -EPIPE;
		fds += got;
		n -= got;
	}
	return 0;
}
