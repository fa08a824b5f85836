/* SPDX-License-Identifier: Apache-2.0 */
/* What the supervisor of a guest (hull-guest) is given by the back end that
 * executes it, and what it answers. It is given descriptors and nothing else:
 *
 *   hull-guest supervise UID GID TERMINAL   0 1 2 of the workload (or a terminal), and GUEST_FD_x
 *   hull-guest relay UID GID TERMINAL       0 1 2 of the process, GUEST_FD_REPORT, GUEST_FD_AGENT (a
 *                                  connection to guest.sock), GUEST_FD_REQUEST
 *
 * UID, GID: what it becomes, before it reads the first byte of the guest's. */
#pragma once

#include <stdint.h>

#include "err.h"

enum guest_fd {
	GUEST_FD_REPORT = 3, /* SOCK_SEQPACKET: struct guest_report */
	GUEST_FD_AGENT,      /* the stream to the agent */
	GUEST_FD_REQUEST,    /* a file: the frames that start the process */
	GUEST_FD_LISTEN,     /* guest.sock */
	GUEST_FD_CONSOLE,    /* a pipe: what the guest's kernel prints */
	GUEST_FD_MACHINE,    /* pidfd of the process that is the machine; our child */
	GUEST_FD_STATS,      /* a file for the last struct agent_stats */
	GUEST_FD_RING,       /* memory shared with the guest, or /dev/null: a ring (agent_ring.h) with
			      * GUEST_FD_AGENT as its bell, then one with GUEST_FD_PORT */
	GUEST_FD_PORT,       /* the guest's FUSE messages: a stream, or a bell; /dev/null: they go another way */
	GUEST_FD_FILES,      /* the stream to hull-files; /dev/null likewise */
	GUEST_FD_NAMES,      /* a socket that asks the name server, or /dev/null */
	GUEST_FD_CONTROL,    /* the socket of vmm_proto.h, whose end is the machine's; or /dev/null */
	GUEST_FD_END
};

enum guest_report_kind {
	GUEST_FAILED,
	GUEST_STARTED,
	GUEST_NAMES, /* before it: the sockets for names come along */
};

struct guest_report {
	int32_t kind;
	struct err err;
};

#define GUEST_SOCKET_NAME "guest.sock"
#define GUEST_STATS_NAME "guest.stats"
