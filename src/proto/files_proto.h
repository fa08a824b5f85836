/* SPDX-License-Identifier: Apache-2.0 */
/* How hull talks to hull-files, the server of directories to guests.
 *
 *   hull-files                       one guest, then exit
 *     fd 3  a connected SOCK_STREAM Unix socket
 *
 * A guest with a kernel of its own (user-mode Linux, a microVM) sees one FUSE
 * file system. Its root is virtual and read-only: the entries are the shares,
 * by the names the starter gives them. The guest mounts it once and binds
 * /NAME, or what lies below, to where it belongs.
 *
 * 1. The starter sends a struct files_start and the descriptors that belong to
 *    it: files_send_start(). hull-files locks itself in (below) and answers with
 *    a struct files_started: files_recv_started(). With a failure it then exits.
 * 2. From then on the socket carries FUSE messages and nothing else, as the
 *    guest's kernel has them in /dev/fuse or in the request queue of virtio-fs:
 *    requests in (struct fuse_in_header first), replies and notices out (struct
 *    fuse_out_header). The frame is the header's own length field. The longest
 *    request is FILES_REQUEST_MAX bytes, the longest reply FILES_REPLY_MAX; a
 *    request of an impossible length ends the connection. Replies come in any
 *    order; FORGET, BATCH_FORGET and most INTERRUPTs get none. A new INIT (a
 *    guest that has rebooted) forgets what was before.
 * 3. The end of the socket is the end: hull-files exits with 0 and every lock
 *    and open file of the guest is gone. If hull-files dies, the starter sees
 *    the end of the socket; the guest's requests must then fail with EIO
 *    (closing its /dev/fuse does that).
 *
 * Who relays for a guest sends what the guest said as it is: hull-files trusts
 * nothing in it. Descriptors that come with FUSE messages are dropped.
 *
 * Shares. The descriptor of a share is an O_PATH descriptor on a directory, or
 * on a regular file, which then is an entry by itself. What is mounted below it
 * belongs to the share, except procfs, where files mean something else for each
 * reader. The guest's ids are those of the user namespace hull-files runs in
 * (FILES_USERNS), which should be the one a container would get: give the
 * share as a mount that is id-mapped to it (mount_clone(), mount_idmap()), and
 * files keep their owners on disk. hull-files can do what root of that
 * namespace can do below the shares, and nothing elsewhere. Who may do what
 * inside, the guest's own kernel decides (default_permissions), as a
 * container's kernel does.
 *
 * Mount options: "ro" is FILES_SHARE_READ_ONLY, and a read-only mount as well if
 * the starter makes it so. nosuid, nodev and noexec protect the guest from its
 * own files and are options of its bind mounts; a server cannot enforce them.
 * The host is protected by device nodes (other than overlayfs' whiteouts) never
 * being made, and devices, FIFOs and sockets never being opened.
 *
 * What is on disk is what a container of the same user namespace would leave:
 * an overlay mounted in the guest with "userxattr" on a share writes the same
 * user.overlay.* attributes and 0:0 nodes as the host's overlay. trusted.*
 * attributes are refused: mount with "userxattr".
 *
 * Coherence. By default the guest asks about every name and attribute each time
 * it needs one, and drops cached pages when size or time have changed: changes
 * by containers, other guests and the host are seen. FILES_SHARE_PRIVATE tells
 * that nobody else changes the share while the guest runs (a writable layer):
 * names, attributes and pages are then cached for as long as the guest likes.
 * FILES_SHARE_CACHED allows names and attributes to be a second old, which spares
 * most questions: what Docker's "cached" and "delegated" ask for. Mappings with
 * MAP_SHARED are never coherent between kernels.
 * Locks (fcntl and flock) are the host's, so they hold between containers and
 * guests, unless each share has FILES_SHARE_LOCAL_LOCKS: then they are the
 * guest's own affair and closing a file needs no message. It takes one share
 * without the flag to make each close() a question; so shares of a few files that
 * nobody locks (/etc/hosts) should have it, or a second hull-files for themselves.
 *
 * Limits. hull-files raises its soft RLIMIT_NOFILE to the hard one and fits in:
 * open files of the guest beyond half of it fail with ENFILE; names it merely
 * knows cost no descriptor when it gets short. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define FILES_PROGRAM "hull-files"
#define FILES_SOCKET_FD 3
#define FILES_SHARES_MAX 200
/* 1 MiB of data and its headers. */
#define FILES_REQUEST_MAX ((1u << 20) + 4096)
#define FILES_REPLY_MAX ((1u << 20) + 4096)
/* With FILES_SMALL either. */
#define FILES_SMALL_DATA_MAX (128u << 10)
#define FILES_SMALL_MAX (FILES_SMALL_DATA_MAX + 4096)

/* flags of a share */
#define FILES_SHARE_READ_ONLY   1u
#define FILES_SHARE_PRIVATE     2u
#define FILES_SHARE_LOCAL_LOCKS 4u
#define FILES_SHARE_CACHED      8u

/* flags of a start */
/* Enter the user namespace given as a descriptor. Without it hull-files stays
 * in the one it was started in. */
#define FILES_USERNS 1u
/* Serve a descriptor of /dev/fuse instead of the socket, which is then only
 * watched for its end (tests, and hosts that mount for themselves). */
#define FILES_DEVICE 2u
/* Have the guest put at most FILES_SMALL_DATA_MAX into a message: for one whose
 * relay has to keep room for a message in the guest's memory. */
#define FILES_SMALL 4u

#define FILES_MAGIC 0x686c6631u

struct files_share {
	/* One component, not "." or "..". */
	char name[64];
	uint32_t flags;
	uint32_t reserved;
};

/* What goes over the socket: this, then the descriptors, FD_PASS_MAX in each
 * message of one byte: user namespace, device (if flagged), shares in order. */
struct files_start {
	uint32_t magic;
	uint32_t flags;
	/* Worker threads at most; 0: 64. What blocks (a lock that is waited for)
	 * takes one. */
	uint32_t threads_max;
	uint32_t shares_n;
	struct files_share shares[FILES_SHARES_MAX];
};

struct files_started {
	uint32_t magic;
	/* 0, or a negative errno with @err. */
	int32_t result;
	struct err err;
};

/* The starter's side. @fds: those the flags ask for, then one a share; they stay
 * the caller's. */
int files_send_start(int sock, const struct files_start *start, const int *fds, size_t n, struct err *err) MUST_CHECK;
int files_recv_started(int sock, struct err *err) MUST_CHECK;

/* The server's side. @fds: FILES_FDS_MAX of them; the caller closes the *ret_n
 * that came even after a failure. */
#define FILES_FDS_MAX (FILES_SHARES_MAX + 2)
int files_recv_start(int sock, struct files_start *start, int *fds, size_t *ret_n, struct err *err) MUST_CHECK;
int files_send_started(int sock, int result, const struct err *err) MUST_CHECK;

/* How many descriptors belong to @start; 0 if it makes no sense. */
size_t files_start_fds(const struct files_start *start);
