/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of one process in a guest: its three descriptors or its
 * terminal on one hand, a session of the agent on the other. Used by the
 * supervisor for the workload and by a process of its own for each exec, which
 * only then may block: others share its descriptors. */
#pragma once

#include <sys/signalfd.h>

#include "agent_link.h"
#include "agent_stream.h"

struct relay {
	struct agent_link *link;
	uint32_t session;
	bool is_terminal, is_shared;
	int null; /* takes the place of descriptors that are given up */
	bool is_started, has_exit;
	int code;
	struct loop_source signals;
	struct agent_source input;
	struct agent_sink output[2];
	/* Its exit code, once all its output is written. */
	void (*ended)(struct relay *r, int code);
	void (*failed)(struct relay *r, const struct err *err);
	void *ctx;
};

int relay_open(struct relay *r, struct loop *loop) MUST_CHECK;
/* A frame of the session; -EBADMSG when the other side breaks the rules. */
int relay_frame(struct relay *r, const struct agent_frame *f, const char *payload) MUST_CHECK;
