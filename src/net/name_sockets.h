/* SPDX-License-Identifier: Apache-2.0 */
/* Where a container asks for names: 127.0.0.11, port 53, in its own network
 * namespace. The sockets are at ports that nobody chose, to which port 53 of that
 * address leads, so that a resolver in the container can have port 53. */
#pragma once

#include "err.h"

/* @ret: UDP and TCP (listening), the caller's; they work wherever they are handed
 * to, and take the place of such sockets as there were. The loopback must be up before somebody asks. The calling thread enters the
 * namespace for a moment and comes back; it must be the only thread. */
int name_sockets_open(int netns_fd, int ret[2], struct err *err) MUST_CHECK;
