/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"

#define ALIGN4(n) (((n) + 3u) & ~(size_t)3u)

int nl_open(int protocol, int *ret_sock)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	CLEANUP_FD int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	if (sock < 0)
		return -errno;
	int on = 1;
	/* Without it an acknowledgement of an error carries the whole request. */
	(void)setsockopt(sock, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	if (bind(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	*ret_sock = TAKE_FD(sock);
	return 0;
}

void nl_init(struct nl_batch *b)
{
	b->len = 0;
	b->message = 0;
	b->seq = 1;
	b->acks = 0;
	b->overflow = false;
}

static void *extend(struct nl_batch *b, size_t len)
{
	len = ALIGN4(len);
	if (b->overflow || len > sizeof(b->data) - b->len) {
		b->overflow = true;
		/* Somewhere harmless to write to: the batch is never sent. */
		return len <= sizeof(b->data) ? b->data : NULL;
	}
	void *p = b->data + b->len;
	memset(p, 0, len);
	b->len += len;
	return p;
}

static struct nlmsghdr *current(struct nl_batch *b)
{
	return (struct nlmsghdr *)(void *)(b->data + b->message);
}

static void update_length(struct nl_batch *b)
{
	current(b)->nlmsg_len = (uint32_t)(b->len - b->message);
}

void *nl_message_no_ack(struct nl_batch *b, uint16_t type, uint16_t flags, size_t header_size)
{
	size_t at = b->len;
	struct nlmsghdr *h = extend(b, sizeof(*h));
	if (!b->overflow) {
		b->message = at;
		*h = (struct nlmsghdr){ .nlmsg_type = type, .nlmsg_flags = flags | NLM_F_REQUEST, .nlmsg_seq = b->seq++ };
	}
	void *header = extend(b, header_size);
	update_length(b);
	return header;
}

void *nl_message(struct nl_batch *b, uint16_t type, uint16_t flags, size_t header_size)
{
	b->acks++;
	return nl_message_no_ack(b, type, flags | NLM_F_ACK, header_size);
}

void nl_attr(struct nl_batch *b, uint16_t type, const void *data, size_t len)
{
	struct nlattr *a = extend(b, sizeof(*a) + len);
	if (b->overflow)
		return;
	a->nla_type = type;
	a->nla_len = (uint16_t)(sizeof(*a) + len);
	if (len)
		memcpy(a + 1, data, len);
	update_length(b);
}

void nl_attr_str(struct nl_batch *b, uint16_t type, const char *s)
{
	nl_attr(b, type, s, strlen(s) + 1);
}

void nl_attr_u16(struct nl_batch *b, uint16_t type, uint16_t v)
{
	nl_attr(b, type, &v, sizeof(v));
}

void nl_attr_u32(struct nl_batch *b, uint16_t type, uint32_t v)
{
	nl_attr(b, type, &v, sizeof(v));
}

void nl_attr_u32_be(struct nl_batch *b, uint16_t type, uint32_t v)
{
	nl_attr_u32(b, type, htonl(v));
}

size_t nl_nest(struct nl_batch *b, uint16_t type, size_t header_size)
{
	size_t at = b->len;
	struct nlattr *a = extend(b, sizeof(*a));
	if (!b->overflow)
		a->nla_type = type | NLA_F_NESTED;
	extend(b, header_size);
	return at;
}

void nl_nest_end(struct nl_batch *b, size_t nest)
{
	if (b->overflow)
		return;
	((struct nlattr *)(void *)(b->data + nest))->nla_len = (uint16_t)(b->len - nest);
	update_length(b);
}

/* One recv()'s worth of messages; calls back for each until it says stop. */
static int receive(int sock, int (*each)(const struct nlmsghdr *h, void *arg), void *arg)
{
	char data[32768] __attribute__((aligned(4)));
	ssize_t n;
	do
		n = recv(sock, data, sizeof(data), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	size_t left = (size_t)n;
	for (const struct nlmsghdr *h = (void *)data; left >= sizeof(*h);) {
		if (h->nlmsg_len < sizeof(*h) || h->nlmsg_len > left)
			return -EBADMSG;
		int r = each(h, arg);
		if (r != 0)
			return r;
		size_t step = ALIGN4(h->nlmsg_len);
		if (step >= left)
			break;
		left -= step;
		h = (const void *)((const char *)h + step);
	}
	return 0;
}

struct ack_state {
	unsigned seen;
	int error;
	uint32_t failed_seq;
};

static int on_ack(const struct nlmsghdr *h, void *arg)
{
	struct ack_state *s = arg;
	if (h->nlmsg_type != NLMSG_ERROR)
		return 0;
	if (h->nlmsg_len < sizeof(*h) + sizeof(int))
		return -EBADMSG;
	int error;
	memcpy(&error, h + 1, sizeof(error));
	s->seen++;
	if (error && !s->error) {
		s->error = error;
		s->failed_seq = h->nlmsg_seq;
	}
	return 0;
}

int nl_talk(int sock, struct nl_batch *b, unsigned *ret_failed)
{
	struct ack_state s = { 0 };
	if (b->overflow)
		return -E2BIG;
	ssize_t n;
	do
		n = send(sock, b->data, b->len, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	/* A transaction of nfnetlink that fails acknowledges only what failed. */
	while (s.seen < b->acks && !(s.error && b->acks == 0)) {
		int r = receive(sock, on_ack, &s);
		if (r < 0)
			return r;
		if (s.error)
			break;
	}
	if (s.error && ret_failed)
		*ret_failed = s.failed_seq - 1;
	return s.error;
}

struct query_state {
	int (*visit)(const struct nlmsghdr *h, void *arg);
	void *arg;
	bool done;
};

static int on_reply(const struct nlmsghdr *h, void *arg)
{
	struct query_state *q = arg;
	if (h->nlmsg_type == NLMSG_DONE) {
		q->done = true;
		return 0;
	}
	if (h->nlmsg_type == NLMSG_ERROR) {
		int error;
		if (h->nlmsg_len < sizeof(*h) + sizeof(int))
			return -EBADMSG;
		memcpy(&error, h + 1, sizeof(error));
		q->done = true;
		return error;
	}
	return q->visit(h, q->arg);
}

int nl_query(int sock, struct nl_batch *b, int (*visit)(const struct nlmsghdr *h, void *arg), void *arg)
{
	struct query_state q = { .visit = visit, .arg = arg };
	if (b->overflow)
		return -E2BIG;
	if (send(sock, b->data, b->len, 0) < 0)
		return -errno;
	while (!q.done) {
		int r = receive(sock, on_reply, &q);
		if (r != 0)
			return r;
	}
	return 0;
}

const void *nl_find_attr(const void *data, size_t len, uint16_t type, size_t *ret_len)
{
	const char *p = data;
	while (len >= sizeof(struct nlattr)) {
		struct nlattr a;
		memcpy(&a, p, sizeof(a));
		if (a.nla_len < sizeof(a) || a.nla_len > len)
			return NULL;
		if ((a.nla_type & NLA_TYPE_MASK) == type) {
			if (ret_len)
				*ret_len = a.nla_len - sizeof(a);
			return p + sizeof(a);
		}
		size_t step = ALIGN4(a.nla_len);
		if (step >= len)
			return NULL;
		p += step;
		len -= step;
	}
	return NULL;
}
