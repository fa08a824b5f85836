/* SPDX-License-Identifier: Apache-2.0 */
/* monitor.conf, lines of the event log and of proxied ports, and messages of the monitor's protocol
 * as they arrive on a socket. The first byte chooses. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "event_log.h"
#include "monitor_conf.h"
#include "monitor_proto.h"
#include "proxy_proto.h"

static void message(const uint8_t *data, size_t size)
{
	static char payload[MON_PAYLOAD_MAX];
	int sv[2], fds[3];
	size_t n = 0;
	struct mon_msg msg;
	if (!size || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) < 0)
		return;
	if (send(sv[0], data, size, MSG_DONTWAIT) == (ssize_t)size && mon_recv(sv[1], &msg, payload, fds, 3, &n) == 1 &&
	    msg.len != size - sizeof(msg))
		abort();
	close(sv[0]);
	close(sv[1]);
}

/* What is understood says the same once more. */
static void proxy_line(const char *text)
{
	struct proxy_port port, again;
	char line[PROXY_LINE_SIZE], host[INET6_ADDRSTRLEN], target[INET6_ADDRSTRLEN];
	if (proxy_port_parse(text, &port) < 0)
		return;
	bool v4 = port.listen.any.sa_family == AF_INET, to4 = port.target.any.sa_family == AF_INET;
	inet_ntop(port.listen.any.sa_family, v4 ? (void *)&port.listen.in4.sin_addr : &port.listen.in6.sin6_addr, host, sizeof(host));
	inet_ntop(port.target.any.sa_family, to4 ? (void *)&port.target.in4.sin_addr : &port.target.in6.sin6_addr, target, sizeof(target));
	proxy_port_format(port.protocol == IPPROTO_UDP ? "udp" : "tcp", host, ntohs(v4 ? port.listen.in4.sin_port : port.listen.in6.sin6_port),
			  target, ntohs(to4 ? port.target.in4.sin_port : port.target.in6.sin6_port), line);
	if (proxy_port_parse(line, &again) < 0 || again.protocol != port.protocol || !proxy_address_eq(&again.listen, &port.listen) ||
	    !proxy_address_eq(&again.target, &port.target))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	CLEANUP_FREE char *text = str_ndup((const char *)data + 1, size - 1);
	struct monitor_conf *conf = NULL;
	struct event event;
	struct err err = ERR_INIT;
	switch (data[0]) {
	case 'c':
		if (monitor_conf_parse(text, &conf, &err) == 0)
			monitor_conf_free(conf);
		break;
	case 'e':
		(void)!event_log_parse_line(text, &event);
		break;
	case 'p':
		proxy_line(text);
		break;
	default:
		message(data + 1, size - 1);
		break;
	}
	return 0;
}
