/* SPDX-License-Identifier: Apache-2.0 */
/* Which process of this network namespace has a local port. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct socket_holder {
	pid_t pid;
	char name[16]; /* its comm */
};

/* @protocol is "tcp" or "udp"; a connected TCP socket is no holder. False when
 * nobody is found: the port is free, or belongs to the kernel or to another pid
 * namespace, or we may not look. */
bool socket_holder_find(const char *protocol, uint16_t port, struct socket_holder *ret);
