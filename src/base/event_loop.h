/* SPDX-License-Identifier: Apache-2.0 */
/* One thread's event loop: descriptors by epoll, timers by its time-out.
 *
 * Sources and timers belong to the caller and are only linked in; the loop
 * allocates nothing. A callback may remove any source, its own too. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define LOOP_BATCH 16

struct epoll_event;

struct loop_source {
	int fd; /* -1: not in the loop */
	uint32_t events;
	void (*ready)(void *ctx, uint32_t events);
	void *ctx;
};

struct loop_timer {
	int64_t at_ns; /* CLOCK_MONOTONIC */
	void (*fire)(void *ctx);
	void *ctx;
	struct loop_timer *next;
	bool is_set;
};

struct loop {
	int epoll_fd;
	bool is_quitting;
	struct loop_timer *timers; /* soonest first */
	/* The batch in hand, so that removal can take a source out of it. */
	struct loop_source *batch[LOOP_BATCH];
	int batch_n;
};

int loop_init(struct loop *loop) MUST_CHECK;
void loop_done(struct loop *loop);
/* Watch source->fd (set by the caller) for EPOLLx bits. With none it is kept but
 * not watched, not even for a hang-up. */
int loop_watch(struct loop *loop, struct loop_source *source, uint32_t events) MUST_CHECK;
/* Stop watching and set fd to -1; the descriptor is returned and the caller's. */
int loop_remove(struct loop *loop, struct loop_source *source);
/* (Re)set to fire once, @delay_ns from now. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ns);
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);
/* Fire what is due, wait up to @timeout_ms (-1: for ever) for a descriptor or the
 * next timer, and serve one batch. Returns the number of descriptors served. */
int loop_step(struct loop *loop, int timeout_ms) MUST_CHECK;
/* Until loop->is_quitting. */
int loop_run(struct loop *loop) MUST_CHECK;
