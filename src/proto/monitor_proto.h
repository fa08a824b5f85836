/* SPDX-License-Identifier: Apache-2.0 */
/* What hull and a hull-monitor say to each other, over SOCK_SEQPACKET Unix
 * sockets: $HULL_RUN/workloads/<id>/ctl (0600), and the socket that hull hands
 * the monitor as descriptor 3 when it spawns it, which counts as an accepted
 * connection.
 *
 * One message a packet: struct mon_msg and @len payload bytes, at most
 * MON_PAYLOAD_MAX. One connection is one conversation:
 *
 * A spawned monitor touches nothing until the first message: a connection that
 * closes before it leaves nothing; after DESCRIBED alone, a control group and the
 * state "created".
 *
 *   DESCRIBED             -> nothing: config.json and monitor.conf are there, of a
 *                            container for which the monitor was spawned with
 *                            "namespaces"; what they say may be got ready for,
 *                            under the workload's lock. Before all others
 *   START                 -> STARTED | ERROR   (only before the first start)
 *   ATTACH flags          -> OK, then STDOUT/STDERR..., at the end EXIT,
 *                            and to the OWNER of a workload with --rm REMOVED
 *                            once its processes, control groups and folder
 *                            below $HULL_RUN are gone; the links that
 *                            monitor.conf names follow, after the word;
 *                            the client may send STDIN, STDIN_EOF, RESIZE
 *   WAIT                  -> (later) EXIT
 *   EXEC json (+3 fds)    -> STARTED (arg = pid; + pty master fd with a tty),
 *                            later EXIT; the client may send RESIZE and SIGNAL.
 *                            An exec id and a newline may precede the JSON: then
 *                            the monitor logs exec_die (event_log.h)
 *   EXEC_SOON             -> nothing: an EXEC is going to follow here, and what it
 *                            needs may be got ready for
 *   SIGNAL signo          -> OK | ERROR; arg2 = MON_SIGNAL_x
 *   STOP (arg = timeout_s, arg2 = signo) -> OK at once, EXIT when gone;
 *                            MON_DEFAULT: as monitor.conf says; arg = MON_NEVER:
 *                            wait without end before SIGKILL
 *   PAUSE | RESUME        -> OK | ERROR
 *   NAMES path (+2 fds)   -> OK: the workload has sockets for names now; path is
 *                            of the server's program (names_proto.h)
 *   PROXY lines           -> OK | ERROR: "+LINE" or "-LINE" each, of proxy_proto.h:
 *                            serve that port from now on, or no longer; what is so
 *                            already is no error
 *   RELOAD                -> OK: read monitor.conf's restart policy and stop
 *                            settings again
 *
 * ATTACH, WAIT and START may be combined on one connection, in that order:
 * `hull run` sends ATTACH, START on descriptor 3. Closing a connection detaches;
 * it never kills anything. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define MON_PAYLOAD_MAX 65536u

enum mon_type {
	/* requests */
	MON_START = 1,
	MON_ATTACH,
	MON_WAIT,
	MON_EXEC,
	MON_SIGNAL,
	MON_STOP,
	MON_PAUSE,
	MON_RESUME,
	MON_RELOAD,
	MON_STDIN,
	MON_STDIN_EOF,
	MON_RESIZE, /* arg = rows, arg2 = cols */
	MON_NAMES,
	MON_PROXY,
	MON_DESCRIBED,
	MON_EXEC_SOON,
	/* replies */
	MON_OK = 64,
	MON_ERROR,   /* payload: struct err */
	MON_STARTED, /* arg = pid */
	MON_STDOUT,
	MON_STDERR,
	MON_EXIT, /* arg = exit code (128 + n for signal n), arg2 = MON_EXIT_x */
	MON_REMOVED,
};

#define MON_ATTACH_STDIN 1u
#define MON_ATTACH_STDOUT 2u
#define MON_ATTACH_STDERR 4u
/* The client finalizes: the monitor leaves record keeping after the exit (die
 * event, --rm) to it, unless the connection closes before the exit was told. */
#define MON_ATTACH_OWNER 8u

#define MON_EXIT_OOM 1u
/* The monitor starts the workload again after a back-off: nothing to clean up. */
#define MON_EXIT_RESTARTING 2u

#define MON_DEFAULT 0xfffffffeu
#define MON_NEVER 0xffffffffu
/* The user asks for an end (kill): no restart afterwards. */
#define MON_SIGNAL_BY_USER 1u
/* To every process of the workload, not to PID 1 alone. */
#define MON_SIGNAL_ALL 2u

struct mon_msg {
	uint32_t type;
	uint32_t arg;
	uint32_t arg2;
	uint32_t len;
};

/* Send with up to FD_PASS_MAX descriptors; -EPIPE when the peer is gone,
 * -EAGAIN on a full non-blocking socket (nothing was sent). */
int mon_send(int sock, uint32_t type, uint32_t arg, uint32_t arg2, const void *payload, size_t len,
	     const int *fds, size_t fds_n) MUST_CHECK;
/* Receive one message into @msg and @payload[MON_PAYLOAD_MAX]. Returns 1, 0 at
 * the end, or a negative errno (-EBADMSG for a malformed packet). */
int mon_recv(int sock, struct mon_msg *msg, void *payload, int *fds, size_t fds_max, size_t *ret_fds_n) MUST_CHECK;
int mon_send_error(int sock, const struct err *err) MUST_CHECK;
/* Connect to the monitor below @dirfd ($HULL_RUN/workloads/<id>). */
int mon_connect(int dirfd, int *ret_sock) MUST_CHECK;
