/* SPDX-License-Identifier: Apache-2.0 */
/* The state of hull-agent, PID 1 of a guest, shared by its files.
 *
 *   main.c      the loop: the host's frames, processes that have ended
 *   boot.c      from the kernel's first instruction to a usable system
 *   storage.c   layers and the writable directory
 *   interfaces.c the network
 *   networks.c  networks that come and go
 *   files.c     the host's files: the writable layer, volumes, bind mounts
 *   names.c     questions to the host's name server
 *   session.c   the workload and what is executed beside it
 *   copy.c      cp
 *   launch.c    the short-lived process that starts one of them
 *
 * The walls around a process are those of the container level, whose code it
 * calls: a guest may hold more than one workload some day, and what is the same
 * code behaves the same. */
#pragma once

#include <netinet/in.h>

#include "agent_link.h"
#include "agent_proto.h"
#include "agent_stream.h"
#include "isolation.h"
#include "runtime_spec.h"

/* Ahead of the workload, which may want all of the processor; what is started for
 * it goes back to 0. */
#define AGENT_NICE (-15)

struct agent;

/* The streams to the host; a ring is NULL where the descriptor is the stream. */
struct boot_ports {
	int agent, files;
	void *agent_ring, *files_ring;
};

struct session {
	struct agent *agent; /* NULL: free */
	uint32_t id;
	struct buf documents[AGENT_DOC_COUNT];
	size_t documents_len;
	/* The launcher, while it works. */
	struct loop_source launch;
	pid_t launcher;
	pid_t pid; /* 0: none yet, or reaped */
	bool is_started, has_ended, is_abandoned, is_synced;
	int code;
	int pty;
	/* Of the pipes of a process that is being launched: what it says is read once
	 * its start has been told. -1: none. */
	int unread[2];
	struct agent_source output[2];
	struct agent_sink input;
	struct loop_source control; /* of a copy */
};

#define NAMES_QUESTIONS 256u

struct names_question {
	struct sockaddr_in from; /* port 0: answered */
	unsigned char id[2];
	uint16_t own_id;
};

struct names {
	struct loop_source source;
	uint16_t next;
	struct names_question questions[NAMES_QUESTIONS];
};

#define EARLY_MAX 64u

/* A child that has ended and that no session knows (yet). */
struct early_end {
	pid_t pid;
	int status;
};

struct agent {
	struct loop loop;
	struct agent_link link;
	struct loop_source children;
	struct boot_ports ports;
	struct names names;
	pid_t syncer; /* writes back what the workload wrote, before its end is told */
	struct runtime_spec *spec;
	struct isolation_handle handle;
	struct loop_source memory; /* readable when the workload may have run out of it */
	uint64_t oom_kills;        /* told so far */
	/* While something is being launched: it may end before its launcher has told. */
	struct early_end early[EARLY_MAX];
	size_t early_n;
	struct session sessions[AGENT_SESSIONS_MAX];
};

/* boot.c. Mounts, modules, a root that can be left; then the host's connection. */
int boot_system(struct err *err) MUST_CHECK;
int boot_connect(struct boot_ports *ret, struct err *err) MUST_CHECK;
_Noreturn void boot_power_off(void);

/* files.c: at AGENT_SHARES_DIR. */
int files_mount(const struct boot_ports *ports, struct err *err) MUST_CHECK;

/* names.c */
int names_start(struct agent *a, struct err *err) MUST_CHECK;
void names_answer(struct agent *a, const char *payload, size_t len);

/* storage.c */
int storage_mount(struct runtime_spec *spec, struct err *err) MUST_CHECK;
/* interfaces.c: names and addresses. */
int interfaces_set_up(const struct spec_interface *ifs, size_t n, struct err *err) MUST_CHECK;

/* networks.c: of the workload's interfaces while it runs. */
int networks_connect(struct agent *a, const struct runtime_spec *spec, struct err *err) MUST_CHECK;
int networks_disconnect(const struct agent_interface *i, struct err *err) MUST_CHECK;
int networks_route(const struct agent_routes *routes, struct err *err) MUST_CHECK;

/* session.c */
void session_frame(struct agent *a, const struct agent_frame *f, const char *payload);
/* @pid is reaped. */
void session_child_ended(struct agent *a, pid_t pid, int status);

/* copy.c */
int copy_start(struct session *s, bool sends, struct err *err) MUST_CHECK;
void copy_told(struct session *s, const char *payload, size_t len);
/* All that it said, before its end is told. */
void copy_drain(struct session *s);

/* launch.c */
struct launched {
	int r;
	pid_t pid;
	struct isolation_handle handle;
	bool has_pty;
	struct err err;
};
struct launch_order {
	const struct spec_process *process; /* an exec; NULL: the workload */
	int stdio[3];
};
/* Forks; the answer comes through *ret_sock. */
int launch_fork(struct agent *a, const struct launch_order *order, pid_t *ret_pid, int *ret_sock, struct err *err) MUST_CHECK;
void launch_receive(int sock, struct launched *ret, int *ret_pty);
