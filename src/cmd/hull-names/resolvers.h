/* SPDX-License-Identifier: Apache-2.0 */
/* Whom to ask: the host's resolvers as /etc/resolv.conf names them now, or a
 * container's own. */
#pragma once

#include <netinet/in.h>
#include <sys/stat.h>

#include "err.h"
#include "str.h"

#define RESOLVERS_MAX 6

union resolver {
	struct sockaddr any;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
};

struct resolvers {
	union resolver list[RESOLVERS_MAX];
	size_t n;
};

struct host_resolvers {
	struct resolvers now;
	struct stat seen;
	int64_t looked_ns;
};

/* Looks at the file again when that was more than a second ago. */
const struct resolvers *host_resolvers(struct host_resolvers *h);
/* Append the address of one, with an optional "%interface"; not this server's
 * own address, which would ask itself. */
void resolvers_add(struct resolvers *r, const char *text);
/* The "nameserver" lines of @text. */
void resolvers_parse(struct resolvers *r, const char *text);
