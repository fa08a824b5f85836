/* SPDX-License-Identifier: Apache-2.0 */
/* Egress by name: whoever may reach "api.example.com:443" may reach the addresses
 * that it is told, as soon as it is told.
 *
 * The firewall is not changed by the server, which has no rights and reads what
 * strangers send, but by a process of its own that keeps CAP_NET_ADMIN and takes
 * nothing on trust: it reads the container's record itself, and opens only the
 * ports that stand there for the name. */
#pragma once

#include "directory.h"

#define ADMIT_ADDRESSES_MAX 32

struct admit_request {
	uint32_t forward, serial; /* whose answer waits */
	char id[NAMES_ID_SIZE];
	uint8_t addresses_n;
	struct dns_name name;
	struct admit_address {
		uint8_t len; /* 4, 16 */
		uint8_t bytes[16];
		uint32_t ttl_s;
	} addresses[ADMIT_ADDRESSES_MAX];
};

struct admit_reply {
	uint32_t forward, serial;
	int32_t result;
};

/* Start it, before privileges are given up; *ret_sock is the way to it. */
int admit_start(int names_dirfd, int *ret_sock, struct err *err) MUST_CHECK;
/* The answer @data is for @c: when it is about a name that @c has an egress rule
 * for, have its addresses opened: 1, and a reply comes to @sock when they are. 0:
 * there is nothing to open. */
int admit_ask(int sock, const struct container *c, const uint8_t *data, size_t len, uint32_t forward, uint32_t serial) MUST_CHECK;
