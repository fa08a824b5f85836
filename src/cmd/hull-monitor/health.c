/* SPDX-License-Identifier: Apache-2.0 */
/* HEALTHCHECK as Docker counts: "starting" until the first success, or until
 * retries failures in a row after the start period; a failure inside the start
 * period does not count. The last five results are lines of JSON in
 * $HULL_RUN/workloads/<id>/health, for inspect. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "event_log.h"
#include "buf.h"
#include "fd.h"
#include "json_escape.h"
#include "monitor.h"

#define RESULTS_KEPT 5
#define OUTPUT_MAX 4096u
#define LINE_MAX_BYTES (6 * OUTPUT_MAX + 256)

static char output[OUTPUT_MAX];

void monitor_event(struct monitor *m, const char *action, const char *attr1, const char *attr2)
{
	struct event event = { .wall_ns = clock_wall_ns(), .type = "container", .action = action, .id = m->conf->id };
	if (attr1)
		event.attrs[event.attrs_n++] = attr1;
	if (attr2)
		event.attrs[event.attrs_n++] = attr2;
	(void)!event_log_append(m->run_dirfd, &event);
}

static bool is_in_start_period(const struct monitor *m)
{
	return clock_wall_ns() - m->state.started_ns < m->conf->health_start_period_ns;
}

static void probe(void *ctx);

static void schedule(struct monitor *m)
{
	int64_t delay = m->conf->health_interval_ns;
	if (m->state.health == RUN_HEALTH_STARTING && is_in_start_period(m) && m->conf->health_start_interval_ns > 0 &&
	    m->conf->health_start_interval_ns < delay)
		delay = m->conf->health_start_interval_ns;
	m->health.probe.fire = probe;
	m->health.probe.ctx = m;
	loop_timer_set(&m->loop, &m->health.probe, delay);
}

void health_started(struct monitor *m)
{
	m->state.health = m->conf->health_test.n ? RUN_HEALTH_STARTING : RUN_HEALTH_NONE;
	m->state.failing_streak = 0;
	(void)unlinkat(m->dirfd, "health", 0);
	if (m->conf->health_test.n)
		schedule(m);
}

void health_stopped(struct monitor *m)
{
	loop_timer_stop(&m->loop, &m->health.probe);
	loop_timer_stop(&m->loop, &m->health.deadline);
	if (m->state.health == RUN_HEALTH_STARTING || m->state.health == RUN_HEALTH_HEALTHY)
		m->state.health = m->conf->health_test.n ? RUN_HEALTH_UNHEALTHY : RUN_HEALTH_NONE;
}

static void timed_out(void *ctx)
{
	struct monitor *m = ctx;
	m->health.has_timed_out = true;
	if (m->health.running)
		exec_kill(m->health.running);
}

static void probe(void *ctx)
{
	struct monitor *m = ctx;
	struct err err = ERR_INIT;
	if (m->state.status == RUN_PAUSED || m->health.running) {
		schedule(m);
		return;
	}
	m->health.has_timed_out = false;
	m->health.output_len = 0;
	m->health.probe_start_ns = clock_wall_ns();
	m->health.running = exec_start_health(m, &err);
	if (!m->health.running) {
		health_probe_done(m, -1, false, &err);
		return;
	}
	m->health.deadline.fire = timed_out;
	m->health.deadline.ctx = m;
	loop_timer_set(&m->loop, &m->health.deadline, m->conf->health_timeout_ns > 0 ? m->conf->health_timeout_ns : 30 * NS_PER_S);
}

void health_output(struct monitor *m, const char *data, size_t len)
{
	size_t room = OUTPUT_MAX - m->health.output_len, n = len < room ? len : room;
	memcpy(output + m->health.output_len, data, n);
	m->health.output_len += n;
}

static void keep_result(struct monitor *m, int code)
{
	static char line[LINE_MAX_BYTES];
	char start[CLOCK_RFC3339_SIZE], end[CLOCK_RFC3339_SIZE];
	CLEANUP_BUF struct buf old = BUF_INIT((RESULTS_KEPT + 1) * LINE_MAX_BYTES);
	(void)!fd_read_file_at(m->dirfd, "health", &old);
	size_t n = (size_t)snprintf(line, sizeof(line), "{\"Start\":\"%s\",\"End\":\"%s\",\"ExitCode\":%d,\"Output\":\"",
				    clock_format_rfc3339(m->health.probe_start_ns, start),
				    clock_format_rfc3339(clock_wall_ns(), end), code);
	n += json_escape(line + n, output, m->health.output_len);
	memcpy(line + n, "\"}\n", 3);
	if (buf_append(&old, line, n + 3) < 0)
		return;
	size_t lines = 0, skip = 0;
	for (size_t i = 0; i < old.len; i++)
		lines += old.data[i] == '\n';
	while (lines > RESULTS_KEPT) {
		lines -= old.data[skip] == '\n';
		skip++;
	}
	(void)!fd_replace_file_at(m->dirfd, "health", old.data + skip, old.len - skip, 0600, false);
}

static void become(struct monitor *m, enum run_health health)
{
	char action[48];
	if (m->state.health == health)
		return;
	m->state.health = health;
	snprintf(action, sizeof(action), "health_status: %s", run_health_name(health));
	monitor_event(m, action, NULL, NULL);
	if (health != RUN_HEALTH_UNHEALTHY)
		return;
	switch (m->conf->health_on_failure) {
	case HEALTH_ACTION_KILL:
		(void)!lifecycle_signal(m, SIGKILL, false, NULL);
		break;
	case HEALTH_ACTION_RESTART:
		m->restart_wanted = true;
		lifecycle_stop(m, MON_DEFAULT, 0, false);
		break;
	case HEALTH_ACTION_STOP:
		m->restart_refused = true;
		lifecycle_stop(m, MON_DEFAULT, 0, false);
		break;
	default:
		break;
	}
}

void health_probe_done(struct monitor *m, int exit_code, bool did_start, const struct err *err)
{
	m->health.running = NULL;
	loop_timer_stop(&m->loop, &m->health.deadline);
	if (!lifecycle_is_up(m))
		return;
	if (m->health.has_timed_out) {
		int64_t ms = m->conf->health_timeout_ns / NS_PER_MS;
		m->health.output_len = (size_t)snprintf(output, sizeof(output), "Health check exceeded timeout (%lld%s)",
							(long long)(ms % 1000 ? ms : ms / 1000), ms % 1000 ? "ms" : "s");
		exit_code = -1;
	} else if (!did_start && err) {
		m->health.output_len = strlen(err->msg);
		memcpy(output, err->msg, m->health.output_len);
	}
	keep_result(m, exit_code);
	if (exit_code == 0) {
		m->state.failing_streak = 0;
		become(m, RUN_HEALTH_HEALTHY);
	} else if (!(m->state.health == RUN_HEALTH_STARTING && is_in_start_period(m))) {
		m->state.failing_streak++;
		if (m->state.failing_streak >= (m->conf->health_retries ? m->conf->health_retries : 3))
			become(m, RUN_HEALTH_UNHEALTHY);
	}
	lifecycle_save(m);
	monitor_trim_soon(m);
	schedule(m);
}
