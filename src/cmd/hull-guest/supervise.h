/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a supervisor, shared by its files. */
#pragma once

#include "agent_link.h"
#include "guest_args.h"
#include "pump.h"
#include "relay.h"

#define CLIENTS_MAX 96
#define CONSOLE_TAIL 8192

struct supervisor;

/* A connection to guest.sock: one session each. */
struct client {
	struct supervisor *s;
	struct agent_link link; /* source.fd -1: free */
	uint32_t session;       /* the agent's number for it */
	bool is_open;           /* the agent has heard of it, and has not told its end */
	bool watches_memory;
	/* The network that it asks to be taken away. */
	bool is_unplugging;
	struct agent_interface unplugged;
	uint32_t memory_mib; /* of its UPDATE */
	/* What the guest may still send unasked, so that it cannot fill us. */
	uint32_t room[AGENT_STREAM_COUNT];
	unsigned answers;
};

struct supervisor {
	struct loop loop;
	struct agent_link agent;
	struct relay relay;
	struct loop_source listener, machine, console, names;
	/* Commands to the machine, where it has networks that come and go (else fd -1); one
	 * answer at a time is waited for, on behalf of @plugging. */
	struct loop_source control;
	bool is_plugging;
	struct client *plugging;
	struct agent_interface plugged;
	uint32_t memory_mib;   /* of START */
	struct err machine_err; /* why it ended, by its own word */
	struct pump files; /* between the guest's FUSE and hull-files */
	struct loop_timer boot, kill, lost;
	int report; /* -1: it has been told */
	bool has_greeted;
	uint32_t next_session;
	char tail[CONSOLE_TAIL];
	size_t tail_len;
	struct client clients[CLIENTS_MAX];
};

/* clients.c */
void clients_init(struct supervisor *s);
void client_accept(void *ctx, uint32_t events);
/* A frame of the guest's for a session that is not the workload's. -EBADMSG. */
int client_route(struct supervisor *s, const struct agent_frame *f, const char *payload) MUST_CHECK;
void client_tell_oom(struct supervisor *s, uint32_t kills);

/* control.c */
int control_open(struct supervisor *s) MUST_CHECK;
/* All that the machine has said. */
void control_drain(struct supervisor *s);
/* What the guest is to have of its machine's memory; 0: as it is, UINT32_MAX: all. */
void control_limit_memory(struct supervisor *s, uint32_t mib);
/* A tap for the guest, which is told once it is in. @tap: -1 if none came along. */
void plug_connect(struct client *c, const struct agent_interface *what, int tap);
/* The guest has done its part of DISCONNECT, or never will. */
void plug_disconnected(struct client *c);
void plug_forget(struct client *c);

/* supervise.c */
_Noreturn void supervise(struct relay *relay);
/* SIGKILL to the workload: it ends soon, or the guest does. */
void supervise_kill_soon(struct supervisor *s);
