/* SPDX-License-Identifier: Apache-2.0 */
/* "api.example.com:443", "192.0.2.0/24:5432-5440/udp", "[2001:db8::1]:443",
 * "198.51.100.7": whereto something may be sent. Pure; @text comes from users. */
#pragma once

#include <stdint.h>

#include "err.h"
#include "link.h"

#define EGRESS_NAME_SIZE 256
/* A name is admitted port by port. */
#define EGRESS_NAME_PORTS_MAX 16

struct egress {
	char name[EGRESS_NAME_SIZE]; /* in lower case, without a final dot; empty: an address */
	struct ip_address address;   /* with its prefix */
	char protocol[8];            /* empty: any */
	uint16_t port_first, port_last; /* 0: any */
};
int egress_parse(const char *text, struct egress *ret, struct err *err) MUST_CHECK;
/* "443" or "8000-8010"; -EINVAL. */
int egress_parse_ports(const char *text, uint16_t *ret_first, uint16_t *ret_last) MUST_CHECK;
/* "tcp", "udp", "sctp", "icmp" in any case, into @ret; -EINVAL. */
int egress_parse_protocol(const char *text, char ret[8]) MUST_CHECK;
