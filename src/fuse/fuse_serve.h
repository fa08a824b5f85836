/* SPDX-License-Identifier: Apache-2.0 */
/* Serving a FUSE server's messages with a pool of threads.
 *
 * On a stream one thread reads; it does what is quick before it reads on, and
 * lets another read before it does what may take long. So a guest that asks one
 * thing after the other costs no switch between threads, and nothing that
 * blocks keeps the next request waiting, as long as there are threads. */
#pragma once

#include "fuse_server.h"

struct fuse_serve_config {
	/* A stream socket, or /dev/fuse. */
	int fd;
	bool is_device;
	/* Whose end (POLLHUP) ends the serving, too; -1: none. */
	int watch_fd;
	unsigned threads_max;
};

/* Returns when the peer has gone (0), has sent nonsense (-EPROTO), or on an
 * error. Workers may still be at work then: only the end of the process may
 * follow. */
int fuse_serve(struct fuse_server *s, const struct fuse_serve_config *config, struct err *err) MUST_CHECK;
