/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "str.h"

#define NS 1000000000LL

static int64_t read_clock(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return ts.tv_sec * NS + ts.tv_nsec;
}

int64_t clock_wall_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

int64_t clock_mono_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

const char *clock_format_rfc3339(int64_t wall_ns, char out[CLOCK_RFC3339_SIZE])
{
	struct tm tm;
	time_t sec = (time_t)(wall_ns / NS);
	long frac = (long)(wall_ns % NS);

	if (wall_ns <= 0 || !gmtime_r(&sec, &tm)) {
		snprintf(out, CLOCK_RFC3339_SIZE, "0001-01-01T00:00:00Z");
		return out;
	}
	size_t n = strftime(out, CLOCK_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	if (frac) {
		n += (size_t)snprintf(out + n, CLOCK_RFC3339_SIZE - n, ".%09ld", frac);
		while (out[n - 1] == '0')
			n--;
	}
	snprintf(out + n, CLOCK_RFC3339_SIZE - n, "Z");
	return out;
}

const char *clock_format_go(int64_t wall_ns, char out[CLOCK_GO_SIZE])
{
	struct tm tm;
	time_t sec = (time_t)(wall_ns / NS);
	long frac = (long)(wall_ns % NS);

	if (wall_ns <= 0 || !localtime_r(&sec, &tm)) {
		snprintf(out, CLOCK_GO_SIZE, "0001-01-01 00:00:00 +0000 UTC");
		return out;
	}
	size_t n = strftime(out, CLOCK_GO_SIZE, "%Y-%m-%d %H:%M:%S", &tm);
	if (frac) {
		n += (size_t)snprintf(out + n, CLOCK_GO_SIZE - n, ".%09ld", frac);
		while (out[n - 1] == '0')
			n--;
	}
	if (!strftime(out + n, CLOCK_GO_SIZE - n, " %z %Z", &tm))
		out[n] = '\0';
	return out;
}

/* Exactly @digits decimal digits. */
static int take_digits(const char **s, int digits, int *ret)
{
	int v = 0;
	for (int i = 0; i < digits; i++) {
		char c = (*s)[i];
		if (c < '0' || c > '9')
			return -EINVAL;
		v = v * 10 + (c - '0');
	}
	*s += digits;
	*ret = v;
	return 0;
}

static int take_fraction_ns(const char **s, int64_t *ret)
{
	int64_t v = 0, scale = NS / 10;
	const char *p = *s;
	if (*p < '0' || *p > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++) {
		v += (*p - '0') * scale;
		scale /= 10;
	}
	*s = p;
	*ret = v;
	return 0;
}

static int take_date(const char **s, struct tm *tm)
{
	if (take_digits(s, 4, &tm->tm_year) < 0 || *(*s)++ != '-' || take_digits(s, 2, &tm->tm_mon) < 0 ||
	    *(*s)++ != '-' || take_digits(s, 2, &tm->tm_mday) < 0)
		return -EINVAL;
	tm->tm_year -= 1900;
	tm->tm_mon -= 1;
	return tm->tm_mon >= 0 && tm->tm_mon < 12 && tm->tm_mday >= 1 && tm->tm_mday <= 31 ? 0 : -EINVAL;
}

int clock_parse_rfc3339(const char *s, int64_t *ret)
{
	struct tm tm = { 0 };
	int64_t frac = 0, offset = 0;

	if (take_date(&s, &tm) < 0)
		return -EINVAL;
	if (*s) {
		if ((*s != 'T' && *s != 't' && *s != ' ') || (s++, take_digits(&s, 2, &tm.tm_hour) < 0) || *s++ != ':' ||
		    take_digits(&s, 2, &tm.tm_min) < 0)
			return -EINVAL;
		if (*s == ':' && (s++, take_digits(&s, 2, &tm.tm_sec) < 0))
			return -EINVAL;
		if (*s == '.' && (s++, take_fraction_ns(&s, &frac) < 0))
			return -EINVAL;
		if (tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
			return -EINVAL;
		if (*s == 'Z' || *s == 'z') {
			s++;
		} else if (*s == '+' || *s == '-') {
			int sign = *s++ == '-' ? -1 : 1, h, m;
			if (take_digits(&s, 2, &h) < 0 || *s++ != ':' || take_digits(&s, 2, &m) < 0)
				return -EINVAL;
			offset = sign * (h * 3600LL + m * 60LL);
		}
	}
	if (*s)
		return -EINVAL;
	*ret = ((int64_t)timegm(&tm) - offset) * NS + frac;
	return 0;
}

int clock_parse_since(const char *s, int64_t now_ns, int64_t *ret)
{
	if (clock_parse_rfc3339(s, ret) == 0)
		return 0;
	size_t digits = strspn(s, "0123456789");
	if (digits && (s[digits] == '\0' || s[digits] == '.')) {
		CLEANUP_FREE char *seconds = str_ndup(s, digits);
		uint64_t sec;
		int64_t frac = 0;
		const char *p = s + digits + 1;
		if (str_parse_u64_max(seconds, INT64_MAX / NS - 1, &sec) < 0)
			return -EINVAL;
		if (s[digits] == '.' && (take_fraction_ns(&p, &frac) < 0 || *p))
			return -EINVAL;
		*ret = (int64_t)sec * NS + frac;
		return 0;
	}
	int64_t ago;
	int r = str_parse_duration_ns(s, &ago);
	if (r < 0)
		return r;
	*ret = now_ns - ago;
	return 0;
}

const char *clock_human_duration(int64_t ns, char out[32])
{
	int64_t seconds = ns / NS, minutes = seconds / 60, hours = (seconds + 1800) / 3600;

	if (seconds < 1)
		snprintf(out, 32, "Less than a second");
	else if (seconds == 1)
		snprintf(out, 32, "1 second");
	else if (seconds < 60)
		snprintf(out, 32, "%lld seconds", (long long)seconds);
	else if (minutes == 1)
		snprintf(out, 32, "About a minute");
	else if (minutes < 60)
		snprintf(out, 32, "%lld minutes", (long long)minutes);
	else if (hours == 1)
		snprintf(out, 32, "About an hour");
	else if (hours < 48)
		snprintf(out, 32, "%lld hours", (long long)hours);
	else if (hours < 24 * 7 * 2)
		snprintf(out, 32, "%lld days", (long long)(hours / 24));
	else if (hours < 24 * 30 * 2)
		snprintf(out, 32, "%lld weeks", (long long)(hours / 24 / 7));
	else if (hours < 24 * 365 * 2)
		snprintf(out, 32, "%lld months", (long long)(hours / 24 / 30));
	else
		snprintf(out, 32, "%lld years", (long long)(hours / 24 / 365));
	return out;
}
