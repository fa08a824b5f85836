/* SPDX-License-Identifier: Apache-2.0 */
/* Netlink messages, built in a fixed buffer and sent in one batch; the parts of
 * rtnetlink and nfnetlink that hull needs (rtnetlink(7), linux/netlink.h).
 *
 * Building never fails in the middle: an overflow sticks and is reported by
 * nl_talk(). All functions return 0 or a negative errno. */
#pragma once

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define NL_BUFFER_SIZE 16384

struct nl_batch {
	char data[NL_BUFFER_SIZE] __attribute__((aligned(4)));
	size_t len;
	size_t message; /* offset of the message being built */
	uint32_t seq;
	unsigned acks; /* how many messages asked for an acknowledgement */
	bool overflow;
};

/* @protocol: NETLINK_ROUTE or NETLINK_NETFILTER; the socket belongs to the
 * network namespace of the calling thread. */
int nl_open(int protocol, int *ret_sock) MUST_CHECK;

void nl_init(struct nl_batch *b);
/* Begin a message; @flags gets NLM_F_REQUEST, and NLM_F_ACK unless @no_ack. The
 * fixed header that follows (ifinfomsg, nfgenmsg, ...) is zeroed and returned. */
void *nl_message(struct nl_batch *b, uint16_t type, uint16_t flags, size_t header_size);
void *nl_message_no_ack(struct nl_batch *b, uint16_t type, uint16_t flags, size_t header_size);
void nl_attr(struct nl_batch *b, uint16_t type, const void *data, size_t len);
void nl_attr_str(struct nl_batch *b, uint16_t type, const char *s);
void nl_attr_u16(struct nl_batch *b, uint16_t type, uint16_t v);
void nl_attr_u32(struct nl_batch *b, uint16_t type, uint32_t v);
void nl_attr_u32_be(struct nl_batch *b, uint16_t type, uint32_t v);
/* Nested attributes: close with the value returned. @header_size as above (the
 * peer of a veth begins with an ifinfomsg). */
size_t nl_nest(struct nl_batch *b, uint16_t type, size_t header_size);
void nl_nest_end(struct nl_batch *b, size_t nest);

/* Send the batch and wait for every acknowledgement. The first error wins;
 * @ret_failed (may be NULL) says which message of the batch it was, from 0. */
int nl_talk(int sock, struct nl_batch *b, unsigned *ret_failed) MUST_CHECK;

/* Send one request that is answered with messages (a dump or a single object)
 * and call @visit for each; a non-zero return of it ends the visit. */
int nl_query(int sock, struct nl_batch *b, int (*visit)(const struct nlmsghdr *h, void *arg), void *arg) MUST_CHECK;

/* Find attribute @type in the attributes at @data; NULL if missing. */
const void *nl_find_attr(const void *data, size_t len, uint16_t type, size_t *ret_len);
