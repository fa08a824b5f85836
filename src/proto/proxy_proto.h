/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports that the kernel cannot redirect: `::1`, an address of a family
 * that the workload has none of, 127.0.0.1 where route_localnet is out of reach.
 *
 * hull-monitor holds their sockets for as long as the workload lives. With the
 * first connection or datagram it starts hull-proxy (with a SOCK_SEQPACKET socket as descriptor
 * PROXY_FD) and hands it that port's socket; when nothing has passed for a moment
 * hull-proxy ends, and the monitor waits for the next by itself. Whoever of the two
 * dies, the other sees the conversation end: hull-proxy ends too, the monitor
 * starts another.
 *
 * The engine names ports by lines (proxy_port_parse()) in monitor.conf, and in
 * MON_PROXY for a workload that runs. */
#pragma once

#include <netinet/in.h>
#include <stdint.h>

#include "err.h"

/* Its user and group: of nobody else (above the ids of workloads, in what systemd
 * leaves free), so that the firewall knows it: "hulx". */
#define PROXY_ID 2020111724
#define PROXY_FD 3

union proxy_address {
	struct sockaddr any;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
};

struct proxy_port {
	uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP */
	union proxy_address listen, target;
};

#define PROXY_LINE_SIZE 160
/* "tcp ::1 8080 fd00::2 80". -EINVAL. */
int proxy_port_parse(const char *line, struct proxy_port *ret) MUST_CHECK;
void proxy_port_format(const char *protocol, const char *host_ip, uint16_t host_port, const char *container_ip, uint16_t container_port,
		       char out[PROXY_LINE_SIZE]);
/* "[::1]:8080". */
void proxy_address_format(const union proxy_address *a, char out[64]);
socklen_t proxy_address_len(const union proxy_address *a);
bool proxy_address_eq(const union proxy_address *a, const union proxy_address *b);

/* ---- monitor to hull-proxy ---- */

enum proxy_order_type { PROXY_ADD = 1, PROXY_DROP };

struct proxy_order {
	uint32_t type;
	uint32_t key; /* of the port, until PROXY_DROP, which is answered by one byte */
	struct proxy_port port;
};
/* PROXY_ADD: with the port's socket. Never blocks: -EAGAIN. */
int proxy_order_send(int sock, const struct proxy_order *order, int fd) MUST_CHECK;
/* 1; 0 at the end; negative, -EAGAIN too. *ret_fd: -1 if none came. */
int proxy_order_recv(int sock, struct proxy_order *ret, int *ret_fd) MUST_CHECK;
