/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes between a port of the guest's and a socket of the host's, both ways. */
#pragma once

#include "agent_port.h"
#include "event_loop.h"

#define PUMP_BYTES (64u << 10)

struct pump_way {
	size_t at, len;
	char data[PUMP_BYTES];
};

struct pump {
	struct loop *loop;
	struct agent_port port;
	struct loop_source port_source, socket;
	struct loop_timer again;
	struct pump_way up, down; /* from the guest; to it */
	void (*gone)(void *ctx, int error);
	void *ctx;
};

/* @memory as in agent_port_init(). Both descriptors stay open. */
int pump_open(struct pump *p, struct loop *loop, int port, void *memory, int socket) MUST_CHECK;
