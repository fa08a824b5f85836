/* SPDX-License-Identifier: Apache-2.0 */
/* What the host and the agent in a guest (hull-agent, PID 1 of a sandbox or of
 * a virtual machine) say to each other over one stream of bytes: a serial line
 * or a vsock connection. The same frames go over $HULL_RUN/workloads/<id>/guest.sock
 * between any hull process and the supervisor (hull-guest), which passes them on.
 *
 * A frame is struct agent_frame and @len payload bytes. Everything belongs to a
 * session, a number that whoever opens it chooses; over guest.sock the supervisor
 * translates it, so that connections cannot meet. Session 1 is the workload.
 *
 *   the guest speaks first: HELLO (arg = AGENT_VERSION)
 *   DOCUMENT*            pieces of what the next request carries, by stream
 *                        (enum agent_document); empty the documents of a session
 *                        once the request has been answered
 *   START (arg = MiB of its memory that the machine is to have once it has started; 0: all)
 *                        documents SPEC, FILTER, FILE* -> STARTED (arg = pid) | ERROR;
 *                        later EXIT (arg = code, stream = AGENT_EXIT_x); once, session 1
 *   EXEC                 document SPEC = the process  -> STARTED | ERROR; later EXIT
 *   SIGNAL (arg = signo, stream = AGENT_SIGNAL_x)     to the session's process; no answer
 *   RESIZE (arg = rows << 16 | columns)               of its terminal; no answer
 *   KILL                 the session's client is gone: end its process, tell nothing
 *   STATS                -> STATS with struct agent_stats | ERROR
 *   TOP                  -> DATA (rows of process_table.h), OK | ERROR
 *   UPDATE (arg = the same, UINT32_MAX: all, 0: as it is; stream = processors, 0: as there are)
 *                        document SPEC = resources    -> OK | ERROR
 *   FILES (arg = 1: out of the guest)  document SPEC = struct copy_order: cp; then
 *                        COPY both ways, DATA one way; at the end EXIT | ERROR
 *   COPY                 a struct copy_message
 *   PAUSE (arg = 1: stop the workload, 0: let it go on) -> OK | ERROR
 *   CONNECT              struct agent_interface, document SPEC with that interface: the machine has
 *                        one more. Over guest.sock its tap comes along -> OK | ERROR
 *   DISCONNECT           struct agent_interface: it is to go -> OK | ERROR
 *   ROUTES               struct agent_routes: the default routes -> OK | ERROR
 *   SHUTDOWN             end everything and power off
 *   DATA, EOF, CREDIT    of a stream of a session (enum agent_stream): a side may
 *                        send AGENT_WINDOW bytes, then as many as CREDIT (arg)
 *                        grants. So what one side has to keep for the other is
 *                        bounded, and no stream ever holds up a request.
 *   NAMES                a DNS message: the guest's question, the host's answer
 *   OOM (arg = kills)    the guest tells that processes were killed for memory
 *
 * Neither side may trust the other: whoever breaks a rule is disconnected, and
 * a guest that does is ended. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define AGENT_VERSION 1u
#define AGENT_PAYLOAD_MAX 32768u
#define AGENT_WINDOW 65536u
/* All documents of a session together. */
#define AGENT_DOCUMENTS_MAX (8u << 20)
#define AGENT_SESSION_WORKLOAD 1u
#define AGENT_NAMES_MAX 4096u
#define AGENT_SESSIONS_MAX 96u

enum agent_type {
	/* to the guest */
	AGENT_DOCUMENT = 1,
	AGENT_START,
	AGENT_EXEC,
	AGENT_SIGNAL,
	AGENT_RESIZE,
	AGENT_KILL,
	AGENT_STATS,
	AGENT_TOP,
	AGENT_UPDATE,
	AGENT_FILES,
	AGENT_CONNECT,
	AGENT_DISCONNECT,
	AGENT_ROUTES,
	AGENT_SHUTDOWN,
	AGENT_PAUSE,
	/* both ways */
	AGENT_DATA = 32,
	AGENT_EOF,
	AGENT_CREDIT,
	AGENT_COPY,
	AGENT_NAMES,
	/* to the host */
	AGENT_HELLO = 64,
	AGENT_OK,
	AGENT_ERROR, /* payload: struct agent_error */
	AGENT_STARTED,
	AGENT_EXIT,
	AGENT_STATS_ARE,
	AGENT_OOM,
};

enum agent_stream {
	AGENT_STDIN,  /* to the guest */
	AGENT_STDOUT, /* to the host; with a terminal the only one */
	AGENT_STDERR,
	AGENT_STREAM_COUNT
};

enum agent_document {
	AGENT_DOC_SPEC,
	AGENT_DOC_FILTER, /* a compiled seccomp filter */
	AGENT_DOC_FILES,  /* files for the guest: struct agent_file, name, data, each */
	AGENT_DOC_COUNT
};

#define AGENT_EXIT_OOM 1u
#define AGENT_SIGNAL_ALL 1u

struct agent_frame {
	uint32_t len;
	uint16_t type;
	uint16_t stream;
	uint32_t session;
	uint32_t arg;
};
static_assert(sizeof(struct agent_frame) == 16, "as it goes over the wire");

/* One of AGENT_DOC_FILES; it is written to AGENT_FILES_DIR/name. */
struct agent_file {
	uint32_t name_len, data_len, mode;
};
#define AGENT_FILES_DIR "/run/files"
/* Where things lie in the guest, for the description that the host writes. */
#define AGENT_LAYERS_DIR "/layers"
/* The jail of user-mode Linux, as its hostfs shows it: layers beyond its disks. */
#define AGENT_HOST_DIR "/host"
#define AGENT_FILTER_PATH "/run/filter"
/* Of the device, where a machine has one for files. */
#define AGENT_FILES_TAG "hull"
#define AGENT_SHARES_DIR "/shares"
#define AGENT_UPPER_PATH AGENT_SHARES_DIR "/root/upper"
#define AGENT_WORK_PATH AGENT_SHARES_DIR "/root/work"
#define AGENT_INIT_NAME "init"

/* An error as it goes over the wire; strings end with a NUL byte or with the
 * field. */
struct agent_error {
	int32_t kind, errnum;
	char msg[600], why[240], hint[240];
};

struct agent_interface {
	char name[16]; /* as the workload sees it */
	uint8_t mac[6];
	uint16_t mtu;
};

struct agent_route {
	char interface[16]; /* "": none of this family */
	char gateway[46];   /* "": the link itself */
};
struct agent_routes {
	struct agent_route v4, v6;
};

struct agent_stats {
	uint64_t memory_total_bytes, memory_inactive_file_bytes, memory_max_bytes;
	uint64_t pids, oom_kills;
	uint64_t machine_bytes; /* all memory that the guest has */
};

/* 0, or -EBADMSG when no peer of ours sends such a frame: its type, its length
 * and its stream are checked, not what it means at this moment. */
int agent_frame_check(const struct agent_frame *f) MUST_CHECK;
void agent_error_pack(const struct err *err, struct agent_error *ret);
/* What a guest says is shown to people: unprintable bytes become '?'. */
void agent_error_unpack(const void *payload, size_t len, struct err *ret);
