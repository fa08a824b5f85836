/* SPDX-License-Identifier: Apache-2.0 */
/* Questions for names. The workload asks 127.0.0.11 as a container does; its
 * questions go to the host, whose name server answers a socket in the supervisor's
 * network namespace. Only the id of a message is touched: it finds the asker. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent.h"
#include "names_proto.h"

#define DNS_PORT 53
#define DNS_HEADER 12

static void asked(void *ctx, uint32_t events)
{
	struct agent *a = ctx;
	struct names *n = &a->names;
	unsigned char message[AGENT_NAMES_MAX];
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	ssize_t len = recvfrom(n->source.fd, message, sizeof(message), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
	if (len < DNS_HEADER || from_len != sizeof(from))
		return;
	/* The oldest question gives way: its asker has asked again long since. */
	struct names_question *q = &n->questions[n->next % NAMES_QUESTIONS];
	*q = (struct names_question){ .from = from, .own_id = n->next };
	memcpy(q->id, message, sizeof(q->id));
	message[0] = (unsigned char)(n->next >> 8);
	message[1] = (unsigned char)n->next;
	n->next++;
	agent_link_send(&a->link, AGENT_NAMES, 0, 0, 0, message, (size_t)len);
}

void names_answer(struct agent *a, const char *payload, size_t len)
{
	struct names *n = &a->names;
	unsigned char message[AGENT_NAMES_MAX];
	if (n->source.fd < 0 || len < DNS_HEADER || len > sizeof(message))
		return;
	memcpy(message, payload, len);
	uint16_t id = (uint16_t)(message[0] << 8 | message[1]);
	struct names_question *q = &n->questions[id % NAMES_QUESTIONS];
	if (q->own_id != id || !q->from.sin_port)
		return;
	memcpy(message, q->id, sizeof(q->id));
	(void)!sendto(n->source.fd, message, len, MSG_DONTWAIT, (struct sockaddr *)&q->from, sizeof(q->from));
	q->from.sin_port = 0;
}

int names_start(struct agent *a, struct err *err)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(DNS_PORT) };
	int on = 1;
	CLEANUP_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* A workload that serves names may have the port on all addresses. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 || inet_pton(AF_INET, NAMES_ADDRESS, &at.sin_addr) != 1 ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open the guest's socket at " NAMES_ADDRESS);
	a->names.source = (struct loop_source){ .fd = TAKE_FD(fd), .ready = asked, .ctx = a };
	int r = loop_watch(&a->loop, &a->names.source, EPOLLIN);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "watch the guest's socket at " NAMES_ADDRESS) : 0;
}
