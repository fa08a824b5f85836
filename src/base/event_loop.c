/* SPDX-License-Identifier: Apache-2.0 */
#include "event_loop.h"

#include <errno.h>
#include <sys/epoll.h>

#include "cleanup.h"
#include "clock.h"

int loop_init(struct loop *loop)
{
	*loop = (struct loop){ .epoll_fd = epoll_create1(EPOLL_CLOEXEC) };
	return loop->epoll_fd < 0 ? -errno : 0;
}

void loop_done(struct loop *loop)
{
	cleanup_fd(&loop->epoll_fd);
}

int loop_watch(struct loop *loop, struct loop_source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };
	int op = source->events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
	if (events == source->events)
		return 0;
	if (epoll_ctl(loop->epoll_fd, op, source->fd, &event) < 0)
		return -errno;
	source->events = events;
	return 0;
}

int loop_remove(struct loop *loop, struct loop_source *source)
{
	int fd = source->fd;
	if (fd < 0)
		return -1;
	if (source->events)
		(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	source->events = 0;
	source->fd = -1;
	for (int i = 0; i < loop->batch_n; i++) {
		if (loop->batch[i] == source)
			loop->batch[i] = NULL;
	}
	return fd;
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
	if (!timer->is_set)
		return;
	struct loop_timer **at = &loop->timers;
	while (*at != timer)
		at = &(*at)->next;
	*at = timer->next;
	timer->is_set = false;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ns)
{
	loop_timer_stop(loop, timer);
	if (__builtin_add_overflow(clock_mono_ns(), delay_ns, &timer->at_ns))
		timer->at_ns = INT64_MAX;
	struct loop_timer **at = &loop->timers;
	while (*at && (*at)->at_ns <= timer->at_ns)
		at = &(*at)->next;
	timer->next = *at;
	timer->is_set = true;
	*at = timer;
}

/* Fire what is due; returns epoll's time-out until the next. */
static int run_timers(struct loop *loop)
{
	while (loop->timers && !loop->is_quitting) {
		struct loop_timer *timer = loop->timers;
		int64_t left_ns = timer->at_ns - clock_mono_ns();
		if (left_ns > 0) {
			int64_t ms = left_ns / 1000000 + 1;
			return ms > 3600000 ? 3600000 : (int)ms;
		}
		loop_timer_stop(loop, timer);
		timer->fire(timer->ctx);
	}
	return -1;
}

int loop_step(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[LOOP_BATCH];
	int timer_ms = run_timers(loop);
	if (loop->is_quitting)
		return 0;
	if (timer_ms >= 0 && (timeout_ms < 0 || timer_ms < timeout_ms))
		timeout_ms = timer_ms;
	int n = epoll_wait(loop->epoll_fd, events, LOOP_BATCH, timeout_ms);
	if (n < 0 && errno != EINTR)
		return -errno;
	loop->batch_n = n < 0 ? 0 : n;
	for (int i = 0; i < loop->batch_n; i++)
		loop->batch[i] = events[i].data.ptr;
	for (int i = 0; i < loop->batch_n && !loop->is_quitting; i++) {
		struct loop_source *source = loop->batch[i];
		if (source && source->events)
			source->ready(source->ctx, events[i].events);
	}
	loop->batch_n = 0;
	return n < 0 ? 0 : n;
}

int loop_run(struct loop *loop)
{
	while (!loop->is_quitting) {
		int n = loop_step(loop, -1);
		if (n < 0)
			return n;
	}
	return 0;
}
