/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks and the texts that Docker makes of times. Wall-clock times are int64
 * nanoseconds since the epoch; 0 is Docker's zero time (year 1). */
#pragma once

#include <stdint.h>

#include "err.h"

#define CLOCK_NS_PER_S 1000000000LL

int64_t clock_wall_ns(void);
int64_t clock_mono_ns(void);
static inline int64_t clock_mono_ms(void)
{
	return clock_mono_ns() / 1000000;
}

#define CLOCK_RFC3339_SIZE 40
/* "2026-11-23T19:05:01.123456789Z" (Go's RFC3339Nano: trailing zeros of the
 * fraction are dropped); 0 gives "0001-01-01T00:00:00Z". Returns @out. */
const char *clock_format_rfc3339(int64_t wall_ns, char out[CLOCK_RFC3339_SIZE]);
#define CLOCK_GO_SIZE 64
/* "2026-11-23 19:05:01.123456789 +0000 UTC", in the local zone: Go's Time.String(),
 * which docker's CreatedAt are. Trailing zeros of the fraction are dropped, and the
 * fraction where there is none. Returns @out. */
const char *clock_format_go(int64_t wall_ns, char out[CLOCK_GO_SIZE]);
/* RFC 3339 with Z or an offset, 0 to 9 fraction digits. */
int clock_parse_rfc3339(const char *s, int64_t *ret_wall_ns) MUST_CHECK;
/* What `--since` takes: RFC 3339, a date, Unix seconds with an optional
 * fraction, or a Go duration before @now_ns. */
int clock_parse_since(const char *s, int64_t now_ns, int64_t *ret_wall_ns) MUST_CHECK;
/* "Less than a second", "5 seconds", "About a minute", "3 hours", "2 weeks":
 * the words of docker ps, without " ago". Returns @out. */
const char *clock_human_duration(int64_t ns, char out[32]);
