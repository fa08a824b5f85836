/* SPDX-License-Identifier: Apache-2.0 */
/* A FUSE file system made of shared directories, one message at a time.
 *
 * Knows nothing of how messages travel (fuse_serve.h does). The peer is a
 * hostile kernel: no request makes the server touch anything outside the
 * shares, open a device or FIFO, block another request, or grow without bound.
 *
 * How that is kept. A request names an object by the number of an entry in a
 * table, never by a path; a name in a request is one component, without "/",
 * not "." or ".."; every system call gets a descriptor and such a name, or
 * the number of a descriptor, as digits, below /proc/self/fd. Symbolic links
 * are read for the guest and never followed. What is opened is looked at
 * through an O_PATH descriptor first, and opened through that descriptor.
 *
 * Protocol: <linux/fuse.h>, minor versions 31 (Linux 5.4) and later. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "err.h"

#define FUSE_SERVER_SHARES_MAX 200
#define FUSE_DATA_MAX          (1u << 20)
/* The longest message either way; buffers for requests must be this long. */
#define FUSE_MESSAGE_MAX (FUSE_DATA_MAX + 4096)

enum fuse_share_flags {
	FUSE_SHARE_READ_ONLY = 1,
	/* Nobody else changes it: names, attributes and pages may be cached. */
	FUSE_SHARE_PRIVATE = 2,
	/* Locks need not hold against anybody outside this server. */
	FUSE_SHARE_LOCAL_LOCKS = 4,
	/* Changes by others may be seen a second late. */
	FUSE_SHARE_CACHED = 8,
};

struct fuse_share {
	const char *name;
	/* O_PATH; a directory or a regular file. Stays the caller's. */
	int fd;
	unsigned flags;
};

struct fuse_server_config {
	const struct fuse_share *shares;
	size_t shares_n;
	/* The directory /proc/self/fd; stays the caller's, and open. */
	int proc_fds;
	/* Descriptors the server may hold, and names it may know. */
	size_t fds_max, inodes_max;
	/* The most of a file that goes into one message, a multiple of 4096; 0: FUSE_DATA_MAX. */
	uint32_t data_max;
	/* Whether new files get the ids of the request. Needs CAP_SETUID, CAP_SETGID
	 * and the others in fuse_server_capabilities(); without it they belong to
	 * whoever runs the server. */
	bool takes_ids;
};

struct fuse_server;
int fuse_server_new(const struct fuse_server_config *config, struct fuse_server **ret, struct err *err) MUST_CHECK;
/* No worker may be left. */
void fuse_server_free(struct fuse_server *s);
/* What it needs of CAP_x to serve with takes_ids, as a mask. A switch of ids
 * must not change them (SECBIT_NO_SETUID_FIXUP). */
uint64_t fuse_server_capabilities(void);

/* What one thread works with. Made and used on that thread: its current
 * directory becomes /proc/self/fd and its file mode mask its own. */
struct fuse_worker;
struct fuse_worker *fuse_worker_new(struct fuse_server *s);
void fuse_worker_free(struct fuse_worker *w);

/* A buffer for a request, of FUSE_MESSAGE_MAX bytes; NULL out of memory. */
void *fuse_buffer_new(void);
void fuse_buffer_free(void *buffer);

/* Tell that the worker has taken this message, and do it. From the first call
 * on, an INTERRUPT that another worker is given finds it. Returns the length of
 * the reply in *ret_reply (valid until the next call), 0 where there is none to
 * send, or -EPROTO for what is no message: the connection should end. */
int fuse_worker_take(struct fuse_worker *w, const void *msg, size_t len) MUST_CHECK;
ssize_t fuse_worker_run(struct fuse_worker *w, const void **ret_reply) MUST_CHECK;

/* Call @fn whenever what a message asks for may take long (a lock that is waited
 * for, the disk), from within fuse_worker_run(), perhaps more than once. */
void fuse_worker_on_block(struct fuse_worker *w, void (*fn)(void *ctx), void *ctx);

/* The signal that interrupts a blocked worker; its handler must exist and do
 * nothing, without SA_RESTART. */
#define FUSE_INTERRUPT_SIGNAL SIGUSR1
