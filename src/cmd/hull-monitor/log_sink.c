/* SPDX-License-Identifier: Apache-2.0 */
#include "log_sink.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"

/* The unfinished line of each stream; pages are touched only as lines need. */
static char carry[3][LOG_LINE_MAX] __attribute__((aligned(4096)));

int log_sink_open(struct log_sink *sink, const struct monitor_conf *conf, int state_dirfd, struct err *err)
{
	static const struct log_driver_ops *const drivers[] = {
		[LOG_DRIVER_JSON_FILE] = &log_json_file_ops,
		[LOG_DRIVER_NONE] = NULL,
		[LOG_DRIVER_JOURNALD] = &log_journald_ops,
		[LOG_DRIVER_SYSLOG] = &log_syslog_ops,
	};
	static_assert(ARRAY_LEN(drivers) == LOG_DRIVER_COUNT, "every driver");
	*sink = (struct log_sink){ .ops = drivers[conf->log_driver], .conf = conf };
	return sink->ops ? sink->ops->open(conf, state_dirfd, err) : 0;
}

static int emit(struct log_sink *sink, int stream, const char *text, size_t len, bool is_partial, int64_t now)
{
	struct log_line line = { .stream = stream, .text = text, .len = len, .is_partial = is_partial, .wall_ns = now };
	int r = sink->ops->write(&line);
	if (r == -EAGAIN && !sink->conf->log_non_blocking)
		return r;
	if (r < 0) {
		sink->lost++;
		sink->lost_why = -r;
	}
	return 0;
}

/* Where to cut a full line: not inside a UTF-8 character. */
static size_t cut_point(const char *text, size_t len)
{
	size_t i = len, back = 0;
	while (back < 3 && i && ((unsigned char)text[i - 1] & 0xc0) == 0x80) {
		i--;
		back++;
	}
	if (!i)
		return len;
	unsigned char lead = (unsigned char)text[i - 1];
	size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
	return want > back + 1 ? i - 1 : len;
}

/* One line, or the next part of one, from @data; returns the bytes used, 0 when
 * the driver is full. */
static size_t feed_one(struct log_sink *sink, int stream, const char *data, size_t len, int64_t now)
{
	size_t *held = &sink->carry_len[stream];
	size_t room = LOG_LINE_MAX - *held, look = len < room ? len : room;
	const char *newline = memchr(data, '\n', look);
	size_t use = newline ? (size_t)(newline + 1 - data) : look;

	if (!newline && *held + use < LOG_LINE_MAX) {
		memcpy(carry[stream] + *held, data, use);
		*held += use;
		return use;
	}
	if (!*held) {
		size_t n = newline ? use : cut_point(data, use);
		return emit(sink, stream, data, n, !newline, now) < 0 ? 0 : n;
	}
	memcpy(carry[stream] + *held, data, use);
	size_t total = *held + use, n = newline ? total : cut_point(carry[stream], total);
	if (emit(sink, stream, carry[stream], n, !newline, now) < 0)
		return 0; /* what was copied behind *held is copied again next time */
	memmove(carry[stream], carry[stream] + n, total - n);
	*held = total - n;
	return use;
}

/* Losses are told in the log itself once it works again. */
static void tell_losses(struct log_sink *sink)
{
	int why = 0;
	uint64_t lost = sink->ops->flush(&why);
	sink->lost += lost;
	if (lost)
		sink->lost_why = why;
	if (!sink->lost || lost)
		return;
	char text[160];
	int n = snprintf(text, sizeof(text), "hull: %llu log lines were lost: %s\n", (unsigned long long)sink->lost,
			 strerror(sink->lost_why));
	struct log_line line = { .stream = 2, .text = text, .len = (size_t)n, .wall_ns = clock_wall_ns() };
	if (sink->ops->write(&line) == 0 && sink->ops->flush(&why) == 0) {
		sink->lost_total += sink->lost;
		sink->lost = 0;
	}
}

size_t log_sink_feed(struct log_sink *sink, int stream, const char *data, size_t len)
{
	if (!sink->ops)
		return len;
	int64_t now = clock_wall_ns();
	size_t used = 0;
	while (used < len) {
		size_t n = feed_one(sink, stream, data + used, len - used, now);
		if (!n)
			break;
		used += n;
	}
	tell_losses(sink);
	return used;
}

void log_sink_finish(struct log_sink *sink)
{
	if (!sink->ops)
		return;
	for (int stream = 1; stream <= 2; stream++) {
		if (sink->carry_len[stream])
			(void)emit(sink, stream, carry[stream], sink->carry_len[stream], false, clock_wall_ns());
		sink->carry_len[stream] = 0;
	}
	tell_losses(sink);
}
