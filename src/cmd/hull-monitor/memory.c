/* SPDX-License-Identifier: Apache-2.0 */
/* Kills for want of memory: each is told as an event when it happens, also when
 * the workload itself lives on, and the last look is at its end. */
#include <sys/epoll.h>
#include <unistd.h>

#include "monitor.h"
#include "thread_caps.h"

/* The kernel tells before the victim is counted; and while memory is scarce it
 * tells very often. */
#define LOOK_DELAY_NS (20 * NS_PER_MS)

void memory_look(struct monitor *m)
{
	struct isolation_stats stats = { 0 };
	if (m->isolation->stats(&m->handle, &stats, NULL) < 0 || stats.oom_kills <= m->oom_kills)
		return;
	m->oom_kills = stats.oom_kills;
	m->state.oom_killed = 1;
	monitor_event(m, "oom", NULL, NULL);
}

static void look_later(void *ctx)
{
	struct monitor *m = ctx;
	uint64_t before = m->oom_kills;
	if (!lifecycle_is_up(m))
		return;
	thread_caps_raise_all();
	memory_look(m);
	if (m->oom_kills != before)
		lifecycle_save(m);
	thread_caps_lower();
	monitor_trim_soon(m);
}

static void told(void *ctx, uint32_t events)
{
	struct monitor *m = ctx;
	char text[1024];
	while (read(m->memory.fd, text, sizeof(text)) > 0)
		continue;
	if (m->memory_timer.is_set)
		return;
	m->memory_timer.fire = look_later;
	m->memory_timer.ctx = m;
	loop_timer_set(&m->loop, &m->memory_timer, LOOK_DELAY_NS);
}

void memory_watch(struct monitor *m)
{
	int fd = -1;
	if (m->memory.fd >= 0 || !lifecycle_is_up(m) || !m->isolation->watch_memory)
		return;
	thread_caps_raise_all();
	int r = m->isolation->watch_memory(&m->handle, &fd, NULL);
	if (r == 0) {
		m->memory = (struct loop_source){ .fd = fd, .ready = told, .ctx = m };
		(void)!loop_watch(&m->loop, &m->memory, EPOLLIN);
		/* What was before. */
		memory_look(m);
	}
	thread_caps_lower();
}

void memory_unwatch(struct monitor *m)
{
	int fd = loop_remove(&m->loop, &m->memory);
	if (fd >= 0)
		close(fd);
	loop_timer_stop(&m->loop, &m->memory_timer);
}
