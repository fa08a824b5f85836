/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy_proto.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "fd.h"
#include "str.h"

static int parse_address(const char *text, const char *port_text, union proxy_address *ret)
{
	uint64_t port;
	if (str_parse_u64_max(port_text, UINT16_MAX, &port) < 0 || port == 0)
		return -EINVAL;
	memset(ret, 0, sizeof(*ret));
	if (strchr(text, ':')) {
		ret->in6.sin6_family = AF_INET6;
		ret->in6.sin6_port = htons((uint16_t)port);
		return inet_pton(AF_INET6, text, &ret->in6.sin6_addr) == 1 ? 0 : -EINVAL;
	}
	ret->in4.sin_family = AF_INET;
	ret->in4.sin_port = htons((uint16_t)port);
	return inet_pton(AF_INET, text, &ret->in4.sin_addr) == 1 ? 0 : -EINVAL;
}

int proxy_port_parse(const char *line, struct proxy_port *ret)
{
	CLEANUP_STRV struct strv words = { 0 };
	if (strlen(line) >= PROXY_LINE_SIZE)
		return -EINVAL;
	strv_split(&words, line, ' ');
	memset(ret, 0, sizeof(*ret));
	if (words.n != 5)
		return -EINVAL;
	if (str_eq(words.v[0], "tcp"))
		ret->protocol = IPPROTO_TCP;
	else if (str_eq(words.v[0], "udp"))
		ret->protocol = IPPROTO_UDP;
	else
		return -EINVAL;
	int r = parse_address(words.v[1], words.v[2], &ret->listen);
	return r < 0 ? r : parse_address(words.v[3], words.v[4], &ret->target);
}

void proxy_port_format(const char *protocol, const char *host_ip, uint16_t host_port, const char *container_ip, uint16_t container_port,
		       char out[PROXY_LINE_SIZE])
{
	snprintf(out, PROXY_LINE_SIZE, "%.8s %.46s %u %.46s %u", protocol, host_ip, host_port, container_ip, container_port);
}

void proxy_address_format(const union proxy_address *a, char out[64])
{
	char text[INET6_ADDRSTRLEN] = "";
	bool is4 = a->any.sa_family == AF_INET;
	(void)inet_ntop(a->any.sa_family, is4 ? (const void *)&a->in4.sin_addr : &a->in6.sin6_addr, text, sizeof(text));
	snprintf(out, 64, is4 ? "%s:%u" : "[%s]:%u", text, ntohs(is4 ? a->in4.sin_port : a->in6.sin6_port));
}

socklen_t proxy_address_len(const union proxy_address *a)
{
	return a->any.sa_family == AF_INET ? sizeof(a->in4) : sizeof(a->in6);
}

bool proxy_address_eq(const union proxy_address *a, const union proxy_address *b)
{
	if (a->any.sa_family != b->any.sa_family)
		return false;
	if (a->any.sa_family == AF_INET)
		return a->in4.sin_port == b->in4.sin_port && a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
	return a->in6.sin6_port == b->in6.sin6_port && memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr)) == 0;
}

int proxy_order_send(int sock, const struct proxy_order *order, int fd)
{
	return fd_send(sock, order, sizeof(*order), &fd, fd >= 0 ? 1 : 0);
}

int proxy_order_recv(int sock, struct proxy_order *ret, int *ret_fd)
{
	size_t n = 0;
	int fd = -1;
	ssize_t got = fd_recv(sock, ret, sizeof(*ret), &fd, 1, &n);
	*ret_fd = fd;
	if (got == (ssize_t)sizeof(*ret))
		return 1;
	cleanup_fd(ret_fd);
	return got == 0 ? 0 : got < 0 ? (int)got : -EBADMSG;
}
